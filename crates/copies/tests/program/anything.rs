//! Whatever the backing file holds, and wherever it has holes.
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::bench::{of_file, pattern};
use proptest::prelude::*;
use two_node_ha_copies::{Digest, Generation, Limits, Target, Why};

/// What stands in a stretch of the file.
#[derive(Debug, Clone)]
enum Stretch {
    Hole(usize),
    Zeros(usize),
    Data(usize, u8),
    /// One byte in a block of zeros.
    Speck(usize, u8),
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let size = 1..40_000_usize;
    prop_oneof![
        size.clone().prop_map(Stretch::Hole),
        size.clone().prop_map(Stretch::Zeros),
        (size.clone(), 1..=255_u8).prop_map(|(size, byte)| Stretch::Data(size, byte)),
        (size, 1..=255_u8).prop_map(|(size, byte)| Stretch::Speck(size, byte)),
    ]
}

/// The file, and what is to be read from it.
fn write(file: &File, stretches: &[Stretch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for stretch in stretches {
        let at = bytes.len() as u64;
        let part = match stretch {
            Stretch::Hole(size) | Stretch::Zeros(size) => vec![0; *size],
            Stretch::Data(size, byte) => vec![*byte; *size],
            Stretch::Speck(size, byte) => {
                let mut part = vec![0; *size];
                part[size / 2] = *byte;
                part
            }
        };
        if !matches!(stretch, Stretch::Hole(_)) {
            file.write_all_at(&part, at).unwrap();
        }
        bytes.extend(part);
    }
    file.set_len(bytes.len() as u64).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_copy_equals_its_source_and_comes_back_over_anything(
        source in prop::collection::vec(stretch(), 1..40),
        over in prop::collection::vec(stretch(), 1..40),
    ) {
        // Not /tmp: a share of a file system is left free, and a disk may be fuller than that.
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(root.path().join("srv")).unwrap();
        let copies = of_file(root.path());
        let bytes = write(&File::create(copies.backing()).unwrap(), &source);
        let copy = copies.make(Why::Asked, Limits::default(), &mut ()).unwrap();
        prop_assert_eq!(&fs::read(&copy.path).unwrap(), &bytes);
        let mut digest = Digest::default();
        digest.update(0, &bytes);
        if let Some(sum) = &copy.record.checksum {
            prop_assert_eq!(sum, &digest.text());
        }
        prop_assert_eq!(copies.verify(&copy, &mut ()).unwrap().text(), digest.text());

        let file = File::create(copies.backing()).unwrap();
        write(&file, &over);
        file.set_len(bytes.len() as u64).unwrap();
        let target = Target::claim(copies.backing(), &[]).unwrap();
        copies.restore(&copy, &target, &mut ()).unwrap();
        prop_assert_eq!(fs::read(copies.backing()).unwrap(), bytes);
    }

    #[test]
    fn one_changed_byte_changes_the_checksum(
        size in 1..20_000_usize, at in any::<prop::sample::Index>(), change in 1..=255_u8,
    ) {
        let mut bytes = pattern(size);
        let mut before = Digest::default();
        before.update(0, &bytes);
        let at = at.index(size);
        bytes[at] ^= change;
        let mut after = Digest::default();
        after.update(0, &bytes);
        prop_assert_ne!(before.text(), after.text());
    }

    #[test]
    fn any_block_is_meta_data_or_is_not_and_nothing_else_happens(
        block in prop::collection::vec(any::<u8>(), 0..5000),
        magic in prop::option::of(0x8374_0260_u32..0x8374_0270),
    ) {
        let mut block = block;
        if let (Some(magic), Some(place)) = (magic, block.get_mut(60..64)) {
            place.copy_from_slice(&magic.to_be_bytes());
        }
        let parsed = Generation::parse(&block);
        prop_assert!(parsed.is_none() || matches!(magic, Some(0x8374_026b..=0x8374_026d)));
    }
}
