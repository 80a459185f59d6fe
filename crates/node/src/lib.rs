//! Where everything of this project is on a node, in one place. Only what a configuration may not give
//! to something else is named in the crate `config`, which this one goes by.

pub mod database;
mod paths;

pub use paths::{EVENTS, EVIDENCE, JOURNAL, PEER_LOG, Paths, ROOT_VARIABLE, RUN, TOKEN};
