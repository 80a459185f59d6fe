//! `drbdsetup status --verbose [--statistics]`, of either generation: what a person, and the lab,
//! keeps of a node. 8.4 has no `--json`.
//!
//! Its fields are those of `events2`; which object they belong to follows from the indentation:
//!
//! ```text
//! r0 role:Primary suspended:no                     a resource
//!     write-ordering:flush                         … wrapped
//!   volume:0 minor:0 disk:UpToDate                 a volume here
//!       size:196564 read:5909 …                    … wrapped
//!   peer connection:Connected role:Secondary …     a connection
//!     volume:0 replication:Established …           a volume across it
//!         received:290 sent:950 …                  … wrapped
//!                                                  the end of the resource
//! ```

use crate::event::{Event, Fields, Key, ParseError, Target, shorten};
use crate::{Applied, State};

/// Reads what `drbdsetup status --verbose` prints, with or without `--statistics`.
///
/// That a whole resource is missing at the end cannot be seen in it: [`crate::query`] goes by
/// `events2`, which has an end.
///
/// # Errors
/// On anything else: without `--verbose` it leaves out what it thinks is well, and that cannot be
/// told from what is not known. And where the empty line at a resource's end is missing.
pub fn parse_status(text: &str) -> Result<State, ParseError> {
    let mut reader = Reader::default();
    let mut last = (1, "");
    for (index, line) in text.lines().enumerate() {
        let error = |problem| ParseError {
            command: "status",
            line: index + 1,
            problem,
            text: shorten(line),
        };
        reader.line(line).map_err(error)?;
        last = (index + 1, line);
    }
    match reader.object {
        None => Ok(reader.state),
        Some(_) => Err(ParseError {
            command: "status",
            line: last.0,
            problem: "the empty line at the end of the resource is missing",
            text: shorten(last.1),
        }),
    }
}

#[derive(Default)]
struct Reader<'a> {
    state: State,
    /// The resource that is being read.
    resource: Key,
    /// The connection of it.
    connection: Option<Key>,
    /// The object whose fields are being read, and those so far. Its lines may be wrapped.
    object: Option<(Kind, Vec<&'a str>)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Resource,
    Volume,
    Connection,
    PeerVolume,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), &'static str> {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else {
            return self.finish();
        };
        // `# No currently configured DRBD found.`
        if indent == 0 && first == "#" {
            return Ok(());
        }
        let numbered = first.starts_with("volume:");
        let kind = match (indent, numbered) {
            (0, _) => Kind::Resource,
            (2, true) => Kind::Volume,
            (2, false) if first.starts_with("disk:") => return Err("no volume number"),
            (2, false) => Kind::Connection,
            (4, true) => Kind::PeerVolume,
            _ => {
                let (_, fields) = self.object.as_mut().ok_or("fields of nothing")?;
                fields.push(first);
                fields.extend(words);
                return Ok(());
            }
        };
        let mut fields = Vec::new();
        match kind {
            Kind::Resource => {
                if self.object.is_some() {
                    return Err("no empty line before this resource");
                }
                self.resource = Key {
                    resource: first.to_owned(),
                    ..Key::default()
                };
                self.connection = None;
            }
            Kind::Connection => {
                self.finish()?;
                // A connection of 9 may have no name.
                let name = (!first.starts_with("node-id:")).then(|| first.to_owned());
                if name.is_none() {
                    fields.push(first);
                }
                self.connection = Some(Key {
                    conn_name: name,
                    ..self.resource.clone()
                });
            }
            Kind::Volume | Kind::PeerVolume => {
                self.finish()?;
                fields.push(first);
            }
        }
        if self.resource.resource.is_empty() {
            return Err("no resource before it");
        }
        fields.extend(words);
        self.object = Some((kind, fields));
        Ok(())
    }

    /// The object is read whole: over to the state, as if `events2` had printed it.
    fn finish(&mut self) -> Result<(), &'static str> {
        let Some((kind, words)) = self.object.take() else {
            return Ok(());
        };
        let fields = Fields::read(words.into_iter())?;
        let snapshot = fields.snapshot()?;
        let missing = |is_there: bool, problem| if is_there { Ok(()) } else { Err(problem) };
        let target = match kind {
            Kind::Resource => {
                missing(snapshot.role.is_some(), "no role")?;
                missing(snapshot.suspended.is_some(), NOT_VERBOSE)?;
                Target::Resource(self.resource.clone())
            }
            Kind::Volume => {
                missing(snapshot.disk.is_some(), "no disk state")?;
                let minor = fields.number("minor")?;
                missing(minor.is_some(), NOT_VERBOSE)?;
                Target::Device(Key {
                    volume: fields.number("volume")?,
                    minor,
                    ..self.resource.clone()
                })
            }
            Kind::Connection => {
                missing(snapshot.connection.is_some(), NOT_VERBOSE)?;
                missing(snapshot.role.is_some(), NOT_VERBOSE)?;
                let key = self.connection.as_mut().ok_or("no connection")?;
                // 8.4 has no ids; its events2 says 0.
                key.peer_node_id = Some(fields.number("node-id")?.unwrap_or(0));
                Target::Connection(key.clone())
            }
            Kind::PeerVolume => {
                missing(snapshot.peer_disk.is_some(), "no disk state of the peer")?;
                missing(snapshot.replication.is_some(), NOT_VERBOSE)?;
                let key = self.connection.clone().ok_or("no connection before it")?;
                Target::PeerDevice(Key {
                    volume: fields.number("volume")?,
                    ..key
                })
            }
        };
        match self.state.apply(&Event::Exists(target, snapshot)) {
            Applied::Changed | Applied::Unchanged => Ok(()),
            Applied::MustReread => Err("no volume number"),
        }
    }
}

const NOT_VERBOSE: &str = "a field is missing that --verbose prints";
