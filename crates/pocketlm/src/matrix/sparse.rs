//! Sparse matrices: the kept numbers row by row, and where they stand.
//!
//! Rows come in blocks of 16. A block's kept numbers are listed in row-major order; `starts` says where each
//! block's begin. Positions are either deltas (a byte for each number: how many places lie between it and the
//! one before) or bits (one for each place).

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use pocketlm_kernels::layout::MAX_INTEGER_COLS;
use pocketlm_kernels::{half, int8, quantise};

use super::leaves::{Leaves, names};
use super::{PANEL, Scratch, grow};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::Description;
use crate::storage::Array;

/// A matrix `[rows, columns]` of which some numbers are stored.
#[derive(Debug)]
pub(crate) struct Sparse {
    rows: usize,
    columns: usize,
    positions: Positions,
    values: Values,
    /// Index of each block's first kept number, and their count at the end, `[blocks + 1]`.
    starts: Array,
}

#[derive(Debug)]
enum Positions {
    /// A byte for each kept number.
    Deltas(Array),
    /// `2 · columns` bytes a block, the lowest bit first.
    Bits(Array),
}

#[derive(Debug)]
enum Values {
    F32(Array),
    F16(Array),
    /// Whole numbers, and a scale a row.
    Int8 {
        bytes: Array,
        scales: Array,
    },
}

