//! Structures: each matrix in the leaves that come nearest to it.

use super::context::{Apply, Context};
use super::leaves::{carry, put};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrix::{Shape, Structure};
use crate::recipe::Structural;
use crate::recipe::step::declare::restructure;

impl<T: Structural> Apply for T {
    fn apply(&self, model: &mut Checkpoint, _: &Context) -> Result<()> {
        decompose(model, self.matrices(), |name, shape| self.form(name, shape))
    }
}

/// Gives the matrices that `patterns` match their structure, with the leaves that come nearest.
///
/// # Errors
/// As [`restructure`], or when a matrix holds numbers that are not finite.
pub(super) fn decompose(
    model: &mut Checkpoint,
    patterns: &[String],
    form: impl Fn(&str, Shape) -> Result<Structure>,
) -> Result<()> {
    let mut outline = model.outline();
    let chosen = outline.matrices(patterns)?;
    restructure(&mut outline, patterns, form)?;
    let (_, mut leaves) = outline.parametrization()?;
    carry(&model.leaves, &mut leaves);
    for (name, shape) in chosen {
        let entry = model.parameters.find(&name).expect("the outline's names are the network's");
        let structure = outline.forms.structures[&name].operations();
        let dense = &model.parameters.data[entry.range.clone()];
        let shapes = structure.leaves(shape);
        for (leaf, numbers) in shapes.iter().zip(structure.decompose(dense, shape)?) {
            put(&mut leaves, &format!("{name}{}", leaf.suffix), &numbers);
        }
    }
    model.reform(outline.forms, leaves)
}
