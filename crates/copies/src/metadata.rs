//! DRBD's meta-data at the end of the backing data, read from there.
//!
//! `drbdadm dump-md` and `drbdmeta` take the device's lock and refuse a device that is in use;
//! `drbdsetup` prints no generation identifiers on 8.4. The one block that holds them
//! (`drbd_main.c`, `meta_data_on_disk`) can be read beside DRBD: it is written as a whole, and
//! where it is torn or of another kind, there are no identifiers and nothing else happens. While
//! before-resync-target runs, 8.4 has the new current identifier in memory and writes it some
//! seconds later, so that what is read is the one from before or that one.

use serde::{Deserialize, Serialize};

/// Bytes of the block. Internal meta-data has it as the last whole one of the device.
pub const BLOCK: u64 = 4096;

/// `DRBD_MAGIC + 4`: 8.4, detached in good order.
const MAGIC_84: u32 = 0x8374_026b;
/// `DRBD_MAGIC + 5`: 8.4, attached.
const MAGIC_84_UNCLEAN: u32 = 0x8374_026c;
/// `DRBD_MAGIC + 6`: 9.
const MAGIC_9: u32 = 0x8374_026d;

/// `MDF_CONSISTENT`
const CONSISTENT: u32 = 1;
/// `MDF_WAS_UP_TO_DATE`
const UP_TO_DATE: u32 = 1 << 4;
/// `UUID_JUST_CREATED`
const JUST_CREATED: u64 = 4;

/// Which data this is, in DRBD's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// `8.4` or `9`.
    pub drbd: String,
    /// The current identifier, in hexadecimal as DRBD prints it.
    pub current: String,
    /// 8.4's bitmap identifier and its two of the history. With 9 they are per peer and left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The device's own identifier.
    pub device: String,
    /// Whether the data is whole.
    pub consistent: bool,
    /// Whether it was up to date when DRBD last knew.
    pub up_to_date: bool,
    /// Made by `create-md` and never synchronised or promoted since.
    pub just_created: bool,
}

impl Generation {
    /// Reads the block; `None` when it is none of DRBD's.
    #[must_use]
    pub fn parse(block: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| {
            let bytes = block.get(at..at.checked_add(4)?)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        let u64_at = |at: usize| {
            let bytes = block.get(at..at.checked_add(8)?)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        // Both kinds begin with the size and the current identifier, and have flags and magic at
        // the same place.
        let (current, flags) = (u64_at(8)?, u32_at(56)?);
        let hex = |value: u64| format!("{value:016X}");
        let (drbd, others, device) = match u32_at(60)? {
            MAGIC_84 | MAGIC_84_UNCLEAN => {
                let others = [u64_at(16)?, u64_at(24)?, u64_at(32)?];
                ("8.4", others.map(hex).to_vec(), u64_at(40)?)
            }
            MAGIC_9 => ("9", Vec::new(), u64_at(48)?),
            _ => return None,
        };
        Some(Self {
            drbd: drbd.to_owned(),
            current: hex(current),
            others,
            device: hex(device),
            consistent: flags & CONSISTENT != 0,
            up_to_date: flags & UP_TO_DATE != 0,
            just_created: current == JUST_CREATED || current == 0,
        })
    }

    /// Bytes of internal meta-data, this block as the last of them: `md_size_sect`, at the same place in
    /// 8.4 and 9.
    #[must_use]
    pub fn size(block: &[u8]) -> Option<u64> {
        Self::parse(block)?;
        let sectors = u32::from_be_bytes(block.get(64..68)?.try_into().ok()?);
        Some(u64::from(sectors) * 512).filter(|size| *size >= BLOCK)
    }

    /// Where the block is on a device or in a file of that many bytes.
    #[must_use]
    pub fn offset(size: u64) -> Option<u64> {
        (size / BLOCK).checked_sub(1).map(|block| block * BLOCK)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A block of 8.4.
    pub fn block_84(current: u64, flags: u32) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        block[..8].copy_from_slice(&4096_u64.to_be_bytes());
        block[8..16].copy_from_slice(&current.to_be_bytes());
        block[16..24].copy_from_slice(&0xB1_u64.to_be_bytes());
        block[40..48].copy_from_slice(&0xDE_u64.to_be_bytes());
        block[56..60].copy_from_slice(&flags.to_be_bytes());
        block[60..64].copy_from_slice(&MAGIC_84_UNCLEAN.to_be_bytes());
        block
    }

    #[test]
    fn the_block_of_8_4_tells_its_identifiers_and_flags() {
        let generation = Generation::parse(&block_84(0xABCD, CONSISTENT)).unwrap();
        assert_eq!(generation.current, "000000000000ABCD");
        assert_eq!(generation.others[0], "00000000000000B1");
        assert_eq!(generation.device, "00000000000000DE");
        assert!(generation.consistent && !generation.up_to_date && !generation.just_created);
        assert!(Generation::parse(&block_84(4, 0)).unwrap().just_created);
    }

    #[test]
    fn the_block_of_9_has_its_device_elsewhere() {
        let mut block = block_84(0xABCD, CONSISTENT | UP_TO_DATE);
        block[40..48].fill(0);
        block[48..56].copy_from_slice(&0xDF_u64.to_be_bytes());
        block[60..64].copy_from_slice(&MAGIC_9.to_be_bytes());
        let generation = Generation::parse(&block).unwrap();
        assert_eq!(
            (&*generation.drbd, &*generation.device),
            ("9", "00000000000000DF")
        );
        assert!(generation.others.is_empty() && generation.up_to_date);
    }

    #[test]
    fn anything_else_has_none() {
        assert_eq!(Generation::parse(&[]), None);
        assert_eq!(Generation::parse(&[0; 63]), None);
        assert_eq!(Generation::parse(&[0xFF; 4096]), None);
    }

    #[test]
    fn the_block_is_the_last_whole_one() {
        assert_eq!(Generation::offset(4095), None);
        assert_eq!(Generation::offset(4096), Some(0));
        assert_eq!(Generation::offset(8192 + 512), Some(4096));
    }
}
