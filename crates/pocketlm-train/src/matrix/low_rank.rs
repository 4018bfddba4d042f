//! Low rank: `W [rows, columns] = left [rows, rank] · right [rank, columns]`.

use pocketlm::Structure;
use serde::{Deserialize, Serialize};

use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};
use crate::linear::product::{View, Write, product};
use crate::linear::svd::{Balance, decompose};

/// The product of two thin matrices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowRank {
    /// Columns of the left factor, rows of the right one.
    pub rank: usize,
}

impl Structured for LowRank {
    fn check(&self, shape: Shape) -> Result<()> {
        let most = shape.rows.min(shape.columns);
        if (1..=most).contains(&self.rank) {
            return Ok(());
        }
        let what = format!(
            "is {}, and a matrix of {} x {} has a rank from 1 to {most}: give one of these",
            self.rank, shape.rows, shape.columns
        );
        Err(Error::config("rank", what))
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        vec![
            LeafShape {
                suffix: Structure::LowRank.suffix(0),
                rows: shape.rows,
                columns: self.rank,
            },
            LeafShape {
                suffix: Structure::LowRank.suffix(1),
                rows: self.rank,
                columns: shape.columns,
            },
        ]
    }

    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>> {
        let size = (shape.rows, shape.columns);
        let factors = decompose(dense, size, Balance::Both, |_| self.rank)?;
        Ok(vec![factors.left, factors.right])
    }

    fn terms(&self) -> usize {
        self.rank
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        let (left, right) = self.views(leaves, shape);
        product(out, shape.columns, Write::Set, left, right);
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let (left, right) = self.views(leaves, shape);
        let d = View::new(d_dense, shape.rows, shape.columns);
        product(d_leaves[0], self.rank, Write::Set, d, right.t());
        product(d_leaves[1], shape.columns, Write::Set, left.t(), d);
    }
}

impl LowRank {
    fn views<'a>(&self, leaves: &[&'a [f32]], shape: Shape) -> (View<'a>, View<'a>) {
        let left = View::new(leaves[0], shape.rows, self.rank);
        (left, View::new(leaves[1], self.rank, shape.columns))
    }
}
