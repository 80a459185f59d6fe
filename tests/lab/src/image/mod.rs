//! What the nodes boot from, in layers, each cached under a digest of what it is made of.
//!
//! | layer | made of | cost when cold |
//! |---|---|---|
//! | kernel | bookworm's `user-mode-linux`, the last whose kernel starts on every host from bookworm on | 5 s |
//! | xstate | `host/xstate.c`, preloaded into the kernel: it knows fewer registers than processors have | 1 s |
//! | builder | trixie, or bookworm, with a Go compiler and libdqlite | a minute and a half |
//! | stand-ins | their sources and the modules of `go.sum`, in a builder of trixie with a newer Go | a minute and a half |
//! | real dqlite | `crates/dqlite`'s test program, in the builder of trixie or bookworm | half a minute |
//! | base | trixie with `guest/packages` | a minute |
//! | system | base, stand-ins, guest files, the project's package, as an ext4 image | seconds |

mod cache;
mod system;

use crate::host;
use crate::places::Places;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use cache::{Recipe, entry as cache_entry};
pub use system::{Parts, system};

/// Debian of the nodes.
const SUITE: &str = "trixie";

/// Debian of their kernel; see facts in the module's table.
const KERNEL_SUITE: &str = "bookworm";

/// Gives a tree the suite's backports, too, from the mirror that it has already. A package of theirs is taken only where
/// the suite has none of that name.
const WITH_BACKPORTS: &str = r#"sed -n 's/^\(deb .*\) main$/\1-backports main/p;T;q' "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/backports.list""#;

/// A kernel tree: `usr/bin/linux.uml` and `usr/lib/uml/modules/VERSION`; and what is preloaded into it.
#[derive(Debug, Clone)]
pub struct Kernel {
    tree: PathBuf,
    preload: PathBuf,
}

impl Kernel {
    /// The program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.tree.join("usr/bin/linux.uml")
    }

    /// The library that lets it run on processors with more registers than it knows of.
    #[must_use]
    pub fn preload(&self) -> PathBuf {
        self.preload.join("xstate.so")
    }

    /// Directory with one directory of modules, named by version.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.tree.join("usr/lib/uml/modules")
    }
}

/// The kernel, fetched if it is not cached.
///
/// # Errors
/// When it cannot be fetched.
pub fn kernel(places: &Places) -> Result<Kernel> {
    let recipe = Recipe::new("kernel", 1);
    let path = cache::entry(
        &places.cache,
        "kernel",
        "fetching the kernel of the nodes",
        recipe,
        |dir| {
            mmdebstrap(
                KERNEL_SUITE,
                "extract",
                &["user-mode-linux".to_owned()],
                None,
                dir,
            )
        },
    )?;
    Ok(Kernel {
        tree: path,
        preload: preload(places)?,
    })
}

/// `tests/lab/host/xstate.c`, compiled for this machine.
fn preload(places: &Places) -> Result<PathBuf> {
    let source = places.repo.join("tests/lab/host/xstate.c");
    let mut recipe = Recipe::new("xstate", 1);
    recipe.add_tree(&source)?;
    cache::entry(
        &places.cache,
        "xstate",
        "compiling what is preloaded into the nodes' kernel",
        recipe,
        |dir| {
            let mut command = Command::new("cc");
            command
                .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
                .arg(dir.join("xstate.so"))
                .arg(&source)
                .arg("-ldl");
            host::run_command(&mut command).map(drop)
        },
    )
}

/// The tree of installed packages.
///
/// # Errors
/// When it cannot be made.
pub fn base(places: &Places) -> Result<PathBuf> {
    let mut packages = package_list(&places.guest().join("packages"))?;
    packages.extend(package_list(&places.guest().join("standins/packages.run"))?);
    tree(
        places,
        "base",
        "installing the packages of the nodes (a minute or two, once)",
        SUITE,
        &packages,
        None,
    )
}

/// The stand-ins for the k8s snap, compiled.
///
/// # Errors
/// When the builder cannot be made or the compilation fails.
pub fn standins(places: &Places) -> Result<PathBuf> {
    let sources = standin_sources(places);
    let packages = package_list(&sources.join("packages.build"))?;
    let mut recipe = Recipe::new("standins", 2);
    recipe.add_tree(&sources)?;
    packages.iter().for_each(|p| recipe.add(p.as_bytes()));
    cache::entry(
        &places.cache,
        "standins",
        "compiling the stand-ins of the k8s snap",
        recipe,
        |dir| {
            let mut command = Command::new("sh");
            command
                .arg(sources.join("build.sh"))
                .arg(builder(places, SUITE, &packages, Some(WITH_BACKPORTS))?)
                .arg(dir)
                .env("STANDINS_GOCACHE", go_cache(places, "go-build")?)
                .env("STANDINS_GOMODCACHE", go_cache(places, "go-modules")?);
            host::run_long(&command).map(drop)
        },
    )
}

