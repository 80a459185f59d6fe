//! Taking a database over in raft's own files, and what a spare is made from then.
//!
//! What `k8sd cluster-recover` does beyond raft's part belongs to a change of addresses, or packs what
//! the peer needs: a spare has no log, and its members and trust store are all that changes for it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use two_node_ha_config::Config;
use two_node_ha_disk::{self as disk, atomic};
use two_node_ha_dqlite::recovery::{Plan, apply, sole_voter};
use two_node_ha_dqlite::{NodeInfo, format_cluster, parse_cluster, wait_for_leader};
use two_node_ha_node::Paths;
use two_node_ha_node::database::{TRUST_STORE, raft_directory};
use two_node_ha_planner::Database;

use super::identity::replace_cluster;
use super::{Actor, Error, Progress};

/// The members, as they are sent to a spare, and where its own are.
const MEMBERS: &str = "cluster.yaml";
/// What the trust store's files travel under: names have no directories.
const TRUSTED: &str = "truststore.";

impl Actor {
    /// One entry in raft's log, and the members that are `kept`. Nothing is changed of a log on which
    /// dqlite would not start, or not with all that is in it.
    pub(super) fn take_over_natively(
        &self,
        database: Database,
        kept: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        progress(&format!("taking {database} over"));
        let volume = self.paths.on_volume(&self.config, database);
        let raft = raft_directory(database, &volume);
        let plan = Plan::of(&raft)?;
        // Not by cluster.yaml, which is a cache, and stale after a handover.
        let members = sole_voter(&plan.configuration, &self.identity(database)?)?;
        self.clear_the_way(database)?;
        let by_raft: Vec<NodeInfo> = members.iter().map(NodeInfo::from).collect();
        self.install_identity(database, &by_raft)?;
        let applied = apply(&plan, &members)?;
        let bundle = kept.parent().unwrap_or(Path::new("/"));
        disk::private_directory(bundle).map_err(Error::io("creating", bundle))?;
        atomic::replace(kept, format_cluster(&by_raft).as_bytes())
            .map_err(Error::io("writing", kept))?;
        tracing::info!(
            database = database.name(),
            closed = applied.closed,
            removed = applied.removed,
            index = applied.added.map(|added| added.index),
            term = plan.term,
            ms = began.elapsed().as_millis() as u64,
            "the log of {database}, which ends at index {}, names {} as its only voter",
            applied.added.map_or(plan.last.index, |added| added.index),
            self.node.name
        );
        Ok(())
    }

    /// Makes a raft directory in which this node waits for the voter: the members, and no log.
    pub(super) fn without_a_log(
        &self,
        database: Database,
        bundle: &Path,
        raft: &Path,
        me: &NodeInfo,
    ) -> Result<(), Error> {
        let from = bundle.join(format!("{database}.{MEMBERS}"));
        let text = std::fs::read_to_string(&from).map_err(Error::io("reading", &from))?;
        let members = parse_cluster(&text).map_err(|error| {
            Error::Unfit(format!(
                "the members of {database} that {} has sent make no sense: {error}",
                self.peer.name
            ))
        })?;
        let Some(mine) = members.iter().find(|member| member.id == me.id) else {
            return Err(Error::Unfit(format!(
                "{} is no member of {database} on {} (ID {}, {}); it must be joined to the cluster again",
                self.node.name, self.peer.name, me.id, me.address
            )));
        };
        if mine.address != me.address {
            tracing::warn!(
                database = database.name(),
                "{} listens on {} for {database}, and {} has it as {}",
                self.node.name,
                me.address,
                self.peer.name,
                mine.address
            );
        }
        replace_cluster(raft, &members)?;
        // A founder's identity in an empty directory would found a new cluster.
        wait_for_leader(raft).map_err(Error::io("writing raft's metadata to", raft))
    }

    /// Makes the trust store the one that the voter has, if it has sent one.
    pub(super) fn take_trust_store(
        &self,
        database: Database,
        bundle: &Path,
        state: &Path,
    ) -> Result<(), Error> {
        let prefix = format!("{database}.{TRUSTED}");
        let entries = std::fs::read_dir(bundle).map_err(Error::io("reading", bundle))?;
        let mut sent = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("reading", bundle))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_prefix(&prefix) {
                sent.push((name.to_owned(), entry.path()));
            }
        }
        if sent.is_empty() {
            return Ok(());
        }
        let store = state.join(TRUST_STORE);
        disk::tree::remove_if_there(&store).map_err(Error::io("removing", &store))?;
        disk::private_directory(&store).map_err(Error::io("creating", &store))?;
        for (name, from) in sent {
            let content = std::fs::read(&from).map_err(Error::io("reading", &from))?;
            let to = store.join(name);
            atomic::replace(&to, &content).map_err(Error::io("writing", &to))?;
        }
        Ok(())
    }
}

