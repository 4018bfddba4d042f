//! What a token is.

use std::fmt;
use std::str::FromStr;

use pocketlm::raw::Case;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Whatever white space separates (the layout of Penn Treebank and WikiText).
    #[default]
    Word,
    /// Words and marks of raw text ([`pocketlm::raw`]).
    Raw(Case),
    /// One Unicode scalar value; a space is a token.
    Char,
    /// A piece of byte-level byte-pair encoding.
    Bpe,
    /// A piece of a SentencePiece model.
    SentencePiece,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Word,
        Self::Raw(Case::True),
        Self::Raw(Case::Keep),
        Self::Raw(Case::Fold),
        Self::Char,
        Self::Bpe,
        Self::SentencePiece,
    ];

    /// Whether it is a piece of a tokenizer, which has a file of its own.
    pub fn is_subword(self) -> bool {
        matches!(self, Self::Bpe | Self::SentencePiece)
    }

    /// Its name: `word`, `raw` (with the case `true`), `raw-keep`, `raw-fold`, `char`, `bpe`, `sentencepiece`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Raw(Case::True) => "raw",
            Self::Raw(Case::Keep) => "raw-keep",
            Self::Raw(Case::Fold) => "raw-fold",
            Self::Char => "char",
            Self::Bpe => "bpe",
            Self::SentencePiece => "sentencepiece",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|unit| unit.name() == name);
        match found {
            Some(unit) => Ok(unit),
            None if name == "character" => Ok(Self::Char),
            None => Err(format!("unknown unit `{name}`: give word, char or bpe")),
        }
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
