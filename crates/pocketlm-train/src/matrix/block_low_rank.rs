//! Block-wise low rank (GroupReduce, Chen et al. 2018): groups of rows, one below the other, each the product of
//! two thin matrices of its own rank. Rows of embedding and softmax are words from the most frequent down, so the
//! first groups are the frequent words, which can have a higher rank than the many rare ones.

use std::ops::Range;

use pocketlm::Structure;
use serde::{Deserialize, Serialize};

use super::low_rank::LowRank;
use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};

/// The sizes of the groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockLowRank {
    /// Rows of each group: together those of the matrix.
    pub rows: Vec<usize>,
    /// Rank of each group.
    pub ranks: Vec<usize>,
}

/// Most groups, which is what the runtime takes.
const MAX_GROUPS: usize = 64;

impl BlockLowRank {
    /// A group as a matrix of its own, and where its rows are.
    pub fn groups(&self, shape: Shape) -> impl Iterator<Item = (LowRank, Shape, Range<usize>)> {
        let mut first = 0;
        self.rows.iter().zip(&self.ranks).map(move |(&rows, &rank)| {
            let range = first..first + rows;
            first += rows;
            (LowRank { rank }, Shape { rows, ..shape }, range)
        })
    }

    /// The same with the places of its numbers in the dense matrix.
    fn parts(&self, shape: Shape) -> impl Iterator<Item = (LowRank, Shape, Range<usize>)> {
        let numbers =
            move |rows: Range<usize>| rows.start * shape.columns..rows.end * shape.columns;
        self.groups(shape).map(move |(form, own, rows)| (form, own, numbers(rows)))
    }
}

impl Structured for BlockLowRank {
    fn check(&self, shape: Shape) -> Result<()> {
        let count = self.rows.len();
        let all: usize = self.rows.iter().sum();
        if all != shape.rows || count != self.ranks.len() || count > MAX_GROUPS {
            let what = format!(
                "make {all} with {} ranks: give up to {MAX_GROUPS} numbers that make {}, and as many ranks",
                self.ranks.len(),
                shape.rows
            );
            return Err(Error::config("rows", what));
        }
        self.groups(shape).try_for_each(|(form, own, _)| form.check(own))
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let leaves = self.groups(shape).flat_map(|(form, own, _)| form.leaves(own));
        let named = leaves
            .enumerate()
            .map(|(k, leaf)| LeafShape { suffix: Structure::BlockLowRank.suffix(k), ..leaf });
        named.collect()
    }

    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        let mut leaves = Vec::new();
        for (form, own, part) in self.parts(shape) {
            leaves.extend(form.decompose(&dense[part], own)?);
        }
        Ok(leaves)
    }

    /// The mean over the rows.
    fn terms(&self) -> usize {
        let sum: usize = self.rows.iter().zip(&self.ranks).map(|(rows, rank)| rows * rank).sum();
        (sum / self.rows.iter().sum::<usize>().max(1)).max(1)
    }

    /// The two of the row's group.
    fn depth(&self, _: usize) -> usize {
        2
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        for ((form, own, part), pair) in self.parts(shape).zip(leaves.chunks_exact(2)) {
            form.materialise(pair, own, &mut out[part]);
        }
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let pairs = leaves.chunks_exact(2).zip(d_leaves.chunks_exact_mut(2));
        for ((form, own, part), (pair, d_pair)) in self.parts(shape).zip(pairs) {
            form.pull_back(pair, own, &d_dense[part], d_pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::round_trip;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_wise_matrix_comes_back(
            groups in prop::collection::vec((1usize..20, 1usize..5), 1..5), columns in 1usize..20, seed: u32,
        ) {
            let (rows, ranks): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
            let ranks = rows.iter().zip(ranks).map(|(&rows, rank): (&usize, usize)| rank.min(rows).min(columns));
            let form = BlockLowRank { ranks: ranks.collect(), rows };
            let shape = Shape { rows: form.rows.iter().sum(), columns };
            form.check(shape).unwrap();
            round_trip(&form, shape, seed, 1e-4)?;
        }
    }
}
