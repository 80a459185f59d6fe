//! Where the lab keeps its things.

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};
use std::env;
use std::path::{Path, PathBuf};

/// All paths of one instance of the lab.
#[derive(Debug, Clone)]
pub struct Places {
    /// Root of the repository: sources of the guest's files.
    pub repo: PathBuf,
    /// Images and trees, keyed by what they are made of; shared by all instances.
    pub cache: PathBuf,
    /// Disks, consoles and shared directories of this instance.
    pub instance: PathBuf,
    /// The supervisor's socket. Under /run, because a socket's path has at most 107 bytes.
    pub socket: PathBuf,
    /// Name of the instance.
    pub name: String,
}

impl Places {
    /// Places of the instance `name`.
    ///
    /// # Errors
    /// When the repository cannot be found, or the name cannot be part of a file name.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            bail!("instance name {name:?}: use letters, digits and dashes only");
        }
        let repo = find_repo()?;
        let cache = env::var_os("TWO_NODE_HA_LAB_CACHE")
            .map_or_else(|| repo.join(".lab/cache"), PathBuf::from);
        let instance = repo.join(".lab/run").join(name);
        // Instances of two clones of the repository may have the same name.
        let digest = Sha256::digest(instance.as_os_str().as_encoded_bytes());
        let digest: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
        Ok(Self {
            cache,
            socket: PathBuf::from(format!("/run/two-node-ha-lab/{name}-{digest}.sock")),
            instance,
            name: name.to_owned(),
            repo,
        })
    }

    /// Files that go into every guest.
    #[must_use]
    pub fn guest(&self) -> PathBuf {
        self.repo.join("tests/lab/guest")
    }

    /// Directory of one node: its disk, console and shared directory.
    #[must_use]
    pub fn node(&self, node: &str) -> PathBuf {
        self.instance.join(node)
    }

    /// The host's side of the node's `/host`.
    #[must_use]
    pub fn host_dir(&self, node: &str) -> PathBuf {
        self.node(node).join("host")
    }

    /// What the supervisor says; for the case that it cannot say it to anyone.
    #[must_use]
    pub fn supervisor_log(&self) -> PathBuf {
        self.instance.join("supervisor.log")
    }
}

/// The repository this program was built from, or the one around the working directory.
fn find_repo() -> Result<PathBuf> {
    let is_repo = |dir: &Path| dir.join("tests/lab/guest/packages").is_file();
    let here = env::current_dir().context("find the working directory")?;
    if let Some(found) = here.ancestors().find(|dir| is_repo(dir)) {
        return Ok(found.to_owned());
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if is_repo(&built) {
        return built.canonicalize().context("find the repository");
    }
    bail!(
        "no tests/lab/guest/packages in {} or above: run the lab inside the repository",
        here.display()
    )
}
