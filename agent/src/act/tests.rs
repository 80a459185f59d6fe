//! What the tests of single steps stand on.

use two_node_ha_command::scripted::Scripted;

pub use two_node_ha_planner::world::config;

/// DRBD 8.4 with the resource r0 in that state.
pub fn drbd(
    role: &str,
    suspended: &str,
    connection: &str,
    replication: &str,
    peer_disk: &str,
) -> Scripted {
    let events = format!(
        "exists resource name:r0 role:{role} suspended:{suspended}\n\
         exists connection name:r0 peer-node-id:0 conn-name:peer connection:{connection} role:Unknown\n\
         exists device name:r0 volume:0 minor:0 disk:UpToDate\n\
         exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 \
         replication:{replication} peer-disk:{peer_disk}\nexists -\n"
    );
    Scripted::new()
        .file("/sys/module/drbd/version", "8.4.11\n")
        .file("/proc/drbd", "version: 8.4.11 (api:1/proto:86-101)\n")
        .answer("drbdsetup events2 --now", 0, events)
}
