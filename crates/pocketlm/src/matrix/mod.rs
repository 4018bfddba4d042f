//! A matrix that vectors can be multiplied by, whatever its structure, sparsity and precision.
//!
//! Cells, embedding and softmax know nothing of matrices but [`Matrix`]. A form is one file here, and beside it in a
//! folder of its name what writes it. A new structure has the same functions as the others, one variant, and one arm in
//! each `match` below; [`Matrix::open`] is the registry that turns a description in the file's metadata into a variant.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Result;
use crate::format::metadata::{Description, Word};
use crate::leaves::Leaves;
use crate::spec::Structure;

mod block_low_rank;
pub(crate) mod circulant;
pub(crate) mod dense;
mod diagonal_low_rank;
#[cfg(feature = "pack")]
pub(crate) mod encoded;
mod fft;
mod low_rank;
mod order;
mod panels;
mod planes;
mod product_quantised;
mod scratch;
mod shape;
pub(crate) mod stored;
mod tensor_train;
pub(crate) mod toeplitz;
pub(crate) mod unitary;
mod unstructured;
#[cfg(feature = "pack")]
pub(crate) mod write;

use block_low_rank::BlockLowRank;
use circulant::BlockCirculant;
use diagonal_low_rank::DiagonalLowRank;
use low_rank::LowRank;
pub(crate) use scratch::{PANEL, Scratch};
use stored::Stored;
use tensor_train::TensorTrain;
use toeplitz::ToeplitzLike;
use unitary::Unitary;

/// A matrix `[rows, columns]` in the form that the file holds.
#[derive(Debug)]
pub(crate) enum Matrix {
    Stored(Stored),
    LowRank(LowRank),
    DiagonalLowRank(DiagonalLowRank),
    TensorTrain(TensorTrain),
    BlockCirculant(BlockCirculant),
    ToeplitzLike(ToeplitzLike),
    BlockLowRank(BlockLowRank),
    Unitary(Unitary),
}

/// Calls the same method of whatever form a matrix has.
macro_rules! each {
    ($matrix:expr, $form:ident => $call:expr) => {
        match $matrix {
            Matrix::Stored($form) => $call,
            Matrix::LowRank($form) => $call,
            Matrix::DiagonalLowRank($form) => $call,
            Matrix::TensorTrain($form) => $call,
            Matrix::BlockCirculant($form) => $call,
            Matrix::ToeplitzLike($form) => $call,
            Matrix::BlockLowRank($form) => $call,
            Matrix::Unitary($form) => $call,
        }
    };
}

impl Matrix {
    /// Finds the form that `description` names and takes its arrays into use, fully checked.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let has_numbers = description.rows > 0 && description.columns > 0;
        let Word::Known(structure) = &description.structure else {
            return Stored::open(description, leaves).map(Matrix::Stored);
        };
        match structure {
            Structure::LowRank if has_numbers => {
                LowRank::open(description, leaves).map(Matrix::LowRank)
            }
            Structure::DiagonalLowRank if has_numbers => {
                DiagonalLowRank::open(description, leaves).map(Matrix::DiagonalLowRank)
            }
            Structure::TensorTrain if has_numbers => {
                TensorTrain::open(description, leaves).map(Matrix::TensorTrain)
            }
            Structure::BlockCirculant if has_numbers => {
                BlockCirculant::open(description, leaves).map(Matrix::BlockCirculant)
            }
            Structure::ToeplitzLike if has_numbers => {
                ToeplitzLike::open(description, leaves).map(Matrix::ToeplitzLike)
            }
            Structure::BlockLowRank if has_numbers => {
                BlockLowRank::open(description, leaves).map(Matrix::BlockLowRank)
            }
            Structure::Unitary if has_numbers => {
                Unitary::open(description, leaves).map(Matrix::Unitary)
            }
            _ => Stored::open(description, leaves).map(Matrix::Stored),
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

    /// Adds the rows `rows` of the product to `out` `[batch, rows.len()]`, after
    /// [`prepare`](Self::prepare) with the same `x`. `rows` starts at a multiple of [`PANEL`].
    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &mut Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        match self {
            Matrix::Stored(stored) => stored.apply_rows(x, scratch, rows, out),
            Matrix::LowRank(low_rank) => low_rank.apply_rows(scratch, rows, out),
            Matrix::DiagonalLowRank(form) => form.apply_rows(x, scratch, rows, out),
            Matrix::TensorTrain(train) => train.apply_rows(scratch, rows, out),
            Matrix::BlockCirculant(blocks) => blocks.apply_rows(scratch, rows, out),
            Matrix::ToeplitzLike(blocks) => blocks.apply_rows(scratch, rows, out),
            Matrix::BlockLowRank(groups) => groups.apply_rows(scratch, rows, out),
            Matrix::Unitary(unitary) => unitary.apply_rows(scratch, rows, out),
        }
    }

    /// Adds the product with `x` `[batch, columns]` to `out` `[batch, rows]`.
    pub(crate) fn apply(&self, x: &[f32], batch: usize, scratch: &mut Scratch, out: &mut [f32]) {
        self.prepare(x, batch, scratch);
        self.apply_rows(x, scratch, 0..self.rows(), out);
    }

    /// Writes row `row` into `out` `[columns]`.
    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        each!(self, form => form.row(row, scratch, out));
    }

    /// The factors that it is a product of.
    pub(crate) fn factors(&self) -> Vec<&Stored> {
        match self {
            Matrix::Stored(_) => Vec::new(),
            Matrix::LowRank(low_rank) => low_rank.factors(),
            Matrix::DiagonalLowRank(form) => form.factors(),
            Matrix::TensorTrain(train) => train.factors(),
            Matrix::BlockCirculant(blocks) => blocks.factors(),
            Matrix::ToeplitzLike(blocks) => blocks.factors(),
            Matrix::BlockLowRank(groups) => groups.factors(),
            Matrix::Unitary(unitary) => unitary.factors(),
        }
    }

    /// Numbers that describe it.
    pub(crate) fn parameters(&self) -> usize {
        each!(self, form => form.parameters())
    }

    /// Multiplications of a product with a vector, or of a row where that takes more, about.
    pub(crate) fn operations(&self) -> usize {
        match self {
            Matrix::TensorTrain(train) => train.operations(),
            Matrix::BlockCirculant(blocks) => blocks.operations(),
            Matrix::ToeplitzLike(blocks) => blocks.operations(),
            Matrix::Unitary(unitary) => 64 * unitary.rows(),
            _ => self.parameters(),
        }
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
