//! dqlite's checksum: CRC-32 with polynomial 0x04C11DB7, start 0, not reflected, no final XOR.
//!
//! That is the sum of `cksum` without its final complement, so a carry-less multiplying
//! implementation of that one serves. (The usual CRC-32, of gzip and zip, is the reflected one.)

use crc_fast::{CrcAlgorithm, Digest};

/// The polynomial.
pub(crate) const POLYNOMIAL: u32 = 0x04C1_1DB7;

/// A checksum under way.
#[derive(Debug, Clone)]
pub struct Crc(Digest);

impl Default for Crc {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc {
    /// That of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Cksum))
    }

    /// Takes in what follows.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all that was taken in.
    #[must_use]
    pub fn value(&self) -> u32 {
        // 32 bits wide in 64.
        #[allow(clippy::cast_possible_truncation)]
        let value = self.0.finalize() as u32;
        !value
    }
}

/// The checksum of a whole.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.value()
}

/// Where a flipped bit is that makes the difference between a stored and a computed checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlippedBit {
    /// In the stored checksum itself.
    InChecksum,
    /// In the bytes: so many follow the one that it is in.
    InBytes {
        /// The number of bytes between it and the end.
        following: u64,
    },
}

/// The one flipped bit, in `len` bytes or in their stored checksum, that makes the difference between
/// the stored and the computed checksum; `None` where it takes more than one.
///
/// The checksum is linear: a flipped bit changes it by a value that depends on its distance to the
/// end only. No two bits of a batch have the same, and a hole or a stale block looks like one with
/// a probability of `8 * len / 2^32`.
pub(crate) fn flipped_bit(stored: u32, computed: u32, len: u64) -> Option<FlippedBit> {
    let difference = stored ^ computed;
    if difference.count_ones() == 1 {
        return Some(FlippedBit::InChecksum);
    }
    // The last byte's lowest bit.
    let mut effect = POLYNOMIAL;
    for distance in 0..len.saturating_mul(8) {
        if effect == difference {
            let following = distance / 8;
            return Some(FlippedBit::InBytes { following });
        }
        effect = (effect << 1) ^ (if effect >> 31 == 1 { POLYNOMIAL } else { 0 });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, a bit at a time.
    fn bitwise(bytes: &[u8]) -> u32 {
        let mut crc = 0_u32;
        for byte in bytes {
            crc ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                crc = (crc << 1) ^ (if crc >> 31 == 1 { POLYNOMIAL } else { 0 });
            }
        }
        crc
    }

    #[test]
    fn the_check_value_is_that_of_the_catalogue_of_parametrised_algorithms() {
        // CRC-32/CKSUM gives 0x765e7680; this one lacks its complement.
        assert_eq!(crc32(b"123456789"), !0x765e_7680);
        assert_eq!(crc32(b""), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_what_the_definition_gives(
            bytes in proptest::collection::vec(any::<u8>(), 0..5000),
            cut in any::<proptest::sample::Index>(),
        ) {
            let cut = cut.index(bytes.len() + 1);
            let mut crc = Crc::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            prop_assert_eq!(crc.value(), bitwise(&bytes));
        }

        #[test]
        fn a_flipped_bit_is_known_for_one_and_a_changed_word_is_not(
            mut bytes in proptest::collection::vec(any::<u8>(), 16..3000),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let good = crc32(&bytes);
            let at = at.index(bytes.len());
            let len = bytes.len() as u64;
            bytes[at] ^= 1 << bit;
            let following = len - 1 - at as u64;
            prop_assert_eq!(
                flipped_bit(good, crc32(&bytes), len),
                Some(FlippedBit::InBytes { following })
            );
            let of_checksum = flipped_bit(good ^ (1 << bit), good, len);
            prop_assert_eq!(of_checksum, Some(FlippedBit::InChecksum));
            // Two bits of a byte are at a distance below that of any other single bit.
            bytes[at] ^= 0b101_u8.rotate_left(u32::from(bit)) ^ (1 << bit);
            prop_assert_eq!(flipped_bit(good, crc32(&bytes), len), None);
        }
    }
}
