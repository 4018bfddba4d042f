//! Words beside those of a model, which share the probability that it gives to `<unk>`.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::Result;
use crate::exponential::{exp, ln_all};
use crate::model::Model;
use crate::session::Session;

/// A list of words with their frequencies: any model of words, best a unigram model, whose file is little more than its
/// vocabulary (`pocketlm ngram --order 1`).
///
/// A word that the lexicon has and the model lacks has the probability of `<unk>`, times the share that the lexicon gives
/// to it among all words that the model lacks. What the lexicon gives to its own `<unk>` stays with words unknown to both.
#[derive(Debug)]
pub struct Lexicon {
    words: Model,
    /// For each word of the lexicon the logarithm of its share of the model's `<unk>`; minus infinity if the model has it.
    log_shares: Vec<f32>,
    /// The share of words unknown to both.
    rest: f64,
}

/// The share of words unknown to both where the lexicon has no `<unk>`.
const REST: f64 = 0.1;

impl Lexicon {
    /// Of the words of `words`, beside the vocabulary of `model`. What it gives to a word is taken at the beginning of a
    /// text: it should be a unigram model, which knows no other place.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if its numbers overflow.
    pub fn new(words: Model, model: &Model) -> Result<Self> {
        let vocabulary = words.vocabulary();
        let mut log_shares = vec![0.0; vocabulary.len()];
        Session::new(&words).log_probabilities(&mut log_shares)?;
        let unknown = vocabulary.unk().map(|unk| exp(f64::from(log_shares[unk as usize])));
        vocabulary.walk(|id, _, word| {
            if vocabulary.is_special(id) || model.vocabulary().id_of(word).is_some() {
                log_shares[id as usize] = f32::NEG_INFINITY;
            }
        });
        let known: f64 = log_shares.iter().map(|&log| exp(f64::from(log))).sum();
        let unknown = unknown.unwrap_or(known * REST / (1.0 - REST)).max(f64::MIN_POSITIVE);
        let mut all = [(known + unknown) as f32];
        ln_all(&mut all);
        log_shares.iter_mut().for_each(|log| *log -= all[0]);
        Ok(Self { words, log_shares, rest: unknown / (known + unknown) })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &Model {
        &self.words
    }

    /// The share of `<unk>` that words have which the lexicon lacks too.
    #[must_use]
    pub fn rest(&self) -> f64 {
        self.rest
    }

    /// The logarithm of a word's share of `<unk>`, in nats; minus infinity for a word of the model.
    pub(super) fn log_share(&self, id: u32) -> f32 {
        self.log_shares[id as usize]
    }
}