/// The test program of `crates/dqlite`, compiled with the dqlite of a Debian suite: a directory
/// with `make`, which runs on this machine, and `generation`, the version of libdqlite.
///
/// # Errors
/// When the builder cannot be made or the compilation fails.
pub fn real_dqlite(places: &Places, suite: &str) -> Result<PathBuf> {
    let sources = places.repo.join("crates/dqlite/tests/fixtures/make");
    let packages = package_list(&sources.join("packages"))?;
    let mut recipe = Recipe::new("dqlite", 1);
    recipe.add(suite.as_bytes());
    packages.iter().for_each(|p| recipe.add(p.as_bytes()));
    for file in ["main.go", "build", "launch"] {
        recipe.add_tree(&sources.join(file))?;
    }
    cache::entry(
        &places.cache,
        "dqlite",
        &format!("compiling a program with the dqlite of {suite}"),
        recipe,
        |dir| {
            let mut command = Command::new(sources.join("build"));
            command
                .arg(dir)
                .arg(builder(places, suite, &packages, None)?)
                .env("MAKE_GOCACHE", go_cache(places, "go-build")?);
            host::run_long(&command).map(drop)
        },
    )
}

fn standin_sources(places: &Places) -> PathBuf {
    places.guest().join("standins")
}

/// The tree to compile in.
fn builder(
    places: &Places,
    suite: &str,
    packages: &[String],
    setup: Option<&str>,
) -> Result<PathBuf> {
    tree(
        places,
        "builder",
        &format!("installing a Go compiler of {suite} (a minute or two, once)"),
        suite,
        packages,
        setup,
    )
}

/// One of Go's own caches, for all builders: it tells their compilers apart.
fn go_cache(places: &Places, name: &str) -> Result<PathBuf> {
    let path = places.cache.join(name);
    fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

fn tree(
    places: &Places,
    kind: &str,
    what: &str,
    suite: &str,
    packages: &[String],
    setup: Option<&str>,
) -> Result<PathBuf> {
    let mut recipe = Recipe::new(kind, 1);
    recipe.add(suite.as_bytes());
    packages.iter().for_each(|p| recipe.add(p.as_bytes()));
    if let Some(setup) = setup {
        recipe.add(setup.as_bytes());
    }
    let path = cache::entry(&places.cache, kind, what, recipe, |dir| {
        mmdebstrap(suite, "minbase", packages, setup, &dir.join("tree"))
    })?;
    Ok(path.join("tree"))
}

/// Lists of package names: one a line, `#` starts a comment.
fn package_list(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut names: Vec<String> = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn mmdebstrap(
    suite: &str,
    variant: &str,
    packages: &[String],
    setup: Option<&str>,
    target: &Path,
) -> Result<()> {
    // The mirror is the built-in one of the suite; the keyring is named for hosts that are not Debian.
    let mut command = Command::new("mmdebstrap");
    command
        .arg(format!("--variant={variant}"))
        .arg(format!("--include={}", packages.join(",")))
        .arg("--keyring=/usr/share/keyrings/debian-archive-keyring.gpg")
        .arg("--aptopt=Acquire::Retries \"3\"")
        .arg("--aptopt=APT::Install-Recommends \"false\"");
    if variant == "minbase" {
        // Manuals and translations are never read in there, and would make every image larger.
        for path in [
            "/usr/share/doc/*",
            "/usr/share/man/*",
            "/usr/share/locale/*",
            "/usr/share/info/*",
        ] {
            command.arg(format!("--dpkgopt=path-exclude={path}"));
        }
    }
    if let Some(setup) = setup {
        command.arg(format!("--setup-hook={setup}"));
    }
    command.arg(suite).arg(target);
    host::run_long(&command)
        .with_context(|| format!("install Debian {suite} packages into {}", target.display()))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::WITH_BACKPORTS;
    use std::fs;
    use std::process::Command;

    #[test]
    fn a_trees_backports_come_from_the_mirror_that_it_has() {
        for options in ["", "[signed-by=\"/keyring.gpg\"] "] {
            let tree = tempfile::tempdir().unwrap();
            let apt = tree.path().join("etc/apt");
            fs::create_dir_all(apt.join("sources.list.d")).unwrap();
            let sources = format!(
                "deb {options}http://mirror.invalid/debian trixie main\n\
                 deb {options}http://mirror.invalid/debian trixie-updates main\n"
            );
            fs::write(apt.join("sources.list"), sources).unwrap();
            // As mmdebstrap runs a hook.
            let hook = Command::new("sh")
                .args(["-c", WITH_BACKPORTS, "exec"])
                .arg(tree.path())
                .status();
            assert!(hook.unwrap().success());
            assert_eq!(
                fs::read_to_string(apt.join("sources.list.d/backports.list")).unwrap(),
                format!("deb {options}http://mirror.invalid/debian trixie-backports main\n")
            );
        }
    }
}
