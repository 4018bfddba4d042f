//! Sparse variational dropout (Molchanov, Ashukha & Vetrov 2017, arXiv 1701.05369): each weight has a normal
//! distribution `N(θ, σ²)` instead of a value, and what is minimised is the expected loss plus the divergence of the
//! distributions from a prior. Weights that the text does not need come to have more variance than square mean,
//! `log α = log(σ² / θ²)` large, and are taken for zero.
//!
//! As in the recurrent networks of Chirkova, Lobacheva & Vetrov (2018, arXiv 1810.10927), `W = θ + σ ε` is drawn once for
//! all steps and streams of a batch.
//!
//! The priors are the log-uniform one (Molchanov et al., equation 14) and automatic relevance determination (Kodryan,
//! Grachev, Ignatov & Vetrov 2019, "Efficient Language Modeling with Automatic Relevance Determination in Recurrent Neural
//! Networks"): a normal prior for each weight whose variance is the best one, `θ² + σ²`, which leaves the divergence
//! `½ log(1 + θ² / σ²)`.

use pocketlm_kernels::activation;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::noise::Noise;
use super::structured::{LeafShape, Shape, Stochastic, Structured};
use crate::error::{Error, Result};

/// Numbers handled by one thread at a time.
const CHUNK: usize = 1 << 12;
/// Constants of Molchanov et al. 2017, equation 14.
const K: [f32; 3] = [0.63576, 1.87320, 1.48695];

/// What weights are without any text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prior {
    /// Automatic relevance determination: normal, with the variance that fits each weight best.
    #[default]
    Ard,
    /// Uniform in the logarithm.
    LogUniform,
}

/// Weights with a mean and a variance each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariationalDropout {
    /// What the divergence is from.
    pub prior: Prior,
    /// `log α` above which a weight is zero.
    pub threshold: f64,
    /// `log σ²` at the start.
    pub log_variance: f64,
    /// Epochs over which the divergence's weight rises linearly from 0 to its whole.
    pub warm_up: f64,
}

impl VariationalDropout {
    /// Whether a weight of this mean and log variance is kept.
    fn keeps(&self, mean: f32, log_variance: f32) -> bool {
        mean * mean >= (log_variance - self.threshold as f32).exp()
    }

    /// The divergence of one weight's distribution from the prior, in nats.
    pub fn divergence(&self, mean: f64, log_variance: f64) -> f64 {
        let ratio = mean * mean * (-log_variance).exp();
        let [k1, k2, k3] = K.map(f64::from);
        let half = 0.5 * ratio.ln_1p();
        match self.prior {
            Prior::Ard => half,
            Prior::LogUniform => k1 - k1 / (1.0 + (k3 * ratio.ln() - k2).exp()) + half,
        }
    }

    /// Adds `weight` times the divergence's gradient; `variances` are `σ²`.
    fn add(&self, weight: f32, leaves: [&[f32]; 2], variances: &[f32], d: [&mut [f32]; 2]) {
        let [means, log_variances] = leaves;
        let [d_means, d_log_variances] = d;
        let d = d_means.iter_mut().zip(d_log_variances);
        let numbers = means.iter().zip(log_variances).zip(variances);
        for ((d_mean, d_log_variance), ((&mean, &log_variance), variance)) in d.zip(numbers) {
            let share = mean / (mean * mean + variance).max(f32::MIN_POSITIVE);
            *d_mean += weight * share;
            *d_log_variance -= 0.5 * weight * share * mean;
            if self.prior == Prior::LogUniform && mean != 0.0 {
                let log_alpha = log_variance - 2.0 * mean.abs().ln();
                // The sigmoid's derivative, exact in its tails too.
                let tail = (-(K[1] + K[2] * log_alpha).abs()).exp();
                let slope = weight * K[0] * K[2] * tail / (1.0 + tail).powi(2);
                *d_mean += 2.0 * slope / mean;
                *d_log_variance -= slope;
            }
        }
    }
}

