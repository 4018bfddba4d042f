//! A vocabulary with the new words of another text.

use std::convert::Infallible;

use pocketlm::raw::{Case, JOIN, LOWER};

use super::{Encoder, Kind, MOST_BYTES, each_type, is_unknown, without_marks};
use crate::corpus::error::Error;
use crate::corpus::raw::{self, RawCounts, Rule};
use crate::corpus::source::Source;
use crate::corpus::unit::Unit;
use crate::corpus::vocabulary::{Counts, UNK};

/// A vocabulary with new words.
#[derive(Debug, Clone)]
pub struct Extension {
    /// The old types and the new ones after them.
    pub encoder: Encoder,
    /// How often each of the new words came, in the order of their ids.
    pub counts: Vec<u64>,
    /// Words that stay unknown, as often as they came.
    pub unknown: u64,
}

/// What a text has that a vocabulary lacks.
struct New {
    counts: Counts,
    unknown: u64,
    /// Whether a capitalised word of raw text keeps its capital at the start of a sentence.
    is_name: Box<dyn Fn(&str) -> bool>,
}

impl Encoder {
    /// The same with the `most` most frequent words of a text that it lacks, as new types after the old ones. Byte pairs
    /// lack none.
    ///
    /// # Errors
    /// Those of reading.
    pub fn extended(&self, source: &Source, most: usize) -> Result<Extension, Error> {
        let New { counts, mut unknown, is_name } = match &self.kind {
            Kind::Raw(rule) => self.new_of_raw(source, rule.case)?,
            _ => self.new_words(source)?,
        };
        let mut words = counts.sorted();
        let dropped = words.split_off(most.min(words.len()));
        unknown += dropped.iter().map(|(_, times)| times).sum::<u64>();
        let (words, counts): (Vec<_>, Vec<_>) = words.into_iter().unzip();
        let notes = [self.notes.clone(), vec![note(source, &words)]].concat();
        let vocabulary = self.vocabulary.clone().with_words(words);
        let kind = match &self.kind {
            Kind::Raw(rule) => {
                let mut names = rule.names.clone();
                if rule.case == Case::True {
                    names.extend(raw::names(&vocabulary, Some(&self.vocabulary), is_name));
                }
                Kind::Raw(Rule { case: rule.case, names })
            }
            other => other.clone(),
        };
        Ok(Extension { encoder: Self::of(vocabulary, kind, notes), counts, unknown })
    }

    fn new_words(&self, source: &Source) -> Result<New, Error> {
        let mut new = New { counts: Counts::default(), unknown: 0, is_name: Box::new(|_| false) };
        if matches!(self.kind, Kind::Subword(_)) {
            return Ok(new);
        }
        let mut lines = source.open()?;
        while let Some(line) = lines.next()? {
            let content = if self.unit() == Unit::Word { without_marks(line) } else { line };
            let Ok(()) = each_type(content, self.unit(), |word| {
                self.count_new(word, 1, &mut new);
                Ok::<_, Infallible>(())
            });
        }
        Ok(new)
    }

    fn new_of_raw(&self, source: &Source, case: Case) -> Result<New, Error> {
        let mut counts = RawCounts::new(case);
        let mut lines = source.open()?;
        while let Some(line) = lines.next()? {
            counts.add_line(line, |word| (word.len() > MOST_BYTES).then_some(UNK));
        }
        let vocabulary = self.vocabulary.clone();
        let (counts, is_name) = counts.settle(move |word| vocabulary.id(word).is_some());
        let mut new = New { counts: Counts::default(), unknown: 0, is_name: Box::new(is_name) };
        // What has no text of its own is no word that could join.
        let words =
            counts.sorted().into_iter().filter(|(word, _)| ![JOIN, LOWER].contains(&&**word));
        words.for_each(|(word, times)| self.count_new(&word, times, &mut new));
        Ok(new)
    }

    /// Counts a word that the vocabulary lacks: as a new one, or as one that stays unknown.
    fn count_new(&self, word: &str, times: u64, new: &mut New) {
        let known = self.vocabulary.id(word);
        let is_unk = known.is_some() && known == self.vocabulary.unk();
        if is_unk || (known.is_none() && (is_unknown(word) || word.len() > MOST_BYTES)) {
            new.unknown += times;
        } else if known.is_none() {
            new.counts.add_times(word, times);
        }
    }
}

/// Which words have joined, for people.
fn note(source: &Source, words: &[Box<str>]) -> String {
    const SHOWN: usize = 5;
    let name = source.path().display();
    let shown = words.iter().take(SHOWN).map(|word| &**word).collect::<Vec<_>>().join(" ");
    let more = if words.len() > SHOWN { " …" } else { "" };
    match words.len() {
        0 => format!("{name}: has no word that the vocabulary lacks"),
        1 => format!("{name}: 1 new word joins the vocabulary: {shown}"),
        n => format!("{name}: {n} new words join the vocabulary: {shown}{more}"),
    }
}
