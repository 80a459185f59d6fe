//! What it costs to start the handlers' program: a handler that has nothing to do, called as DRBD
//! calls it, against `/bin/true` and against an empty bash, which is what a handler in shell pays
//! before its first line. In turns in one run; prints, asserts nothing about time.
//!
//! `make bench`, or `cargo bench -p two-node-ha-hook --bench cold-start`.

#![allow(clippy::unwrap_used)] // A bench that panics has failed.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs of each, taking turns, so that whatever else the machine does falls on all alike.
const RUNS: usize = 400;
/// Runs before those, which fill the caches.
const WARM: usize = 10;

/// In milliseconds.
const GOAL: f64 = 5.0;

const CONFIG: &str = r#"
node = [{ name = "alpha", address = "10.0.0.1" }, { name = "beta", address = "10.0.0.2" }]
volume.backing_file = "/opt/drbd0-backstore"
fencing.mode = "constraint"
"#;

/// What the kernel and drbdadm of 8.4 pass.
const ENVIRONMENT: [(&str, &str); 11] = [
    ("HOME", "/"),
    ("TERM", "linux"),
    ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin"),
    ("DRBD_CONF", "/etc/drbd.conf"),
    ("DRBD_RESOURCE", "r0"),
    ("DRBD_PEER", "beta"),
    ("DRBD_PEER_AF", "ipv4"),
    ("DRBD_PEER_ADDRESS", "10.0.0.2"),
    ("DRBD_MINOR", "0"),
    ("DRBD_VOLUME", "0"),
    ("DRBD_LL_DISK", "/dev/lodrbd0"),
];

/// A root with a configuration, and with a journal that listens.
struct Machine {
    root: TempDir,
    journal: UnixDatagram,
}

impl Machine {
    fn new(below: &Path) -> Self {
        let root = tempfile::Builder::new()
            .prefix("two-node-ha-bench")
            .tempdir_in(below)
            .unwrap();
        for dir in ["etc", "run/systemd/journal", "var/lib"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("etc/two-node-ha.toml"), CONFIG).unwrap();
        let journal = UnixDatagram::bind(root.path().join("run/systemd/journal/socket")).unwrap();
        journal.set_nonblocking(true).unwrap();
        Self { root, journal }
    }

    /// Takes what one call left, as the journal and the agent do, and sees that it was all.
    fn take(&self) {
        let mut record = [0; 4096];
        assert!(self.journal.recv(&mut record).is_ok(), "no record");
        let events = self.root.path().join("var/lib/two-node-ha/events");
        let mut taken = 0;
        for event in fs::read_dir(events).unwrap() {
            fs::remove_file(event.unwrap().path()).unwrap();
            taken += 1;
        }
        assert_eq!(taken, 1, "events");
    }
}

struct Subject<'a> {
    name: &'static str,
    command: Command,
    machine: Option<&'a Machine>,
    times: Vec<Duration>,
}

impl<'a> Subject<'a> {
    fn new(name: &'static str, words: &[&str], machine: Option<&'a Machine>) -> Self {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs(ENVIRONMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(machine) = machine {
            command.env("TWO_NODE_HA_ROOT", machine.root.path());
        }
        Self {
            name,
            command,
            machine,
            times: Vec::new(),
        }
    }

    fn run(&mut self) {
        let began = Instant::now();
        let status = self.command.status().unwrap();
        self.times.push(began.elapsed());
        assert!(status.success(), "{}: {status}", self.name);
        if let Some(machine) = self.machine {
            machine.take();
        }
    }

    fn percentile(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
    }
}

fn main() {
    let memory = Machine::new(Path::new("/dev/shm"));
    let disk = Machine::new(&std::env::temp_dir());
    let hook = env!("CARGO_BIN_EXE_two-node-ha-hook");
    // Its answer is always the same, and the peer stands still until it is there.
    let handler = [hook, "before-resync-source", "minor-0"];
    let mut subjects = [
        Subject::new("/bin/true", &["/bin/true"], None),
        Subject::new("bash -c :", &["/bin/bash", "-c", ":"], None),
        Subject::new("handler, event in memory", &handler, Some(&memory)),
        Subject::new("handler, event on the disk", &handler, Some(&disk)),
    ];
    for round in 0..WARM + RUNS {
        for subject in &mut subjects {
            if round == WARM {
                subject.times.clear();
            }
            subject.run();
        }
    }

    println!("{RUNS} runs of each, taking turns; milliseconds of wall time for the whole process");
    println!("{:<28}{:>8}{:>8}{:>8}", "", "median", "10 %", "90 %");
    for subject in &subjects {
        let [median, low, high] = [50, 10, 90].map(|percent| subject.percentile(percent));
        println!("{:<28}{median:>8.3}{low:>8.3}{high:>8.3}", subject.name);
    }
    let (peers, handlers) = subjects.split_at(2);
    for handler in handlers {
        let took = handler.percentile(50);
        for peer in peers {
            let ratio = took / peer.percentile(50);
            println!("{}: {ratio:.2} times {}", handler.name, peer.name);
        }
        println!(
            "{}: {:.2} of the goal, {GOAL} ms",
            handler.name,
            took / GOAL
        );
    }
}
