//! What can be wrong with a text, and how to mend it.

use super::source::SPLITS;
use std::io;
use std::path::{Path, PathBuf};

/// Everything that can go wrong between a text and its token ids.
///
/// Each message names the file, the place in it and the mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing at the given path.
    #[error("{}: no such file or folder; check the path", path.display())]
    Missing {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A folder lacks one of the split files.
    #[error("{}: no {split}.txt in this folder; {}", path.display(), split_mend(found))]
    NoSplit {
        /// The folder.
        path: PathBuf,
        /// The split that is missing: `train`, `valid` or `test`.
        split: &'static str,
        /// The splits that are there.
        found: Vec<&'static str>,
    },
    /// A file holds no bytes (or nothing but a byte order mark).
    #[error("{}: the file is empty; give it one sentence a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file has too few lines to be cut into three splits.
    #[error(
        "{}: {lines} line(s) cannot be cut into training, validation and test text; \
         break the text into lines, or give a folder with train.txt, valid.txt and test.txt",
        path.display()
    )]
    TooFewLines {
        /// The file.
        path: PathBuf,
        /// How many lines it has.
        lines: u64,
    },
    /// A file is not UTF-8.
    #[error(
        "{}: not UTF-8 at byte {offset} (line {line}); convert it, \
         for example with `iconv -f latin1 -t utf-8`",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The first bad byte, counted from 0 at the start of the file.
        offset: u64,
    },
    /// A file is no text.
    #[error("{}: is no plain text but {kind}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, and how to make a text of it.
        kind: &'static str,
    },
    /// A word is longer than any model takes, and there is no `<unk>` to stand in for it.
    #[error(
        "{}: line {line}: a word of {bytes} bytes, at most {most} can be a type: is the text broken into words? \
         With --max-vocab or --min-count such words become <unk>",
        path.display()
    )]
    LongWord {
        /// The text.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Bytes of the word.
        bytes: usize,
        /// The most that a word may have.
        most: usize,
    },
    /// The training text has one type only.
    #[error(
        "{}: a vocabulary of one word (`{word}`): there is nothing to predict; \
         the training text needs at least one more word",
        path.display()
    )]
    OneWord {
        /// The training text.
        path: PathBuf,
        /// Its only type.
        word: String,
    },
    /// A word is not in the vocabulary and there is no `<unk>` to stand in for it.
    #[error(
        "{}: line {line}: {:?} is not in the vocabulary, which has no <unk> for unknown words; \
         train with --max-vocab or --min-count, which adds <unk>",
        path.display(),
        shortened(word)
    )]
    UnknownWord {
        /// The text (`the given text` where it came from no file).
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The word.
        word: String,
    },
    /// The vocabulary that was asked for is too small.
    #[error("--max-vocab {asked} is too small: give at least {least} ({reason})")]
    MaxVocab {
        /// The size asked for.
        asked: usize,
        /// The smallest size that makes sense.
        least: usize,
        /// What takes up the least size.
        reason: &'static str,
    },
    /// `vocab.txt` is damaged or from elsewhere.
    #[error("{}: line {line}: {reason}; take the vocab.txt saved with the model", path.display())]
    BadVocabulary {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A tokenizer refused its work, or its file is of no use.
    #[error("{}: tokenizer: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer file or the text.
        path: PathBuf,
        /// What is wrong, and what to take instead.
        reason: String,
    },
    /// A split is too short for the number of parallel streams, or that number is zero.
    #[error(
        "{tokens} tokens cannot be cut into {batch} parallel streams; \
         give a batch size between 1 and the number of tokens"
    )]
    Batch {
        /// Tokens of the split.
        tokens: usize,
        /// Streams asked for.
        batch: usize,
    },
    /// Reading failed.
    #[error("{}: cannot be read: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed.
    #[error("{}: cannot be written: {source}; check permissions and free space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// An [`Error::NoSplit`], with what the folder has.
    pub(super) fn no_split(folder: &Path, split: &'static str) -> Self {
        let found = SPLITS.into_iter().filter(|name| folder.join(format!("{name}.txt")).is_file());
        Self::NoSplit { path: folder.into(), split, found: found.collect() }
    }

    pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Read { path, source },
        }
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

/// The begin of a long word.
fn shortened(word: &str) -> String {
    const MOST: usize = 60;
    match word.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &word[..at]),
        None => word.to_owned(),
    }
}

fn split_mend(found: &[&str]) -> String {
    match found {
        [] => "it needs train.txt, valid.txt and test.txt, or give a single text file".to_owned(),
        _ => format!("it has only {}.txt", found.join(".txt, ")),
    }
}
