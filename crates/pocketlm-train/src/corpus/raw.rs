//! Raw text: whether a text is that, its types, and which words are names.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use pocketlm::pack::write_file_with;
use pocketlm::raw::{self, Case, is_capitalised};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::encoder::is_unknown;
use super::error::Error;
use super::source::Source;
use super::vocabulary::{Counts, Vocabulary};

/// Types of raw text that are kept where no limit is given.
pub const DEFAULT_RAW_VOCAB: usize = 10_000;

/// What a text of words is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Text {
    /// What it looks like.
    #[default]
    Auto,
    /// As people write it: punctuation touches words.
    Raw,
    /// Cut by white space already, as Penn Treebank and WikiText are.
    Tokenised,
}

impl Text {
    const ALL: [(Self, &str); 3] =
        [(Self::Auto, "auto"), (Self::Raw, "raw"), (Self::Tokenised, "tokenised")];
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(text, _)| text == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Text {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL
            .iter()
            .find(|(_, own)| *own == name || (name == "tokenized" && *own == "tokenised"));
        found
            .map(|(text, _)| *text)
            .ok_or_else(|| format!("unknown text `{name}`: give auto, raw or tokenised"))
    }
}

/// Lines that are looked at to tell what a text is like.
const LINES: u64 = 2000;

/// What a text looks like, and by what.
pub(super) struct Look {
    /// Whether it is raw.
    pub(super) is_raw: bool,
    /// A word that only tokenised text has.
    pub(super) mark: Option<String>,
}

/// Words that tokenised texts have and others do not: the unknown word, parts of contractions, hyphens of WikiText.
fn is_of_tokenised(word: &str) -> bool {
    is_unknown(word) || matches!(word, "n't" | "'s" | "'re" | "'ve" | "'ll" | "@-@" | "@,@" | "@.@")
}

/// Looks at the first lines of a text. It is raw if punctuation touches words in it or lines begin with capitals, unless
/// it has words that only tokenised texts have.
///
/// # Errors
/// Those of reading.
pub(super) fn look(source: &Source) -> Result<Look, Error> {
    let (mut words, mut touched, mut lines_seen, mut capitals) = (0u64, 0u64, 0u64, 0u64);
    let mut lines = source.open()?;
    while let Some(line) = lines.next()? {
        let first = line.chars().find(|char| char.is_alphanumeric());
        lines_seen += u64::from(first.is_some());
        capitals += u64::from(first.is_some_and(char::is_uppercase));
        for word in line.split_whitespace() {
            if is_of_tokenised(word) {
                return Ok(Look { is_raw: false, mark: Some(word.to_owned()) });
            }
            words += 1;
            let ends = [word.chars().next(), word.chars().next_back()];
            let has_mark = ends.into_iter().flatten().any(|char| ",.;:!?\"()".contains(char));
            touched += u64::from(has_mark && word.chars().any(char::is_alphanumeric));
        }
        if lines.number() >= LINES {
            break;
        }
    }
    Ok(Look { is_raw: 100 * touched > words || 2 * capitals > lines_seen, mark: None })
}

/// A line in Unicode's composed form (NFC).
pub fn composed(line: &str) -> Cow<'_, str> {
    match is_nfc_quick(line.chars()) {
        IsNormalized::Yes => Cow::Borrowed(line),
        _ => Cow::Owned(line.nfc().collect()),
    }
}

/// How raw text is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// What happens to capitals.
    pub(super) case: Case,
    /// Words that keep their capital at the start of a sentence, although there is a word with a small letter too.
    pub(super) names: BTreeSet<String>,
}

fn small(word: &str) -> String {
    word.to_lowercase()
}

impl Rule {
    /// Calls `take` with the types of a line, in the words of `vocabulary`.
    pub(super) fn each_type<E>(
        &self,
        line: &str,
        vocabulary: &Vocabulary,
        mut take: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_name =
            |word: &str| self.names.contains(word) || vocabulary.id(&small(word)).is_none();
        raw::each_type(&composed(line), false, self.case, &is_name, |text, spelt| {
            // What has no text of its own may be missing.
            if text.is_empty() && vocabulary.id(spelt).is_none() { Ok(()) } else { take(spelt) }
        })
    }

