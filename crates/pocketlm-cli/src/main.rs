//! The `pocketlm` command.

fn main() {}
