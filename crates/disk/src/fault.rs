//! Why a file system takes no change.

/// What is wrong with a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fewer bytes than what raft allocates at a start are left.
    Full,
    /// No inode is left.
    NoInodes,
    /// It is mounted read-only, or the kernel has made it so after an error.
    ReadOnly,
}
