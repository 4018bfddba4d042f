//! Correction of typing slips: what a typed form was meant to be.
//!
//! Shannon's noisy channel, as Kernighan, Church and Gale (1990) took it for spelling: of the words w that may have
//! become the typed form t, p(w | context, t) ∝ p(w | context) · p(t | w). The first factor is the model's, the second
//! that of a typist ([`Typing`]). That t is itself meant competes: a known word with its own probability, any other
//! with that of `<unk>` and of its spelling. A [`Lexicon`] splits `<unk>` among more words, which are then known, and may
//! be what was meant.
//!
//! ```no_run
//! let model = pocketlm::Model::open("keyboard.plm")?;
//! let mut session = pocketlm::Session::new(&model);
//! session.feed_text("they are not sure")?;
//! let found = session.correct("abd", 3)?;
//! if found.confidence() > 0.9 {
//!     println!("{}", found.words[0].word);
//! }
//! # Ok::<(), pocketlm::Error>(())
//! ```

mod fit;
mod lexicon;
mod search;
mod typing;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

pub use lexicon::Lexicon;
use search::Search;
pub use search::{MAX_LETTERS, Slip, slips};
use typing::fold;
pub use typing::{Layout, Typing};

use crate::error::Result;
use crate::exponential::exp;
use crate::model::Model;
use crate::session::Session;

/// Places at which a missing space is tried: each costs a step of the model.
const SPLITS: usize = 4;

/// The share of the best word below which two words are not looked at.
const NEGLIGIBLE: f64 = 0.01;

/// A word, or two with a space between them, that may have been meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    /// It, in the case that was typed.
    pub word: String,
    /// The probability that it was meant, given the context and what was typed.
    pub probability: f64,
}

/// What may have been meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrections {
    /// Words other than the typed form, likeliest first.
    pub words: Vec<Correction>,
    /// The probability that the typed form was meant. With those of all words it makes one.
    pub as_typed: f64,
}

impl Corrections {
    /// The probability that the first word was meant; 0 if there is none or it is more likely that nothing was wrong.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        let best = self.words.first().map_or(0.0, |best| best.probability);
        if best > self.as_typed { best } else { 0.0 }
    }
}

/// What a correction goes by beside the model.
#[derive(Debug, Clone, Copy)]
pub struct Speller<'s> {
    /// The typist.
    pub typing: &'s Typing,
    /// Words that the model lacks.
    pub lexicon: Option<&'s Lexicon>,
    /// Words of the user, each with its probability at this place, as a share of all words.
    pub own: &'s [(&'s str, f64)],
}

impl Default for Speller<'_> {
    fn default() -> Self {
        Self { typing: &Typing::DEFAULT, lexicon: None, own: &[] }
    }
}

impl<M: Borrow<Model>> Session<M> {
    /// The `k` likeliest words that may have been meant by `typed`, which stands after all that has been fed, for a
    /// [typist by default](Typing::default). The session's state stays what it is.
    ///
    /// Nothing is found for a form of more than [`MAX_LETTERS`] letters or with a space in it.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn correct(&mut self, typed: &str, k: usize) -> Result<Corrections> {
        self.correct_by(&Typing::default(), typed, k)
    }

    /// [`correct`](Self::correct) for a certain typist.
    ///
    /// # Errors
    /// As [`correct`](Self::correct).
    pub fn correct_by(&mut self, typing: &Typing, typed: &str, k: usize) -> Result<Corrections> {
        self.correct_with(&Speller { typing, ..Speller::default() }, typed, k)
    }

    /// [`correct`](Self::correct) with all that is known of the typist and the words.
    ///
    /// # Errors
    /// As [`correct`](Self::correct).
    pub fn correct_with(
        &mut self,
        speller: &Speller<'_>,
        typed: &str,
        k: usize,
    ) -> Result<Corrections> {
        let letters = typed.chars().take(MAX_LETTERS + 1).count();
        let is_word = letters <= MAX_LETTERS && !typed.chars().any(char::is_whitespace);
        if !is_word || letters == 0 {
            return Ok(Corrections { words: Vec::new(), as_typed: 1.0 });
        }
        let typing = speller.typing;
        let mut log_probabilities = vec![0.0; self.model().vocabulary().len()];
        self.log_probabilities(&mut log_probabilities)?;
        let unk = self.model().vocabulary().unk();
        let unknown = unk.map(|unk| exp(f64::from(log_probabilities[unk as usize])));
        let mut unknown = unknown.unwrap_or_else(|| f64::from(typing.unknown));
        let mut found = Joint { typed, words: Vec::new(), as_typed: 0.0 };
        found.add_slips(self.model(), typing, |id| log_probabilities[id as usize]);
        if let Some(lexicon) = speller.lexicon {
            let share = ln(unknown);
            found.add_slips(lexicon.words(), typing, |id| lexicon.log_share(id) + share);
            unknown *= lexicon.rest();
        }
        found.add_own(typing, speller.own);
        self.add_splits(typing, &log_probabilities, &mut found)?;
        if found.as_typed == 0.0 {
            found.as_typed = (unknown * typing.spelling(letters)).max(f64::MIN_POSITIVE);
        }
        Ok(found.finish(k))
    }

    /// Two words of the vocabulary that were typed as one.
    fn add_splits(
        &mut self,
        typing: &Typing,
        log_probabilities: &[f32],
        found: &mut Joint<'_>,
    ) -> Result<()> {
        let mut splits = Vec::new();
        let vocabulary = self.model.borrow().vocabulary();
        for (at, _) in found.typed.char_indices().skip(1) {
            let (first, second) = found.typed.split_at(at);
            if let (Some(first), Some(second)) =
                (known(vocabulary, first), known(vocabulary, second))
            {
                splits.push((log_probabilities[first as usize], first, second, at));
            }
        }
        splits.sort_by(|a, b| b.0.total_cmp(&a.0));
        splits.truncate(SPLITS);
        // The second word's probability is at most one: what cannot come near the best found so far costs no step.
        let least = found.best() * NEGLIGIBLE;
        splits.retain(|split| exp(f64::from(split.0 - typing.space)) > least);
        if splits.is_empty() {
            return Ok(());
        }
        let state = self.state().clone();
        for (log_probability, first, second, at) in splits {
            self.feed(first)?;
            let next = self.log_probability_of(second);
            self.set_state(&state)?;
            let joint = exp(f64::from(log_probability) + next? - f64::from(typing.space));
            let (first, second) = found.typed.split_at(at);
            found.add(alloc::format!("{first} {second}"), joint);
        }
        Ok(())
    }
}

