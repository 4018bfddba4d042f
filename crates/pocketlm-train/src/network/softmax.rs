//! Softmax and cross-entropy as one operation.
//!
//! Training goes through the vocabulary twice, some words at a time: their logits, of all tokens, are computed
//! and summed up; then, when the sums are known, they become gradients, which are multiplied at once both ways,
//! while they are near. The logits themselves are never complete in evaluation.

use std::ops::Range;

use pocketlm::Ranking;
use pocketlm_kernels::accumulate;
use pocketlm_kernels::softmax::{LogSumExp, probabilities};
use rayon::prelude::*;

use super::augmented::SoftTargets;
use super::distillation::{Corrections, Lesson, Part};
use crate::linear::product::{Packed, View, Write, product};
use crate::linear::{Id, Parameters};
use crate::settings::Augmented;

/// Most logits held at once: 32 MB of them.
const HELD: usize = 8 << 20;

/// Most words of a block: whole strips of either factor.
const WORDS: usize = 3 * 96;

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
    /// Of each block of words the logits `[tokens, words]`, then their gradients.
    logits: Vec<f32>,
    soft: SoftTargets,
    /// The input as left factor, for the logits, and as right factor, for the gradient of the matrix.
    rows: Packed,
    columns: Packed,
    shares: Vec<Share>,
    corrections: Corrections,
}

/// Terms of the loss of a token beside its likelihood.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// See [`Augmented`].
    pub augmented: Option<Augmented>,
    /// What teachers say of the tokens: then their likelihood has its share alone.
    pub lesson: Option<&'a Lesson>,
}

/// What one share of the vocabulary needs room for.
#[derive(Default)]
struct Share {
    /// The matrix's rows of a block of words.
    matrix: Packed,
    /// Some lines of the logits' gradient, as left factor.
    part: Packed,
    /// The sums of each token over the share's words.
    sums: Vec<Sums>,
    tempered: Vec<f32>,
    taught: Vec<f32>,
    /// What the share's words give to the gradient of the input, and the gradient of their biases.
    d_input: Vec<f32>,
    d_bias: Vec<f32>,
}

/// What a token's logits are summed up to.
#[derive(Clone, Copy, Default)]
struct Sums {
    all: LogSumExp,
    /// At the soft targets' temperature, with the augmented loss.
    tempered: LogSumExp,
    /// At the teachers' temperature, where that is not 1.
    taught: LogSumExp,
}

impl Softmax {
    /// The matrix, packed for [`predictions`](Self::predictions).
    pub fn pack(&self, weights: &Parameters) -> Packed {
        let mut packed = Packed::default();
        packed.pack_right_together(
            View::new(weights.get(self.matrix), self.vocabulary, self.width).t(),
        );
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
                    accumulate::add(row, &bias[columns.clone()]);
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
    /// `gradient` and `d_input` `[rows, width]` to the gradients of `scale` times that sum and the `terms`, which are not
    /// in the sum.
    pub fn loss_and_gradients(
        &self,
        weights: &Parameters,
        gradient: &mut Parameters,
        (input, targets): (&[f32], &[u32]),
        (scale, terms): (f32, Terms),
        d_input: &mut [f32],
        room: &mut Room,
    ) -> f64 {
        let mut total = 0.0;
        let mut write = Write::Set;
        gradient.get_mut(self.bias).fill(0.0);
        let rows = self.held_rows(targets.len());
        let pieces = input.chunks(rows * self.width).zip(targets.chunks(rows));
        let pieces = pieces.zip(d_input.chunks_mut(rows * self.width)).enumerate();
        for (i, ((input, targets), d_input)) in pieces {
            if let Some(augmented) = terms.augmented {
                let embedding = (weights, self.embedding);
                room.soft.fill(augmented, embedding, self.vocabulary, targets);
            }
            let (matrix, bias) = (weights.get(self.matrix), weights.get(self.bias));
            let part = i * rows..i * rows + targets.len();
            let lesson = terms.lesson.map(|lesson| lesson.part(part));
            let tokens = Tokens {
                augmented: terms.augmented.is_some(),
                lesson,
                ..Tokens::new(self, (matrix, bias), targets, scale)
            };
            total += tokens.forward(input, room);
            tokens.backward(gradient.get_mut(self.matrix), write, room);
            tokens.gather(gradient.get_mut(self.bias), d_input, room);
            write = Write::Add;
        }
        total
    }

    /// Rows whose logits are held at once: equal parts, as few as keep each under [`HELD`].
    fn held_rows(&self, rows: usize) -> usize {
        let most = (HELD / self.vocabulary).max(1);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }
}

/// The sums of a token over all words.
struct Totals {
    all: f32,
    tempered: f32,
    taught: f32,
}

/// What is known once all logits are.
struct Known<'a> {
    totals: &'a [Totals],
    soft: &'a SoftTargets,
    corrections: &'a Corrections,
}

