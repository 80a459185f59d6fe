#![no_main]
#![allow(dead_code)]

// The program's own modules: it is no library.
#[path = "../check.rs"]
mod check;
#[path = "../../src/handler.rs"]
mod handler;
#[path = "../../src/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::environment(bytes));
