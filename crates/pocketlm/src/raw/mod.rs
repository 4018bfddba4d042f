//! Words of raw text: any language, cased and punctuated, cut so that the text can be put together again.
//!
//! A line becomes **words**, by the word boundaries of Unicode (UAX #29, section 4), and **marks**: punctuation and
//! symbols, equal neighbours as one (`...`). White space is no token. What it says is in the marks: each has a usual
//! way to lean on its neighbours (a comma on the word before it, `(` on what follows, a hyphen on both), and one that
//! leans otherwise is spelt so, with `_` on the sides where no space is and `~` around where it leans on none:
//!
//! | text | tokens |
//! | --- | --- |
//! | `Well, (she) said "no".` | `well` `,` `(` `she` `)` `said` `"_` `no` `"` `.` |
//! | `a well-known 5 % - yes` | `a` `well` `-` `known` `5` `~%~` `~-~` `yes` |
//!
//! Two words without a space between them have `<join>` between them. So the tokens of a line say where its white
//! space is, but not how much or which: `text → tokens → text` gives back every line that has single spaces only.
//!
//! **Case** ([`Case`]): with `true` the first word of a sentence is written as the corpus writes it elsewhere, and gets
//! its capital back when the text is put together. A word that had none there is preceded by `<lower>`.
//!
//! Text should be in Unicode's composed form (NFC), as keyboards give it.

#[cfg(feature = "raw")]
mod cut;
#[cfg(feature = "raw")]
mod glue;
#[cfg(feature = "raw")]
mod segment;
#[cfg(feature = "raw")]
mod suggest;
#[cfg(feature = "raw")]
mod write;

#[cfg(feature = "raw")]
pub use cut::{
    begins_sentence, each_type, is_capitalised, is_small, push_capitalised, split_typed,
};
#[cfg(feature = "raw")]
pub use glue::{Glue, inner};
#[cfg(feature = "raw")]
pub use segment::{Segment, segments};
#[cfg(feature = "raw")]
pub use suggest::{Found, suggest};
#[cfg(feature = "raw")]
pub use write::Writer;

/// The type between two words that no space parts.
pub const JOIN: &str = "<join>";

/// The type before a word that begins a sentence without a capital.
pub const LOWER: &str = "<lower>";

pub use crate::spec::Case;
