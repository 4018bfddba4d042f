//! What one user types, beside a model whose weights never change.
//!
//! A [`Personal`] holds the words that its user has typed or added, how often each came lately, and which came after
//! which. A [`PersonalSession`] mixes that with a model's probabilities:
//!
//! `p(w | h) = (1 - a - b) p_model(w | h) + a p_words(w) + b p_pairs(w | last word)`
//!
//! where `p_words` and `p_pairs` are shares of counts that fade (a cache, as of Kuhn & De Mori 1990, *A cache-based
//! natural language model for speech recognition*, and its pairs). `a` and `b` grow with the evidence, as in Witten &
//! Bell 1991, up to weights that follow the text by one step of expectation-maximisation a word. The mixture sums to
//! one over the model's types and the user's own words.
//!
//! Everything is deterministic, of bounded size, and kept in one small file of JSON lines ([`Personal::save`]).
//!
//! ```
//! use pocketlm::personal::{Personal, PersonalSession};
//! # use pocketlm::{CellKind, Configuration, Model, Precision, Unit, pack::Packer};
//! # let words = ["<eos>", "<unk>", "see", "the"];
//! # let configuration = Configuration { cell: CellKind::Lstm, embedding: 4, hidden: vec![8], cell_projection: 0,
//! #     projection: 0, tied: false, unit: Unit::Word, layer_norm: false, mogrifier: 0 };
//! # let mut packer = Packer::new(configuration.clone(), &words, "<eos>", Some("<unk>"))?;
//! # for m in configuration.matrices(4) {
//! #     packer.matrix(m.name, &vec![0.1; m.rows * m.columns], Precision::Int8)?;
//! # }
//! # for b in configuration.biases(4) { packer.bias(b.name, &vec![0.1; b.rows])?; }
//! # let model = Model::from_bytes(packer.finish()?)?;
//! let mut session = PersonalSession::new(&model, Personal::new());
//! session.feed_text("see Zsuzsi\nsee Zsuzsi\nsee")?; // what was typed and sent: it is learnt
//! assert_eq!(session.suggest(&["Zs"], 1)?[0].word, "Zsuzsi"); // a word that the model does not have
//! session.personal_mut().forget("Zsuzsi");
//! assert!(session.suggest(&["Zs"], 1)?.is_empty());
//! # Ok::<(), pocketlm::Error>(())
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

mod file;
mod session;

pub use session::{Found, PersonalSession, Position};

/// Bytes that a [`Personal`] takes at most, unless another number is given.
pub const CAPACITY: usize = 64 << 10;
/// Bytes of the longest word that is learnt.
pub const LONGEST: usize = 64;

/// Words after which a count has faded to 1/e.
const WORDS: f32 = 3000.0;
const PAIRS: f32 = 30_000.0;
/// Evidence at which words and pairs have half of their greatest weight.
const HALF_WORDS: f32 = 40.0;
const HALF_PAIR: f32 = 1.0;
/// How far the weights move with each word, and their bounds.
const STEP: f32 = 0.005;
const WEIGHTS: Range<f32> = 0.01..0.6;
/// Times that a word which the model lacks is typed before it is suggested: a slip seldom comes twice.
const TWICE: u16 = 2;
/// Counts are divided by what they have grown to before single precision loses any.
const MOST: f32 = 1e6;

/// Why a word is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was typed.
    Typed,
    /// The user added it.
    Added,
    /// It is never to be suggested.
    Blocked,
}

/// A word of the user.
#[derive(Debug, Clone, PartialEq)]
struct Word {
    text: Box<str>,
    /// How often it came, faded; in the unit of the newest count.
    count: f32,
    /// How often it came at all, as far as that matters.
    seen: u16,
    kind: Kind,
}

/// Which word came after which.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    first: u32,
    second: u32,
    count: f32,
}

