//! What a typist does to a word: the costs of single slips.

use alloc::string::String;
use core::fmt;

use crate::error::{Error, Result};
use crate::exponential::exp;

/// Where the letters of a keyboard are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Layout {
    /// English and most others.
    #[default]
    Qwerty,
    /// German, Hungarian, Czech and others.
    Qwertz,
    /// French.
    Azerty,
}

impl Layout {
    fn rows(self) -> [&'static str; 3] {
        match self {
            Self::Qwerty => ["qwertyuiop", "asdfghjkl", "zxcvbnm"],
            Self::Qwertz => ["qwertzuiop", "asdfghjkl", "yxcvbnm"],
            Self::Azerty => ["azertyuiop", "qsdfghjklm", "wxcvbn"],
        }
    }

    /// Row and place of a key, in quarters of a key's width: each row stands a little to the right of that above it.
    fn place(self, letter: char) -> Option<(i32, i32)> {
        const SHIFT: [i32; 3] = [0, 1, 3];
        let column = |row: &str| row.chars().position(|key| key == letter);
        let mut rows = (0..).zip(self.rows()).zip(SHIFT);
        rows.find_map(|((at, row), shift)| column(row).map(|x| (at, 4 * x as i32 + shift)))
    }

    /// Whether the keys of two different letters touch.
    #[must_use]
    pub fn are_near(self, a: char, b: char) -> bool {
        let (Some(one), Some(other)) = (self.place(a), self.place(b)) else { return false };
        a != b && (one.0 - other.0).abs() <= 1 && (one.1 - other.1).abs() <= 4
    }

    /// The letters whose keys touch that of `letter`: a bit for each, from a.
    pub(super) fn near(self, letter: char) -> u32 {
        let letters = ('a'..='z').enumerate();
        letters.fold(0, |near, (bit, other)| near | u32::from(self.are_near(letter, other)) << bit)
    }
}

/// The model of a typist: what each slip costs, in nats, the negative logarithm of its probability at a given letter.
///
/// The defaults are round rates of our own choice, fitted to no text and no person: of 1,000 letters, 10 are hit on a
/// neighbouring key (any of about five), 4 are left out, 3 change places with the next, 2 are doubled, 2 come with
/// another letter and one is mistaken for a letter elsewhere; 3 of 1,000 spaces are left out. The costs of an unknown
/// word alone are fitted (`docs/correction.md`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Typing {
    /// Where the keys are.
    pub layout: Layout,
    /// A certain neighbouring key instead of the right one.
    pub neighbour: f32,
    /// A certain letter from elsewhere instead of the right one.
    pub other: f32,
    /// Two letters in the wrong order.
    pub transposition: f32,
    /// A letter typed twice, or one of a pair left out.
    pub doubled: f32,
    /// A letter left out.
    pub missing: f32,
    /// A certain letter too many.
    pub extra: f32,
    /// A certain letter too many whose key touches that of the letter before it.
    pub beside: f32,
    /// A letter without its accent, or with one that it has not.
    pub accent: f32,
    /// The space between two words left out.
    pub space: f32,
    /// Slips whose costs come to more than this are not looked for.
    pub bound: f32,
    /// What a letter of an unknown word costs.
    pub letter: f32,
    /// What an unknown word costs beside its letters; less than nothing where they alone are too dear.
    pub word: f32,
    /// The probability of a word outside the vocabulary, where the model has no `<unk>` to say it.
    pub unknown: f32,
}

impl Default for Typing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// As text: a line `name value` for each of its fields.
impl fmt::Display for Typing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "layout {}", self.layout.name())?;
        let mut copy = *self;
        for (name, value) in copy.numbers() {
            writeln!(f, "{name} {value}")?;
        }
        Ok(())
    }
}

impl Layout {
    const ALL: [Self; 3] = [Self::Qwerty, Self::Qwertz, Self::Azerty];

    fn name(self) -> &'static str {
        match self {
            Self::Qwerty => "qwerty",
            Self::Qwertz => "qwertz",
            Self::Azerty => "azerty",
        }
    }
}