impl Sparse {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let blocks = rows.div_ceil(PANEL);
        let [positions, starts, values, rest @ ..] = &description.arrays[..] else {
            return Err(Error::matrix(name, "lists fewer than 3 arrays"));
        };
        let starts = leaves.array(starts, Dtype::U32, &[blocks + 1])?;
        let kept = starts.u32()[blocks] as usize;
        let values = match (description.precision.as_str(), rest) {
            ("f32", []) => Values::F32(leaves.array(values, Dtype::F32, &[kept])?),
            ("f16", []) => Values::F16(leaves.array(values, Dtype::F16, &[kept])?),
            ("int8", [_]) if columns <= MAX_INTEGER_COLS => {
                let [scales] = names(name, rest)?;
                let bytes = leaves.array(values, Dtype::I8, &[kept])?;
                Values::Int8 { bytes, scales: leaves.finite(scales, &[rows])? }
            }
            (precision, _) => {
                let problem = format!(
                    "has the sparsity \"unstructured\" with the precision {precision:?} and {} arrays, which \
                     this version cannot read",
                    description.arrays.len()
                );
                return Err(Error::matrix(name, problem));
            }
        };
        let (array, shape) = leaves.any(positions, Dtype::U8)?;
        let positions = match shape {
            [count] if *count == kept => Positions::Deltas(array),
            [count, width] if *count == blocks && *width == 2 * columns => Positions::Bits(array),
            _ => {
                let problem = format!("has shape {shape:?}, neither deltas nor bits of {name}");
                return Err(Error::array(positions, problem));
            }
        };
        let sparse = Self { rows, columns, positions, values, starts };
        match (0..blocks).find(|&block| !sparse.is_whole(block)) {
            None => Ok(sparse),
            Some(block) => {
                let problem = format!("has positions in block {block} that leave the matrix");
                Err(Error::matrix(name, problem))
            }
        }
    }

    /// Whether a block's counts add up and its positions lie within its rows.
    fn is_whole(&self, block: usize) -> bool {
        let starts = self.starts.u32();
        let (first, end) = (starts[block] as usize, starts[block + 1] as usize);
        let places = PANEL.min(self.rows - block * PANEL) * self.columns;
        if first > end || end > starts[starts.len() - 1] as usize || (block == 0 && first != 0) {
            return false;
        }
        match &self.positions {
            Positions::Deltas(deltas) => {
                let deltas = &deltas.bytes()[first..end];
                deltas.iter().map(|&delta| usize::from(delta) + 1).sum::<usize>() <= places
            }
            Positions::Bits(bits) => {
                let bits = &bits.bytes()[block * 2 * self.columns..][..2 * self.columns];
                let count: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                let beyond = |(at, byte): (usize, &u8)| {
                    let inside = places.saturating_sub(at * 8).min(8);
                    u32::from(*byte) >> inside != 0
                };
                count as usize == end - first && !bits.iter().enumerate().any(beyond)
            }
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers kept.
    pub(crate) fn parameters(&self) -> usize {
        self.starts.u32().last().map_or(0, |&kept| kept as usize)
    }

    pub(crate) fn bytes(&self) -> usize {
        let (Positions::Deltas(positions) | Positions::Bits(positions)) = &self.positions;
        let values = match &self.values {
            Values::F32(values) | Values::F16(values) => values.bytes().len(),
            Values::Int8 { bytes, scales } => bytes.bytes().len() + scales.bytes().len(),
        };
        positions.bytes().len() + values + self.starts.bytes().len()
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        if matches!(self.values, Values::Int8 { .. }) {
            grow(&mut scratch.q, batch * int8::padded_cols(self.columns));
            grow(&mut scratch.scales, batch);
        }
    }

    /// Quantises `x` `[batch, columns]` as a dense int8 matrix does.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        if !matches!(self.values, Values::Int8 { .. }) {
            return;
        }
        let width = int8::padded_cols(self.columns);
        scratch.q.resize(batch * width, 0);
        scratch.scales.resize(batch, 0.0);
        for (b, x) in x.chunks_exact(self.columns).enumerate() {
            scratch.scales[b] = quantise::quantise(x, &mut scratch.q[b * width..][..width]);
        }
    }

    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let blocks = rows.start / PANEL..rows.end.div_ceil(PANEL);
        let width = int8::padded_cols(self.columns);
        let vectors = x.chunks_exact(self.columns).zip(out.chunks_exact_mut(rows.len()));
        for (b, (x, out)) in vectors.enumerate() {
            for (block, out) in blocks.clone().zip(out.chunks_mut(PANEL)) {
                match &self.values {
                    Values::F32(values) => {
                        let values = values.f32();
                        self.add_floats(block, x, |at| values[at], out);
                    }
                    Values::F16(values) => {
                        let values = values.u16();
                        self.add_floats(block, x, |at| half::to_f32(values[at]), out);
                    }
                    Values::Int8 { bytes, scales } => {
                        let q = &scratch.q[b * width..][..width];
                        let sums = self.integer_sums(block, q, bytes.bytes());
                        let scales = &scales.f32()[block * PANEL..];
                        for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scales) {
                            *out += sum as f32 * (scale * scratch.scales[b]);
                        }
                    }
                }
            }
        }
    }

    fn add_floats(&self, block: usize, x: &[f32], value: impl Fn(usize) -> f32, out: &mut [f32]) {
        let mut sums = [0.0f32; PANEL];
        self.each(block, |row, column, at| sums[row] += value(at) * x[column]);
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
    }

    fn integer_sums(&self, block: usize, q: &[i8], bytes: &[u8]) -> [i32; PANEL] {
        let mut sums = [0i32; PANEL];
        self.each(block, |row, column, at| {
            sums[row] += i32::from(bytes[at] as i8) * i32::from(q[column]);
        });
        sums
    }

    /// Calls `visit` with the row within the block, the column, and the index of each kept number.
    #[inline]
    fn each(&self, block: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let starts = self.starts.u32();
        let (first, end) = (starts[block] as usize, starts[block + 1] as usize);
        match &self.positions {
            Positions::Deltas(deltas) => {
                let (mut row, mut column) = (0, 0);
                for (at, &delta) in (first..).zip(&deltas.bytes()[first..end]) {
                    column += usize::from(delta);
                    while column >= self.columns {
                        column -= self.columns;
                        row += 1;
                    }
                    visit(row, column, at);
                    column += 1;
                }
            }
            Positions::Bits(bits) => {
                let bits = &bits.bytes()[block * 2 * self.columns..][..2 * self.columns];
                let (mut at, mut row, mut begin) = (first, 0, 0);
                for (byte, &bits) in bits.iter().enumerate() {
                    let mut bits = bits;
                    while bits != 0 {
                        let place = byte * 8 + bits.trailing_zeros() as usize;
                        while place >= begin + self.columns {
                            begin += self.columns;
                            row += 1;
                        }
                        visit(row, place - begin, at);
                        at += 1;
                        bits &= bits - 1;
                    }
                }
            }
        }
    }

    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        out.fill(0.0);
        self.each(row / PANEL, |r, column, at| {
            if r == row % PANEL {
                out[column] = match &self.values {
                    Values::F32(values) => values.f32()[at],
                    Values::F16(values) => half::to_f32(values.u16()[at]),
                    Values::Int8 { bytes, scales } => {
                        f32::from(bytes.bytes()[at] as i8) * scales.f32()[row]
                    }
                };
            }
        });
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let at = match &self.values {
            Values::F32(values) => values.f32().iter().position(|value| !value.is_finite()),
            Values::F16(values) => {
                values.u16().iter().position(|&bits| !half::to_f32(bits).is_finite())
            }
            Values::Int8 { .. } => None,
        };
        at.map(|at| format!("kept number {at} is not finite"))
    }
}
