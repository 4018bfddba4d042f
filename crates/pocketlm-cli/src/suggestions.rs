//! Suggestions as a person reads and types them.

use anyhow::Result;
use pocketlm::personal::PersonalSession;
use pocketlm::raw::{self, Case};
use pocketlm::{Model, Session};

pub use pocketlm::raw::Found;

/// What gives suggestions: a model alone, or with its user's words.
pub trait Suggesting {
    /// The likeliest words that begin with any of `prefixes`, or of all where there is none.
    fn find(&mut self, prefixes: &[&str], k: usize) -> Result<Vec<Found>>;
}

impl Suggesting for Session<&Model> {
    fn find(&mut self, prefixes: &[&str], k: usize) -> Result<Vec<Found>> {
        let found = if prefixes.is_empty() {
            self.suggest(k)?
        } else {
            self.suggest_prefixes(prefixes, k)?
        };
        let found = found.iter();
        Ok(found.map(|f| Found { text: f.word.to_owned(), probability: f.probability }).collect())
    }
}

impl Suggesting for PersonalSession<&Model> {
    fn find(&mut self, prefixes: &[&str], k: usize) -> Result<Vec<Found>> {
        let found = self.suggest(prefixes, k)?.into_iter();
        Ok(found.map(|f| Found { text: f.word, probability: f.probability }).collect())
    }
}

/// The likeliest words and marks of raw text that begin with what is typed. `starts` says that they begin a sentence.
///
/// A typed `pa` may become `Paris`. What begins a sentence has a capital, unless a small letter is typed already.
pub fn of_raw_text(
    session: &mut impl Suggesting,
    case: Case,
    starts: bool,
    typed: &str,
    k: usize,
) -> Result<Vec<Found>> {
    raw::suggest(|prefixes, k| session.find(prefixes, k), case, starts, typed, k)
}
