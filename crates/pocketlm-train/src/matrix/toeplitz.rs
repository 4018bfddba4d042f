//! Toeplitz-like matrices of low displacement rank (Sindhwani, Sainath & Kumar 2015; in recurrent cells: Lu,
//! Sindhwani & Sainath 2016, section 2.1).
//!
//! Square blocks of n rows, each `M = Σ_k Z₁(g_k) · Z₋₁(h_k)`, where `Z_f(v)[a, c]` is `v[a − c]` if a ≥ c, else
//! `f · v[a − c + n]`: a circulant times a skew-circulant matrix. Rows and columns beyond those of the matrix are
//! left out. With `Z_f = Z_f(e₁)` and J the reversal, such a block has the displacement
//! `Z₁ M − M Z₋₁ = 2 Σ_k g_k (J h_k)ᵀ` (their theorem 3.1), so that a column follows from the one before it:
//! `M[a, b + 1] = M[a − 1, b] − 2 Σ_k g_k[a] h_k[n − 1 − b]`. That makes a block, and its gradient, in n² r steps.

use pocketlm::Structure;
use pocketlm::pack::toeplitz_fits;
use serde::{Deserialize, Serialize};

use super::displacement::project;
use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};

/// Size and rank of the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToeplitzLike {
    /// Rows and columns of a block.
    pub block: usize,
    /// Terms of a block: half its displacement rank's numbers each.
    pub rank: usize,
}

/// One block of a matrix.
#[derive(Clone, Copy)]
struct Block {
    /// The first of its rows in the leaves.
    term: usize,
    /// Its first row and column in the matrix.
    row: usize,
    column: usize,
}

impl ToeplitzLike {
    fn blocks(&self, shape: Shape) -> impl Iterator<Item = Block> {
        let Self { block, rank } = *self;
        let wide = shape.columns.div_ceil(block);
        (0..shape.rows.div_ceil(block) * wide).map(move |at| {
            let (row, column) = (at / wide * block, at % wide * block);
            Block { term: at * rank, row, column }
        })
    }

    /// Row `k` of a block's part of a leaf.
    fn vector<'a>(&self, leaf: &'a [f32], block: Block, k: usize) -> &'a [f32] {
        &leaf[(block.term + k) * self.block..][..self.block]
    }

    /// The first column of a block: `Σ_k Z₁(g_k) h_k`.
    fn first_column(&self, leaves: &[&[f32]], block: Block) -> Vec<f64> {
        let mut column = vec![0.0; self.block];
        for k in 0..self.rank {
            let [g, h] = [0, 1].map(|leaf| self.vector(leaves[leaf], block, k));
            for (c, &weight) in h.iter().enumerate() {
                let (head, tail) = g.split_at(g.len() - c);
                let turned = tail.iter().chain(head);
                column.iter_mut().zip(turned).for_each(|(x, g)| *x += f64::from(weight * g));
            }
        }
        column
    }
}

impl Structured for ToeplitzLike {
    fn check(&self, shape: Shape) -> Result<()> {
        let Shape { rows, columns } = shape;
        if toeplitz_fits(rows, columns, self.block, self.rank) {
            return Ok(());
        }
        let what = format!(
            "is {} with rank {}, which a matrix of {rows} x {columns} cannot have: give the smaller of its sides, \
             and a rank of 1 or a few",
            self.block, self.rank
        );
        Err(Error::config("block", what))
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let rows = self.blocks(shape).count() * self.rank;
        let suffix = |k| Structure::ToeplitzLike.suffix(k);
        let leaf = |k| LeafShape { suffix: suffix(k), rows, columns: self.block };
        vec![leaf(0), leaf(1)]
    }

    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        let n = self.block;
        let (mut g, mut h) = (Vec::new(), Vec::new());
        for Block { row, column, .. } in self.blocks(shape) {
            let mut own = vec![0.0; n * n];
            let rows = dense.chunks_exact(shape.columns).skip(row);
            for (own, dense) in own.chunks_exact_mut(n).zip(rows) {
                let part = &dense[column..shape.columns.min(column + n)];
                own[..part.len()].copy_from_slice(part);
            }
            let factors = project(&own, n, self.rank)?;
            g.extend(factors.g);
            h.extend(factors.h);
        }
        Ok(vec![g, h])
    }

    fn terms(&self) -> usize {
        self.rank * self.block
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        let n = self.block;
        for block in self.blocks(shape) {
            let mut column = self.first_column(leaves, block);
            for b in 0..n.min(shape.columns - block.column) {
                let rows = out[block.row * shape.columns..].chunks_exact_mut(shape.columns);
                rows.zip(&column).for_each(|(row, x)| row[block.column + b] = *x as f32);
                column.rotate_right(1);
                for k in 0..self.rank {
                    let [g, h] = [0, 1].map(|leaf| self.vector(leaves[leaf], block, k));
                    let weight = 2.0 * h[n - 1 - b];
                    column.iter_mut().zip(g).for_each(|(x, g)| *x -= f64::from(weight * g));
                }
            }
        }
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let n = self.block;
        for block in self.blocks(shape) {
            let mut d = [vec![0.0; n * self.rank], vec![0.0; n * self.rank]];
            let vectors = |k: usize| [0, 1].map(|leaf| self.vector(leaves[leaf], block, k));
            let mut d_column = vec![0.0f64; n];
            let width = n.min(shape.columns - block.column);
            // From the last column to the first, each step of `materialise` turned round.
            for b in (0..width).rev() {
                if b + 1 < width {
                    for k in 0..self.rank {
                        let [g, h] = vectors(k);
                        let weight = -2.0 * f64::from(h[n - 1 - b]);
                        let d_g = d[0][k * n..].iter_mut();
                        d_g.zip(&d_column).for_each(|(d, x)| *d += weight * x);
                        d[1][k * n + n - 1 - b] -= 2.0 * dot(g, &d_column);
                    }
                    d_column.rotate_left(1);
                }
                let rows = d_dense[block.row * shape.columns..].chunks_exact(shape.columns);
                d_column
                    .iter_mut()
                    .zip(rows)
                    .for_each(|(x, row)| *x += f64::from(row[block.column + b]));
            }
            for k in 0..self.rank {
                let [g, h] = vectors(k);
                for c in 0..n {
                    // Element a of the first column has g[a − c] h[c].
                    let d_g = d[0][k * n..][..n].iter_mut();
                    let turned = d_column[c..].iter().chain(&d_column[..c]);
                    d_g.zip(turned.clone()).for_each(|(d, x)| *d += f64::from(h[c]) * x);
                    d[1][k * n + c] +=
                        g.iter().zip(turned).map(|(g, x)| f64::from(*g) * x).sum::<f64>();
                }
            }
            for (d_leaf, d) in d_leaves.iter_mut().zip(&d) {
                let own = d_leaf[block.term * n..].iter_mut();
                own.zip(d).for_each(|(out, d)| *out = *d as f32);
            }
        }
    }
}

