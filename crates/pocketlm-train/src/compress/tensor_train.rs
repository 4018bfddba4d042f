//! Tensor train: each matrix becomes a chain of small cores, by TT-SVD.

use serde::{Deserialize, Serialize};

use super::low_rank::{carry, put};
use super::{Context, Method, Outline, Size};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::matrix::{Shape, Structure, TensorTrain as Form};

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

impl TensorTrain {
    fn form(&self, name: &str, shape: Shape) -> Result<Form> {
        let size = Size::one_of(&[self.rank.map(Size::Rank), self.ratio.map(Size::Ratio)])?;
        let Size::Ratio(ratio) = size else {
            return Form::with_rank(shape, self.cores, self.rank.unwrap_or(0));
        };
        // Asked for its error, in case the number of cores is the fault.
        Form::with_rank(shape, self.cores, 1)?;
        let room = ratio * (shape.rows * shape.columns) as f64;
        Form::within(shape, self.cores, room as usize).ok_or_else(|| {
            Error::config("ratio", format!("is {ratio}, which leaves no room in {name} for rank 1"))
        })
    }
}

impl Method for TensorTrain {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        for (name, shape) in outline.matrices(&self.matrices)? {
            super::must_be_dense(outline, &name)?;
            let form = self.form(&name, shape)?;
            outline.forms.structures.insert(name, Structure::TensorTrain(form));
        }
        outline.parametrization().map(drop)
    }

    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        let mut outline = Outline::of(model);
        let chosen = outline.matrices(&self.matrices)?;
        self.declare(&mut outline)?;
        for (name, _) in &chosen {
            outline.forms.leaves.remove(name);
        }
        let (_, mut leaves) = outline.parametrization()?;
        carry(&model.leaves, &mut leaves);
        for (name, shape) in chosen {
            let entry =
                model.parameters.find(&name).expect("the outline's names are the network's");
            let structure = outline.forms.structures[&name].operations();
            let dense = &model.parameters.data[entry.range.clone()];
            let shapes = structure.leaves(shape);
            for (leaf, numbers) in shapes.iter().zip(structure.decompose(dense, shape)?) {
                put(&mut leaves, &format!("{name}{}", leaf.suffix), &numbers);
            }
        }
        model.reform(outline.forms, leaves)
    }
}
