//! Tensor train (Oseledets 2011; as a matrix: Novikov et al. 2015, section 3).
//!
//! Rows are padded to `M = Π m_k` and columns to `N = Π n_k`, and written in mixed radix,
//! `i = (i_1, …, i_d)` and `j = (j_1, …, j_d)`, most significant first. With cores `G_k [r_{k-1}, m_k, n_k, r_k]`,
//! `r_0 = r_d = 1`, `W[i, j] = G_1[:, i_1, j_1, :] · … · G_d[:, i_d, j_d, :]`.
//!
//! Core `k` is stored as a matrix `[m_k r_k, n_k r_{k-1}]`: row `i_k r_k + β`, column `α n_k + j_k`, so that the
//! product of a tensor-train matrix with a vector is a chain of products with these matrices.

use pocketlm::Structure;
use serde::{Deserialize, Serialize};

use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};
use crate::linear::product::{View, Write, product};
use crate::linear::svd::{Balance, decompose};

/// The modes and ranks of a tensor train.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorTrain {
    /// `m_1, …, m_d`: their product is at least the number of rows.
    pub row_modes: Vec<usize>,
    /// `n_1, …, n_d`: their product is at least the number of columns.
    pub column_modes: Vec<usize>,
    /// `r_1, …, r_{d-1}`
    pub ranks: Vec<usize>,
}

impl TensorTrain {
    /// A train of `cores` cores with modes near the roots of the matrix's sizes and no rank above `rank` or
    /// above what its place can use.
    ///
    /// # Errors
    /// When the number of cores is not from 2 to 8, or the rank is 0.
    pub fn with_rank(shape: Shape, cores: usize, rank: usize) -> Result<Self> {
        if !(2..=8).contains(&cores) {
            return Err(Error::config("cores", format!("is {cores}: give a number from 2 to 8")));
        }
        if rank == 0 {
            return Err(Error::config("rank", "is 0: give at least 1"));
        }
        let row_modes = modes(shape.rows, cores);
        // The largest row mode meets the smallest column mode, so that the cores are of like size.
        let mut column_modes = modes(shape.columns, cores);
        column_modes.reverse();
        let mut train = Self { row_modes, column_modes, ranks: Vec::new() };
        train.ranks = (1..cores).map(|k| rank.min(train.full_rank(k))).collect();
        Ok(train)
    }

    /// The train of the greatest even rank with at most `numbers` numbers, if there is one.
    pub fn within(shape: Shape, cores: usize, numbers: usize) -> Option<Self> {
        let fits = |rank: usize| {
            let train = Self::with_rank(shape, cores, rank).ok()?;
            let size: usize = train.leaves(shape).iter().map(|leaf| leaf.rows * leaf.columns).sum();
            (size <= numbers).then_some(train)
        };
        // Above the full ranks nothing grows.
        let (mut low, mut high) = (0, shape.rows * shape.columns + 1);
        while low + 1 < high {
            let rank = low.midpoint(high);
            if fits(rank).is_some() { low = rank } else { high = rank }
        }
        fits(low)
    }

    /// Numbers in core `k` for one pair of ranks.
    fn mode(&self, k: usize) -> usize {
        self.row_modes[k] * self.column_modes[k]
    }

    /// The greatest rank of use between cores `k - 1` and `k`.
    fn full_rank(&self, k: usize) -> usize {
        let product = |cores: std::ops::Range<usize>| {
            cores.map(|k| self.mode(k)).fold(1, usize::saturating_mul)
        };
        product(0..k).min(product(k..self.row_modes.len()))
    }

    fn cores(&self) -> usize {
        self.row_modes.len()
    }

    /// `r_{k-1}` and `r_k`.
    fn rank_pair(&self, k: usize) -> (usize, usize) {
        let at = |k: usize| if k == 0 { 1 } else { self.ranks.get(k - 1).copied().unwrap_or(1) };
        (at(k), at(k + 1))
    }

    /// A stored core as `[r_{k-1}, m_k n_k r_k]`, or back if `back`.
    fn reorder(&self, k: usize, from: &[f32], to: &mut [f32], back: bool) {
        let (m, n, (before, after)) = (self.row_modes[k], self.column_modes[k], self.rank_pair(k));
        for i in 0..m {
            for b in 0..after {
                for a in 0..before {
                    for j in 0..n {
                        let stored = (i * after + b) * before * n + a * n + j;
                        let chained = ((a * m + i) * n + j) * after + b;
                        let (s, t) = if back { (chained, stored) } else { (stored, chained) };
                        to[t] = from[s];
                    }
                }
            }
        }
    }

    fn chained(&self, leaves: &[&[f32]]) -> Vec<Vec<f32>> {
        let core = |(k, leaf): (usize, &&[f32])| {
            let mut core = vec![0.0; leaf.len()];
            self.reorder(k, leaf, &mut core, false);
            core
        };
        leaves.iter().enumerate().map(core).collect()
    }

