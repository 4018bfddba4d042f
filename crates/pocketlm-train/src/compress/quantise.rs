//! Quantisation: each number of a leaf in a few bits, as the packed file has them.
//!
//! The numbers that are trained stay as they are; from this step on the model computes with what the file will
//! hold, so a later fine-tuning is quantisation-aware (rounded forward, straight through backward).

use std::borrow::Cow;

use nalgebra::DMatrix;
use pocketlm::pack::{Precision, Sparsity};
use serde::{Deserialize, Serialize};

use super::calibration::Calibration;
use super::compensate::{Grid, compensate};
use super::{Context, Method, Outline};
use crate::checkpoint::Checkpoint;
use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::matrix::{Structure, precision_name};
use crate::parameters::{Entry, Parameters};

/// Sets the precision of leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    /// Leaves, or matrices for all their leaves; `*` stands for any text.
    pub matrices: Vec<String>,
    /// As `pocketlm pack --precision` has them.
    #[serde(with = "precision_name")]
    pub precision: Precision,
    /// Whether what the rounding of a column loses is made up for by the columns after it, as far as the inputs of
    /// training text go together ([`compensate`]). The numbers themselves are rounded then, so a later fine-tuning
    /// starts from the rounded ones. Embeddings, whose inputs are single words, are rounded one by one.
    #[serde(default)]
    pub compensate: bool,
}

impl Quantise {
    /// Checks that a leaf can be compensated.
    fn check(&self, outline: &Outline, leaf: &Entry) -> Result<()> {
        if Grid::of(self.precision).is_none() {
            let what = format!(
                "is {}, which cannot be compensated: give int8, int4, int3, int2 or ternary",
                self.precision.name()
            );
            return Err(Error::config("precision", what));
        }
        let fault =
            |what: &str| Err(Error::config("matrices", format!("has {}, {what}", leaf.name)));
        if outline.forms.leaf(&leaf.name).sparsity != Sparsity::None {
            return fault("which is sparse: leave compensate out");
        }
        match owner(outline, &leaf.name) {
            Some((_, Structure::LowRank(_))) | None => Ok(()),
            Some(_) => fault("a factor whose inputs are not known: leave compensate out"),
        }
    }

    /// Rounds the chosen leaves on the inputs that training text gives.
    fn round(&self, model: &Checkpoint, corpus: &Corpus, leaves: &mut Parameters) -> Result<()> {
        let outline = Outline::of(model);
        let calibration = Calibration::measure(model, corpus)?;
        let Some(grid) = Grid::of(self.precision) else { return Ok(()) };
        // A low-rank matrix's right factor comes after its left one, whose inputs it makes.
        for leaf in outline.leaves(&self.matrices)?.iter().rev() {
            let Some(moment) = moment(&outline, &calibration, leaf, leaves) else { continue };
            let numbers = &mut leaves.data[leaf.range.clone()];
            compensate(numbers, leaf.columns, &moment, &grid)?;
        }
        Ok(())
    }
}

/// The matrix that a leaf is a factor of, and its structure.
fn owner<'a>(outline: &'a Outline, leaf: &str) -> Option<(&'a str, &'a Structure)> {
    let mut all = outline.forms.structures.iter();
    let is_own = |matrix: &str| leaf.strip_prefix(matrix).is_some_and(|rest| rest.starts_with('.'));
    all.find(|(matrix, _)| is_own(matrix)).map(|(matrix, structure)| (matrix.as_str(), structure))
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

impl Method for Quantise {
    fn declare(&self, outline: &mut Outline) -> Result<()> {
        for leaf in outline.leaves(&self.matrices)? {
            if self.compensate {
                self.check(outline, &leaf)?;
            }
            outline.forms.leaves.entry(leaf.name).or_default().precision = self.precision;
        }
        Ok(())
    }

    fn declare_untrained(&self, outline: &mut Outline) -> Result<()> {
        if self.compensate {
            let what = "needs a trained model: leave it out from scratch";
            return Err(Error::config("compensate", what));
        }
        self.declare(outline)
    }

    fn needs_text(&self) -> bool {
        self.compensate
    }

    fn apply(&self, model: &mut Checkpoint, context: &Context) -> Result<()> {
        let mut outline = Outline::of(model);
        self.declare(&mut outline)?;
        let mut leaves = model.leaves.clone();
        if let Some(corpus) = context.corpus.filter(|_| self.compensate) {
            self.round(model, corpus, &mut leaves)?;
        }
        model.reform(outline.forms, leaves)
    }
}
