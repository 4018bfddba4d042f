//! The augmented loss of Inan, Khosravi & Socher 2017 (arXiv 1611.01462, section 3): beside the target itself,
//! the words whose embeddings are near the target's are right to some degree.
//!
//! For a target `y` with embedding `e_y`, the soft target is `q = softmax(E e_y / T)`; what is added to the
//! likelihood is `weight * T * KL(q || softmax(z / T))` for logits `z`, whose gradient is
//! `weight * (softmax(z / T) - q)`. The soft target is taken as given: no gradient reaches `E` through it, as
//! in equations 3.3 to 3.5, where it stands for data.

use pocketlm_kernels::softmax::{LogSumExp, probabilities};
use rayon::prelude::*;

use crate::linear::product::{View, Write, product};
use crate::linear::{Id, Parameters};
use crate::settings::Augmented;

/// Soft targets of a block of targets: one row for each type among them.
#[derive(Default)]
pub struct SoftTargets {
    weight: f32,
    inverse: f32,
    /// `[types of the block, vocabulary]`
    rows: Vec<f32>,
    /// Which row each target has.
    row_of: Vec<usize>,
    /// The types and their embeddings, `[types of the block, width]`.
    types: Vec<u32>,
    embeddings: Vec<f32>,
    vocabulary: usize,
}

impl SoftTargets {
    /// Computes them for `targets`, from the embedding `[vocabulary, width]`.
    pub fn fill(
        &mut self,
        augmented: Augmented,
        (weights, embedding): (&Parameters, Id),
        vocabulary: usize,
        targets: &[u32],
    ) {
        self.weight = augmented.weight as f32;
        self.inverse = (1.0 / augmented.temperature) as f32;
        self.vocabulary = vocabulary;
        let matrix = weights.get(embedding);
        let width = matrix.len() / vocabulary;
        self.gather(matrix, width, targets);
        let types = self.types.len();
        self.rows.resize(types * vocabulary, 0.0);
        let (own, all) =
            (View::new(&self.embeddings, types, width), View::new(matrix, vocabulary, width));
        product(&mut self.rows, vocabulary, Write::Set, own, all.t());
        let inverse = self.inverse;
        self.rows.par_chunks_exact_mut(vocabulary).for_each(|row| {
            row.iter_mut().for_each(|x| *x *= inverse);
            let mut sum = LogSumExp::new();
            sum.push(row);
            probabilities(row, sum.value() as f32, 1.0);
        });
    }

    fn gather(&mut self, matrix: &[f32], width: usize, targets: &[u32]) {
        self.types.clear();
        self.types.extend_from_slice(targets);
        self.types.sort_unstable();
        self.types.dedup();
        self.row_of.clear();
        let row = |target| self.types.binary_search(target).expect("a target is of its types");
        self.row_of.extend(targets.iter().map(row));
        self.embeddings.clear();
        for &id in &self.types {
            self.embeddings.extend_from_slice(&matrix[id as usize * width..][..width]);
        }
    }

    /// `z / T` for logits `z`, in `room`.
    pub fn tempered<'r>(&self, logits: &[f32], room: &'r mut Vec<f32>) -> &'r mut [f32] {
        room.clear();
        room.extend(logits.iter().map(|z| z * self.inverse));
        room
    }

    /// Adds `scale * weight * (softmax(z / T) - q)` for target `at` to `gradient`, of the words from `first` on:
    /// `tempered` holds their `z / T` and is changed, `total` is the log-sum-exp of `z / T` over all words.
    pub fn add_gradient(
        &self,
        (at, first): (usize, usize),
        tempered: &mut [f32],
        total: f32,
        scale: f32,
        gradient: &mut [f32],
    ) {
        let q = &self.rows[self.row_of[at] * self.vocabulary + first..][..gradient.len()];
        let weight = scale * self.weight;
        probabilities(tempered, total, weight);
        for ((d, p), q) in gradient.iter_mut().zip(tempered).zip(q) {
            *d += *p - weight * q;
        }
    }
}
