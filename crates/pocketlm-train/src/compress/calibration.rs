//! What the matrices of a model are multiplied with on training text: second moments of their inputs, and how
//! often each word comes.

use std::collections::HashMap;

use crate::checkpoint::Checkpoint;
use crate::corpus::{Corpus, Streams, Window as Piece};
use crate::error::Result;
use crate::linear::Parameters;
use crate::linear::product::{View, Write, product};
use crate::network::Window;
use crate::recipe::check_text;

/// Tokens of the training text that are read.
const TOKENS: usize = 60_000;
const BATCH: usize = 20;
const STEPS: usize = 50;
/// Of most windows: the last has what is left.
pub(super) const TOKENS_OF_A_WINDOW: usize = BATCH * STEPS;

/// Statistics of a model's inputs.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// By matrix: `E[x xᵀ]`, `[columns, columns]`.
    moments: HashMap<String, Vec<f64>>,
    /// Square roots of the words' frequencies, a floor under them for those that did not come.
    frequencies: Vec<f32>,
    /// By matrix: square roots of the information of its rows.
    information: HashMap<String, Vec<f32>>,
}

/// Runs the model over the start of the training text, window by window.
fn run(model: &Checkpoint, corpus: &Corpus, see: impl FnMut(&Piece, &mut Window)) -> Result<()> {
    run_with(model, &model.parameters, corpus, see)
}

/// The same with other weights.
pub(super) fn run_with(
    model: &Checkpoint,
    weights: &Parameters,
    corpus: &Corpus,
    mut see: impl FnMut(&Piece, &mut Window),
) -> Result<()> {
    check_text(corpus)?;
    let ids = &corpus.train.ids[..corpus.train.ids.len().min(TOKENS)];
    let batch = BATCH.min(ids.len());
    let streams = Streams::new(ids, corpus.encoder.vocabulary().eos(), batch)?;
    let mut state = model.network.zero_state(batch);
    let mut window = model.network.window(STEPS, batch);
    for piece in streams.windows(STEPS) {
        if piece.steps != window.steps {
            window = model.network.window(piece.steps, batch);
        }
        let network = &model.network;
        network.forward(weights, &piece.inputs, &mut state, &mut window, None);
        see(&piece, &mut window);
    }
    Ok(())
}

/// The gradient of the mean loss of a token in each window of the start of the training text.
///
/// # Errors
/// When the text has no word that the model knows.
pub fn gradients(
    model: &Checkpoint,
    corpus: &Corpus,
    mut see: impl FnMut(&Parameters),
) -> Result<()> {
    let mut gradient = model.parameters.zeros_like();
    run(model, corpus, |piece, window| {
        let (inputs, targets) = (&piece.inputs, &piece.targets);
        let (network, scale) = (&model.network, 1.0 / inputs.len() as f32);
        let weights = &model.parameters;
        network.loss_and_gradients(weights, &mut gradient, inputs, targets, window, scale);
        see(&gradient);
    })
}

/// Square roots of the mean over the windows of each row's squared gradient.
fn information(model: &Checkpoint, corpus: &Corpus) -> Result<HashMap<String, Vec<f32>>> {
    let matrices: Vec<_> =
        model.parameters.entries().iter().filter(|entry| !entry.vector).cloned().collect();
    let mut sums: Vec<Vec<f64>> = matrices.iter().map(|entry| vec![0.0; entry.rows]).collect();
    gradients(model, corpus, |gradient| {
        for (entry, sums) in matrices.iter().zip(&mut sums) {
            let rows = gradient.data[entry.range.clone()].chunks_exact(entry.columns);
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
            }
        }
    })?;
    let roots = |sums: Vec<f64>| {
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        // A row without a gradient in this text still counts a little.
        let floor = if mean > 0.0 { 1e-4 * mean } else { 1.0 };
        sums.iter().map(|&sum| sum.max(floor).sqrt() as f32).collect()
    };
    Ok(matrices.into_iter().zip(sums).map(|(entry, sums)| (entry.name, roots(sums))).collect())
}

impl Calibration {
    /// Runs the model over the start of the training text.
    ///
    /// # Errors
    /// When the text has no word that the model knows.
    pub fn measure(model: &Checkpoint, corpus: &Corpus) -> Result<Self> {
        let mut sums: HashMap<String, Vec<f64>> = HashMap::new();
        let mut rows = 0;
        run(model, corpus, |piece, window| {
            rows += piece.inputs.len();
            for (name, width, input) in model.network.matrix_inputs(window) {
                add_moment(sums.entry(name).or_default(), input, width);
            }
        })?;
        let mean = |sum: Vec<f64>| sum.into_iter().map(|x| x / rows.max(1) as f64).collect();
        let moments = sums.into_iter().map(|(name, sum)| (name, mean(sum))).collect();
        let frequencies = frequencies(&corpus.train.ids, model.config.vocabulary);
        Ok(Self { moments, frequencies, information: HashMap::new() })
    }

    /// The same, and what the loss says of the rows of the matrices.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn measure_with_information(model: &Checkpoint, corpus: &Corpus) -> Result<Self> {
        let information = information(model, corpus)?;
        Ok(Self { information, ..Self::measure(model, corpus)? })
    }

    /// How much an error in each row of a matrix counts for the loss: the square root of its Fisher information
    /// (Hsu et al. 2022, equation 6), where it was measured; for embedding and softmax, whose rows are words, of
    /// the words' frequencies.
    pub fn information(&self, matrix: &str) -> Option<&[f32]> {
        let words = ["embedding", "softmax"].contains(&matrix).then_some(&self.frequencies[..]);
        words.or_else(|| self.information.get(matrix).map(Vec::as_slice))
    }

    /// The second moment of what a matrix is multiplied with; none for the embedding, whose input is one-hot.
    pub fn moment(&self, matrix: &str) -> Option<&[f64]> {
        self.moments.get(matrix).map(Vec::as_slice)
    }

    /// Square roots of the words' frequencies.
    pub fn frequencies(&self) -> &[f32] {
        &self.frequencies
    }

    /// How much an error in each row of a matrix counts, where that differs: in the embedding.
    pub fn row_weights(&self, matrix: &str) -> Option<&[f32]> {
        (matrix == "embedding").then_some(&self.frequencies)
    }
}

pub(super) fn add_moment(sum: &mut Vec<f64>, input: &[f32], width: usize) {
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
