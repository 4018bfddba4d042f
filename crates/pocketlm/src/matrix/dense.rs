//! Dense matrices in panels: f32, f16, int8 with a scale per row, codes of a few bits with a scale per row
//! and group.
//!
//! The layouts and the arithmetic are those of the kernels, `pocketlm_kernels::layout`.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use pocketlm_kernels::grouped::{Code, Grouped, Levels};
use pocketlm_kernels::layout::{padded_rows, panels};
use pocketlm_kernels::{float16, float32, half, int8, quantise};

use super::planes::Planes;
use super::product_quantised::ProductQuantised;
use super::scratch::{PANEL, Scratch, grow};
use super::shape::{check_integers, group, part};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata::{Description, Word};
use crate::leaves::{Leaves, names};
use crate::spec::Kernels;
use crate::storage::Array;

#[cfg(feature = "pack")]
pub(crate) mod write;

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
    /// Codes in blocks of lines `[panels, lines, 16, 4]`, scales `[panels, groups, 16]`.
    Codes(Codes),
    /// Sums of scaled signs.
    Planes(Planes),
    /// Rows of a few vectors each.
    Product(ProductQuantised),
}

/// A matrix of short codes.
#[derive(Debug)]
struct Codes {
    code: Code,
    bytes: Array,
    scales: Array,
    group: usize,
    levels: Levels,
}

impl Codes {
    /// The panels `panels` of a matrix of `columns` columns.
    fn part(&self, columns: usize, panels: &Range<usize>) -> Grouped<'_> {
        let Self { code, group, ref levels, .. } = *self;
        let groups = columns.div_ceil(group);
        Grouped {
            code,
            bytes: part(self.bytes.bytes(), code.len(PANEL, columns), panels),
            scales: part(self.scales.u16(), PANEL * groups, panels),
            group,
            levels,
        }
    }
}

impl Dense {
    /// Takes the arrays that `description` names into use.
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let Description { name, rows, columns, precision, .. } = description;
        let Word::Known(precision) = precision else {
            let precision = format!("{precision}");
            let problem =
                format!("has the precision {precision:?}, which this version cannot read");
            return Err(Error::matrix(name, problem));
        };
        if precision.is_integer() {
            check_integers(name, *columns)?;
        }
        let weights = match precision.kernels() {
            Kernels::Float32 => Weights::F32(open_float(description, leaves, Dtype::F32)?),
            Kernels::Float16 => Weights::F16(open_float(description, leaves, Dtype::F16)?),
            Kernels::Int8 => open_int8(description, leaves)?,
            Kernels::Codes(code) => Weights::Codes(open_codes(description, leaves, code)?),
            Kernels::Planes(count) => Weights::Planes(Planes::open(description, leaves, count)?),
            Kernels::Vectors(width) => {
                Weights::Product(ProductQuantised::open(description, leaves, width)?)
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
            Weights::Int8 { bytes, scales } => bytes.bytes().len() + scales.bytes().len(),
            Weights::Codes(Codes { code, bytes, scales, .. }) => {
                let levels = if *code == Code::Codebook { size_of::<Levels>() } else { 0 };
                bytes.bytes().len() + scales.bytes().len() + levels
            }
            Weights::Planes(planes) => planes.bytes(),
            Weights::Product(product) => product.bytes(),
        }
    }

    /// Columns of a quantised vector, and how many of them share a sum.
    fn quantised(&self) -> Option<(usize, usize)> {
        match self.weights {
            Weights::Planes(ref planes) => Some(planes.quantised(self.columns)),
            Weights::F32(_) | Weights::F16(_) | Weights::Product(_) => None,
            Weights::Int8 { .. } => {
                let columns = int8::padded_cols(self.columns);
                Some((columns, columns))
            }
            Weights::Codes(Codes { code, group, .. }) => {
                Some((code.padded_cols(self.columns), group))
            }
        }
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        if let Weights::Product(product) = &self.weights {
            grow(&mut scratch.tables, batch * product.table_len());
        }
        if let Some((columns, group)) = self.quantised() {
            grow(&mut scratch.q, batch * columns);
            grow(&mut scratch.scales, batch);
            grow(&mut scratch.sums, batch * columns.div_ceil(group));
        }
    }

