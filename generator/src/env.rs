//! What systemd tells a generator, and what a test may tell it instead.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Why there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// A user's service manager: nothing of ours belongs there.
    UserScope,
    /// The initial RAM disk: the real root, and with it the configuration, comes later.
    Initrd,
}

/// The command line and the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Env {
    /// The directory whose units beat `/usr` and lose to `/etc`. The only one of the three that
    /// we use: an administrator's own unit or mask wins over ours.
    pub normal: PathBuf,
    /// `TWO_NODE_HA_ROOT`: everything that is read stands beneath it. For tests; default `/`.
    pub root: PathBuf,
    /// `TWO_NODE_HA_NODE`: which of the two nodes this is, whatever its host name.
    pub node: Option<String>,
}

impl Env {
    /// Reads the command line (without the program's name) and the environment.
    ///
    /// # Errors
    /// A text for the user, when the arguments are not one or three directories, or when a
    /// variable is not Unicode.
    pub fn read(
        mut arguments: impl Iterator<Item = OsString>,
        var: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let normal = arguments.next();
        let (Some(normal), 0 | 2) = (normal, arguments.count()) else {
            return Err(
                "usage: two-node-ha-generator NORMAL-DIR [EARLY-DIR LATE-DIR]\n\
                 systemd runs this program; to see its output, give it an empty directory"
                    .to_owned(),
            );
        };
        let node = match var("TWO_NODE_HA_NODE").filter(|v| !v.is_empty()) {
            None => None,
            Some(name) => Some(
                name.into_string()
                    .map_err(|name| format!("TWO_NODE_HA_NODE={name:?} is not UTF-8"))?,
            ),
        };
        Ok(Self {
            normal: PathBuf::from(normal),
            root: var(two_node_ha_node::ROOT_VARIABLE)
                .filter(|v| !v.is_empty())
                .map_or_else(|| PathBuf::from("/"), PathBuf::from),
            node,
        })
    }

    /// Whether this is not the place for us: by systemd's variables, and before systemd 251, which
    /// has none, by the file that marks an initial RAM disk.
    pub fn skip(&self, var: impl Fn(&str) -> Option<OsString>) -> Option<Skip> {
        if var("SYSTEMD_SCOPE").is_some_and(|scope| scope == "user") {
            return Some(Skip::UserScope);
        }
        let initrd = match var("SYSTEMD_IN_INITRD") {
            Some(answer) => answer == "1",
            None => self.rooted("/etc/initrd-release").exists(),
        };
        initrd.then_some(Skip::Initrd)
    }

    /// An absolute path beneath the root.
    #[must_use]
    pub fn rooted(&self, path: &str) -> PathBuf {
        rooted(&self.root, path)
    }
}

fn rooted(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(args: &[&str], vars: &'static [(&'static str, &'static str)]) -> Result<Env, String> {
        Env::read(args.iter().map(OsString::from), lookup(vars))
    }

    fn lookup(
        vars: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<OsString> + Copy {
        move |name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn one_or_three_directories_are_taken_and_nothing_else() {
        assert_eq!(env(&["/n"], &[]).unwrap().normal, Path::new("/n"));
        assert_eq!(
            env(&["/n", "/e", "/l"], &[]).unwrap().normal,
            Path::new("/n")
        );
        for wrong in [&[][..], &["/n", "/e"], &["/n", "/e", "/l", "/x"]] {
            assert!(env(wrong, &[]).unwrap_err().contains("usage"));
        }
    }

    #[test]
    fn the_user_scope_and_the_initrd_are_skipped() {
        let empty = tempfile::tempdir().unwrap();
        let mut env = env(&["/n"], &[]).unwrap();
        env.root = empty.path().to_owned();
        let skip = |vars| env.skip(lookup(vars));
        assert_eq!(skip(&[("SYSTEMD_SCOPE", "user")]), Some(Skip::UserScope));
        assert_eq!(skip(&[("SYSTEMD_SCOPE", "system")]), None);
        assert_eq!(skip(&[("SYSTEMD_IN_INITRD", "1")]), Some(Skip::Initrd));
        assert_eq!(skip(&[("SYSTEMD_IN_INITRD", "0")]), None);
        assert_eq!(skip(&[]), None);
    }

    #[test]
    fn without_systemds_variables_the_initrd_is_known_by_its_release_file() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/initrd-release"), "").unwrap();
        let mut env = env(&["/n"], &[]).unwrap();
        env.root = root.path().to_owned();
        assert_eq!(env.skip(lookup(&[])), Some(Skip::Initrd));
    }
}
