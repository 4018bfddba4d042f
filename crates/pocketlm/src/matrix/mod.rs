//! A matrix that vectors can be multiplied by, whatever its structure, sparsity and precision.
//!
//! Cells, embedding and softmax know nothing of matrices but [`Matrix`]. A new form is one file here with
//! the same five functions, one variant, and one arm in each `match` below; [`Matrix::open`] is the registry
//! that turns a description in the file's metadata into a variant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::quantise;

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::{self, Description};
use crate::json::Value;
use crate::storage::Array;

pub(crate) mod block_low_rank;
pub(crate) mod circulant;
mod dense;
mod fft;
pub(crate) mod leaves;
mod low_rank;
mod order;
pub(crate) mod panels;
mod planes;
pub(crate) mod product_quantised;
pub(crate) mod tensor_train;
pub(crate) mod toeplitz;
pub(crate) mod unitary;
pub(crate) mod unstructured;

use block_low_rank::BlockLowRank;
use circulant::BlockCirculant;
pub(crate) use dense::Dense;
pub(crate) use leaves::Leaves;
use low_rank::LowRank;
use panels::Panels;
use tensor_train::TensorTrain;
use toeplitz::ToeplitzLike;
use unitary::Unitary;
use unstructured::Unstructured;

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
    /// What lies between the factors of a matrix, or its whole product.
    pub(crate) inner: Vec<f32>,
    /// A second buffer of that kind.
    pub(crate) spare: Vec<f32>,
    /// A row of a factor.
    pub(crate) line: Vec<f32>,
    /// Columns of a sparse row's numbers.
    pub(crate) indices: Vec<u16>,
    /// Activations, and quantised ones, of a sparse panel's columns, `[batch, columns of the panel]`.
    pub(crate) gathered: Vec<f32>,
    pub(crate) gathered_q: Vec<i8>,
    /// Products of the vectors that rows are made of, `[batch, parts, 256]`.
    pub(crate) tables: Vec<f32>,
    /// A panel's part of a product, `[batch, 16]`.
    pub(crate) block: Vec<f32>,
}

/// Numbers between the factors of a matrix that are worked on at a time: more vectors than fit are taken in parts.
const MOST_AT_ONCE: usize = 1 << 21;

/// Most columns of a sparse matrix.
pub(crate) const MAX_SPARSE_COLUMNS: usize = 1 << 16;

/// Makes a buffer at least so long.
pub(crate) fn grow<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
}

/// Quantises the vectors of `x` `[batch, columns]`, without padding.
fn quantise_rows(x: &[f32], batch: usize, columns: usize, scratch: &mut Scratch) {
    scratch.q.resize(batch * columns, 0);
    scratch.scales.resize(batch, 0.0);
    let vectors = x.chunks_exact(columns).zip(scratch.q.chunks_exact_mut(columns));
    for ((x, q), scale) in vectors.zip(&mut scratch.scales) {
        *scale = quantise::quantise(x, q);
    }
}

