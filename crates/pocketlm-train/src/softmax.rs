//! Softmax and cross-entropy as one operation that holds a block of the logits at a time.

use pocketlm::Ranking;
use pocketlm_kernels::softmax::LogSumExp;
use rayon::prelude::*;

use crate::augmented::SoftTargets;
use crate::config::Augmented;
use crate::parameters::{Id, Parameters};
use crate::product::{Packed, View, Write, add_column_sums, product};

/// Most logits held at once: 32 MB of them. Each block packs the matrix anew.
const BLOCK: usize = 8 << 20;

/// Rows whose losses one thread computes at a time.
const ROWS: usize = 48;

/// The output layer: `logits = input W^T + b` with `W` `[vocabulary, width]`.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Width of its input.
    pub width: usize,
    /// Number of types.
    pub vocabulary: usize,
    /// The matrix, which is the embedding's when tied.
    pub matrix: Id,
    /// The bias `[vocabulary]`.
    pub bias: Id,
    /// The embedding `[vocabulary, its width]`, which the augmented loss looks at.
    pub embedding: Id,
}

/// How a target is predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prediction {
    /// Negative log-likelihood in nats.
    pub loss: f32,
    /// Rank among all types, as [`Ranking`] has it: 0 for the likeliest, 3 for 3 and more.
    pub rank: usize,
}

/// What a prediction takes, from logits that come in blocks.
#[derive(Clone, Copy, Default)]
struct Tally {
    sum: LogSumExp,
    ranking: Ranking,
    logit: f32,
}

impl Tally {
    /// Takes in a block of logits; the target's is at `at`, if that is in the block.
    fn push(&mut self, block: &[f32], at: usize) {
        self.sum.push(block);
        self.ranking.push(block);
        self.logit = block.get(at).copied().unwrap_or(self.logit);
    }

    fn prediction(&self) -> Prediction {
        let loss = (self.sum.value() - f64::from(self.logit)) as f32;
        Prediction { loss, rank: self.ranking.rank(self.logit) }
    }
}

/// What [`Softmax::loss_and_gradients`] needs room for, kept from one call to the next.
#[derive(Default)]
pub struct Room {
    /// A block of logits.
    logits: Vec<f32>,
    /// The block's soft targets, with the augmented loss.
    soft: SoftTargets,
}

impl Softmax {
    /// The matrix, packed for [`predictions`](Self::predictions).
    pub fn pack(&self, weights: &Parameters) -> Packed {
        let mut packed = Packed::default();
        packed.pack(View::new(weights.get(self.matrix), self.vocabulary, self.width).t());
        packed
    }

    /// How each target is predicted, for `input` `[rows, width]`.
    pub fn predictions(
        &self,
        weights: &Parameters,
        matrix: &Packed,
        input: &[f32],
        targets: &[u32],
    ) -> Vec<Prediction> {
        let bias = weights.get(self.bias);
        let mut predictions = vec![Prediction::default(); targets.len()];
        let parts = predictions.par_chunks_mut(ROWS).zip(targets.par_chunks(ROWS));
        let parts = parts.zip(input.par_chunks(ROWS * self.width)).with_max_len(1);
        parts.for_each(|((predictions, targets), input)| {
            let input = View::new(input, targets.len(), self.width);
            let mut tallies = [Tally::default(); ROWS];
            matrix.each_block(input, |columns, block| {
                let rows = block.chunks_exact_mut(columns.len()).zip(targets);
                for ((row, &target), tally) in rows.zip(&mut tallies) {
                    row.iter_mut().zip(&bias[columns.clone()]).for_each(|(x, b)| *x += b);
                    tally.push(row, (target as usize).wrapping_sub(columns.start));
                }
            });
            predictions
                .iter_mut()
                .zip(&tallies)
                .for_each(|(found, tally)| *found = tally.prediction());
        });
        predictions
    }

    /// The logits `[rows, vocabulary]` of `input` `[rows, width]`, all of them.
    pub fn logits(&self, weights: &Parameters, input: &[f32], logits: &mut Vec<f32>) {
        self.unbiased_logits(weights, input, logits);
        let bias = weights.get(self.bias);
        for row in logits.chunks_exact_mut(self.vocabulary) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
    }

    fn unbiased_logits(&self, weights: &Parameters, input: &[f32], logits: &mut Vec<f32>) {
        let rows = input.len() / self.width;
        logits.resize(rows * self.vocabulary, 0.0);
        let input = View::new(input, rows, self.width);
        let matrix = View::new(weights.get(self.matrix), self.vocabulary, self.width);
        product(logits, self.vocabulary, Write::Set, input, matrix.t());
    }

