//! The verdict on a state directory: a pure function of what was read of it.

use crate::configuration::Server;
use crate::log::{Log, put_together};
use crate::loss::Loss;
use crate::metadata::{Metadata, MetadataFault};
use crate::node::{NodeInfo, Role};
use crate::remedy::Step;
use crate::report::{
    Note, Position, Problem, ProblemKind, Report, SegmentReport, SnapshotReport, Verdict,
};
use crate::scan::{Scan, Snapshot};
use crate::segment::Segment;
use crate::trap::{Trap, identity_trap};

/// Says what a state directory holds and what it is worth.
#[must_use]
pub fn assess(scan: &Scan) -> Report {
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    let metadata = metadata(scan, &mut problems, &mut notes);
    let (base, newest) = base(scan);
    let mut log = put_together(scan, base);
    snapshots(scan, &log, newest, &mut problems, &mut notes);
    problems.append(&mut log.problems);
    notes.append(&mut log.notes);
    behind(metadata, &log, &mut problems);
    emptiness(scan, metadata, &log, &mut problems, &mut notes);
    let (configuration, configuration_index) = configuration(&log, &mut problems);
    identity(scan, &log, &configuration, &mut problems, &mut notes);
    Report {
        verdict: verdict(scan, &problems, &log),
        last_term: log.last_term,
        last_index: log.last_index,
        metadata,
        configuration,
        configuration_index,
        snapshot: log.base.map(|base| Position {
            term: base.name.term,
            index: base.name.index,
        }),
        snapshots: scan.snapshots.iter().map(snapshot_report).collect(),
        segments: segments(scan, &log),
        problems,
        notes,
        info: scan.info.clone().and_then(Result::ok),
        cluster: scan.cluster.clone().and_then(Result::ok),
        other: scan.other.clone(),
    }
}

fn verdict(scan: &Scan, problems: &[Problem], log: &Log<'_>) -> Verdict {
    if !scan.is_dqlite() {
        return Verdict::NotDqlite;
    }
    if problems.iter().all(|problem| problem.lossless) {
        return if problems.is_empty() {
            Verdict::Sound
        } else {
            Verdict::Repairable
        };
    }
    // Where nothing says how much is lost, the next entry is.
    let next = log.last_index.saturating_add(1);
    let unknown = Loss {
        first: next,
        last: next,
    };
    let lost = problems.iter().filter_map(|problem| problem.lost);
    Verdict::Lossy(lost.reduce(Loss::with).unwrap_or(unknown))
}

/// The current term and vote (`uvMetadataLoad` of `uv_metadata.c`).
fn metadata(scan: &Scan, problems: &mut Vec<Problem>, notes: &mut Vec<Note>) -> Option<Metadata> {
    let mut wrong = |file: &str, detail: String, away: &str| {
        // Nothing of the log is in it. The term can be had from the log; the vote matters only
        // where there is more than one voter.
        let problem = Problem::new(ProblemKind::Metadata, Some(file), detail, true);
        problems.push(problem.settled_by(vec![Step::leave_out(away)]));
    };
    let mut found: Vec<Metadata> = Vec::new();
    for (half, number) in scan.metadata.iter().zip(1..) {
        let file = format!("metadata{number}");
        match half {
            None => {}
            Some(Ok(metadata)) => found.push(*metadata),
            Some(Err(fault @ MetadataFault::Short(_))) => notes.push(Note {
                file: Some(file),
                detail: format!("{fault}, and dqlite deletes it when it starts"),
            }),
            Some(Err(
                fault @ (MetadataFault::Long(_)
                | MetadataFault::Format(_)
                | MetadataFault::NoVersion),
            )) => wrong(
                &file,
                format!("{fault}, and dqlite refuses to start: move it away"),
                &file,
            ),
        }
    }
    if let [first, second] = found[..] {
        if first.version == second.version {
            let older = if first.term < second.term {
                "metadata1"
            } else {
                "metadata2"
            };
            wrong(
                "metadata2",
                format!(
                    "it is of version {} as metadata1 is, and dqlite refuses to start: move away \
                     the one with the lower term",
                    second.version
                ),
                older,
            );
        }
    }
    found
        .into_iter()
        .max_by_key(|metadata| (metadata.version, metadata.term))
}

