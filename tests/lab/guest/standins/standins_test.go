//go:build !k8sd

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/canonical/go-dqlite/v2"
)

func TestAReadOfOneKeyIsAnsweredAsByEtcd(t *testing.T) {
	read := func(ctx context.Context, key string) (found, error) {
		if limit, ok := ctx.Deadline(); !ok || time.Until(limit) > 5*time.Second {
			t.Error("the client's timeout is not kept")
		}
		switch key {
		case "/there":
			return found{revision: 300, id: 7, value: []byte("x")}, nil
		case "/not":
			return found{revision: 300}, nil
		}
		return found{}, errors.New("no leader\nwas found")
	}
	client := etcdClient(t, read)
	for sentence, c := range map[string]struct {
		request       []byte
		message       []byte
		status, fault string
	}{
		"a key": {
			[]byte("\x0a\x06/there"),
			[]byte("\x0a\x03\x18\xac\x02\x12\x0f\x0a\x06/there\x10\x07\x18\x07\x2a\x01x\x20\x01"), "0", "",
		},
		"no such key":         {[]byte("\x0a\x04/not\x18\x00"), []byte("\x0a\x03\x18\xac\x02"), "0", ""},
		"an error":            {[]byte("\x0a\x04/bad"), nil, "2", "no%20leader%0Awas%20found"},
		"a list":              {[]byte("\x0a\x06/there\x12\x06/these"), nil, "2", "rangeEnd%20is%20unsupported"},
		"a serializable read": {[]byte("\x0a\x06/there\x38\x01"), nil, "2", "serializable%20is%20unsupported"},
		"no key":              {nil, nil, "2", "no%20key%20is%20given"},
		"no message":          {[]byte("\x0a\x40/there"), nil, "2", "the%20message%20is%20no%20RangeRequest"},
	} {
		request, err := http.NewRequest(http.MethodPost, "http://localhost"+rangePath, bytes.NewReader(frame(c.request)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("Te", "trailers")
		request.Header.Set("Grpc-Timeout", "5000m")
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
		var wanted []byte
		if c.message != nil {
			wanted = frame(c.message)
		}
		status, fault := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
		if response.ProtoMajor != 2 || !bytes.Equal(body, wanted) || status != c.status || fault != c.fault {
			t.Errorf("%s: %s, %q, status %q, message %q", sentence, response.Proto, body, status, fault)
		}
	}
}

// etcdClient speaks HTTP/2 to a front on a socket that answers reads so.
func etcdClient(t *testing.T, read func(ctx context.Context, key string) (found, error)) *http.Client {
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+rangePath, serveRange(read))
	server := &http.Server{Handler: mux, Protocols: frontProtocols()}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}

func TestATimeoutIsReadAsGrpcWritesIt(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5000m": 5 * time.Second, "1S": time.Second, "99999999n": 99999999, "2H": 2 * time.Hour,
	} {
		if got, err := grpcTimeout(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "S", "5", "5s", "-1S", "123456789S", strings.Repeat("9", 40)} {
		if got, err := grpcTimeout(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

func TestSnapshotNumbersAreKeptWithinWhatTheDatastoreAccepts(t *testing.T) {
	for _, c := range []struct{ threshold, trailing, wantThreshold, wantTrailing uint64 }{
		{512, 4096, 512, 4096},
		{0, 4096, 3072, 4096},
		{10, 4096, 384, 4096},
		{1000, 600, 600, 600},
		{384, 10, 10, 512},
	} {
		want := dqlite.SnapshotParams{Threshold: c.wantThreshold, Trailing: c.wantTrailing}
		if got := adjustSnapshot(c.threshold, c.trailing); got != want {
			t.Errorf("threshold %d, trailing %d: %+v, wanted %+v", c.threshold, c.trailing, got, want)
		}
	}
}

func TestWhatIsAskedOfK8sdIsTakenOutOfItsAnswer(t *testing.T) {
	for sentence, c := range map[string]struct {
		code int
		text string
		want string
		says string
	}{
		"an answer": {200, `{"type":"sync","status_code":200,"error":"","metadata":"a token"}`, "a token", ""},
		"an error":  {500, `{"type":"error","error":"no leader","metadata":null}`, "", "no leader"},
		"a node in no cluster": {
			503, `{"type":"error","error":"Database is not yet initialized","metadata":null}`, "", errNotInitialized.Error(),
		},
		"a database that still starts": {
			503, `{"type":"error","error":"Database is still starting","metadata":null}`, "", "Database is still starting",
		},
	} {
		var got, said string
		if err := unwrap(c.code, []byte(c.text), &got); err != nil {
			said = err.Error()
		}
		if got != c.want || said != c.says {
			t.Errorf("%s: got %q and %q, wanted %q and %q", sentence, got, said, c.want, c.says)
		}
	}
	if err := unwrap(200, []byte("<html>"), nil); err == nil {
		t.Error("something that is no answer was taken for one")
	}
}

func TestArgumentsFilesAreSplitAtBlanksAndUnquoted(t *testing.T) {
	got := parseArgs("--listen=\"unix:///a\"\n--storage-dir=/b --c\n")
	want := []string{"--listen=unix:///a", "--storage-dir=/b", "--c"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, wanted %q", got, want)
	}
}

func TestTheSnapAloneNamesEveryService(t *testing.T) {
	services, whole, err := chosenServices([]string{"k8s"})
	if err != nil || !whole || len(services) != len(allServices) {
		t.Errorf("got %q, %v, %v", services, whole, err)
	}
	for _, names := range [][]string{nil, {"lxd"}, {"k8s.nothing"}} {
		if _, _, err := chosenServices(names); err == nil {
			t.Errorf("%q was accepted", names)
		}
	}
}

func TestLowStorageMayOnlyDoNothing(t *testing.T) {
	if _, err := parseK8sDqliteFlags([]string{"--low-available-storage-action=handover"}); err == nil {
		t.Error("handover at low storage was accepted")
	}
	flags, err := parseK8sDqliteFlags([]string{"--storage-dir", "/d", "--metrics=false"})
	if err != nil || flags.storageDir != "/d" || !flags.tls {
		t.Errorf("got %+v, %v", flags, err)
	}
}