/// What a spare of this database is made from beside its own files and the cluster's certificate, with
/// the names that they travel under. They are read from the running voter's directory, where go-dqlite
/// replaces `cluster.yaml` in one rename (`app/files.go`, `client/store.go`).
///
/// # Errors
/// Why this node cannot give them.
pub fn for_a_spare(
    paths: &Paths,
    config: &Config,
    database: Database,
) -> Result<Vec<(String, PathBuf)>, String> {
    let volume = paths.on_volume(config, database);
    let members = raft_directory(database, &volume).join(MEMBERS);
    if !members.exists() {
        return Err(format!("there is no {}", members.display()));
    }
    let mut files = vec![(MEMBERS.to_owned(), members)];
    let store = volume.join(TRUST_STORE);
    let reading = |error: io::Error| format!("reading {}: {error}", store.display());
    match std::fs::read_dir(&store) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(reading)?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.ends_with(".yaml") && path.is_file() {
                    files.push((format!("{TRUSTED}{name}"), path));
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(reading(error)),
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;

    use two_node_ha_dqlite::{
        EntryType, Role, Server, Verdict, assess, encode_batch, encode_configuration, read_cluster,
        read_info, scan, write_info,
    };
    use two_node_ha_planner::Step;
    use two_node_ha_planner::record::Phase;

    use crate::act::tests::{NOTHING, Node, contents, names};
    use crate::store::{recovered, takeover_copy};

    const PEER: u64 = two_node_ha_dqlite::BOOTSTRAP_ID;

    fn peer() -> NodeInfo {
        NodeInfo {
            id: PEER,
            address: "10.0.0.2:9000".into(),
            role: Role::Voter,
        }
    }

    /// A log of one entry, by which the peer is the voter and these are the members.
    fn log(raft: &Path, members: &[&NodeInfo]) {
        let servers: Vec<Server> = members
            .iter()
            .map(|member| Server {
                id: member.id,
                address: member.address.clone(),
                role: if member.id == PEER {
                    Role::Voter
                } else {
                    Role::Spare
                },
            })
            .collect();
        let mut segment = 1_u64.to_le_bytes().to_vec();
        segment.extend(encode_batch(&[(
            1,
            EntryType::Change,
            &encode_configuration(&servers),
        )]));
        fs::write(raft.join("0000000000000001-0000000000000001"), segment).unwrap();
        write_info(raft, &peer()).unwrap();
    }

    /// haone, in the middle of taking hatwo's volume over, and who it is in the database.
    fn taking_over(database: Database) -> (Node, NodeInfo, PathBuf) {
        let node = Node::taking_over();
        let me = node.actor.identity(database).unwrap();
        let raft = raft_directory(database, &node.volume(database));
        // The copy that go-dqlite keeps of the members is older than the log.
        two_node_ha_dqlite::write_cluster(&raft, &[peer()]).unwrap();
        log(&raft, &[&peer(), &me]);
        (node, me, raft)
    }

    fn kept(node: &Node, database: Database) -> PathBuf {
        recovered::members(&node.actor.paths, &node.actor.config, 2, database)
    }

    #[test]
    fn a_native_recovery_makes_this_node_the_only_voter_by_raft_and_by_its_files_and_calls_nobody()
    {
        for database in Database::ALL {
            let (mut node, me, raft) = taking_over(database);
            let step = Step::Recover(database);
            node.actor.take(&step, &mut |_| {}).unwrap();
            let report = assess(&scan(&raft).unwrap());
            assert!(matches!(report.verdict, Verdict::Sound), "{report:?}");
            let roles = |id: u64, role: Role| (id, role);
            let by_raft: Vec<_> = report
                .configuration
                .iter()
                .map(|s| (s.id, s.role))
                .collect();
            let wanted = [roles(PEER, Role::Spare), roles(me.id, Role::Voter)];
            assert_eq!(by_raft, wanted);
            assert_eq!((report.last_term, report.last_index), (1, 2));
            let members = read_cluster(&raft).unwrap().unwrap();
            let by_file: Vec<_> = members.iter().map(|m| (m.id, m.role)).collect();
            assert_eq!(by_file, wanted);
            let info = read_info(&raft).unwrap().unwrap();
            assert_eq!((info.id, info.role), (me.id, Role::Voter));
            assert_eq!(node.recorded().phase(database), Phase::Done);
            assert!(kept(&node, database).exists());
            // The copy from before has what was there.
            let (paths, config) = (&node.actor.paths, &node.actor.config);
            let copy = takeover_copy::copy(paths, config, 2, database);
            let before = assess(&scan(&raft_directory(database, &copy)).unwrap());
            assert_eq!(before.last_index, 1);
        }
    }

    #[test]
    fn a_log_that_names_another_cluster_or_is_damaged_is_not_taken_over_and_stays_as_it_is() {
        for database in Database::ALL {
            for (damaged, why) in [
                (false, "is no member of this cluster"),
                (true, "there is nothing to repair"),
            ] {
                let (mut node, _me, raft) = taking_over(database);
                if damaged {
                    fs::write(raft.join("0000000000000001-0000000000000001"), "no segment")
                        .unwrap();
                } else {
                    log(&raft, &[&peer()]);
                }
                let before = contents(&node.volume(database));
                let step = Step::Recover(database);
                let error = node.actor.take(&step, &mut |_| {}).unwrap_err();
                assert!(error.to_string().contains(why), "{error}");
                assert!(!error.is_of_the_peer() && !error.is_interruption());
                assert_eq!(contents(&node.volume(database)), before);
                assert_eq!(node.recorded().phase(database), Phase::Pending);
                assert!(!kept(&node, database).exists());
            }
        }
    }

    /// What a peer that took over natively gives for one database.
    fn bundle(database: Database, members: &[NodeInfo]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let name = |of: &str| dir.path().join(format!("{database}.{of}"));
        fs::write(name("cluster.yaml"), format_cluster(members)).unwrap();
        dir
    }

    fn spare_of(node: &Node, database: Database, bundle: &Path) -> Result<PathBuf, Error> {
        let spare = node.spare(database);
        let raft = raft_directory(database, &spare);
        for (_, path) in crate::act::logs::raft_files(&raft).unwrap() {
            fs::remove_file(path).unwrap();
        }
        let me = node.actor.identity(database)?;
        node.actor.without_a_log(database, bundle, &raft, &me)?;
        node.actor.take_trust_store(database, bundle, &spare)?;
        Ok(raft)
    }

    #[test]
    fn a_spare_without_a_log_has_the_voters_members_and_may_be_started_whoever_founded_the_cluster()
    {
        for database in Database::ALL {
            for founder in [false, true] {
                let node = Node::new(NOTHING);
                let raft = raft_directory(database, &node.spare(database));
                let me = NodeInfo {
                    id: if founder { PEER } else { 7 },
                    role: Role::Spare,
                    ..peer()
                };
                write_info(&raft, &me).unwrap();
                let voter = NodeInfo {
                    id: 9,
                    address: "10.0.0.1:9000".into(),
                    role: Role::Voter,
                };
                let members = [voter, me];
                let sent = bundle(database, &members);
                let raft = spare_of(&node, database, sent.path()).unwrap();
                assert_eq!(read_cluster(&raft).unwrap().unwrap(), members);
                let found = two_node_ha_dqlite::inspect(&raft).unwrap();
                assert_eq!(two_node_ha_dqlite::identity_trap(&found), None);
                assert!(found.has_raft_state() && !found.has_data());
                let report = assess(&scan(&raft).unwrap());
                assert!(matches!(report.verdict, Verdict::Sound), "{report:?}");
            }
        }
    }

    #[test]
    fn no_spare_is_made_of_members_that_make_no_sense_or_of_whom_this_node_is_none() {
        let node = Node::new(NOTHING);
        let database = Database::K8sDqlite;
        let stranger = bundle(database, &[peer()]);
        let error = spare_of(&node, database, stranger.path()).unwrap_err();
        let why = error.to_string();
        assert!(why.contains("must be joined to the cluster again"), "{why}");
        fs::write(
            stranger.path().join("k8s-dqlite.cluster.yaml"),
            "- Address: [",
        )
        .unwrap();
        let error = spare_of(&node, database, stranger.path()).unwrap_err();
        assert!(error.to_string().contains("make no sense"), "{error}");
    }

    #[test]
    fn the_trust_store_becomes_the_voters_and_stays_where_the_voter_sends_none() {
        let node = Node::new(NOTHING);
        let state = node.spare(Database::K8sd);
        let store = state.join(TRUST_STORE);
        fs::create_dir(&store).unwrap();
        fs::write(store.join("gone.yaml"), "a member of before").unwrap();
        let sent = tempfile::tempdir().unwrap();
        let take = || {
            let taken = node
                .actor
                .take_trust_store(Database::K8sd, sent.path(), &state);
            taken.unwrap();
        };
        fs::write(
            sent.path().join("k8s-dqlite.truststore.x.yaml"),
            "no business here",
        )
        .unwrap();
        take();
        assert_eq!(names(&store), ["gone.yaml"]);
        for name in ["haone", "hatwo"] {
            fs::write(
                sent.path().join(format!("k8sd.truststore.{name}.yaml")),
                name,
            )
            .unwrap();
        }
        take();
        let all: BTreeMap<_, _> = contents(&store);
        let wanted = ["haone", "hatwo"].map(|name| (format!("{name}.yaml"), name.to_owned()));
        assert_eq!(all, BTreeMap::from(wanted));
    }
}
