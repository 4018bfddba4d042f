//! Byte-level byte-pair encoding: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
//! section 2.2, as GPT-2 and the crate `tokenizers` (`ByteLevel` with its regular expression) do it.

use alloc::vec;
use alloc::vec::Vec;

use super::letters::is_letter;
use super::merge::Symbols;
use super::pieces::Pieces;
use crate::error::{Error, Result};

/// The merges of a byte-level tokenizer, found by their two pieces.
#[derive(Debug, Clone)]
pub(super) struct ByteLevel {
    /// The piece of each byte.
    bytes: Vec<u32>,
    /// The merges whose left piece is p are `starts[p]` to `starts[p + 1] - 1`, by their right piece.
    starts: Vec<u32>,
    merges: Vec<Merge>,
    prefix_space: bool,
}

#[derive(Debug, Clone, Copy)]
struct Merge {
    right: u32,
    rank: u32,
    outcome: u32,
}

impl ByteLevel {
    /// `merges` are pairs of pieces, the first the most urgent. `is_text` says which pieces are made of text.
    ///
    /// # Errors
    /// [`Error::Subwords`] if a byte is no piece, or a merge does not make one of text from two.
    pub(super) fn new(
        pieces: &Pieces,
        is_text: impl Fn(u32) -> bool,
        merges: &[[u32; 2]],
        prefix_space: bool,
    ) -> Result<Self> {
        let byte = |byte: u8| pieces.find(&[byte]).filter(|&id| is_text(id));
        let bytes: Option<Vec<u32>> = (0..=255).map(byte).collect();
        let bytes = bytes.ok_or_else(|| Error::subwords("one of the 256 bytes is no piece"))?;
        let mut joined = Vec::new();
        let mut all = Vec::with_capacity(merges.len());
        for (rank, &[left, right]) in (0u32..).zip(merges) {
            joined.clear();
            joined.extend_from_slice(pieces.get(left));
            joined.extend_from_slice(pieces.get(right));
            let outcome = pieces.find(&joined).filter(|&id| is_text(id));
            let of_text =
                [left, right].into_iter().all(|id| (id as usize) < pieces.len() && is_text(id));
            let outcome = outcome.filter(|_| of_text).ok_or_else(|| {
                Error::subwords(alloc::format!("merge {rank} does not make a piece of two pieces"))
            })?;
            all.push(((u64::from(left) << 32) | u64::from(right), !rank, outcome));
        }
        all.sort_unstable();
        // Of a pair that comes twice the last rank counts, as in a table that is filled in order.
        all.dedup_by_key(|(pair, ..)| *pair);
        let mut starts = vec![0; pieces.len() + 1];
        all.iter().for_each(|(pair, ..)| starts[(pair >> 32) as usize + 1] += 1);
        (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
        let merge = |(pair, rank, outcome): (u64, u32, u32)| Merge {
            right: pair as u32,
            rank: !rank,
            outcome,
        };
        let merges = all.into_iter().map(merge).collect();
        Ok(Self { bytes, starts, merges, prefix_space })
    }

    fn pair(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let range = self.starts[left as usize] as usize..self.starts[left as usize + 1] as usize;
        let merges = &self.merges[range];
        let at = merges.binary_search_by_key(&right, |merge| merge.right).ok()?;
        Some((merges[at].rank, merges[at].outcome))
    }

    /// Gives the pieces of a line and their text.
    pub(super) fn encode(&self, line: &str, take: &mut dyn FnMut(u32, &[u8])) {
        let mut symbols = Symbols::default();
        if self.prefix_space && !line.is_empty() && !line.starts_with(' ') {
            let line = alloc::format!(" {line}");
            stretches(&line).for_each(|text| self.stretch(text.as_bytes(), &mut symbols, take));
            return;
        }
        stretches(line).for_each(|text| self.stretch(text.as_bytes(), &mut symbols, take));
    }

    fn stretch(&self, text: &[u8], symbols: &mut Symbols, take: &mut dyn FnMut(u32, &[u8])) {
        symbols.clear();
        text.iter().for_each(|&byte| symbols.push(1, self.bytes[usize::from(byte)]));
        symbols.merge(|left, right| self.pair(left.id, right.id));
        for symbol in symbols.iter() {
            take(symbol.id, &text[symbol.start as usize..][..symbol.length as usize]);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Number,
    Other,
}

impl Class {
    fn of(char: char) -> Self {
        if char.is_whitespace() {
            Self::Space
        } else if is_letter(char) {
            Self::Letter
        } else if char.is_numeric() {
            Self::Number
        } else {
            Self::Other
        }
    }

    /// Bytes at the beginning of `text` that are of this class.
    fn run(self, text: &str) -> usize {
        text.find(|char| Self::of(char) != self).unwrap_or(text.len())
    }
}

/// The stretches of a line within which pieces are merged: those that
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` finds one after another.
pub fn stretches(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    core::iter::from_fn(move || {
        let (stretch, after) = rest.split_at(first_length(rest));
        rest = after;
        (!stretch.is_empty()).then_some(stretch)
    })
}

/// Bytes of the first stretch.
fn first_length(line: &str) -> usize {
    let contraction = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    if let Some(found) = contraction.into_iter().find(|short| line.starts_with(short)) {
        return found.len();
    }
    let after = line.strip_prefix(' ').unwrap_or(line);
    match after.chars().next().map(Class::of) {
        Some(Class::Space) | None => {}
        Some(class) => return line.len() - after.len() + class.run(after),
    }
    let run = Class::Space.run(line);
    // The last white space before something else goes with that, or stands alone.
    let last = line[..run].chars().next_back().map_or(0, char::len_utf8);
    if run < line.len() && run > last { run - last } else { run }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_those_of_the_regular_expression() {
        let cut = |line| stretches(line).collect::<Vec<_>>().join("|");
        assert_eq!(cut("I'll say: it's 'self', don't"), "I|'ll| say|:| it|'s| '|self|',| don|'t");
        assert_eq!(cut("  a \t\tb  "), " | a| \t|\t|b|  ");
        assert_eq!(cut("x2é3 ²Ⅳ!?"), "x|2|é|3| ²Ⅳ|!?");
        assert_eq!(cut("हिन्दी 漢字かな"), "ह|ि|न|्|द|ी| 漢字かな");
        assert_eq!(cut(""), "");
    }
}
