//! What the generator is about to write: a tree of files and links, complete before anything is
//! written.

use std::collections::BTreeMap;

/// One thing in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A regular file, mode 0644.
    File {
        /// All of it.
        content: String,
    },
    /// A symbolic link.
    Symlink {
        /// As it is written into the link.
        target: String,
    },
}

/// Paths relative to the generator's normal directory, and what stands there. Sorted, so that the
/// same input gives the same order of writing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Entry>);

impl Tree {
    /// Adds a file. `path` is relative; a second entry of the same path replaces the first.
    pub fn file(&mut self, path: String, content: String) {
        self.0.insert(path, Entry::File { content });
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: String, target: String) {
        self.0.insert(path, Entry::Symlink { target });
    }

    /// Whether something stands at that path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All entries in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }
}
