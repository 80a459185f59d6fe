//! Where the files are.

use std::path::{Path, PathBuf};

/// The root that every path is below: `/`, but for tests.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// `TWO_NODE_HA_ROOT`, which the kernel, drbdadm and udev never set.
    pub fn from_env() -> Self {
        Self(
            std::env::var_os("TWO_NODE_HA_ROOT")
                .unwrap_or_else(|| "/".into())
                .into(),
        )
    }

    /// An absolute path, below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0
            .join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}
