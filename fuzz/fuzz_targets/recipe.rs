//! Hostile recipes: of a training, of a compression and of a sweep.
#![no_main]

#[path = "../exercise_recipe.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    exercise::exercise(bytes);
});
