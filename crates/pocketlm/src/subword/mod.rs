//! Subwords: text as pieces of words, so that no word is unknown.
//!
//! Three kinds of tokenizers, with own small encoders that give the ids of the programs that made them:
//!
//! | kind | what it does | made by |
//! | --- | --- | --- |
//! | [`Algorithm::ByteLevel`] | cuts a line into stretches, then merges bytes by a list of pairs | `tokenizers` (`tokenizer.json`), GPT-2 |
//! | [`Algorithm::Bpe`] | normalises a line, then merges characters into the piece with the best score | SentencePiece (`*.model`) |
//! | [`Algorithm::Unigram`] | normalises a line, then takes the pieces whose scores have the greatest sum | SentencePiece (`*.model`) |
//!
//! Pieces are stored as the bytes that they stand for: a space is a space, neither GPT-2's `Ġ` nor SentencePiece's `▁`.
//! So the pieces that go on with what is typed are a range of ids, as words are.
//!
//! [`words`] finds the whole words that may come next.

mod byte_level;
mod letters;
mod merge;
mod normalise;
pub(crate) mod open;
mod pieces;
mod search;
mod sentencepiece;
mod trie;
pub mod words;
#[cfg(feature = "pack")]
pub(crate) mod write;

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use byte_level::ByteLevel;
pub use byte_level::stretches;
use pieces::Pieces;
use sentencepiece::{SentencePiece, byte_of};

/// How a line becomes pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Byte-level byte-pair encoding.
    ByteLevel,
    /// Byte-pair encoding of characters by scores.
    Bpe,
    /// The unigram model.
    Unigram,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ByteLevel, Self::Bpe, Self::Unigram];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByteLevel => "byte-level-bpe",
            Self::Bpe => "sentencepiece-bpe",
            Self::Unigram => "sentencepiece-unigram",
        }
    }
}

/// What a tokenizer is, besides its pieces. Ids are ranks of the pieces in the order of their bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Rules {
    /// Byte-level byte-pair encoding.
    ByteLevel {
        /// Pairs of pieces that are merged, the most urgent first.
        merges: Vec<[u32; 2]>,
        /// Whether a line that does not begin with a space gets one.
        prefix_space: bool,
    },
    /// Byte-pair encoding of characters by scores.
    Bpe(SentencePieceRules),
    /// The unigram model.
    Unigram(SentencePieceRules),
}

/// The rules of a SentencePiece model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SentencePieceRules {
    /// The score of each piece.
    pub scores: Vec<f32>,
    /// Pieces that are never cut (user-defined symbols), ascending.
    pub user: Vec<u32>,
    /// Whether the pieces `<0x00>` to `<0xFF>` spell what is unknown.
    pub byte_fallback: bool,
    /// SentencePiece's `precompiled_charsmap`; empty where text stays as it is.
    pub charsmap: Vec<u8>,
    /// Whether a line gets a space at its beginning (`add_dummy_prefix`).
    pub prefix_space: bool,
    /// Whether spaces at the ends of a line, and more than one in a row, are left out (`remove_extra_whitespaces`).
    pub single_spaces: bool,
}

impl Rules {
    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::ByteLevel { .. } => Algorithm::ByteLevel,
            Self::Bpe(_) => Algorithm::Bpe,
            Self::Unigram(_) => Algorithm::Unigram,
        }
    }

    /// The rules of SentencePiece.
    fn sentencepiece(&self) -> Option<&SentencePieceRules> {
        match self {
            Self::ByteLevel { .. } => None,
            Self::Bpe(rules) | Self::Unigram(rules) => Some(rules),
        }
    }
}

/// A tokenizer: from lines of text to pieces and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    pieces: Pieces,
    unk: Option<u32>,
    /// Pieces that are no text, `<eos>` and `<unk>` among them, ascending.
    control: Vec<u32>,
    encoder: Encoder,
    algorithm: Algorithm,
    /// Whether pieces `<0xHH>` are bytes.
    byte_fallback: bool,
    prefix_space: bool,
    #[cfg(feature = "pack")]
    rules: Rules,
}

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a tokenizer has one, which a box would only put further away"
)]
enum Encoder {
    ByteLevel(ByteLevel),
    SentencePiece(SentencePiece),
}

