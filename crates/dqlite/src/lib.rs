//! dqlite's files: info.yaml, cluster.yaml and what stands beside them.
