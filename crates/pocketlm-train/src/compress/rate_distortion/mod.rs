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

use super::context::{Apply, Context};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::recipe::RateDistortion;

mod coder;
mod matrix;
mod search;
mod statistics;

pub use coder::{Coded, step};
pub use matrix::Matrix;
pub use search::{FIGURES, Rates, check};
pub use statistics::loss;

impl Apply for RateDistortion {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let corpus = context.corpus.expect("asked for by needs_text");
        search::run(self, self.target()?, model, corpus)
    }
}
