//! The words that a typed form may stand for.
//!
//! One walk through the sorted vocabulary as through a trie. For each letter of a word there is a row of the table of
//! edit costs (Damerau's four edits, each part of the word edited once); words with a common beginning share its rows,
//! and a beginning from which no word can come within the bound is left with all its words.

use alloc::vec::Vec;

use super::fit::Kind;
use super::typing::{Typing, fold, plain};
use crate::vocabulary::Vocabulary;

/// Letters of the longest form that is corrected: longer ones are no words.
pub const MAX_LETTERS: usize = 48;

/// A word and what the slips cost that lead from it to the typed form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slip {
    /// The word's id.
    pub id: u32,
    /// The negative logarithm of the slips' probability, in nats.
    pub cost: f32,
}

/// A letter of the word at hand.
struct Letter {
    fold: char,
    /// Where it ends in the word's bytes.
    end: usize,
}

pub(super) struct Search<'t> {
    typing: &'t Typing,
    typed: Vec<char>,
    /// The typed letters without accents.
    plain: Vec<char>,
    near: Vec<u32>,
    letters: Vec<Letter>,
    /// A row for the empty beginning and for each of `letters`.
    rows: Vec<f32>,
    /// Letters by which a beginning and what stands for it may differ in length within the bound.
    band: usize,
}

/// The words of `vocabulary` that slips within the bound turn into `typed`, whatever their case, in the order of their
/// ids. Nothing for a form of more than [`MAX_LETTERS`].
#[must_use]
pub fn slips(vocabulary: &Vocabulary, typing: &Typing, typed: &str) -> Vec<Slip> {
    let mut found = Vec::new();
    let Some(mut search) = Search::of(typing, typed) else { return found };
    // The bytes at which the search left the word before.
    let mut left = usize::MAX;
    vocabulary.walk(|id, shared, word| {
        if shared >= left {
            return;
        }
        let word = core::str::from_utf8(word).unwrap_or_default();
        left = search.descend(shared, word).unwrap_or(usize::MAX);
        let cost = *search.rows.last().unwrap_or(&f32::INFINITY);
        if left == usize::MAX && cost <= typing.bound && !vocabulary.is_special(id) {
            found.push(Slip { id, cost });
        }
    });
    found
}

impl<'t> Search<'t> {
    /// For a form of 1 to [`MAX_LETTERS`] letters.
    pub(super) fn of(typing: &'t Typing, typed: &str) -> Option<Self> {
        let typed: Vec<char> = typed.chars().take(MAX_LETTERS + 1).map(fold).collect();
        (!typed.is_empty() && typed.len() <= MAX_LETTERS).then(|| Self::new(typing, typed))
    }

    /// The slips of the cheapest way from `word` to the typed form, last first, as many as have a kind.
    pub(super) fn trace(&mut self, word: &str) -> Vec<Kind> {
        let mut kinds = Vec::new();
        if self.descend(0, word).is_some() {
            return kinds;
        }
        let width = self.width();
        let (mut i, mut j) = (self.letters.len(), self.typed.len());
        while i > 0 || j > 0 {
            let here = self.rows[i * width + j];
            let letter = i.checked_sub(1).map(|at| self.letters[at].fold);
            let before = i.checked_sub(2).map(|at| self.letters[at].fold);
            let came = |i: usize, j: usize, cost: f32| self.rows[i * width + j] + cost == here;
            if let Some(letter) = letter {
                if j > 0 && came(i - 1, j - 1, self.substitution(j - 1, letter, plain(letter))) {
                    (i, j) = (i - 1, j - 1);
                    kinds.extend(self.kind(j, letter));
                    continue;
                }
                let doubled = before == Some(letter);
                let missing = if doubled { self.typing.doubled } else { self.typing.missing };
                if came(i - 1, j, missing) {
                    i -= 1;
                    kinds.push(match letter {
                        ' ' => Kind::Space,
                        _ if doubled => Kind::Doubled,
                        _ => Kind::Missing,
                    });
                    continue;
                }
                if j > 1
                    && i > 1
                    && self.is_swap(j - 1, before, letter)
                    && came(i - 2, j - 2, self.typing.transposition)
                {
                    (i, j) = (i - 2, j - 2);
                    kinds.push(Kind::Transposition);
                    continue;
                }
            }
            j -= 1;
            kinds.push(if j > 0 && self.typed[j - 1] == self.typed[j] {
                Kind::Doubled
            } else if letter.is_some_and(|letter| self.is_near(j, letter)) {
                Kind::Beside
            } else {
                Kind::Extra
            });
        }
        kinds
    }

