//! A matrix, or a factor of one, whose own numbers the file holds: all of them, or some with their positions.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use super::dense::Dense;
use super::panels::Panels;
use super::scratch::Scratch;
use super::unstructured::Unstructured;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, Word};
use crate::leaves::Leaves;
use crate::spec::{Sparsity, Structure};

#[cfg(feature = "pack")]
pub(crate) mod write;

/// A matrix `[rows, columns]` of its own numbers.
#[derive(Debug)]
pub(crate) enum Stored {
    Dense(Dense),
    Unstructured(Unstructured),
    Panels(Panels),
}

/// Calls the same method of whatever form the numbers have.
macro_rules! each {
    ($matrix:expr, $form:ident => $call:expr) => {
        match $matrix {
            Stored::Dense($form) => $call,
            Stored::Unstructured($form) => $call,
            Stored::Panels($form) => $call,
        }
    };
}

impl Stored {
    /// Takes the arrays that `description` names into use, fully checked.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let Description { name, structure, sparsity, .. } = description;
        if description.rows == 0 || description.columns == 0 {
            return Err(Error::matrix(name, "has no rows or no columns"));
        }
        let newer = |axis: &str, value: String| {
            Error::matrix(name, format!("has the {axis} {value:?}, which this version cannot read"))
        };
        match (structure, sparsity) {
            (Word::Known(Structure::Dense), Word::Known(sparsity)) => match sparsity {
                Sparsity::None => Dense::open(description, leaves).map(Self::Dense),
                Sparsity::Unstructured => {
                    Unstructured::open(description, leaves).map(Self::Unstructured)
                }
                Sparsity::Panels => Panels::open(description, leaves).map(Self::Panels),
            },
            (Word::Known(Structure::Dense), other) => Err(newer("sparsity", format!("{other}"))),
            (other, _) => Err(newer("structure", format!("{other}"))),
        }
    }

    /// Values that come out.
    pub(crate) fn rows(&self) -> usize {
        each!(self, form => form.rows())
    }

    /// Values that go in.
    pub(crate) fn columns(&self) -> usize {
        each!(self, form => form.columns())
    }

    /// Makes `scratch` large enough for products with `batch` vectors, and for rows.
    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        each!(self, form => form.reserve(batch, scratch));
    }

    /// Does the part of a product with `x` `[batch, columns]` that all rows share.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        each!(self, form => form.prepare(x, batch, scratch));
    }

    /// Adds the rows `rows` of the product to `out` `[batch, rows.len()]`, after [`prepare`](Self::prepare) with the
    /// same `x`. `rows` starts at a multiple of 16.
    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &mut Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        each!(self, form => form.apply_rows(x, scratch, rows, out));
    }

    /// Adds the product with `x` `[batch, columns]` to `out` `[batch, rows]`.
    pub(crate) fn apply(&self, x: &[f32], batch: usize, scratch: &mut Scratch, out: &mut [f32]) {
        self.prepare(x, batch, scratch);
        self.apply_rows(x, scratch, 0..self.rows(), out);
    }

    /// Writes row `row` into `out` `[columns]`.
    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        match self {
            Self::Dense(dense) => dense.row(row, out),
            Self::Unstructured(sparse) => sparse.row(row, scratch, out),
            Self::Panels(panels) => panels.row(row, scratch, out),
        }
    }

    /// Numbers kept.
    pub(crate) fn parameters(&self) -> usize {
        each!(self, form => form.parameters())
    }

    /// Bytes of its arrays.
    pub(crate) fn bytes(&self) -> usize {
        each!(self, form => form.bytes())
    }

    /// The first fault among its numbers (a weight that is not finite), if there is one; reads them all.
    pub(crate) fn fault(&self) -> Option<String> {
        each!(self, form => form.fault())
    }
}
