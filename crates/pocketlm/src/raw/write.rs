//! From tokens back to text.

use alloc::string::String;

use super::glue::{Glue, inner};
use super::segment::Sentence;
use super::{Case, JOIN, LOWER, is_small, push_capitalised};

/// Puts text together from types, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    case: Case,
    sentence: Sentence,
    /// Whether no space comes before what is next, whatever it is.
    touches: bool,
    /// Whether the next word keeps its small letter.
    lower: bool,
}

impl Writer {
    /// At the start of a line.
    #[must_use]
    pub fn new(case: Case) -> Self {
        Self { case, sentence: Sentence::default(), touches: true, lower: false }
    }

    /// Appends a type of the line. `<join>` and `<lower>` have no text of their own.
    pub fn push(&mut self, spelt: &str, out: &mut String) {
        match spelt {
            JOIN => self.touches = true,
            LOWER => self.lower = true,
            _ => {
                let (text, glue) = inner(spelt);
                let Glue { left, right } = glue.unwrap_or(Glue { left: false, right: false });
                if !self.touches && !left {
                    out.push(' ');
                }
                let starts = self.sentence.take(text, glue);
                let is_small = self.case == Case::True && starts && !self.lower && is_small(text);
                if is_small {
                    push_capitalised(text, out)
                } else {
                    out.push_str(text)
                }
                (self.touches, self.lower) = (right, false);
            }
        }
    }

    /// Ends the line.
    pub fn end_line(&mut self, out: &mut String) {
        out.push('\n');
        *self = Self::new(self.case);
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::super::{each_type, split_typed};
    use super::*;

    fn types(line: &str, case: Case) -> Vec<String> {
        let mut all = Vec::new();
        let is_name = |word: &str| word == "I";
        let take = |_: &str, spelt: &str| {
            all.push(spelt.to_string());
            Ok::<(), ()>(())
        };
        each_type(line, false, case, &is_name, take).unwrap();
        all
    }

    fn again(line: &str, case: Case) -> String {
        let (mut writer, mut out) = (Writer::new(case), String::new());
        types(line, case).iter().for_each(|spelt| writer.push(spelt, &mut out));
        out
    }

    fn spelt(line: &str) -> String {
        types(line, Case::True).join(" ")
    }

    #[test]
    fn marks_are_spelt_by_how_they_lean() {
        assert_eq!(spelt("Well, (she) said \"no\"."), "well , ( she ) said \"_ no \" .");
        assert_eq!(spelt("a well-known 5 % - yes"), "<lower> a well - known 5 ~%~ ~-~ yes");
        assert_eq!(spelt("Hello"), spelt("Hello,").replace(" ,", ""));
        assert_eq!(spelt("I don't -- we'll see..."), "I don't -- we'll see ...");
        assert_eq!(
            spelt("\"Stop!\" she cried. He did."),
            "\"_ stop ! \" <lower> she cried . he did ."
        );
        assert_eq!(spelt("$5 and 3,000.50%"), "$ 5 and 3,000.50 %");
    }

    #[test]
    fn the_word_being_typed_is_split_off() {
        assert_eq!(split_typed("He did. Sh"), ("He did. ", "Sh"));
        assert_eq!(split_typed("I don'"), ("I ", "don'"));
        assert_eq!(split_typed("well-"), ("well-", ""));
        assert_eq!(split_typed("well "), ("well ", ""));
        assert_eq!(split_typed(""), ("", ""));
        assert_eq!(split_typed("a\nThe"), ("a\n", "The"));
    }

    /// Text with single spaces, of the characters that rules look at and of any others.
    fn lines() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "[a-zA-Z]{1,4}",
            "[.,!?\"'()~_<>$%-]{1,4}",
            "[a-zA-Z.,!?\"'()~_-]{1,8}",
            "[éßИд字かกَ👍🏽\u{301}0-9]{1,3}",
            "\\PC{1,3}",
        ];
        prop::collection::vec(word, 0..8).prop_map(|words| {
            let line = words.join(" ");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn text_comes_back(line in lines()) {
            prop_assert_eq!(again(&line, Case::Keep), &*line);
        }

        /// Lines of letters with other capitals than those of a title aside: `ǅ` has a form of its own.
        #[test]
        fn text_comes_back_with_its_capitals(line in lines()) {
            let is_plain = |char: char| {
                char.to_lowercase().to_string().chars().flat_map(char::to_uppercase).eq([char])
                    && char.to_uppercase().count() == 1
                    || !char.is_alphabetic() || char.is_lowercase() && char.to_uppercase().count() == 1
                    && char.to_uppercase().flat_map(char::to_lowercase).eq([char])
            };
            prop_assume!(line.chars().all(is_plain));
            prop_assert_eq!(again(&line, Case::True), &*line);
        }

        #[test]
        fn more_white_space_is_one_space(line in lines(), gap in "[ \t\u{3000}]{1,3}") {
            let wide = line.replace(' ', &gap);
            prop_assert_eq!(types(&wide, Case::Keep), types(&line, Case::Keep));
        }
    }
}