impl Structured for VariationalDropout {
    fn check(&self, _: Shape) -> Result<()> {
        for (field, value) in [("threshold", self.threshold), ("log_variance", self.log_variance)] {
            if !value.is_finite() {
                return Err(Error::config(field, format!("is {value}: give a finite number")));
            }
        }
        if !(self.warm_up >= 0.0 && self.warm_up.is_finite()) {
            let what = format!("is {}: give a finite number of epochs, 0 or more", self.warm_up);
            return Err(Error::config("warm_up", what));
        }
        Ok(())
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let Shape { rows, columns } = shape;
        let leaf = |suffix: &str| LeafShape { suffix: suffix.into(), rows, columns };
        vec![leaf(".weights"), leaf(".log_variances")]
    }

    /// The matrix as means, and the variance that all begin with.
    fn decompose(&self, dense: &[f32], _: Shape) -> Result<Vec<Vec<f32>>> {
        if dense.iter().any(|x| !x.is_finite()) {
            return Err(Error::config("the matrix", "holds numbers that are not finite"));
        }
        Ok(vec![dense.to_vec(), vec![self.log_variance as f32; dense.len()]])
    }

    fn terms(&self) -> usize {
        1
    }

    fn depth(&self, _: usize) -> usize {
        1
    }

    /// The means, without those that have too much variance.
    fn materialise(&self, leaves: &[&[f32]], _: Shape, out: &mut [f32]) {
        let numbers = leaves[0].par_iter().zip(leaves[1]);
        out.par_iter_mut().zip(numbers).for_each(|(out, (&mean, &log_variance))| {
            *out = if self.keeps(mean, log_variance) { mean } else { 0.0 };
        });
    }

    /// Of the means alone, as if all were kept.
    fn pull_back(&self, _: &[&[f32]], _: Shape, d_dense: &[f32], d_leaves: &mut [&mut [f32]]) {
        let [d_means, d_log_variances] = d_leaves else { return };
        d_means.copy_from_slice(d_dense);
        d_log_variances.fill(0.0);
    }

    fn stochastic(&self) -> Option<&dyn Stochastic> {
        Some(self)
    }
}

impl Stochastic for VariationalDropout {
    fn sample(&self, leaves: &[&[f32]], noise: &Noise, out: &mut [f32]) {
        let numbers = leaves[0].par_chunks(CHUNK).zip(leaves[1].par_chunks(CHUNK));
        let chunks = out.par_chunks_mut(CHUNK).zip(numbers).enumerate();
        chunks.for_each(|(at, (out, (means, log_variances)))| {
            noise.skip(at * CHUNK).fill(out);
            let mut room = [0.0; CHUNK];
            let deviations = &mut room[..out.len()];
            deviations.iter_mut().zip(log_variances).for_each(|(s, l)| *s = 0.5 * l);
            activation::exp(deviations);
            for ((out, mean), deviation) in out.iter_mut().zip(means).zip(deviations) {
                *out = mean + *deviation * *out;
            }
        });
    }

    /// `∂W/∂θ = 1`, and `∂W/∂log σ² = ½ σ ε`, where `σ ε` is what the sample differs from the mean by.
    fn pull_back_sample(
        &self,
        leaves: &[&[f32]],
        sample: &[f32],
        d_sample: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let [d_means, d_log_variances] = d_leaves else { return };
        d_means.copy_from_slice(d_sample);
        let numbers = sample.par_iter().zip(leaves[0]).zip(d_sample);
        d_log_variances.par_iter_mut().zip(numbers).for_each(|(d_log_variance, ((w, mean), d))| {
            *d_log_variance = 0.5 * (w - mean) * d;
        });
    }

