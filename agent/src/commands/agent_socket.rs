//! A command's connection to the agent of this node.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use two_node_ha_protocol::control::{Request, Response};

use crate::paths::Paths;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    lines: BufReader<UnixStream>,
}

impl Connection {
    /// Connects and sends the request.
    ///
    /// # Errors
    /// When the agent does not listen: in words, with what to do.
    pub fn open(paths: &Paths, request: &Request) -> Result<Self, String> {
        let path = paths.agent_socket();
        let stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                format!("{}: {error}; run this as root", path.display())
            }
            _ => format!(
                "the agent does not listen on {}: {error}; see `systemctl status two-node-ha-k8s`",
                path.display()
            ),
        })?;
        let mut connection = Self {
            lines: BufReader::new(stream),
        };
        connection.send(request)?;
        Ok(connection)
    }

    /// Sends a further request.
    ///
    /// # Errors
    /// When the agent is gone.
    pub fn send(&mut self, request: &Request) -> Result<(), String> {
        let mut line = serde_json::to_vec(request).map_err(|error| error.to_string())?;
        line.push(b'\n');
        self.lines
            .get_mut()
            .write_all(&line)
            .map_err(|error| format!("asking the agent: {error}"))
    }

    /// The next answer; `None` when the agent has closed the connection.
    ///
    /// # Errors
    /// When what came is no answer.
    pub fn next(&mut self) -> Result<Option<Response>, String> {
        let mut line = String::new();
        let read = self
            .lines
            .read_line(&mut line)
            .map_err(|error| format!("the agent's answer: {error}"))?;
        if read == 0 {
            return Ok(None);
        }
        Response::read(&line).map(Some)
    }

    /// A second handle on the connection, for another thread to send on.
    ///
    /// # Errors
    /// What the system says.
    pub fn writer(&self) -> Result<UnixStream, String> {
        self.lines
            .get_ref()
            .try_clone()
            .map_err(|error| error.to_string())
    }

    /// The one answer to a question.
    ///
    /// # Errors
    /// When there is none, or it is a refusal.
    pub fn answer(&mut self) -> Result<Response, String> {
        match self.next()? {
            None => {
                Err("the agent ended without an answer; see `journalctl -u two-node-ha-k8s`".into())
            }
            Some(Response::Refused { reason }) => Err(reason),
            Some(response) => Ok(response),
        }
    }
}
