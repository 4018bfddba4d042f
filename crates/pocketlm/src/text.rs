//! Text as tokens.

use alloc::vec::Vec;
#[cfg(feature = "raw")]
use core::convert::Infallible;

use crate::error::{Error, Result};
#[cfg(feature = "raw")]
use crate::raw::each_type;
use crate::spec::Unit;
use crate::vocabulary::Vocabulary;

/// One token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'t> {
    /// The text it stands for; empty for an `<eos>` that a line's end gave.
    pub text: &'t str,
    /// Its id, or `None` if it is not in the vocabulary.
    pub id: Option<u32>,
}

impl Vocabulary {
    /// The tokens of `text`: words between white space, words and marks, or single characters, as the model's unit says,
    /// and an `<eos>` for each line feed. No `<eos>` is added at the end.
    pub fn tokens<'t>(&self, text: &'t str) -> impl Iterator<Item = Token<'t>> {
        let vocabulary = self;
        let lines = text.split_inclusive('\n');
        lines.flat_map(move |line| {
            let (line, end) = match line.strip_suffix('\n') {
                Some(line) => (line, Some(Token { text: "", id: Some(vocabulary.eos()) })),
                None => (line, None),
            };
            let token = |text| Token { text, id: vocabulary.id(text) };
            let raw = vocabulary.raw(line, end.is_none());
            // A blank line of raw text is none.
            let end = end.filter(|_| vocabulary.unit().case().is_none() || !raw.is_empty());
            pieces(line, vocabulary.unit()).map(token).chain(raw).chain(end)
        })
    }

    /// The tokens of a line of raw text; none for another unit. What parts words that no space parts, and what says that a
    /// sentence begins with a small letter, is left out where the vocabulary lacks it.
    #[cfg(feature = "raw")]
    fn raw<'t>(&self, line: &'t str, is_open: bool) -> Vec<Token<'t>> {
        let mut tokens = Vec::new();
        if let Some(case) = self.unit().case() {
            let taken =
                each_type(line, is_open, case, &|word| self.is_name(word), |text, spelt| {
                    let id = self.id(spelt);
                    if id.is_some() || !text.is_empty() {
                        tokens.push(Token { text, id });
                    }
                    Ok::<(), Infallible>(())
                });
            let Ok(()) = taken;
        }
        tokens
    }

    #[cfg(not(feature = "raw"))]
    fn raw<'t>(&self, _: &'t str, _: bool) -> Vec<Token<'t>> {
        Vec::new()
    }

    /// The tokens of `text` as it stands in a corpus: every line, the last one too, ends in `<eos>`.
    /// Empty for the empty text.
    pub fn lines<'t>(&self, text: &'t str) -> impl Iterator<Item = Token<'t>> {
        let is_open = !text.is_empty() && !text.ends_with('\n');
        self.tokens(text).chain(is_open.then(|| Token { text: "", id: Some(self.eos()) }))
    }

    /// The part of a text that is done, and the beginning of the word that is being typed after it: empty where a space
    /// ends the text, or a mark of raw text, and always in a model of characters.
    #[must_use]
    pub fn split_typed<'t>(&self, text: &'t str) -> (&'t str, &'t str) {
        match self.unit() {
            Unit::Word => {
                let space = text.char_indices().rev().find(|(_, char)| char.is_whitespace());
                text.split_at(space.map_or(0, |(at, char)| at + char.len_utf8()))
            }
            #[cfg(feature = "raw")]
            Unit::Raw | Unit::RawKeep | Unit::RawFold => crate::raw::split_typed(text),
            _ => (text, ""),
        }
    }

    /// The id that stands for `token`: its own, or that of `<unk>`.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] if it is not in the vocabulary and there is no `<unk>`.
    pub fn resolve(&self, token: Token<'_>) -> Result<u32> {
        let id = token.id.or(self.unk());
        id.ok_or_else(|| Error::UnknownWord { word: token.text.into() })
    }
}

/// Words or characters of a line.
fn pieces(line: &str, unit: Unit) -> impl Iterator<Item = &str> {
    let (words, characters) = match unit {
        Unit::Character => ("", line),
        Unit::Word | Unit::Bpe => (line, ""),
        Unit::Raw | Unit::RawKeep | Unit::RawFold => ("", ""),
    };
    let characters = characters.char_indices();
    let characters = characters.map(move |(at, character)| &line[at..at + character.len_utf8()]);
    words.split_whitespace().chain(characters)
}