    fn add_divergence_gradient(
        &self,
        leaves: &[&[f32]],
        weight: f64,
        epochs: f64,
        d_leaves: &mut [&mut [f32]],
    ) {
        let weight = weight * if epochs < self.warm_up { epochs / self.warm_up } else { 1.0 };
        let [d_means, d_log_variances] = d_leaves else { return };
        let numbers = leaves[0].par_chunks(CHUNK).zip(leaves[1].par_chunks(CHUNK));
        let d = d_means.par_chunks_mut(CHUNK).zip(d_log_variances.par_chunks_mut(CHUNK));
        d.zip(numbers).for_each(|((d_means, d_log_variances), (means, log_variances))| {
            let mut room = [0.0; CHUNK];
            let variances = &mut room[..means.len()];
            variances.copy_from_slice(log_variances);
            activation::exp(variances);
            let d = [d_means, d_log_variances];
            self.add(weight as f32, [means, log_variances], variances, d);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::testing::{dense, noise as numbers};
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    const SHAPE: Shape = Shape { rows: 90, columns: 101 };

    fn form(prior: Prior) -> VariationalDropout {
        VariationalDropout { prior, threshold: 3.0, log_variance: -6.0, warm_up: 2.0 }
    }

    fn noise(seed: u64) -> Noise {
        Noise::new(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The divergence of `N(mean, variance)` from `N(0, prior)`.
    fn between_normals(mean: f64, variance: f64, prior: f64) -> f64 {
        0.5 * ((prior / variance).ln() + (variance + mean * mean) / prior - 1.0)
    }

    proptest! {
        /// No normal prior of mean zero is nearer than the one that is taken, and that one is as near as is said.
        #[test]
        fn the_prior_of_automatic_relevance_is_the_best_one(
            mean in -2.0f64..2.0, log_variance in -9.0f64..2.0, other in 0.01f64..9.0,
        ) {
            let (ours, variance) = (form(Prior::Ard).divergence(mean, log_variance), log_variance.exp());
            let best = between_normals(mean, variance, mean * mean + variance);
            prop_assert!((ours - best).abs() < 1e-9);
            prop_assert!(between_normals(mean, variance, other) >= ours - 1e-9);
        }

        #[test]
        fn gradients_are_the_differences_of_the_divergence(
            mean in prop::sample::select(vec![-1.3f32, -0.2, -0.01, 0.004, 0.05, 0.7]),
            log_variance in -9.0f32..3.0, uniform: bool,
        ) {
            let form = form(if uniform { Prior::LogUniform } else { Prior::Ard });
            let (mut d_mean, mut d_log_variance) = ([0.5], [0.25]);
            form.add_divergence_gradient(
                &[&[mean], &[log_variance]], 3.0, 1.0, &mut [&mut d_mean, &mut d_log_variance],
            );
            let (mean, log_variance) = (f64::from(mean), f64::from(log_variance));
            let value = |mean, log_variance| form.divergence(mean, log_variance);
            let step = 1e-4 * mean.abs();
            let by_mean = (value(mean + step, log_variance) - value(mean - step, log_variance)) / (2.0 * step);
            let by_log = (value(mean, log_variance + 1e-4) - value(mean, log_variance - 1e-4)) / 2e-4;
            // Half of the warm-up is over.
            for (got, was, wanted) in [(d_mean[0], 0.5, by_mean), (d_log_variance[0], 0.25, by_log)] {
                let got = (f64::from(got) - was) / 1.5;
                prop_assert!((got - wanted).abs() < 1e-3 * (1e-3 + wanted.abs()) + 1e-6, "{got} {wanted}");
            }
        }

        #[test]
        fn what_is_kept_is_what_has_little_variance(mean in -1.0f32..1.0, log_variance in -9.0f32..3.0) {
            let log_alpha = log_variance - 2.0 * mean.abs().ln();
            prop_assume!((log_alpha - 3.0).abs() > 1e-3);
            let one = Shape { rows: 1, columns: 1 };
            let got = dense(&form(Prior::Ard), &[vec![mean], vec![log_variance]], one);
            prop_assert_eq!(got[0], if log_alpha < 3.0 { mean } else { 0.0 });
        }
    }

    /// `-KL = ½ log α - E log|z| + C` over `z` of `N(1, α)` (Molchanov et al., equation 11), by the trapezoid rule; the
    /// approximation is as good as the paper's figure 1 shows it.
    #[test]
    fn the_approximation_for_the_log_uniform_prior_is_near_the_integral() {
        let exact = |log_alpha: f64| {
            let (deviation, count) = ((0.5 * log_alpha).exp(), 200_000);
            let width = 20.0 / f64::from(count);
            let term = |k: u32| {
                let e = -10.0 + (f64::from(k) + 0.5) * width;
                let density = (-0.5 * e * e).exp() / std::f64::consts::TAU.sqrt();
                density * (1.0 + deviation * e).abs().max(1e-12).ln() * width
            };
            (0..count).map(term).sum::<f64>() - 0.5 * log_alpha
        };
        let ours = |log_alpha: f64| form(Prior::LogUniform).divergence(1.0, log_alpha);
        let constant = ours(8.0) - exact(8.0);
        for log_alpha in [-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0] {
            let (got, wanted) = (ours(log_alpha), exact(log_alpha) + constant);
            assert!((got - wanted).abs() < 0.015, "{log_alpha}: {got} {wanted}");
        }
    }

    #[test]
    fn samples_have_the_mean_and_variance_of_the_leaves() {
        let count = 9090;
        let means = numbers(count, 3);
        let log_variances: Vec<f32> = numbers(count, 4).iter().map(|x| 2.0 * x - 3.0).collect();
        let (mut sums, mut squares) = (vec![0.0; count], vec![0.0; count]);
        let (draws, mut sample) = (400, vec![0.0; count]);
        for seed in 0..draws {
            form(Prior::Ard).sample(&[&means, &log_variances], &noise(seed), &mut sample);
            for at in 0..count {
                let z =
                    f64::from(sample[at] - means[at]) / f64::from(0.5 * log_variances[at]).exp();
                sums[at] += z;
                squares[at] += z * z;
            }
        }
        let draws = draws as f64;
        // The mean of a weight's draws has the deviation 1/20, that of their squares √2/20.
        let mean = |x: &[f64]| x.iter().sum::<f64>() / count as f64 / draws;
        assert!(mean(&sums).abs() < 0.002 && (mean(&squares) - 1.0).abs() < 0.003);
        assert!(sums.iter().all(|sum| (sum / draws).abs() < 0.3));
        assert!(squares.iter().all(|square| (square / draws - 1.0).abs() < 0.45));
    }

    /// `sum(d * sample)` as a function of the leaves, for the same noise, has the gradient that is pulled back.
    #[test]
    fn the_gradient_goes_through_the_sample() {
        let (form, count) = (form(Prior::Ard), SHAPE.rows * SHAPE.columns);
        let mut leaves = [numbers(count, 1), numbers(count, 2)];
        leaves[1].iter_mut().for_each(|l| *l -= 2.0);
        let (d, mut sample) = (numbers(count, 5), vec![0.0; count]);
        form.sample(&[&leaves[0], &leaves[1]], &noise(6), &mut sample);
        let (mut d_means, mut d_logs) = (vec![0.0; count], vec![0.0; count]);
        let d_leaves = &mut [&mut d_means[..], &mut d_logs[..]];
        form.pull_back_sample(&[&leaves[0], &leaves[1]], &sample, &d, d_leaves);
        assert_eq!(d_means, d);
        let at_moved = |by: f32| {
            let moved: Vec<f32> = leaves[1].iter().map(|l| l + by).collect();
            let mut sample = vec![0.0; count];
            form.sample(&[&leaves[0], &moved], &noise(6), &mut sample);
            sample
        };
        let (above, below) = (at_moved(1e-2), at_moved(-1e-2));
        for at in 0..count {
            let wanted = d[at] * (above[at] - below[at]) / 2e-2;
            assert!((d_logs[at] - wanted).abs() < 1e-4, "{at}: {} {wanted}", d_logs[at]);
        }
    }
}