/// Some tokens on their way through the output layer and back: which words are taken together.
struct Tokens<'a> {
    width: usize,
    vocabulary: usize,
    matrix: &'a [f32],
    bias: &'a [f32],
    targets: &'a [u32],
    scale: f32,
    augmented: bool,
    lesson: Option<Part<'a>>,
    /// Words of a share.
    share: usize,
}

impl<'a> Tokens<'a> {
    fn new(
        softmax: &Softmax,
        (matrix, bias): (&'a [f32], &'a [f32]),
        targets: &'a [u32],
        scale: f32,
    ) -> Self {
        let Softmax { width, vocabulary, .. } = *softmax;
        // Two shares a thread: a thread that is held up leaves its second to the other.
        let share = vocabulary.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(32);
        let (augmented, lesson) = (false, None);
        Self { width, vocabulary, matrix, bias, targets, scale, augmented, lesson, share }
    }

    /// Consecutive words that are taken together, of the share that begins with word `first`.
    fn blocks(&self, first: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let end = self.vocabulary.min(first + self.share);
        (first..end).step_by(WORDS).map(move |word| word..end.min(word + WORDS))
    }

    /// Where the logit of a word lies for token `at`.
    fn place(&self, at: usize, word: usize) -> usize {
        let first = word / self.share * self.share;
        let start = first + (word - first) / WORDS * WORDS;
        let end = self.vocabulary.min(first + self.share).min(start + WORDS);
        start * self.targets.len() + at * (end - start) + word - start
    }

