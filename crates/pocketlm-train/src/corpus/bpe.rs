//! Byte-pair encoding of open text.
//!
//! The byte-level variant of Radford et al. 2019 ("Language Models are Unsupervised Multitask
//! Learners", section 2.2) of the merges of Sennrich et al. 2016 (section 3.2): the base
//! alphabet is the 256 bytes, so every text can be written and nothing is out of vocabulary.

use super::error::Error;
use super::source::Source;
use super::vocabulary::{EOS, Vocabulary};
use pocketlm::pack::write_file_with;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// The size of a byte-pair vocabulary where none is asked for.
pub const DEFAULT_BPE_VOCAB: usize = 4096;
const LEAST: usize = 257;

/// A trained byte-pair tokenizer.
#[derive(Debug, Clone)]
pub(super) struct Bpe(Box<Tokenizer>);

impl Bpe {
    /// Learns the merges from a training text; `size` counts the 256 bytes and `<eos>`.
    pub(super) fn train(source: &Source, size: usize, min_count: u64) -> Result<Self, Error> {
        if size < LEAST {
            let reason = "the 256 bytes and <eos>";
            return Err(Error::MaxVocab { asked: size, least: LEAST, reason });
        }
        let mut trainer = TrainerWrapper::from(trainer(size, min_count));
        let mut tokenizer = untrained();
        // The tokenizer takes a plain iterator of lines: an error waits here until it is done.
        let failure = Mutex::new(None);
        let mut lines = source.open()?;
        let mut next = || match lines.next() {
            Ok(line) => line.map(|line| pieces(line).map(str::to_owned).collect::<Vec<_>>()),
            Err(error) => {
                *failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
                None
            }
        };
        let texts = std::iter::from_fn(&mut next).flatten();
        let trained = tokenizer.train(&mut trainer, texts).map_err(refused(source.path()))?;
        let tokenizer = trained.clone();
        match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error),
            None => Ok(Self::of(tokenizer.into())),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::reading(path))?;
        // The tokenizer's own reader panics where the JSON of some parts is cut off.
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| refused(path)(e.into()))?;
        Ok(Self::of(serde_json::from_value(value).map_err(|e| refused(path)(e.into()))?))
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        let json = self.0.to_string(true).map_err(refused(path))?;
        write_file_with(path, |file| file.write_all(json.as_bytes())).map_err(Error::writing(path))
    }

    fn of(mut tokenizer: Tokenizer) -> Self {
        // `<eos>` written in the text is text, not the end of a line.
        tokenizer.set_encode_special_tokens(true);
        Self(Box::new(tokenizer))
    }

    /// The tokens in id order.
    pub(super) fn vocabulary(&self, path: &Path) -> Result<Vocabulary, Error> {
        let size = self.0.get_vocab_size(true) as u32;
        let tokens = (0..size).map(|id| self.0.id_to_token(id));
        let tokens: Option<Vec<Arc<str>>> = tokens.map(|token| token.map(Into::into)).collect();
        let hole = || Error::Tokenizer { path: path.into(), reason: "its ids have holes".into() };
        Vocabulary::from_words(tokens.ok_or_else(hole)?, path)
    }

    pub(super) fn encode(&self, line: &str, ids: &mut Vec<u32>) -> Result<(), Error> {
        for piece in pieces(line) {
            let encoding = self.0.encode_fast(piece, false).map_err(refused(Path::new("text")))?;
            ids.extend_from_slice(encoding.get_ids());
        }
        Ok(())
    }

    /// The text of ids; ids that are not in the vocabulary and broken characters are replaced.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        self.0.decode(ids, false).unwrap_or_default()
    }
}

/// Most bytes between two white spaces that are merged as one: the time of merging grows with their square.
const MOST_BYTES: usize = 1024;

/// A line, cut within what is longer than [`MOST_BYTES`] without white space.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut start = 0;
        let long = rest.char_indices().find(|(at, char)| {
            if char.is_whitespace() {
                start = at + char.len_utf8();
            }
            at - start.min(*at) >= MOST_BYTES
        });
        let (piece, after) = rest.split_at(long.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

/// The bytes of a piece: each character stands for one, printable ones for themselves and the others for those from
/// U+0100 on, in order (Radford et al. 2019, `bytes_to_unicode` of their encoder).
pub(super) fn bytes(piece: &str) -> Vec<u8> {
    let is_printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let hidden: Vec<u8> = (0..=255).filter(|byte| !is_printable(byte)).collect();
    let byte = |char| match u32::from(char) {
        code @ 0..=0xff => Some(code as u8),
        code => hidden.get(code as usize - 0x100).copied(),
    };
    piece.chars().filter_map(byte).collect()
}

fn trainer(size: usize, min_count: u64) -> BpeTrainer {
    BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(size)
        .min_frequency(min_count)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![AddedToken::from(EOS, true)])
        .build()
}

fn untrained() -> Tokenizer {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level())).with_decoder(Some(byte_level()));
    tokenizer
}

fn byte_level() -> ByteLevel {
    ByteLevel::new(false, true, true)
}

fn refused(path: &Path) -> impl FnOnce(tokenizers::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Tokenizer { path, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_letter() {
        let mut all: Vec<u8> =
            ByteLevel::alphabet().into_iter().flat_map(|char| bytes(&char.to_string())).collect();
        all.sort_unstable();
        assert_eq!(all, (0..=255).collect::<Vec<u8>>());
        assert_eq!(bytes("Ġa"), b" a");
    }

    #[test]
    fn long_runs_are_cut_and_nothing_is_lost() {
        let long = "é".repeat(3 * MOST_BYTES);
        for line in ["", "a b", &long, &format!("a {long} b {long}"), &" ".repeat(5000)] {
            let cut: Vec<&str> = pieces(line).collect();
            assert_eq!(cut.concat(), line);
            let longest = cut.iter().flat_map(|piece| piece.split_whitespace()).map(str::len).max();
            assert!(longest.unwrap_or(0) <= MOST_BYTES + 2, "{longest:?}");
        }
    }
}
