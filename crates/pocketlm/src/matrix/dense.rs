//! Dense matrices in panels: f32, f16, int8 with a scale per row, int4 with a scale per row and group.
//!
//! The layouts and the arithmetic are those of the kernels, `pocketlm_kernels::layout`.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use pocketlm_kernels::layout::{MAX_INTEGER_COLS, padded_rows, panels};
use pocketlm_kernels::{float16, float32, half, int4, int8, quantise};

use super::leaves::{Leaves, names};
use super::{PANEL, Scratch, grow};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::Description;
use crate::json::Value;
use crate::storage::Array;

/// A matrix `[rows, columns]` with every weight stored.
#[derive(Debug)]
pub(crate) struct Dense {
    rows: usize,
    columns: usize,
    weights: Weights,
}

/// The arrays of a precision.
#[derive(Debug)]
enum Weights {
    /// `[panels, columns, 16]`.
    F32(Array),
    /// `[panels, columns, 16]`.
    F16(Array),
    /// Bytes `[panels, columns / 4, 16, 4]`, scales `[panels, 16]`.
    Int8 { bytes: Array, scales: Array },
    /// Bytes `[panels, columns / 8, 16, 4]`, scales `[panels, groups, 16]`.
    Int4 { bytes: Array, scales: Array, group: usize },
}

impl Dense {
    /// Takes the arrays that `description` names into use.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let Description { name, rows, columns, precision, .. } = description;
        let weights = match precision.as_str() {
            "f32" => Weights::F32(open_float(description, leaves, Dtype::F32)?),
            "f16" => Weights::F16(open_float(description, leaves, Dtype::F16)?),
            "int8" => open_int8(description, leaves)?,
            "int4" => open_int4(description, leaves)?,
            _ => {
                let problem =
                    format!("has the precision {precision:?}, which this version cannot read");
                return Err(Error::matrix(name, problem));
            }
        };
        Ok(Self { rows: *rows, columns: *columns, weights })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn parameters(&self) -> usize {
        self.rows * self.columns
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.weights {
            Weights::F32(weights) | Weights::F16(weights) => weights.bytes().len(),
            Weights::Int8 { bytes, scales } | Weights::Int4 { bytes, scales, .. } => {
                bytes.bytes().len() + scales.bytes().len()
            }
        }
    }

    /// Columns of a quantised vector, and how many of them share a sum.
    fn quantised(&self) -> Option<(usize, usize)> {
        match self.weights {
            Weights::F32(_) | Weights::F16(_) => None,
            Weights::Int8 { .. } => {
                let columns = int8::padded_cols(self.columns);
                Some((columns, columns))
            }
            Weights::Int4 { group, .. } => Some((int4::padded_cols(self.columns), group)),
        }
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        if let Some((columns, group)) = self.quantised() {
            grow(&mut scratch.q, batch * columns);
            grow(&mut scratch.scales, batch);
            grow(&mut scratch.sums, batch * columns.div_ceil(group));
        }
    }

    /// Quantises `x` `[batch, columns]` where the weights are integers.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let Some((columns, group)) = self.quantised() else { return };
        let groups = columns.div_ceil(group);
        scratch.q.resize(batch * columns, 0);
        scratch.scales.resize(batch, 0.0);
        scratch.sums.resize(batch * groups, 0);
        for (b, x) in x.chunks_exact(self.columns).enumerate() {
            let q = &mut scratch.q[b * columns..][..columns];
            scratch.scales[b] = quantise::quantise(x, q);
            quantise::sums(q, group, &mut scratch.sums[b * groups..][..groups]);
        }
    }

    pub(crate) fn apply_rows(
        &self,
        x: &[f32],
        scratch: &Scratch,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let panels = rows.start / PANEL..rows.end.div_ceil(PANEL);
        let batch = x.len() / self.columns;
        match &self.weights {
            Weights::F32(weights) => {
                let weights = part(weights.f32(), PANEL * self.columns, &panels);
                if batch == 1 {
                    return float32::matvec(weights, x, out);
                }
                float32::matmul(weights, x, batch, out);
            }
            Weights::F16(weights) => {
                let weights = part(weights.u16(), PANEL * self.columns, &panels);
                if batch == 1 {
                    return float16::matvec(weights, x, out);
                }
                float16::matmul(weights, x, batch, out);
            }
            Weights::Int8 { bytes, scales } => {
                let bytes = part(bytes.bytes(), PANEL * int8::padded_cols(self.columns), &panels);
                apply_int8(bytes, part(scales.f32(), PANEL, &panels), scratch, out);
            }
            Weights::Int4 { bytes, scales, group } => {
                let columns = int4::padded_cols(self.columns);
                let bytes = part(bytes.bytes(), PANEL * columns / 2, &panels);
                let scales = part(scales.u16(), PANEL * columns.div_ceil(*group), &panels);
                apply_int4(bytes, scales, *group, scratch, out);
            }
        }
    }

    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        match &self.weights {
            Weights::F32(weights) => float32::row(weights.f32(), row, out),
            Weights::F16(weights) => float16::row(weights.u16(), row, out),
            Weights::Int8 { bytes, scales } => int8::row(bytes.bytes(), scales.f32(), row, out),
            Weights::Int4 { bytes, scales, group } => {
                int4::row(bytes.bytes(), scales.u16(), *group, row, out);
            }
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let at = match &self.weights {
            Weights::F32(weights) => weights.f32().iter().position(|value| !value.is_finite()),
            Weights::F16(weights) => weights.u16().iter().position(|&bits| !is_finite(bits)),
            // The bytes are whole numbers, and the scales were checked when the file was opened.
            Weights::Int8 { .. } | Weights::Int4 { .. } => None,
        };
        at.map(|at| format!("element {at} of its array is not a finite number"))
    }
}

