//! What is remembered: the epoch on the volume, the journal and a resolution on each node. Plain
//! values with a format number; whoever keeps them reads and writes them.

mod astray;
mod epoch;
mod journal;
mod resolution;

pub use astray::Astray;
pub use epoch::{Epoch, Phase};
pub use journal::{Journal, Owned};
pub use resolution::{CopyMade, Resolution};

/// The only format of these records so far.
pub const FORMAT: u32 = 1;
