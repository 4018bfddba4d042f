//! Hostile ARPA files: no input may panic, hang or exhaust memory.
#![no_main]

#[path = "../exercise_arpa.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise::exercise(bytes);
});