fn apply_int8(bytes: &[u8], scales: &[f32], scratch: &Scratch, out: &mut [f32]) {
    let Scratch { q, scales: q_scales, sums, .. } = scratch;
    match (&**q_scales, &**sums) {
        (&[scale], &[sum]) => int8::matvec(bytes, scales, q, scale, sum, out),
        _ => int8::matmul(bytes, scales, q, q_scales, sums, out),
    }
}

fn apply_int4(bytes: &[u8], scales: &[u16], group: usize, scratch: &Scratch, out: &mut [f32]) {
    let Scratch { q, scales: q_scales, sums, .. } = scratch;
    match **q_scales {
        [scale] => int4::matvec(bytes, scales, group, q, scale, sums, out),
        _ => int4::matmul(bytes, scales, group, q, q_scales, sums, out),
    }
}

/// The panels `panels`, each of `size` elements.
fn part<'a, T>(all: &'a [T], size: usize, panels: &Range<usize>) -> &'a [T] {
    &all[panels.start * size..panels.end * size]
}

fn is_finite(half: u16) -> bool {
    half::to_f32(half).is_finite()
}

fn open_float(description: &Description<'_>, leaves: &Leaves<'_>, dtype: Dtype) -> Result<Array> {
    let [weights] = names(&description.name, &description.arrays)?;
    leaves.array(weights, dtype, &[panels(description.rows), description.columns, PANEL])
}

fn check_columns(description: &Description<'_>) -> Result<()> {
    if description.columns <= MAX_INTEGER_COLS {
        return Ok(());
    }
    let problem = format!("has more than {MAX_INTEGER_COLS} columns of integers");
    Err(Error::matrix(&description.name, problem))
}

fn open_int8(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Weights> {
    check_columns(description)?;
    let [bytes, scales] = names(&description.name, &description.arrays)?;
    let columns = int8::padded_cols(description.columns);
    let shape = [panels(description.rows), columns / 4, PANEL, 4];
    Ok(Weights::Int8 {
        bytes: leaves.array(bytes, Dtype::U8, &shape)?,
        scales: leaves.finite(scales, &[padded_rows(description.rows)])?,
    })
}

/// Columns of int4 that share a scale.
pub(super) fn group(description: &Description<'_>) -> Result<usize> {
    let group = description.fields.get("group").and_then(Value::number);
    group
        .filter(|&group| group > 0 && group.is_multiple_of(8) && group <= MAX_INTEGER_COLS)
        .ok_or_else(|| {
            Error::matrix(&description.name, "has no group, or one that is no multiple of 8")
        })
}

fn open_int4(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Weights> {
    check_columns(description)?;
    let Description { name, rows, columns, .. } = description;
    let [bytes, scales_name] = names(name, &description.arrays)?;
    let group = group(description)?;
    let shape = [panels(*rows), int4::padded_cols(*columns) / 8, PANEL, 4];
    let bytes = leaves.array(bytes, Dtype::U8, &shape)?;
    let shape = [panels(*rows), columns.div_ceil(group), PANEL];
    let scales = leaves.array(scales_name, Dtype::F16, &shape)?;
    match scales.u16().iter().position(|&bits| !is_finite(bits)) {
        None => Ok(Weights::Int4 { bytes, scales, group }),
        Some(at) => Err(Error::array(scales_name, format!("element {at} is not a finite number"))),
    }
}