    pub(super) fn load(path: &Path, case: Case, vocabulary: &Vocabulary) -> Result<Self, Error> {
        if case != Case::True {
            return Ok(Self { case, names: BTreeSet::new() });
        }
        let text = fs::read_to_string(path).map_err(Error::reading(path))?;
        let names: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        let stray = text.lines().zip(1..).find(|(name, _)| vocabulary.id(name).is_none());
        if let Some((name, line)) = stray {
            let reason = format!("`{name}` is not in vocab.txt");
            return Err(Error::BadVocabulary { path: path.into(), line, reason });
        }
        Ok(Self { case, names })
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        if self.case != Case::True {
            return Ok(());
        }
        let names = &self.names;
        write_file_with(path, |file| names.iter().try_for_each(|name| writeln!(file, "{name}")))
            .map_err(Error::writing(path))
    }
}

/// Counts the types of raw text.
pub(super) struct RawCounts {
    case: Case,
    counts: Counts,
    /// Capitalised words at the start of sentences, of which it is not known yet what they count for.
    first: HashMap<Box<str>, u64>,
}

impl RawCounts {
    pub(super) fn new(case: Case) -> Self {
        Self { case, counts: Counts::default(), first: HashMap::new() }
    }

    /// Takes the types of a line; `spell` says what a word counts as.
    pub(super) fn add_line(&mut self, line: &str, spell: impl Fn(&str) -> Option<&'static str>) {
        // Whether a word is a name is asked of the capitalised ones at the start of a sentence alone, right before they
        // come; all of them are, for now.
        let is_first = Cell::new(false);
        let is_name = |_: &str| {
            is_first.set(true);
            true
        };
        let Ok(()) = raw::each_type(&composed(line), false, self.case, &is_name, |_, spelt| {
            match (spell(spelt), is_first.take()) {
                (Some(other), _) => self.counts.add(other),
                (None, true) => *self.first.entry(spelt.into()).or_insert(0) += 1,
                (None, false) => self.counts.add(spelt),
            }
            Ok::<(), Infallible>(())
        });
    }

    pub(super) fn add(&mut self, word: &str) {
        self.counts.add(word);
    }

    /// All counts, with every word at the start of a sentence as it is written elsewhere; and which capitalised words
    /// are preferred to their small form. Where the small form is known already, that is what it stays.
    pub(super) fn settle(
        mut self,
        is_known: impl Fn(&str) -> bool,
    ) -> (Counts, impl Fn(&str) -> bool) {
        let elsewhere: HashMap<Box<str>, u64> = self.counts.all().clone();
        let is_name = move |word: &str| {
            let count = |word: &str| elsewhere.get(word).copied().unwrap_or(0);
            let small = small(word);
            let without = count(&small);
            !is_known(&small) && (without == 0 || without < count(word))
        };
        for (word, times) in self.first.drain() {
            let counted = if is_name(&word) { word.into() } else { small(&word) };
            self.counts.add_times(&counted, times);
        }
        (self.counts, is_name)
    }
}

/// The names of a vocabulary, of the words that are new since `before` or have a new small form; without it, of all.
pub(super) fn names(
    vocabulary: &Vocabulary,
    before: Option<&Vocabulary>,
    is_name: impl Fn(&str) -> bool,
) -> BTreeSet<String> {
    let both = |word: &&str| is_capitalised(word) && vocabulary.id(&small(word)).is_some();
    let is_old = |word: &str| before.is_some_and(|before| before.id(word).is_some());
    let is_new = |word: &&str| !is_old(word) || !is_old(&small(word));
    let names = vocabulary.words().filter(both).filter(is_new).filter(|word| is_name(word));
    names.map(str::to_owned).collect()
}

/// The first types of a line, for people.
pub(super) fn sample(rule: &Rule, vocabulary: &Vocabulary, line: &str) -> String {
    let mut types: Vec<String> = Vec::new();
    let Ok(()) = rule.each_type(line, vocabulary, |spelt| {
        types.push(spelt.to_owned());
        Ok::<(), Infallible>(())
    });
    types.truncate(12);
    types.join(" ")
}
