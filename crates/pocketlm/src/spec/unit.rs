//! What a token is.

use super::named;

named! {
    /// What a token is.
    Unit {
        /// Words between white space.
        Word = "word",
        /// Single characters; a line's end is `<eos>`.
        Character = "character",
        /// Pieces of byte-pair encoding; not yet packed.
        Bpe = "bpe",
    }
}
