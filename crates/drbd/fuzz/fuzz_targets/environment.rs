#![no_main]

#[path = "../../tests/checks/environment.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::environment(bytes));
