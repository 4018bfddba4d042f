//! Toeplitz-like: each matrix becomes square blocks of low displacement rank.

use serde::{Deserialize, Serialize};

use super::{Context, Method, Outline, structure};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrix::{Shape, Structure, ToeplitzLike as Form};

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

impl ToeplitzLike {
    fn form(&self, shape: Shape) -> Structure {
        let block = self.block.unwrap_or(shape.rows.min(shape.columns));
        Structure::ToeplitzLike(Form { block, rank: self.rank })
    }
}

impl Method for ToeplitzLike {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        structure::declare(outline, &self.matrices, |_: &str, shape| Ok(self.form(shape)))
    }

    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        structure::apply(model, &self.matrices, |_: &str, shape| Ok(self.form(shape)))
    }
}
