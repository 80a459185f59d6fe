//! `two-node-ha peer setup`: each node's key for the one forced command, and the other's pinned
//! host keys. No sudo, no shell, no key of root's own.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use two_node_ha_command::{Call, Runner};
use two_node_ha_config::PEER_HOME;
use two_node_ha_disk::{atomic, private_directory};
use two_node_ha_node::Paths;

/// Our private key, in [`Paths::peer_keys`].
pub const KEY: &str = "id_ed25519";
/// The peer's host keys, in [`Paths::peer_keys`].
pub const KNOWN_HOSTS: &str = "known_hosts";
/// The only thing that the peer's key may do here.
const FORCED: &str = "restrict,command=\"/usr/bin/two-node-ha peer serve\"";

/// The version of a [`Bundle`].
pub const VERSION: u32 = 1;

/// What one node tells the other: nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`VERSION`]
    pub format: u32,
    /// The node it is from.
    pub node: String,
    /// `ssh-ed25519 AAAA…`
    pub public_key: String,
    /// The host keys of its sshd, each `type base64`.
    pub host_keys: Vec<String>,
}

/// Why the channel could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// ssh-keygen failed.
    #[error("making a key: {0}")]
    Keygen(String),
    /// sshd has no host key yet.
    #[error("no public host key in {0}: install openssh-server, or make them with `ssh-keygen -A`")]
    NoHostKey(PathBuf),
    /// What was given is not a peer's bundle.
    #[error("this is not what `two-node-ha peer setup --export` prints on the other node: {0}")]
    NotABundle(String),
}

/// Makes our key where there is none, and says what the peer must know.
///
/// # Errors
/// See [`Error`].
pub fn export(paths: &Paths, node: &str, runner: &dyn Runner) -> Result<Bundle, Error> {
    let directory = paths.peer_keys();
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    };
    private_directory(&directory).map_err(io("creating", &directory))?;
    let key = directory.join(KEY);
    if !key.exists() {
        let call = Call::new("ssh-keygen", Duration::from_secs(30)).args([
            "-q".into(),
            "-t".into(),
            "ed25519".into(),
            "-N".into(),
            String::new(),
            "-C".into(),
            format!("two-node-ha@{node}"),
            "-f".into(),
            key.display().to_string(),
        ]);
        let output = runner
            .run(&call)
            .map_err(|error| Error::Keygen(error.to_string()))?;
        if !output.success() {
            return Err(Error::Keygen(output.complaint()));
        }
    }
    let public = directory.join(format!("{KEY}.pub"));
    let text = std::fs::read_to_string(&public).map_err(io("reading", &public))?;
    let ssh = paths.at(Path::new("/etc/ssh"));
    let mut host_keys = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(&ssh)
        .map_err(io("reading", &ssh))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("ssh_host_") && name.ends_with("_key.pub") {
            let text = std::fs::read_to_string(&path).map_err(io("reading", &path))?;
            host_keys.extend(key_and_type(&text));
        }
    }
    if host_keys.is_empty() {
        return Err(Error::NoHostKey(ssh));
    }
    let public_key = key_and_type(&text)
        .ok_or_else(|| Error::Keygen(format!("{} is empty", public.display())))?;
    Ok(Bundle {
        format: VERSION,
        node: node.to_owned(),
        public_key,
        host_keys,
    })
}

