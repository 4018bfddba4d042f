//! What errors in each matrix cost, measured on training text: moments of its inputs, weights of its rows, and how much
//! the loss really rises.

use std::collections::HashMap;

use crate::checkpoint::Checkpoint;
use crate::compress::calibration::{TOKENS_OF_A_WINDOW, add_moment, gradients, run_with};
use crate::corpus::Corpus;
use crate::error::Result;
use crate::linear::{Entry, Parameters};

/// Moments of the vectors that a matrix is multiplied with.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `E[x xᵀ]`.
    pub second: Vec<f64>,
    /// `E[x]`.
    pub mean: Vec<f64>,
}

impl Moments {
    /// The covariance: what is left once a bias has made up for the mean.
    pub fn centred(&self) -> Vec<f64> {
        let n = self.mean.len();
        let shift = |(at, x): (usize, &f64)| x - self.mean[at / n] * self.mean[at % n];
        self.second.iter().enumerate().map(shift).collect()
    }
}

/// Moments by matrix; those of the output layer are the softmax's, whether it has a matrix of its own or not.
///
/// # Errors
/// When the text has no word that the model knows.
pub fn moments(model: &Checkpoint, corpus: &Corpus) -> Result<HashMap<String, Moments>> {
    let mut sums: HashMap<String, (Vec<f64>, Vec<f64>)> = HashMap::new();
    let mut tokens = 0;
    run_with(model, &model.parameters, corpus, |piece, window| {
        tokens += piece.inputs.len();
        let mut all = model.network.matrix_inputs(window);
        if model.config.recipe.model.tied {
            let top = model.network.top(window);
            all.push(("softmax".to_owned(), top.len() / piece.inputs.len(), top));
        }
        for (name, width, input) in all {
            let (second, mean) = sums.entry(name).or_default();
            add_moment(second, input, width);
            mean.resize(width, 0.0);
            for x in input.chunks_exact(width) {
                mean.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x));
            }
        }
    })?;
    let over = |sum: Vec<f64>| sum.into_iter().map(|x| x / tokens.max(1) as f64).collect();
    let moments = |(second, mean)| Moments { second: over(second), mean: over(mean) };
    Ok(sums.into_iter().map(|(name, sums)| (name, moments(sums))).collect())
}

/// Mean loss of a token in nats with these weights.
///
/// # Errors
/// When the text has no word that the model knows.
pub fn loss(model: &Checkpoint, weights: &Parameters, corpus: &Corpus) -> Result<f64> {
    let (mut sum, mut tokens) = (0.0, 0);
    run_with(model, weights, corpus, |piece, window| {
        tokens += piece.targets.len();
        let losses = model.network.losses(weights, &piece.targets, window);
        sum += losses.into_iter().map(f64::from).sum::<f64>();
    })?;
    Ok(sum / tokens.max(1) as f64)
}

/// Mean squared gradient of the loss of a token, for each row of a matrix and each number of a bias: by windows of text,
/// whose tokens are taken for independent.
///
/// # Errors
/// When the text has no word that the model knows.
pub fn information(model: &Checkpoint, corpus: &Corpus) -> Result<HashMap<String, Vec<f64>>> {
    let entries = model.parameters.entries();
    // Rows of words have their frequencies instead, and most of the numbers.
    let is_measured = |entry: &&Entry| !matches!(&*entry.name, "embedding" | "softmax");
    let measured: Vec<&Entry> = entries.iter().filter(is_measured).collect();
    let width = |entry: &Entry| if entry.vector { 1 } else { entry.columns };
    let zeros = |entry: &&Entry| vec![0.0; entry.range.len() / width(entry)];
    let mut sums: Vec<Vec<f64>> = measured.iter().map(zeros).collect();
    let mut windows = 0usize;
    gradients(model, corpus, |gradient| {
        windows += 1;
        for (entry, sums) in measured.iter().zip(&mut sums) {
            let rows = gradient.data[entry.range.clone()].chunks_exact(width(entry));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
            }
        }
    })?;
    let own = measured.iter().zip(sums).map(|(entry, sums)| {
        let share = TOKENS_OF_A_WINDOW as f64 / (width(entry) * windows.max(1)) as f64;
        (entry.name.clone(), sums.into_iter().map(|sum| share * sum).collect())
    });
    Ok(own.collect())
}

/// How often each word comes, as a share of the text. One that never came is as likely as one that came half a time.
pub fn frequencies(corpus: &Corpus, types: usize) -> Vec<f64> {
    let mut counts = vec![0u64; types];
    corpus.train.ids.iter().for_each(|&id| counts[id as usize] += 1);
    let total = corpus.train.ids.len().max(1) as f64;
    counts.into_iter().map(|count| (count as f64).max(0.5) / total).collect()
}
