//! libFuzzer's way to the target `sort`, which is shared with the tests.

#![no_main]

#[path = "../../crates/clause/tests/it/targets.rs"]
#[allow(dead_code, reason = "each target is a program of its own")]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| targets::sort(&String::from_utf8_lossy(bytes)));
