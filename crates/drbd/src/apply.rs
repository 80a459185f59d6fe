//! From events to a state, and on from there.

use crate::event::{Event, Key, ParseError, Snapshot, Target, shorten};
use crate::model::{Path, Peer, PeerVolume, Resource, State, Volume};

/// What an event did to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The state is another now.
    Changed,
    /// It is as it was.
    Unchanged,
    /// An event was lost, or did not fit: the state must be read again
    /// ([`State::stale`] is set).
    MustReread,
}

/// Reads what `drbdsetup events2 --now` prints, of either generation.
///
/// # Errors
/// On a line that is no event, and where the `exists -` at the end is missing: half a state would
/// be read as "the rest is down".
pub fn parse_events2(text: &str) -> Result<State, ParseError> {
    let mut state = State::default();
    let mut count = 0;
    for (index, line) in text.lines().enumerate() {
        count = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        let event = Event::parse(line).map_err(|error| ParseError {
            line: index + 1,
            ..error
        })?;
        if event == Event::InitialStateDone {
            return Ok(state);
        }
        state.apply(&event);
    }
    Err(ParseError {
        command: "events2",
        line: count,
        problem: "the closing `exists -` is missing",
        text: shorten(text.lines().last().unwrap_or_default()),
    })
}

impl State {
    /// Applies one event of a live `drbdsetup events2`.
    pub fn apply(&mut self, event: &Event) -> Applied {
        let applied = match event {
            Event::Exists(target, new) | Event::Create(target, new) => self.upsert(target, new),
            Event::Change(target, new) => {
                // Of an object that is new to it drbdsetup prints everything, also in a change:
                // 8.4 does so for the peer device of a connection that has just been destroyed.
                // Half of an object that is new to us means that something was lost.
                if self.knows(target) || is_whole(target, new) {
                    self.upsert(target, new)
                } else {
                    Applied::MustReread
                }
            }
            Event::Destroy(target) => self.destroy(target),
            Event::Rename { from, to } => match self.resource_mut(from) {
                Some(resource) => {
                    resource.name.clone_from(to);
                    Applied::Changed
                }
                None => Applied::MustReread,
            },
            Event::Skipped(_) => Applied::MustReread,
            Event::Call { .. }
            | Event::Response { .. }
            | Event::InitialStateDone
            | Event::Unrecognised(_) => Applied::Unchanged,
        };
        self.stale |= applied == Applied::MustReread;
        applied
    }

    fn resource_mut(&mut self, name: &str) -> Option<&mut Resource> {
        self.resources
            .iter_mut()
            .find(|resource| resource.name == name)
    }

    fn knows(&self, target: &Target) -> bool {
        match target {
            Target::Resource(key) => self.resource(&key.resource).is_some(),
            Target::Device(key) => self
                .resource(&key.resource)
                .zip(key.volume)
                .is_some_and(|(resource, number)| resource.volume(number).is_some()),
            Target::Connection(key) => self.peer(key).is_some(),
            Target::PeerDevice(key) => self
                .peer(key)
                .is_some_and(|p| p.volumes.iter().any(|v| is_volume(v.number, key))),
            Target::Path(key) => self
                .peer(key)
                .is_some_and(|p| p.paths.iter().any(|path| is_path(path, key))),
        }
    }

    fn peer(&self, key: &Key) -> Option<&Peer> {
        self.resource(&key.resource)?
            .peers
            .iter()
            .find(|peer| is_peer(peer, key))
    }