    /// Rows of the matrix.
    fn matrix(&self, words: &Range<usize>) -> View<'a> {
        let rows = &self.matrix[words.start * self.width..words.end * self.width];
        View::new(rows, words.len(), self.width)
    }

    /// The logits and the sum of the losses; leaves the sums of each token in the first share.
    fn forward(&self, input: &[f32], room: &mut Room) -> f64 {
        let Room { logits, soft, rows, columns, shares, corrections } = room;
        let input = View::new(input, self.targets.len(), self.width);
        rayon::join(|| rows.pack_left(input), || columns.pack_right(input));
        logits.resize(self.targets.len() * self.vocabulary, 0.0);
        shares.resize_with(self.vocabulary.div_ceil(self.share), Share::default);
        let parts = logits.par_chunks_mut(self.share * self.targets.len()).zip(&mut *shares);
        parts.enumerate().with_max_len(1).for_each(|(i, (logits, share))| {
            self.share_forward(i * self.share, rows, soft, logits, share);
        });
        let (first, others) = shares.split_first_mut().expect("a share at least");
        for other in others {
            for (sums, more) in first.sums.iter_mut().zip(&other.sums) {
                sums.all.merge(&more.all);
                sums.tempered.merge(&more.tempered);
                sums.taught.merge(&more.taught);
            }
        }
        if let Some(lesson) = &self.lesson {
            let total =
                |sums: &Sums| if lesson.is_tempered() { &sums.taught } else { &sums.all }.value();
            let logit = |at, word: u32| logits[self.place(at, word as usize)];
            lesson.correct(self.scale, first.sums.iter().map(total), logit, corrections);
        }
        let sums = first.sums.iter().zip(self.targets).enumerate();
        let loss = |(at, (sums, &target)): (usize, (&Sums, &u32))| {
            sums.all.value() - f64::from(logits[self.place(at, target as usize)])
        };
        sums.map(loss).sum()
    }

    fn share_forward(
        &self,
        first: usize,
        rows: &Packed,
        soft: &SoftTargets,
        mut logits: &mut [f32],
        share: &mut Share,
    ) {
        share.sums.clear();
        share.sums.resize(self.targets.len(), Sums::default());
        for words in self.blocks(first) {
            let (block, rest) = logits.split_at_mut(words.len() * self.targets.len());
            logits = rest;
            share.matrix.pack_right(self.matrix(&words).t());
            rows.product(&share.matrix, (block, words.len()), Write::Set);
            for (row, sums) in block.chunks_exact_mut(words.len()).zip(&mut share.sums) {
                accumulate::add(row, &self.bias[words.clone()]);
                sums.all.push(row);
                if self.augmented {
                    sums.tempered.push(soft.tempered(row, &mut share.tempered));
                }
                if let Some(lesson) = self.lesson.filter(Part::is_tempered) {
                    sums.taught.push(lesson.tempered(row, &mut share.tempered));
                }
            }
        }
    }

    /// From logits to gradients: of the matrix, and each share's of its biases and of the input.
    fn backward(&self, gradient: &mut [f32], write: Write, room: &mut Room) {
        let Room { logits, soft, columns, shares, corrections, .. } = room;
        let totals = |sums: &Sums| Totals {
            all: sums.all.value() as f32,
            tempered: sums.tempered.value() as f32,
            taught: sums.taught.value() as f32,
        };
        let totals: Vec<Totals> = shares[0].sums.iter().map(totals).collect();
        let known = Known { totals: &totals, soft, corrections };
        let parts = logits.par_chunks_mut(self.share * self.targets.len()).zip(shares);
        let parts = parts.zip(gradient.par_chunks_mut(self.share * self.width));
        parts.enumerate().with_max_len(1).for_each(|(i, ((mut logits, share), mut gradient))| {
            share.d_bias.clear();
            for words in self.blocks(i * self.share) {
                let (d, rest) = logits.split_at_mut(words.len() * self.targets.len());
                let (d_matrix, others) = gradient.split_at_mut(words.len() * self.width);
                (logits, gradient) = (rest, others);
                self.differentiate(&words, &known, d, share);
                self.back_matrix(d, columns, d_matrix, write, share);
                self.back_input(&words, i * self.share, d, share);
            }
        });
    }

    /// The logits of a block of words become their gradients, whose sums go to the biases.
    fn differentiate(
        &self,
        words: &Range<usize>,
        known: &Known,
        logits: &mut [f32],
        share: &mut Share,
    ) {
        let bias = share.d_bias.len();
        share.d_bias.resize(bias + words.len(), 0.0);
        let rows = logits.chunks_exact_mut(words.len()).zip(known.totals).zip(self.targets);
        let own = self.lesson.map_or(1.0, |lesson| lesson.share) * self.scale;
        for (at, ((row, totals), &target)) in rows.enumerate() {
            // What needs the logits takes them before they become probabilities.
            let soft = self.augmented.then(|| known.soft.tempered(row, &mut share.tempered));
            let taught = self.lesson.filter(Part::is_tempered);
            let taught = taught.map(|lesson| lesson.tempered(row, &mut share.taught));
            let factor = match self.lesson {
                Some(lesson) if !lesson.is_tempered() => own + known.corrections.factors[at],
                _ => own,
            };
            probabilities(row, totals.all, factor);
            if let Some(logits) = soft {
                known.soft.add_gradient(
                    (at, words.start),
                    logits,
                    totals.tempered,
                    self.scale,
                    row,
                );
            }
            if let Some(logits) = taught {
                probabilities(logits, totals.taught, known.corrections.factors[at]);
                accumulate::add(row, logits);
            }
            if let Some(lesson) = &self.lesson {
                lesson.add(known.corrections, at, words, row);
            }
            if words.contains(&(target as usize)) {
                row[target as usize - words.start] -= own;
            }
            accumulate::add(&mut share.d_bias[bias..], row);
        }
    }

    /// `d_matrix (+)= d^T input`
    fn back_matrix(
        &self,
        d: &[f32],
        columns: &Packed,
        d_matrix: &mut [f32],
        write: Write,
        share: &mut Share,
    ) {
        /// Words at a time, so that they stay near as a packed factor.
        const PART: usize = 96;
        let (tokens, words) = (self.targets.len(), d.len() / self.targets.len());
        for (i, d_matrix) in d_matrix.chunks_mut(PART * self.width).enumerate() {
            let count = PART.min(words - i * PART);
            share.part.pack_left(View::strided(&d[i * PART..], tokens, count, words).t());
            share.part.product(columns, (d_matrix, self.width), write);
        }
    }

    /// `d_input (+)= d W`
    fn back_input(&self, words: &Range<usize>, first: usize, d: &[f32], share: &mut Share) {
        let write = if words.start == first { Write::Set } else { Write::Add };
        share.d_input.resize(self.targets.len() * self.width, 0.0);
        share.matrix.pack_right(self.matrix(words));
        let d = View::new(d, self.targets.len(), words.len());
        share.matrix.times_rows(d, (&mut share.d_input, self.width), write);
    }

    /// Brings the shares' gradients together, in their order.
    fn gather(&self, d_bias: &mut [f32], d_input: &mut [f32], room: &Room) {
        /// Numbers of one thread at a time.
        const PART: usize = 1 << 13;
        for (d_bias, share) in d_bias.chunks_mut(self.share).zip(&room.shares) {
            accumulate::add(d_bias, &share.d_bias);
        }
        d_input.par_chunks_mut(PART).enumerate().for_each(|(i, d_input)| {
            let part = i * PART..i * PART + d_input.len();
            d_input.copy_from_slice(&room.shares[0].d_input[part.clone()]);
            for share in &room.shares[1..] {
                accumulate::add(d_input, &share.d_input[part.clone()]);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Builder;

    fn number(i: usize) -> f32 {
        ((i * 7919) % 2003) as f32 / 500.0 - 2.0
    }

    fn made_up(width: usize, vocabulary: usize) -> (Softmax, Parameters) {
        let mut builder = Builder::default();
        let matrix = builder.matrix("softmax", vocabulary, width);
        let bias = builder.vector("bias", vocabulary);
        let mut weights = builder.zeros();
        weights.data.iter_mut().enumerate().for_each(|(i, w)| *w = number(i));
        (Softmax { width, vocabulary, matrix, bias, embedding: matrix }, weights)
    }

    #[test]
    fn predictions_are_those_of_the_whole_logits() {
        let (rows, width, vocabulary) = (2 * ROWS + 5, 3, 700);
        let (softmax, weights) = made_up(width, vocabulary);
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

    /// Against plain loops in double precision; widths, words and tokens that are multiples of nothing, and more
    /// words than one share or block holds.
    #[test]
    fn gradients_are_those_of_the_definition() {
        let (rows, vocabulary) = (29, 2 * WORDS * 2 + 777);
        check_gradients((rows, vocabulary), None);
        for temperature in [1.0, 2.5] {
            check_gradients(
                (rows, vocabulary),
                Some(&made_up_lesson(rows, vocabulary, temperature)),
            );
        }
    }

    fn made_up_lesson(rows: usize, vocabulary: usize, temperature: f32) -> Lesson {
        let keep = 5;
        let id = |at: usize, i: usize| (at * 37 + i * vocabulary / keep) % vocabulary;
        let mut ids = Vec::new();
        for at in 0..rows {
            let mut row: Vec<u32> = (0..keep).map(|i| id(at, i) as u32).collect();
            row.sort_unstable();
            ids.extend(row);
        }
        let probabilities = (0..rows * keep).map(|i| 0.02 + (i % 7) as f32 * 0.03).collect();
        Lesson { keep, ids, probabilities, share: 0.3, temperature }
    }

    /// The gradient of `T^2 KL(q || p)` over the kept types and all others as one, in double precision.
    fn add_lesson(d: &mut [f64], logits: &[f32], lesson: &Lesson, at: usize, scale: f64) {
        let (t, keep) = (f64::from(lesson.temperature), lesson.keep);
        let exp: Vec<f64> = logits.iter().map(|&z| (f64::from(z) / t).exp()).collect();
        let sum: f64 = exp.iter().sum();
        let mut taught = vec![None; logits.len()];
        for i in at * keep..(at + 1) * keep {
            taught[lesson.ids[i] as usize] = Some(f64::from(lesson.probabilities[i]));
        }
        let rest = |of: &dyn Fn(usize) -> f64, is_kept: bool| -> f64 {
            (0..logits.len()).filter(|&j| taught[j].is_some() == is_kept).map(of).sum()
        };
        let own_rest = rest(&|j| exp[j] / sum, false);
        let taught_rest = 1.0 - rest(&|j| taught[j].unwrap_or(0.0), true);
        for (j, d) in d.iter_mut().enumerate() {
            let p = exp[j] / sum;
            *d += scale * t * (p - taught[j].unwrap_or(p * taught_rest / own_rest));
        }
    }

    fn check_gradients((rows, vocabulary): (usize, usize), lesson: Option<&Lesson>) {
        let (width, scale) = (7, 0.5);
        let (softmax, weights) = made_up(width, vocabulary);
        let input: Vec<f32> = (0..rows * width).map(|i| number(i + 17)).collect();
        let targets: Vec<u32> = (0..rows).map(|i| (i * 537 % vocabulary) as u32).collect();
        let mut logits = Vec::new();
        softmax.logits(&weights, &input, &mut logits);
        let (mut loss, mut d) = (0.0, vec![0.0f64; logits.len()]);
        for ((d, row), &target) in
            d.chunks_mut(vocabulary).zip(logits.chunks(vocabulary)).zip(&targets)
        {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            loss += sum.ln() - f64::from(row[target as usize]);
            let share = scale * lesson.map_or(1.0, |lesson| f64::from(lesson.share));
            d.iter_mut().zip(row).for_each(|(d, &x)| *d = share * f64::from(x).exp() / sum);
            d[target as usize] -= share;
        }
        if let Some(lesson) = lesson {
            let rest = scale * (1.0 - f64::from(lesson.share));
            let rows = d.chunks_mut(vocabulary).zip(logits.chunks(vocabulary)).enumerate();
            rows.for_each(|(at, (d, logits))| add_lesson(d, logits, lesson, at, rest));
        }
        let (mut gradient, mut room) = (weights.zeros_like(), Room::default());
        let mut d_input = vec![9.0; rows * width];
        for _ in 0..2 {
            let (pairs, scale) =
                ((&input[..], &targets[..]), (scale as f32, Terms { lesson, augmented: None }));
            let got = softmax.loss_and_gradients(
                &weights,
                &mut gradient,
                pairs,
                scale,
                &mut d_input,
                &mut room,
            );
            assert!((got - loss).abs() < 1e-4 * loss, "{got} {loss}");
        }
        let near =
            |got: f32, want: f64| assert!((f64::from(got) - want).abs() < 1e-4, "{got} {want}");
        let at = |token: usize, word: usize| d[token * vocabulary + word];
        for word in 0..vocabulary {
            let bias = gradient.get(softmax.bias)[word];
            near(bias, (0..rows).map(|t| at(t, word)).sum());
            for u in 0..width {
                let want = (0..rows).map(|t| at(t, word) * f64::from(input[t * width + u])).sum();
                near(gradient.get(softmax.matrix)[word * width + u], want);
            }
        }
        let matrix = weights.get(softmax.matrix);
        for (i, &got) in d_input.iter().enumerate() {
            let term =
                |word: usize| at(i / width, word) * f64::from(matrix[word * width + i % width]);
            near(got, (0..vocabulary).map(term).sum());
        }
    }
}
