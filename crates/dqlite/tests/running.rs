//! A directory that is written to while it is read.
#![allow(clippy::unwrap_used)]

mod real;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use real::{Fixture, GENERATIONS};
use two_node_ha_dqlite::Verdict;

/// How long dqlite leaves a segment that it has prepared, at least: longer than a file system's
/// clock takes to tick.
const PREPARED: Duration = Duration::from_millis(12);

#[test]
fn a_first_write_into_an_open_segment_while_it_is_read_is_no_damage() {
    for generation in GENERATIONS {
        let fixture = Fixture::unpack(generation, "killed");
        let state = fixture.dir("state");
        let segment = state.open();
        let content = state.read(&segment);
        let used = usize::try_from(*state.batches(&segment).last().unwrap()).unwrap();
        let writes = || {
            for _ in 0..60 {
                let prepared = fixture.dir("prepared").0;
                let file = File::create(&prepared).unwrap();
                file.set_len(content.len() as u64).unwrap();
                fs::rename(&prepared, state.path(&segment)).unwrap();
                thread::sleep(PREPARED);
                file.write_all_at(&content[..used], 0).unwrap();
            }
        };
        thread::scope(|scope| {
            let writer = scope.spawn(writes);
            while !writer.is_finished() {
                let report = state.report();
                assert_eq!(report.verdict, Verdict::Sound, "{generation}: {report:#?}");
            }
        });
    }
}
