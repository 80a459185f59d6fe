//! Sides as they are found after a split brain.

use std::collections::BTreeMap;

use crate::observation::{Known, Mount, Role};
use crate::record::Owned;
use crate::split_brain::generation::Generation;
use crate::split_brain::side::{Disk, Link};
use crate::split_brain::{Cluster, Side};

/// Both nodes' identifiers before they lost each other.
pub const COMMON: u64 = 0x1111_1111_1111_1110;

/// A side that has taken over, or gone on, alone; `number` makes it its own.
pub fn side(node: &str, number: u64) -> Side {
    Side {
        node: node.into(),
        role: Role::Secondary,
        disk: Disk::UpToDate,
        link: Link::StandAlone,
        summary: "Secondary UpToDate, peer StandAlone".into(),
        generation: Ok(generation(number)),
        writes: Some("0".into()),
        mount: Mount::None,
        held: false,
        cluster: Cluster::Here { banned: None },
        volume: Some(Owned {
            epoch: number,
            owner: node.into(),
        }),
        highest_epoch: number,
        logs: BTreeMap::new(),
        evidence: vec!["evidence".into()],
        resolution: Known::Absent,
    }
}

/// What a node has that wrote alone.
pub fn generation(number: u64) -> Generation {
    Generation {
        current: (0xA0 + number) << 8,
        bitmap: COMMON,
        history: vec![0x2222_2222_2222_2222, 4],
    }
}

/// The same as the voter.
pub fn voter(mut side: Side) -> Side {
    side.role = Role::Primary;
    side.mount = Mount::ReadWrite;
    side.held = true;
    side
}
