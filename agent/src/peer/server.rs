//! Answering the peer. The requests arrive on a socket that only the forced command's account may
//! open; `two-node-ha peer serve` does nothing but carry bytes to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use two_node_ha_planner::Database;
use two_node_ha_planner::record::Astray;
use two_node_ha_planner::report::hex;
use two_node_ha_protocol::peer::{BundleFile, LONGEST_LINE, Request, Response};

/// What the agent answers with.
pub trait Agent {
    /// An answer to anything but a bundle.
    fn answer(&self, request: Request) -> Response;
    /// The files of the bundle of `epoch`, each with the name it travels under, if this node has
    /// it and is its voter.
    ///
    /// # Errors
    /// Why not, in words.
    fn bundle(&self, epoch: u64) -> Result<Vec<(Database, String, PathBuf)>, String>;
    /// What had been written off the volume that is mounted here, and is the base of its epoch.
    fn astray(&self) -> BTreeMap<Database, Astray>;
    /// raft's files of a database that is stopped here.
    ///
    /// # Errors
    /// Why not, in words.
    fn log(&self, database: Database) -> Result<Vec<(Database, String, PathBuf)>, String>;
}

/// Serves one connection: one request, one response.
///
/// # Errors
/// What the socket says.
pub fn serve(stream: UnixStream, agent: &dyn Agent) -> io::Result<()> {
    // A peer that connects and says nothing must not hold a thread for ever.
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut line = String::new();
    BufReader::new(&stream)
        .take(LONGEST_LINE)
        .read_line(&mut line)?;
    let mut out = io::BufWriter::new(&stream);
    match Request::read(&line) {
        Err(reason) => respond(&mut out, &Response::Refused { reason })?,
        Ok(Request::Bundle { epoch, .. }) => {
            send(&mut out, (epoch, agent.astray()), agent.bundle(epoch))?;
        }
        // The number of an epoch means nothing here.
        Ok(Request::Log { database, .. }) => {
            send(&mut out, (0, BTreeMap::new()), agent.log(database))?;
        }
        Ok(request) => respond(&mut out, &agent.answer(request))?,
    }
    out.flush()
}

/// Announces files, and sends them.
fn send(
    out: &mut impl Write,
    (epoch, astray): (u64, BTreeMap<Database, Astray>),
    files: Result<Vec<(Database, String, PathBuf)>, String>,
) -> io::Result<()> {
    match files.and_then(open) {
        Err(reason) => respond(out, &Response::Refused { reason }),
        Ok(opened) => {
            let files = opened.iter().map(|(file, _)| file.clone()).collect();
            let announced = Response::Bundle {
                epoch,
                files,
                astray,
            };
            respond(out, &announced)?;
            for (file, content) in opened {
                io::copy(&mut content.take(file.length), out)?;
            }
            Ok(())
        }
    }
}

fn respond(out: &mut impl Write, response: &Response) -> io::Result<()> {
    serde_json::to_writer(&mut *out, response)?;
    out.write_all(b"\n")
}

/// Opens the files of a bundle and measures them.
fn open(bundle: Vec<(Database, String, PathBuf)>) -> Result<Vec<(BundleFile, File)>, String> {
    bundle
        .into_iter()
        .map(|(database, name, path)| {
            let measured = || -> io::Result<_> {
                let mut file = File::open(&path)?;
                let mut digest = Sha256::new();
                let length = io::copy(&mut file, &mut digest)?;
                file.rewind()?;
                Ok((length, hex(&digest.finalize()), file))
            };
            let (length, sha256, file) =
                measured().map_err(|error| format!("reading {}: {error}", path.display()))?;
            Ok((
                BundleFile {
                    database,
                    name,
                    length,
                    sha256,
                },
                file,
            ))
        })
        .collect()
}
