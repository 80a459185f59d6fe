package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// rangePath is the one call of etcd's API that is stood in for: a read of one key.
const rangePath = "/etcdserverpb.KV/Range"

// Codes of gRPC.
const (
	grpcOK               = 0
	grpcUnknown          = 2
	grpcDeadlineExceeded = 4
)

// found is what a read of one key came back with.
type found struct {
	revision int64 // of the datastore
	id       int64 // of the row; 0 without one
	value    []byte
}

// serveRange answers a read of one key as the original does: over HTTP/2 in the clear, the outcome in the trailers.
// What the API server does not use is refused (k8s-dqlite, pkg/limited/server.go).
func serveRange(read func(ctx context.Context, key string) (found, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		ctx := r.Context()
		if limit, err := grpcTimeout(r.Header.Get("Grpc-Timeout")); err == nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		message, err := readFrame(r.Body)
		if err != nil {
			grpcOutcome(w, err)
			return
		}
		key, err := rangeKey(message)
		if err != nil {
			grpcOutcome(w, err)
			return
		}
		answer, err := read(ctx, key)
		if err != nil {
			grpcOutcome(w, err)
			return
		}
		w.Write(frame(rangeAnswer(key, answer)))
		grpcOutcome(w, nil)
	}
}

func grpcOutcome(w http.ResponseWriter, err error) {
	code := grpcOK
	if err != nil {
		code = grpcUnknown
		if errors.Is(err, context.DeadlineExceeded) {
			code = grpcDeadlineExceeded
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", url.PathEscape(err.Error()))
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(code))
}

// grpcTimeout reads a header such as 5000m: up to eight digits and a unit.
func grpcTimeout(text string) (time.Duration, error) {
	units := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}
	if len(text) < 2 || len(text) > 9 {
		return 0, fmt.Errorf("a timeout of %q", text)
	}
	last := len(text) - 1
	unit, ok := units[text[last]]
	count, err := strconv.ParseUint(text[:last], 10, 32)
	if !ok || err != nil {
		return 0, fmt.Errorf("a timeout of %q", text)
	}
	return time.Duration(count) * unit, nil
}

// readFrame reads a message with its length before it.
func readFrame(body io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || length > maxValue {
		return nil, errors.New("a message that is compressed or too long")
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(body, message); err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	return message, nil
}

func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// rangeFields are the fields of etcd's RangeRequest that must be left out.
var rangeFields = map[uint64]string{
	2: "rangeEnd", 5: "sortOrder", 6: "sortTarget", 7: "serializable", 8: "keysOnly", 9: "countOnly",
	10: "minModRevision", 11: "maxModRevision", 12: "minCreateRevision", 13: "maxCreateRevision",
}

// rangeKey takes the key out of a RangeRequest.
func rangeKey(message []byte) (string, error) {
	bad := errors.New("the message is no RangeRequest")
	key := ""
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return "", bad
		}
		message = message[n:]
		value, n := binary.Uvarint(message)
		if n <= 0 {
			return "", bad
		}
		message = message[n:]
		var text []byte
		switch tag & 7 {
		case 0: // a number
		case 2: // bytes: the number is their length
			if value > uint64(len(message)) {
				return "", bad
			}
			text, message = message[:value], message[value:]
		default:
			return "", bad
		}
		if tag>>3 == 1 {
			key = string(text)
		} else if name, ok := rangeFields[tag>>3]; ok && value != 0 {
			return "", fmt.Errorf("%s is unsupported", name)
		}
	}
	if key == "" {
		return "", errors.New("no key is given")
	}
	return key, nil
}

// rangeAnswer is a RangeResponse with the one key, if it is there.
func rangeAnswer(key string, answer found) []byte {
	message := field(nil, 1, number(nil, 3, answer.revision))
	if answer.id == 0 {
		return message
	}
	kv := field(nil, 1, []byte(key))
	kv = number(kv, 2, answer.id)
	kv = number(kv, 3, answer.id)
	kv = field(kv, 5, answer.value)
	return number(field(message, 2, kv), 4, 1)
}

func field(to []byte, tag uint64, value []byte) []byte {
	to = binary.AppendUvarint(to, tag<<3|2)
	return append(binary.AppendUvarint(to, uint64(len(value))), value...)
}

func number(to []byte, tag uint64, value int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(to, tag<<3), uint64(value))
}
