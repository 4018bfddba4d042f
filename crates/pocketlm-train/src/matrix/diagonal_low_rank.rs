//! Diagonal plus low rank: `W [rows, columns] = left [rows, rank] · right [rank, columns] + D`, where D has one number
//! a row, in row i at column i mod columns: the diagonals of the squares of which the matrix is a pile. The recurrent
//! matrix of a cell without projection is such a pile of gates, each of which so remembers a unit by itself. (State
//! matrices are of this kind in Gu, Goel & Ré 2022, section 3.)

use pocketlm::Structure;
use serde::{Deserialize, Serialize};

use super::low_rank::LowRank;
use super::structured::{LeafShape, Shape, Structured};
use crate::error::Result;

/// Rounds of a decomposition at most; it ends early where one gains next to nothing.
const ROUNDS: usize = 12;

/// The share of the squared error that a round has to gain.
const LEAST_GAIN: f64 = 1e-3;

/// A product of two thin matrices, and a number a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagonalLowRank {
    /// Columns of the left factor, rows of the right one.
    pub rank: usize,
}

impl DiagonalLowRank {
    fn low_rank(&self) -> LowRank {
        LowRank { rank: self.rank }
    }

    /// One round: the best factors of what the diagonal leaves, then the best diagonal for these factors. Returns all
    /// leaves and the squared error, which is never larger than before.
    fn round(&self, dense: &[f32], shape: Shape, diagonal: &[f32]) -> Result<(Vec<Vec<f32>>, f64)> {
        let mut rest = dense.to_vec();
        let places = || places(shape).zip(diagonal);
        places().for_each(|(at, d)| rest[at] -= d);
        let mut leaves = self.low_rank().decompose(&rest, shape)?;
        let mut product = vec![0.0; dense.len()];
        self.low_rank().materialise(&[&leaves[0], &leaves[1]], shape, &mut product);
        leaves.push(self::places(shape).map(|at| dense[at] - product[at]).collect());
        let squares = dense.iter().zip(&product).map(|(a, b)| f64::from(a - b).powi(2));
        let own: f64 = leaves[2].iter().map(|&d| f64::from(d).powi(2)).sum();
        Ok((leaves, squares.sum::<f64>() - own))
    }
}

/// Where the numbers of the diagonal stand in the matrix, row by row.
fn places(shape: Shape) -> impl Iterator<Item = usize> {
    (0..shape.rows).map(move |row| row * shape.columns + row % shape.columns)
}

impl Structured for DiagonalLowRank {
    fn check(&self, shape: Shape) -> Result<()> {
        self.low_rank().check(shape)
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let sizes = [(shape.rows, self.rank), (self.rank, shape.columns), (shape.rows, 1)];
        let leaves = sizes.into_iter().enumerate();
        leaves
            .map(|(factor, (rows, columns))| {
                let suffix = Structure::DiagonalLowRank.suffix(factor);
                LeafShape { suffix, rows, columns }
            })
            .collect()
    }

    /// By turns the factors and the diagonal that are best for the other, from the diagonal of zeros on: no worse than
    /// low rank alone.
    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        let (mut leaves, mut error) = self.round(dense, shape, &vec![0.0; shape.rows])?;
        for _ in 1..ROUNDS {
            let (next, less) = self.round(dense, shape, &leaves[2])?;
            if less > (1.0 - LEAST_GAIN) * error {
                break;
            }
            (leaves, error) = (next, less);
        }
        Ok(leaves)
    }

    fn terms(&self) -> usize {
        self.rank
    }

    /// The factors' share of a number.
    fn depth(&self, _: usize) -> usize {
        2
    }

    /// The diagonal starts as zeros, since the factors alone give every number its variance.
    fn start(&self, leaf: usize, _: usize, range: f64) -> f64 {
        if leaf < 2 { self.low_rank().start(leaf, 2, range) } else { 0.0 }
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        self.low_rank().materialise(&leaves[..2], shape, out);
        places(shape).zip(leaves[2]).for_each(|(at, d)| out[at] += d);
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        self.low_rank().pull_back(&leaves[..2], shape, d_dense, &mut d_leaves[..2]);
        d_leaves[2].iter_mut().zip(places(shape)).for_each(|(d, at)| *d = d_dense[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{dense, distance, noise, round_trip};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn rounds_never_lose_more_and_the_first_is_as_good_as_low_rank(
            rows in 1usize..40, columns in 1usize..40, rank in 1usize..9, seed: u64,
        ) {
            let (shape, rank) = (Shape { rows, columns }, rank.min(rows).min(columns));
            let (form, wanted) = (DiagonalLowRank { rank }, noise(rows * columns, seed));
            let plain = LowRank { rank }.decompose(&wanted, shape).unwrap();
            let mut error = distance(&LowRank { rank }, &plain, shape, &wanted);
            let mut diagonal = vec![0.0; rows];
            for _ in 0..6 {
                let (leaves, less) = form.round(&wanted, shape, &diagonal).unwrap();
                let found = distance(&form, &leaves, shape, &wanted);
                prop_assert!((found - less).abs() < 1e-4 * (1.0 + error), "{found} {less}");
                prop_assert!(less <= error + 1e-4 * (1.0 + error), "{less} after {error}");
                (diagonal, error) = (leaves[2].clone(), less);
            }
        }

        /// `sum(weights * dense)` is linear in each leaf, so central differences are exact but for rounding.
        #[test]
        fn pull_back_is_the_gradient_of_materialise(
            rows in 1usize..12, columns in 1usize..12, rank in 1usize..4, seed: u64,
        ) {
            let (shape, rank) = (Shape { rows, columns }, rank.min(rows).min(columns));
            let form = DiagonalLowRank { rank };
            let sizes = form.leaves(shape).into_iter().zip(1..);
            let leaves: Vec<_> =
                sizes.map(|(leaf, k)| noise(leaf.rows * leaf.columns, seed ^ k)).collect();
            let weights = noise(rows * columns, !seed);
            let mut found: Vec<_> = leaves.iter().map(|leaf| vec![9.0; leaf.len()]).collect();
            let views: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
            let mut own: Vec<&mut [f32]> = found.iter_mut().map(Vec::as_mut_slice).collect();
            form.pull_back(&views, shape, &weights, &mut own);
            let value = |leaves: &[Vec<f32>]| -> f64 {
                let dense = dense(&form, leaves, shape);
                dense.iter().zip(&weights).map(|(a, b)| f64::from(a * b)).sum()
            };
            for (leaf, found) in found.iter().enumerate() {
                for (at, &found) in found.iter().enumerate() {
                    let (mut up, mut down) = (leaves.clone(), leaves.clone());
                    up[leaf][at] += 0.5;
                    down[leaf][at] -= 0.5;
                    let difference = value(&up) - value(&down);
                    prop_assert!((difference - f64::from(found)).abs() < 1e-4, "{difference} {found}");
                }
            }
        }

        #[test]
        fn a_matrix_of_this_kind_comes_back_from_its_projection(squares in 1usize..4, seed: u32) {
            let shape = Shape { rows: squares * 30, columns: 30 };
            round_trip(&DiagonalLowRank { rank: 1 }, shape, seed, 1e-3)?;
        }
    }

    #[test]
    fn each_square_of_a_pile_has_its_diagonal() {
        let shape = Shape { rows: 5, columns: 2 };
        let diagonal: Vec<f32> = (1..=5u8).map(f32::from).collect();
        let found =
            dense(&DiagonalLowRank { rank: 1 }, &[vec![0.0; 5], vec![0.0; 2], diagonal], shape);
        assert_eq!(found, [1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 4.0, 5.0, 0.0]);
    }
}
