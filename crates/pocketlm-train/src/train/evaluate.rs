//! Perplexity by the protocol that every figure of this project follows.
//!
//! Every token of the split counts, one `<eos>` a line among them; the state starts at zero and is carried
//! through the whole split; the first token is predicted from `<eos>`; one pass, one stream.
//!
//! So a model gains by the ends of lines, and by every word that it need not know. Beside the figures over all tokens
//! stands therefore the recall of words alone, and bits per byte include the spelling of unknown words.

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
    /// What it takes to send the text, over the bytes of the raw text: the total negative log-likelihood in bits and the
    /// [spelling](crate::corpus::Spelling) of the unknown words.
    pub bits_per_byte: f64,
    /// The same without the spelling: an unknown word is only said to be one.
    pub bits_per_byte_without_spelling: f64,
    /// Bits of the spelling of all unknown words.
    pub spelling_bits: f64,
    /// Unknown words that the text has as `<unk>`: they cannot be spelt, so that bits per byte compare only with those of
    /// other models of the same text.
    pub unspelt: u64,
    /// Share of tokens that the model held likeliest of all types, as [`Recall`] has it; NaN (`null` in JSON)
    /// where no ranks were counted.
    pub recall_at_1: f64,
    /// Share of tokens among the three likeliest.
    pub recall_at_3: f64,
    /// Tokens that are [words](Split::is_word): known ones.
    pub words: u64,
    /// Share of these words that the model held likeliest of all types; NaN where there is none.
    pub word_recall_at_1: f64,
    /// Share of these words among the three likeliest.
    pub word_recall_at_3: f64,
    /// Tokens that the vocabulary lacks.
    pub oov: u64,
    /// Share of the unknown among all words, whether the text has them written out or as `<unk>`.
    pub unknown_share: f64,
}

/// What an evaluation adds up, token after token in the order of the split.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    nll: f64,
    tokens: Recall,
    words: Recall,
}

impl Sums {
    /// A total negative log-likelihood in nats of which no ranks were counted.
    pub fn without_ranks(nll: f64) -> Self {
        Self { nll, ..Self::default() }
    }

    /// Takes in a token of `split`: its negative log-likelihood in nats and its rank, as [`Recall`] has it.
    pub fn add(&mut self, split: &Split, token: u32, nll: f64, rank: usize) {
        self.nll += nll;
        self.tokens.add(rank);
        if split.is_word(token) {
            self.words.add(rank);
        }
    }
}

impl Evaluation {
    /// From what the tokens of a split came to.
    pub fn new(sums: &Sums, split: &Split) -> Self {
        let &Sums { nll: total, tokens: recall, words: word_recall } = sums;
        let count =
            |is: &dyn Fn(u32) -> bool| split.ids.iter().filter(|&&id| is(id)).count() as u64;
        let (words, unknown) = (count(&|id| split.is_word(id)), count(&|id| Some(id) == split.unk));
        let tokens = split.ids.len() as u64;
        let nll = total / tokens as f64;
        let bits = total / std::f64::consts::LN_2;
        Self {
            tokens,
            nll,
            perplexity: nll.exp(),
            bits_per_token: bits / tokens as f64,
            bits_per_byte: (bits + split.spelling_bits) / split.bytes as f64,
            bits_per_byte_without_spelling: bits / split.bytes as f64,
            spelling_bits: split.spelling_bits,
            unspelt: split.unspelt,
            recall_at_1: recall.at(1),
            recall_at_3: recall.at(3),
            words,
            word_recall_at_1: word_recall.at(1),
            word_recall_at_3: word_recall.at(3),
            oov: split.oov,
            unknown_share: unknown as f64 / (words + unknown) as f64,
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
    let mut sums = Sums::default();
    let mut count = |targets: &[u32], predictions: Vec<Prediction>| {
        for (&target, found) in targets.iter().zip(predictions) {
            sums.add(split, target, f64::from(found.loss), found.rank);
        }
    };
    for window in streams.windows(STEPS) {
        if window.steps != ahead.steps {
            ahead = network.window(window.steps, 1);
        }
        let forward = || network.forward(weights, &window.inputs, &mut state, &mut ahead, None);
        let predict = || network.predictions(weights, &output, &targets, &behind);
        let (predictions, ()) = rayon::join(predict, forward);
        count(&targets, predictions);
        std::mem::swap(&mut ahead, &mut behind);
        targets = window.targets;
    }
    count(&targets, network.predictions(weights, &output, &targets, &behind));
    Ok(Evaluation::new(&sums, split))
}