/// A matrix `[rows, columns]` in the form that the file holds.
#[derive(Debug)]
pub(crate) enum Matrix {
    Dense(Dense),
    Unstructured(Unstructured),
    Panels(Panels),
    LowRank(LowRank),
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
            Matrix::Dense($form) => $call,
            Matrix::Unstructured($form) => $call,
            Matrix::Panels($form) => $call,
            Matrix::LowRank($form) => $call,
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
        match description.structure.as_str() {
            "low-rank" if has_numbers => LowRank::open(description, leaves).map(Matrix::LowRank),
            "tensor-train" if has_numbers => {
                TensorTrain::open(description, leaves).map(Matrix::TensorTrain)
            }
            "block-circulant" if has_numbers => {
                BlockCirculant::open(description, leaves).map(Matrix::BlockCirculant)
            }
            "toeplitz-like" if has_numbers => {
                ToeplitzLike::open(description, leaves).map(Matrix::ToeplitzLike)
            }
            "block-low-rank" if has_numbers => {
                BlockLowRank::open(description, leaves).map(Matrix::BlockLowRank)
            }
            "unitary" if has_numbers => Unitary::open(description, leaves).map(Matrix::Unitary),
            _ => Self::open_leaf(description, leaves),
        }
    }

    /// The same for a matrix, or a factor of one, whose own numbers the file holds.
    fn open_leaf(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let name = &description.name;
        if description.rows == 0 || description.columns == 0 {
            return Err(Error::matrix(name, "has no rows or no columns"));
        }
        let newer = |axis: &str, value: &str| {
            Error::matrix(name, format!("has the {axis} {value:?}, which this version cannot read"))
        };
        match (description.structure.as_str(), description.sparsity.as_str()) {
            ("dense", "none") => Dense::open(description, leaves).map(Matrix::Dense),
            ("dense", "unstructured") => {
                Unstructured::open(description, leaves).map(Matrix::Unstructured)
            }
            ("dense", "panels") => Panels::open(description, leaves).map(Matrix::Panels),
            ("dense", sparsity) => Err(newer("sparsity", sparsity)),
            (structure, _) => Err(newer("structure", structure)),
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
            Matrix::Dense(dense) => dense.apply_rows(x, scratch, rows, out),
            Matrix::Unstructured(sparse) => sparse.apply_rows(x, scratch, rows, out),
            Matrix::Panels(panels) => panels.apply_rows(x, scratch, rows, out),
            Matrix::LowRank(low_rank) => low_rank.apply_rows(scratch, rows, out),
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
        match self {
            Matrix::Dense(dense) => dense.row(row, out),
            Matrix::Unstructured(sparse) => sparse.row(row, scratch, out),
            Matrix::Panels(panels) => panels.row(row, scratch, out),
            Matrix::LowRank(low_rank) => low_rank.row(row, scratch, out),
            Matrix::TensorTrain(train) => train.row(row, scratch, out),
            Matrix::BlockCirculant(blocks) => blocks.row(row, scratch, out),
            Matrix::ToeplitzLike(blocks) => blocks.row(row, scratch, out),
            Matrix::BlockLowRank(groups) => groups.row(row, scratch, out),
            Matrix::Unitary(unitary) => unitary.row(row, scratch, out),
        }
    }

    /// The factors that it is a product of.
    pub(crate) fn factors(&self) -> Vec<&Matrix> {
        match self {
            Matrix::Dense(_) | Matrix::Unstructured(_) | Matrix::Panels(_) => Vec::new(),
            Matrix::LowRank(low_rank) => low_rank.factors(),
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

/// The descriptions of a matrix's factors.
pub(crate) fn factors<'a>(description: &Description<'a>) -> Result<Vec<Description<'a>>> {
    let list = description.fields.get("factors").and_then(Value::array);
    let list = list.ok_or_else(|| Error::matrix(&description.name, "has no list of factors"))?;
    if !description.arrays.is_empty() {
        return Err(Error::matrix(&description.name, "has factors, and arrays besides"));
    }
    list.iter().map(|factor| metadata::description(factor.clone())).collect()
}

/// The name of factor `k` of the matrix `name`.
pub(crate) fn factor_name(name: &str, structure: &str, k: usize) -> String {
    match (structure, k) {
        ("low-rank", 0) => format!("{name}.left"),
        ("low-rank", _) => format!("{name}.right"),
        ("block-low-rank", k) if k % 2 == 0 => format!("{name}.left.{}", k / 2),
        ("block-low-rank", k) => format!("{name}.right.{}", k / 2),
        ("block-circulant", _) => format!("{name}.blocks"),
        ("toeplitz-like", 0) => format!("{name}.circulant"),
        ("toeplitz-like", _) => format!("{name}.skew"),
        ("unitary", 0) => format!("{name}.phases"),
        ("unitary", _) => format!("{name}.reflections"),
        _ => format!("{name}.core.{k}"),
    }
}

fn sparse_columns(description: &Description<'_>) -> Result<()> {
    if description.columns <= MAX_SPARSE_COLUMNS {
        return Ok(());
    }
    let problem = format!("is sparse with more than {MAX_SPARSE_COLUMNS} columns");
    Err(Error::matrix(&description.name, problem))
}

/// The array `name` of `parts + 1` offsets, which begin with zero and never fall.
fn offsets(leaves: &Leaves<'_>, name: &str, parts: usize) -> Result<Array> {
    let array = leaves.array(name, Dtype::U32, &[parts + 1])?;
    let offsets = array.u32();
    if offsets[0] == 0 && offsets.windows(2).all(|pair| pair[0] <= pair[1]) {
        return Ok(array);
    }
    Err(Error::array(name, "does not begin with zero, or falls"))
}