/// Words and pairs of words that a user has typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Personal {
    /// In the order in which they came; what refers to a word does so by its place.
    words: Vec<Word>,
    /// The places of the words, by their text.
    order: Vec<u32>,
    /// By first and second word.
    pairs: Vec<Pair>,
    /// What a new count counts.
    word_unit: f32,
    pair_unit: f32,
    /// Greatest weights of words and pairs.
    weights: [f32; 2],
    capacity: usize,
    /// How often the words have changed their places.
    moves: u64,
}

/// How a place of a text is mixed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mixture {
    /// Of the model, of words, of pairs; they sum to one.
    pub(crate) weights: [f32; 3],
    words: f32,
    pairs: f32,
}

impl Default for Personal {
    fn default() -> Self {
        Self::new()
    }
}

impl Personal {
    /// Of a user who has typed nothing, with room for [`CAPACITY`] bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// The same with room for so many bytes; what is faint is forgotten when it is full.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            words: Vec::new(),
            order: Vec::new(),
            pairs: Vec::new(),
            word_unit: 1.0,
            pair_unit: 1.0,
            weights: [0.1, 0.2],
            capacity: bytes,
            moves: 0,
        }
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts: usize = self.words.iter().map(|word| word.text.len()).sum();
        texts
            + self.words.len() * (size_of::<Word>() + size_of::<u32>())
            + self.pairs.len() * size_of::<Pair>()
    }

    /// Adds a word: it is suggested and completed from now on, and stays when others fade. Returns whether it was taken:
    /// not if it is empty, longer than [`LONGEST`] bytes, or has white space.
    pub fn add(&mut self, word: &str) -> bool {
        self.mark(word, Kind::Added)
    }

    /// Never suggests a word from now on, whether the user's or the model's. Returns whether it can be one.
    pub fn block(&mut self, word: &str) -> bool {
        self.mark(word, Kind::Blocked)
    }

    /// Lets a blocked word be suggested again. Returns whether it was blocked.
    pub fn unblock(&mut self, word: &str) -> bool {
        self.is_blocked(word) && self.forget(word)
    }

    /// Forgets a word and what came before and after it. Returns whether it was known.
    pub fn forget(&mut self, word: &str) -> bool {
        let Ok(at) = self.search(word) else { return false };
        let place = self.order[at];
        self.keep_words(|at, _| at != place as usize);
        true
    }

    /// Forgets everything, blocked words too.
    pub fn erase(&mut self) {
        *self = Self::with_capacity(self.capacity);
    }

    /// Whether a word is never to be suggested.
    #[must_use]
    pub fn is_blocked(&self, word: &str) -> bool {
        self.search(word).is_ok_and(|at| self.word_at(at).kind == Kind::Blocked)
    }

    /// The words that may be suggested even where the model lacks them: added, or typed twice; by their bytes.
    pub fn own_words(&self) -> impl Iterator<Item = &str> {
        let words = self.order.iter().map(|&place| &self.words[place as usize]);
        words.filter(|word| word.may_be_suggested()).map(|word| &*word.text)
    }

    /// Whether a word may be suggested even where the model lacks it.
    #[must_use]
    pub fn may_be_suggested(&self, word: &str) -> bool {
        self.search(word).is_ok_and(|at| self.word_at(at).may_be_suggested())
    }

    /// The words that are never suggested, by their bytes.
    pub fn blocked_words(&self) -> impl Iterator<Item = &str> {
        let words = self.order.iter().map(|&place| &self.words[place as usize]);
        words.filter(|word| word.kind == Kind::Blocked).map(|word| &*word.text)
    }

    fn mark(&mut self, text: &str, kind: Kind) -> bool {
        if !is_word(text) {
            return false;
        }
        let place = self.place(text);
        let unit = self.word_unit;
        let word = &mut self.words[place as usize];
        word.kind = kind;
        if kind == Kind::Added && word.count < unit {
            word.count = unit;
        }
        self.make_room(place);
        true
    }

    /// Counts a word after the one at `last`, where there is one; returns its place, if it is learnt.
    fn count(&mut self, last: Option<u32>, text: &str) -> Option<u32> {
        if !is_word(text) {
            return None;
        }
        self.fade();
        let place = self.place(text);
        let unit = self.word_unit;
        let word = &mut self.words[place as usize];
        word.count += unit;
        word.seen = word.seen.saturating_add(1);
        if let Some(first) = last.filter(|&first| (first as usize) < self.words.len()) {
            self.count_pair(first, place);
        }
        self.make_room(place)
    }

    fn count_pair(&mut self, first: u32, second: u32) {
        let key = (first, second);
        let unit = self.pair_unit;
        match self.pairs.binary_search_by_key(&key, |pair| (pair.first, pair.second)) {
            Ok(at) => self.pairs[at].count += unit,
            Err(at) => self.pairs.insert(at, Pair { first, second, count: unit }),
        }
    }

    /// Lets all counts fade by a word: what comes from now on counts more.
    fn fade(&mut self) {
        self.word_unit *= 1.0 + 1.0 / WORDS;
        self.pair_unit *= 1.0 + 1.0 / PAIRS;
        if self.word_unit > MOST {
            let unit = core::mem::replace(&mut self.word_unit, 1.0);
            self.words.iter_mut().for_each(|word| word.count /= unit);
        }
        if self.pair_unit > MOST {
            let unit = core::mem::replace(&mut self.pair_unit, 1.0);
            self.pairs.iter_mut().for_each(|pair| pair.count /= unit);
        }
    }

    /// The place of a word, which is made if there is none.
    fn place(&mut self, text: &str) -> u32 {
        let at = match self.search(text) {
            Ok(at) => return self.order[at],
            Err(at) => at,
        };
        let place = self.words.len() as u32;
        self.words.push(Word { text: text.into(), count: 0.0, seen: 0, kind: Kind::Typed });
        self.order.insert(at, place);
        place
    }

    fn search(&self, text: &str) -> Result<usize, usize> {
        self.order.binary_search_by(|&place| (*self.words[place as usize].text).cmp(text))
    }

    fn word_at(&self, at: usize) -> &Word {
        &self.words[self.order[at] as usize]
    }

    /// Forgets what is faintest until there is room; returns where the word at `place` is now, if it is still there.
    fn make_room(&mut self, place: u32) -> Option<u32> {
        if self.bytes() <= self.capacity {
            return Some(place);
        }
        let text = self.words[place as usize].text.clone();
        // Half of the pairs, then an eighth of the words: it is seldom done, and never often in a row.
        while self.bytes() > self.capacity {
            let (words, pairs) = (self.words.len(), self.pairs.len());
            if pairs > words / 2 {
                let least = quantile(self.pairs.iter().map(|pair| pair.count), pairs / 2);
                self.pairs.retain(|pair| pair.count > least);
                continue;
            }
            let typed = self.words.iter().filter(|word| word.kind == Kind::Typed);
            let counts: Vec<f32> = typed.map(|word| word.count).collect();
            if counts.is_empty() {
                // Nothing but what the user asked for: the oldest of it goes.
                self.keep_words(|at, _| at >= words.div_ceil(8));
                continue;
            }
            let least = quantile(counts.iter().copied(), counts.len() / 8);
            self.keep_words(|_, word| word.kind != Kind::Typed || word.count > least);
        }
        self.search(&text).ok().map(|at| self.order[at])
    }

    /// Keeps some words, and the pairs of these.
    fn keep_words(&mut self, keep: impl Fn(usize, &Word) -> bool) {
        self.moves += 1;
        let kept: Vec<bool> =
            self.words.iter().enumerate().map(|(at, word)| keep(at, word)).collect();
        let mut next = 0;
        let places: Vec<Option<u32>> = kept
            .iter()
            .map(|&is_kept| {
                let place = is_kept.then_some(next);
                next += u32::from(is_kept);
                place
            })
            .collect();
        let mut is_kept = kept.iter();
        self.words.retain(|_| is_kept.next() == Some(&true));
        let moved = |place: u32| places[place as usize];
        self.order = self.order.iter().filter_map(|&place| moved(place)).collect();
        let pair = |pair: &Pair| {
            Some(Pair { first: moved(pair.first)?, second: moved(pair.second)?, ..*pair })
        };
        // Places keep their order, and so do the pairs.
        self.pairs = self.pairs.iter().filter_map(pair).collect();
    }

    /// The pairs that begin with the word at `last`.
    fn after(&self, last: Option<u32>) -> &[Pair] {
        let Some(last) = last else { return &[] };
        let start = self.pairs.partition_point(|pair| pair.first < last);
        let end = self.pairs.partition_point(|pair| pair.first <= last);
        &self.pairs[start..end]
    }

    /// How a word after the one at `last` is mixed.
    fn mixture(&self, last: Option<u32>) -> Mixture {
        let words: f32 = self.words.iter().map(|word| word.count).sum();
        let pairs: f32 = self.after(last).iter().map(|pair| pair.count).sum();
        let evidence = |sum: f32, unit: f32, half: f32| sum / (sum + half * unit);
        let of_words = self.weights[0] * evidence(words, self.word_unit, HALF_WORDS);
        let of_pairs = self.weights[1] * evidence(pairs, self.pair_unit, HALF_PAIR);
        Mixture { weights: [1.0 - of_words - of_pairs, of_words, of_pairs], words, pairs }
    }

    /// What words and pairs say of the word at `place`, after the one at `last`.
    fn shares(&self, mixture: &Mixture, last: Option<u32>, place: u32) -> [f32; 2] {
        let pairs = self.after(last);
        let pair = pairs.binary_search_by_key(&place, |pair| pair.second);
        let count = pair.map_or(0.0, |at| pairs[at].count);
        let share = |count: f32, sum: f32| if sum > 0.0 { count / sum } else { 0.0 };
        [share(self.words[place as usize].count, mixture.words), share(count, mixture.pairs)]
    }

    /// Moves the weights towards what predicted a word best: the model, which gave it the probability `by_model`, words
    /// or pairs. A step of expectation-maximisation on one word.
    fn follow(&mut self, last: Option<u32>, text: &str, by_model: f32) {
        let mixture = self.mixture(last);
        let Ok(at) = self.search(text) else {
            self.step([0.0; 2], mixture);
            return;
        };
        let [words, pairs] = self.shares(&mixture, last, self.order[at]);
        let parts = [by_model, words, pairs];
        let total: f32 = parts.iter().zip(mixture.weights).map(|(p, weight)| p * weight).sum();
        if total > 0.0 {
            let due = |k: usize| mixture.weights[k] * parts[k] / total;
            self.step([due(1), due(2)], mixture);
        }
    }

    fn step(&mut self, due: [f32; 2], mixture: Mixture) {
        for ((weight, due), now) in self.weights.iter_mut().zip(due).zip(&mixture.weights[1..]) {
            // What had no say is not judged; what had a part of its say is judged by that part.
            if *now > 0.0 {
                let judged = *now / *weight;
                let moved = *weight + STEP * judged * (due / judged - *weight);
                *weight = moved.clamp(WEIGHTS.start, WEIGHTS.end);
            }
        }
        // Together they leave the model something.
        let sum = self.weights[0] + self.weights[1];
        if sum > 0.9 {
            self.weights.iter_mut().for_each(|weight| *weight *= 0.9 / sum);
        }
    }
}

