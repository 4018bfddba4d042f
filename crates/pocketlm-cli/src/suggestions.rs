//! Suggestions as a person reads and types them.

use anyhow::Result;
use pocketlm::personal::PersonalSession;
use pocketlm::raw::{self, Case};
use pocketlm::{Model, Session};

/// A text with its probability.
pub struct Found {
    pub text: String,
    pub probability: f64,
}

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
    let starts = case == Case::True && starts;
    let (small, mut capitalised) = (typed.to_lowercase(), String::new());
    raw::push_capitalised(typed, &mut capitalised);
    // As it is typed; as the model has the first word of a sentence; as a name whose capital was left out.
    let prefixes = [
        Some(typed).filter(|_| case != Case::Fold),
        Some(&*small).filter(|_| starts || case == Case::Fold),
        Some(&*capitalised).filter(|_| case != Case::Fold && raw::is_small(typed)),
    ];
    let prefixes: Vec<&str> = prefixes.into_iter().flatten().collect();
    let capitalises = starts && !raw::is_small(typed);
    // Types that are shown alike are one suggestion.
    let asked = k.saturating_mul(2).max(64);
    let found = session.find(if typed.is_empty() { &[] } else { &prefixes }, asked)?;
    let mut all: Vec<Found> = Vec::new();
    for suggestion in found {
        let (text, _) = raw::inner(&suggestion.text);
        let mut shown = String::new();
        if capitalises && raw::is_small(text) {
            raw::push_capitalised(text, &mut shown);
        } else {
            shown.push_str(text);
        }
        match all.iter_mut().find(|other| other.text == shown) {
            Some(other) => other.probability += suggestion.probability,
            None => all.push(Found { text: shown, probability: suggestion.probability }),
        }
    }
    all.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    all.truncate(k);
    Ok(all)
}
