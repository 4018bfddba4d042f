//! Diagonal plus low rank: `W [rows, columns] = left · right`, and in row i one number more at column i mod columns.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::low_rank::LowRank;
use super::order::Order;
use super::scratch::Scratch;
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, factors};
use crate::leaves::Leaves;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Two factors and a diagonal.
#[derive(Debug)]
pub(crate) struct DiagonalLowRank {
    low_rank: LowRank,
    /// `[rows, 1]`
    diagonal: Stored,
    /// The numbers that it stands for, `[rows]`.
    numbers: Vec<f32>,
    /// Which row of the pile of squares each row is.
    order: Order,
}

impl DiagonalLowRank {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let [left, right, diagonal]: [_; 3] =
            factors(description)?.try_into().map_err(|list: Vec<_>| {
                Error::matrix(name, format!("lists {} factors instead of 3", list.len()))
            })?;
        if [diagonal.rows, diagonal.columns] != [rows, 1] {
            let found = format!("a diagonal of {} x {}", diagonal.rows, diagonal.columns);
            return Err(Error::matrix(name, format!("has {found} instead of {rows} x 1")));
        }
        let low_rank = LowRank::of_factors(name, [rows, columns], &[left, right], leaves)?;
        let diagonal = Stored::open(&diagonal, leaves)?;
        let (mut numbers, mut scratch) = (vec![0.0; rows], Scratch::default());
        for (row, number) in numbers.chunks_exact_mut(1).enumerate() {
            diagonal.row(row, &mut scratch, number);
        }
        Ok(Self { low_rank, diagonal, numbers, order: Order::open(description, leaves)? })
    }

    pub(crate) fn rows(&self) -> usize {
        self.low_rank.rows()
    }

    pub(crate) fn columns(&self) -> usize {
        self.low_rank.columns()
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        let mut factors = self.low_rank.factors();
        factors.push(&self.diagonal);
        factors
    }

    pub(crate) fn parameters(&self) -> usize {
        self.low_rank.parameters() + self.diagonal.parameters()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.low_rank.bytes() + self.diagonal.bytes() + self.order.bytes()
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        self.low_rank.reserve(batch, scratch);
    }

    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        self.low_rank.prepare(x, batch, scratch);
    }

    /// The column of a row's number on the diagonal.
    fn column(&self, row: usize) -> usize {
        self.order.place(row) % self.columns()
    }

    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &mut Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        self.low_rank.apply_rows(scratch, rows.clone(), out);
        let vectors = x.chunks_exact(self.columns());
        for (x, out) in vectors.zip(out.chunks_exact_mut(rows.len())) {
            for (row, out) in rows.clone().zip(out) {
                *out += self.numbers[row] * x[self.column(row)];
            }
        }
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        self.low_rank.row(row, scratch, out);
        out[self.column(row)] += self.numbers[row];
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let diagonal = || self.diagonal.fault().map(|fault| format!("diagonal: {fault}"));
        self.low_rank.fault().or_else(diagonal)
    }
}