    /// The products of the first `1, …, d` cores: entry `k` is `[Π_{l ≤ k} m_l n_l, r_k]`.
    fn prefixes(&self, cores: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut prefixes = vec![cores[0].clone()];
        for (k, core) in cores.iter().enumerate().skip(1) {
            let (before, after) = self.rank_pair(k);
            let last = &prefixes[k - 1];
            let (rows, columns) = (last.len() / before, self.mode(k) * after);
            let mut next = vec![0.0; rows * columns];
            let (last, core) = (View::new(last, rows, before), View::new(core, before, columns));
            product(&mut next, columns, Write::Set, last, core);
            prefixes.push(next);
        }
        prefixes
    }

    /// For each row (or column) of the padded matrix, its part of an index into the chained order
    /// `(i_1, j_1, …, i_d, j_d)`.
    fn offsets(&self, rows: bool) -> Vec<usize> {
        let modes = if rows { &self.row_modes } else { &self.column_modes };
        let mut strides = vec![0; self.cores()];
        let mut stride = 1;
        for k in (0..self.cores()).rev() {
            strides[k] = if rows { stride * self.column_modes[k] } else { stride };
            stride *= self.mode(k);
        }
        let mut offsets = vec![0];
        for (&mode, &stride) in modes.iter().zip(&strides) {
            let digits = |&high: &usize| (0..mode).map(move |digit| high + digit * stride);
            offsets = offsets.iter().flat_map(digits).collect();
        }
        offsets
    }

    /// Copies between a matrix and the chained order, the padding left alone.
    fn each_pair(&self, shape: Shape, mut copy: impl FnMut(usize, usize)) {
        let (rows, columns) = (self.offsets(true), self.offsets(false));
        for (i, row) in rows.iter().enumerate().take(shape.rows) {
            for (j, column) in columns.iter().enumerate().take(shape.columns) {
                copy(i * shape.columns + j, row + column);
            }
        }
    }

    fn padded(&self) -> usize {
        (0..self.cores()).map(|k| self.mode(k)).product()
    }

    fn to_chained(&self, dense: &[f32], shape: Shape) -> Vec<f32> {
        let mut chained = vec![0.0; self.padded()];
        self.each_pair(shape, |at, to| chained[to] = dense[at]);
        chained
    }
}

/// `count` whole numbers whose product is at least `size`, near its root, with as little padding as there is
/// to be had near it, descending.
fn modes(size: usize, count: usize) -> Vec<usize> {
    if count == 1 {
        return vec![size.max(1)];
    }
    let root = (size as f64).powf(1.0 / count as f64);
    let (low, high) = ((root * 0.6).floor().max(1.0) as usize, (root * 1.7).ceil() as usize);
    let candidate = |first: usize| {
        let mut all = modes(size.div_ceil(first), count - 1);
        all.push(first);
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    };
    // Padding costs work at each use, uneven modes cost parameters: weigh one against the other.
    let cost = |modes: &[usize]| {
        let padding = modes.iter().product::<usize>() as f64 / size as f64;
        let sum = modes.iter().sum::<usize>() as f64 / (count as f64 * root);
        padding * sum
    };
    let all = (low..=high.max(low)).map(candidate);
    all.min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or_default()
}

impl Structured for TensorTrain {
    fn check(&self, shape: Shape) -> Result<()> {
        let cores = self.cores();
        let lengths = (self.column_modes.len(), self.ranks.len() + 1);
        if cores < 2 || lengths != (cores, cores) {
            let what = "needs as many column_modes as row_modes, at least 2, and one rank fewer";
            return Err(Error::config("tensor-train", what));
        }
        for (field, modes, size) in [
            ("row_modes", &self.row_modes, shape.rows),
            ("column_modes", &self.column_modes, shape.columns),
        ] {
            let product = modes.iter().fold(1usize, |a, &b| a.saturating_mul(b));
            if product < size || product > 4 * size.max(1) {
                let what = format!(
                    "have the product {product}: give modes whose product is {size} or a little more"
                );
                return Err(Error::config(field, what));
            }
        }
        match (1..cores).find(|&k| !(1..=self.full_rank(k)).contains(&self.ranks[k - 1])) {
            None => Ok(()),
            Some(k) => {
                let (rank, most) = (self.ranks[k - 1], self.full_rank(k));
                let what = format!("has {rank} at place {k}: give a number from 1 to {most}");
                Err(Error::config("ranks", what))
            }
        }
    }

    fn leaves(&self, _: Shape) -> Vec<LeafShape> {
        let leaf = |k: usize| {
            let (before, after) = self.rank_pair(k);
            let (rows, columns) = (self.row_modes[k] * after, self.column_modes[k] * before);
            LeafShape { suffix: Structure::TensorTrain.suffix(k), rows, columns }
        };
        (0..self.cores()).map(leaf).collect()
    }

