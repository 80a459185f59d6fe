//! The little of HTTP that speaks with the API servers of the nodes.

use crate::cluster::Node;
use anyhow::{Context, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Port of the API server.
const PORT: u16 = 6443;

/// Sends one request over a connection of its own and returns the body of a 2xx answer. The calling
/// thread has to be inside the lab's network.
///
/// # Errors
/// When the node cannot be reached, does not answer within `limit`, or answers anything but 2xx. The
/// outcome of a failed PUT is unknown.
pub fn request(
    node: Node,
    method: &str,
    path: &str,
    body: &str,
    limit: Duration,
) -> Result<String> {
    let address: SocketAddr = format!("{}:{PORT}", node.address())
        .parse()
        .context("make up the address")?;
    let mut stream = TcpStream::connect_timeout(&address, limit.min(Duration::from_secs(1)))
        .with_context(|| format!("connect to {node}"))?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        node.address(),
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .context("send the request")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("read the answer")?;
    parse(&answer).with_context(|| format!("{method} {path} on {node}"))
}

fn parse(answer: &[u8]) -> Result<String> {
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .context("the answer broke off")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut body = answer[end + 4..].to_vec();
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        body = unchunk(&body)?;
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().context("an odd Content-Length")?;
        if body.len() < length {
            bail!("the answer broke off");
        }
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    let code = status
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1));
    if !code.is_some_and(|code| code.len() == 3 && code.starts_with('2')) {
        bail!("{status}: {}", body.trim());
    }
    Ok(body)
}

fn unchunk(mut data: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = data
            .windows(2)
            .position(|w| w == b"\r\n")
            .context("the answer broke off")?;
        let size = std::str::from_utf8(&data[..end])
            .ok()
            .and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        let size = size.context("an odd chunk")?;
        if size == 0 {
            return Ok(whole);
        }
        let chunk = data
            .get(end + 2..end + 2 + size)
            .context("the answer broke off")?;
        whole.extend_from_slice(chunk);
        data = data
            .get(end + 2 + size + 2..)
            .context("the answer broke off")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_broke_off_is_no_answer() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Le").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc").is_err());
        assert!(parse(b"").is_err());
    }

    #[test]
    fn whole_answers_are_read_with_and_without_chunks() {
        assert_eq!(
            parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap(),
            "abc"
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), "abcde");
    }

    #[test]
    fn only_2xx_is_success() {
        for line in [
            "HTTP/1.1 503 Service Unavailable",
            "HTTP/1.1 302 Found",
            "HTTP/1.1",
            "2 2",
        ] {
            assert!(
                parse(format!("{line}\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_err(),
                "{line}"
            );
        }
    }
}
