//! Where words begin and end in running text, and what is typed of one.
//!
//! A word is a stretch of letters, figures and whatever is neither white space nor a mark; apostrophes, hyphens and
//! underscores belong to it. In scripts that put no spaces between words (Han, kana, Thai and its neighbours) a word ends
//! with the piece. A mark is a word of its own.

use alloc::string::String;

pub use super::search::{Found, WordSearch, Words};
use crate::vocabulary::Vocabulary;

/// The beginning of the word that is to be found, after a text that has been read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// What is typed of it, with the space before it if there is one.
    pub typed: String,
    /// Whether a new word begins, although no space says so yet: what comes next is a space or a mark.
    pub is_fresh: bool,
}

impl Place {
    /// The place after a text whose last word is whole: the text to read, and the place. A space at its end is taken for
    /// the one before the next word.
    #[must_use]
    pub fn after<'t>(vocabulary: &Vocabulary, text: &'t str) -> (&'t str, Self) {
        Self::with_prefix(vocabulary, text, "")
    }

    /// The same where the word begins with `prefix`.
    #[must_use]
    pub fn with_prefix<'t>(
        vocabulary: &Vocabulary,
        text: &'t str,
        prefix: &str,
    ) -> (&'t str, Self) {
        let (context, spaced) =
            text.strip_suffix(' ').map_or((text, false), |context| (context, true));
        let before = context.chars().next_back();
        let needs_space = before.is_some_and(|char| !char.is_whitespace() && !opens(char));
        let is_fresh = needs_space && !spaced && prefix.is_empty();
        let space = spaced || (needs_space && !prefix.is_empty());
        (context, Self { is_fresh, ..Self::of(vocabulary, context, space, prefix) })
    }

    /// The place within a text whose last word is being typed: the text to read, up to that word and the space before
    /// it, and the place.
    #[must_use]
    pub fn within<'t>(vocabulary: &Vocabulary, text: &'t str) -> (&'t str, Self) {
        let word = text.rfind(is_boundary);
        let start = word.map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
        let (before, typed) = text.split_at(start);
        let (context, spaced) =
            before.strip_suffix(' ').map_or((before, false), |context| (context, true));
        (context, Self::of(vocabulary, context, spaced, typed))
    }

    fn of(vocabulary: &Vocabulary, context: &str, space: bool, typed: &str) -> Self {
        let begins_line = context.is_empty() || context.ends_with('\n');
        // SentencePiece has a space there.
        let has_own = || vocabulary.tokenizer().is_some_and(super::Tokenizer::has_prefix_space);
        let space = space || (begins_line && !typed.is_empty() && has_own());
        let mut own = String::from(if space { " " } else { "" });
        own.push_str(typed);
        Self { typed: own, is_fresh: false }
    }
}

/// Marks that a word follows without a space.
fn opens(char: char) -> bool {
    matches!(
        char,
        '(' | '[' | '{' | '"' | '“' | '‘' | '„' | '«' | '¿' | '¡' | '/' | '「' | '『' | '（'
    )
}

/// Whether a character ends the word before it.
pub(super) fn is_boundary(char: char) -> bool {
    char.is_whitespace() || is_mark(char)
}

fn is_mark(char: char) -> bool {
    match char {
        '\'' | '-' | '_' | '’' | '‐' | '‑' | '\u{200c}' | '\u{200d}' => false,
        '\0'..='\x7f' => char.is_ascii_punctuation() || char.is_ascii_control(),
        '¡' | '«' | '»' | '¿' | '،' | '؛' | '؟' | '۔' | '।' | '॥' => true,
        '\u{2010}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{301f}' => true,
        '\u{ff01}'..='\u{ff0f}'
        | '\u{ff1a}'..='\u{ff20}'
        | '\u{ff3b}'..='\u{ff40}'
        | '\u{ff5b}'..='\u{ff65}' => true,
        _ => false,
    }
}

/// Whether a character is of a script that puts no spaces between words.
pub(super) fn is_spaceless(char: char) -> bool {
    matches!(char, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}
