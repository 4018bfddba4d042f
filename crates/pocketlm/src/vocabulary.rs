//! The words of a model, sorted, front-coded, looked up straight from the file's bytes.
//!
//! A word's id is its rank in byte order, so the words that start with a typed prefix have
//! consecutive ids. Blocks of [`BLOCK`] words share a sorted table of offsets; within a block each word
//! stores how many bytes it shares with the word before it, and the rest (front coding: Witten, Moffat
//! and Bell, *Managing Gigabytes*, 1999, section 4.1).

use alloc::string::String;
#[cfg(feature = "subword")]
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::raw::{JOIN, LOWER};
use crate::spec::Unit;
use crate::storage::Array;
#[cfg(feature = "subword")]
use crate::subword::Tokenizer;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Words a block.
pub(crate) const BLOCK: usize = 32;

/// The longest word that a file may hold, in bytes.
pub const MAX_WORD: usize = 4096;

/// The sorted vocabulary of an open model.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    text: Array,
    blocks: Array,
    types: usize,
    eos: u32,
    unk: Option<u32>,
    unit: Unit,
    /// A bit for each type, from the lowest of the first byte: whether a word keeps its capital at the start of a
    /// sentence. Empty where none is changed.
    names: Option<Array>,
    /// What cuts text, for subwords.
    #[cfg(feature = "subword")]
    tokenizer: Option<Arc<Tokenizer>>,
    longest: usize,
}

/// One stored entry: bytes shared with the word before, and the bytes that follow them.
struct Entry<'a> {
    shared: usize,
    suffix: &'a [u8],
}

/// Reads entries one after another.
struct Entries<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Entries<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A length: the nibble itself, or 15 plus a LEB128 number of at most two bytes.
    fn length(&mut self, nibble: u8) -> Option<usize> {
        if nibble < 15 {
            return Some(nibble.into());
        }
        let low = self.byte()?;
        let high = if low < 128 { 0 } else { self.byte().filter(|&high| high < 128)? };
        Some(15 + usize::from(low & 127) + (usize::from(high) << 7))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let lengths = self.byte()?;
        let shared = self.length(lengths >> 4)?;
        let length = self.length(lengths & 15)?;
        let suffix = self.text.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(Entry { shared, suffix })
    }
}

/// The place of a text among the sorted words.
struct Place {
    /// Words before it.
    rank: u32,
    /// Whether the word of this rank is the text itself.
    exact: bool,
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Whether `entry` may follow the word `before`; `head` if it starts a block.
fn follows(before: &[u8], entry: &Entry<'_>, head: bool) -> Result<(), &'static str> {
    if entry.shared > before.len() || (head && entry.shared > 0) {
        return Err("it shares more with its predecessor than there is");
    }
    let rest = &before[entry.shared..];
    if rest >= entry.suffix {
        return Err("it is empty or not in sorted order");
    }
    // Sorted and with another first byte means that exactly `shared` bytes are in common.
    if !head && rest.first() == entry.suffix.first() {
        return Err("it shares more with its predecessor than it says");
    }
    Ok(())
}

impl Vocabulary {
    /// Checks every entry and takes the vocabulary into use.
    pub(crate) fn new(
        text: Array,
        blocks: Array,
        (types, eos, unk): (usize, u32, Option<u32>),
        unit: Unit,
        names: Option<Array>,
    ) -> Result<Self> {
        let mut vocabulary = Self {
            text,
            blocks,
            types,
            eos,
            unk,
            unit,
            names,
            #[cfg(feature = "subword")]
            tokenizer: None,
            longest: 0,
        };
        vocabulary.longest = vocabulary.check()?;
        Ok(vocabulary)
    }

    /// Checks the whole vocabulary; returns the longest word's bytes.
    fn check(&self) -> Result<usize> {
        let fault = |entry, problem| Err(Error::Vocabulary { entry, problem });
        let mut entries = self.entries(0);
        let mut word: Vec<u8> = Vec::new();
        let mut longest = 0;
        // Pieces of subwords may be single bytes of characters.
        let is_text = self.unit != Unit::Subword;
        let mut is_ascii = true;
        for id in 0..self.types {
            let head = id % BLOCK == 0;
            if head && self.offset(id / BLOCK) != Some(entries.at) {
                return fault(id, "its block starts elsewhere than the table says");
            }
            let Some(entry) = entries.next() else {
                return fault(id, "the text ends within it");
            };
            if let Err(problem) = follows(&word, &entry, head) {
                return fault(id, problem);
            }
            word.truncate(entry.shared);
            word.extend_from_slice(entry.suffix);
            if word.len() > MAX_WORD {
                return fault(id, "it is longer than 4096 bytes");
            }
            // ASCII, as most words are, needs no decoding.
            is_ascii = (is_ascii || entry.shared == 0) && entry.suffix.is_ascii();
            if is_text && !is_ascii && core::str::from_utf8(&word).is_err() {
                return fault(id, "it is not UTF-8");
            }
            longest = longest.max(word.len());
        }
        if entries.at == entries.text.len() {
            Ok(longest)
        } else {
            fault(self.types, "the text goes on after the last word")
        }
    }

    /// Types in the vocabulary, `<eos>` and `<unk>` included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.types
    }

    /// Whether there is no type at all; never true of a model that opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.types == 0
    }

