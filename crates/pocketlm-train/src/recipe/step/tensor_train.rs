//! Tensor train: each matrix becomes a chain of small cores, by TT-SVD.

use serde::{Deserialize, Serialize};

use super::declare::{Declare, Size, Structural, restructure};
use crate::error::{Error, Result};
use crate::matrix::{Shape, Structure, TensorTrain as Form};
use crate::recipe::outline::Outline;

/// Turns matrices into tensor trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorTrain {
    /// Matrices; `*` stands for any text.
    pub matrices: Vec<String>,
    /// Number of cores.
    #[serde(default = "three")]
    pub cores: usize,
    /// Greatest rank between two cores, or what it follows from: exactly one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Numbers of the cores over those of the matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

fn three() -> usize {
    3
}

impl Structural for TensorTrain {
    fn matrices(&self) -> &[String] {
        &self.matrices
    }

    fn form(&self, name: &str, shape: Shape) -> Result<Structure> {
        let size = Size::one_of(&[self.rank.map(Size::Rank), self.ratio.map(Size::Ratio)])?;
        let Size::Ratio(ratio) = size else {
            let form = Form::with_rank(shape, self.cores, self.rank.unwrap_or(0));
            return form.map(Structure::TensorTrain);
        };
        // Asked for its error, in case the number of cores is the fault.
        Form::with_rank(shape, self.cores, 1)?;
        let room = ratio * (shape.rows * shape.columns) as f64;
        let form = Form::within(shape, self.cores, room as usize);
        form.map(Structure::TensorTrain).ok_or_else(|| {
            Error::config("ratio", format!("is {ratio}, which leaves no room in {name} for rank 1"))
        })
    }
}

impl Declare for TensorTrain {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        restructure(outline, &self.matrices, |name, shape| self.form(name, shape))
    }
}
