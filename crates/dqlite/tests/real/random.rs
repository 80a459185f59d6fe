//! Damage by numbers, of which each makes the same again.
#![allow(clippy::unwrap_used, dead_code)] // Each test uses some of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::State;

/// xorshift64*: a seed gives the same numbers again.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // Neighbouring seeds begin alike.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// One damage, and what it was.
pub fn damage(random: &mut Random, state: &State) -> String {
    let mut files: Vec<(String, u64)> = std::fs::read_dir(&state.0)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .filter(|(file, size)| *size > 0 && !file.contains("yaml"))
        .collect();
    files.sort();
    let (file, size) = random.one(&files).clone();
    let content = state.read(&file);
    let used = content
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(1, |last| last as u64 + 1);
    match random.below(8) {
        0..=2 => {
            let (at, bit) = (random.below(used), random.below(8));
            let byte = content[usize::try_from(at).unwrap()] ^ (1 << bit);
            state.patch(&file, at, &[byte]);
            format!("{file}: bit {bit} of byte {at} flipped")
        }
        3 => {
            let len = random.below(used + 64).min(size);
            state.cut(&file, len);
            format!("{file}: cut off at {len} of {used}/{size}")
        }
        4 => {
            let at = random.below(used) / 512 * 512;
            let len = 512.min(size - at);
            state.patch(&file, at, &vec![0; usize::try_from(len).unwrap()]);
            format!("{file}: {len} zeros at {at}")
        }
        5 => {
            state.remove(&file);
            format!("{file}: removed")
        }
        6 => {
            let (other, _) = random.one(&files).clone();
            state.write(&other, &content);
            format!("{file}: copied over {other}")
        }
        _ => {
            let to = match file.split_once('-') {
                Some((first, last)) if first.len() == 16 => {
                    let shift = random.below(3) + 1;
                    format!(
                        "{:016}-{:016}",
                        first.parse::<u64>().unwrap() + shift,
                        last.parse::<u64>().unwrap() + shift
                    )
                }
                _ => format!("open-{}", random.below(8) + 1),
            };
            state.rename(&file, &to);
            format!("{file}: renamed to {to}")
        }
    }
}

/// Plays so many rounds from `seed` on, several at a time, and collects what came of them.
pub fn rounds<T: Send>(seed: u64, count: u64, play: impl Fn(u64) -> Option<T> + Sync) -> Vec<T> {
    let (next, outcomes) = (AtomicU64::new(seed), Mutex::new(Vec::new()));
    let work = || loop {
        let round = next.fetch_add(1, Ordering::Relaxed);
        if round >= seed + count {
            break;
        }
        let outcome = play(round);
        outcomes.lock().unwrap().extend(outcome);
    };
    // A node that waits for a majority that never comes needs no processor.
    let workers = 3 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    outcomes.into_inner().unwrap()
}
