//! Quantisation: each number of a leaf in a few bits, as the packed file has them.
//!
//! The numbers that are trained stay as they are; from this step on the model computes with what the file will
//! hold, so a later fine-tuning is quantisation-aware (rounded forward, straight through backward).

use pocketlm::pack::{Precision, Sparsity};
use serde::{Deserialize, Serialize};

use super::declare::Declare;
use crate::error::{Error, Result};
use crate::linear::Entry;
use crate::matrix::Structure;
use crate::recipe::outline::Outline;

/// Sets the precision of leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    /// Leaves, or matrices for all their leaves; `*` stands for any text.
    pub matrices: Vec<String>,
    /// As `pocketlm pack --precision` has them.
    pub precision: Precision,
    /// Whether what the rounding of a column loses is made up for by the columns after it, as far as the inputs of
    /// training text go together (Frantar et al. 2022). The numbers themselves are rounded then, so a later fine-tuning
    /// starts from the rounded ones. Embeddings, whose inputs are single words, are rounded one by one.
    #[serde(default)]
    pub compensate: bool,
}

impl Quantise {
    /// Checks that a leaf can be compensated.
    fn check(&self, outline: &Outline, leaf: &Entry) -> Result<()> {
        if !self.precision.takes_scales() {
            let what = format!(
                "is {}, which cannot be compensated: give {}",
                self.precision,
                Precision::list(Precision::takes_scales)
            );
            return Err(Error::config("precision", what));
        }
        let fault =
            |what: &str| Err(Error::config("matrices", format!("has {}, {what}", leaf.name)));
        if outline.forms.leaf(&leaf.name).sparsity != Sparsity::None {
            return fault("which is sparse: leave compensate out");
        }
        match owner(outline, &leaf.name) {
            Some((_, Structure::LowRank(_))) | None => Ok(()),
            Some(_) => fault("a factor whose inputs are not known: leave compensate out"),
        }
    }
}

/// The matrix that a leaf is a factor of, and its structure.
pub(crate) fn owner<'a>(outline: &'a Outline, leaf: &str) -> Option<(&'a str, &'a Structure)> {
    let mut all = outline.forms.structures.iter();
    let is_own = |matrix: &str| leaf.strip_prefix(matrix).is_some_and(|rest| rest.starts_with('.'));
    all.find(|(matrix, _)| is_own(matrix)).map(|(matrix, structure)| (matrix.as_str(), structure))
}

impl Declare for Quantise {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        for leaf in outline.leaves(&self.matrices)? {
            if self.compensate {
                self.check(outline, &leaf)?;
            }
            outline.forms.leaves.entry(leaf.name).or_default().precision = self.precision;
        }
        Ok(())
    }

    fn declare_untrained(&self, outline: &mut Outline) -> Result<()> {
        if self.compensate {
            let what = "needs a trained model: leave it out from scratch";
            return Err(Error::config("compensate", what));
        }
        self.declare(outline)
    }

    fn needs_text(&self) -> bool {
        self.compensate
    }
}
