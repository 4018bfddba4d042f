//! Suggestions as a person reads and types them.

use anyhow::Result;
use pocketlm::raw::{self, Case};
use pocketlm::{Model, Session};

/// A text with its probability.
pub struct Found {
    pub text: String,
    pub probability: f64,
}

/// The likeliest words and marks of raw text that begin with what is typed. `starts` says that they begin a sentence.
///
/// A typed `pa` may become `Paris`. What begins a sentence has a capital, unless a small letter is typed already.
pub fn of_raw_text(
    session: &mut Session<&Model>,
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
    let found = if typed.is_empty() {
        session.suggest(asked)?
    } else {
        session.suggest_prefixes(&prefixes, asked)?
    };
    let mut all: Vec<Found> = Vec::new();
    for suggestion in found.iter() {
        let (text, _) = raw::inner(suggestion.word);
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
