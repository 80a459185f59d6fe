//! The membership that a recovery writes.

use thiserror::Error;

use crate::configuration::{ConfigurationFault, Server, decode_configuration};
use crate::encode::encode_configuration;
use crate::node::{NodeInfo, Role};

/// The longest configuration that libdqlite takes for a recovery, in bytes: it has to fit into the first
/// block of the segment, of 4096 bytes, behind the format, the checksums and the batch's header
/// (`uvWriteClosedSegment`).
const LONGEST: usize = 4096 - 8 - 8 - 24;

/// Why a membership cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// This node is none of the members.
    #[error(
        "by raft, node {id} ({address}) is no member of this cluster: its info.yaml is of another \
         database, or it has never joined this one. Put the info.yaml of a member in place, or have the \
         node join again"
    )]
    NoMember {
        /// Its id.
        id: u64,
        /// Its address.
        address: String,
    },
    /// Nobody would vote.
    #[error("none of the members would be a voter, and dqlite would wait for a leader for ever")]
    NoVoter,
    /// dqlite would not take it.
    #[error("dqlite would refuse the new members: {0}")]
    Refused(#[from] ConfigurationFault),
    /// An address is not what would be read again.
    #[error("the address of a new member is empty, or has a NUL in it")]
    Address,
    /// There are too many members.
    #[error("the new members take {0} bytes, and dqlite takes no more than {LONGEST}")]
    TooLong(usize),
}

/// The members with `me` as the only voter and everybody else as a spare, in the order that they have.
/// The address of `me` is the one that it says, which is where its node listens.
///
/// # Errors
/// When `me` is none of them, or has the address of another one.
pub fn sole_voter(members: &[Server], me: &NodeInfo) -> Result<Vec<Server>, MembershipError> {
    if !members.iter().any(|member| member.id == me.id) {
        return Err(MembershipError::NoMember {
            id: me.id,
            address: me.address.clone(),
        });
    }
    let members: Vec<Server> = members
        .iter()
        .map(|member| {
            let (address, role) = if member.id == me.id {
                (&me.address, Role::Voter)
            } else {
                (&member.address, Role::Spare)
            };
            Server {
                id: member.id,
                address: address.clone(),
                role,
            }
        })
        .collect();
    encoded(&members)?;
    Ok(members)
}

/// The configuration as it is written, if dqlite would take it.
pub(super) fn encoded(members: &[Server]) -> Result<Vec<u8>, MembershipError> {
    let bytes = encode_configuration(members);
    if bytes.len() > LONGEST {
        return Err(MembershipError::TooLong(bytes.len()));
    }
    let wrong = |member: &Server| member.address.is_empty() || member.address.contains('\0');
    if members.iter().any(wrong) {
        return Err(MembershipError::Address);
    }
    decode_configuration(&bytes)?;
    if !members.iter().any(|member| member.role == Role::Voter) {
        return Err(MembershipError::NoVoter);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: u64, address: &str, role: Role) -> Server {
        Server {
            id,
            address: address.to_owned(),
            role,
        }
    }

    fn me(id: u64, address: &str) -> NodeInfo {
        NodeInfo {
            id,
            address: address.to_owned(),
            // What info.yaml says of it means nothing.
            role: Role::Spare,
        }
    }

    #[test]
    fn this_node_votes_alone_and_listens_where_it_says() {
        let members = [
            server(1, "10.0.0.1:9000", Role::Voter),
            server(2, "10.0.0.2:9000", Role::Spare),
            server(3, "10.0.0.3:9000", Role::StandBy),
        ];
        assert_eq!(
            sole_voter(&members, &me(2, "10.0.0.22:9000")).unwrap(),
            [
                server(1, "10.0.0.1:9000", Role::Spare),
                server(2, "10.0.0.22:9000", Role::Voter),
                server(3, "10.0.0.3:9000", Role::Spare),
            ]
        );
    }

    #[test]
    fn who_is_no_member_or_has_the_address_of_another_does_not_take_over() {
        let members = [
            server(1, "10.0.0.1:9000", Role::Voter),
            server(2, "10.0.0.2:9000", Role::Spare),
        ];
        let error = sole_voter(&members, &me(7, "10.0.0.7:9000")).unwrap_err();
        assert!(error.to_string().contains("node 7 (10.0.0.7:9000)"));
        assert_eq!(
            sole_voter(&members, &me(2, "10.0.0.1:9000")),
            Err(ConfigurationFault::Address("10.0.0.1:9000".to_owned()).into())
        );
    }

    #[test]
    fn what_dqlite_would_not_take_is_not_written() {
        use MembershipError as Error;
        let one = |address: &str| encoded(&[server(1, address, Role::Voter)]);
        assert_eq!(one(""), Err(Error::Address));
        assert_eq!(one("a\0b"), Err(Error::Address));
        assert_eq!(
            encoded(&[server(1, "a:1", Role::Spare)]),
            Err(Error::NoVoter)
        );
        assert_eq!(encoded(&[]), Err(Error::NoVoter));
        let twice = [server(1, "a:1", Role::Voter), server(1, "b:1", Role::Spare)];
        assert_eq!(encoded(&twice), Err(ConfigurationFault::Id(1).into()));
        let many: Vec<_> = (1..400)
            .map(|id| {
                server(
                    id,
                    &format!("10.0.{}.{}:9000", id / 250, id % 250),
                    Role::Voter,
                )
            })
            .collect();
        assert!(matches!(encoded(&many), Err(Error::TooLong(_))));
    }
}