/// The newest sound snapshot, and the one that dqlite would load.
fn base(scan: &Scan) -> (Option<&Snapshot>, Option<&Snapshot>) {
    let newest = scan
        .snapshots
        .iter()
        .rev()
        .find(|snapshot| snapshot.is_candidate());
    let sound = scan
        .snapshots
        .iter()
        .rev()
        .find(|snapshot| snapshot.sound().is_some());
    (sound, newest)
}

fn snapshots(
    scan: &Scan,
    log: &Log<'_>,
    newest: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) {
    for snapshot in &scan.snapshots {
        let (file, fault) = match (&snapshot.meta, &snapshot.data) {
            (Some(Ok(_)), Some(Ok(_))) => continue,
            (Some(Err(fault)), _) => (format!("{}.meta", snapshot.name), fault.to_string()),
            (_, Some(Err(fault))) => (snapshot.name.to_string(), fault.to_string()),
            (None, _) | (_, None) => (snapshot.name.to_string(), String::new()),
        };
        if !snapshot.is_candidate() {
            notes.push(Note {
                file: Some(file),
                detail: "half a snapshot, left by a crash: dqlite passes over it".to_owned(),
            });
            continue;
        }
        if newest.is_some_and(|newest| snapshot.name < newest.name)
            && log.base.is_some_and(|base| base.name > snapshot.name)
        {
            notes.push(Note {
                file: Some(file),
                detail: format!("{fault}; dqlite does not load it while the newer one is there"),
            });
            continue;
        }
        let index = snapshot.name.index;
        // The older snapshot, or none, and the log behind it have the same.
        let lossless = log.last_index >= index;
        let remedy = match (lossless, log.base) {
            (true, Some(base)) => format!(
                "move both halves away: {} and the log have it all",
                base.name
            ),
            (true, None) => "move both halves away: the log has it all".to_owned(),
            (false, _) => "no other snapshot and log reach up to it".to_owned(),
        };
        let detail = format!("{fault}, and dqlite refuses to start: {remedy}");
        let problem = Problem::new(ProblemKind::Snapshot, Some(&file), detail, lossless)
            .settled_by(halves(snapshot));
        problems.push(if lossless {
            problem
        } else {
            problem.losing(Loss {
                first: log.last_index.saturating_add(1),
                last: index,
            })
        });
    }
}

/// Whether the log, or the snapshot that it follows, has a higher term than the metadata.
fn behind(metadata: Option<Metadata>, log: &Log<'_>, problems: &mut Vec<Problem>) {
    let of_snapshot = log.base.map(|base| base.name.term);
    let (Some(metadata), Some(highest)) = (metadata, log.highest.max(of_snapshot)) else {
        return;
    };
    if highest > metadata.term {
        let file = ["metadata2", "metadata1"][usize::from(metadata.version % 2 == 1)];
        let detail = format!(
            "it is of term {}, but the log or its snapshot is of term {highest}: it is an older copy, or \
             damaged",
            metadata.term
        );
        problems.push(
            Problem::new(ProblemKind::Metadata, Some(file), detail, true)
                .settled_by(vec![newer_term(log)]),
        );
    }
}

/// A term without any log. A founder has never had the one without the other, unless it was made a spare
/// ([`crate::wait_for_leader`]), which its `info.yaml` says then. dqlite starts either way, and waits.
fn emptiness(
    scan: &Scan,
    metadata: Option<Metadata>,
    log: &Log<'_>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) {
    let has_term = metadata.is_some_and(|metadata| metadata.term > 0);
    if !has_term || log.last_index > 0 || !log.problems.is_empty() || !problems.is_empty() {
        return;
    }
    match &scan.info {
        Some(Ok(info)) if info.is_bootstrap() && info.role != Role::Spare => {
            let detail = format!(
                "there is a term but no log, and {} has founded its cluster: all snapshots and \
                 segments are gone, and dqlite waits for a leader that has them",
                info.id
            );
            problems.push(
                Problem::new(ProblemKind::Configuration, None, detail, false)
                    .losing(Loss { first: 1, last: 1 }),
            );
        }
        Some(_) | None => notes.push(Note {
            file: None,
            detail: "there is a term but no log: a member that holds no data, or one whose \
                     snapshots and segments are gone"
                .to_owned(),
        }),
    }
}

