//! Unstructured sparsity: the kept numbers row by row, and the columns where they stand.
//!
//! Columns come as a bitmap, or as a byte for each kept number: how many columns lie between it and the one
//! before. Where more than 255 lie between, the writer keeps a zero on the way (Han et al., *Deep compression*,
//! 2016, section 2).

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use pocketlm_kernels::half;

use super::scratch::{Scratch, grow, quantise_rows};
use super::shape::check_sparse;
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::{Description, Word};
use crate::json::Value;
use crate::leaves::{Leaves, names};
use crate::spec::Precision;
use crate::storage::Array;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// A matrix `[rows, columns]` of which some numbers are stored.
#[derive(Debug)]
pub(crate) struct Unstructured {
    rows: usize,
    columns: usize,
    values: Values,
    /// Index of each row's first kept number, and their count at the end, `[rows + 1]`.
    offsets: Array,
    positions: Positions,
}

/// The kept numbers.
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

/// Where they stand.
#[derive(Debug)]
enum Positions {
    /// `[rows, width]` bytes, bit `c % 8` of byte `c / 8` for column `c`.
    Bitmap(Array),
    /// A byte for each kept number.
    Deltas(Array),
}

/// Bytes of a row of a bitmap: whole words of 64 bits.
fn bitmap_width(columns: usize) -> usize {
    columns.div_ceil(64) * 8
}

impl Unstructured {
    /// Takes the arrays that `description` names into use.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        check_sparse(name, columns)?;
        let (is_int8, dtype) = match &description.precision {
            Word::Known(Precision::F32) => (false, Dtype::F32),
            Word::Known(Precision::F16) => (false, Dtype::F16),
            Word::Known(Precision::Int8) => (true, Dtype::I8),
            precision => {
                let precision = format!("{precision}");
                let problem = format!(
                    "is unstructured with the precision {precision:?}, which this version cannot read"
                );
                return Err(Error::matrix(name, problem));
            }
        };
        let (fixed, scales) = if is_int8 {
            let [values, scales, offsets, positions] = names(name, &description.arrays)?;
            ([values, offsets, positions], Some(leaves.finite(scales, &[rows])?))
        } else {
            let [values, offsets, positions] = names(name, &description.arrays)?;
            ([values, offsets, positions], None)
        };
        let offsets = leaves.offsets(fixed[1], rows)?;
        let kept = offsets.u32()[rows] as usize;
        let values = leaves.array(fixed[0], dtype, &[kept])?;
        let values = match (scales, dtype) {
            (Some(scales), _) => Values::Int8 { bytes: values, scales },
            (None, Dtype::F16) => Values::F16(values),
            (None, _) => Values::F32(values),
        };
        let positions = open_positions(description, leaves, fixed[2], kept)?;
        let matrix = Self { rows, columns, values, offsets, positions };
        match (0..rows).find(|&row| !matrix.is_whole(row)) {
            None => Ok(matrix),
            Some(row) => {
                let problem = format!("has positions in row {row} that do not fit it");
                Err(Error::array(fixed[2], problem))
            }
        }
    }

    /// Whether a row's positions are as many as its numbers and lie within it.
    fn is_whole(&self, row: usize) -> bool {
        let range = self.range(row);
        match &self.positions {
            Positions::Deltas(deltas) => {
                let deltas = &deltas.bytes()[range];
                deltas.iter().map(|&delta| usize::from(delta) + 1).sum::<usize>() <= self.columns
            }
            Positions::Bitmap(bits) => {
                let words = words(bits.bytes(), self.columns, row);
                let count: u32 = words.clone().map(u64::count_ones).sum();
                let beyond = words.enumerate().any(|(at, word)| {
                    let inside = self.columns - at * 64;
                    inside < 64 && word >> inside != 0
                });
                count as usize == range.len() && !beyond
            }
        }
    }

    /// The indices of a row's numbers.
    fn range(&self, row: usize) -> Range<usize> {
        let offsets = self.offsets.u32();
        offsets[row] as usize..offsets[row + 1] as usize
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers kept.
    pub(crate) fn parameters(&self) -> usize {
        self.range(self.rows - 1).end
    }

    pub(crate) fn bytes(&self) -> usize {
        let (Positions::Deltas(positions) | Positions::Bitmap(positions)) = &self.positions;
        let values = match &self.values {
            Values::F32(values) | Values::F16(values) => values.bytes().len(),
            Values::Int8 { bytes, scales } => bytes.bytes().len() + scales.bytes().len(),
        };
        positions.bytes().len() + values + self.offsets.bytes().len()
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        grow(&mut scratch.indices, self.columns);
        if matches!(self.values, Values::Int8 { .. }) {
            grow(&mut scratch.q, batch * self.columns);
            grow(&mut scratch.scales, batch);
        }
    }

    /// Quantises `x` `[batch, columns]` as a dense int8 matrix does.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        if matches!(self.values, Values::Int8 { .. }) {
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
        let Scratch { q, scales: q_scales, indices, .. } = scratch;
        indices.resize(self.columns, 0);
        match &self.values {
            Values::F32(values) => {
                self.add(x, values.f32(), indices, rows, out, |i, v, x| dot(i, v, x, |v| v));
            }
            Values::F16(values) => {
                let number = half::to_f32;
                self.add(x, values.u16(), indices, rows, out, |i, v, x| dot(i, v, x, number));
            }
            Values::Int8 { bytes, scales } => {
                self.add_int8(bytes.bytes(), scales.f32(), (q, q_scales), indices, rows, out);
            }
        }
    }

    /// Adds to `out` `[batch, rows]` what `dot` gives for the columns, numbers and vector of each row.
    fn add<T>(
        &self,
        x: &[f32],
        values: &[T],
        indices: &mut [u16],
        rows: Range<usize>,
        out: &mut [f32],
        dot: impl Fn(&[u16], &[T], &[f32]) -> f32,
    ) {
        let stride = rows.len();
        for (at, row) in rows.enumerate() {
            let range = self.range(row);
            self.find(row, indices);
            let (indices, values) = (&indices[..range.len()], &values[range]);
            for (x, out) in x.chunks_exact(self.columns).zip(out.chunks_exact_mut(stride)) {
                out[at] += dot(indices, values, x);
            }
        }
    }

    /// The same for whole numbers, whose sums are exact: in whatever order they are added.
    fn add_int8(
        &self,
        bytes: &[u8],
        scales: &[f32],
        (q, q_scales): (&[i8], &[f32]),
        indices: &mut [u16],
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let stride = rows.len();
        for (at, row) in rows.enumerate() {
            let range = self.range(row);
            self.find(row, indices);
            let (indices, bytes) = (&indices[..range.len()], &bytes[range]);
            let vectors = q.chunks_exact(self.columns).zip(q_scales);
            for ((q, q_scale), out) in vectors.zip(out.chunks_exact_mut(stride)) {
                let terms = indices.iter().zip(bytes);
                let term = |(&column, &byte): (&u16, &u8)| {
                    i32::from(byte as i8) * i32::from(q[usize::from(column)])
                };
                out[at] += terms.map(term).sum::<i32>() as f32 * (scales[row] * q_scale);
            }
        }
    }

    /// Writes the columns of a row's numbers to the front of `indices` `[columns]`.
    fn find(&self, row: usize, indices: &mut [u16]) {
        match &self.positions {
            Positions::Deltas(deltas) => {
                let mut next = 0u16;
                for (index, &delta) in indices.iter_mut().zip(&deltas.bytes()[self.range(row)]) {
                    *index = next + u16::from(delta);
                    // At the last of 65536 columns there is no next.
                    next = index.wrapping_add(1);
                }
            }
            Positions::Bitmap(bits) => {
                let mut indices = indices.iter_mut();
                for (at, mut word) in words(bits.bytes(), self.columns, row).enumerate() {
                    while word != 0 {
                        let Some(index) = indices.next() else { return };
                        *index = (at * 64) as u16 + word.trailing_zeros() as u16;
                        word &= word - 1;
                    }
                }
            }
        }
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        scratch.indices.resize(self.columns, 0);
        self.find(row, &mut scratch.indices);
        out.fill(0.0);
        for (at, &column) in self.range(row).zip(&scratch.indices) {
            out[usize::from(column)] = match &self.values {
                Values::F32(values) => values.f32()[at],
                Values::F16(values) => half::to_f32(values.u16()[at]),
                Values::Int8 { bytes, scales } => {
                    f32::from(bytes.bytes()[at] as i8) * scales.f32()[row]
                }
            };
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let at = match &self.values {
            Values::F32(values) => values.f32().iter().position(|value| !value.is_finite()),
            Values::F16(values) => {
                values.u16().iter().position(|&bits| !half::to_f32(bits).is_finite())
            }
            Values::Int8 { .. } => None,
        };
        at.map(|at| format!("kept number {at} is not a finite number"))
    }
}

