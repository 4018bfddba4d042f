//! Sparsity by blocks of 16 rows × 1 column: each panel of 16 rows has its own subset of the columns.
//!
//! A product gathers the activations of a panel's columns and runs the dense kernel on the compact panel, whose
//! padding columns repeat the last kept column with weights of zero.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::grouped::{Code, Grouped};
use pocketlm_kernels::{float16, float32, half, int8, quantise};

use super::scratch::{PANEL, Scratch, grow, quantise_rows};
use super::shape::{check_sparse, group};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::{Description, Word};
use crate::leaves::{Leaves, names};
use crate::spec::{Kernels, Precision, Sparsity};
use crate::storage::Array;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// A matrix `[rows, columns]` of which some blocks of a panel's column are stored.
#[derive(Debug)]
pub(crate) struct Panels {
    rows: usize,
    columns: usize,
    weights: Weights,
    /// Index of each panel's first column, and their count at the end, `[panels + 1]`.
    offsets: Array,
    /// The columns, ascending within a panel.
    indices: Array,
    /// Numbers kept.
    kept: usize,
}

/// The compact panels one after another.
#[derive(Debug)]
enum Weights {
    /// `[kept, 16]`.
    F32(Array),
    /// `[kept, 16]`.
    F16(Array),
    /// Bytes `[kept / 4, 16, 4]`, scales `[panels, 16]`.
    Int8 { bytes: Array, scales: Array },
    /// Bytes `[kept / 8, 16, 4]`, scales `[groups, 16]`, index of each panel's first group `[panels]`.
    Int4 { bytes: Array, scales: Array, group: usize, starts: Vec<u32> },
}

/// The columns that a panel's list is padded to a multiple of, in a precision that can have panels.
fn unit(precision: Precision) -> Option<usize> {
    Sparsity::Panels.takes(precision).then(|| match precision.kernels() {
        Kernels::Int8 => int8::padded_cols(1),
        Kernels::Codes(code) => code.padded_cols(1),
        _ => 1,
    })
}

impl Panels {
    /// Takes the arrays that `description` names into use.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, ref precision, .. } = description;
        check_sparse(name, columns)?;
        let known = match *precision {
            Word::Known(precision) => unit(precision).map(|unit| (precision, unit)),
            Word::Other(_) => None,
        };
        let (precision, unit) = known.ok_or_else(|| {
            let precision = format!("{precision}");
            let problem = format!(
                "has panels of the precision {precision:?}, which this version cannot read"
            );
            Error::matrix(name, problem)
        })?;
        let is_float = unit == 1;
        let ([weights, offset_name, index_name], scales) = if is_float {
            let [weights, offsets, indices] = names(name, &description.arrays)?;
            ([weights, offsets, indices], None)
        } else {
            let [weights, scales, offsets, indices] = names(name, &description.arrays)?;
            ([weights, offsets, indices], Some(scales))
        };
        let panels = rows.div_ceil(PANEL);
        let offsets = leaves.offsets(offset_name, panels)?;
        let ends = offsets.u32();
        let total = ends[panels] as usize;
        let indices = leaves.array(index_name, Dtype::U16, &[total])?;
        let mut kept = 0;
        for (panel, ends) in ends.windows(2).enumerate() {
            let list = &indices.u16()[ends[0] as usize..ends[1] as usize];
            let count = count(list, unit, columns).ok_or_else(|| {
                let problem = format!(
                    "has columns of panel {panel} that do not ascend below {columns} in multiples of {unit}"
                );
                Error::array(index_name, problem)
            })?;
            kept += count * PANEL.min(rows - panel * PANEL);
        }
        let weights = match (precision, scales) {
            (Precision::F32, _) => {
                Weights::F32(leaves.array(weights, Dtype::F32, &[total, PANEL])?)
            }
            (Precision::F16, _) => {
                Weights::F16(leaves.array(weights, Dtype::F16, &[total, PANEL])?)
            }
            (Precision::Int8, Some(scales)) => Weights::Int8 {
                bytes: leaves.array(weights, Dtype::U8, &[total / 4, PANEL, 4])?,
                scales: leaves.finite(scales, &[panels * PANEL])?,
            },
            (_, scales) => {
                let scales = scales.map_or("", |scales| scales);
                open_int4(description, leaves, (weights, scales), ends)?
            }
        };
        Ok(Self { rows, columns, weights, offsets, indices, kept })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers kept.
    pub(crate) fn parameters(&self) -> usize {
        self.kept
    }

