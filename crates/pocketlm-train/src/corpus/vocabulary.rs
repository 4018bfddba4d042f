//! The types of a text and their ids.

use super::error::Error;
use super::source::hex;
use pocketlm::pack::write_file_with;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The type that ends every line.
pub const EOS: &str = "<eos>";
/// The type that stands for every word outside the vocabulary.
pub const UNK: &str = "<unk>";

/// The closed set of types a model predicts, in id order.
///
/// Ids run from 0 without holes. A vocabulary made from counts has its types by falling
/// frequency, ties by their bytes, so that the same text always gives the same ids.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    words: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
    eos: u32,
    unk: Option<u32>,
    /// What the types are in a packed file, where that is not their UTF-8.
    bytes: Option<Arc<[Vec<u8>]>>,
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Vocabulary {}

impl Vocabulary {
    /// Number of types, `<eos>` and `<unk>` included.
    #[expect(clippy::len_without_is_empty, reason = "a vocabulary is never empty")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// The id of `<eos>`.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The id of `<unk>`, where the vocabulary has one.
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// The id of a type, if it is in the vocabulary.
    pub fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }

    /// The type of an id, if there is one.
    pub fn word(&self, id: u32) -> Option<&str> {
        self.words.get(id as usize).map(|word| &**word)
    }

    /// The types in id order.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(|word| &**word)
    }

    /// SHA-256 of the types in their order, each with a line feed after it, as `vocab.txt` has them; in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        self.words.iter().for_each(|word| digest.update(format!("{word}\n")));
        hex(&digest.finalize())
    }

    /// A vocabulary of the given types in the given order.
    ///
    /// `path` is named in the error.
    ///
    /// # Errors
    /// [`Error::BadVocabulary`] where a type is empty, holds a line break or comes twice, or
    /// `<eos>` is missing; [`Error::OneWord`] where there is nothing but one type.
    pub fn from_words<W: Into<Arc<str>>>(
        words: impl IntoIterator<Item = W>,
        path: &Path,
    ) -> Result<Self, Error> {
        let (words, ids) = indexed(words, path)?;
        let eos = *ids.get(EOS).ok_or_else(|| bad(path, words.len(), "no line is <eos>"))?;
        if words.len() == 1 {
            return Err(Error::OneWord { path: path.into(), word: words[0].to_string() });
        }
        let unk = ids.get(UNK).copied();
        Ok(Self { words, ids, eos, unk, bytes: None })
    }

    /// The same, with the ids of the end of a line and of the unknown word given, whatever these are called.
    ///
    /// # Errors
    /// Those of [`Vocabulary::from_words`] but for a missing `<eos>`.
    ///
    /// # Panics
    /// If an id is none of a type.
    pub fn with_ids<W: Into<Arc<str>>>(
        words: impl IntoIterator<Item = W>,
        eos: u32,
        unk: Option<u32>,
        path: &Path,
    ) -> Result<Self, Error> {
        let (words, ids) = indexed(words, path)?;
        assert!(unk.into_iter().chain([eos]).all(|id| (id as usize) < words.len()), "ids of types");
        Ok(Self { words, ids, eos, unk, bytes: None })
    }

    /// The same types, which are these bytes in a packed file.
    pub(super) fn with_bytes(self, bytes: Vec<Vec<u8>>) -> Self {
        Self { bytes: Some(bytes.into()), ..self }
    }

    /// What the types are in a packed file, in id order: bytes of text for the pieces of subwords.
    pub fn bytes(&self) -> Vec<&[u8]> {
        match &self.bytes {
            Some(bytes) => bytes.iter().map(Vec::as_slice).collect(),
            None => self.words.iter().map(|word| word.as_bytes()).collect(),
        }
    }

    /// The same types and `<unk>` after them, if it is not among them.
    pub(super) fn with_unknown(mut self) -> Self {
        if self.unk.is_none() {
            let id = self.words.len() as u32;
            self.words.push(UNK.into());
            self.ids.insert(UNK.into(), id);
            self.unk = Some(id);
        }
        self
    }

    /// The same types and new ones after them.
    pub(super) fn with_words(mut self, words: impl IntoIterator<Item = Box<str>>) -> Self {
        for word in words {
            let word: Arc<str> = word.into();
            self.ids.insert(word.clone(), self.words.len() as u32);
            self.words.push(word);
        }
        self
    }

    /// Reads `vocab.txt`: one type per line, line number (from 0) = id.
    ///
    /// Lines end in a bare line feed, since any other character, a carriage return or a space
    /// among them, may be a type of a character model. Where every line ends in a carriage
    /// return too, as some programs rewrite text files, that is none, nor is a byte order mark
    /// before the first type.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`], [`Error::Empty`], [`Error::NotUtf8`], and those of
    /// [`Vocabulary::from_words`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::reading(path))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| not_utf8(path, &bytes, error))?;
        if text.is_empty() {
            return Err(Error::Empty { path: path.into() });
        }
        let text = text.strip_suffix('\n').unwrap_or(text);
        let unmarked = text.strip_prefix('\u{feff}').filter(|rest| !rest.starts_with(['\n', '\r']));
        let text = unmarked.unwrap_or(text);
        if text.split('\n').all(|line| line.len() > 1 && line.ends_with('\r')) {
            return Self::from_words(text.split('\n').map(|line| &line[..line.len() - 1]), path);
        }
        Self::from_words(text.split('\n'), path)
    }

    /// Writes `vocab.txt`, to a temporary name first.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let words = &self.words;
        write_file_with(path, |file| words.iter().try_for_each(|word| writeln!(file, "{word}")))
            .map_err(Error::writing(path))
    }
}