/// ln of a probability; that of the smallest normal number for 0.
fn ln(probability: f64) -> f32 {
    let mut one = [probability as f32];
    crate::exponential::ln_all(&mut one);
    one[0]
}

/// The id of a word, as it is or with small letters.
fn known(vocabulary: &crate::Vocabulary, word: &str) -> Option<u32> {
    let id = vocabulary.id(word).or_else(|| {
        let small: String = word.chars().map(fold).collect();
        vocabulary.id(&small)
    });
    id.filter(|&id| !vocabulary.is_special(id))
}

/// Joint probabilities of what was meant and what was typed.
struct Joint<'t> {
    typed: &'t str,
    words: Vec<Correction>,
    as_typed: f64,
}

impl Joint<'_> {
    /// The probability of the likeliest so far.
    fn best(&self) -> f64 {
        self.words.iter().fold(self.as_typed, |best, word| best.max(word.probability))
    }

    fn add_slips(&mut self, model: &Model, typing: &Typing, log_probability: impl Fn(u32) -> f32) {
        let vocabulary = model.vocabulary();
        let mut buffer = Vec::with_capacity(vocabulary.longest());
        for slip in slips(vocabulary, typing, self.typed) {
            let Some(word) = vocabulary.word(slip.id, &mut buffer) else { continue };
            let cost = f64::from(slip.cost);
            let joint = exp(f64::from(log_probability(slip.id)) - cost);
            if joint > 0.0 {
                self.add(in_case(word, self.typed), joint);
            }
        }
    }

    /// Words of the user, one by one: there are few.
    fn add_own(&mut self, typing: &Typing, own: &[(&str, f64)]) {
        if own.is_empty() {
            return;
        }
        let Some(mut search) = Search::of(typing, self.typed) else { return };
        for (word, probability) in own {
            let cost = search.cost(word).map_or(f32::INFINITY, |cost| cost);
            let joint = probability * exp(-f64::from(cost));
            if joint > 0.0 {
                self.add(in_case(word, self.typed), joint);
            }
        }
    }

    fn add(&mut self, word: String, joint: f64) {
        if word == self.typed {
            self.as_typed += joint;
        } else {
            self.words.push(Correction { word, probability: joint });
        }
    }

    /// One entry for each word, the probabilities of all together one.
    fn finish(self, k: usize) -> Corrections {
        let Self { mut words, mut as_typed, .. } = self;
        words.sort_by(|a, b| a.word.cmp(&b.word));
        words.dedup_by(|again, first| {
            let is_same = again.word == first.word;
            first.probability += if is_same { again.probability } else { 0.0 };
            is_same
        });
        let sum = as_typed + words.iter().map(|word| word.probability).sum::<f64>();
        as_typed /= sum;
        words.iter_mut().for_each(|word| word.probability /= sum);
        words.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        words.truncate(k);
        Corrections { words, as_typed }
    }
}

/// A word in the case of `typed`: with a capital, all capitals, or as it is.
fn in_case(word: &str, typed: &str) -> String {
    let mut letters = typed.chars().filter(|letter| letter.is_alphabetic());
    let starts = letters.next().is_some_and(char::is_uppercase);
    let (mut more, mut all) = (false, true);
    letters.for_each(|letter| (more, all) = (true, all && !letter.is_lowercase()));
    if starts && more && all {
        return word.chars().flat_map(char::to_uppercase).collect();
    }
    let mut rest = word.chars();
    match rest.next().filter(|_| starts) {
        Some(first) => first.to_uppercase().chain(rest).collect(),
        None => word.into(),
    }
}
