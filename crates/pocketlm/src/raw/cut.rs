//! From text to tokens.

use alloc::string::String;

use super::segment::{self, segments};
use super::{Case, JOIN, LOWER};

/// Whether a word has one capital, its first letter, and small letters after it: `She`, `I`.
#[must_use]
pub fn is_capitalised(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase) && !letters.any(char::is_uppercase)
}

/// Whether a word begins with a small letter and has no capital: what `Writer` gives one at the start of a sentence.
#[must_use]
pub fn is_small(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_lowercase) && !word.chars().any(char::is_uppercase)
}

/// Appends a word with a capital at its start.
pub fn push_capitalised(word: &str, out: &mut String) {
    let mut letters = word.chars();
    out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
    out.push_str(letters.as_str());
}

/// Calls `take` with each stretch of a line and its type; `<join>` and `<lower>` have an empty stretch. `is_open` says that the text may go on after it, as that of a person who is
/// still typing; `is_name` whether a capitalised word keeps its capital at the start of a sentence.
///
/// # Errors
/// The first of `take`.
pub fn each_type<'t, E>(
    line: &'t str,
    is_open: bool,
    case: Case,
    is_name: &dyn Fn(&str) -> bool,
    mut take: impl FnMut(&'t str, &str) -> Result<(), E>,
) -> Result<(), E> {
    let mut spelt = String::new();
    for segment in segments(line, is_open) {
        if segment.joined {
            take("", JOIN)?;
        }
        let Some(glue) = segment.glue else {
            match case {
                Case::True if segment.starts && is_small(segment.text) => take("", LOWER)?,
                _ => {}
            }
            let folds = match case {
                Case::Keep => false,
                Case::Fold => true,
                Case::True => {
                    segment.starts && is_capitalised(segment.text) && !is_name(segment.text)
                }
            };
            if folds {
                spelt.clear();
                spelt.extend(segment.text.chars().flat_map(char::to_lowercase));
                take(segment.text, &spelt)?;
            } else {
                take(segment.text, segment.text)?;
            }
            continue;
        };
        spelt.clear();
        glue.spell(segment.text, &mut spelt);
        take(segment.text, &spelt)?;
    }
    Ok(())
}

/// The part of a text that is done, and the beginning of the word that is being typed after it, which is empty where a
/// space or a mark ends the text.
#[must_use]
pub fn split_typed(text: &str) -> (&str, &str) {
    let last = text.rfind('\n').map_or(0, |at| at + 1);
    match segment::last_word(&text[last..]) {
        Some(word) => text.split_at(text.len() - word.len()),
        None => (text, ""),
    }
}

/// Whether what follows `text` begins a sentence.
#[must_use]
pub fn begins_sentence(text: &str) -> bool {
    segment::begins_sentence(&text[text.rfind('\n').map_or(0, |at| at + 1)..])
}