/// Installs what the peer printed: its key for the forced command, its host keys pinned.
///
/// # Errors
/// See [`Error`].
pub fn import(paths: &Paths, peer: &str, text: &str) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let not = |error: serde_json::Error| Error::NotABundle(error.to_string());
    // The version comes before the fields: a newer bundle may lack or add any of them.
    let Head { format } = serde_json::from_str(text).map_err(not)?;
    if format != VERSION {
        return Err(Error::NotABundle(format!(
            "it has format {format}, and this version knows {VERSION}: install the same two-node-ha on \
             both nodes"
        )));
    }
    let bundle: Bundle = serde_json::from_str(text).map_err(not)?;
    if bundle.node != peer {
        return Err(Error::NotABundle(format!(
            "it is from {:?}, and this node's peer is {peer:?}",
            bundle.node
        )));
    }
    for key in bundle.host_keys.iter().chain([&bundle.public_key]) {
        if key_and_type(key).as_ref() != Some(key) {
            return Err(Error::NotABundle(format!("{key:?} is not an ssh key")));
        }
    }
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    };
    let directory = paths.peer_keys();
    private_directory(&directory).map_err(io("creating", &directory))?;
    let mut known_hosts = String::new();
    for key in &bundle.host_keys {
        let _ = writeln!(known_hosts, "{peer} {key}");
    }
    let path = directory.join(KNOWN_HOSTS);
    atomic::replace(&path, known_hosts.as_bytes()).map_err(io("writing", &path))?;

    // Root owns the file and the directories, so that the account cannot widen its own rights;
    // sshd reads it as the account, so it is readable: a public key is no secret.
    let home = paths.at(Path::new(PEER_HOME));
    let ssh = home.join(".ssh");
    for directory in [&home, &ssh] {
        match std::fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io("creating", directory)(error));
            }
            _ => {}
        }
        std::fs::set_permissions(
            directory,
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .map_err(io("setting the mode of", directory))?;
    }
    let path = ssh.join("authorized_keys");
    let line = format!("{FORCED} {} two-node-ha@{peer}\n", bundle.public_key);
    atomic::replace_with_mode(&path, line.as_bytes(), 0o644).map_err(io("writing", &path))
}

/// The first two fields of a public key line, if they look like a key.
fn key_and_type(line: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (kind, key) = (fields.next()?, fields.next()?);
    let plain = |text: &str, extra: &[char]| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
    };
    (plain(kind, &['-', '@', '.']) && plain(key, &['+', '/', '='])).then(|| format!("{kind} {key}"))
}

#[cfg(test)]
mod tests {
    use two_node_ha_command::scripted::Scripted;
    use two_node_ha_command::{Exit, Output};

    use super::*;

    fn bundle(node: &str, key: &str) -> String {
        serde_json::to_string(&Bundle {
            format: VERSION,
            node: node.into(),
            public_key: key.into(),
            host_keys: vec!["ssh-ed25519 AAAAhost".into()],
        })
        .unwrap()
    }

    #[test]
    fn what_the_peer_has_printed_is_read_in_the_form_of_its_version() {
        let here = two_node_ha_sample::contract::fixtures(env!("CARGO_MANIFEST_DIR"));
        let text = here.read(1, "peer-setup.json");
        let (_dir, paths) = scratch();
        import(&paths, "hatwo", &text).unwrap();
        assert_eq!(text.trim_end(), bundle("hatwo", "ssh-ed25519 AAAAkey"));
        let newer = r#"{"format": 2, "nodes": []}"#;
        let why = import(&paths, "hatwo", newer).unwrap_err().to_string();
        assert!(
            why.contains("format 2, and this version knows 1: install the same"),
            "{why}"
        );
    }

