//! One stream of tokens through a model, with every buffer that it takes: what a session drives.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::softmax::LogSumExp;
use pocketlm_kernels::topk::Candidate;

use crate::cell::Layer;
use crate::error::{Error, Result};
use crate::mixture::Blend;
use crate::model::{Kind, Model};
use crate::network::Network;
use crate::ngram::{Ngram, Walk};
use crate::output::Output;
use crate::recall::Ranking;
use crate::recurrent::Recurrent;
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
    engine: Engine,
    /// Whether `engine` has taken in the present state.
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

/// What goes from a state to probabilities, of the model's kind.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a session has one, which a box would only put further away"
)]
enum Engine {
    Recurrent(Network, Output),
    Ngram(Walk),
    Mixture(Blend),
}

/// Why an engine and a model are always of one kind.
const MISMATCH: &str = "a stream runs the model that it was made for";

impl Stream {
    /// A stream that has been fed the first `<eos>`.
    pub(crate) fn new(model: &Model) -> Self {
        let zero = State::zero(model);
        let vocabulary = model.vocabulary();
        let mut stream = Self {
            start: zero.clone(),
            saved: zero.clone(),
            state: zero,
            engine: match &model.kind {
                Kind::Recurrent(model) => {
                    Engine::Recurrent(Network::new(model, 1, 1), Output::new(model, 1))
                }
                Kind::Ngram(model) => Engine::Ngram(Walk::new(model)),
                Kind::Mixture(model) => Engine::Mixture(Blend::new(model)),
            },
            is_loaded: false,
            normaliser: None,
            hidden: [vocabulary.eos()]
                .into_iter()
                .chain(vocabulary.marks())
                .chain(vocabulary.silent())
                .collect(),
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
        match (&mut self.engine, &model.kind) {
            (Engine::Recurrent(network, _), Kind::Recurrent(model)) => {
                network.run(model, &[token], 1, self.state.values_mut());
                self.forget();
            }
            (_, Kind::Ngram(model)) => {
                self.step(model, token);
            }
            (_, Kind::Mixture(model)) => {
                let (blend, state) = self.blend();
                blend.feed(model, token, state);
            }
            _ => unreachable!("{MISMATCH}"),
        }
    }

    /// Feeds the tokens of a text; returns how many of them were fed as `<unk>`.
    pub(crate) fn feed_text(&mut self, model: &Model, text: &str) -> Result<u64> {
        let mut unknown = 0;
        for token in model.vocabulary().tokens(text) {
            unknown += u64::from(token.id.is_none());
            self.feed(model, model.vocabulary().resolve(token)?);
        }
        Ok(unknown)
    }

    /// The log-probability in nats of a token that the vocabulary has.
    pub(crate) fn log_probability(&mut self, model: &Model, token: u32) -> Result<f64> {
        let value = match &model.kind {
            Kind::Ngram(ngram) => self.walk(ngram).log_probability(ngram, token),
            Kind::Mixture(mixture) => self.blend().0.log_probability(mixture, token)?,
            Kind::Recurrent(_) => {
                let normaliser = self.normaliser(model);
                let at = token as usize;
                let mut logit = f32::NAN;
                self.logits(model, at..at + 1, |first, block| logit = block[at - first]);
                f64::from(logit) - normaliser
            }
        };
        self.finite(model, value)
    }

    /// Feeds a token that the vocabulary has; returns its log-probability in nats before that.
    pub(crate) fn advance(&mut self, model: &Model, token: u32) -> Result<f64> {
        if let Kind::Ngram(ngram) = &model.kind {
            let value = self.step(ngram, token);
            return self.finite(model, value);
        }
        if let Kind::Mixture(mixture) = &model.kind {
            let (blend, state) = self.blend();
            let value = blend.advance(mixture, token, state)?;
            return self.finite(model, value);
        }
        let log_probability = self.log_probability(model, token)?;
        self.feed(model, token);
        Ok(log_probability)
    }

    /// The same for an n-gram model, whatever number it is.
    fn step(&mut self, model: &Ngram, token: u32) -> f64 {
        let log_probability = self.walk(model).advance(model, token);
        let Self { engine: Engine::Ngram(walk), state, .. } = self else {
            unreachable!("{MISMATCH}")
        };
        walk.save(token, state.values_mut());
        log_probability
    }

    /// Writes the log-probabilities of all tokens into `out` `[types]`.
    pub(crate) fn log_probabilities(&mut self, model: &Model, out: &mut [f32]) -> Result<()> {
        match &model.kind {
            Kind::Ngram(ngram) => self.walk(ngram).fill(ngram, 0, out),
            Kind::Mixture(mixture) => {
                out.copy_from_slice(self.blend().0.block(mixture, 0..out.len()));
            }
            Kind::Recurrent(_) => {
                let mut sum = LogSumExp::new();
                self.logits(model, 0..out.len(), |first, block| {
                    sum.push(block);
                    out[first..][..block.len()].copy_from_slice(block);
                });
                let normaliser = *self.normaliser.insert(sum.value());
                out.iter_mut().for_each(|logit| *logit = (f64::from(*logit) - normaliser) as f32);
            }
        }
        let is_finite = out.iter().fold(true, |all, value| all & value.is_finite());
        if is_finite { Ok(()) } else { Err(self.overflow(model)) }
    }

    /// `value`, which the present state gave, if it is a finite number. The log-sum-exp of logits is none if one of
    /// them is infinite, not a number or above 2²⁰, so nothing but this one number need be looked at.
    pub(crate) fn finite(&self, model: &Model, value: f64) -> Result<f64> {
        if value.is_finite() { Ok(value) } else { Err(self.overflow(model)) }
    }

    /// Says what overflows: the first layer whose state is not finite, or else what comes after the layers.
    #[cold]
    pub(crate) fn overflow(&self, model: &Model) -> Error {
        let Some(recurrent) = model.recurrent() else {
            let what = match &model.kind {
                Kind::Mixture(_) => "a log-probability of one of its parts",
                _ => "a log-probability of its n-grams",
            };
            return Error::NotFinite { what: String::from(what) };
        };
        let mut rest = self.state.values();
        let is_fault = |layer: &Layer| {
            let own = rest.split_off(..layer.state()).unwrap_or_default();
            own.iter().any(|value| !value.is_finite())
        };
        let layer = recurrent.layers.iter().position(is_fault);
        let what = layer.map(|k| format!("the state of layer {k}"));
        Error::NotFinite { what: what.unwrap_or_else(|| String::from("the output layer")) }
    }

    /// ln of the sum of exp of all logits, computed once a state. The "logits" of an n-gram model and of a mixture are
    /// log-probabilities already.
    fn normaliser(&mut self, model: &Model) -> f64 {
        if let Some(normaliser) = self.normaliser {
            return normaliser;
        }
        let mut sum = LogSumExp::new();
        self.logits(model, 0..model.vocabulary().len(), |_, block| sum.push(block));
        *self.normaliser.insert(sum.value())
    }

    /// Keeps the log-sum-exp of all of the present state's logits, found on the way, and returns what to take
    /// off each of them.
    pub(crate) fn set_normaliser(&mut self, sum: f64) -> f64 {
        match self.engine {
            Engine::Recurrent(..) => *self.normaliser.insert(sum),
            Engine::Ngram(_) | Engine::Mixture(_) => 0.0,
        }
    }

    /// Calls `visit` with blocks of logits: see [`Output::blocks`].
    pub(crate) fn logits(
        &mut self,
        model: &Model,
        rows: Range<usize>,
        mut visit: impl FnMut(usize, &mut [f32]),
    ) {
        match (&mut self.engine, &model.kind) {
            (Engine::Recurrent(_, output), Kind::Recurrent(model)) => {
                if !self.is_loaded {
                    output.load(model, top(model, self.state.values()));
                    self.is_loaded = true;
                }
                output.blocks(model, rows, visit);
            }
            (_, Kind::Ngram(model)) => {
                let block = self.walk(model).block(model, rows.clone());
                visit(rows.start, block);
            }
            (_, Kind::Mixture(model)) => {
                let block = self.blend().0.block(model, rows.clone());
                visit(rows.start, block);
            }
            _ => unreachable!("{MISMATCH}"),
        }
    }

    /// The walk through an n-gram model, at the present state.
    fn walk(&mut self, model: &Ngram) -> &mut Walk {
        let Engine::Ngram(walk) = &mut self.engine else { unreachable!("{MISMATCH}") };
        if !self.is_loaded {
            walk.load(model, self.state.values());
            self.is_loaded = true;
        }
        walk
    }

    /// The streams through the parts of a mixture, at the present state, and where that is kept.
    pub(crate) fn blend(&mut self) -> (&mut Blend, &mut [f32]) {
        let Engine::Mixture(blend) = &mut self.engine else { unreachable!("{MISMATCH}") };
        if !self.is_loaded {
            blend.load(self.state.values());
            self.is_loaded = true;
        }
        (blend, self.state.values_mut())
    }

    /// How many other tokens are at least as likely to come next as `token`, which the vocabulary has.
    pub(crate) fn rank(&mut self, model: &Model, token: u32) -> usize {
        let mut ranking = Ranking::default();
        let mut own = f32::NAN;
        self.logits(model, 0..model.vocabulary().len(), |first, block| {
            ranking.push(block);
            own = block.get((token as usize).wrapping_sub(first)).copied().unwrap_or(own);
        });
        ranking.rank(own)
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

/// What the last layer gave in a state, whose numbers are `state`.
pub(crate) fn top<'s>(model: &Recurrent, state: &'s [f32]) -> &'s [f32] {
    let last = model.layers.last().map_or(0, Layer::state);
    &state[model.state_len() - last..][..model.top()]
}
