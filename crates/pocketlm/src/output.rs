//! The output layer: from what the last layer gives to logits, a block of rows at a time.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::softmax::LogSumExp;

use crate::error::{Error, Result};
use crate::matrix::{PANEL, Scratch};
use crate::recall::Ranking;
use crate::recurrent::Recurrent;

/// Rows of logits that are looked at together, for each vector.
const BLOCK: usize = 16 * PANEL;

/// Rows of logits of a single vector that are computed at once: enough to be shared out among threads.
const HELD: usize = if cfg!(feature = "threads") { 16 * BLOCK } else { BLOCK };

/// Buffers of the output layer for a number of vectors.
#[derive(Debug)]
pub(crate) struct Output {
    /// What goes into the softmax `[vectors, width]`.
    features: Vec<f32>,
    /// Logits `[vectors, rows of a block]`, or those that are held of a single vector.
    logits: Vec<f32>,
    scratch: Scratch,
    vectors: usize,
}

/// The running sum over all logits of a vector, and the logit of its target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    sum: LogSumExp,
    logit: f32,
    ranking: Ranking,
}

impl Tally {
    /// Of the target, where the ranking was asked for.
    pub(crate) fn rank(&self) -> usize {
        self.ranking.rank(self.logit)
    }

    /// The target's log-probability in nats, if it is finite.
    pub(crate) fn log_probability(&self) -> Result<f64> {
        let value = f64::from(self.logit) - self.sum.value();
        let fault = || Error::NotFinite { what: String::from("a log-probability") };
        Some(value).filter(|value| value.is_finite()).ok_or_else(fault)
    }
}

impl Output {
    /// Buffers for up to `vectors` vectors.
    pub(crate) fn new(model: &Recurrent, vectors: usize) -> Self {
        let mut scratch = Scratch::default();
        model.softmax().reserve(vectors, &mut scratch);
        if let Some(projection) = &model.projection {
            projection.reserve(vectors, &mut scratch);
        }
        Self {
            features: vec![0.0; vectors * model.softmax().columns()],
            logits: vec![0.0; HELD.max(vectors * BLOCK)],
            scratch,
            vectors,
        }
    }

    /// Takes what the last layer gave, `top` `[vectors, R]`.
    pub(crate) fn load(&mut self, model: &Recurrent, top: &[f32]) {
        let softmax = model.softmax();
        self.vectors = top.len() / model.top();
        let features = &mut self.features[..self.vectors * softmax.columns()];
        match &model.projection {
            Some(projection) => {
                features.fill(0.0);
                projection.apply(top, self.vectors, &mut self.scratch, features);
            }
            None => features.copy_from_slice(top),
        }
        softmax.prepare(features, self.vectors, &mut self.scratch);
    }

    /// Calls `visit` with the first row of each block that `rows` touches and its logits, biases
    /// included, `[vectors, block]`. The first block starts at the panel that holds `rows.start`.
    pub(crate) fn blocks(
        &mut self,
        model: &Recurrent,
        rows: Range<usize>,
        mut visit: impl FnMut(usize, &mut [f32]),
    ) {
        let (softmax, bias) = (model.softmax(), model.softmax_bias.f32());
        let features = &self.features[..self.vectors * softmax.columns()];
        let held = if self.vectors == 1 { HELD } else { BLOCK };
        let mut first = rows.start - rows.start % PANEL;
        while first < rows.end {
            let block = first..rows.end.min(first + held);
            let logits = &mut self.logits[..self.vectors * block.len()];
            for row in logits.chunks_exact_mut(block.len()) {
                row.copy_from_slice(&bias[block.clone()]);
            }
            softmax.apply_rows(features, &mut self.scratch, block.clone(), logits);
            for logits in logits.chunks_mut(self.vectors * BLOCK) {
                visit(first, logits);
                first += logits.len() / self.vectors;
            }
        }
    }

    /// Writes the log-sum-exp of each vector's logits into `sums`, and into `logits` those of `targets`, each a vector and
    /// a row.
    pub(crate) fn pick(
        &mut self,
        model: &Recurrent,
        targets: &[(usize, u32)],
        sums: &mut [LogSumExp],
        logits: &mut [f32],
    ) {
        sums.fill(LogSumExp::new());
        let vectors = self.vectors;
        self.blocks(model, 0..model.softmax().rows(), |first, block| {
            let size = block.len() / vectors;
            sums.iter_mut().zip(block.chunks_exact(size)).for_each(|(sum, row)| sum.push(row));
            for (logit, &(vector, row)) in logits.iter_mut().zip(targets) {
                let at = (row as usize).wrapping_sub(first);
                if at < size {
                    *logit = block[vector * size + at];
                }
            }
        });
    }

    /// Fills `tallies`, one a vector, with what the log-probability of its target takes, and its rank where
    /// `is_ranked`.
    pub(crate) fn tally(
        &mut self,
        model: &Recurrent,
        targets: &[u32],
        is_ranked: bool,
        tallies: &mut [Tally],
    ) {
        tallies.fill(Tally::default());
        self.blocks(model, 0..model.softmax().rows(), |first, block| {
            let size = block.len() / targets.len();
            let rows = block.chunks_exact(size).zip(targets);
            for (tally, (row, &target)) in tallies.iter_mut().zip(rows) {
                tally.sum.push(row);
                if is_ranked {
                    tally.ranking.push(row);
                }
                let at = (target as usize).wrapping_sub(first);
                tally.logit = row.get(at).copied().unwrap_or(tally.logit);
            }
        });
    }
}
