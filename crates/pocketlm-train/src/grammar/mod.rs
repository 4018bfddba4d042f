//! The built-in corpus: English sentences drawn from a small probabilistic grammar whose entropy
//! is known exactly.
//!
//! ```
//! use pocketlm_train::grammar::{self, Grammar};
//!
//! let floor = Grammar::english().entropy_per_token().exp(); // no model can do better
//! let corpus = grammar::corpus(1, 20_000)?; // or `write_splits` for the same text in files
//! assert!(corpus.train.ids.len() >= 20_000 && floor < 20.0);
//! # Ok::<(), pocketlm_train::corpus::Error>(())
//! ```
//!
//! A [`Grammar`] is a probabilistic context-free grammar of the class LL(1) (Aho, Lam, Sethi and
//! Ullman, *Compilers*, 2nd ed., section 4.4.3): read from left to right, the next word alone
//! tells which alternative was taken. [`Grammar::parse`] refuses every other grammar. From that
//! follows all the rest:
//!
//! - A sentence has **one derivation**, so its probability is the product of the probabilities
//!   of the alternatives taken, and the entropy of sentences is the entropy of derivations. That
//!   one is the solution of a linear system (Grenander 1976; Chi 1999, "Statistical properties
//!   of probabilistic context-free grammars", section 4): with `p` running over the alternatives
//!   of `A`,  `H(A) = Σ p · (−ln p + Σ H(B))`, `B` over the rules that the alternative names; and
//!   the expected length likewise.
//! - The derivation is known up to the next word, so the **probability of each word given all
//!   words before it** is a product of probabilities, too: [`Grammar::surprisals`].
//! - Sentences are independent, so the best any model can do on a long text is the ratio of
//!   the two expectations: [`Grammar::entropy_per_token`], in nats, `<eos>` counted as a token.
//!
//! The built-in grammar has 1,142 words and sentences of 10.5 tokens on average; its floor is
//! 2.0120 nats a token, a perplexity of 7.479. On the test split of `corpus(1, 400_000)` the true
//! distribution has 7.511, and n-gram models with Witten-Bell smoothing have 190.3 (unigram),
//! 27.7 (bigram), 18.8 (trigram), 20.4 and 23.3: what is left to win takes a longer memory
//! (`tests/corpus_ngrams.rs` measures it).

mod english;
mod entropy;
mod notation;
mod prediction;

pub use notation::Error;

use crate::corpus::{self, Corpus, Encoder, SPLITS, Source, Vocabulary};
use pocketlm::pack::write_file_with;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;

/// A probabilistic context-free grammar, unambiguous by construction.
#[derive(Debug, Clone)]
pub struct Grammar {
    /// The words of the language in byte order.
    words: Vec<String>,
    /// The first one derives sentences.
    rules: Vec<Rule>,
    /// For each rule, the alternative that each next word calls for.
    table: prediction::Table,
    /// Expectations over the sentences of the first rule.
    entropy: f64,
    length: f64,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone)]
struct Alternative {
    probability: f64,
    body: Vec<Symbol>,
}

/// A word or a rule, by its place in [`Grammar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Word(usize),
    Rule(usize),
}

impl Grammar {
    /// The words of the language in byte order (without `<eos>`).
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The entropy of a sentence, in nats.
    pub fn sentence_entropy(&self) -> f64 {
        self.entropy
    }

    /// The expected length of a sentence in tokens, `<eos>` included.
    pub fn sentence_length(&self) -> f64 {
        self.length
    }

    /// The entropy of a token, in nats, `<eos>` included: no model can have a lower expected
    /// negative log-likelihood per token on long texts of this grammar. `exp` of it is the
    /// floor of the perplexity.
    pub fn entropy_per_token(&self) -> f64 {
        self.entropy / self.length
    }

    /// Draws a sentence, without `<eos>`.
    pub fn sample(&self, random: &mut ChaCha8Rng) -> Vec<&str> {
        let mut words = Vec::new();
        let mut todo = vec![Symbol::Rule(0)];
        while let Some(symbol) = todo.pop() {
            match symbol {
                Symbol::Word(word) => words.push(self.words[word].as_str()),
                Symbol::Rule(rule) => todo.extend(self.draw(rule, random).body.iter().rev()),
            }
        }
        words
    }

