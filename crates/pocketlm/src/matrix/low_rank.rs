//! Low-rank matrices: `W [rows, columns] = left [rows, rank] · right [rank, columns]`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::scratch::{Scratch, grow};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, factors};
use crate::leaves::Leaves;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Two factors.
#[derive(Debug)]
pub(crate) struct LowRank {
    left: Box<Stored>,
    right: Box<Stored>,
}

impl LowRank {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let Description { name, rows, columns, .. } = description;
        let pair: [_; 2] = factors(description)?.try_into().map_err(|list: Vec<_>| {
            Error::matrix(name, format!("lists {} factors instead of 2", list.len()))
        })?;
        Self::of_factors(name, [*rows, *columns], &pair, leaves)
    }

    /// The matrix `[rows, columns]` of these two factors, or that part of the matrix `name`.
    pub(crate) fn of_factors(
        name: &str,
        [rows, columns]: [usize; 2],
        [left, right]: &[Description<'_>; 2],
        leaves: &Leaves<'_>,
    ) -> Result<Self> {
        let fits = left.rows == rows && right.columns == columns && left.columns == right.rows;
        if !fits {
            let problem = format!(
                "is {rows} x {columns}, but its factors are {} x {} and {} x {}",
                left.rows, left.columns, right.rows, right.columns
            );
            return Err(Error::matrix(name, problem));
        }
        let open = |factor| Stored::open(factor, leaves).map(Box::new);
        Ok(Self { left: open(left)?, right: open(right)? })
    }

    pub(crate) fn rows(&self) -> usize {
        self.left.rows()
    }

    pub(crate) fn columns(&self) -> usize {
        self.right.columns()
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        vec![&self.left, &self.right]
    }

    fn rank(&self) -> usize {
        self.right.rows()
    }

    pub(crate) fn parameters(&self) -> usize {
        self.left.parameters() + self.right.parameters()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.left.bytes() + self.right.bytes()
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        self.left.reserve(batch, scratch);
        self.right.reserve(batch, scratch);
        grow(&mut scratch.inner, batch * self.rank());
        grow(&mut scratch.spare, self.columns());
    }

    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let mut inner = core::mem::take(&mut scratch.inner);
        inner.clear();
        inner.resize(batch * self.rank(), 0.0);
        self.right.apply(x, batch, scratch, &mut inner);
        self.left.prepare(&inner, batch, scratch);
        scratch.inner = inner;
    }

    pub(crate) fn apply_rows(&self, scratch: &mut Scratch, rows: Range<usize>, out: &mut [f32]) {
        let inner = core::mem::take(&mut scratch.inner);
        self.left.apply_rows(&inner, scratch, rows, out);
        scratch.inner = inner;
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let mut inner = core::mem::take(&mut scratch.inner);
        let mut line = core::mem::take(&mut scratch.spare);
        inner.resize(self.rank(), 0.0);
        line.resize(self.columns(), 0.0);
        self.left.row(row, scratch, &mut inner);
        out.fill(0.0);
        for (k, weight) in inner.iter().enumerate() {
            self.right.row(k, scratch, &mut line);
            out.iter_mut().zip(&line).for_each(|(sum, x)| *sum += weight * x);
        }
        scratch.inner = inner;
        scratch.spare = line;
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let left = self.left.fault().map(|fault| format!("left factor: {fault}"));
        left.or_else(|| self.right.fault().map(|fault| format!("right factor: {fault}")))
    }
}
