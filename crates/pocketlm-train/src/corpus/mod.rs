//! Text as token ids: vocabulary, splits, streams.
//!
//! ```no_run
//! use pocketlm_train::corpus::{Corpus, Options, Streams};
//! use std::path::Path;
//!
//! // A folder with train.txt, valid.txt and test.txt, or one file that is cut in three.
//! let corpus = Corpus::open(Path::new("data/ptb"), &Options::default())?;
//! corpus.encoder.save(Path::new("model"))?; // vocab.txt
//! let eos = corpus.encoder.vocabulary().eos();
//! for window in Streams::new(&corpus.train.ids, eos, 20)?.windows(35) {
//!     // window.inputs and window.targets: [35, 20]
//! }
//! # Ok::<(), pocketlm_train::corpus::Error>(())
//! ```
//!
//! - The **vocabulary** is made from the training split alone. Words of other texts that it
//!   lacks become `<unk>` and are counted; where it has no `<unk>` they are an error that names
//!   the place. `<unk>` is in the vocabulary if the training text has it (as Penn Treebank and
//!   WikiText do) or if `max_vocab` or `min_count` were given.
//! - **Lines**: every line, a blank one too, ends in one `<eos>`, whatever the [`Unit`]; of raw text blank lines are
//!   left out. A literal `<eos>` in a text of words is the same type.
//! - **Memory**: a text is read twice, first to count, then to encode; only the current line and
//!   the ids (4 bytes a token) are held.
//! - Using a trained model: [`Encoder::load`], then [`Encoder::encode`] for what a person typed
//!   and [`Encoder::read`] for a file or a split ([`Source::split`]).

mod bpe;
mod encoder;
mod error;
mod raw;
mod source;
mod spelling;
mod streams;
mod subword;
mod unit;
mod vocabulary;

pub use bpe::DEFAULT_BPE_VOCAB;
pub use encoder::{Encoded, Encoder, Extension, Options, Split, is_unknown, without_marks};
pub use error::Error;
pub use raw::{DEFAULT_RAW_VOCAB, Text, composed};
pub use source::{Cut, SPLITS, Source};
pub(crate) use source::{foreign, hex};
pub use spelling::Spelling;
pub use streams::{Streams, Window};
pub use unit::Unit;
pub use vocabulary::{EOS, UNK, Vocabulary};

use sha2::{Digest, Sha256};
use std::path::Path;

/// Training, validation and test text as token ids of one vocabulary.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// The vocabulary and how text is cut into it.
    pub encoder: Encoder,
    /// The text to train on.
    pub train: Split,
    /// The text that chooses.
    pub valid: Split,
    /// The text that is looked at once; empty where it was left out.
    pub test: Split,
    /// Where the splits were read from.
    pub sources: Vec<Source>,
    /// What was taken for granted when the text was read, for people.
    pub notes: Vec<String>,
}

impl Corpus {
    /// Opens a folder with `train.txt`, `valid.txt` and maybe `test.txt`, or a single file that is cut
    /// as [`Source::split`] tells, and makes the vocabulary of its training split.
    ///
    /// # Errors
    /// Any of [`Error`] but those of saved vocabularies and streams.
    pub fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        let sources = Source::splits(path)?;
        let encoder = Encoder::train(&sources[0], options)?;
        if options.unit != Unit::Char {
            return Self::encode(encoder, &sources);
        }
        // Of words that the training text lacks there are many, which a limit should make room for; a character more
        // or less is no reason to stop.
        match Self::encode(encoder.clone(), &sources) {
            Err(Error::UnknownWord { path, line, word }) => {
                let note = format!(
                    "{}: line {line}: {word:?} is no character of the training text: such ones become {UNK}",
                    path.display()
                );
                Self::encode(encoder.with_unknown(note), &sources)
            }
            other => other,
        }
    }

    /// Opens a folder or a file as [`Corpus::open`] does, with a vocabulary that is already known.
    ///
    /// # Errors
    /// As [`Corpus::open`].
    pub fn open_with(path: &Path, encoder: Encoder) -> Result<Self, Error> {
        Self::encode(encoder, &Source::splits(path)?)
    }

    /// Reads training, validation and test text from two or three sources.
    ///
    /// # Errors
    /// Those of [`Encoder::read`].
    ///
    /// # Panics
    /// Where there are fewer sources.
    pub fn encode(encoder: Encoder, sources: &[Source]) -> Result<Self, Error> {
        let (train, valid) = (encoder.read(&sources[0])?, encoder.read(&sources[1])?);
        let test = sources.get(2).map(|test| encoder.read(test)).transpose()?.unwrap_or_default();
        let mut notes: Vec<String> = cut_note(sources).into_iter().collect();
        notes.extend_from_slice(encoder.notes());
        notes.extend(marks_notes(sources, &[&train, &valid, &test]));
        Ok(Self { encoder, train, valid, test, sources: sources.to_vec(), notes })
    }

    /// Checks that there is a test split; `path` is what was opened.
    ///
    /// # Errors
    /// [`Error::NoSplit`].
    pub fn require_test(&self, path: &Path) -> Result<(), Error> {
        if self.test.ids.is_empty() { Err(Error::no_split(path, "test")) } else { Ok(()) }
    }

    /// One hash for the raw text of all three splits, in hexadecimal.
    ///
    /// The SHA-256 of the three lines `name: sha256`, or of two where there is no test split.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        let splits = SPLITS.iter().zip([&self.train, &self.valid, &self.test]);
        for (name, split) in splits.filter(|(_, split)| !split.ids.is_empty()) {
            digest.update(format!("{name}: {}\n", split.sha256));
        }
        hex(&digest.finalize())
    }
}

/// How a single file was cut into three.
fn cut_note(sources: &[Source]) -> Option<String> {
    let cut = sources[0].cut()?;
    let ([train, valid, test], name) = (cut.counts(), sources[0].path().display());
    let plural = if cut.block == 1 { "" } else { "s" };
    Some(format!(
        "{name}: one file, cut into blocks of {} line{plural}: {train} lines train, {valid} validate, {test} test",
        cut.block
    ))
}

/// The lines of each file of which marks were left out.
fn marks_notes(sources: &[Source], splits: &[&Split]) -> Vec<String> {
    let mut marked: Vec<(&Path, u64)> = Vec::new();
    for (source, split) in sources.iter().zip(splits).filter(|(_, split)| split.marked > 0) {
        match marked.iter_mut().find(|(path, _)| *path == source.path()) {
            Some((_, lines)) => *lines += split.marked,
            None => marked.push((source.path(), split.marked)),
        }
    }
    let note = |(path, lines): (&Path, u64)| {
        let name = path.display();
        format!("{name}: {lines} lines with <s>, </s> or <eos> around them, which were left out")
    };
    marked.into_iter().map(note).collect()
}
