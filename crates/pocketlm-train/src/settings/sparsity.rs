//! Pruning in the course of a training, and trainings that are sparse all along.

use pocketlm::pack::Sparsity;
use serde::{Deserialize, Serialize};

use super::range::probability;
use crate::error::{Error, Result};

/// Which numbers compete with each other for being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those of one matrix: each keeps the same share.
    #[default]
    Matrix,
    /// Those of all chosen matrices.
    Global,
}

/// Pruning in the course of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gradual {
    /// As in the step `prune`.
    pub matrices: Vec<String>,
    /// Share of the numbers that are zero in the end.
    pub sparsity: f64,
    /// As in the step `prune`.
    #[serde(default)]
    pub scope: Scope,
    /// As in the step `prune`.
    #[serde(default = "unstructured")]
    pub pattern: Sparsity,
    /// Share of the training after which the last number falls.
    #[serde(default = "half")]
    pub until: f64,
    /// Updates between two prunings.
    #[serde(default = "hundred")]
    pub every: u64,
}

fn unstructured() -> Sparsity {
    Sparsity::Unstructured
}

fn half() -> f64 {
    0.5
}

fn hundred() -> u64 {
    100
}

impl Gradual {
    /// The share of zeros when the share `done` of the training is done: `s (1 - (1 - t)³)` for the share `t` of
    /// the pruning's time (Zhu & Gupta 2017, equation 1, from a dense start).
    pub fn sparsity_at(&self, done: f64) -> f64 {
        let t = (done / self.until).clamp(0.0, 1.0);
        self.sparsity * (1.0 - (1.0 - t).powi(3))
    }

    /// Checks its numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        check_pruning(self.sparsity, self.pattern)?;
        if !(self.until > 0.0 && self.until <= 1.0) {
            let what = format!("is {}: give a share of the training, above 0, up to 1", self.until);
            return Err(Error::config("until", what));
        }
        if self.every == 0 {
            return Err(Error::config("every", "is 0: give the updates between two prunings"));
        }
        Ok(())
    }
}

/// Checks a share of zeros and their pattern.
///
/// # Errors
/// [`Error::Config`] naming the field and the mend.
pub(crate) fn check_pruning(sparsity: f64, pattern: Sparsity) -> Result<()> {
    if !(0.0..1.0).contains(&sparsity) {
        let what = format!("is {sparsity}: give a share, at least 0 and below 1");
        return Err(Error::config("sparsity", what));
    }
    if pattern == Sparsity::None {
        return Err(Error::config("pattern", "is none: give unstructured or panels"));
    }
    Ok(())
}

/// Settings of the table `[train.regrowth]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regrowth {
    /// Leaves, or matrices for all their leaves; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Share of the numbers of each that are zero, from the first update to the last.
    pub sparsity: f64,
    /// Share of the kept numbers that is exchanged at first; it falls along half a cosine.
    #[serde(default = "half")]
    pub exchange: f64,
    /// Share of the training after which nothing is exchanged any more.
    #[serde(default = "four_fifths")]
    pub until: f64,
    /// Updates between two exchanges.
    #[serde(default = "often")]
    pub every: u64,
}

fn four_fifths() -> f64 {
    0.8
}

fn often() -> u64 {
    500
}

impl Regrowth {
    /// Checks its numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        probability("train.regrowth.sparsity", self.sparsity)?;
        probability("train.regrowth.exchange", self.exchange)?;
        if !(self.until > 0.0 && self.until <= 1.0) {
            let what = format!("is {}: give a share of the training, above 0, up to 1", self.until);
            return Err(Error::config("train.regrowth.until", what));
        }
        if self.every == 0 {
            let what = "is 0: give the updates between two exchanges";
            return Err(Error::config("train.regrowth.every", what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cubic_schedule_is_fast_first_and_ends_in_time() {
        let gradual = Gradual {
            matrices: vec!["*".into()],
            sparsity: 0.8,
            scope: Scope::Matrix,
            pattern: Sparsity::Unstructured,
            until: 0.5,
            every: 1,
        };
        assert_eq!(gradual.sparsity_at(0.0), 0.0);
        assert!((gradual.sparsity_at(0.25) - 0.7).abs() < 1e-9);
        assert_eq!(gradual.sparsity_at(0.5), 0.8);
        assert_eq!(gradual.sparsity_at(1.0), 0.8);
    }
}
