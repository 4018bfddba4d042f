//! How far models with a short memory stay from the floor of the built-in corpus.

use pocketlm_train::corpus::Corpus;
use pocketlm_train::grammar::{self, Grammar};
use std::collections::HashMap;

/// An n-gram model with the smoothing of Witten and Bell (1991, method C): each context gives as
/// much weight to the next shorter one as it has seen different words.
struct Ngrams {
    order: usize,
    vocabulary: f64,
    counts: HashMap<Vec<u32>, f64>,
    contexts: HashMap<Vec<u32>, (f64, f64)>,
}

impl Ngrams {
    fn train(corpus: &Corpus, order: usize) -> Self {
        let vocabulary = corpus.encoder.vocabulary().len() as f64;
        let mut model =
            Self { order, vocabulary, counts: HashMap::new(), contexts: HashMap::new() };
        let ids = &corpus.train.ids;
        for end in 1..=ids.len() {
            (end.saturating_sub(order)..end).for_each(|start| model.count(&ids[start..end]));
        }
        model
    }

    fn count(&mut self, gram: &[u32]) {
        let count = self.counts.entry(gram.to_vec()).or_default();
        *count += 1.0;
        let (tokens, types) = self.contexts.entry(gram[..gram.len() - 1].to_vec()).or_default();
        *tokens += 1.0;
        *types += f64::from(*count == 1.0);
    }

    fn probability(&self, gram: &[u32]) -> f64 {
        let shorter = match gram {
            [_] => 1.0 / self.vocabulary,
            _ => self.probability(&gram[1..]),
        };
        match self.contexts.get(&gram[..gram.len() - 1]) {
            Some((tokens, types)) => {
                (self.counts.get(gram).unwrap_or(&0.0) + types * shorter) / (tokens + types)
            }
            None => shorter,
        }
    }

    fn perplexity(&self, ids: &[u32]) -> f64 {
        let gram = |end: usize| &ids[end.saturating_sub(self.order)..end];
        let nats: f64 = (1..=ids.len()).map(|end| -self.probability(gram(end)).ln()).sum();
        (nats / ids.len() as f64).exp()
    }
}

/// The negative log-likelihood of the true distribution on this very text.
fn floor(corpus: &Corpus) -> f64 {
    let text = corpus.encoder.decode(&corpus.test.ids);
    let sentences = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let nats: f64 =
        sentences.flat_map(|words| Grammar::english().surprisals(&words).unwrap()).sum();
    (nats / corpus.test.ids.len() as f64).exp()
}

#[test]
fn memory_pays_off() {
    let corpus = grammar::corpus(1, 400_000).unwrap();
    let (floor, expected) = (floor(&corpus), Grammar::english().entropy_per_token().exp());
    let perplexities: Vec<f64> =
        (1..=5).map(|order| Ngrams::train(&corpus, order).perplexity(&corpus.test.ids)).collect();
    println!("floor {floor:.3} on this text, {expected:.3} expected; n-grams {perplexities:.2?}");
    assert!((floor / expected - 1.0).abs() < 0.02);
    assert!(perplexities[0] > 20.0 * floor, "words alone say little");
    assert!(perplexities[1] > 2.0 * floor, "a bigram is clearly worse");
    assert!(perplexities.iter().all(|perplexity| *perplexity > 1.3 * floor), "so is any n-gram");
}
