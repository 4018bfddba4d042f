//! The words that a typed form may stand for.
//!
//! One walk through the sorted vocabulary as through a trie. For each letter of a word there is a row of the table of
//! edit costs (Damerau's four edits, each part of the word edited once); words with a common beginning share its rows,
//! and a beginning from which no word can come within the bound is left with all its words.

use alloc::vec::Vec;

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

struct Search<'t> {
    typing: &'t Typing,
    typed: Vec<char>,
    near: Vec<u32>,
    letters: Vec<Letter>,
    /// A row for the empty beginning and for each of `letters`.
    rows: Vec<f32>,
}

/// The words of `vocabulary` that slips within the bound turn into `typed`, whatever their case, in the order of their
/// ids. Nothing for a form of more than [`MAX_LETTERS`].
#[must_use]
pub fn slips(vocabulary: &Vocabulary, typing: &Typing, typed: &str) -> Vec<Slip> {
    let mut found = Vec::new();
    let typed: Vec<char> = typed.chars().take(MAX_LETTERS + 1).map(fold).collect();
    if typed.is_empty() || typed.len() > MAX_LETTERS {
        return found;
    }
    let mut search = Search::new(typing, typed);
    // The bytes at which the search left the word before.
    let mut left = usize::MAX;
    vocabulary.walk(|id, shared, word| {
        if shared >= left {
            return;
        }
        left = search.descend(shared, word).unwrap_or(usize::MAX);
        let cost = *search.rows.last().unwrap_or(&f32::INFINITY);
        if left == usize::MAX && cost <= typing.bound && !vocabulary.is_special(id) {
            found.push(Slip { id, cost });
        }
    });
    found
}

impl<'t> Search<'t> {
    fn new(typing: &'t Typing, typed: Vec<char>) -> Self {
        let near = typed.iter().map(|&letter| typing.layout.near(letter)).collect();
        let mut search = Self { typing, typed, near, letters: Vec::new(), rows: Vec::new() };
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
        for at in 0..self.typed.len() {
            let mut cost = (self.rows[last + at] + self.substitution(at, letter))
                .min(self.rows[last + at + 1] + missing)
                .min(self.rows[last + width + at] + self.extra(at, Some(letter)));
            if self.is_swap(at, before, letter) {
                cost = cost.min(self.rows[last - width + at - 1] + self.typing.transposition);
            }
            best = best.min(cost);
            self.rows.push(cost);
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

    /// The typed letter `at` instead of `letter`.
    fn substitution(&self, at: usize, letter: char) -> f32 {
        let typed = self.typed[at];
        if typed == letter {
            0.0
        } else if plain(typed) == plain(letter) {
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