    /// Creates the object where it is new, and takes over the fields that were printed.
    fn upsert(&mut self, target: &Target, new: &Snapshot) -> Applied {
        let (Target::Resource(key)
        | Target::Device(key)
        | Target::Connection(key)
        | Target::PeerDevice(key)
        | Target::Path(key)) = target;
        // An object that is new is a change, whatever its fields.
        let (resource, mut changed) = entry(
            &mut self.resources,
            |resource| resource.name == key.resource,
            || Resource {
                name: key.resource.clone(),
                ..Resource::default()
            },
        );
        changed |= match target {
            Target::Resource(_) => resource.update(new),
            Target::Device(key) => {
                let Some(number) = key.volume else {
                    return Applied::MustReread;
                };
                let (volume, created) = entry(
                    &mut resource.volumes,
                    |volume| volume.number == number,
                    || Volume {
                        number,
                        minor: u32::MAX,
                        ..Volume::default()
                    },
                );
                created | volume.update(key, new)
            }
            Target::Connection(key) => {
                let (peer, created) = peer_entry(resource, key);
                created | peer.update(new)
            }
            Target::PeerDevice(key) => {
                let Some(number) = key.volume else {
                    return Applied::MustReread;
                };
                let (peer, new_peer) = peer_entry(resource, key);
                let (volume, created) = entry(
                    &mut peer.volumes,
                    |volume| volume.number == number,
                    || PeerVolume {
                        number,
                        ..PeerVolume::default()
                    },
                );
                new_peer | created | volume.update(new)
            }
            Target::Path(key) => {
                let (peer, new_peer) = peer_entry(resource, key);
                let (path, created) = entry(
                    &mut peer.paths,
                    |path| is_path(path, key),
                    || Path {
                        local: key.local.clone().unwrap_or_default(),
                        peer: key.peer.clone().unwrap_or_default(),
                        established: false,
                    },
                );
                new_peer | created | set(&mut path.established, new.established.as_ref())
            }
        };
        if changed {
            Applied::Changed
        } else {
            Applied::Unchanged
        }
    }

    fn destroy(&mut self, target: &Target) -> Applied {
        // An end of what was never reported changes nothing: it is not there.
        if !self.knows(target) {
            return Applied::Unchanged;
        }
        match target {
            Target::Resource(key) => self.resources.retain(|r| r.name != key.resource),
            Target::Device(key) => {
                if let Some(resource) = self.resource_mut(&key.resource) {
                    resource
                        .volumes
                        .retain(|volume| !is_volume(volume.number, key));
                }
            }
            Target::Connection(key) => {
                if let Some(resource) = self.resource_mut(&key.resource) {
                    resource.peers.retain(|peer| !is_peer(peer, key));
                }
            }
            Target::PeerDevice(key) => {
                for peer in self.peers_mut(key) {
                    peer.volumes.retain(|volume| !is_volume(volume.number, key));
                }
            }
            Target::Path(key) => {
                for peer in self.peers_mut(key) {
                    peer.paths.retain(|path| !is_path(path, key));
                }
            }
        }
        Applied::Changed
    }

    fn peers_mut<'a>(&'a mut self, key: &'a Key) -> impl Iterator<Item = &'a mut Peer> {
        self.resource_mut(&key.resource)
            .into_iter()
            .flat_map(|resource| &mut resource.peers)
            .filter(|peer| is_peer(peer, key))
    }
}

/// Whether an event says all that makes up an object's state.
fn is_whole(target: &Target, new: &Snapshot) -> bool {
    match target {
        Target::Resource(_) => new.role.is_some() && new.suspended.is_some(),
        Target::Device(key) => new.disk.is_some() && key.minor.is_some(),
        Target::Connection(_) => new.connection.is_some() && new.role.is_some(),
        Target::PeerDevice(_) => new.replication.is_some() && new.peer_disk.is_some(),
        Target::Path(_) => new.established.is_some(),
    }
}

fn peer_entry<'a>(resource: &'a mut Resource, key: &Key) -> (&'a mut Peer, bool) {
    entry(
        &mut resource.peers,
        |peer| is_peer(peer, key),
        || Peer {
            // 8.4 leaves its constant name out while the connection has no addresses.
            name: key.conn_name.clone().unwrap_or_else(|| "peer".to_owned()),
            node_id: key.peer_node_id.unwrap_or_default(),
            ..Peer::default()
        },
    )
}