    /// Sum of the targets' negative log-likelihoods in nats. Sets the matrix's and the bias's entries of
    /// `gradient` and `d_input` `[rows, width]` to the gradients of `scale` times that sum and, where asked
    /// for, of `scale` times the augmented loss, which is not in the sum.
    pub fn loss_and_gradients(
        &self,
        weights: &Parameters,
        gradient: &mut Parameters,
        (input, targets): (&[f32], &[u32]),
        (scale, augmented): (f32, Option<Augmented>),
        d_input: &mut [f32],
        Room { logits, soft }: &mut Room,
    ) -> f64 {
        let mut total = 0.0;
        let mut write = Write::Set;
        let mut d_inputs = d_input.chunks_mut(self.block_rows(targets.len()) * self.width);
        gradient.get_mut(self.bias).fill(0.0);
        let bias = weights.get(self.bias);
        for (input, targets) in self.blocks(input, targets) {
            self.unbiased_logits(weights, input, logits);
            let rows = logits.par_chunks_exact_mut(self.vocabulary).zip(targets);
            let losses: Vec<f32> = if let Some(augmented) = augmented {
                soft.fill(augmented, (weights, self.embedding), self.vocabulary, targets);
                let rows = rows.enumerate().map_init(Vec::new, |shifted, (at, (row, &target))| {
                    let loss = loss_and_gradient(row, bias, target, scale, Some(shifted));
                    soft.add_gradient(at, shifted, scale, row);
                    loss
                });
                rows.collect()
            } else {
                rows.map(|(row, &target)| loss_and_gradient(row, bias, target, scale, None))
                    .collect()
            };
            total += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
            let d_logits = View::new(logits, targets.len(), self.vocabulary);
            let input = View::new(input, targets.len(), self.width);
            product(gradient.get_mut(self.matrix), self.width, write, d_logits.t(), input);
            add_column_sums(gradient.get_mut(self.bias), logits);
            let matrix = View::new(weights.get(self.matrix), self.vocabulary, self.width);
            let d_input = d_inputs.next().expect("as many blocks as of the input");
            product(d_input, self.width, Write::Set, d_logits, matrix);
            write = Write::Add;
        }
        total
    }

    /// Rows of a block: equal shares, as few as keep each under [`BLOCK`].
    fn block_rows(&self, rows: usize) -> usize {
        let most = (BLOCK / self.vocabulary).max(1);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }

    fn blocks<'a>(
        &self,
        input: &'a [f32],
        targets: &'a [u32],
    ) -> impl Iterator<Item = (&'a [f32], &'a [u32])> {
        let rows = self.block_rows(targets.len());
        input.chunks(rows * self.width).zip(targets.chunks(rows))
    }
}

/// `log sum exp(row + bias) - (row + bias)[target]`; `row` becomes `scale * (softmax(row + bias) - one_hot(target))`
/// and `shifted`, if any, `row + bias - max`.
fn loss_and_gradient(
    row: &mut [f32],
    bias: &[f32],
    target: u32,
    scale: f32,
    shifted: Option<&mut Vec<f32>>,
) -> f32 {
    let at = row[target as usize] + bias[target as usize];
    let (most, sum) = exponentials(row, bias, shifted);
    let factor = scale / sum;
    row.iter_mut().for_each(|x| *x *= factor);
    row[target as usize] -= scale;
    most + sum.ln() - at
}

/// Replaces `row` by `exp(row + bias - max)`; returns the maximum and the sum.
fn exponentials(row: &mut [f32], bias: &[f32], shifted: Option<&mut Vec<f32>>) -> (f32, f32) {
    row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
    let most = lanes(row, f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x -= most);
    if let Some(shifted) = shifted {
        shifted.clear();
        shifted.extend_from_slice(row);
    }
    pocketlm_kernels::activation::exp(row);
    (most, sum(row))
}

/// The sum of `row`.
pub fn sum(row: &[f32]) -> f32 {
    lanes(row, 0.0, |a, b| a + b)
}

/// A fold over 16 independent lanes, which the compiler turns into vector instructions.
fn lanes(row: &[f32], start: f32, combine: impl Fn(f32, f32) -> f32 + Copy) -> f32 {
    let mut lanes = [start; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder().iter().copied().fold(start, combine);
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, x);
        }
    }
    lanes.into_iter().fold(rest, combine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Builder;

    #[test]
    fn loss_of_equal_logits_is_the_log_of_their_number() {
        let loss = loss_and_gradient(&mut [1.0; 100], &[2.0; 100], 7, 1.0, None);
        assert!((loss - 100f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn predictions_are_those_of_the_whole_logits() {
        let mut builder = Builder::default();
        let (rows, width, vocabulary) = (2 * ROWS + 5, 3, 700);
        let matrix = builder.matrix("softmax", vocabulary, width);
        let bias = builder.vector("bias", vocabulary);
        let mut weights = builder.zeros();
        let number = |i: usize| ((i * 7919) % 2003) as f32 / 500.0 - 2.0;
        weights.data.iter_mut().enumerate().for_each(|(i, w)| *w = number(i));
        let softmax = Softmax { width, vocabulary, matrix, bias, embedding: matrix };
        let input: Vec<f32> = (0..rows * width).map(|i| number(i + 17)).collect();
        let mut logits = Vec::new();
        softmax.logits(&weights, &input, &mut logits);
        let target = |(i, row): (usize, &[f32])| {
            let mut order: Vec<u32> = (0..vocabulary as u32).collect();
            order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
            order[i % 5]
        };
        let targets: Vec<u32> = logits.chunks(vocabulary).enumerate().map(target).collect();
        let found = softmax.predictions(&weights, &softmax.pack(&weights), &input, &targets);
        let rows = logits.chunks(vocabulary).zip(&targets).zip(found).enumerate();
        for (i, ((row, &target), found)) in rows {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            let want = sum.ln() - f64::from(row[target as usize]);
            assert!((f64::from(found.loss) - want).abs() < 1e-5, "{found:?} {want}");
            assert_eq!(found.rank, (i % 5).min(3));
        }
    }

    #[test]
    fn gradient_sums_to_zero_and_is_negative_at_the_target() {
        let mut row: Vec<f32> = (0..37).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
        loss_and_gradient(&mut row, &[0.1; 37], 11, 2.0, None);
        assert!(row.iter().sum::<f32>().abs() < 1e-5);
        assert!(row.iter().enumerate().all(|(i, &x)| (x < 0.0) == (i == 11)));
    }
}
