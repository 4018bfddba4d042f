//! ARPA files, the text form of n-gram models that other programs read and write.
//!
//! Numbers are logarithms to base 10. `<s>` has the probability 1 (`0`), as `lmplz` writes it, since nothing predicts
//! it; back-off weights of 1 are written where an n-gram is a context.

mod contexts;
mod lines;
mod read;
mod write;

pub use read::{FLOOR, Import, Options, Unknown, read, read_from};
pub use write::{check, write};

/// The begin of a sentence.
const BEGIN: &str = "<s>";
/// Its end.
const END: &str = "</s>";
