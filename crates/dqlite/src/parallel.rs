//! The files whose size matters, read on as many processors as there are.

use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Mutex;
use std::thread;

use crate::listing::Version;
use crate::name::Name;
use crate::segment::{Segment, read_segment};
use crate::snapshot::{Data, DataFault, read_data};

/// More readers than this would only wait for the memory.
const MOST_READERS: usize = 4;
/// For less than this, in bytes, no second reader is worth starting.
const WORTHWHILE: u64 = 4 << 20;

/// A closed segment or a snapshot's data half.
#[derive(Debug)]
pub(crate) struct Job {
    pub file: String,
    pub name: Name,
    pub version: Version,
    pub source: File,
}

/// What was read.
#[derive(Debug, Clone)]
pub(crate) enum Large {
    /// Of a segment.
    Segment(Box<Segment>),
    /// Of a snapshot's data half.
    Data(Result<Data, DataFault>),
}

type Read = (Job, io::Result<Large>);

/// Reads all of them, in no particular order.
pub(crate) fn read(jobs: Vec<Job>) -> Vec<Read> {
    let total: u64 = jobs.iter().map(|job| job.version.size).sum();
    let readers = match thread::available_parallelism() {
        Ok(processors) if total >= WORTHWHILE => processors.get().min(MOST_READERS),
        Ok(_) | Err(_) => 1,
    };
    // One after the other: a decompressor takes more memory than all the rest.
    let is_snapshot = |job: &Job| matches!(job.name, Name::Snapshot(_));
    let (snapshots, segments): (Vec<_>, Vec<_>) = jobs.into_iter().partition(is_snapshot);
    let queue = Mutex::new(segments);
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().ok().and_then(|mut queue| queue.pop());
    let finish = |job: Job| {
        let read = one(&job);
        if let Ok(mut done) = done.lock() {
            done.push((job, read));
        }
    };
    thread::scope(|scope| {
        for _ in 1..readers {
            // Where there is no second thread to be had, the first one reads it all.
            let _ = thread::Builder::new().spawn_scoped(scope, || {
                while let Some(job) = next() {
                    finish(job);
                }
            });
        }
        snapshots.into_iter().for_each(finish);
        while let Some(job) = next() {
            finish(job);
        }
    });
    done.into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(job: &Job) -> io::Result<Large> {
    Ok(match job.name {
        Name::Snapshot(_) => {
            Large::Data(read_data(BufReader::with_capacity(64 * 1024, &job.source))?)
        }
        Name::Yaml
        | Name::Join
        | Name::Metadata(_)
        | Name::Closed { .. }
        | Name::Open { .. }
        | Name::Meta(_)
        | Name::Other => Large::Segment(Box::new(read_segment(&job.source, job.version.size)?)),
    })
}
