//! Entropy-constrained quantisation: codes of whole rows, whose steps and values are chosen so that a bit costs as much
//! loss wherever it is spent. The entropy coder of the file then gives each code the bits that it is worth.
//!
//! For all chosen matrices together, `D + λ R` is made small: R are the bits that codes and steps take after entropy
//! coding (Chou, Lookabaugh & Gray 1989: the quantiser takes the level of the least `d + λ r`, and levels and code are found
//! in turn), D is an estimate of how much the loss of a token rises, in nats,
//!
//! `D = Σ_W s_W Σ_r ω_r d_rᵀ H d_r`,
//!
//! with `d_r` the error of row r of the matrix W, and, all measured on the start of the training text,
//!
//! * H the second moment of the inputs of W, about their mean where a bias can take up what errors do to it. Columns are
//!   rounded in turn, and later ones make up for what earlier ones lose (Frantar et al. 2022, GPTQ; see
//!   [`compensate`](super::compensate)). An embedding is felt through the first cell's input matrix V: its H is `Vᵀ diag(ω) V`
//!   with the ω of that matrix; where embedding and softmax are one matrix, that and the second moment of the outputs,
//!   each over its trace.
//! * ω_r how much row r counts: its mean squared gradient (the diagonal of the Fisher information). For words it is their
//!   frequency, with which both gradients go.
//! * s_W what brings the estimate to the rise that is measured when W alone is rounded.
//!
//! Second-order estimates like this one are off by a factor for each matrix, above all in recurrent networks, and right in
//! their proportions within one: hence the s_W. λ is found by bisection for the bits or bytes that are asked for.
//!
//! What comes out are int4 codes from −7 to 7 with one scale a row, as [`LearnedScales`] has them, so that a later
//! fine-tuning trains through the rounding, scales included; int8 codes where a matrix needs steps so fine that many
//! codes lie beyond, which costs memory but no bytes of the file. Biases go to grids of powers of two, which leaves few different bytes to code.

use pocketlm::pack::Precision;
use serde::{Deserialize, Serialize};

use super::{Context, Method, Outline};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::matrix::{LearnedScales, Structure};

mod coder;
mod matrix;
mod search;
mod statistics;

/// Mean bits that can be asked for.
const BITS: std::ops::RangeInclusive<f64> = 0.5..=4.5;

/// Codes matrices at one price for every bit. The packed file is entropy-coded from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateDistortion {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Mean bits of a weight, scales included: 0.5 to 4.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
    /// Instead of `bits`: how many bytes the whole packed file has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
}

/// How small the model is to be.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// By mean bits of a weight.
    Bits(f64),
    /// By bytes of the file.
    Bytes(usize),
}

impl RateDistortion {
    fn target(&self) -> Result<Target> {
        match (self.bits, self.bytes) {
            (Some(bits), None) if BITS.contains(&bits) => Ok(Target::Bits(bits)),
            (Some(bits), None) => {
                Err(Error::config("bits", format!("is {bits}: give 0.5 to 4.5 bits a weight")))
            }
            (None, Some(bytes)) => Ok(Target::Bytes(bytes)),
            (None, None) => {
                let what =
                    "is missing: give the mean bits of a weight, or bytes for the whole file";
                Err(Error::config("bits", what))
            }
            (Some(_), Some(_)) => {
                Err(Error::config("bits", "and bytes are both given: give one of them"))
            }
        }
    }
}

/// The structure of a matrix whose codes are at most `limit`.
fn structure(limit: i32) -> Structure {
    let precision = if limit <= coder::NARROW { Precision::Int4 } else { Precision::Int8 };
    Structure::LearnedScales(LearnedScales { precision, whole_rows: true })
}

impl Method for RateDistortion {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        self.target()?;
        for (name, _) in outline.matrices(&self.matrices)? {
            if outline.forms.structures.contains_key(&name) {
                let what = format!(
                    "has {name}, which an earlier step gave another structure: name the others, or put this step \
                     before that one; factors take quantise with compensate"
                );
                return Err(Error::config("matrices", what));
            }
            if !outline.forms.leaf(&name).is_free() {
                let what = format!(
                    "has {name}, which an earlier step has rounded or pruned: leave that step out, or name the others"
                );
                return Err(Error::config("matrices", what));
            }
            outline.forms.restructure(name, structure(coder::NARROW));
        }
        outline.forms.entropy = true;
        outline.parametrization().map(drop)
    }

    fn declare_untrained(&self, _: &mut Outline) -> Result<()> {
        let what = "is for trained models: from scratch take quantise and entropy";
        Err(Error::config("rate-distortion", what))
    }

    fn needs_text(&self) -> bool {
        true
    }

    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let corpus = context.corpus.expect("asked for by needs_text");
        search::run(self, self.target()?, model, corpus)
    }
}