    /// The token that ends every line, and from which the first token of anything is predicted.
    #[must_use]
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The token that stands for words outside the vocabulary, if the model has one.
    #[must_use]
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// Whether `token` is `<eos>` or `<unk>`.
    #[must_use]
    pub fn is_special(&self, token: u32) -> bool {
        token == self.eos || Some(token) == self.unk
    }

    /// Whether another one has the same words with the same ids and cuts text into the same kind of tokens.
    #[cfg(feature = "pack")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let special = |own: &Self| (own.types, own.eos, own.unk, own.unit);
        special(self) == special(other) && self.text.bytes() == other.text.bytes()
    }

    /// What stands for no word of a text: `<unk>`, and words spelled as the marks of a sentence's begin and end that some
    /// texts carry, `<s>` and `</s>`.
    pub(crate) fn marks(&self) -> impl Iterator<Item = u32> + '_ {
        let marks = ["<s>", "</s>"].into_iter().filter_map(|word| self.id(word));
        self.unk.into_iter().chain(marks).filter(|&id| id != self.eos)
    }

    /// Whether a capitalised word keeps its capital at the start of a sentence, in raw text with
    /// [`Case::True`](crate::raw::Case): it is a name, or has no form with a small letter.
    #[cfg(feature = "raw")]
    pub(crate) fn is_name(&self, word: &str) -> bool {
        if self.id(word).is_some_and(|id| self.is_marked(id)) {
            return true;
        }
        let small: String = word.chars().flat_map(char::to_lowercase).collect();
        self.id(&small).is_none()
    }

    /// The words of raw text that keep their capital at the start of a sentence, although there is a word with a small
    /// letter too.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let words = self.words().zip(0..);
        words.filter(|&(_, id)| self.is_marked(id)).map(|(word, _)| word).collect()
    }

    fn is_marked(&self, id: u32) -> bool {
        let byte = self.names.as_ref().and_then(|names| names.bytes().get(id as usize / 8));
        byte.is_some_and(|byte| byte >> (id % 8) & 1 == 1)
    }

    /// What has no text of its own in raw text or subwords, besides [`marks`](Self::marks): it is read and drawn, but
    /// never suggested.
    pub(crate) fn silent(&self) -> impl Iterator<Item = u32> + '_ {
        let is_raw = self.unit.case().is_some();
        #[cfg(feature = "subword")]
        let control = self.tokenizer().map_or(&[][..], Tokenizer::control).iter().copied();
        #[cfg(not(feature = "subword"))]
        let control = core::iter::empty();
        [JOIN, LOWER]
            .into_iter()
            .filter(move |_| is_raw)
            .filter_map(|word| self.id(word))
            .chain(control)
    }

    /// What a token is: a word, a character, a piece of a word.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// What cuts text into subwords, if these are the unit.
    #[cfg(feature = "subword")]
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_deref()
    }

    /// The same vocabulary with what cuts text into it.
    #[cfg(feature = "subword")]
    pub(crate) fn with_tokenizer(self, tokenizer: Tokenizer) -> Self {
        Self { tokenizer: Some(Arc::new(tokenizer)), ..self }
    }

    /// Bytes of the longest word.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Bytes that the vocabulary takes in the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.bytes().len() + self.blocks.bytes().len()
    }

    /// The id of `word`, if it is in the vocabulary.
    #[must_use]
    pub fn id(&self, word: &str) -> Option<u32> {
        self.id_of(word.as_bytes())
    }

    /// The same of a word's bytes, which for subwords may be no UTF-8.
    #[must_use]
    pub fn id_of(&self, word: &[u8]) -> Option<u32> {
        let place = self.search(word, false);
        place.exact.then_some(place.rank)
    }

    /// The ids of the words that start with `prefix`; all of them for the empty prefix.
    #[must_use]
    pub fn prefix(&self, prefix: &str) -> Range<u32> {
        let prefix = prefix.as_bytes();
        self.search(prefix, false).rank..self.search(prefix, true).rank
    }

    /// Writes the word of `id` into `buffer`, replacing what it held, and returns it. Allocates only if
    /// `buffer` has less than [`longest`](Self::longest) bytes of capacity.
    pub fn word<'b>(&self, id: u32, buffer: &'b mut Vec<u8>) -> Option<&'b str> {
        buffer.clear();
        self.append_word(id, buffer)
    }

    /// Writes the word of `id` into `out` as far as it fits, and returns how many bytes it has: in memory that the
    /// caller has, where [`word`](Self::word) takes a vector.
    #[must_use]
    pub fn copy_word(&self, id: u32, out: &mut [u8]) -> Option<usize> {
        let id = usize::try_from(id).ok().filter(|&id| id < self.types)?;
        let mut length = 0;
        for entry in self.entries(self.offset(id / BLOCK)?).take(id % BLOCK + 1) {
            let rest = out.get_mut(entry.shared..).unwrap_or_default();
            rest.iter_mut().zip(entry.suffix).for_each(|(to, &byte)| *to = byte);
            length = entry.shared + entry.suffix.len();
        }
        Some(length)
    }

    /// Writes the bytes of the word of `id` into `buffer`, as [`word`](Self::word) does; those of a subword may be no
    /// UTF-8.
    pub fn bytes_of<'b>(&self, id: u32, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        buffer.clear();
        self.append_bytes(id, buffer)
    }

    /// Appends the word of `id` to `buffer` and returns it.
    pub(crate) fn append_word<'b>(&self, id: u32, buffer: &'b mut Vec<u8>) -> Option<&'b str> {
        core::str::from_utf8(self.append_bytes(id, buffer)?).ok()
    }

    fn append_bytes<'b>(&self, id: u32, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        let id = usize::try_from(id).ok().filter(|&id| id < self.types)?;
        let start = buffer.len();
        let entries = self.entries(self.offset(id / BLOCK)?);
        for entry in entries.take(id % BLOCK + 1) {
            buffer.truncate(start + entry.shared);
            buffer.extend_from_slice(entry.suffix);
        }
        buffer.get(start..)
    }

    /// All words in the order of their ids. Bytes of a subword that are no UTF-8 become U+FFFD.
    pub fn words(&self) -> impl Iterator<Item = String> + '_ {
        self.all_bytes().map(|word| String::from_utf8_lossy(&word).into_owned())
    }

    /// The bytes of all words in the order of their ids.
    pub fn all_bytes(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut word = Vec::new();
        self.entries(0).take(self.types).map(move |entry| {
            word.truncate(entry.shared);
            word.extend_from_slice(entry.suffix);
            word.clone()
        })
    }

    /// Calls `visit` with every word in the order of ids: its id, how many bytes it shares with the word before, its bytes.
    #[cfg(feature = "correct")]
    pub(crate) fn walk(&self, mut visit: impl FnMut(u32, usize, &[u8])) {
        let mut word = Vec::new();
        for (id, entry) in (0..).zip(self.entries(0).take(self.types)) {
            // The head of a block is written whole.
            let is_head = (id as usize).is_multiple_of(BLOCK);
            let shared = if is_head { common(&word, entry.suffix) } else { entry.shared };
            word.truncate(entry.shared);
            word.extend_from_slice(entry.suffix);
            visit(id, shared, &word);
        }
    }

    fn entries(&self, at: usize) -> Entries<'_> {
        Entries { text: self.text.bytes(), at }
    }

    /// Where block `block` starts in the text.
    fn offset(&self, block: usize) -> Option<usize> {
        usize::try_from(*self.blocks.u32().get(block)?).ok()
    }

    fn head(&self, block: usize) -> &[u8] {
        let at = self.offset(block).unwrap_or(usize::MAX);
        self.entries(at).next().map_or(&[], |entry| entry.suffix)
    }

    /// Counts the words before `target`; with `past`, those that start with it count too.
    fn search(&self, target: &[u8], past: bool) -> Place {
        let is_before = |word: &[u8]| word < target || (past && word.starts_with(target));
        let (mut low, mut high) = (0, self.types.div_ceil(BLOCK));
        while low < high {
            let middle = low.midpoint(high);
            if is_before(self.head(middle)) { low = middle + 1 } else { high = middle }
        }
        let within = match low.checked_sub(1) {
            Some(block) => self.search_block(block, target, past),
            None => Ok(0),
        };
        match within {
            Ok(rank) => Place { rank, exact: low * BLOCK < self.types && self.head(low) == target },
            Err(place) => place,
        }
    }

    /// Goes through a block whose head is before `target`, comparing only what each word does not share
    /// with its predecessor. `Ok` is the rank after the block, `Err` a place within it.
    fn search_block(&self, block: usize, target: &[u8], past: bool) -> Result<u32, Place> {
        let first = block * BLOCK;
        let size = BLOCK.min(self.types - first);
        let entries = self.entries(self.offset(block).unwrap_or(usize::MAX)).take(size);
        let mut matched = 0;
        for (id, entry) in (first as u32..).zip(entries) {
            if entry.shared > matched {
                continue;
            }
            let rest = &target[entry.shared..];
            let more = common(entry.suffix, rest);
            let is_before = entry.shared == matched
                && match (entry.suffix.get(more), rest.get(more)) {
                    (_, None) => past,
                    (None, Some(_)) => true,
                    (Some(word), Some(target)) => word < target,
                };
            if !is_before {
                let length = entry.shared + entry.suffix.len();
                let exact = length == target.len() && entry.shared + more == length;
                return Err(Place { rank: id, exact: exact && entry.shared == matched });
            }
            matched += more;
        }
        Ok((first + size) as u32)
    }
}