    pub(crate) fn bytes(&self) -> usize {
        let weights = match &self.weights {
            Weights::F32(weights) | Weights::F16(weights) => weights.bytes().len(),
            Weights::Int8 { bytes, scales } | Weights::Int4 { bytes, scales, .. } => {
                bytes.bytes().len() + scales.bytes().len()
            }
        };
        weights + self.offsets.bytes().len() + self.indices.bytes().len()
    }

    fn is_integer(&self) -> bool {
        matches!(self.weights, Weights::Int8 { .. } | Weights::Int4 { .. })
    }

    /// Where a panel's columns stand.
    fn range(&self, panel: usize) -> Range<usize> {
        let offsets = self.offsets.u32();
        offsets[panel] as usize..offsets[panel + 1] as usize
    }

    /// Most columns that a panel can have, padding included.
    fn widest(&self) -> usize {
        Code::Int4.padded_cols(self.columns)
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        grow(&mut scratch.block, batch * PANEL);
        grow(&mut scratch.gathered, batch * self.widest());
        if self.is_integer() {
            grow(&mut scratch.q, batch * self.columns);
            grow(&mut scratch.scales, batch);
            grow(&mut scratch.gathered_q, batch * self.widest());
            grow(&mut scratch.sums, batch * self.widest().div_ceil(8));
        }
    }

    /// Quantises `x` `[batch, columns]` where the weights are integers, the columns that no panel keeps
    /// included.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        if self.is_integer() {
            quantise_rows(x, batch, self.columns, scratch);
        }
    }

    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &mut Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let batch = x.len() / self.columns;
        for panel in rows.start / PANEL..rows.end.div_ceil(PANEL) {
            if self.range(panel).is_empty() {
                continue;
            }
            let first = panel * PANEL - rows.start;
            let live = PANEL.min(rows.len() - first);
            if batch == 1 {
                self.apply_panel(panel, x, scratch, &mut out[first..first + live]);
                continue;
            }
            let mut block = core::mem::take(&mut scratch.block);
            block.resize(batch * live, 0.0);
            for (block, out) in block.chunks_exact_mut(live).zip(out.chunks_exact(rows.len())) {
                block.copy_from_slice(&out[first..first + live]);
            }
            self.apply_panel(panel, x, scratch, &mut block);
            for (block, out) in block.chunks_exact(live).zip(out.chunks_exact_mut(rows.len())) {
                out[first..first + live].copy_from_slice(block);
            }
            scratch.block = block;
        }
    }

    /// Adds a panel's product to `out` `[batch, rows of the panel]`.
    fn apply_panel(&self, panel: usize, x: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
        let range = self.range(panel);
        let indices = &self.indices.u16()[range.clone()];
        let n = indices.len();
        let Scratch { q, scales: q_scales, sums, gathered, gathered_q, .. } = scratch;
        match &self.weights {
            Weights::F32(weights) => {
                let weights = &weights.f32()[range.start * PANEL..range.end * PANEL];
                match gather(x, self.columns, indices, gathered) {
                    1 => float32::matvec(weights, gathered, out),
                    batch => float32::matmul(weights, gathered, batch, out),
                }
            }
            Weights::F16(weights) => {
                let weights = &weights.u16()[range.start * PANEL..range.end * PANEL];
                match gather(x, self.columns, indices, gathered) {
                    1 => float16::matvec(weights, gathered, out),
                    batch => float16::matmul(weights, gathered, batch, out),
                }
            }
            Weights::Int8 { bytes, scales } => {
                let bytes = &bytes.bytes()[range.start * PANEL..range.end * PANEL];
                let scales = &scales.f32()[panel * PANEL..][..PANEL];
                let batch = gather(q, self.columns, indices, gathered_q);
                sums.resize(batch, 0);
                for (sum, q) in sums.iter_mut().zip(gathered_q.chunks_exact(n)) {
                    *sum = quantise::sum(q);
                }
                match (&**q_scales, &**sums) {
                    (&[scale], &[sum]) => {
                        int8::matvec(bytes, scales, gathered_q, scale, sum, out);
                    }
                    _ => int8::matmul(bytes, scales, gathered_q, q_scales, sums, out),
                }
            }
            Weights::Int4 { bytes, scales, group, starts } => {
                let bytes = &bytes.bytes()[range.start * PANEL / 2..range.end * PANEL / 2];
                let groups = n.div_ceil(*group);
                let scales = &scales.u16()[starts[panel] as usize * PANEL..][..groups * PANEL];
                let batch = gather(q, self.columns, indices, gathered_q);
                sums.resize(batch * groups, 0);
                let vectors = gathered_q.chunks_exact(n).zip(sums.chunks_exact_mut(groups));
                for (q, sums) in vectors {
                    quantise::sums(q, *group, sums);
                }
                let weights = int4(bytes, scales, *group);
                match **q_scales {
                    [scale] => weights.matvec(gathered_q, scale, sums, out),
                    _ => weights.matmul(gathered_q, q_scales, sums, out),
                }
            }
        }
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let (panel, row) = (row / PANEL, row % PANEL);
        let range = self.range(panel);
        out.fill(0.0);
        if range.is_empty() {
            return;
        }
        let compact = &mut scratch.gathered;
        compact.resize(range.len(), 0.0);
        match &self.weights {
            Weights::F32(weights) => {
                float32::row(&weights.f32()[range.start * PANEL..], row, compact);
            }
            Weights::F16(weights) => {
                float16::row(&weights.u16()[range.start * PANEL..], row, compact);
            }
            Weights::Int8 { bytes, scales } => {
                let (bytes, scales) = (&bytes.bytes()[range.start * PANEL..], scales.f32());
                int8::row(bytes, &scales[panel * PANEL..], row, compact);
            }
            Weights::Int4 { bytes, scales, group, starts } => {
                let scales = &scales.u16()[starts[panel] as usize * PANEL..];
                int4(&bytes.bytes()[range.start * PANEL / 2..], scales, *group).row(row, compact);
            }
        }
        // Backwards, so that padding, which repeats the last column, is overwritten by that column.
        let indices = &self.indices.u16()[range];
        for (&column, value) in indices.iter().zip(compact).rev() {
            out[usize::from(column)] = *value;
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let at = match &self.weights {
            Weights::F32(weights) => weights.f32().iter().position(|value| !value.is_finite()),
            Weights::F16(weights) => {
                weights.u16().iter().position(|&bits| !half::to_f32(bits).is_finite())
            }
            Weights::Int8 { .. } | Weights::Int4 { .. } => None,
        };
        at.map(|at| format!("element {at} of its array is not a finite number"))
    }
}