fn dot(g: &[f32], x: &[f64]) -> f64 {
    g.iter().zip(x).map(|(g, x)| f64::from(*g) * x).sum()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{dense, distance, numbers, round_trip};
    use super::*;
    use proptest::prelude::*;

    /// `Z_f(v)[a, c]`
    fn z(f: f32, v: &[f32], a: usize, c: usize) -> f32 {
        if a >= c { v[a - c] } else { f * v[a + v.len() - c] }
    }

    proptest! {
        #[test]
        fn blocks_are_sums_of_circulant_times_skew_circulant(
            rows in 1usize..20, columns in 1usize..20, block in 1usize..9, rank in 1usize..4, seed: u32,
        ) {
            let (shape, form) = (Shape { rows, columns }, ToeplitzLike { block, rank: rank.min(block) });
            let leaves: Vec<Vec<f32>> = form.leaves(shape).iter().enumerate()
                .map(|(k, leaf)| numbers(leaf.rows * leaf.columns, seed ^ k as u32)).collect();
            let found = dense(&form, &leaves, shape);
            let wide = columns.div_ceil(block);
            for (at, found) in found.iter().enumerate() {
                let (i, j) = (at / columns, at % columns);
                let term = |k: usize| (i / block * wide + j / block) * form.rank + k;
                let part = |leaf: usize, k: usize| &leaves[leaf][term(k) * block..][..block];
                let (a, b) = (i % block, j % block);
                let wanted: f32 = (0..form.rank).map(|k| (0..block).map(|c| {
                    z(1.0, part(0, k), a, c) * z(-1.0, part(1, k), c, b)
                }).sum::<f32>()).sum();
                prop_assert!((found - wanted).abs() < 1e-4, "{at}: {found} {wanted}");
            }
        }

        #[test]
        fn a_toeplitz_like_block_comes_back_from_its_projection(
            n in 1usize..14, high in 1usize..3, wide in 1usize..3, rank in 1usize..4, seed: u32,
        ) {
            let shape = Shape { rows: n * high, columns: n * wide };
            round_trip(&ToeplitzLike { block: n, rank: rank.min(n) }, shape, seed, 2e-3)?;
        }

        #[test]
        fn full_rank_gives_any_block_back_and_more_terms_lose_less(n in 2usize..12, seed: u32) {
            let shape = Shape { rows: n, columns: n };
            let matrix = numbers(n * n, seed);
            let lost: Vec<f64> = [1, n / 2, n].map(|rank| {
                let form = ToeplitzLike { block: n, rank: rank.max(1) };
                distance(&form, &form.decompose(&matrix, shape).unwrap(), shape, &matrix)
            }).into();
            prop_assert!(lost[2] < 1e-6 * (n * n) as f64, "{lost:?}");
            prop_assert!(lost[1] <= lost[0] * 1.001 + 1e-6, "{lost:?}");
        }
    }

    /// A Toeplitz matrix has displacement rank 2 (Kailath et al. 1979).
    #[test]
    fn a_toeplitz_matrix_has_two_terms() {
        let n = 9;
        let diagonals = numbers(2 * n - 1, 5);
        let matrix: Vec<f32> = (0..n * n).map(|at| diagonals[n - 1 + at / n - at % n]).collect();
        let (form, shape) = (ToeplitzLike { block: n, rank: 2 }, Shape { rows: n, columns: n });
        let lost = distance(&form, &form.decompose(&matrix, shape).unwrap(), shape, &matrix);
        assert!(lost < 1e-6, "{lost}");
    }
}
