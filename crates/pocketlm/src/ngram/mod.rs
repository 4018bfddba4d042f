//! N-gram models with back-off (Katz 1987, equation 2; the interpolated models of Chen and Goodman 1998 have this
//! form too): which sequences of up to N tokens there are, in a packed trie.
//!
//! With h a context of k tokens and h′ the same without its oldest,
//!
//! > ln p(w | h) = ln p(h w), as it is stored, if the model has h w; else ln b(h) + ln p(w | h′),
//!
//! where b(h) is 1 if the model does not have h. The trie goes forward in time: what may follow a context lies
//! together, sorted, so the whole distribution is one walk from the shortest context to the longest, in which each
//! overwrites what it knows better. `docs/format.md`, section 13, says how the trie lies in the file.
//!
//! A sentence begins after `<eos>`: as a context it stands for the `<s>` of other programs, as a token for `</s>`.

mod bits;
mod children;
mod level;
mod table;
mod walk;
#[cfg(feature = "pack")]
mod write;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use level::Level;
pub use table::{Order, Table};
pub(crate) use walk::{NONE, Walk};

use crate::error::{Error, Result};
pub use crate::format::metadata::MAX_ORDER;
use crate::format::metadata::NgramEntry;
use crate::leaves::Leaves;
use crate::vocabulary::Vocabulary;

/// What a model holds of the n-grams of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderInfo {
    /// Tokens of each n-gram.
    pub order: usize,
    /// N-grams of that length.
    pub ngrams: usize,
    /// Bits of each probability: 32 is one f32, less a place in a list of levels.
    pub probability_bits: u32,
    /// The same of back-off weights; 0 at the highest order, which has none.
    pub backoff_bits: u32,
    /// Bytes that they take in the file, lists of levels counted.
    pub bytes: usize,
}

/// An n-gram model over the bytes of the file.
#[derive(Debug)]
pub(crate) struct Ngram {
    /// From single words up.
    levels: Vec<Level>,
    eos: u32,
    types: usize,
}

/// Bits that every id below `types` fits into.
pub(crate) fn word_bits(types: usize) -> u32 {
    (types as u32 - 1).max(1).ilog2() + 1
}

impl Ngram {
    /// Takes the arrays into use that `entry` describes; checks their shapes and every offset in them.
    pub(crate) fn open(
        entry: &NgramEntry,
        vocabulary: &Vocabulary,
        leaves: &Leaves<'_>,
    ) -> Result<Self> {
        let types = vocabulary.len();
        if entry.orders.first().map(|order| order.ngrams) != Some(types) {
            let problem = format!("the first order must have the vocabulary's {types} types");
            return Err(Error::metadata("ngram.orders", problem));
        }
        let level = |at: usize| {
            let next = entry.orders.get(at + 1).map(|order| order.ngrams);
            Level::open(at + 1, &entry.orders[at], next, word_bits(types), leaves)
        };
        let levels = (0..entry.orders.len()).map(level).collect::<Result<_>>()?;
        Ok(Self { levels, eos: vocabulary.eos(), types })
    }

    /// Tokens of the longest n-grams.
    pub(crate) fn order(&self) -> usize {
        self.levels.len()
    }

    /// Numbers of a state: the tokens of the longest context.
    pub(crate) fn state_len(&self) -> usize {
        self.order() - 1
    }

    /// Stored probabilities and back-off weights.
    pub(crate) fn parameters(&self) -> usize {
        let numbers = |level: &Level| level.count * (1 + usize::from(level.backoffs.is_some()));
        self.levels.iter().map(numbers).sum()
    }

    pub(crate) fn orders(&self) -> Vec<OrderInfo> {
        let info = |(at, level): (usize, &Level)| OrderInfo {
            order: at + 1,
            ngrams: level.count,
            probability_bits: level.probabilities.bits(),
            backoff_bits: level.backoffs.as_ref().map_or(0, level::Values::bits),
            bytes: level.bytes(),
        };
        self.levels.iter().enumerate().map(info).collect()
    }

    /// Checks what opening leaves out: that tokens are in the vocabulary and sorted, and numbers finite.
    pub(crate) fn verify(&self) -> Result<()> {
        for (at, level) in self.levels.iter().enumerate() {
            let parent = at.checked_sub(1).map(|below| &self.levels[below]);
            level.verify(parent, self.types).map_err(|problem: String| {
                Error::metadata("ngram", format!("order {}: {problem}", at + 1))
            })?;
        }
        Ok(())
    }
}
