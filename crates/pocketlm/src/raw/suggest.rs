//! Suggestions as a person reads and types them.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Case, inner, is_small, push_capitalised};

/// A text with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// A word or a mark as it is written at this place.
    pub text: String,
    /// The probability of all types that are written so.
    pub probability: f64,
}

/// The `k` likeliest words and marks of raw text that begin with what is typed. `starts` says that they begin a
/// sentence ([`begins_sentence`](super::begins_sentence)); `find` gives the likeliest types, as many as it is asked for,
/// that begin with any of some prefixes, or of all where there is none.
///
/// A typed `pa` may become `Paris`. What begins a sentence has a capital, unless a small letter is typed already.
///
/// # Errors
/// What `find` says.
pub fn suggest<E>(
    find: impl FnOnce(&[&str], usize) -> Result<Vec<Found>, E>,
    case: Case,
    starts: bool,
    typed: &str,
    k: usize,
) -> Result<Vec<Found>, E> {
    let starts = case == Case::True && starts;
    let (small, mut capitalised) = (typed.to_lowercase(), String::new());
    push_capitalised(typed, &mut capitalised);
    // As it is typed; as the model has the first word of a sentence; as a name whose capital was left out.
    let prefixes = [
        Some(typed).filter(|_| case != Case::Fold),
        Some(&*small).filter(|_| starts || case == Case::Fold),
        Some(&*capitalised).filter(|_| case != Case::Fold && is_small(typed)),
    ];
    let prefixes: Vec<&str> = prefixes.into_iter().flatten().collect();
    let capitalises = starts && !is_small(typed);
    // Types that are shown alike are one suggestion.
    let asked = k.saturating_mul(2).max(64);
    let found = find(if typed.is_empty() { &[] } else { &prefixes }, asked)?;
    let mut all: Vec<Found> = Vec::new();
    for suggestion in found {
        let (text, _) = inner(&suggestion.text);
        let mut shown = String::new();
        if capitalises && is_small(text) {
            push_capitalised(text, &mut shown);
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
