//! Sparse variational dropout and automatic relevance determination: training that finds out which weights the text
//! needs, see [`VariationalDropout`](Form); those that it does not need are zero afterwards.
//!
//! Rate and optimiser are the training's: the divergence of a weight is small against its share of the loss, so that plain
//! SGD hardly moves a variance; take Adam.

use pocketlm::pack::Sparsity;
use serde::{Deserialize, Serialize};

use super::declare::{Declare, must_be_free, restructure};
use super::fine_tune::FineTune;
use crate::error::{Error, Result};
use crate::matrix::variational_dropout::Prior;
use crate::matrix::{Structure, VariationalDropout as Form};
use crate::recipe::outline::Outline;

/// Trains on with a variance for each weight; sets to zero what has too much. Keys other than these are those of
/// [`FineTune`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariationalDropout {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// `ard` or `log-uniform`.
    #[serde(default)]
    pub prior: Prior,
    /// `log(σ² / θ²)` above which a weight becomes zero.
    #[serde(default = "three")]
    pub threshold: f64,
    /// `log σ²` at the start.
    #[serde(default = "minus_eight")]
    pub log_variance: f64,
    /// Epochs over which the divergence's weight rises from 0 to its whole.
    #[serde(default = "one")]
    pub warm_up: f64,
    /// The training.
    #[serde(flatten)]
    pub train: FineTune,
}

fn three() -> f64 {
    3.0
}

fn minus_eight() -> f64 {
    -8.0
}

fn one() -> f64 {
    1.0
}

impl VariationalDropout {
    pub(crate) fn form(&self) -> Structure {
        Structure::VariationalDropout(Form {
            prior: self.prior,
            threshold: self.threshold,
            log_variance: self.log_variance,
            warm_up: self.warm_up,
        })
    }
}

/// Takes the matrices out of the distributions again: dense, with zeros that stay.
pub(crate) fn settle(outline: &mut Outline, matrices: &[String]) {
    for name in matrices {
        outline.forms.structures.remove(name);
        outline.forms.leaves.entry(name.clone()).or_default().sparsity = Sparsity::Unstructured;
    }
}

pub(crate) fn names(outline: &Outline, patterns: &[String]) -> Result<Vec<String>> {
    Ok(outline.matrices(patterns)?.into_iter().map(|(name, _)| name).collect())
}

impl Declare for VariationalDropout {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        let chosen = names(outline, &self.matrices)?;
        for name in &chosen {
            must_be_free(outline, name, "")?;
        }
        restructure(outline, &self.matrices, |_, _| Ok(self.form()))?;
        self.train.declare(outline)?;
        settle(outline, &chosen);
        Ok(())
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        let what = "is a training of its own: train first, then compress with it";
        Err(Error::config("variational-dropout", what))
    }

    fn needs_text(&self) -> bool {
        true
    }
}
