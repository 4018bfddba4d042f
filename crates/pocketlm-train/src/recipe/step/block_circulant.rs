//! Block-circulant: each matrix becomes blocks that turn one vector round, the mean along each wrapped diagonal.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, Structural, restructure};
use crate::error::Result;
use crate::matrix::{BlockCirculant as Form, Shape, Structure};
use crate::recipe::outline::Outline;

/// Turns matrices into circulant blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCirculant {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Rows and columns of a block: by so much the matrix gets smaller.
    pub block: usize,
}

impl Structural for BlockCirculant {
    fn matrices(&self) -> &[String] {
        &self.matrices
    }

    fn form(&self, _: &str, _: Shape) -> Result<Structure> {
        Ok(Structure::BlockCirculant(Form { block: self.block }))
    }
}

impl Declare for BlockCirculant {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| self.form(name, shape))
    }
}
