//! What a handler is passed: the seeds of the fuzz target.

use std::path::Path;

#[path = "checks/environment.rs"]
mod check;

#[test]
fn every_seed_of_the_fuzz_target_is_understood_without_a_contradiction() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/environment");
    let mut count = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        check::environment(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 4, "{count}");
}
