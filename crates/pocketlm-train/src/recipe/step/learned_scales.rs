//! Learned scales (LSQ; Esser et al. 2020): few bits a number, with scales that a later fine-tuning trains together
//! with the weights, see [`LearnedScales`](Form).
//!
//! `quantise` finds the scales anew from the weights before every batch; here they are numbers of the model. They
//! begin as those that lose least, not as the paper's `2 mean|v| / sqrt(Q)`, since the weights are trained already.

use pocketlm::pack::Precision;
use serde::{Deserialize, Serialize};

use super::declare::{Declare, Structural, must_be_free, restructure};
use crate::error::{Error, Result};
use crate::matrix::{LearnedScales as Form, Shape, Structure};
use crate::recipe::outline::Outline;

/// Gives matrices codes with scales to learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearnedScales {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// One with an [even code](Precision::even_code): int4 to ternary.
    pub precision: Precision,
}

impl Structural for LearnedScales {
    fn matrices(&self) -> &[String] {
        &self.matrices
    }

    fn form(&self, _: &str, _: Shape) -> Result<Structure> {
        Ok(Structure::LearnedScales(Form { precision: self.precision, whole_rows: false }))
    }
}

impl Declare for LearnedScales {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        for (name, _) in outline.matrices(&self.matrices)? {
            must_be_free(outline, &name, "")?;
        }
        restructure(outline, &self.matrices, |name, shape| self.form(name, shape))
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        let what = "is for trained models: from scratch take quantise";
        Err(Error::config("learned-scales", what))
    }
}
