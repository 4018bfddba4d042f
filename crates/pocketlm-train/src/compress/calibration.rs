//! What the matrices of a model are multiplied with on training text: second moments of their inputs, and how
//! often each word comes.

use std::collections::HashMap;

use crate::checkpoint::Checkpoint;
use crate::corpus::{Corpus, Streams};
use crate::error::{Error, Result};
use crate::product::{View, Write, product};

/// Tokens of the training text that are read.
const TOKENS: usize = 60_000;
const BATCH: usize = 20;
const STEPS: usize = 50;

/// Statistics of a model's inputs.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// By matrix: `E[x xᵀ]`, `[columns, columns]`.
    moments: HashMap<String, Vec<f64>>,
    /// Square roots of the words' frequencies, a floor under them for those that did not come.
    frequencies: Vec<f32>,
}

impl Calibration {
    /// Runs the model over the start of the training text.
    ///
    /// # Errors
    /// When the text has no word that the model knows.
    pub fn measure(model: &Checkpoint, corpus: &Corpus) -> Result<Self> {
        check(corpus)?;
        let ids = &corpus.train.ids[..corpus.train.ids.len().min(TOKENS)];
        let batch = BATCH.min(ids.len());
        let streams = Streams::new(ids, corpus.encoder.vocabulary().eos(), batch)?;
        let mut state = model.network.zero_state(batch);
        let mut window = model.network.window(STEPS, batch);
        let mut sums: HashMap<String, Vec<f64>> = HashMap::new();
        let mut rows = 0;
        for piece in streams.windows(STEPS) {
            if piece.steps != window.steps {
                window = model.network.window(piece.steps, batch);
            }
            let network = &model.network;
            network.forward(&model.parameters, &piece.inputs, &mut state, &mut window, None);
            rows += piece.inputs.len();
            for (name, width, input) in network.matrix_inputs(&window) {
                add_moment(sums.entry(name).or_default(), input, width);
            }
        }
        let mean = |sum: Vec<f64>| sum.into_iter().map(|x| x / rows.max(1) as f64).collect();
        let moments = sums.into_iter().map(|(name, sum)| (name, mean(sum))).collect();
        Ok(Self { moments, frequencies: frequencies(&corpus.train.ids, model.config.vocabulary) })
    }

    /// The second moment of what a matrix is multiplied with; none for the embedding, whose input is one-hot.
    pub fn moment(&self, matrix: &str) -> Option<&[f64]> {
        self.moments.get(matrix).map(Vec::as_slice)
    }

    /// How much an error in each row of a matrix counts, where that differs: in the embedding.
    pub fn row_weights(&self, matrix: &str) -> Option<&[f32]> {
        (matrix == "embedding").then_some(&self.frequencies)
    }
}

/// Refuses text from which nothing can be learnt about the model.
///
/// # Errors
/// When the training text has no word that the model knows.
pub fn check(corpus: &Corpus) -> Result<()> {
    let text = &corpus.train;
    let lines = text.ids.iter().filter(|&&id| id == corpus.encoder.vocabulary().eos()).count();
    if text.oov as usize + lines < text.ids.len() {
        return Ok(());
    }
    let what = "has no word that the model knows: give text like that it was trained on";
    Err(Error::config("the calibration text", what))
}

fn add_moment(sum: &mut Vec<f64>, input: &[f32], width: usize) {
    let x = View::new(input, input.len() / width, width);
    let mut moment = vec![0.0; width * width];
    product(&mut moment, width, Write::Set, x.t(), x);
    sum.resize(moment.len(), 0.0);
    sum.iter_mut().zip(moment).for_each(|(sum, x)| *sum += f64::from(x));
}

fn frequencies(ids: &[u32], types: usize) -> Vec<f32> {
    let mut counts = vec![0u64; types];
    ids.iter().for_each(|&id| counts[id as usize] += 1);
    // A word that never came is as likely as one that came half a time.
    let root = |count: u64| ((count as f64).max(0.5) / ids.len().max(1) as f64).sqrt() as f32;
    counts.into_iter().map(root).collect()
}
