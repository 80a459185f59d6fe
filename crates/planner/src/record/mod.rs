//! What is remembered: the epoch on the volume, the journal and a resolution on each node. Plain
//! values with a version; whoever keeps them reads and writes the files.

mod astray;
mod epoch;
mod journal;
mod journal_v1;
mod resolution;
mod versioned;

pub use astray::Astray;
pub use epoch::{Epoch, Phase};
pub use journal::{InProgress, Journal, Owned};
pub use resolution::{CopyMade, Resolution};
pub use versioned::{Unreadable, Versioned};