/// By node id, which is what DRBD 9 goes by (a connection can be renamed) and what 8.4 has as a
/// constant; by name where there is no id.
fn is_peer(peer: &Peer, key: &Key) -> bool {
    match (key.peer_node_id, &key.conn_name) {
        (Some(id), _) => peer.node_id == id,
        (None, Some(name)) => peer.name == *name,
        (None, None) => false,
    }
}

fn is_volume(number: u32, key: &Key) -> bool {
    key.volume == Some(number)
}

fn is_path(path: &Path, key: &Key) -> bool {
    key.local.as_deref().unwrap_or_default() == path.local
        && key.peer.as_deref().unwrap_or_default() == path.peer
}

/// The element that fits, or a new one, and whether it is new.
fn entry<T>(
    list: &mut Vec<T>,
    fits: impl Fn(&T) -> bool,
    new: impl FnOnce() -> T,
) -> (&mut T, bool) {
    let found = list.iter().position(fits);
    let index = found.unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    (&mut list[index], found.is_none())
}

/// Takes over what was printed; says whether that changed anything.
fn set<T: Clone + PartialEq>(field: &mut T, new: Option<&T>) -> bool {
    match new {
        Some(new) if *new != *field => {
            *field = new.clone();
            true
        }
        _ => false,
    }
}

/// The same for a field that is `None` until it is printed.
fn fill<T: Clone + PartialEq>(field: &mut Option<T>, new: Option<&T>) -> bool {
    match new {
        Some(new) if field.as_ref() != Some(new) => {
            *field = Some(new.clone());
            true
        }
        _ => false,
    }
}

impl Resource {
    fn update(&mut self, new: &Snapshot) -> bool {
        let mut changed = set(&mut self.role, new.role.as_ref());
        if let Some(by) = new.suspended {
            changed |= set(&mut self.suspended_by, Some(&by));
            changed |= set(&mut self.suspended, Some(&by.any()));
        }
        changed |= fill(&mut self.may_promote, new.may_promote.as_ref());
        changed |= fill(&mut self.promotion_score, new.promotion_score.as_ref());
        changed
    }
}

impl Volume {
    fn update(&mut self, key: &Key, new: &Snapshot) -> bool {
        let mut changed = set(&mut self.minor, key.minor.as_ref());
        changed |= set(&mut self.disk, new.disk.as_ref());
        changed |= fill(&mut self.size_kib, new.size_kib.as_ref());
        changed |= set(&mut self.backing_dev, new.backing_dev.as_ref());
        changed |= fill(&mut self.client, new.client.as_ref());
        changed |= fill(&mut self.open, new.open.as_ref());
        changed |= fill(&mut self.quorum, new.quorum.as_ref());
        changed
    }
}

impl Peer {
    fn update(&mut self, new: &Snapshot) -> bool {
        let mut changed = set(&mut self.connection, new.connection.as_ref());
        changed |= set(&mut self.role, new.role.as_ref());
        changed |= fill(&mut self.congested, new.congested.as_ref());
        changed
    }
}

impl PeerVolume {
    fn update(&mut self, new: &Snapshot) -> bool {
        let mut changed = set(&mut self.replication, new.replication.as_ref());
        changed |= set(&mut self.peer_disk, new.peer_disk.as_ref());
        changed |= fill(&mut self.peer_client, new.peer_client.as_ref());
        changed |= set(&mut self.resync_suspended, new.resync_suspended.as_ref());
        let out_of_sync = new.out_of_sync_kib.or(new.statistics.then_some(0));
        changed |= fill(&mut self.out_of_sync_kib, out_of_sync.as_ref());
        if self.replication.is_resync() {
            changed |= fill(&mut self.resync_done, new.resync_done.as_ref());
        } else {
            // The last percentage of a resync that is over says nothing any more.
            changed |= self.resync_done.take().is_some();
        }
        changed
    }
}