    fn draw(&self, rule: usize, random: &mut ChaCha8Rng) -> &Alternative {
        let alternatives = &self.rules[rule].alternatives;
        let mut left = unit_interval(random);
        let taken = alternatives.iter().find(|alternative| {
            left -= alternative.probability;
            left < 0.0
        });
        // Rounding may leave a last sliver over.
        taken.unwrap_or(&alternatives[alternatives.len() - 1])
    }

    /// The negative log-probability, in nats, of each word of a sentence given the words before
    /// it, and of the `<eos>` after it; `None` where the sentence is not of the language.
    ///
    /// The sum is that of the sentence. The mean over a text is the negative log-likelihood
    /// that a perfect model would have on that text.
    pub fn surprisals(&self, sentence: &[&str]) -> Option<Vec<f64>> {
        let mut todo = vec![Symbol::Rule(0)];
        let words = sentence.iter().map(|word| self.word(word));
        words.chain([Some(self.words.len())]).map(|next| self.advance(&mut todo, next?)).collect()
    }

    fn word(&self, word: &str) -> Option<usize> {
        self.words.binary_search_by(|other| other.as_str().cmp(word)).ok()
    }

    /// Expands what is to do until it starts with the word `next` (or ends, for `words.len()`).
    fn advance(&self, todo: &mut Vec<Symbol>, next: usize) -> Option<f64> {
        let mut surprisal = 0.0;
        loop {
            match todo.pop() {
                None => return (next == self.words.len()).then_some(surprisal),
                Some(Symbol::Word(word)) => return (word == next).then_some(surprisal),
                Some(Symbol::Rule(rule)) => {
                    let taken = &self.rules[rule].alternatives[self.table.get(rule, next)?];
                    surprisal -= taken.probability.ln();
                    todo.extend(taken.body.iter().rev());
                }
            }
        }
    }
}

/// A number in [0, 1) with 53 random bits; written out since the text must never change with a
/// library's version.
fn unit_interval(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (-53f64).exp2()
}

/// Training, validation and test text of the built-in grammar, one sentence a line.
///
/// The training text has the fewest whole sentences with at least `tokens` tokens (`<eos>`
/// counted), the others a tenth of it each. The same seed gives the same text everywhere, and
/// validation and test text do not depend on the amount of training text but for their length.
pub fn splits(seed: u64, tokens: usize) -> [String; 3] {
    [(0, tokens), (1, tokens / 10), (2, tokens / 10)].map(|(stream, tokens)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        text(Grammar::english(), &mut random, tokens.max(1))
    })
}

fn text(grammar: &Grammar, random: &mut ChaCha8Rng, tokens: usize) -> String {
    let mut text = String::new();
    let mut written = 0;
    while written < tokens {
        let sentence = grammar.sample(random);
        written += sentence.len() + 1;
        text.push_str(&sentence.join(" "));
        text.push('\n');
    }
    text
}

/// Writes [`splits`] to `train.txt`, `valid.txt` and `test.txt` in a folder, which is made if
/// it is not there.
///
/// # Errors
/// [`corpus::Error::Write`].
pub fn write_splits(folder: &Path, seed: u64, tokens: usize) -> Result<(), corpus::Error> {
    std::fs::create_dir_all(folder).map_err(corpus::Error::writing(folder))?;
    for (name, text) in SPLITS.iter().zip(splits(seed, tokens)) {
        let path = folder.join(format!("{name}.txt"));
        write_file_with(&path, |file| file.write_all(text.as_bytes()))
            .map_err(corpus::Error::writing(&path))?;
    }
    Ok(())
}

/// [`splits`] as a corpus in memory.
///
/// Its vocabulary is the closed one of the grammar (in byte order after `<eos>`), so that even
/// a short training text leaves no word of the others unknown.
///
/// # Errors
/// None that a caller could cause; the signature is that of reading any text.
pub fn corpus(seed: u64, tokens: usize) -> Result<Corpus, corpus::Error> {
    let words = [corpus::EOS].into_iter().chain(Grammar::english().words());
    let vocabulary = Vocabulary::from_words(words, Path::new("built-in grammar"))?;
    let [train, valid, test] = splits(seed, tokens);
    let source = |name: &str, text| Source::text(format!("built-in {name} text"), text);
    let sources = [source("training", train), source("validation", valid), source("test", test)];
    Corpus::encode(Encoder::words(vocabulary), &sources)
}

#[cfg(test)]
mod tests;
