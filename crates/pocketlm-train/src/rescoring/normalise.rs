//! Texts made alike before their words are compared.

/// What counts as the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalisation {
    /// Whether capitals become small letters.
    pub folds_case: bool,
    /// Whether all but letters, digits and the apostrophes within words is dropped, with a space in its place.
    pub drops_punctuation: bool,
}

impl Normalisation {
    /// The words of a text, one space between them.
    pub fn apply(self, text: &str) -> String {
        let folded = if self.folds_case { text.to_lowercase() } else { text.to_owned() };
        if !self.drops_punctuation {
            return folded.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        let kept: String = folded.chars().map(kept).collect();
        let words = kept.split_whitespace().map(|word| word.trim_matches('\''));
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// What is done, for people.
    pub fn describe(self) -> &'static str {
        match (self.folds_case, self.drops_punctuation) {
            (true, true) => "capitals made small, punctuation dropped",
            (true, false) => "capitals made small, punctuation kept",
            (false, true) => "capitals kept, punctuation dropped",
            (false, false) => "capitals and punctuation kept",
        }
    }
}

/// A character, or the space in its place; every kind of apostrophe becomes the plain one.
fn kept(character: char) -> char {
    match character {
        '\'' | '\u{2019}' | '\u{2bc}' => '\'',
        _ if character.is_alphanumeric() || is_combining(character) => character,
        _ => ' ',
    }
}

/// Whether a character is a mark that belongs to the letter before it.
fn is_combining(character: char) -> bool {
    unicode_normalization::char::is_combining_mark(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Normalisation = Normalisation { folds_case: true, drops_punctuation: true };
    const NONE: Normalisation = Normalisation { folds_case: false, drops_punctuation: false };

    #[test]
    fn words_stay_and_marks_go() {
        let text = "  \"They\u{2019}ll be well-known,\" 'Tis said — at 5 o'clock…  ";
        assert_eq!(ALL.apply(text), "they'll be well known tis said at 5 o'clock");
        assert_eq!(ALL.apply("É e\u{301}t नमस्ते '"), "é e\u{301}t नमस्ते");
        assert_eq!(ALL.apply(" \t "), "");
    }

    #[test]
    fn each_half_can_be_left_out() {
        let text = "Hi,  You";
        assert_eq!(NONE.apply(text), "Hi, You");
        assert_eq!(Normalisation { folds_case: true, ..NONE }.apply(text), "hi, you");
        assert_eq!(Normalisation { drops_punctuation: true, ..NONE }.apply(text), "Hi You");
    }
}
