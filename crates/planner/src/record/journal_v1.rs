//! Version 1 of `journal.json`: the step in progress was a sentence.
//!
//! The sentences are those of the last program that wrote them, and stay as they are whatever
//! [`Step::describe`] says by now.

use crate::{Database, Step, Target};

/// The step that a sentence was about; `None` where an even older program has worded it otherwise.
pub(super) fn step(sentence: &str) -> Option<Step> {
    let between = |before: &str, after: &str| sentence.strip_prefix(before)?.strip_suffix(after);
    let number = |before: &str, after: &str| between(before, after)?.parse().ok();
    let database = |before: &str, after: &str| {
        let name = between(before, after)?;
        Database::ALL.into_iter().find(|d| d.name() == name)
    };
    let of_the_volume = "record on the volume that epoch ";
    Some(match sentence {
        "ask the peer's agent how it stands" => Step::AskPeer,
        "ask Pacemaker about the peer" => Step::AskPacemaker,
        "ask Pacemaker whether both nodes may be promoted" => Step::AskPromotion,
        "have DRBD ask its fence-peer handler again" => Step::AskFencePeer,
        "have the peer stop its databases" => Step::StopPeer,
        "make the mount point immutable while it is empty" => Step::ProtectMountPoint,
        "stop the k8s services (k8s-dqlite by SIGKILL)" => Step::StopServices,
        "move both databases onto the volume" => Step::MoveOntoVolume,
        "record on the volume that this node takes over" => Step::BeginEpoch,
        "have Pacemaker fence the peer, whose agent is silent" => Step::FencePeer,
        "fetch the peer's logs" => Step::FetchLogs,
        "start the k8s services" => Step::StartServices,
        "confirm that the voter works" => Step::ConfirmVoter,
        "report to Pacemaker that the volume is free" => Step::ReportReleased,
        _ => {
            let constraint = between(
                "take the constraint ",
                " away, which has outlived its reason",
            );
            let with_number = [
                number("remember epoch ", "").map(Step::RememberEpoch),
                number(of_the_volume, " goes on from the newer log").map(Step::RenewEpoch),
                number("rejoin as the spare of epoch ", "").map(Step::Rejoin),
            ];
            let mine = "keep this node's identity of ";
            let with_database = [
                database(mine, "").map(Step::KeepIdentity),
                database(mine, " and lead it off the volume").map(Step::Leave),
                database(
                    "make the first day's ",
                    " directory this node's spare directory",
                )
                .map(Step::KeepOriginal),
                database("lead ", " onto the volume").map(|d| Step::Flip(d, Target::Volume)),
                database("lead ", " to this node's spare directory")
                    .map(|d| Step::Flip(d, Target::Spare)),
                database("recover ", " with this node as only voter").map(Step::Recover),
            ];
            let mut all = constraint
                .map(|id| Step::RemoveConstraint(id.to_owned()))
                .into_iter()
                .chain(with_number.into_iter().flatten())
                .chain(with_database.into_iter().flatten());
            all.next()?
        }
    })
}
