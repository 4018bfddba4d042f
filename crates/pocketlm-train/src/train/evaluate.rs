//! Perplexity by the protocol that every figure of this project follows.
//!
//! Every token of the split counts, one `<eos>` a line among them; the state starts at zero and is carried
//! through the whole split; the first token is predicted from `<eos>`; one pass, one stream.

use pocketlm::Recall;
use serde::Serialize;

use crate::corpus::{Split, Streams};
use crate::cuda::Twin;
use crate::error::Result;
use crate::linear::Parameters;
use crate::network::Network;
use crate::network::softmax::Prediction;

/// Steps run at a time; a matter of speed, not of the result.
pub(crate) const STEPS: usize = 256;

/// How well a model predicts a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Tokens predicted.
    pub tokens: u64,
    /// Mean negative log-likelihood of a token in nats.
    pub nll: f64,
    /// `exp(nll)`.
    pub perplexity: f64,
    /// `nll / ln 2`.
    pub bits_per_token: f64,
    /// Total negative log-likelihood in bits over the bytes of the raw text.
    pub bits_per_byte: f64,
    /// Share of tokens that the model held likeliest of all types, as [`Recall`] has it; NaN (`null` in JSON)
    /// where no ranks were counted.
    pub recall_at_1: f64,
    /// Share of tokens among the three likeliest.
    pub recall_at_3: f64,
    /// Tokens that the vocabulary lacks.
    pub oov: u64,
}

impl Evaluation {
    /// From the total negative log-likelihood in nats of a split, and the ranks of its tokens.
    pub fn new(total: f64, recall: Recall, split: &Split) -> Self {
        let tokens = split.ids.len() as u64;
        let nll = total / tokens as f64;
        let bits = total / std::f64::consts::LN_2;
        Self {
            tokens,
            nll,
            perplexity: nll.exp(),
            bits_per_token: bits / tokens as f64,
            bits_per_byte: bits / split.bytes as f64,
            recall_at_1: recall.at(1),
            recall_at_3: recall.at(3),
            oov: split.oov,
        }
    }
}

/// [`evaluate`] on another device, where there is one.
///
/// # Errors
/// When the split is empty or the device fails.
pub fn evaluate_on(
    twin: Option<&mut Twin>,
    network: &Network,
    weights: &Parameters,
    split: &Split,
    eos: u32,
) -> Result<Evaluation> {
    match twin {
        Some(twin) => twin.evaluate(weights, split, eos),
        None => evaluate(network, weights, split, eos),
    }
}

/// Evaluates a network on a split; `eos` is the id of `<eos>`.
///
/// # Errors
/// When the split is empty.
pub fn evaluate(
    network: &Network,
    weights: &Parameters,
    split: &Split,
    eos: u32,
) -> Result<Evaluation> {
    let streams = Streams::new(&split.ids, eos, 1)?;
    let mut state = network.zero_state(1);
    let output = network.pack_softmax(weights);
    // The layers run a window ahead of the softmax: the one needs step after step, the other fills the threads.
    let (mut ahead, mut behind) = (network.window(STEPS, 1), network.window(STEPS, 1));
    let mut targets = Vec::new();
    let (mut total, mut recall) = (0.0, Recall::default());
    let mut count = |predictions: Vec<Prediction>| {
        total += predictions.iter().map(|found| f64::from(found.loss)).sum::<f64>();
        predictions.iter().for_each(|found| recall.add(found.rank));
    };
    for window in streams.windows(STEPS) {
        if window.steps != ahead.steps {
            ahead = network.window(window.steps, 1);
        }
        let forward = || network.forward(weights, &window.inputs, &mut state, &mut ahead, None);
        let predict = || network.predictions(weights, &output, &targets, &behind);
        let (predictions, ()) = rayon::join(predict, forward);
        count(predictions);
        std::mem::swap(&mut ahead, &mut behind);
        targets = window.targets;
    }
    count(network.predictions(weights, &output, &targets, &behind));
    Ok(Evaluation::new(total, recall, split))
}
