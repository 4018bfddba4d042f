//! A matrix that vectors can be multiplied by, whatever its structure, sparsity and precision.
//!
//! Cells, embedding and softmax know nothing of matrices but [`Matrix`]. A new form is one file here with
//! the same five functions, one variant, and one arm in each `match` below; [`Matrix::open`] is the registry
//! that turns a description in the file's metadata into a variant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Error, Result};
use crate::format::metadata::Description;

mod dense;
pub(crate) mod leaves;

pub(crate) use dense::Dense;
pub(crate) use leaves::Leaves;

/// Rows of a panel, the unit in which ranges of rows are multiplied.
pub(crate) const PANEL: usize = pocketlm_kernels::layout::PANEL_ROWS;

/// Buffers that a product needs; sized once by [`Matrix::reserve`], then used by all matrices.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scratch {
    /// Quantised activations `[batch, padded columns]`.
    pub(crate) q: Vec<i8>,
    /// One scale a vector, `[batch]`.
    pub(crate) scales: Vec<f32>,
    /// Sums of the quantised activations, `[batch, groups]`.
    pub(crate) sums: Vec<i32>,
}

/// A matrix `[rows, columns]` in the form that the file holds.
#[derive(Debug)]
pub(crate) enum Matrix {
    Dense(Dense),
}

impl Matrix {
    /// Finds the form that `description` names and takes its arrays into use, fully checked.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let name = &description.name;
        if description.rows == 0 || description.columns == 0 {
            return Err(Error::matrix(name, "has no rows or no columns"));
        }
        let newer = |axis: &str, value: &str| {
            Error::matrix(name, format!("has the {axis} {value:?}, which this version cannot read"))
        };
        if description.sparsity != "none" {
            return Err(newer("sparsity", &description.sparsity));
        }
        match description.structure.as_str() {
            "dense" => Dense::open(description, leaves).map(Matrix::Dense),
            structure => Err(newer("structure", structure)),
        }
    }

    /// Values that come out.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.rows(),
        }
    }

    /// Values that go in.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.columns(),
        }
    }

    /// Makes `scratch` large enough for products with `batch` vectors.
    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        match self {
            Matrix::Dense(dense) => dense.reserve(batch, scratch),
        }
    }

    /// Does the part of a product with `x` `[batch, columns]` that all rows share.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        match self {
            Matrix::Dense(dense) => dense.prepare(x, batch, scratch),
        }
    }

    /// Adds the rows `rows` of the product to `out` `[batch, rows.len()]`, after
    /// [`prepare`](Self::prepare) with the same `x`. `rows` starts at a multiple of [`PANEL`].
    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        match self {
            Matrix::Dense(dense) => dense.apply_rows(x, scratch, rows, out),
        }
    }

    /// Adds the product with `x` `[batch, columns]` to `out` `[batch, rows]`.
    pub(crate) fn apply(&self, x: &[f32], batch: usize, scratch: &mut Scratch, out: &mut [f32]) {
        self.prepare(x, batch, scratch);
        self.apply_rows(x, scratch, 0..self.rows(), out);
    }

    /// Writes row `row` into `out` `[columns]`.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        match self {
            Matrix::Dense(dense) => dense.row(row, out),
        }
    }

    /// Numbers that describe it.
    pub(crate) fn parameters(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.parameters(),
        }
    }

    /// Bytes of its arrays.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Matrix::Dense(dense) => dense.bytes(),
        }
    }

    /// The first fault among its numbers (a weight that is not finite), if there is one; reads them all.
    pub(crate) fn fault(&self) -> Option<String> {
        match self {
            Matrix::Dense(dense) => dense.fault(),
        }
    }
}
