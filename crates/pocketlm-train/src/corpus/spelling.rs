//! How many bits the spelling of a word takes that a vocabulary lacks.
//!
//! A model says of such a word only that it is `<unk>`. Two models with different vocabularies say the same thing of a
//! text when the word is spelt too: by a model of characters here, which needs nothing but the vocabulary itself. It
//! counts the bytes of every type once, since a rare word looks like a type, not like a token.
//!
//! The model is an n-gram of bytes with the smoothing of Witten & Bell (1991, "The zero-frequency problem", method C),
//! interpolated: after a context `h` that was followed by `N(h)` symbols of `T(h)` kinds, a symbol `s` has
//!
//! ```text
//! p(s | h) = (c(h s) + T(h) p(s | h')) / (N(h) + T(h))
//! ```
//!
//! where `h'` is `h` without its first symbol, and below the empty context all 256 bytes and the end of the word are
//! alike. So every string has a probability, and all strings together have 1. The words of the vocabulary have a part of
//! that, which no unknown word gets: the figure is an upper bound.

use std::collections::HashMap;

/// Symbols that the likeliest next one is told by, the next one included.
const ORDER: usize = 5;
/// Before the first byte of a word, and after its last.
const EDGE: u16 = 256;
/// Bytes and the end of a word.
const SYMBOLS: f64 = 257.0;

/// Symbols that came one after the other, nine bits each.
type Key = u64;

fn longer(key: Key, symbol: u16) -> Key {
    // No symbol is 0, so that keys of different lengths differ.
    key << 9 | (Key::from(symbol) + 1)
}

/// What followed a context.
#[derive(Debug, Clone, Copy, Default)]
struct Followers {
    symbols: u32,
    kinds: u32,
}

/// A model of the spelling of words.
#[derive(Debug, Clone, Default)]
pub struct Spelling {
    contexts: HashMap<Key, Followers>,
    /// How often a context and the symbol after it came, by the key of both.
    counts: HashMap<Key, u32>,
}

impl Spelling {
    /// Learns from words, each of them once.
    pub fn new<'w>(words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut spelling = Self::default();
        for word in words {
            let mut before = vec![EDGE];
            for symbol in symbols(word.as_bytes()) {
                for context in contexts(&before) {
                    spelling.count(context, symbol);
                }
                before.push(symbol);
            }
        }
        spelling
    }

    fn count(&mut self, context: Key, symbol: u16) {
        let count = self.counts.entry(longer(context, symbol)).or_default();
        *count += 1;
        let followers = self.contexts.entry(context).or_default();
        followers.symbols += 1;
        followers.kinds += u32::from(*count == 1);
    }

    /// The bits that it takes to spell a string of any bytes, its end included.
    pub fn bits(&self, word: &[u8]) -> f64 {
        let mut before = vec![EDGE];
        let mut bits = 0.0;
        for symbol in symbols(word) {
            bits -= self.probability(&before, symbol).log2();
            before.push(symbol);
        }
        bits
    }

    /// The probability of a symbol after those that came before it in the word.
    fn probability(&self, before: &[u16], symbol: u16) -> f64 {
        let mut probability = 1.0 / SYMBOLS;
        for context in contexts(before) {
            // Where a context is new, so is every longer one.
            let Some(followers) = self.contexts.get(&context) else { break };
            let count = self.counts.get(&longer(context, symbol)).copied().unwrap_or(0);
            let (symbols, kinds) = (f64::from(followers.symbols), f64::from(followers.kinds));
            probability = (f64::from(count) + kinds * probability) / (symbols + kinds);
        }
        probability
    }
}

fn symbols(word: &[u8]) -> impl Iterator<Item = u16> {
    word.iter().map(|&byte| u16::from(byte)).chain([EDGE])
}

/// The contexts that end `before`, the empty one first.
fn contexts(before: &[u16]) -> impl Iterator<Item = Key> {
    let longest = before.len().min(ORDER - 1);
    (0..=longest).map(|length| {
        before[before.len() - length..].iter().fold(0, |key, &symbol| longer(key, symbol))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 7] = ["the", "then", "there", "cat", "cats", "été", "a"];

    /// The probability of all strings that begin with `before`: of those with up to `more` bytes one by one, of the rest
    /// by how they begin.
    fn all(spelling: &Spelling, before: &mut Vec<u16>, more: usize) -> f64 {
        let mut sum = spelling.probability(before, EDGE);
        for byte in 0..256 {
            let first = spelling.probability(before, byte);
            before.push(byte);
            sum += first * if more == 0 { 1.0 } else { all(spelling, before, more - 1) };
            before.pop();
        }
        sum
    }

    #[test]
    fn all_strings_together_have_the_probability_one() {
        for words in [&WORDS[..], &[]] {
            let spelling = Spelling::new(words.iter().copied());
            let sum = all(&spelling, &mut vec![EDGE], 1);
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
    }

    #[test]
    fn strings_one_by_one_approach_one() {
        let spelling = Spelling::new(WORDS);
        let bytes: Vec<u8> = (0..=255).collect();
        let one = |word: &[u8]| (-spelling.bits(word)).exp2();
        let mut sum = one(b"") + bytes.iter().map(|&a| one(&[a])).sum::<f64>();
        sum += WORDS
            .iter()
            .filter(|word| word.len() > 1)
            .map(|word| one(word.as_bytes()))
            .sum::<f64>();
        assert!(0.3 < sum && sum < 1.0, "{sum}");
    }

    #[test]
    fn what_looks_like_a_word_is_shorter() {
        let spelling = Spelling::new(WORDS);
        assert!(spelling.bits(b"thea") < spelling.bits(b"zyxx") - 10.0);
        assert!(spelling.bits(b"cat") < spelling.bits(b"tac"));
        // Nothing is known: eight bits and a little for each byte and for the end.
        assert!((Spelling::default().bits(b"abc") - 4.0 * 257f64.log2()).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn what_follows_any_string_sums_to_one(
            words in prop::collection::vec("[a-cé]{0,7}", 0..20),
            before in prop::collection::vec(prop_oneof![97u16..100, 0u16..256], 0..8),
        ) {
            let spelling = Spelling::new(words.iter().map(String::as_str));
            let before = [vec![EDGE], before].concat();
            let sum: f64 = (0..=EDGE).map(|symbol| spelling.probability(&before, symbol)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            // A string ends with more than a fixed probability wherever it is, so that none goes on for ever.
            prop_assert!(spelling.probability(&before, EDGE) > 1e-7);
        }

        #[test]
        fn the_order_of_the_words_does_not_matter(words in prop::collection::btree_set("[a-d]{1,6}", 1..20)) {
            let (own, other) = (Spelling::new(words.iter().map(String::as_str)), Spelling::new(words.iter().rev().map(String::as_str)));
            for word in ["abc", "dddd", "zé"] {
                prop_assert_eq!(own.bits(word.as_bytes()), other.bits(word.as_bytes()));
            }
        }
    }
}