    fn kind(&self, at: usize, letter: char) -> Option<Kind> {
        let typed = self.typed[at];
        if typed == letter {
            None
        } else if self.plain[at] == plain(letter) {
            Some(Kind::Accent)
        } else if self.is_near(at, letter) {
            Some(Kind::Neighbour)
        } else {
            Some(Kind::Other)
        }
    }

    /// The cost of a word by itself, if it is within the bound.
    pub(super) fn cost(&mut self, word: &str) -> Option<f32> {
        let is_near = self.descend(0, word).is_none();
        let cost = *self.rows.last().unwrap_or(&f32::INFINITY);
        (is_near && cost <= self.typing.bound).then_some(cost)
    }

    fn new(typing: &'t Typing, typed: Vec<char>) -> Self {
        let near = typed.iter().map(|&letter| typing.layout.near(letter)).collect();
        let least = typing.missing.min(typing.doubled).min(typing.extra).min(typing.beside);
        let band = (typing.bound / least) as usize;
        let plain = typed.iter().map(|&letter| plain(letter)).collect();
        let (letters, rows) = (Vec::new(), Vec::new());
        let mut search = Self { typing, typed, plain, near, letters, rows, band };
        search.rows.push(0.0);
        for at in 0..search.typed.len() {
            search.rows.push(search.rows[at] + search.extra(at, None));
        }
        search
    }

    /// Goes from the last word to `word`, which begins with the same `shared` bytes. Returns the length of the beginning
    /// at which nothing more can come, if there is one.
    fn descend(&mut self, shared: usize, word: &str) -> Option<usize> {
        let kept = self.letters.partition_point(|letter| letter.end <= shared);
        self.letters.truncate(kept);
        self.rows.truncate((kept + 1) * self.width());
        let start = self.letters.last().map_or(0, |letter| letter.end);
        for (at, letter) in word[start..].char_indices() {
            let end = start + at + letter.len_utf8();
            if !self.push(fold(letter), end) {
                return Some(end);
            }
        }
        None
    }

    fn width(&self) -> usize {
        self.typed.len() + 1
    }

    /// Adds the row of a letter; returns whether a word may go on from it within the bound.
    fn push(&mut self, letter: char, end: usize) -> bool {
        let (width, depth) = (self.width(), self.letters.len());
        let before = self.letters.last().map(|before| before.fold);
        let missing =
            if before == Some(letter) { self.typing.doubled } else { self.typing.missing };
        let last = depth * width;
        let mut best = self.rows[last] + missing;
        self.rows.push(best);
        self.rows.resize(last + 2 * width, f32::INFINITY);
        // Elsewhere more letters are missing or too many than the bound allows.
        let from = depth.saturating_sub(self.band);
        let bare = plain(letter);
        for at in from..self.typed.len().min(depth.saturating_add(self.band).saturating_add(1)) {
            let mut cost = (self.rows[last + at] + self.substitution(at, letter, bare))
                .min(self.rows[last + at + 1] + missing)
                .min(self.rows[last + width + at] + self.extra(at, Some(letter)));
            if self.is_swap(at, before, letter) {
                cost = cost.min(self.rows[last - width + at - 1] + self.typing.transposition);
            }
            best = best.min(cost);
            self.rows[last + width + at + 1] = cost;
        }
        self.letters.push(Letter { fold: letter, end });
        // The letter after this one may have changed places with it.
        let swapped = self.rows[last..][..width].iter().fold(f32::INFINITY, |a, &b| a.min(b));
        best.min(swapped + self.typing.transposition) <= self.typing.bound
    }

    /// Whether the typed letters up to `at` are the word's last two in the wrong order.
    fn is_swap(&self, at: usize, before: Option<char>, letter: char) -> bool {
        at > 0
            && before == Some(self.typed[at])
            && letter == self.typed[at - 1]
            && before != Some(letter)
    }

    fn is_near(&self, at: usize, letter: char) -> bool {
        letter.is_ascii_lowercase() && self.near[at] >> (letter as u32 - 'a' as u32) & 1 == 1
    }

    /// The typed letter `at` instead of `letter`, which is `bare` without its accent.
    fn substitution(&self, at: usize, letter: char, bare: char) -> f32 {
        if self.typed[at] == letter {
            0.0
        } else if self.plain[at] == bare {
            self.typing.accent
        } else if self.is_near(at, letter) {
            self.typing.neighbour
        } else {
            self.typing.other
        }
    }

    /// The typed letter `at` too many, after `letter`: doubled, or hit with it, or from elsewhere.
    fn extra(&self, at: usize, letter: Option<char>) -> f32 {
        if at > 0 && self.typed[at - 1] == self.typed[at] {
            return self.typing.doubled;
        }
        match letter {
            Some(letter) if self.is_near(at, letter) => self.typing.beside,
            _ => self.typing.extra,
        }
    }
}
