//! k8sd, asked over its control socket. `GET /core/1.0` is answered from the node's own state
//! (microcluster, internal/rest/resources/api_1.0.go), 0.15 s whatever the other members do, and says
//! whether the database is open.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What an answer may be at most.
const LARGEST: u64 = 1 << 16;

/// By HTTP/1.0 the answer ends with the connection and comes in one piece.
const REQUEST: &[u8] = b"GET /core/1.0 HTTP/1.0\r\nHost: control.socket\r\n\r\n";

#[derive(Deserialize)]
struct Answer {
    metadata: Option<Server>,
}

#[derive(Deserialize)]
struct Server {
    ready: Option<bool>,
}

/// Asks whoever listens on `socket`.
///
/// # Errors
/// Why there was no answer within the time, or what it was instead.
pub(super) fn ask(socket: &Path, within: Duration) -> Result<(), String> {
    let answer = super::ask(within, async {
        let mut stream = super::connect(socket).await?;
        let lost = |error: std::io::Error| format!("speaking on {}: {error}", socket.display());
        stream.write_all(REQUEST).await.map_err(lost)?;
        let mut answer = Vec::new();
        stream
            .take(LARGEST)
            .read_to_end(&mut answer)
            .await
            .map_err(lost)?;
        Ok(answer)
    })?;
    understand(&String::from_utf8_lossy(&answer))
}

fn understand(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some(version), Some("200")) if version.starts_with("HTTP/1.") => {}
        (Some(version), Some(_)) if version.starts_with("HTTP/1.") => {
            return Err(format!("it answered {line:?}"));
        }
        _ => return Err("what it answered is not HTTP".into()),
    }
    match serde_json::from_str::<Answer>(body) {
        Ok(Answer {
            metadata: Some(Server { ready: Some(false) }),
        }) => Err("its database is not open yet".into()),
        // An older k8sd says less; that it answers is what counts.
        Ok(_) => Ok(()),
        Err(error) => Err(format!("its answer cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::understand;

    #[test]
    fn k8sd_is_there_when_it_answers_and_its_database_is_open() {
        let ok = |body: &str| understand(&format!("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{body}"));
        assert_eq!(
            ok(r#"{"type": "sync", "metadata": {"name": "haone", "ready": true}}"#),
            Ok(())
        );
        assert_eq!(ok(r#"{"metadata": {"name": "haone"}}"#), Ok(()));
        let closed = ok(r#"{"metadata": {"name": "haone", "ready": false}}"#).unwrap_err();
        assert!(closed.contains("not open"), "{closed}");
    }

    #[test]
    fn anything_else_than_success_is_no_answer() {
        for (answer, says) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nnot yet", "503"),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", "cannot be read"),
            ("", "not HTTP"),
            ("+OK ready", "not HTTP"),
        ] {
            let said = understand(answer).unwrap_err();
            assert!(said.contains(says), "{answer:?}: {said}");
        }
    }
}