impl Tokenizer {
    /// A tokenizer of `pieces`, which ascend by their bytes. `control` are those that no text becomes, ascending, with
    /// `<eos>` and, if there is one, `unk` among them.
    ///
    /// # Errors
    /// [`Error::Subwords`] with what does not fit together.
    pub fn new<P: AsRef<[u8]>>(
        pieces: impl IntoIterator<Item = P>,
        unk: Option<u32>,
        control: Vec<u32>,
        rules: Rules,
    ) -> Result<Self> {
        let pieces = Pieces::new(pieces)?;
        let is_listed = |id: u32| control.binary_search(&id).is_ok();
        let ascends = control.is_sorted_by(|a, b| a < b);
        if !ascends
            || control.iter().chain(&unk).any(|&id| id as usize >= pieces.len() || !is_listed(id))
        {
            return Err(Error::subwords(
                "its control pieces are no ascending pieces with <unk> among them",
            ));
        }
        let is_text = |id: u32| !is_listed(id);
        let algorithm = rules.algorithm();
        let encoder = match &rules {
            Rules::ByteLevel { merges, prefix_space } => {
                Encoder::ByteLevel(ByteLevel::new(&pieces, is_text, merges, *prefix_space)?)
            }
            Rules::Bpe(own) | Rules::Unigram(own) => {
                Encoder::SentencePiece(SentencePiece::new(&pieces, is_text, unk, algorithm, own)?)
            }
        };
        let own = rules.sentencepiece();
        Ok(Self {
            byte_fallback: own.is_some_and(|own| own.byte_fallback),
            prefix_space: match &rules {
                Rules::ByteLevel { prefix_space, .. } => *prefix_space,
                Rules::Bpe(own) | Rules::Unigram(own) => own.prefix_space,
            },
            pieces,
            unk,
            control,
            encoder,
            algorithm,
            #[cfg(feature = "pack")]
            rules,
        })
    }

    /// How lines become pieces.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// How many pieces there are.
    #[must_use]
    pub fn types(&self) -> usize {
        self.pieces.len()
    }

    /// Appends the pieces of a line, which has no line feed, to `out`. What no piece spells is `<unk>`, which only
    /// SentencePiece without byte fallback needs.
    pub fn encode(&self, line: &str, out: &mut Vec<u32>) {
        self.each_piece(line, |id, _| out.push(id));
    }

    /// Calls `take` with each piece of a line as [`encode`](Self::encode) gives it, and the text that it is there:
    /// after normalisation, and for `<unk>` whatever no piece spells.
    pub fn each_piece(&self, line: &str, mut take: impl FnMut(u32, &[u8])) {
        match &self.encoder {
            Encoder::ByteLevel(encoder) => encoder.encode(line, &mut take),
            Encoder::SentencePiece(encoder) => encoder.encode(line, &mut take),
        }
    }

    /// Whether no text becomes this piece.
    #[must_use]
    pub fn is_control(&self, id: u32) -> bool {
        self.control.binary_search(&id).is_ok()
    }

    /// The piece of what no other spells, if there is one.
    #[must_use]
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// Whether a line that does not begin with a space gets one.
    #[must_use]
    pub fn has_prefix_space(&self) -> bool {
        self.prefix_space
    }

    /// The pieces that no text becomes, ascending.
    #[must_use]
    pub fn control(&self) -> &[u32] {
        &self.control
    }

    /// The piece itself: its bytes, or its name if it is no text.
    #[must_use]
    pub fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id)
    }

    /// Appends the bytes that a piece stands for. Those of a control piece are its name.
    pub fn push(&self, id: u32, out: &mut Vec<u8>) {
        let piece = self.pieces.get(id);
        match byte_of(piece).filter(|_| self.byte_fallback && !self.is_control(id)) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(piece),
        }
    }

    /// The text of a line's pieces: the line that they were made of, or its normalised form without the space that
    /// SentencePiece puts before it. Bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::new();
        ids.iter().for_each(|&id| self.push(id, &mut bytes));
        let text = bytes
            .strip_prefix(b" ")
            .filter(|_| self.prefix_space && self.algorithm != Algorithm::ByteLevel)
            .unwrap_or(&bytes);
        String::from_utf8_lossy(text).into_owned()
    }

    /// The rules that it was made of.
    #[cfg(feature = "pack")]
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}
