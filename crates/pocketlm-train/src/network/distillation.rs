//! The loss towards what teachers predict, and its gradient.
//!
//! Teachers give the probabilities `q` of a few types; all others are one class more, of probability `1 - sum q`. At
//! temperature `T` both sides are raised to `1/T` and normalised (Hinton, Vinyals & Dean 2015, equation 1). For logits
//! `z` and `p = softmax(z / T)` the loss is `T^2 KL(q || p)` over these classes, whose gradient is
//!
//! - `T (p_j - q_j)` for a type that is kept,
//! - `T p_j (1 - q_rest / p_rest)` for any other: teachers say how likely the others are together, not which.

use std::ops::Range;

/// Least probability that the network is taken to give to the types that are not kept.
const LEAST: f64 = 1e-6;

/// What teachers say of the tokens of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lesson {
    /// Types kept for each token.
    pub keep: usize,
    /// They, rising for each token, `[tokens, keep]`.
    pub ids: Vec<u32>,
    /// Their probabilities at the temperature, `[tokens, keep]`.
    pub probabilities: Vec<f32>,
    /// Share of the token itself in the loss.
    pub share: f32,
    /// The temperature `T`.
    pub temperature: f32,
}

impl Lesson {
    /// That of some tokens.
    pub(super) fn part(&self, tokens: Range<usize>) -> Part<'_> {
        let places = tokens.start * self.keep..tokens.end * self.keep;
        Part {
            keep: self.keep,
            ids: &self.ids[places.clone()],
            probabilities: &self.probabilities[places],
            share: self.share,
            temperature: self.temperature,
        }
    }
}

/// A lesson about tokens whose logits are held at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    keep: usize,
    ids: &'a [u32],
    probabilities: &'a [f32],
    pub(super) share: f32,
    temperature: f32,
}

/// What the gradient of a lesson takes, once the sums of the logits are known.
#[derive(Default)]
pub(super) struct Corrections {
    /// For each token what multiplies `softmax(z / T)` of all types.
    pub(super) factors: Vec<f32>,
    /// For each token what is added for the types that are kept, `[tokens, keep]`.
    added: Vec<f32>,
}

impl Part<'_> {
    /// Whether both sides are at another temperature than the softmax itself.
    pub(super) fn is_tempered(&self) -> bool {
        self.temperature != 1.0
    }

    /// `z / T` for logits `z`, in `room`.
    pub(super) fn tempered<'r>(&self, logits: &[f32], room: &'r mut Vec<f32>) -> &'r mut [f32] {
        let inverse = 1.0 / self.temperature;
        room.clear();
        room.extend(logits.iter().map(|z| z * inverse));
        room
    }

    /// Finds the corrections of gradients that are to be multiplied by `scale`; `logit(token, type)` is `z`, `totals`
    /// the log-sum-exp of each token's `z / T`.
    pub(super) fn correct(
        &self,
        scale: f32,
        totals: impl Iterator<Item = f64>,
        logit: impl Fn(usize, u32) -> f32,
        room: &mut Corrections,
    ) {
        let weight = f64::from(scale * (1.0 - self.share) * self.temperature);
        let inverse = 1.0 / f64::from(self.temperature);
        room.factors.clear();
        room.added.clear();
        let kept = self.ids.chunks(self.keep).zip(self.probabilities.chunks(self.keep));
        let mut own = Vec::with_capacity(self.keep);
        for (token, ((ids, taught), total)) in kept.zip(totals).enumerate() {
            own.clear();
            own.extend(ids.iter().map(|&id| (f64::from(logit(token, id)) * inverse - total).exp()));
            let rest = |all: f64| 1.0 - all;
            let taught_rest = rest(taught.iter().map(|&q| f64::from(q)).sum()).max(0.0);
            let ratio = taught_rest / rest(own.iter().sum()).max(LEAST);
            room.factors.push((weight * (1.0 - ratio)) as f32);
            let added = own.iter().zip(taught).map(|(p, &q)| weight * (ratio * p - f64::from(q)));
            room.added.extend(added.map(|x| x as f32));
        }
    }

    /// Adds the corrections of a token to its gradient `d` of the types `words`.
    pub(super) fn add(
        &self,
        room: &Corrections,
        token: usize,
        words: &Range<usize>,
        d: &mut [f32],
    ) {
        let places = token * self.keep..(token + 1) * self.keep;
        let (ids, added) = (&self.ids[places.clone()], &room.added[places]);
        let first = ids.partition_point(|&id| (id as usize) < words.start);
        for (&id, added) in ids.iter().zip(added).skip(first) {
            if id as usize >= words.end {
                break;
            }
            d[id as usize - words.start] += added;
        }
    }
}

/// The probabilities `q` of some of `types` types at temperature `temperature`: each and the mean of all others are
/// raised to `1 / temperature`, and the sum of all is one.
pub(crate) fn temper(q: &mut [f32], types: usize, temperature: f64) {
    if temperature == 1.0 {
        return;
    }
    let power = 1.0 / temperature;
    let others = types.saturating_sub(q.len()) as f64;
    let rest = (1.0 - q.iter().map(|&q| f64::from(q)).sum::<f64>()).max(0.0);
    let rest = if others > 0.0 { others * (rest / others).powf(power) } else { 0.0 };
    let raised: Vec<f64> = q.iter().map(|&q| f64::from(q).powf(power)).collect();
    let sum = rest + raised.iter().sum::<f64>();
    q.iter_mut().zip(raised).for_each(|(q, raised)| *q = (raised / sum) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_types_kept_are_tempered_as_a_softmax_is() {
        let logits = [1.0f64, -0.5, 0.25, 2.0];
        let softmax = |t: f64| {
            let sum: f64 = logits.iter().map(|z| (z / t).exp()).sum();
            logits.map(|z| ((z / t).exp() / sum) as f32)
        };
        for temperature in [0.5, 1.0, 3.0] {
            let mut q = softmax(1.0);
            temper(&mut q, 4, temperature);
            let want = softmax(temperature);
            assert!(q.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{q:?} {want:?}");
        }
    }

    #[test]
    fn a_rest_of_equal_types_is_tempered_as_these_are() {
        let all = [0.4, 0.3, 0.1, 0.1, 0.1];
        let sum: f64 = all.iter().map(|q: &f64| q.sqrt()).sum();
        let mut q = [0.4, 0.3];
        temper(&mut q, 5, 2.0);
        for (got, want) in q.iter().zip(all) {
            assert!((f64::from(*got) - want.sqrt() / sum).abs() < 1e-6);
        }
    }
}
