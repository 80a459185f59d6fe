//! Fixtures of what is kept on a disk or sent to another program: `tests/fixtures/vN/NAME` of a crate
//! is a value in the form of version N.
//!
//! The newest form of each is compared byte for byte, so that it cannot change unnoticed; the older
//! ones must still be read. `UPDATE_GOLDEN=1` writes the newest anew.

use std::fs;
use std::path::{Path, PathBuf};

/// The fixtures of a crate: `env!("CARGO_MANIFEST_DIR")`.
#[must_use]
pub fn fixtures(manifest_dir: &str) -> Fixtures {
    Fixtures {
        dir: Path::new(manifest_dir).join("tests/fixtures"),
    }
}

/// A directory with one directory for each version.
#[derive(Debug)]
pub struct Fixtures {
    dir: PathBuf,
}

impl Fixtures {
    /// The text of `vVERSION/NAME`.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    #[allow(clippy::panic, reason = "a supply of tests")]
    pub fn read(&self, version: u32, name: &str) -> String {
        let path = self.path(version, name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Compares a value in today's form, whose version is `version`, with its fixture.
    ///
    /// # Panics
    /// When they differ: says what to do.
    #[allow(clippy::panic, reason = "a supply of tests")]
    pub fn is_todays(&self, version: u32, name: &str, text: &str) {
        let path = self.path(version, name);
        let text = format!("{}\n", text.trim_end());
        let found = || fs::read_to_string(&path).unwrap_or_default();
        // Only where it differs: other tests may be reading it.
        if std::env::var_os("UPDATE_GOLDEN").is_some() && found() != text {
            let written = path
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::write(&path, &text));
            if let Err(error) = written {
                panic!("{}: {error}", path.display());
            }
        }
        assert_eq!(
            found(),
            text,
            "\n{} is not what this program writes.\n\
             Where the program before can still read it (a field was added that it passes over, and \
             that is a `#[serde(default)]` here): keep the old file beside it under another name, \
             read it in a test, and write this one anew with UPDATE_GOLDEN=1.\n\
             Where it cannot: raise VERSION, leave this file as it is, read it in a test, and say in \
             the comment of VERSION what the program before makes of the new form.",
            path.display()
        );
    }

    fn path(&self, version: u32, name: &str) -> PathBuf {
        self.dir.join(format!("v{version}")).join(name)
    }
}
