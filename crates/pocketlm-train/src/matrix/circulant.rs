//! Block-circulant matrices (Ding et al. 2017, section 3; in recurrent cells: Wang et al. 2018).
//!
//! Blocks of b rows and b columns, each described by its first column w: `block[r, c] = w[(r − c) mod b]`. Rows and
//! columns beyond those of the matrix are left out.

use pocketlm::Structure;
use pocketlm::pack::circulant_fits;
use serde::{Deserialize, Serialize};

use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};

/// The size of the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCirculant {
    /// Rows and columns of a block; the matrix has about `block` times as many numbers as its leaf.
    pub block: usize,
}

impl BlockCirculant {
    /// Calls `each` with the number of every element of the matrix, and of the number of the leaf that it is.
    fn each(&self, shape: Shape, mut each: impl FnMut(usize, usize)) {
        let b = self.block;
        let wide = shape.columns.next_multiple_of(b);
        for row in 0..shape.rows {
            let (vectors, r) = (row / b * wide, row % b);
            for column in 0..shape.columns {
                let (first, c) = (column - column % b, column % b);
                let turn = if r < c { r + b - c } else { r - c };
                each(row * shape.columns + column, vectors + first + turn);
            }
        }
    }
}

impl Structured for BlockCirculant {
    fn check(&self, shape: Shape) -> Result<()> {
        if circulant_fits(shape.rows, shape.columns, self.block) {
            return Ok(());
        }
        let (block, Shape { rows, columns }) = (self.block, shape);
        let what =
            format!("is {block}, which a matrix of {rows} x {columns} cannot have: give 2 to 64");
        Err(Error::config("block", what))
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let (rows, columns) =
            (shape.rows.div_ceil(self.block), shape.columns.next_multiple_of(self.block));
        vec![LeafShape { suffix: Structure::BlockCirculant.suffix(0), rows, columns }]
    }

    /// The mean along each wrapped diagonal, as far as it lies within the matrix: the nearest in the Frobenius norm.
    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        let leaf = &self.leaves(shape)[0];
        let mut sums = vec![(0.0f64, 0u32); leaf.rows * leaf.columns];
        self.each(shape, |at, of| {
            sums[of].0 += f64::from(dense[at]);
            sums[of].1 += 1;
        });
        let means = sums.into_iter().map(|(sum, count)| (sum / f64::from(count.max(1))) as f32);
        Ok(vec![means.collect()])
    }

    fn terms(&self) -> usize {
        1
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        self.each(shape, |at, of| out[at] = leaves[0][of]);
    }

    fn pull_back(&self, _: &[&[f32]], shape: Shape, d_dense: &[f32], d_leaves: &mut [&mut [f32]]) {
        d_leaves[0].fill(0.0);
        self.each(shape, |at, of| d_leaves[0][of] += d_dense[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{distance, numbers, round_trip};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_circulant_matrix_comes_back_from_its_projection(
            rows in 1usize..40, columns in 1usize..40, block in 1usize..20, seed: u32,
        ) {
            let shape = Shape { rows, columns };
            round_trip(&BlockCirculant { block }, shape, seed, 1e-6)?;
        }

        /// What is left of a matrix is orthogonal to all block-circulant ones, so no other is nearer.
        #[test]
        fn the_projection_is_the_nearest(rows in 1usize..30, columns in 1usize..30, block in 1usize..9, seed: u32) {
            let (shape, form) = (Shape { rows, columns }, BlockCirculant { block });
            let dense = numbers(rows * columns, seed);
            let nearest = form.decompose(&dense, shape).unwrap();
            let mut other = nearest.clone();
            let noise = numbers(other[0].len(), !seed);
            other[0].iter_mut().zip(noise).for_each(|(x, noise)| *x += 0.1 * noise);
            let (best, worse) = (distance(&form, &nearest, shape, &dense), distance(&form, &other, shape, &dense));
            prop_assert!(best <= worse + 1e-9, "{best} {worse}");
        }
    }

    #[test]
    fn blocks_turn_their_first_column() {
        let (form, shape) = (BlockCirculant { block: 3 }, Shape { rows: 4, columns: 5 });
        let leaf: Vec<f32> = (0..12u8).map(f32::from).collect();
        let mut out = vec![0.0; 20];
        form.materialise(&[&leaf], shape, &mut out);
        let wanted = [[0, 2, 1, 3, 5], [1, 0, 2, 4, 3], [2, 1, 0, 5, 4], [6, 8, 7, 9, 11]];
        assert_eq!(out, wanted.concat().into_iter().map(|x: u8| f32::from(x)).collect::<Vec<_>>());
    }
}