impl Word {
    fn may_be_suggested(&self) -> bool {
        match self.kind {
            Kind::Typed => self.seen >= TWICE,
            Kind::Added => true,
            Kind::Blocked => false,
        }
    }
}

/// Whether a text can be a user's word.
fn is_word(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The number of which `below` others are smaller.
fn quantile(numbers: impl Iterator<Item = f32>, below: usize) -> f32 {
    let mut numbers: Vec<f32> = numbers.collect();
    *numbers.select_nth_unstable_by(below, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn typed(personal: &mut Personal, text: &str) {
        let mut last = None;
        for word in text.split(' ') {
            personal.follow(last, word, 0.001);
            last = personal.count(last, word);
        }
    }

    fn sums(personal: &Personal, last: Option<u32>) -> f32 {
        let mixture = personal.mixture(last);
        let places = 0..personal.words.len() as u32;
        let shares = places.map(|place| personal.shares(&mixture, last, place));
        let own: f32 = shares.map(|[w, p]| mixture.weights[1] * w + mixture.weights[2] * p).sum();
        mixture.weights[0] + own
    }

    proptest! {
        /// What the words and pairs give away is what the model's weight lacks to one.
        #[test]
        fn the_mixture_sums_to_one(text in "([abc]{1,2} ){1,80}", capacity in 300..4000usize) {
            let mut personal = Personal::with_capacity(capacity);
            typed(&mut personal, text.trim_end());
            for last in (0..personal.words.len() as u32).map(Some).chain([None]) {
                let sum = sums(&personal, last);
                prop_assert!((sum - 1.0).abs() < 1e-4, "{}", sum);
            }
        }

        #[test]
        fn it_stays_within_its_room_and_its_order(
            text in "([a-p]{1,3} ){1,200}", capacity in 200..2000usize,
        ) {
            let mut personal = Personal::with_capacity(capacity);
            for word in text.trim_end().split(' ') {
                typed(&mut personal, word);
                typed(&mut personal, &format!("a {word}"));
                prop_assert!(personal.bytes() <= capacity);
            }
            let texts: Vec<&str> =
                personal.order.iter().map(|&at| &*personal.words[at as usize].text).collect();
            prop_assert!(texts.is_sorted());
            prop_assert!(personal.pairs.is_sorted_by_key(|pair| (pair.first, pair.second)));
            let words = personal.words.len() as u32;
            prop_assert!(personal.pairs.iter().all(|p| p.first < words && p.second < words));
        }
    }

    #[test]
    fn what_comes_often_gains_weight() {
        let mut personal = Personal::new();
        typed(&mut personal, "we see Zsuzsi and ".repeat(60).trim_end());
        assert!(personal.weights[1] > 0.3, "{:?}", personal.weights);
        let see = personal.order[personal.search("see").unwrap()];
        let friend = personal.order[personal.search("Zsuzsi").unwrap()];
        let mixture = personal.mixture(Some(see));
        assert!(personal.shares(&mixture, Some(see), friend)[1] > 0.99);
    }

    #[test]
    fn words_are_added_blocked_and_forgotten() {
        let mut personal = Personal::new();
        assert!(personal.add("Óbuda") && personal.block("damn"));
        assert!(!personal.add("") && !personal.add("two words") && !personal.add(&"x".repeat(65)));
        typed(&mut personal, "once twice twice");
        assert_eq!(personal.own_words().collect::<Vec<_>>(), ["twice", "Óbuda"]);
        assert!(personal.is_blocked("damn") && personal.unblock("damn"));
        assert!(!personal.is_blocked("damn"));
        assert!(personal.forget("twice") && !personal.forget("twice"));
        assert!(personal.pairs.is_empty());
        personal.erase();
        assert_eq!(personal, Personal::new());
    }

    #[test]
    fn counts_fade_without_end() {
        let mut personal = Personal::new();
        for _ in 0..3 {
            for round in 0..40_000 {
                personal.count(None, if round % 2 == 0 { "a" } else { "b" });
            }
        }
        let all = personal.words.iter().map(|word| word.count / personal.word_unit);
        assert!((all.sum::<f32>() / WORDS - 1.0).abs() < 0.05);
        assert!(personal.word_unit <= MOST * 1.01);
    }
}
