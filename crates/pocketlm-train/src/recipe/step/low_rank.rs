//! Low rank: each matrix becomes the product of two thin ones, by a singular value decomposition.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, Size, restructure};
use crate::error::{Error, Result};
use crate::matrix::{LowRank as Form, Shape, Structure};
use crate::recipe::outline::Outline;

/// Splits matrices in two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowRank {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// The rank, or what it follows from: exactly one of the four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Share of the energy (the sum of squared singular values) to keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<f64>,
    /// Numbers of the factors over those of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// Bytes of each matrix's factors at 4 bytes a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// Whether the error counts by how often the inputs take each direction in the training text (for the
    /// embedding: by how often a word comes).
    #[serde(default)]
    pub weighted: bool,
    /// Whether the error in a row counts by its Fisher information (Hsu et al. 2022): the mean of its squared
    /// gradient in the training text, for embedding and softmax how often its word comes.
    #[serde(default)]
    pub fisher: bool,
}

impl LowRank {
    fn size(&self) -> Result<Size> {
        Size::one_of(&[
            self.rank.map(Size::Rank),
            self.energy.map(Size::Energy),
            self.ratio.map(Size::Ratio),
            self.bytes.map(|bytes| Size::Numbers(bytes / 4)),
        ])
    }

    /// The rank for a matrix, as far as it is known without its singular values.
    pub(crate) fn rank(&self, name: &str, shape: Shape) -> Result<usize> {
        let most = shape.rows.min(shape.columns);
        let per_rank = shape.rows + shape.columns;
        let within = |numbers: f64| {
            let rank = (numbers / per_rank as f64) as usize;
            if rank > 0 {
                return Ok(rank.min(most));
            }
            let what =
                format!("leaves no room in {name} for rank 1, which takes {per_rank} numbers");
            Err(Error::config("low-rank", what))
        };
        match self.size()? {
            Size::Rank(rank) => Ok(rank),
            Size::Energy(share) if share > 0.0 && share <= 1.0 => Ok(most),
            Size::Energy(share) => {
                Err(Error::config("energy", format!("is {share}: give a share, above 0, up to 1")))
            }
            Size::Ratio(ratio) => within(ratio * (shape.rows * shape.columns) as f64),
            Size::Numbers(numbers) => within(numbers as f64),
        }
    }
}

impl Declare for LowRank {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| {
            Ok(Structure::LowRank(Form { rank: self.rank(name, shape)? }))
        })
    }

    fn declare_untrained(&self, outline: &mut Outline) -> Result<()> {
        if self.energy.is_some() {
            let what = "needs a trained matrix: from scratch give rank, ratio or bytes";
            return Err(Error::config("energy", what));
        }
        self.declare(outline)
    }

    fn needs_text(&self) -> bool {
        self.weighted || self.fisher
    }
}