    /// Quantises `x` `[batch, columns]` where the weights are integers, makes tables of it where they are vectors.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        if let Weights::Product(product) = &self.weights {
            scratch.tables.resize(batch * product.table_len(), 0.0);
            return product.prepare(x, &mut scratch.tables);
        }
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
        #[cfg(feature = "threads")]
        if x.len() == self.columns {
            let product = |rows, out: &mut [f32]| self.apply_part(x, scratch, rows, out);
            return crate::threads::share_out(rows, self.columns, out, product);
        }
        self.apply_part(x, scratch, rows, out);
    }

    /// [`apply_rows`](Self::apply_rows) on the calling thread.
    fn apply_part(&self, x: &[f32], scratch: &Scratch, rows: Range<usize>, out: &mut [f32]) {
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
            Weights::Codes(codes) => {
                apply_codes(&codes.part(self.columns, &panels), scratch, out);
            }
            Weights::Planes(planes) => {
                let parts = planes.parts([self.rows, self.columns], &panels);
                parts.for_each(|part| apply_codes(&part, scratch, out));
            }
            Weights::Product(product) => {
                product.apply(&scratch.tables, &panels, rows.len(), out);
            }
        }
    }

    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        match &self.weights {
            Weights::F32(weights) => float32::row(weights.f32(), row, out),
            Weights::F16(weights) => float16::row(weights.u16(), row, out),
            Weights::Int8 { bytes, scales } => int8::row(bytes.bytes(), scales.f32(), row, out),
            Weights::Codes(codes) => {
                codes.part(self.columns, &(0..panels(self.rows))).row(row, out);
            }
            Weights::Planes(planes) => planes.row([self.rows, self.columns], row, out),
            Weights::Product(product) => product.row(row, out),
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let at = match &self.weights {
            Weights::F32(weights) => weights.f32().iter().position(|value| !value.is_finite()),
            Weights::F16(weights) => {
                weights.u16().iter().position(|&bits| !half::to_f32(bits).is_finite())
            }
            // Bytes are whole numbers, and scales and vectors were checked when the file was opened.
            Weights::Int8 { .. } | Weights::Codes(_) | Weights::Planes(_) | Weights::Product(_) => {
                None
            }
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

fn apply_codes(weights: &Grouped<'_>, scratch: &Scratch, out: &mut [f32]) {
    let Scratch { q, scales, sums, .. } = scratch;
    match **scales {
        [scale] => weights.matvec(q, scale, sums, out),
        _ => weights.matmul(q, scales, sums, out),
    }
}

fn open_float(description: &Description<'_>, leaves: &Leaves<'_>, dtype: Dtype) -> Result<Array> {
    let [weights] = names(&description.name, &description.arrays)?;
    leaves.array(weights, dtype, &[panels(description.rows), description.columns, PANEL])
}

fn open_int8(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Weights> {
    let [bytes, scales] = names(&description.name, &description.arrays)?;
    let columns = int8::padded_cols(description.columns);
    let shape = [panels(description.rows), columns / 4, PANEL, 4];
    Ok(Weights::Int8 {
        bytes: leaves.array(bytes, Dtype::U8, &shape)?,
        scales: leaves.finite(scales, &[padded_rows(description.rows)])?,
    })
}

fn open_codes(description: &Description<'_>, leaves: &Leaves<'_>, code: Code) -> Result<Codes> {
    let Description { name, rows, columns, arrays, .. } = description;
    let ([bytes, scales], levels) = if code == Code::Codebook {
        let [bytes, scales, levels] = names(name, arrays)?;
        ([bytes, scales], open_levels(levels, leaves)?)
    } else {
        let [bytes, scales] = names(name, arrays)?;
        ([bytes, scales], Levels::default())
    };
    let group = group(description, code)?;
    let lines = code.len(PANEL, *columns) / (PANEL * 4);
    let bytes = leaves.array(bytes, Dtype::U8, &[panels(*rows), lines, PANEL, 4])?;
    let shape = [panels(*rows), columns.div_ceil(group), PANEL];
    let scales = leaves.halves(scales, &shape)?;
    Ok(Codes { code, bytes, scales, group, levels })
}

fn open_levels(name: &str, leaves: &Leaves<'_>) -> Result<Levels> {
    let array = leaves.array(name, Dtype::I8, &[size_of::<Levels>()])?;
    let mut levels = Levels::default();
    for (level, &byte) in levels.iter_mut().zip(array.bytes()) {
        *level = byte.cast_signed();
    }
    Ok(levels)
}
