//! What to do about a damaged directory, the least lossy way, and how it is done.
//!
//! [`Plan::of`] reads and says which steps lead to a directory that dqlite starts on, and what is
//! lost on the way; it changes nothing. [`apply`] takes the steps in a copy. Making that copy, and
//! giving it the original's name once it has been verified, is the caller's: the original is never
//! written to.
//!
//! The order of the steps is that of the least loss: what costs nothing comes first, then what
//! other directories have of what is missing here, and what gives something up comes last.

mod apply;
mod encode;
mod plan;
mod source;
mod trial;

pub use apply::{ApplyError, apply};
pub use plan::{Part, Plan, PlanError, Planned};
pub use source::{Kinship, Source};
