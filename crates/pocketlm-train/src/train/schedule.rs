//! The learning rate over a training, and the lengths of its windows.

use rand::{Rng, RngExt};

use crate::settings::{Schedule, TrainConfig};

/// The learning rate of the next update.
///
/// `epoch` are the epochs that are done, `done` the share of the whole training, `updates` the updates made, `plateau`
/// what a plateau schedule has multiplied the rate by.
pub(super) fn learning_rate(
    train: &TrainConfig,
    epoch: usize,
    done: f64,
    updates: u64,
    plateau: f64,
) -> f64 {
    let warm = (updates + 1) as f64 / train.warmup.max(1) as f64;
    let share = match train.schedule {
        Schedule::Constant => 1.0,
        Schedule::Exponential { after, factor } => {
            factor.powi((epoch + 1).saturating_sub(after) as i32)
        }
        Schedule::Plateau { .. } => plateau,
        Schedule::Cosine => half_cosine(done),
        Schedule::Restarts { epochs, factor } => {
            let at = done * train.epochs as f64 / epochs as f64;
            factor.powi(at as i32) * half_cosine(at.fract())
        }
    };
    train.lr * warm.min(1.0) * share
}

/// Half a cosine from 1 to 0 as `done` goes from 0 to 1.
fn half_cosine(done: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// A window's length: `usual`, or half of it one time in twenty, and a normal deviation of 5 around that, at
/// least 5 (Merity et al. 2018, section 4.1).
pub(super) fn random_steps(usual: usize, random: &mut impl Rng) -> usize {
    let around = usual as f64 * if random.random::<f64>() < 0.95 { 1.0 } else { 0.5 };
    // Box & Muller 1958.
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    let deviation = radius * (std::f64::consts::TAU * random.random::<f64>()).cos();
    (around + 5.0 * deviation).max(5.0) as usize
}
