//! The predictive table of an LL(1) grammar.

use super::{Rule, Symbol};

/// For each rule, the alternative that each next word (or the end, after the last word) calls
/// for.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// `[rules, words + 1]`
    alternatives: Vec<Option<u16>>,
    width: usize,
}

/// Two alternatives of a rule that the same next word calls for.
pub(super) struct Conflict {
    pub(super) rule: usize,
    /// `words.len()` for the end of the sentence.
    pub(super) word: usize,
}

impl Table {
    pub(super) fn get(&self, rule: usize, word: usize) -> Option<usize> {
        self.alternatives[rule * self.width + word].map(usize::from)
    }

    /// Fills the table by algorithm 4.31 of Aho, Lam, Sethi and Ullman.
    pub(super) fn new(rules: &[Rule], words: usize) -> Result<Self, Conflict> {
        let sets = Sets::new(rules, words);
        let width = words + 1;
        let mut table = Self { alternatives: vec![None; rules.len() * width], width };
        for (rule, place) in rules.iter().zip(0..) {
            for (taken, number) in rule.alternatives.iter().zip(0..) {
                let mut called = WordSet::new(width);
                if sets.first_of(&taken.body, &mut called) {
                    called.add(&sets.follow[place]);
                }
                for word in (0..width).filter(|&word| called.has(word)) {
                    if table.alternatives[place * width + word].replace(number).is_some() {
                        return Err(Conflict { rule: place, word });
                    }
                }
            }
        }
        Ok(table)
    }
}

/// What each rule can start with, whether it can be empty, and what can come after it.
struct Sets {
    first: Vec<WordSet>,
    empty: Vec<bool>,
    follow: Vec<WordSet>,
}

impl Sets {
    fn new(rules: &[Rule], words: usize) -> Self {
        let blank = vec![WordSet::new(words + 1); rules.len()];
        let mut sets =
            Self { first: blank.clone(), empty: vec![false; rules.len()], follow: blank };
        while sets.grow_first(rules) {}
        if let Some(follow) = sets.follow.first_mut() {
            follow.insert(words);
        }
        while sets.grow_follow(rules) {}
        sets
    }

    /// Adds the words that `body` can start with to `into`; tells whether it can be empty.
    fn first_of(&self, body: &[Symbol], into: &mut WordSet) -> bool {
        body.iter().all(|symbol| match *symbol {
            Symbol::Word(word) => {
                into.insert(word);
                false
            }
            Symbol::Rule(rule) => {
                into.add(&self.first[rule]);
                self.empty[rule]
            }
        })
    }

    fn grow_first(&mut self, rules: &[Rule]) -> bool {
        let mut grown = false;
        for (place, rule) in rules.iter().enumerate().rev() {
            for taken in &rule.alternatives {
                let mut first = self.first[place].clone();
                let empty = self.first_of(&taken.body, &mut first) || self.empty[place];
                grown |= first != self.first[place] || empty != self.empty[place];
                (self.first[place], self.empty[place]) = (first, empty);
            }
        }
        grown
    }

    fn grow_follow(&mut self, rules: &[Rule]) -> bool {
        let mut grown = false;
        for (place, rule) in rules.iter().enumerate() {
            for body in rule.alternatives.iter().map(|taken| &taken.body) {
                for (at, symbol) in body.iter().enumerate() {
                    if let Symbol::Rule(inner) = *symbol {
                        let mut follow = self.follow[inner].clone();
                        if self.first_of(&body[at + 1..], &mut follow) {
                            follow.add(&self.follow[place]);
                        }
                        grown |= follow != self.follow[inner];
                        self.follow[inner] = follow;
                    }
                }
            }
        }
        grown
    }
}

/// A set of words as bits.
#[derive(Clone, PartialEq)]
struct WordSet(Vec<u64>);

impl WordSet {
    fn new(width: usize) -> Self {
        Self(vec![0; width.div_ceil(64)])
    }

    fn insert(&mut self, word: usize) {
        self.0[word / 64] |= 1 << (word % 64);
    }

    fn has(&self, word: usize) -> bool {
        self.0[word / 64] >> (word % 64) & 1 == 1
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(bits, more)| *bits |= more);
    }
}
