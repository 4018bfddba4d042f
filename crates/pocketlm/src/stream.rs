//! One stream of tokens through a model, with every buffer that it takes: what a session drives.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::softmax::LogSumExp;
use pocketlm_kernels::topk::Candidate;

use crate::cell::Layer;
use crate::model::Model;
use crate::network::Network;
use crate::output::Output;
use crate::session::SUGGESTIONS;
use crate::state::State;

/// State and buffers of a session. All functions take the model that it was made for.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) state: State,
    /// The state after the first `<eos>`.
    start: State,
    /// A state put aside while a text is scored.
    saved: State,
    network: Network,
    output: Output,
    /// Whether `output` has taken in the present state.
    is_loaded: bool,
    /// The log-sum-exp of the present state's logits, once it is known.
    normaliser: Option<f64>,
    /// Ids that are never suggested, ascending.
    pub(crate) hidden: Vec<u32>,
    pub(crate) candidates: Vec<Candidate>,
    /// The suggested words one after another.
    pub(crate) text: Vec<u8>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
}

impl Stream {
    /// A stream that has been fed the first `<eos>`.
    pub(crate) fn new(model: &Model) -> Self {
        let zero = State::zero(model);
        let vocabulary = model.vocabulary();
        let mut stream = Self {
            start: zero.clone(),
            saved: zero.clone(),
            state: zero,
            network: Network::new(model, 1, 1),
            output: Output::new(model, 1),
            is_loaded: false,
            normaliser: None,
            hidden: [vocabulary.eos()].into_iter().chain(vocabulary.unk()).collect(),
            ends: Vec::with_capacity(SUGGESTIONS),
            candidates: vec![Candidate::default(); SUGGESTIONS],
            text: Vec::with_capacity(SUGGESTIONS * vocabulary.longest()),
        };
        stream.hidden.sort_unstable();
        stream.feed(model, vocabulary.eos());
        stream.start.clone_from(&stream.state);
        stream
    }

    /// Goes back to the beginning of a text.
    pub(crate) fn reset(&mut self) {
        self.state.values_mut().copy_from_slice(self.start.values());
        self.forget();
    }

    /// Feeds a token that the vocabulary has.
    pub(crate) fn feed(&mut self, model: &Model, token: u32) {
        self.network.run(model, &[token], 1, self.state.values_mut());
        self.forget();
    }

    /// The log-probability in nats of a token that the vocabulary has.
    pub(crate) fn log_probability(&mut self, model: &Model, token: u32) -> f64 {
        let normaliser = self.normaliser(model);
        let at = token as usize;
        let mut logit = f32::NAN;
        self.logits(model, at..at + 1, |first, block| logit = block[at - first]);
        f64::from(logit) - normaliser
    }

    /// Writes the log-probabilities of all tokens into `out` `[types]`.
    pub(crate) fn log_probabilities(&mut self, model: &Model, out: &mut [f32]) {
        let mut sum = LogSumExp::new();
        self.logits(model, 0..out.len(), |first, block| {
            sum.push(block);
            out[first..][..block.len()].copy_from_slice(block);
        });
        let normaliser = *self.normaliser.insert(sum.value());
        out.iter_mut().for_each(|logit| *logit = (f64::from(*logit) - normaliser) as f32);
    }

    /// ln of the sum of exp of all logits, computed once a state.
    pub(crate) fn normaliser(&mut self, model: &Model) -> f64 {
        if let Some(normaliser) = self.normaliser {
            return normaliser;
        }
        let mut sum = LogSumExp::new();
        self.logits(model, 0..model.vocabulary().len(), |_, block| sum.push(block));
        *self.normaliser.insert(sum.value())
    }

    /// Keeps the present state's normaliser, found on the way.
    pub(crate) fn set_normaliser(&mut self, normaliser: f64) {
        self.normaliser = Some(normaliser);
    }

    /// Calls `visit` with blocks of logits: see [`Output::blocks`].
    pub(crate) fn logits(
        &mut self,
        model: &Model,
        rows: Range<usize>,
        visit: impl FnMut(usize, &mut [f32]),
    ) {
        if !self.is_loaded {
            self.output.load(model, top(model, &self.state));
            self.is_loaded = true;
        }
        self.output.blocks(model, rows, visit);
    }

    /// Puts the present state aside.
    pub(crate) fn put_aside(&mut self) {
        self.saved.values_mut().copy_from_slice(self.state.values());
    }

    /// Takes the state back that was put aside.
    pub(crate) fn take_back(&mut self) {
        self.state.values_mut().copy_from_slice(self.saved.values());
        self.forget();
    }

    /// The state has changed: what was computed from it no longer holds.
    pub(crate) fn forget(&mut self) {
        self.is_loaded = false;
        self.normaliser = None;
    }
}

/// What the last layer gave in `state`.
pub(crate) fn top<'s>(model: &Model, state: &'s State) -> &'s [f32] {
    let last = model.layers.last().map_or(0, Layer::state);
    &state.values()[model.state_len() - last..][..model.top()]
}
