//! One matrix by itself, to measure and test its products without a model around it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::format::container::{read, write};
use crate::format::metadata;
use crate::json;
use crate::leaves::Leaves;
use crate::matrix::encoded::Shape;
use crate::matrix::write::{Form, encode};
use crate::matrix::{Matrix, Scratch};
use crate::storage::Storage;

/// A packed matrix without a model: its bytes, and how long a product with it takes, are what it would have in
/// one.
#[derive(Debug)]
pub struct Product {
    matrix: Matrix,
    scratch: Scratch,
    batch: usize,
}

impl Product {
    /// Packs a matrix `[rows, columns]` in this form, for products with up to `batch` vectors at once.
    ///
    /// # Errors
    /// As [`Packer::form`](super::Packer::form).
    pub fn new(rows: usize, columns: usize, form: &Form<'_>, batch: usize) -> Result<Self> {
        let shape = Shape { name: "matrix".into(), rows, columns };
        let encoded = encode(&shape, None, form)?;
        let leaves: Vec<_> = encoded.arrays.iter().collect();
        let storage = Arc::new(Storage::from(write::write(&[], &leaves)?));
        let header = read(&storage, |_| Ok(()))?;
        let description = json::parse(&encoded.description).map_err(|fault| Error::Json {
            text: "matrix".into(),
            offset: fault.offset,
            problem: fault.problem,
        })?;
        let description = metadata::description(description)?;
        let leaves = Leaves::new(&header, &storage, &storage);
        let matrix = Matrix::open(&description, &leaves)?;
        let mut scratch = Scratch::default();
        matrix.reserve(batch, &mut scratch);
        Ok(Self { matrix, scratch, batch })
    }

    /// Adds the product with `x` `[batch, columns]` to `out` `[batch, rows]`, for as many vectors as there are.
    ///
    /// # Errors
    /// [`Error::Length`] if the lengths do not fit, or there are more vectors than it was made for.
    pub fn apply(&mut self, x: &[f32], out: &mut [f32]) -> Result<()> {
        let batch = x.len() / self.matrix.columns();
        let batch = batch.min(self.batch);
        check(x.len(), batch * self.matrix.columns())?;
        check(out.len(), batch * self.matrix.rows())?;
        if batch > 0 {
            self.matrix.apply(x, batch, &mut self.scratch, out);
        }
        Ok(())
    }

    /// Writes row `row` as numbers into `out` `[columns]`.
    ///
    /// # Errors
    /// [`Error::Matrix`] if there is no such row, [`Error::Length`] if `out` does not fit.
    pub fn row(&mut self, row: usize, out: &mut [f32]) -> Result<()> {
        if row >= self.matrix.rows() {
            return Err(Error::matrix("matrix", "has no such row"));
        }
        check(out.len(), self.matrix.columns())?;
        self.matrix.row(row, &mut self.scratch, out);
        Ok(())
    }

    /// All its numbers `[rows, columns]`.
    #[must_use]
    pub fn dense(&mut self) -> Vec<f32> {
        let columns = self.matrix.columns();
        let mut all = vec![0.0; self.matrix.rows() * columns];
        for (row, out) in all.chunks_exact_mut(columns).enumerate() {
            self.matrix.row(row, &mut self.scratch, out);
        }
        all
    }

    /// Numbers kept.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.matrix.parameters()
    }

    /// Bytes of its arrays.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.matrix.bytes()
    }
}

fn check(given: usize, needed: usize) -> Result<()> {
    if given == needed { Ok(()) } else { Err(Error::Length { given, needed }) }
}
