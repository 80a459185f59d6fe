//! What DRBD's handlers answer, and how fence-peer comes to its answer: plain values and one decision,
//! without a clock and without I/O. The program of the handlers looks, does what is decided, and looks
//! again; two nodes are explored together with the same decision.

pub mod answer;
pub mod decide;
mod disks;
mod reasons;
mod view;

pub use decide::decide;
pub use disks::{Data, Disks};
pub use view::{Known, Standing, Subject, View};