/// Puts the elements `indices` of each vector of `x` `[batch, columns]` side by side; returns the batch.
fn gather<T: Copy + Default>(x: &[T], columns: usize, indices: &[u16], to: &mut Vec<T>) -> usize {
    let batch = x.len() / columns;
    to.resize(batch * indices.len(), T::default());
    for (x, to) in x.chunks_exact(columns).zip(to.chunks_exact_mut(indices.len())) {
        for (to, &column) in to.iter_mut().zip(indices) {
            *to = x[usize::from(column)];
        }
    }
    batch
}

/// Columns of a panel without its padding, if the list is well-formed.
fn count(list: &[u16], unit: usize, columns: usize) -> Option<usize> {
    let Some(&last) = list.last() else { return Some(0) };
    let count = list.iter().position(|&column| column == last)? + 1;
    let ascends = list[..count].windows(2).all(|pair| pair[0] < pair[1]);
    let padded = list[count..].iter().all(|&column| column == last);
    let whole = list.len() == count.next_multiple_of(unit);
    (ascends && padded && whole && usize::from(last) < columns).then_some(count)
}

fn int4<'a>(bytes: &'a [u8], scales: &'a [u16], group: usize) -> Grouped<'a> {
    Grouped { code: Code::Int4, bytes, scales, group, levels: &[0; 16] }
}

fn open_int4(
    description: &Description<'_>,
    leaves: &Leaves<'_>,
    (weights, scales): (&str, &str),
    ends: &[u32],
) -> Result<Weights> {
    let group = group(description, Code::Int4)?;
    let mut starts = Vec::with_capacity(ends.len() - 1);
    let mut groups = 0;
    for ends in ends.windows(2) {
        starts.push(groups);
        groups += (ends[1] - ends[0]).div_ceil(group as u32);
    }
    let total = ends.last().map_or(0, |&total| total as usize);
    let bytes = leaves.array(weights, Dtype::U8, &[total / 8, PANEL, 4])?;
    let scales = leaves.halves(scales, &[groups as usize, PANEL])?;
    Ok(Weights::Int4 { bytes, scales, group, starts })
}
