//! Quantisation: each number of a leaf in a few bits, as the packed file has them.
//!
//! The numbers that are trained stay as they are; from this step on the model computes with what the file will
//! hold, so a later fine-tuning is quantisation-aware (rounded forward, straight through backward).

use std::borrow::Cow;

use nalgebra::DMatrix;

use super::calibration::Calibration;
use super::compensate::{Grid, compensate};
use super::context::{Apply, Context};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::linear::{Entry, Parameters};
use crate::recipe::step::quantise::owner;
use crate::recipe::{Declare, Outline, Quantise};

impl Quantise {
    /// Rounds the chosen leaves on the inputs that training text gives.
    fn round(
        &self,
        model: &Checkpoint,
        calibration: &Calibration,
        leaves: &mut Parameters,
    ) -> Result<()> {
        let outline = model.outline();
        let Some(grid) = Grid::of(self.precision) else { return Ok(()) };
        // A low-rank matrix's right factor comes after its left one, whose inputs it makes.
        for leaf in outline.leaves(&self.matrices)?.iter().rev() {
            let Some(moment) = moment(&outline, calibration, leaf, leaves) else { continue };
            let numbers = &mut leaves.data[leaf.range.clone()];
            compensate(numbers, leaf.columns, &moment, &grid)?;
        }
        Ok(())
    }
}

impl Quantise {
    /// Gives a model the precision, and these leaves.
    fn reform(&self, model: &mut Checkpoint, leaves: Parameters) -> Result<()> {
        let mut outline = model.outline();
        self.declare(&mut outline)?;
        model.reform(outline.forms, leaves)
    }
}

/// The second moment of what a leaf is multiplied with; none for an embedding.
fn moment<'a>(
    outline: &Outline,
    calibration: &'a Calibration,
    leaf: &Entry,
    leaves: &Parameters,
) -> Option<Cow<'a, [f64]>> {
    let Some((matrix, _)) = owner(outline, &leaf.name) else {
        return calibration.moment(&leaf.name).map(Cow::Borrowed);
    };
    let moment = calibration.moment(matrix)?;
    if leaf.name.ends_with(".right") {
        return Some(Cow::Borrowed(moment));
    }
    let right = leaves.find(&format!("{matrix}.right"))?;
    let (rank, columns) = (right.rows, right.columns);
    let numbers = leaves.data[right.range.clone()].iter().map(|&x| f64::from(x));
    let right = DMatrix::from_row_iterator(rank, columns, numbers);
    let moment = DMatrix::from_row_slice(columns, columns, moment);
    Some(Cow::Owned((&right * moment * right.transpose()).as_slice().to_vec()))
}

impl Apply for Quantise {
    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        match context.corpus.filter(|_| self.compensate) {
            Some(corpus) => self.apply_by(model, &Calibration::measure(model, corpus)?, context),
            None => self.reform(model, model.leaves.clone()),
        }
    }

    fn apply_by(&self, model: &mut Checkpoint, by: &Calibration, _: &Context) -> Result<()> {
        let mut leaves = model.leaves.clone();
        if self.compensate {
            self.round(model, by, &mut leaves)?;
        }
        self.reform(model, leaves)
    }
}