/// The members, by raft (`restoreMostRecentConfigurationEntry` of `start.c`).
fn configuration(log: &Log<'_>, problems: &mut Vec<Problem>) -> (Vec<Server>, Option<u64>) {
    let meta = log.base.and_then(Snapshot::sound);
    let of_snapshot = meta.map(|meta| meta.configuration_index);
    match log.change {
        Some((index, change)) if Some(index) > of_snapshot => match &change.servers {
            Ok(servers) => (servers.clone(), Some(index)),
            Err(fault) => {
                let detail =
                    format!("the entry with index {index}: {fault}; dqlite refuses to start");
                problems.push(
                    Problem::new(ProblemKind::Configuration, None, detail, false).losing(Loss {
                        first: index,
                        last: log.last_index,
                    }),
                );
                (Vec::new(), Some(index))
            }
        },
        _ => meta.map_or((Vec::new(), None), |meta| {
            (meta.servers.clone(), Some(meta.configuration_index))
        }),
    }
}

/// A term above that of every entry: the vote that may have been cast in the log's last one is not
/// known, and in this one none has been.
fn newer_term(log: &Log<'_>) -> Step {
    let of_snapshot = log.base.map_or(0, |base| base.name.term);
    let highest = log.highest.unwrap_or(0).max(log.last_term);
    let highest = highest.max(of_snapshot);
    Step::Term {
        term: highest.saturating_add(1),
    }
}

fn is_member(configuration: &[Server], id: u64) -> bool {
    configuration.iter().any(|server| server.id == id)
}

/// `cluster.yaml` by raft's configuration.
fn cluster_from(configuration: &[Server]) -> Vec<Step> {
    if configuration.is_empty() {
        return Vec::new();
    }
    let nodes = configuration.iter().map(node_of).collect();
    vec![Step::Cluster { nodes }]
}

/// `info.yaml` by raft's configuration: only where there is no question which of the members this is.
fn info_from(configuration: &[Server]) -> Vec<Step> {
    match configuration {
        [only] => vec![Step::Info {
            node: node_of(only),
        }],
        _ => Vec::new(),
    }
}

fn node_of(server: &Server) -> NodeInfo {
    NodeInfo {
        id: server.id,
        address: server.address.clone(),
        role: server.role,
    }
}

/// Both halves of a snapshot, as far as they are there, left out.
pub(crate) fn halves(snapshot: &Snapshot) -> Vec<Step> {
    let mut steps = Vec::new();
    if snapshot.data.is_some() {
        steps.push(Step::leave_out(snapshot.name.to_string()));
    }
    if snapshot.meta.is_some() {
        steps.push(Step::leave_out(format!("{}.meta", snapshot.name)));
    }
    steps
}

