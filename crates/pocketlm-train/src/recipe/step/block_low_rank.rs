//! Block-wise low rank by word frequency (GroupReduce, Chen et al. 2018): the rows of embedding and softmax in
//! groups from frequent to rare words, each group two thin factors of a rank of its own.
//!
//! An error in a row counts by how often its word comes, and in the softmax by how often the inputs take its
//! direction. All groups share one budget of numbers: the next singular value is always the one that gains most of
//! the weighted error for each number that it costs.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, restructure};
use crate::error::{Error, Result};
use crate::matrix::{BlockLowRank as Form, Shape, Structure};
use crate::recipe::outline::Outline;

/// Splits the rows of matrices into groups, and each group in two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockLowRank {
    /// Matrices whose rows are words; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Numbers of all factors over those of the matrix.
    pub ratio: f64,
    /// Number of groups, each twice as large as the one before it.
    #[serde(default = "five")]
    pub groups: usize,
}

fn five() -> usize {
    5
}

impl BlockLowRank {
    /// The groups, and ranks by which each takes the same share of the budget.
    pub(crate) fn form(&self, name: &str, shape: Shape) -> Result<Form> {
        if !["embedding", "softmax"].contains(&name) {
            let what = format!("has {name}, whose rows are no words: give embedding, softmax");
            return Err(Error::config("matrices", what));
        }
        if !(self.ratio > 0.0 && self.ratio <= 1.0) {
            let what = format!("is {}: give a share, above 0, up to 1", self.ratio);
            return Err(Error::config("ratio", what));
        }
        let most = 16.min(shape.rows);
        if !(1..=most).contains(&self.groups) {
            let what = format!("is {}: give a number from 1 to {most}", self.groups);
            return Err(Error::config("groups", what));
        }
        let rows = sizes(shape.rows, self.groups);
        let rank = |rows: usize| {
            let room = self.ratio * (rows * shape.columns) as f64;
            ((room / (rows + shape.columns) as f64) as usize).min(rows).min(shape.columns)
        };
        let ranks: Vec<usize> = rows.iter().map(|&rows| rank(rows)).collect();
        if ranks.contains(&0) {
            let what =
                format!("is {}, which leaves no room in a group of {name} for rank 1", self.ratio);
            return Err(Error::config("ratio", what));
        }
        Ok(Form { rows, ranks })
    }
}

/// Sizes of groups, each about twice as large as the one before, together `rows`.
fn sizes(rows: usize, groups: usize) -> Vec<usize> {
    let parts = (1u64 << groups) - 1;
    let end = |group: usize| {
        let share = ((1u64 << (group + 1)) - 1) as f64 / parts as f64;
        // Every group has a row.
        ((rows as f64 * share).round() as usize).clamp(group + 1, rows - (groups - 1 - group))
    };
    let ends: Vec<usize> = (0..groups).map(end).collect();
    let starts = std::iter::once(&0).chain(&ends);
    ends.iter().zip(starts).map(|(end, start)| end - start).collect()
}

impl Declare for BlockLowRank {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| {
            self.form(name, shape).map(Structure::BlockLowRank)
        })
    }

    fn needs_text(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_double_and_make_up_the_whole() {
        assert_eq!(sizes(31, 5), [1, 2, 4, 8, 16]);
        assert_eq!(sizes(10_000, 5), [323, 645, 1290, 2581, 5161]);
        for (rows, groups) in [(5, 5), (6, 5), (40, 4), (33_278, 7), (1, 1)] {
            let sizes = sizes(rows, groups);
            assert_eq!(sizes.iter().sum::<usize>(), rows);
            assert!(sizes.iter().all(|&size| size > 0), "{sizes:?}");
        }
    }
}
