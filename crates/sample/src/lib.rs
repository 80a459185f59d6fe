//! The configurations that tests begin with, where the point is not the configuration itself. Each is
//! valid TOML for as much as it says; a test adds tables to it, or replaces a word of it.
//!
//! The schema's own tests, and those of the generator, write theirs out: there it is the point.

pub mod contract;

macro_rules! nodes {
    () => {
        r#"
[[node]]
name = "alpha"
address = "10.0.0.1"
[[node]]
name = "beta"
address = "10.0.0.2"
"#
    };
}

macro_rules! volume {
    () => {
        r#"[volume]
backing_file = "/srv/drbd0"
"#
    };
}

macro_rules! no_fencing {
    () => {
        r#"[fencing]
mode = "none"
"#
    };
}

/// The two nodes, `alpha` and `beta`, without fencing, and without a volume.
pub const NODES_UNFENCED: &str = concat!(nodes!(), no_fencing!());

/// The two nodes, the volume in `/srv/drbd0`, and no fencing.
pub const UNFENCED: &str = concat!(nodes!(), volume!(), no_fencing!());

/// The two nodes, the volume in `/srv/drbd0`, and a fence device of each.
pub const FENCED: &str = concat!(
    nodes!(),
    volume!(),
    r#"[[fencing.device]]
node = "alpha"
agent = "fence_x"
[[fencing.device]]
node = "beta"
agent = "fence_x"
"#
);
