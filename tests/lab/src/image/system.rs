//! The image that both nodes boot from: all layers, in one ext4 file system.

use super::Kernel;
use super::cache::{self, Recipe};
use crate::host;
use crate::places::Places;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What goes into the image.
pub struct Parts {
    /// Kernel whose modules the nodes load.
    pub kernel: Kernel,
    /// Tree of packages.
    pub base: PathBuf,
    /// Compiled stand-ins, where they are wanted.
    pub standins: Option<PathBuf>,
    /// The project's package, where it is wanted.
    pub package: Option<PathBuf>,
}

/// Size of a node's disk in MiB; sparse.
const DISK: u32 = 2048;

/// Builds the image, or finds it in the cache. The path is of the image file.
///
/// # Errors
/// When a part is missing or a step fails; the cache stays clean.
pub fn system(places: &Places, parts: &Parts) -> Result<PathBuf> {
    let root = places.guest().join("root");
    let setup = places.guest().join("setup.sh");
    let mut recipe = Recipe::new("system", 1);
    // Entries of the cache are named by their digests: their paths stand for their contents.
    for layer in [&parts.kernel.program(), &parts.base] {
        recipe.add(layer.as_os_str().as_encoded_bytes());
    }
    recipe.add_tree(&root)?;
    recipe.add_tree(&setup)?;
    if let Some(standins) = &parts.standins {
        recipe.add(standins.as_os_str().as_encoded_bytes());
        recipe.add_tree(&places.guest().join("standins/install.sh"))?;
    }
    if let Some(package) = &parts.package {
        recipe.add(&fs::read(package).with_context(|| format!("read {}", package.display()))?);
    }
    let dir = cache::entry(
        &places.cache,
        "system",
        "building the image of the nodes",
        recipe,
        |dir| build(places, parts, &root, &setup, dir),
    )?;
    Ok(dir.join("system.img"))
}

/// One shell in a mount namespace of its own: overlay over the base tree, everything laid on top,
/// then an ext4 image from the result. Nothing stays mounted however it ends.
fn build(places: &Places, parts: &Parts, root: &Path, setup: &Path, dir: &Path) -> Result<()> {
    const SCRIPT: &str = r#"
set -eu
mkdir "$dir/upper" "$dir/work" "$dir/tree"
# On some hosts (containers over overlayfs) there is no overlay on top of an overlay: copy.
if ! mount -t overlay overlay -o "lowerdir=$base,upperdir=$dir/upper,workdir=$dir/work" "$dir/tree" 2>/dev/null; then
    cp -a "$base/." "$dir/tree/"
fi
mkdir -p "$dir/tree/usr/lib/modules"
cp -a "$modules/." "$dir/tree/usr/lib/modules/"
cp -a "$root/." "$dir/tree/"
chown -R 0:0 "$dir/tree/etc/systemd/system"
if [ -n "$standins" ]; then sh "$install" "$standins" "$dir/tree"; fi
mount -t proc proc "$dir/tree/proc"
cp "$setup" "$dir/tree/setup.sh"
if [ -n "$package" ]; then cp "$package" "$dir/tree/package.deb"; fi
chroot "$dir/tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 sh /setup.sh >&2
rm -f "$dir/tree/setup.sh" "$dir/tree/package.deb"
umount "$dir/tree/proc"
truncate -s "${disk}M" "$dir/system.img"
mke2fs -q -t ext4 -m 1 -E lazy_itable_init=1,lazy_journal_init=1 -d "$dir/tree" "$dir/system.img"
umount "$dir/tree" 2>/dev/null || true
rm -rf "$dir/upper" "$dir/work" "$dir/tree"
"#;
    let empty = PathBuf::new();
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT])
        .env("dir", dir)
        .env("base", &parts.base)
        .env("modules", parts.kernel.modules())
        .env("root", root)
        .env("setup", setup)
        .env("standins", parts.standins.as_ref().unwrap_or(&empty))
        .env("install", places.guest().join("standins/install.sh"))
        .env("package", parts.package.as_ref().unwrap_or(&empty))
        .env("disk", DISK.to_string());
    host::run_long(&command)
        .context("build the image")
        .map(drop)
}
