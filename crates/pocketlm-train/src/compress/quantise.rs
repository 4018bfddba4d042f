//! Quantisation: each number of a leaf in a few bits, as the packed file has them.
//!
//! The numbers that are trained stay as they are; from this step on the model computes with what the file will
//! hold, so a later fine-tuning is quantisation-aware (rounded forward, straight through backward).

use pocketlm::pack::Precision;
use serde::{Deserialize, Serialize};

use super::{Context, Method, Outline};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrix::precision_name;

/// Sets the precision of leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    /// Leaves, or matrices for all their leaves; `*` stands for any text.
    pub matrices: Vec<String>,
    /// As `pocketlm pack --precision` has them.
    #[serde(with = "precision_name")]
    pub precision: Precision,
}

impl Method for Quantise {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        for leaf in outline.leaves(&self.matrices)? {
            outline.forms.leaves.entry(leaf.name).or_default().precision = self.precision;
        }
        Ok(())
    }

    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        let mut outline = Outline::of(model);
        self.declare(&mut outline)?;
        model.reform(outline.forms, model.leaves.clone())
    }
}
