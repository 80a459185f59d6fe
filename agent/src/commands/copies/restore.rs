//! `two-node-ha copies restore`
//!
//! What DRBD makes of the restored data when it meets the other node's is decided by the
//! generation identifiers in the meta-data (`drbd_uuid_compare`, `drbd_sync_handshake`,
//! drbd_receiver.c). The restored ones are older: left alone, the restored side would become the
//! target again; or, where the common ancestor has left the history, which has two places on 8.4,
//! both would be taken for unrelated and drop the connection. `invalidate` on the other node does
//! not help against the latter, which is looked at first. Fresh meta-data there does, on 8.4 and 9
//! alike: an identifier that was only just created makes its side the target of a full sync of any
//! other that has data. It is what DRBD's manual has one do after a disk was replaced.

use two_node_ha_command::System;
use two_node_ha_config::Config;
use two_node_ha_copies::{Copy, Limits, Restored, Target, Why, holders};
use two_node_ha_drbd::{DiskState, query};

use super::Place;
use super::progress::Bar;

/// What matters of the resource here.
pub struct Drbd {
    /// Whether it is primary.
    pub primary: bool,
    /// Whether it has its disk.
    pub attached: bool,
}

/// The resource on this node; `None` when it is down.
pub fn state(place: &Place) -> Result<Option<Drbd>, String> {
    let system = System::rooted(place.paths.at("/".as_ref()));
    let state = query::now(&system).map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })?;
    let name = place.copies.resource();
    let resource = state
        .resources
        .iter()
        .find(|resource| resource.name == name);
    Ok(resource.map(|resource| Drbd {
        primary: resource.is_primary(),
        attached: resource
            .volumes
            .iter()
            .any(|volume| volume.disk != DiskState::Diskless),
    }))
}

/// Puts a copy back, and says what comes next.
pub fn run(place: &Place, name: &str, yes: bool, keep: bool) -> Result<String, String> {
    let copy = place.copy(name)?;
    let resource = place.copies.resource();
    if state(place)?.is_some_and(|drbd| drbd.attached) {
        return Err(format!(
            "{resource} is up on this node and has its disk; stop Pacemaker on both nodes, and \
             `drbdadm down {resource}` here if it is still up; two-node-ha-copies(8) has the whole \
             procedure"
        ));
    }
    let backing = place.copies.backing();
    let loops = place.loops(backing)?;
    let mut paths = vec![backing];
    paths.extend(loops.iter().map(|path| path.as_path()));
    if let Some(holder) = holders(&paths).first() {
        return Err(format!(
            "{} is open in {} (process {})",
            backing.display(),
            holder.name,
            holder.pid
        ));
    }
    if !yes {
        return Err(format!(
            "this would replace the data of {resource} on this node by {name}, of {}; the other \
             node's newer data is lost when it is made to follow. With --yes it is done",
            copy.record.made
        ));
    }
    // Held to the end: neither DRBD nor a mount can come between.
    let target = Target::claim(backing, &loops).map_err(|error| error.to_string())?;
    let kept = if keep {
        let mut bar = Bar::new("keeping what is there now");
        let kept = place
            .copies
            .make(Why::BeforeRestore, Limits::default(), &mut bar);
        drop(bar);
        let kept = kept.map_err(|refused| {
            format!(
                "nothing was changed: what is there now cannot be kept: {refused}. `two-node-ha \
                 copies drop` makes room; --no-copy does without"
            )
        })?;
        Some(kept)
    } else {
        None
    };
    let mut bar = Bar::new("restoring");
    let restored = place.copies.restore(&copy, &target, &mut bar);
    drop(bar);
    drop(target);
    let restored = restored.map_err(|error| {
        format!("{error}; DRBD does not attach what is half restored: begin anew")
    })?;
    Ok(done(&place.config, &copy, kept.as_ref(), restored))
}

fn done(config: &Config, copy: &Copy, kept: Option<&Copy>, restored: Restored) -> String {
    let resource = &config.volume.resource;
    let this = config.this_node().map_or("this node", |node| &node.name);
    let other = config
        .peer_node()
        .map_or("the other node", |node| &node.name);
    let kept = kept.map_or_else(String::new, |kept| {
        format!("What was there is in {}.\n", kept.name)
    });
    let force = if copy.record.consistent == Some(true) {
        String::new()
    } else {
        format!(
            "{this}:  drbdadm primary --force {resource} && drbdadm secondary {resource}\n        \
             (DRBD did not call this data whole, and would not take it as a source)\n"
        )
    };
    format!(
        "{} is restored: {} of {} bytes differed, all were compared.\n{kept}\nThe other node's \
         data is newer in DRBD's eyes: if they connect now, it overwrites what was\nrestored. So, \
         with Pacemaker stopped on both nodes:\n\n\
         {other}:  two-node-ha copies make\n        \
         (what is lost there otherwise)\n\
         {other}:  drbdadm down {resource}; drbdadm create-md --force {resource}\n        \
         (forgets that it has newer data)\n\
         {this}:  drbdadm up {resource}\n\
         {force}\
         {other}:  drbdadm up {resource}\n\
         {this}:  cat /proc/drbd   or, with DRBD 9, drbdadm status {resource}\n        \
         (must say SyncSource here; if not: drbdadm disconnect {resource}, at once)\n\
         both:   when it is UpToDate/UpToDate, systemctl start pacemaker\n\n\
         The databases are then older than both nodes remember, and the agents wait: see \
         two-node-ha-copies(8).\n",
        copy.name, restored.written, restored.size,
    )
}
