//! Toeplitz-like: each matrix becomes square blocks of low displacement rank.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, Structural, restructure};
use crate::error::Result;
use crate::matrix::{Shape, Structure, ToeplitzLike as Form};
use crate::recipe::outline::Outline;

/// Turns matrices into blocks of low displacement rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToeplitzLike {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Terms of a block, of two vectors each.
    pub rank: usize,
    /// Rows and columns of a block; the smaller side of the matrix if absent, which makes one block of each gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
}

impl Structural for ToeplitzLike {
    fn matrices(&self) -> &[String] {
        &self.matrices
    }

    fn form(&self, _: &str, shape: Shape) -> Result<Structure> {
        let block = self.block.unwrap_or(shape.rows.min(shape.columns));
        Ok(Structure::ToeplitzLike(Form { block, rank: self.rank }))
    }
}

impl Declare for ToeplitzLike {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| self.form(name, shape))
    }
}
