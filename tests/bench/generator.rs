//! Our generator against zram-generator, side by side in one run: wall time of the whole process,
//! instructions, children. Prints; asserts nothing about time.
//!
//! `tests/bench/generator` builds zram-generator and runs this.

#![allow(clippy::unwrap_used)] // A bench that panics has failed.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs of each program, taking turns, so that whatever else the machine does falls on all alike.
const RUNS: usize = 400;

/// A program with a configuration.
struct Subject {
    name: &'static str,
    program: PathBuf,
    env: Vec<(&'static str, PathBuf)>,
    output: PathBuf,
    /// How many files and links it wrote.
    written: usize,
    times: Vec<Duration>,
}

impl Subject {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .args(["normal", "early", "late"].map(|dir| self.output.join(dir)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }

    /// Fresh directories, as systemd makes them before each run.
    fn reset(&self) {
        let _ = fs::remove_dir_all(&self.output);
        for dir in ["normal", "early", "late"] {
            fs::create_dir_all(self.output.join(dir)).unwrap();
        }
    }

    fn run(&mut self) {
        self.reset();
        let mut command = self.command();
        let began = Instant::now();
        let status = command.status().unwrap();
        self.times.push(began.elapsed());
        assert!(
            status.success(),
            "{}: {status} {:?}",
            self.name,
            status.signal()
        );
    }

    fn percentile(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort();
        times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
    }

    /// Instructions in user space, children included; `None` without valgrind.
    fn instructions(&self, scratch: &Path) -> Option<u64> {
        self.reset();
        let mut command = Command::new("/usr/bin/valgrind");
        let log = scratch.join("callgrind.log");
        command
            .args(["--tool=callgrind", "--trace-children=yes"])
            .arg(format!(
                "--callgrind-out-file={}",
                scratch.join("out.%p").display()
            ))
            .arg(format!("--log-file={}.%p", log.display()))
            .arg(&self.program);
        self.prepare(&mut command);
        command.status().ok()?;
        let mut sum = 0;
        for entry in fs::read_dir(scratch).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("callgrind.log.") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    if let Some((_, count)) = line.split_once("Collected : ") {
                        sum += count.trim().parse::<u64>().unwrap();
                    }
                }
            }
            fs::remove_file(path).unwrap();
        }
        Some(sum)
    }

    /// System calls and started programs; `None` without strace.
    fn calls(&self, scratch: &Path) -> Option<(usize, usize)> {
        self.reset();
        let trace = scratch.join("trace");
        let mut command = Command::new("/usr/bin/strace");
        command
            .args(["-f", "-qq", "-o"])
            .arg(&trace)
            .arg(&self.program);
        self.prepare(&mut command);
        command.status().ok()?;
        let trace = fs::read_to_string(&trace).unwrap();
        let calls = trace
            .lines()
            .filter(|l| l.contains('(') && !l.contains("resumed>"));
        let mut processes: Vec<&str> = trace.lines().filter_map(|l| l.split(' ').next()).collect();
        processes.sort_unstable();
        processes.dedup();
        Some((calls.count(), processes.len() - 1))
    }
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                count(&path)
            } else {
                1
            }
        })
        .sum()
}

const OURS: &str = r#"
node = [{ name = "haone", address = "10.0.0.1" }, { name = "hatwo", address = "10.0.0.2" }]
volume.backing_file = "/opt/drbd0-backstore"
fencing.mode = "constraint"
"#;

fn main() {
    let scratch = tempfile::Builder::new()
        .prefix("two-node-ha-bench")
        // As /run is: in memory.
        .tempdir_in("/dev/shm")
        .unwrap();
    let root = |name: &str, file: &str, text: &str| {
        let root = scratch.path().join(name);
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        fs::create_dir_all(root.join("proc")).unwrap();
        fs::write(root.join("proc/meminfo"), "MemTotal: 8388608 kB\n").unwrap();
        root
    };
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_two-node-ha-generator"));
    let zram = std::env::var_os("ZRAM_GENERATOR").map(PathBuf::from);
    let path: PathBuf = "/usr/bin:/bin".into();

    let mut subjects = Vec::new();
    let mut add = |name, program: &Path, env: Vec<(&'static str, PathBuf)>| {
        subjects.push(Subject {
            name,
            program: program.to_owned(),
            env,
            output: scratch.path().join(format!("out-{name}")),
            written: 0,
            times: Vec::new(),
        });
    };
    let configured = root("ours", "etc/two-node-ha.toml", OURS);
    let empty = root("empty", "etc/.keep", "");
    let node = ("TWO_NODE_HA_NODE", PathBuf::from("haone"));
    add(
        "two-node-ha",
        &ours,
        vec![("TWO_NODE_HA_ROOT", configured), node],
    );
    add(
        "two-node-ha, no config",
        &ours,
        vec![("TWO_NODE_HA_ROOT", empty.clone())],
    );
    if let Some(zram) = &zram {
        let file = "etc/systemd/zram-generator.conf";
        let configured = root(
            "zram",
            file,
            "[zram0]\nzram-size = ram / 2\nwriteback-device = /dev/x\n",
        );
        let with = |root, path| vec![("ZRAM_GENERATOR_ROOT", root), ("PATH", path)];
        add(
            "zram-generator",
            zram,
            with(configured.clone(), path.clone()),
        );
        add(
            "zram-generator, no child",
            zram,
            with(configured, "/nonexistent".into()),
        );
        add("zram-generator, no config", zram, with(empty, path));
    }
    // What any process costs here.
    add("/bin/true", Path::new("/bin/true"), Vec::new());

    for round in 0..RUNS + 10 {
        for subject in &mut subjects {
            subject.run();
            if round < 10 {
                subject.times.clear();
                subject.written = count(&subject.output);
            }
        }
    }

    println!("{RUNS} runs of each, taking turns; milliseconds of wall time for the whole process");
    println!(
        "{:<26}{:>8}{:>8}{:>8}{:>9}{:>14}{:>8}{:>10}",
        "", "median", "10 %", "90 %", "written", "instructions", "calls", "children"
    );
    let mut instructions = Vec::new();
    let trace = scratch.path().join("trace-files");
    fs::create_dir(&trace).unwrap();
    for subject in &subjects {
        let shown = |value: Option<String>| value.unwrap_or_else(|| "?".to_owned());
        let executed = subject.instructions(&trace);
        let calls = subject.calls(&trace);
        println!(
            "{:<26}{:>8.3}{:>8.3}{:>8.3}{:>9}{:>14}{:>8}{:>10}",
            subject.name,
            subject.percentile(50),
            subject.percentile(10),
            subject.percentile(90),
            subject.written,
            shown(executed.map(|n| n.to_string())),
            shown(calls.map(|(calls, _)| calls.to_string())),
            shown(calls.map(|(_, children)| children.to_string())),
        );
        instructions.push(executed);
    }
    for (i, other) in subjects
        .iter()
        .enumerate()
        .filter(|(_, s)| s.name.starts_with("zram"))
    {
        let own = usize::from(other.name.ends_with("no config"));
        let mut line = format!(
            "ratio to {:<26} wall {:.2}",
            other.name,
            subjects[own].percentile(50) / other.percentile(50)
        );
        if let (Some(ours), Some(theirs)) = (instructions[own], instructions[i]) {
            #[allow(clippy::cast_precision_loss)] // Two decimals of a ratio.
            let ratio = ours as f64 / theirs as f64;
            line += &format!(", instructions {ratio:.2}");
        }
        println!("{line}");
    }
    if zram.is_none() {
        println!("no zram-generator to compare with: tests/bench/generator builds one");
    }
}
