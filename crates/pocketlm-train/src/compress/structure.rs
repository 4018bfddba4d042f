//! What the steps share that give matrices a structure and nothing else.

use super::Outline;
use super::low_rank::{carry, put};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::matrix::{Shape, Structure};

/// Notes the structure that `form` has for each matrix that `patterns` match.
///
/// # Errors
/// When a pattern matches none, a matrix has a structure already, or the one of `form` does not fit.
pub fn declare(
    outline: &mut Outline,
    patterns: &[String],
    form: impl Fn(&str, Shape) -> Result<Structure>,
) -> Result<()> {
    for (name, shape) in outline.matrices(patterns)? {
        super::must_be_dense(outline, &name)?;
        let structure = form(&name, shape)?;
        outline.forms.restructure(name, structure);
    }
    outline.parametrization().map(drop)
}

/// Gives the matrices that `patterns` match their structure, with the leaves that come nearest.
///
/// # Errors
/// As [`declare`], or when a matrix holds numbers that are not finite.
pub fn apply(
    model: &mut Checkpoint,
    patterns: &[String],
    form: impl Fn(&str, Shape) -> Result<Structure>,
) -> Result<()> {
    let mut outline = Outline::of(model);
    let chosen = outline.matrices(patterns)?;
    declare(&mut outline, patterns, form)?;
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
