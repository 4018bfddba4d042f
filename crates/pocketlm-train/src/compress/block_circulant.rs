//! Block-circulant: each matrix becomes blocks that turn one vector round, the mean along each wrapped diagonal.

use serde::{Deserialize, Serialize};

use super::{Context, Method, Outline, structure};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrix::{BlockCirculant as Form, Shape, Structure};

/// Turns matrices into circulant blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCirculant {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Rows and columns of a block: by so much the matrix gets smaller.
    pub block: usize,
}

impl BlockCirculant {
    fn form(&self) -> Structure {
        Structure::BlockCirculant(Form { block: self.block })
    }
}

impl Method for BlockCirculant {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        structure::declare(outline, &self.matrices, |_: &str, _: Shape| Ok(self.form()))
    }

    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        structure::apply(model, &self.matrices, |_: &str, _: Shape| Ok(self.form()))
    }
}
