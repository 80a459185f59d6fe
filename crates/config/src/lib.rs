//! The schema of `/etc/two-node-ha.toml`: types, defaults and validation, and the choice between the
//! file and the one that was accepted last. Nothing here touches the system but [`read`], which
//! reads one file.
//!
//! ```
//! use two_node_ha_config::{Host, PATH, parse};
//!
//! let text = r#"
//! node = [{ name = "haone", address = "10.0.0.1" }, { name = "hatwo", address = "10.0.0.2" }]
//! volume.backing_file = "/opt/drbd0-backstore"
//! fencing.mode = "constraint"
//! "#;
//! let config = parse(text, PATH, Host::Hostname("hatwo")).unwrap();
//! assert_eq!(config.peer_node().unwrap().name, "haone");
//! assert_eq!(config.volume.mount_point.to_str(), Some("/mnt/drbd0"));
//!
//! let errors = parse("[volume]\nmount_pont = 1\n", PATH, Host::Any).unwrap_err();
//! assert!(errors.to_string().contains("did you mean `mount_point`?"));
//! ```

mod accepted;
mod compare;
mod diag;
mod difference;
mod file;
mod keys;
mod names;
mod parse;
mod places;
mod reader;
mod rules;
mod schema;
mod source;
mod suggest;
mod syntax;
pub mod times;
mod units;

pub use accepted::{Broken, Chosen, Fallback, Neither, choose};
pub use compare::{Difference, Facts, differences, facts};
pub use diag::{Diagnostic, Diagnostics, Severity};
pub use file::{Content, Found, read};
pub use keys::{KEYS, Key, Kind, TABLES, Table, key};
pub use parse::{Parsed, decode, parse, parse_with_warnings, readable};
pub use places::{ACCEPTED, PATH, PEER_HOME, STATE};
pub use schema::*;
pub use units::{format_duration, format_size, format_time};