impl Typing {
    /// Reads what [`Display`](fmt::Display) writes: a line `name value` for each field that is not as by default; empty
    /// lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`Error::Typing`] for a name that is none or comes twice, or a value that can be none.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut typing = Self::DEFAULT;
        let mut seen = alloc::vec::Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let wrong = |problem: &str| Error::Typing { line, problem: problem.into() };
            let (name, value) = content
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong("a line is a name, a space and a value, as neighbour 6.2"))?;
            if seen.contains(&name) {
                return Err(wrong("its name comes twice"));
            }
            seen.push(name);
            typing.set(name, value.trim()).map_err(|problem| wrong(&problem))?;
        }
        Ok(typing)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name == "layout" {
            let layout = Layout::ALL.into_iter().find(|layout| layout.name() == value);
            self.layout = layout.ok_or("a layout is qwerty, qwertz or azerty")?;
            return Ok(());
        }
        let number: f32 = value.parse().map_err(|_| "its value is no number")?;
        let mut numbers = self.numbers();
        let Some((_, field)) = numbers.iter_mut().find(|(field, _)| *field == name) else {
            let names = numbers.map(|(name, _)| name).join(", ");
            return Err(alloc::format!("no such name; there are layout, {names}"));
        };
        let is_valid = match name {
            "word" => (-100.0..=100.0).contains(&number),
            "letter" => (0.0..=100.0).contains(&number),
            "unknown" => number > 0.0 && number <= 1.0,
            "bound" => (0.0..=40.0).contains(&number),
            _ => (0.01..=100.0).contains(&number),
        };
        if !is_valid {
            let range = match name {
                "word" => "-100 to 100",
                "letter" => "0 to 100",
                "unknown" => "above 0, and at most 1",
                "bound" => "0 to 40",
                _ => "0.01 to 100",
            };
            return Err(alloc::format!("{name} is a number {range}"));
        }
        **field = number;
        Ok(())
    }

    fn numbers(&mut self) -> [(&'static str, &mut f32); 13] {
        let Self {
            layout: _,
            neighbour,
            other,
            transposition,
            doubled,
            missing,
            extra,
            beside,
            accent,
            space,
            bound,
            letter,
            word,
            unknown,
        } = self;
        [
            ("neighbour", neighbour),
            ("other", other),
            ("transposition", transposition),
            ("doubled", doubled),
            ("missing", missing),
            ("extra", extra),
            ("beside", beside),
            ("accent", accent),
            ("space", space),
            ("bound", bound),
            ("letter", letter),
            ("word", word),
            ("unknown", unknown),
        ]
    }

    /// A typist by default.
    pub const DEFAULT: Self = Self {
        layout: Layout::Qwerty,
        neighbour: 6.2,
        other: 10.1,
        transposition: 5.8,
        doubled: 6.2,
        missing: 5.5,
        extra: 9.0,
        beside: 7.5,
        accent: 1.2,
        space: 5.8,
        bound: 12.5,
        letter: 0.2,
        word: 13.0,
        unknown: 0.02,
    };

    /// The probability that just these `letters` letters spell an unknown word.
    pub(super) fn spelling(&self, letters: usize) -> f64 {
        exp(-f64::from(self.letter) * letters as f64 - f64::from(self.word))
    }
}

/// A letter without case.
pub(super) fn fold(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// A small letter without its accent: those of the Latin scripts of Europe.
pub(super) fn plain(letter: char) -> char {
    const ACCENTS: [(char, &str); 14] = [
        ('a', "àáâãäåāăą"),
        ('c', "çćĉċč"),
        ('d', "ďđ"),
        ('e', "èéêëēĕėęě"),
        ('g', "ĝğġģ"),
        ('i', "ìíîïĩīĭįı"),
        ('l', "ĺļľł"),
        ('n', "ñńņň"),
        ('o', "òóôõöøōŏő"),
        ('r', "ŕŗř"),
        ('s', "śŝşšș"),
        ('t', "ţťț"),
        ('u', "ùúûüũūŭůűų"),
        ('z', "źżž"),
    ];
    if letter.is_ascii() {
        return letter;
    }
    let base = ACCENTS.iter().find(|(_, accented)| accented.contains(letter));
    base.map_or(if matches!(letter, 'ý' | 'ÿ') { 'y' } else { letter }, |(base, _)| *base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_mutual_and_as_on_the_keyboard() {
        for layout in [Layout::Qwerty, Layout::Qwertz, Layout::Azerty] {
            for (a, b) in ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| (a, b))) {
                assert_eq!(layout.are_near(a, b), layout.are_near(b, a), "{a} {b}");
            }
            assert!(!layout.are_near('e', 'e') && layout.near('é') == 0);
        }
        let near = |layout: Layout, a, b| layout.are_near(a, b);
        assert!(near(Layout::Qwerty, 'i', 'u') && !near(Layout::Qwerty, 'i', 'a'));
        assert!(near(Layout::Qwertz, 't', 'z') && !near(Layout::Qwerty, 't', 'z'));
        assert!(near(Layout::Azerty, 'l', 'm') && !near(Layout::Qwerty, 'l', 'm'));
    }

    #[test]
    fn text_gives_the_same_typist_back() {
        let typing = Typing { layout: Layout::Azerty, word: -3.25, bound: 9.5, ..Typing::DEFAULT };
        let text = alloc::format!("# of someone\n\n{typing}");
        assert_eq!(Typing::from_text(&text), Ok(typing));
        assert_eq!(Typing::from_text(""), Ok(Typing::DEFAULT));
    }

    #[test]
    fn wrong_lines_are_named() {
        for (wrong, says) in [
            ("neighbour", "a name, a space and a value"),
            ("neighbor 6", "no such name; there are layout, neighbour, other"),
            ("other six", "no number"),
            ("other NaN", "0.01 to 100"),
            ("other 0", "0.01 to 100"),
            ("bound inf", "0 to 40"),
            ("unknown 2", "at most 1"),
            ("space 5.8", "twice"),
            ("layout dvorak", "qwerty, qwertz or azerty"),
        ] {
            let text = alloc::format!("space 5.8\n{wrong}\n");
            let Err(error) = Typing::from_text(&text) else { panic!("{wrong}") };
            let error = alloc::format!("{error}");
            assert!(error.contains("line 2") && error.contains(says), "{error}");
        }
    }

    #[test]
    fn accents_come_off() {
        let plain: std::string::String = "árvíztűrő façade ß".chars().map(plain).collect();
        assert_eq!(plain, "arvizturo facade ß");
    }
}
