//! One read of k8s-dqlite over its socket, which speaks etcd's API: `etcdserverpb.KV/Range` as gRPC,
//! that is one POST over HTTP/2 in the clear, a message with a length before it each way, and the
//! outcome in the trailers.
//!
//! k8s-dqlite refuses what the API server does not use (pkg/limited/server.go): no sort order, no
//! bounds on revisions, not only the keys, and above all no serializable read, so that every read it
//! answers went through the leader. A read of a single key has no end of the range, and 1.1 to 1.8
//! take it with any limit. The key is the one that k8s-dqlite itself makes for such checks; whether
//! it is there does not matter.

use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use prost::Message;

/// The key that is read.
pub(super) const KEY: &[u8] = b"/registry/health";
/// What an answer may be at most: one small value.
const LARGEST: usize = 1 << 20;
/// What stands before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// etcd's RangeRequest, as far as it is filled in here (rpc.proto).
#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

/// etcd's RangeResponse, as far as it is looked at here (rpc.proto): that it is one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    /// Every answer has it.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// etcd's ResponseHeader (rpc.proto).
#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseHeader {
    /// The datastore's revision.
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

/// Reads the key from whoever listens on `socket`.
///
/// # Errors
/// Why there was no answer within the time, or none of success.
pub(super) fn read(socket: &Path, within: Duration) -> Result<(), String> {
    super::ask(within, async {
        let stream = super::connect(socket).await?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(broken)?;
        // The connection makes no progress unless somebody drives it; its own end comes first when
        // the other side hangs up before it has answered.
        let mut connection = std::pin::pin!(connection);
        let mut call = std::pin::pin!(call(sender, within));
        std::future::poll_fn(|context| {
            let ended = connection.as_mut().poll(context);
            match (call.as_mut().poll(context), ended) {
                (std::task::Poll::Ready(answer), _) => std::task::Poll::Ready(answer),
                (std::task::Poll::Pending, std::task::Poll::Ready(Err(error))) => {
                    std::task::Poll::Ready(Err(broken(error)))
                }
                (std::task::Poll::Pending, std::task::Poll::Ready(Ok(()))) => {
                    std::task::Poll::Ready(Err("it hung up without an answer".into()))
                }
                (std::task::Poll::Pending, std::task::Poll::Pending) => std::task::Poll::Pending,
            }
        })
        .await
    })
}

async fn call(sender: SendRequest<Bytes>, within: Duration) -> Result<(), String> {
    let mut sender = sender.ready().await.map_err(broken)?;
    let (answer, mut body) = sender
        .send_request(request(within)?, false)
        .map_err(broken)?;
    body.send_data(framed(&RangeRequest { key: KEY.to_vec() }), true)
        .map_err(broken)?;
    understand(answer.await.map_err(broken)?).await
}

fn request(within: Duration) -> Result<Request<()>, String> {
    Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri("http://localhost/etcdserverpb.KV/Range")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // So that the server gives up, too, and questions without answers do not pile up in it.
        .header(
            "grpc-timeout",
            format!("{}m", within.as_millis().clamp(1, 99_999_999)),
        )
        .body(())
        .map_err(|error| format!("making the request: {error}"))
}

/// A message with its length before it.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message.encode_to_vec());
    frame.freeze()
}

async fn understand(answer: Response<RecvStream>) -> Result<(), String> {
    let (head, mut body) = answer.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("it answered with HTTP {}", head.status));
    }
    // An error without a message may come in the headers alone, with no trailers to follow.
    let early = outcome(&head.headers)?;
    if let Some(Err(why)) = early {
        return Err(why);
    }
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(broken)?;
        let _ = body.flow_control().release_capacity(chunk.len());
        message.extend_from_slice(&chunk);
        if message.len() > LARGEST {
            return Err("its answer has no end".into());
        }
    }
    let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
    outcome(&trailers)?
        .or(early)
        .ok_or("its answer has no outcome (grpc-status)")??;
    let response = unframed(&mut message.freeze())?;
    match response.header {
        Some(_) => Ok(()),
        None => Err("its answer is none to a read".into()),
    }
}

/// The outcome that headers or trailers tell of, if they do; the outer error is one that cannot be
/// read.
fn outcome(headers: &HeaderMap) -> Result<Option<Result<(), String>>, String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(status) = headers.get("grpc-status") else {
        return Ok(None);
    };
    let code: u32 = status
        .to_str()
        .ok()
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("its outcome (grpc-status) is {status:?}"))?;
    Ok(Some(match code {
        0 => Ok(()),
        code => Err(format!(
            "it answered: {} (gRPC status {code})",
            text("grpc-message").map_or_else(|| "no reason given".into(), plain)
        )),
    }))
}

/// A reason without its percent-encoding (gRPC over HTTP/2, Responses).
fn plain(reason: &str) -> String {
    let mut out = Vec::new();
    let mut rest = reason.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .filter(|_| byte == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn unframed(frame: &mut Bytes) -> Result<RangeResponse, String> {
    if frame.len() < PREFIX {
        return Err("its answer is cut off".into());
    }
    if frame.get_u8() != 0 {
        return Err("its answer is compressed, which nobody asked for".into());
    }
    if usize::try_from(frame.get_u32()) != Ok(frame.len()) {
        return Err("its answer is cut off".into());
    }
    RangeResponse::decode(frame).map_err(|error| format!("its answer is none to a read: {error}"))
}

fn broken(error: h2::Error) -> String {
    format!("it does not speak etcd's API: {error}")
}
