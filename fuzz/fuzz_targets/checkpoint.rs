//! Hostile checkpoints: configuration, vocabulary, tokenizer and tensors.
#![no_main]

#[path = "../exercise_checkpoint.rs"]
mod exercise;

use std::path::PathBuf;
use std::sync::LazyLock;

/// In memory where there is such a place.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("pocketlm-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the inputs");
    folder
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise::exercise(bytes, &FOLDER);
});
