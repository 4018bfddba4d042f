//! Byte-pair encoding of open text.
//!
//! The byte-level variant of Radford et al. 2019 ("Language Models are Unsupervised Multitask
//! Learners", section 2.2) of the merges of Sennrich et al. 2016 (section 3.2): the base
//! alphabet is the 256 bytes, so every text can be written and nothing is out of vocabulary.

use super::error::Error;
use super::source::Source;
use super::vocabulary::{EOS, Vocabulary, write_atomically};
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
        let texts = std::iter::from_fn(|| match lines.next() {
            Ok(line) => line.map(str::to_owned),
            Err(error) => {
                *failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
                None
            }
        });
        let trained = tokenizer.train(&mut trainer, texts).map_err(refused(source.path()))?;
        let tokenizer = trained.clone();
        match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error),
            None => Ok(Self::of(tokenizer.into())),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::reading(path))?;
        Ok(Self::of(Tokenizer::from_bytes(bytes).map_err(refused(path))?))
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        let json = self.0.to_string(true).map_err(refused(path))?;
        write_atomically(path, |file| file.write_all(json.as_bytes()))
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
        let encoding = self.0.encode_fast(line, false).map_err(refused(Path::new("text")))?;
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// The text of ids; ids that are not in the vocabulary and broken characters are replaced.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        self.0.decode(ids, false).unwrap_or_default()
    }
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
