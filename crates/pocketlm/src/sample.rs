//! Drawing tokens at random: temperature, top-k, top-p.

use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::random::Random;
use crate::session::Session;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logits are divided by this: below 1 prefers the likely; below 10⁻⁶ always takes the likeliest.
    pub temperature: f64,
    /// Only the `top_k` likeliest tokens are drawn; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together have at least this probability are drawn (Holtzman et
    /// al. 2020, section 3.1, after temperature and top-k); 1 for all.
    pub top_p: f64,
    /// Whether `<unk>` may be drawn; `<s>` and `</s>` never are.
    pub unknown: bool,
}

impl Default for Sampling {
    /// The model's own distribution without `<unk>`, `<s>` and `</s>`.
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, unknown: false }
    }
}

/// Draws tokens; owns the buffers for it, so that drawing does not allocate.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    /// Log-probabilities, then weights, of all tokens.
    weights: Vec<f32>,
    order: Vec<u32>,
    /// Ids that are never drawn.
    excluded: Vec<u32>,
}

impl Sampler {
    /// A sampler for `model`.
    ///
    /// # Errors
    /// [`Error::Sampling`] if the temperature is negative or not finite, or `top_p` not above 0 and at most 1.
    pub fn new(model: &Model, sampling: Sampling) -> Result<Self> {
        if !(0.0..=1e6).contains(&sampling.temperature) {
            return Err(Error::Sampling { problem: "the temperature must be between 0 and 1e6" });
        }
        if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
            return Err(Error::Sampling { problem: "top_p must be above 0 and at most 1" });
        }
        let vocabulary = model.vocabulary();
        let types = vocabulary.len();
        let is_drawn = |id: &u32| sampling.unknown && Some(*id) == vocabulary.unk();
        let excluded: Vec<u32> = vocabulary.marks().filter(|id| !is_drawn(id)).collect();
        Ok(Self { sampling, weights: vec![0.0; types], order: Vec::with_capacity(types), excluded })
    }

    /// Draws from `weights`, which hold log-probabilities.
    fn draw(&mut self, random: &mut Random) -> u32 {
        let weights = &mut self.weights;
        if self.excluded.len() < weights.len() {
            self.excluded.iter().for_each(|&id| weights[id as usize] = f32::NEG_INFINITY);
        }
        let best = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let likeliest = weights.iter().position(|&weight| weight == best).unwrap_or(0) as u32;
        if self.sampling.temperature < 1e-6 {
            return likeliest;
        }
        let scale = 1.0 / self.sampling.temperature;
        for weight in &mut *weights {
            *weight = (f64::from(*weight - best) * scale) as f32;
        }
        pocketlm_kernels::activation::exp(weights);
        self.restrict();
        let wanted = random.unit() * total(&self.order, &self.weights);
        let at = passing(&self.order, &self.weights, wanted);
        self.order.get(at).copied().unwrap_or(likeliest)
    }

    /// Leaves in `order` the tokens that `top_k` and `top_p` allow.
    fn restrict(&mut self) {
        let Self { sampling: Sampling { top_k, top_p, .. }, ref weights, ref mut order, .. } =
            *self;
        let weight = |id: &u32| weights[*id as usize];
        let better = |a: &u32, b: &u32| weight(b).total_cmp(&weight(a)).then(a.cmp(b));
        order.clear();
        order.extend(0..weights.len() as u32);
        if top_k > 0 && top_k < order.len() {
            order.select_nth_unstable_by(top_k - 1, better);
            order.truncate(top_k);
        }
        if order.len() < weights.len() || top_p < 1.0 {
            order.sort_unstable_by(better);
        }
        if top_p < 1.0 {
            let end = passing(order, weights, top_p * total(order, weights));
            order.truncate(end + 1);
        }
    }
}

/// The weights of the tokens `order` added up.
fn total(order: &[u32], weights: &[f32]) -> f64 {
    order.iter().map(|&id| f64::from(weights[id as usize])).sum()
}

/// The place in `order` at which the running sum of weights first passes `wanted`.
fn passing(order: &[u32], weights: &[f32], wanted: f64) -> usize {
    let mut sum = 0.0;
    let place = order.iter().position(|&id| {
        sum += f64::from(weights[id as usize]);
        sum > wanted
    });
    place.unwrap_or(order.len().saturating_sub(1))
}

impl<M: Borrow<Model>> Session<M> {
    /// Draws the next token; feed it to go on. `sampler` must have been made for this model.
    ///
    /// # Errors
    /// [`Error::Length`] if `sampler` was made for a model with another vocabulary; [`Error::NotFinite`] if the
    /// model's numbers overflow.
    pub fn sample(&mut self, sampler: &mut Sampler, random: &mut Random) -> Result<u32> {
        self.log_probabilities(&mut sampler.weights)?;
        Ok(sampler.draw(random))
    }
}
