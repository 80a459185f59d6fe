//! The schema of `/etc/two-node-ha.toml`: types, defaults and validation; nothing here touches
//! the system.

mod schema;

pub use schema::*;