    fn scratch() -> (tempfile::TempDir, Paths) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        let paths = Paths::rooted(dir.path().to_path_buf());
        (dir, paths)
    }

    #[test]
    fn the_peers_key_may_only_run_the_forced_command() {
        let (dir, paths) = scratch();
        import(&paths, "hatwo", &bundle("hatwo", "ssh-ed25519 AAAAkey")).unwrap();
        let keys = dir
            .path()
            .join("var/lib/two-node-ha-peer/.ssh/authorized_keys");
        assert_eq!(
            std::fs::read_to_string(keys).unwrap(),
            "restrict,command=\"/usr/bin/two-node-ha peer serve\" ssh-ed25519 AAAAkey \
             two-node-ha@hatwo\n"
        );
        assert_eq!(
            std::fs::read_to_string(paths.peer_keys().join(KNOWN_HOSTS)).unwrap(),
            "hatwo ssh-ed25519 AAAAhost\n"
        );
    }

    #[test]
    fn a_key_that_would_smuggle_a_second_line_is_refused() {
        let (_dir, paths) = scratch();
        for key in [
            "ssh-ed25519 AAAA\nssh-ed25519 BBBB",
            "x y z",
            "ssh-ed25519",
            "\"a\" b",
        ] {
            assert!(
                import(&paths, "hatwo", &bundle("hatwo", key)).is_err(),
                "{key:?}"
            );
        }
    }

    #[test]
    fn another_nodes_bundle_is_refused() {
        let (_dir, paths) = scratch();
        let text = bundle("haone", "ssh-ed25519 AAAAkey");
        assert!(matches!(
            import(&paths, "hatwo", &text),
            Err(Error::NotABundle(_))
        ));
    }

    #[test]
    fn a_key_may_be_renewed_and_an_account_that_cannot_be_made_is_named() {
        let (dir, paths) = scratch();
        let home = dir.path().join("var/lib/two-node-ha-peer");
        for key in ["ssh-ed25519 AAAAkey", "ssh-ed25519 AAAAnew"] {
            import(&paths, "hatwo", &bundle("hatwo", key)).unwrap();
            let keys = std::fs::read_to_string(home.join(".ssh/authorized_keys")).unwrap();
            assert!(keys.contains(key), "{keys}");
        }
        std::fs::remove_dir_all(&home).unwrap();
        std::fs::write(&home, "").unwrap();
        let again = import(&paths, "hatwo", &bundle("hatwo", "ssh-ed25519 AAAAkey"));
        let why = again.unwrap_err().to_string();
        let expected = format!("creating {}: ", home.join(".ssh").display());
        assert!(why.starts_with(&expected), "{why}");
    }

    /// A machine whose sshd has one host key, among other files.
    fn with_host_key() -> (tempfile::TempDir, Paths) {
        let (dir, paths) = scratch();
        let ssh = dir.path().join("etc/ssh");
        std::fs::create_dir_all(&ssh).unwrap();
        for (name, text) in [
            ("ssh_host_ed25519_key", "not to be told\n"),
            (
                "ssh_host_ed25519_key.pub",
                "ssh-ed25519 AAAAhost root@haone\n",
            ),
            ("another_key.pub", "ssh-ed25519 AAAAother somebody\n"),
            ("sshd_config", "PermitRootLogin no\n"),
        ] {
            std::fs::write(ssh.join(name), text).unwrap();
        }
        (dir, paths)
    }

    fn keygen(code: i32, stderr: &'static str) -> Scripted {
        let line = "ssh-keygen -q -t ed25519 -N  -C two-node-ha@haone -f ";
        Scripted::new().answer_with(line, move |call| {
            let key = PathBuf::from(call.args.last().unwrap());
            if code == 0 {
                std::fs::write(&key, "secret\n").unwrap();
                let public = "ssh-ed25519 AAAAmine two-node-ha@haone\n";
                std::fs::write(key.with_extension("pub"), public).unwrap();
            }
            Ok(Output {
                exit: Exit::Code(code),
                stdout: Vec::new(),
                stderr: stderr.into(),
            })
        })
    }

    #[test]
    fn the_peer_is_told_the_public_keys_alone_and_the_same_each_time() {
        let (_dir, paths) = with_host_key();
        let runner = keygen(0, "");
        for _ in 0..2 {
            assert_eq!(
                export(&paths, "haone", &runner).unwrap(),
                Bundle {
                    format: VERSION,
                    node: "haone".into(),
                    public_key: "ssh-ed25519 AAAAmine".into(),
                    host_keys: vec!["ssh-ed25519 AAAAhost".into()],
                }
            );
            assert_eq!(runner.calls().len(), 1);
        }
    }

    #[test]
    fn what_ssh_keygen_complains_of_is_why_there_is_no_key() {
        let (_dir, paths) = with_host_key();
        let why = export(&paths, "haone", &keygen(1, "No space left\n")).unwrap_err();
        assert_eq!(why.to_string(), "making a key: No space left");
    }

    #[test]
    fn a_machine_without_a_host_key_is_told_how_to_make_one() {
        let (dir, paths) = with_host_key();
        let key = dir.path().join("etc/ssh/ssh_host_ed25519_key.pub");
        std::fs::remove_file(key).unwrap();
        let why = export(&paths, "haone", &keygen(0, "")).unwrap_err();
        assert!(why.to_string().contains("`ssh-keygen -A`"), "{why}");
    }
}