/// The bits of a row, 64 at a time.
fn words(bits: &[u8], columns: usize, row: usize) -> impl Iterator<Item = u64> + Clone {
    let width = bitmap_width(columns);
    let (words, _) = bits[row * width..][..width].as_chunks::<8>();
    words.iter().map(|word| u64::from_le_bytes(*word))
}

/// Σ values · x[indices], in four sums that do not wait for one another.
fn dot<T: Copy>(indices: &[u16], values: &[T], x: &[f32], number: impl Fn(T) -> f32) -> f32 {
    let mut sums = [0.0f32; 4];
    let (i, i_rest) = indices.as_chunks::<4>();
    let (v, v_rest) = values.as_chunks::<4>();
    for (i, v) in i.iter().zip(v) {
        for (sum, (&i, &v)) in sums.iter_mut().zip(i.iter().zip(v)) {
            *sum += number(v) * x[usize::from(i)];
        }
    }
    for (sum, (&i, &v)) in sums.iter_mut().zip(i_rest.iter().zip(v_rest)) {
        *sum += number(v) * x[usize::from(i)];
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

fn open_positions(
    description: &Description<'_>,
    leaves: &Leaves<'_>,
    array: &str,
    kept: usize,
) -> Result<Positions> {
    let &Description { ref name, rows, columns, .. } = description;
    match description.fields.get("positions").and_then(Value::string) {
        Some("bitmap") => {
            let shape = [rows, bitmap_width(columns)];
            leaves.array(array, Dtype::U8, &shape).map(Positions::Bitmap)
        }
        Some("deltas") => leaves.array(array, Dtype::U8, &[kept]).map(Positions::Deltas),
        _ => Err(Error::matrix(name, "has positions that are neither \"bitmap\" nor \"deltas\"")),
    }
}
