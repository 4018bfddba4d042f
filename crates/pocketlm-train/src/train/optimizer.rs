//! Update rules: gradient-norm clipping, SGD, Adam, AdamW.

use rayon::prelude::*;

use crate::linear::Parameters;
use crate::settings::{OptimizerKind, TrainConfig};

/// Adam's guard against division by zero.
pub(crate) const EPSILON: f64 = 1e-8;
/// Numbers handled by one thread at a time; fixed, so that sums do not depend on the threads.
const CHUNK: usize = 1 << 16;

/// An update rule and its memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    kind: OptimizerKind,
    weight_decay: f64,
    betas: [f64; 2],
    /// Updates made so far.
    pub updates: u64,
    /// First and second moments, for Adam.
    pub moments: Option<(Vec<f32>, Vec<f32>)>,
}

impl Optimizer {
    /// The rule that `config` names, for `parameters`.
    pub fn new(config: &TrainConfig, parameters: &Parameters) -> Self {
        let zeros = || vec![0.0; parameters.data.len()];
        let moments = (config.optimizer != OptimizerKind::Sgd).then(|| (zeros(), zeros()));
        let (kind, weight_decay, betas) = (config.optimizer, config.weight_decay, config.betas);
        Self { kind, weight_decay, betas, updates: 0, moments }
    }

    /// Changes `parameters` by `gradient` times `scale` (from clipping) at learning rate `lr`.
    pub fn update(
        &mut self,
        parameters: &mut Parameters,
        gradient: &Parameters,
        scale: f64,
        lr: f64,
    ) {
        let rule = self.rule(scale, lr);
        match (&rule, &mut self.moments) {
            (Rule::Adam(rule), Some(moments)) => {
                rule.apply(&mut parameters.data, &gradient.data, moments);
            }
            (Rule::Sgd { shrink, step }, _) => {
                sgd(&mut parameters.data, &gradient.data, *shrink, *step);
            }
            (Rule::Adam(_), None) => unreachable!("Adam has moments"),
        }
    }

    /// The next update, which counts as made.
    pub(crate) fn rule(&mut self, scale: f64, lr: f64) -> Rule {
        self.updates += 1;
        let decay = self.weight_decay;
        let adam = || Adam::at(self.betas, self.updates, lr, scale);
        match self.kind {
            OptimizerKind::Sgd => {
                Rule::Sgd { shrink: (1.0 - lr * decay) as f32, step: (lr * scale) as f32 }
            }
            OptimizerKind::Adam => Rule::Adam(Adam { l2: decay as f32, ..adam() }),
            OptimizerKind::AdamW => Rule::Adam(Adam { keep: (1.0 - lr * decay) as f32, ..adam() }),
        }
    }
}

/// One update, with its constants.
pub(crate) enum Rule {
    /// `p = shrink p - step g`
    Sgd { shrink: f32, step: f32 },
    /// Of either kind.
    Adam(Adam),
}

fn sgd(parameters: &mut [f32], gradient: &[f32], shrink: f32, step: f32) {
    let chunks = parameters.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|(parameters, gradient)| {
        for (p, g) in parameters.iter_mut().zip(gradient) {
            *p = shrink * *p - step * g;
        }
    });
}

/// The constants of one Adam update.
pub(crate) struct Adam {
    pub(crate) betas: [f32; 2],
    pub(crate) rests: [f32; 2],
    pub(crate) scale: f32,
    pub(crate) l2: f32,
    pub(crate) keep: f32,
    pub(crate) step: f32,
    pub(crate) root_correction: f32,
}

impl Adam {
    fn at(betas: [f64; 2], update: u64, lr: f64, scale: f64) -> Self {
        let [first, second] = betas.map(|beta| 1.0 - beta.powf(update as f64));
        Self {
            betas: betas.map(|beta| beta as f32),
            rests: betas.map(|beta| (1.0 - beta) as f32),
            scale: scale as f32,
            l2: 0.0,
            keep: 1.0,
            step: (lr / first) as f32,
            root_correction: (1.0 / second.sqrt()) as f32,
        }
    }

    fn apply(&self, parameters: &mut [f32], gradient: &[f32], moments: &mut (Vec<f32>, Vec<f32>)) {
        let first = moments.0.par_chunks_mut(CHUNK);
        let second = moments.1.par_chunks_mut(CHUNK);
        let parameters = parameters.par_chunks_mut(CHUNK);
        let chunks = parameters.zip(gradient.par_chunks(CHUNK)).zip(first.zip(second));
        chunks.for_each(|((parameters, gradient), (first, second))| {
            let moments = first.iter_mut().zip(second);
            for ((p, g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
                self.element(p, *g, m, v);
            }
        });
    }

    #[inline(always)]
    fn element(&self, p: &mut f32, g: f32, m: &mut f32, v: &mut f32) {
        let ([beta1, beta2], [rest1, rest2]) = (self.betas, self.rests);
        let g = self.scale * g + self.l2 * *p;
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        let root = v.sqrt() * self.root_correction + EPSILON as f32;
        *p = self.keep * *p - self.step * *m / root;
    }
}

/// Euclidean norm of the gradient.
pub fn norm(gradient: &Parameters) -> f64 {
    let squares = gradient.data.par_chunks(CHUNK).map(sum_of_squares).collect::<Vec<f64>>();
    squares.iter().sum::<f64>().sqrt()
}

fn sum_of_squares(chunk: &[f32]) -> f64 {
    let mut lanes = [0.0f32; 32];
    let blocks = chunk.chunks_exact(32);
    let rest: f32 = blocks.remainder().iter().map(|x| x * x).sum();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            *lane += x * x;
        }
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + f64::from(rest)
}

/// The factor that brings a gradient of this norm down to `clip` (0: no clipping), as PyTorch's
/// `clip_grad_norm_` has it: `clip / (norm + 1e-6)` if below one.
pub fn clip_scale(norm: f64, clip: f64) -> f64 {
    if clip == 0.0 { 1.0 } else { (clip / (norm + 1e-6)).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Builder;

    #[test]
    fn norm_of_many_numbers() {
        let mut builder = Builder::default();
        builder.vector("x", 3 * CHUNK + 7);
        let mut p = builder.zeros();
        p.data.fill(2.0);
        let expected = (4.0 * p.data.len() as f64).sqrt();
        assert!((norm(&p) - expected).abs() < 1e-6 * expected);
    }

    #[test]
    fn clipping_only_shrinks() {
        assert_eq!(clip_scale(1.0, 5.0), 1.0);
        assert_eq!(clip_scale(1e9, 0.0), 1.0);
        assert!((clip_scale(10.0, 5.0) - 0.5).abs() < 1e-6);
    }
}
