//! Attaching a backing file to a loop device, idempotently.
