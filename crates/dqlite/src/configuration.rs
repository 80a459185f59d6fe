//! A raft configuration: the members and what each does. It is the content of a CHANGE entry, and
//! stands in a snapshot's meta file.
//!
//! Layout and rules: `configuration.c` of dqlite.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bytes::Bytes;
use crate::node::{NodeInfo, Role};

/// The encoding's version.
const ENCODING: u8 = 1;

/// A member of the cluster, as raft knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: u64,
    /// Its address; what is not UTF-8 in it is replaced.
    pub address: String,
    /// What it does.
    pub role: Role,
}

impl From<&Server> for NodeInfo {
    fn from(server: &Server) -> Self {
        Self {
            id: server.id,
            address: server.address.clone(),
            role: server.role,
        }
    }
}

/// Why a configuration cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigurationFault {
    /// It ends within a member.
    #[error("the configuration ends too early")]
    Short,
    /// Another encoding.
    #[error("the configuration is encoded in version {0}, not 1")]
    Encoding(u8),
    /// A member's role is none of the three.
    #[error("the role of member {id} is {role}: 0 is stand-by, 1 voter, 2 spare")]
    Role {
        /// The member.
        id: u64,
        /// The byte.
        role: u8,
    },
    /// An id is 0 or there twice.
    #[error("the configuration has a second member {0}, or one without an id")]
    Id(u64),
    /// An address is there twice.
    #[error("two members have the address {0}")]
    Address(String),
}

/// Decodes a configuration. What follows the last member is padding.
///
/// # Errors
/// When dqlite would not take it.
pub fn decode_configuration(content: &[u8]) -> Result<Vec<Server>, ConfigurationFault> {
    let mut bytes = Bytes(content);
    let encoding = bytes.u8().ok_or(ConfigurationFault::Short)?;
    if encoding != ENCODING {
        return Err(ConfigurationFault::Encoding(encoding));
    }
    let count = bytes.u64().ok_or(ConfigurationFault::Short)?;
    let mut servers: Vec<Server> = Vec::new();
    for _ in 0..count {
        let id = bytes.u64().ok_or(ConfigurationFault::Short)?;
        let address = bytes.text().ok_or(ConfigurationFault::Short)?;
        let address = String::from_utf8_lossy(address).into_owned();
        let role = bytes.u8().ok_or(ConfigurationFault::Short)?;
        let role = Role::from_disk(role).ok_or(ConfigurationFault::Role { id, role })?;
        if id == 0 || servers.iter().any(|server| server.id == id) {
            return Err(ConfigurationFault::Id(id));
        }
        if servers.iter().any(|server| server.address == address) {
            return Err(ConfigurationFault::Address(address));
        }
        servers.push(Server { id, address, role });
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(servers: &[(u64, &str, u8)]) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend((servers.len() as u64).to_le_bytes());
        for (id, address, role) in servers {
            bytes.extend(id.to_le_bytes());
            bytes.extend(address.as_bytes());
            bytes.extend([0, *role]);
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn the_roles_on_disk_are_not_numbered_as_in_the_yaml_files() {
        let roles: Vec<_> =
            decode_configuration(&encoded(&[(1, "a:1", 0), (2, "b:1", 1), (3, "c:1", 2)]))
                .unwrap()
                .iter()
                .map(|server| server.role)
                .collect();
        assert_eq!(roles, [Role::StandBy, Role::Voter, Role::Spare]);
    }

    #[test]
    fn no_configuration_that_dqlite_refuses_is_taken() {
        use ConfigurationFault as Fault;
        let one = encoded(&[(1, "a:1", 1)]);
        assert_eq!(decode_configuration(&[]), Err(Fault::Short));
        for end in 1..22 {
            assert_eq!(
                decode_configuration(&one[..end]),
                Err(Fault::Short),
                "{end}"
            );
        }
        assert_eq!(decode_configuration(&[2, 0]), Err(Fault::Encoding(2)));
        let cases = [
            (encoded(&[(0, "a:1", 1)]), Fault::Id(0)),
            (encoded(&[(1, "a:1", 1), (1, "b:1", 1)]), Fault::Id(1)),
            (
                encoded(&[(1, "a:1", 1), (2, "a:1", 1)]),
                Fault::Address("a:1".to_owned()),
            ),
            (encoded(&[(1, "a:1", 3)]), Fault::Role { id: 1, role: 3 }),
        ];
        for (bytes, fault) in cases {
            assert_eq!(decode_configuration(&bytes), Err(fault));
        }
        // A count of members that no memory holds.
        let mut many = one;
        many[1..9].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode_configuration(&many).is_err());
    }
}
