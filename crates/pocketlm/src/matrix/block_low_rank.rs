//! Block-wise low rank (Chen et al. 2018): groups of rows, each the product of two factors of its own rank.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::low_rank::LowRank;
use super::order::Order;
use super::scratch::{Scratch, grow};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, factors};
use crate::leaves::Leaves;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Most groups that are read.
pub(crate) const MAX_GROUPS: usize = 64;

/// Groups of rows, one below the other.
#[derive(Debug)]
pub(crate) struct BlockLowRank {
    rows: usize,
    columns: usize,
    groups: Vec<LowRank>,
    order: Order,
}

impl BlockLowRank {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let fault = |problem: String| Err(Error::matrix(name, problem));
        let list = factors(description)?;
        let (pairs, rest) = list.as_chunks::<2>();
        if !rest.is_empty() || !(1..=MAX_GROUPS).contains(&pairs.len()) {
            let problem = format!("lists {} factors instead of two for", list.len());
            return fault(format!("{problem} each of 1 to {MAX_GROUPS} groups"));
        }
        let mut all = 0usize;
        let mut groups = Vec::new();
        for pair in pairs {
            all = all.saturating_add(pair[0].rows);
            groups.push(LowRank::of_factors(name, [pair[0].rows, columns], pair, leaves)?);
        }
        if all != rows {
            return fault(format!("has groups of {all} rows, not {rows}"));
        }
        let order = Order::open(description, leaves)?;
        Ok(Self { rows, columns, groups, order })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        self.groups.iter().flat_map(LowRank::factors).collect()
    }

    pub(crate) fn parameters(&self) -> usize {
        self.groups.iter().map(LowRank::parameters).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.groups.iter().map(LowRank::bytes).sum::<usize>() + self.order.bytes()
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        self.groups.iter().for_each(|group| group.reserve(batch, scratch));
        grow(&mut scratch.line, batch * self.rows);
        let most = self.groups.iter().map(LowRank::rows).max().unwrap_or(0);
        grow(&mut scratch.spare, batch * most);
    }

    /// Computes the whole product, which [`apply_rows`](Self::apply_rows) then hands out.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let mut whole = core::mem::take(&mut scratch.line);
        whole.resize(batch * self.rows, 0.0);
        let mut first = 0;
        for group in &self.groups {
            let rows = group.rows();
            group.prepare(x, batch, scratch);
            let mut part = core::mem::take(&mut scratch.spare);
            part.clear();
            part.resize(batch * rows, 0.0);
            group.apply_rows(scratch, 0..rows, &mut part);
            let wholes = whole.chunks_exact_mut(self.rows);
            for (whole, part) in wholes.zip(part.chunks_exact(rows)) {
                whole[first..first + rows].copy_from_slice(part);
            }
            scratch.spare = part;
            first += rows;
        }
        scratch.line = whole;
    }

    pub(crate) fn apply_rows(&self, scratch: &Scratch, rows: Range<usize>, out: &mut [f32]) {
        self.order.hand_out(&scratch.line, self.rows, rows, out);
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let mut row = self.order.place(row);
        for group in &self.groups {
            match row.checked_sub(group.rows()) {
                None => return group.row(row, scratch, out),
                Some(rest) => row = rest,
            }
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let faults = self.groups.iter().enumerate();
        faults
            .flat_map(|(at, group)| group.fault().map(|fault| format!("group {at}: {fault}")))
            .next()
    }
}
