//! Running the real binary over a case: a directory with what is in `/etc`, and what must come out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

/// The generator that cargo built for these tests.
pub const GENERATOR: &str = env!("CARGO_BIN_EXE_two-node-ha-generator");

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory's mode.
    Dir(u32),
    /// A file's mode and content.
    File(u32, String),
    /// A link's target.
    Link(String),
}

/// A whole tree by relative path, without its root.
pub type Tree = BTreeMap<String, Entry>;

/// Reads a directory tree; one that is not there is empty, as git keeps no empty directories.
pub fn read_tree(root: &Path) -> Tree {
    fn walk(root: &Path, dir: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let meta = path.symlink_metadata().unwrap();
            let mode = meta.permissions().mode() & 0o7777;
            let entry = if meta.is_symlink() {
                Entry::Link(fs::read_link(&path).unwrap().to_str().unwrap().to_owned())
            } else if meta.is_dir() {
                walk(root, &path, tree);
                Entry::Dir(mode)
            } else {
                Entry::File(mode, fs::read_to_string(&path).unwrap())
            };
            tree.insert(name, entry);
        }
    }
    let mut tree = Tree::new();
    if root.exists() {
        walk(root, root, &mut tree);
    }
    tree
}

/// One directory below `tests/cases`.
pub struct Case {
    /// `NN-name`.
    pub name: String,
    /// The directory.
    pub dir: PathBuf,
}

impl Case {
    /// The case of that name.
    pub fn named(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cases")
            .join(name);
        assert!(dir.is_dir(), "no case {name}");
        Self {
            name: name.to_owned(),
            dir,
        }
    }

    /// All of them, sorted.
    pub fn all() -> Vec<Self> {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let mut names: Vec<String> = fs::read_dir(cases)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.iter().map(|name| Self::named(name)).collect()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// The variables in the file `env`, one `KEY=VALUE` a line. The node is the first one unless
    /// it says otherwise: the host that tests run on is in no configuration.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = vec![("TWO_NODE_HA_NODE".to_owned(), "haone".to_owned())];
        for line in self.file("env").lines() {
            let (key, value) = line.split_once('=').unwrap();
            env.push((key.to_owned(), value.to_owned()));
        }
        env
    }

    /// What the file `log` expects in the kernel's log.
    pub fn log(&self) -> String {
        self.file("log")
    }

    /// The expected tree.
    pub fn expected(&self) -> Tree {
        read_tree(&self.dir.join("expected"))
    }

    /// Whether systemd would give it one directory only.
    pub fn one_argument(&self) -> bool {
        self.file("arguments").trim() == "1"
    }

    /// The generator, about to run on this case with `out/{normal,early,late}`.
    pub fn command(&self, out: &Path) -> Command {
        let mut command = Command::new(GENERATOR);
        self.prepare(&mut command, out);
        command
    }

    /// An accepted configuration tells by its time when that was; git keeps none.
    pub fn set_time_of_acceptance(&self) {
        let accepted = self.dir.join("in/var/lib/two-node-ha/accepted.toml");
        if accepted.exists() {
            let at = UNIX_EPOCH + Duration::from_secs(1_795_552_215);
            fs::File::open(accepted).unwrap().set_modified(at).unwrap();
        }
    }

    /// Adds the environment and the arguments of this case to a command.
    pub fn prepare(&self, command: &mut Command, out: &Path) {
        self.set_time_of_acceptance();
        command
            .env_clear()
            .envs(self.env())
            .env("TWO_NODE_HA_ROOT", self.dir.join("in"))
            .arg(out.join("normal"));
        if !self.one_argument() {
            command.args([out.join("early"), out.join("late")]);
        }
    }
}

/// Makes `out/{normal,early,late}` as systemd makes them before it runs generators.
pub fn make_dirs(out: &Path) {
    for dir in ["normal", "early", "late"] {
        fs::create_dir_all(out.join(dir)).unwrap();
    }
}

/// The program must have said nothing but `log`, and done well.
pub fn assert_run(case: &str, output: &Output, log: &str) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let said: String = stderr
        .lines()
        .map(|line| format!("{}\n", line.trim_start_matches("two-node-ha-generator: ")))
        .collect();
    assert!(
        output.status.success(),
        "{case}: {:?}\n{stderr}",
        output.status
    );
    assert_eq!(said, log, "{case}: the log");
    assert!(output.stdout.is_empty(), "{case}: {:?}", output.stdout);
}