    /// TT-SVD (Oseledets 2011, algorithm 1) at the given ranks: the squared error is at most the sum over the
    /// unfoldings of what each truncation drops (theorem 2.2).
    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        let mut rest = self.to_chained(dense, shape);
        let mut leaves = Vec::new();
        for k in 0..self.cores() {
            let (before, after) = self.rank_pair(k);
            let core = if k + 1 == self.cores() {
                std::mem::take(&mut rest)
            } else {
                let rows = before * self.mode(k);
                let size = (rows, rest.len() / rows);
                let factors = decompose(&rest, size, Balance::Right, |_| after)?;
                rest = factors.right;
                factors.left
            };
            let mut leaf = vec![0.0; core.len()];
            self.reorder(k, &core, &mut leaf, true);
            leaves.push(leaf);
        }
        balance(&mut leaves);
        Ok(leaves)
    }

    fn terms(&self) -> usize {
        self.ranks.iter().product()
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        let mut prefixes = self.prefixes(&self.chained(leaves));
        let chained = prefixes.pop().expect("at least two cores");
        self.each_pair(shape, |at, from| out[at] = chained[from]);
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let cores = self.chained(leaves);
        let prefixes = self.prefixes(&cores);
        let mut d_prefix = self.to_chained(d_dense, shape);
        for k in (1..self.cores()).rev() {
            let (before, after) = self.rank_pair(k);
            let columns = self.mode(k) * after;
            let rows = d_prefix.len() / columns;
            let d = View::new(&d_prefix, rows, columns);
            let mut d_core = vec![0.0; before * columns];
            let last = View::new(&prefixes[k - 1], rows, before);
            product(&mut d_core, columns, Write::Set, last.t(), d);
            let mut d_last = vec![0.0; rows * before];
            let core = View::new(&cores[k], before, columns);
            product(&mut d_last, before, Write::Set, d, core.t());
            self.reorder(k, &d_core, d_leaves[k], true);
            d_prefix = d_last;
        }
        self.reorder(0, &d_prefix, d_leaves[0], true);
    }
}

/// Gives all cores the same root mean square, which their product keeps.
fn balance(leaves: &mut [Vec<f32>]) {
    let size = |leaf: &[f32]| {
        let sum: f64 = leaf.iter().map(|&x| f64::from(x).powi(2)).sum();
        (sum / leaf.len() as f64).sqrt()
    };
    let sizes: Vec<f64> = leaves.iter().map(|leaf| size(leaf)).collect();
    if sizes.contains(&0.0) {
        return;
    }
    let mean = sizes.iter().map(|s| s.ln()).sum::<f64>() / sizes.len() as f64;
    for (leaf, size) in leaves.iter_mut().zip(sizes) {
        let scale = (mean.exp() / size) as f32;
        leaf.iter_mut().for_each(|x| *x *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(length: usize, seed: u32) -> Vec<f32> {
        let next = |i: u32| {
            let x = (i ^ seed).wrapping_mul(2_654_435_761);
            ((x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..length as u32).map(next).collect()
    }

    #[test]
    fn modes_multiply_to_little_more_than_the_size() {
        for size in [1, 7, 200, 600, 650, 800, 2400, 2600, 6000, 10_000, 33_278] {
            for count in 2..5 {
                let product: usize = modes(size, count).iter().product();
                assert!(
                    product >= size && product as f64 <= 1.2 * size as f64 + 8.0,
                    "{size} {count}"
                );
            }
        }
        assert_eq!(modes(600, 3).iter().product::<usize>(), 600);
    }

    proptest! {
        #[test]
        fn full_ranks_give_the_matrix_back(rows in 2usize..40, columns in 2usize..40, cores in 2usize..5, seed: u32) {
            let shape = Shape { rows, columns };
            let train = TensorTrain::with_rank(shape, cores, usize::MAX).unwrap();
            train.check(shape).unwrap();
            let dense = numbers(rows * columns, seed);
            let leaves = train.decompose(&dense, shape).unwrap();
            let mut out = vec![0.0; dense.len()];
            train.materialise(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>(), shape, &mut out);
            for (a, b) in out.iter().zip(&dense) {
                prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }

        /// Oseledets 2011, theorem 2.2: the squared error is at most the sum of the dropped tails of the unfoldings.
        #[test]
        fn error_is_within_the_bound_of_the_unfoldings(rows in 4usize..40, columns in 4usize..40, rank in 1usize..5, seed: u32) {
            let shape = Shape { rows, columns };
            let train = TensorTrain::with_rank(shape, 3, rank).unwrap();
            let dense = numbers(rows * columns, seed);
            let leaves = train.decompose(&dense, shape).unwrap();
            let mut out = vec![0.0; dense.len()];
            train.materialise(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>(), shape, &mut out);
            let error: f64 = out.iter().zip(&dense).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let chained = train.to_chained(&dense, shape);
            let mut bound = 0.0;
            for k in 1..3 {
                let first: usize = (0..k).map(|l| train.mode(l)).product();
                let size = (first, chained.len() / first);
                let values = decompose(&chained, size, Balance::Both, |_| 1).unwrap().values;
                bound += values[train.ranks[k - 1].min(values.len())..].iter().map(|s| s * s).sum::<f64>();
            }
            prop_assert!(error <= bound * 1.001 + 1e-4, "{error} {bound}");
        }
    }
}
