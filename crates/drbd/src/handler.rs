//! DRBD's handlers by name, and what ours decide: the words that hooks, agent, evidence, configuration
//! and tests have in common.

use crate::words::words;

words! {
    /// What was called: a handler of DRBD's, or udev.
    Handler {
        /// Before this node's data is overwritten; blocks the receiver. Above 0 refuses the resync.
        BeforeResyncTarget = "before-resync-target",
        /// Before the peer's data is overwritten. Above 0 drops the connection.
        BeforeResyncSource = "before-resync-source",
        /// After this node's data was overwritten, also when that failed. The answer is ignored.
        AfterResyncTarget = "after-resync-target",
        /// Both sides have changed what the other does not know, and DRBD could not solve it.
        SplitBrain = "split-brain",
        /// As above; DRBD may still solve it by its policies.
        InitialSplitBrain = "initial-split-brain",
        /// A primary lost its peer. I/O stands still until the answer.
        FencePeer = "fence-peer",
        /// The peer is up to date again.
        UnfencePeer = "unfence-peer",
        /// The backing device failed.
        LocalIoError = "local-io-error",
        /// This primary must become secondary: the peer's data won.
        PriLost = "pri-lost",
        /// As above, after a split brain.
        PriLostAfterSb = "pri-lost-after-sb",
        /// This primary has no good data left anywhere in reach.
        PriOnInconDegr = "pri-on-incon-degr",
        /// An online verification found differences.
        OutOfSync = "out-of-sync",
        /// DRBD 9: the resource lost its quorum.
        QuorumLost = "quorum-lost",
        /// DRBD 9: a connection went down.
        Disconnected = "disconnected",
        /// A uevent of DRBD's or the backing device.
        Udev = "udev",
    }
}

impl Handler {
    /// The handler of that name, where it is known.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match Self::parse(name) {
            Self::Unrecognised(_) => None,
            known => Some(known),
        }
    }

    /// Whether DRBD calls it for a split brain.
    #[must_use]
    pub fn is_of_a_split_brain(&self) -> bool {
        matches!(self, Self::SplitBrain | Self::InitialSplitBrain)
    }
}

words! {
    /// What a handler of ours has decided, in one word for programs. Its reason is for people.
    #[derive(Default)]
    Decision {
        // Whatever was called.
        /// It is recorded; nothing else follows.
        #[default]
        Recorded = "recorded",
        /// The deadline came first: the handler's fallback was answered.
        Deadline = "deadline",
        /// The program failed: the handler's fallback was answered.
        Bug = "bug",

        // Of a loss.
        /// The agent is to ask Pacemaker to take the primary away from this node.
        Demote = "demote",
        /// This node is being reset.
        Reboot = "reboot",

        // Of a resync.
        /// It may begin.
        Proceed = "proceed",
        /// It may begin; a copy of what it overwrites was made.
        Copied = "copied",
        /// It may begin; there is a copy of what it overwrites.
        CopyKept = "copy-kept",
        /// It may begin; what it overwrites is not worth a copy.
        NoCopyNeeded = "no-copy-needed",
        /// It may begin, without a copy that should be there.
        NoCopy = "no-copy",
        /// It may not begin.
        Refuse = "refuse",

        // Of fence-peer: claims about the peer.
        /// It was powered off.
        Fenced = "fenced",
        /// It is kept from being promoted.
        Excluded = "excluded",
        /// Nobody knows; it is taken for down, as the operator's policy says.
        Assumed = "assumed",
        /// DRBD knows its disk as Outdated.
        Outdated = "outdated",
        /// DRBD knows its disk as Inconsistent.
        Inconsistent = "inconsistent",

        // Of fence-peer: nothing is claimed.
        /// The link is back.
        NotNeeded = "not-needed",
        /// The policy of fencing asks for no claim.
        Policy = "policy",
        /// It was not named what it is about.
        Unnamed = "unnamed",
        /// The resource is not up.
        NotUp = "not-up",
        /// This node's data is not fit to go on with.
        Unusable = "unusable",
        /// This node's data may be older than the peer's.
        Stale = "stale",
        /// Pacemaker does not run.
        NoCluster = "no-cluster",
        /// Pacemaker has no clone of the resource.
        NoClone = "no-clone",
        /// Pacemaker has no node of the name.
        NoNode = "no-node",
        /// A constraint forbids this node.
        Rejected = "rejected",
        /// A constraint forbids neither node.
        Loose = "loose",
        /// It could not be told in time.
        Undecided = "undecided",

        // Of unfence-peer.
        /// The constraint was taken away.
        Unfenced = "unfenced",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_handler_and_every_word_to_its_decision() {
        assert_eq!(Handler::KNOWN.len(), 14 + 1);
        // Each has one word.
        assert_eq!(Handler::NAMES.len(), Handler::KNOWN.len());
        assert_eq!(Decision::NAMES.len(), Decision::KNOWN.len());
        for handler in Handler::KNOWN {
            assert_eq!(Handler::of(handler.as_str()).as_ref(), Some(handler));
        }
        for decision in Decision::KNOWN {
            assert_eq!(&Decision::parse(decision.as_str()), decision);
        }
    }

    #[test]
    fn a_word_of_a_later_version_is_kept_as_it_is_and_is_no_other() {
        assert_eq!(Handler::of("split-brain-2"), None);
        let later: Decision = serde_json::from_str("\"demote-both\"").unwrap();
        assert_ne!(later, Decision::Demote);
        assert_eq!(serde_json::to_string(&later).unwrap(), "\"demote-both\"");
    }
}
