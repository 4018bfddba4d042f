//! Byte-pair encoding of open text.
//!
//! The byte-level variant of Radford et al. 2019 ("Language Models are Unsupervised Multitask
//! Learners", section 2.2) of the merges of Sennrich et al. 2016 (section 3.2): the base
//! alphabet is the 256 bytes, so every text can be written and nothing is out of vocabulary.

use super::error::Error;
use super::source::Source;
use super::vocabulary::EOS;
use std::path::Path;
use std::sync::Mutex;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

/// The size of a byte-pair vocabulary where none is asked for.
pub const DEFAULT_BPE_VOCAB: usize = 4096;
const LEAST: usize = 257;

/// Learns the merges from a training text: what a `tokenizer.json` holds; `size` counts the 256 bytes and `<eos>`.
pub(super) fn train(source: &Source, size: usize, min_count: u64) -> Result<String, Error> {
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
    tokenizer.train(&mut trainer, texts).map_err(refused(source.path()))?;
    if let Some(error) = failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        return Err(error);
    }
    // `<eos>` written in the text is text, not the end of a line.
    tokenizer.set_encode_special_tokens(true);
    tokenizer.to_string(true).map_err(refused(source.path()))
}

/// Most bytes between two white spaces that are learnt from as one: the time of learning grows with their square.
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
