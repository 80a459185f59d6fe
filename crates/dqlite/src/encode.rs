//! The way back: entries, configurations and a snapshot's meta half as dqlite writes them.
//!
//! Layout: see [`crate::segment`], [`crate::configuration`] and [`crate::snapshot`].

use crate::configuration::Server;
use crate::crc::{Crc, crc32};
use crate::entry::EntryType;
use crate::metadata::FORMAT;
use crate::node::Role;
use crate::snapshot::Meta;

/// One batch of a segment: what follows the word of the format, or the batch before it. Entries are
/// given as term, kind and data; dqlite pads the data of each to whole words.
#[must_use]
pub fn encode_batch(entries: &[(u64, EntryType, &[u8])]) -> Vec<u8> {
    let mut header = (entries.len() as u64).to_le_bytes().to_vec();
    let mut data = Vec::new();
    for (term, kind, content) in entries {
        header.extend(term.to_le_bytes());
        header.extend([kind.byte(), 0, 0, 0]);
        // It is 32 bits wide on the disk, and was so where it was read.
        let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
        header.extend(len.to_le_bytes());
        data.extend_from_slice(content);
    }
    let mut batch = crc32(&header).to_le_bytes().to_vec();
    batch.extend(crc32(&data).to_le_bytes());
    batch.extend(header);
    batch.extend(data);
    batch
}

/// The data of a CHANGE entry, padded to whole words.
#[must_use]
pub fn encode_configuration(servers: &[Server]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend((servers.len() as u64).to_le_bytes());
    for server in servers {
        bytes.extend(server.id.to_le_bytes());
        bytes.extend(server.address.as_bytes());
        bytes.push(0);
        // Not the yaml's numbers.
        bytes.push(match server.role {
            Role::StandBy => 0,
            Role::Voter => 1,
            Role::Spare => 2,
        });
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A snapshot's meta half.
#[must_use]
pub fn encode_meta(meta: &Meta) -> Vec<u8> {
    let configuration = encode_configuration(&meta.servers);
    let mut rest = meta.configuration_index.to_le_bytes().to_vec();
    rest.extend((configuration.len() as u64).to_le_bytes());
    rest.extend(configuration);
    let mut crc = Crc::new();
    crc.update(&rest);
    let mut bytes = FORMAT.to_le_bytes().to_vec();
    bytes.extend(u64::from(crc.value()).to_le_bytes());
    bytes.extend(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{decode_configuration, decode_meta, read_segment};

    fn servers() -> Vec<Server> {
        [(1, Role::Voter), (2, Role::Spare), (3, Role::StandBy)]
            .map(|(id, role)| Server {
                id,
                address: format!("10.0.0.{id}:9000"),
                role,
            })
            .to_vec()
    }

    #[test]
    fn what_was_encoded_decodes_as_it_was() {
        assert_eq!(
            decode_configuration(&encode_configuration(&servers())),
            Ok(servers())
        );
        let meta = Meta {
            configuration_index: 7,
            servers: servers(),
        };
        assert_eq!(decode_meta(&encode_meta(&meta)), Ok(meta));
        let mut segment = FORMAT.to_le_bytes().to_vec();
        segment.extend(encode_batch(&[
            (2, EntryType::Command, b"12345678"),
            (3, EntryType::Barrier, b""),
        ]));
        segment.extend(encode_batch(&[(
            3,
            EntryType::Change,
            &encode_configuration(&servers()),
        )]));
        let size = segment.len() as u64;
        let read = read_segment(Cursor::new(segment), size).unwrap();
        assert!(read.is_whole(), "{read:?}");
        assert_eq!((read.entries, read.terms.last), (3, Some(3)));
        assert_eq!(read.change.unwrap().servers, Ok(servers()));
    }
}