fn bad(path: &Path, line: usize, reason: &str) -> Error {
    Error::BadVocabulary { path: path.into(), line, reason: reason.into() }
}

type Indexed = (Vec<Arc<str>>, HashMap<Arc<str>, u32>);

/// Types in their order and their ids.
fn indexed<W: Into<Arc<str>>>(
    words: impl IntoIterator<Item = W>,
    path: &Path,
) -> Result<Indexed, Error> {
    let words: Vec<Arc<str>> = words.into_iter().map(Into::into).collect();
    let mut ids = HashMap::with_capacity(words.len());
    for (id, word) in words.iter().enumerate() {
        if word.is_empty() || word.contains('\n') {
            return Err(bad(path, id + 1, "an empty type"));
        }
        if ids.insert(word.clone(), id as u32).is_some() {
            return Err(bad(path, id + 1, &format!("`{word}` comes twice")));
        }
    }
    Ok((words, ids))
}

fn not_utf8(path: &Path, bytes: &[u8], error: std::str::Utf8Error) -> Error {
    let offset = error.valid_up_to();
    let line = 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count() as u64;
    Error::NotUtf8 { path: path.into(), line, offset: offset as u64 }
}

/// Counts the types of a training text and makes a vocabulary of them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    counts: HashMap<Box<str>, u64>,
}

impl Counts {
    pub(super) fn add(&mut self, word: &str) {
        match self.counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(word.into(), 1);
            }
        }
    }

    pub(super) fn add_times(&mut self, word: &str, times: u64) {
        *self.counts.entry(word.into()).or_insert(0) += times;
    }

    /// How often each word came.
    pub(super) fn all(&self) -> &HashMap<Box<str>, u64> {
        &self.counts
    }

    /// All types by falling frequency, ties by their bytes.
    pub(super) fn sorted(self) -> Vec<(Box<str>, u64)> {
        by_frequency(self.counts)
    }

    /// All types, or those that `limits` keep plus `<unk>` for the rest.
    pub(super) fn into_vocabulary(
        mut self,
        limits: Limits,
        path: &Path,
    ) -> Result<Vocabulary, Error> {
        self.counts.entry(EOS.into()).or_insert(0);
        let mut types = by_frequency(self.counts);
        if limits.are_set() {
            limits.apply(&mut types)?;
        }
        Vocabulary::from_words(types.into_iter().map(|(word, _)| word), path)
    }
}

fn by_frequency(counts: HashMap<Box<str>, u64>) -> Vec<(Box<str>, u64)> {
    let mut types: Vec<_> = counts.into_iter().collect();
    sort(&mut types);
    types
}

fn sort(types: &mut [(Box<str>, u64)]) {
    types.sort_unstable_by(|(word, count), (other, more)| more.cmp(count).then(word.cmp(other)));
}

/// Which types of the training text a vocabulary keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// At most so many types, `<eos>` and `<unk>` included.
    pub(super) max_vocab: Option<usize>,
    /// Only types that come at least so often.
    pub(super) min_count: Option<u64>,
}

impl Limits {
    pub(super) fn are_set(self) -> bool {
        self.max_vocab.is_some() || self.min_count.is_some()
    }

    /// Drops the rare types and gives their counts to `<unk>`.
    fn apply(self, types: &mut Vec<(Box<str>, u64)>) -> Result<(), Error> {
        let asked = self.max_vocab.unwrap_or(usize::MAX);
        if asked < 2 {
            return Err(Error::MaxVocab { asked, least: 2, reason: "<eos> and <unk>" });
        }
        let (special, words): (Vec<_>, Vec<_>) =
            types.drain(..).partition(|(word, _)| **word == *EOS || **word == *UNK);
        let least = self.min_count.unwrap_or(0);
        let kept = words.iter().take(asked - 2).take_while(|(_, count)| *count >= least).count();
        let dropped: u64 = words[kept..].iter().map(|(_, count)| count).sum();
        let count =
            |name: &str| special.iter().find(|(word, _)| **word == *name).map_or(0, |t| t.1);
        types.extend([(EOS.into(), count(EOS)), (UNK.into(), count(UNK) + dropped)]);
        types.extend(words.into_iter().take(kept));
        sort(types);
        Ok(())
    }
}