/// The YAML files, by themselves and against raft.
fn identity(
    scan: &Scan,
    log: &Log<'_>,
    configuration: &[Server],
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Note>,
) {
    let mut wrong = |file: Option<&str>, detail: String, lossless: bool, remedy: Vec<Step>| {
        let problem = Problem::new(ProblemKind::Identity, file, detail, lossless);
        problems.push(problem.settled_by(remedy));
    };
    if let Some(Err(fault)) = &scan.info {
        let remedy = info_from(configuration);
        wrong(Some(crate::INFO_FILE), fault.clone(), true, remedy);
    }
    if let Some(Err(fault)) = &scan.cluster {
        let remedy = cluster_from(configuration);
        wrong(Some(crate::CLUSTER_FILE), fault.clone(), true, remedy);
    }
    let directory = scan.directory();
    if let Some(trap) = directory.as_ref().and_then(identity_trap) {
        let has_data = directory.as_ref().is_some_and(crate::Directory::has_data);
        match &trap {
            // LXD keeps the members elsewhere, and so does whoever uses libdqlite directly.
            Trap::NoIdentity => notes.push(Note {
                file: None,
                detail:
                    "there is neither info.yaml nor cluster.yaml: a program that uses go-dqlite's \
                         `app` would take itself for the founder here"
                        .to_owned(),
            }),
            // The data is there, and only the term is missing.
            Trap::EmptyBootstrap { .. } | Trap::NoMetadata => {
                let remedy = has_data.then(|| newer_term(log));
                let remedy = remedy.into_iter().collect();
                wrong(None, trap.to_string(), has_data, remedy);
            }
            Trap::NoCluster => wrong(None, trap.to_string(), true, cluster_from(configuration)),
            Trap::NoInfo => wrong(None, trap.to_string(), true, info_from(configuration)),
            Trap::BootstrapJoins { .. } | Trap::JoinsAgain => {
                // Whoever raft does not know yet has crashed while it joined.
                let joined = scan.info.as_ref().and_then(|info| info.as_ref().ok());
                let joined = joined.is_some_and(|info| is_member(configuration, info.id));
                let remedy = joined.then(|| Step::leave_out("join"));
                wrong(None, trap.to_string(), true, remedy.into_iter().collect());
            }
        }
    }
    let Some(Ok(info)) = &scan.info else {
        return;
    };
    if configuration.is_empty() {
        return;
    }
    match configuration.iter().find(|server| server.id == info.id) {
        None => notes.push(Note {
            file: Some(crate::INFO_FILE.to_owned()),
            detail: format!("by raft, {} is no member of this cluster", info.id),
        }),
        Some(server) if server.address != info.address => notes.push(Note {
            file: Some(crate::INFO_FILE.to_owned()),
            detail: format!(
                "by raft, the address of this node is {}, not {}",
                server.address, info.address
            ),
        }),
        Some(_) => {}
    }
    if let Some(Ok(cluster)) = &scan.cluster {
        let differs = cluster.len() != configuration.len()
            || configuration.iter().any(|server| {
                let same = |node: &crate::NodeInfo| {
                    node.id == server.id
                        && node.address == server.address
                        && node.role == server.role
                };
                !cluster.iter().any(same)
            });
        if differs {
            notes.push(Note {
                file: Some(crate::CLUSTER_FILE.to_owned()),
                detail: "it differs from raft's configuration, which is the one that counts"
                    .to_owned(),
            });
        }
    }
}

fn snapshot_report(snapshot: &Snapshot) -> SnapshotReport {
    let data = match &snapshot.data {
        Some(Ok(data)) => Some(data),
        Some(Err(_)) | None => None,
    };
    SnapshotReport {
        file: snapshot.name.to_string(),
        term: snapshot.name.term,
        index: snapshot.name.index,
        sound: snapshot.sound().is_some(),
        size: snapshot.size,
        content: data.map_or(0, |data| data.size),
        databases: data.map_or_else(Vec::new, |data| data.databases.clone()),
    }
}

fn segments(scan: &Scan, log: &Log<'_>) -> Vec<SegmentReport> {
    let report = |file: &str, open: bool, content: &Segment, named: Option<u64>| {
        let position = log.loaded.iter().find(|(loaded, _)| *loaded == file);
        let first = position.map(|(_, first)| *first).or(named);
        let first = first.filter(|_| content.entries > 0);
        SegmentReport {
            file: file.to_owned(),
            open,
            first_index: first,
            last_index: first.map(|first| first.saturating_add(content.entries - 1)),
            entries: content.entries,
            batches: content.batches,
            first_term: content.terms.first,
            last_term: content.terms.last,
            size: content.size,
            used: content.used,
            loaded: position.is_some(),
        }
    };
    let closed = scan
        .closed
        .iter()
        .map(|s| report(&s.file, false, &s.content, Some(s.first)));
    let open = scan
        .open
        .iter()
        .map(|s| report(&s.file, true, &s.content, None));
    closed.chain(open).collect()
}