#[cfg(all(test, feature = "pack"))]
mod tests {
    use std::collections::BTreeSet;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use crate::model::Model;
    use crate::pack::{Packer, Precision};
    use crate::spec::{CellKind, Configuration, Unit};

    /// A model of width 1 over these words, of which the first is `<eos>`.
    fn model(words: &[String]) -> Model {
        let configuration = Configuration {
            cell: CellKind::Gru,
            embedding: 1,
            hidden: [1].into(),
            cell_projection: 0,
            projection: 0,
            tied: true,
            unit: Unit::Word,
            layer_norm: false,
            mogrifier: 0,
        };
        let mut packer = Packer::new(configuration.clone(), words, &words[0], None).unwrap();
        for matrix in configuration.matrices(words.len()) {
            let weights = std::vec![0.5; matrix.rows * matrix.columns];
            packer.matrix(matrix.name, &weights, Precision::F32).unwrap();
        }
        for bias in configuration.biases(words.len()) {
            packer.bias(bias.name, &std::vec![0.0; bias.rows]).unwrap();
        }
        Model::from_bytes(packer.finish().unwrap()).unwrap()
    }

    /// What every vocabulary must do, against the plain sorted list.
    fn check(words: &[String], others: &[String]) {
        let model = model(words);
        let vocabulary = model.vocabulary();
        let mut sorted = words.to_vec();
        sorted.sort();
        let mut buffer = Vec::with_capacity(vocabulary.longest());
        let capacity = buffer.capacity();
        for (id, word) in (0..).zip(&sorted) {
            assert_eq!(vocabulary.id(word), Some(id), "{word}");
            assert_eq!(vocabulary.word(id, &mut buffer), Some(word.as_str()));
            for room in [0, word.len() / 2, word.len(), word.len() + 3] {
                let mut out = std::vec![0; room];
                assert_eq!(vocabulary.copy_word(id, &mut out), Some(word.len()));
                let fits = room.min(word.len());
                assert_eq!(out[..fits], word.as_bytes()[..fits]);
            }
        }
        assert_eq!(buffer.capacity(), capacity);
        assert!(vocabulary.words().eq(sorted.iter().cloned()));
        for text in others.iter().chain(words) {
            for (end, _) in text.char_indices() {
                let prefix = &text[..end];
                let rank = sorted.partition_point(|word| word.as_str() < prefix) as u32;
                let with = sorted.iter().filter(|word| word.starts_with(prefix)).count() as u32;
                assert_eq!(vocabulary.prefix(prefix), rank..rank + with, "{prefix:?}");
                let wanted = sorted.iter().position(|word| word == prefix);
                assert_eq!(vocabulary.id(prefix), wanted.map(|id| id as u32), "{prefix:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn looks_up_like_a_sorted_list(
            words in prop::collection::btree_set("[a-cé]{1,6}|[a-z]{1,40}|\\PC{1,3}", 1..200),
            others in prop::collection::vec("[a-dé]{0,7}", 50),
        ) {
            check(&words.into_iter().rev().collect::<Vec<_>>(), &others);
        }
    }

    #[test]
    fn long_words_with_long_common_beginnings() {
        let words: BTreeSet<String> = (0..400)
            .map(|i| format!("{}{}", "x".repeat(i % 37 * 11), "y".repeat(i / 37 * 30 + 1)))
            .chain([format!("{}z", "x".repeat(super::MAX_WORD - 1))])
            .collect();
        check(&words.into_iter().collect::<Vec<_>>(), &["x".repeat(500)]);
    }
}
