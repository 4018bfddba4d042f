//! Diagonal plus low rank: each matrix becomes the product of two thin ones and a number a row.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, Size, Structural, restructure};
use crate::error::{Error, Result};
use crate::matrix::{DiagonalLowRank as Form, Shape, Structure};
use crate::recipe::outline::Outline;

/// Splits matrices into two factors and a diagonal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagonalLowRank {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// The rank of the factors: this or `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Numbers of factors and diagonal over those of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

impl Structural for DiagonalLowRank {
    fn matrices(&self) -> &[String] {
        &self.matrices
    }

    fn form(&self, name: &str, Shape { rows, columns }: Shape) -> Result<Structure> {
        let of_form = |rank| Structure::DiagonalLowRank(Form { rank });
        let Size::Ratio(ratio) =
            Size::one_of(&[self.rank.map(Size::Rank), self.ratio.map(Size::Ratio)])?
        else {
            return Ok(of_form(self.rank.unwrap_or_default()));
        };
        let room = ratio * (rows * columns) as f64 - rows as f64;
        let rank = (room / (rows + columns) as f64) as usize;
        if rank == 0 {
            let least = 2 * rows + columns;
            let what = format!("leaves no room in {name} for rank 1, which takes {least} numbers");
            return Err(Error::config("ratio", what));
        }
        Ok(of_form(rank.min(rows.min(columns))))
    }
}

impl Declare for DiagonalLowRank {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| self.form(name, shape))
    }
}
