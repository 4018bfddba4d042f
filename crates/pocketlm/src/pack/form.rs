//! Matrices in every form that the runtime has: the writing half of [`crate::matrix`].

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::layout::{PANEL_ROWS, padded_rows};
use pocketlm_kernels::{bytes, half, int4, int8};

use super::container::Leaf;
use super::{Encoded, Precision, check, dense, find};
use crate::configuration::Expected;
use crate::error::{Error, Result};
use crate::format::container::Dtype;

/// Which numbers of a matrix the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sparsity {
    /// All.
    None,
    /// Those that are not zero, with their positions.
    Unstructured,
}

impl Sparsity {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::None, Self::Unstructured];

    /// Its name: `none` or `unstructured`.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["none", "unstructured"][self as usize]
    }

    /// The sparsity of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sparsity| sparsity.name() == name)
    }
}

/// A matrix whose own numbers are stored.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// Values that come out.
    pub rows: usize,
    /// Values that go in.
    pub columns: usize,
    /// Row-major `[rows, columns]`, zero where nothing is kept.
    pub weights: &'a [f32],
    /// Which numbers are stored.
    pub sparsity: Sparsity,
    /// How many bits each has. Sparse factors have f32, f16 or int8.
    pub precision: Precision,
}

/// The form of a matrix.
#[derive(Debug, Clone)]
pub enum Form<'a> {
    /// Its own numbers.
    Dense(Factor<'a>),
    /// `left [rows, rank] · right [rank, columns]`
    LowRank {
        /// `[rows, rank]`
        left: Factor<'a>,
        /// `[rank, columns]`
        right: Factor<'a>,
    },
    /// A tensor train: with `i = (i_1, …, i_d)` and `j = (j_1, …, j_d)` in mixed radix, most significant first,
    /// `W[i, j] = G_1[:, i_1, j_1, :] · … · G_d[:, i_d, j_d, :]` (Novikov et al. 2015).
    TensorTrain {
        /// `m_1, …, m_d`, whose product is at least the number of rows.
        row_modes: &'a [usize],
        /// `n_1, …, n_d`, whose product is at least the number of columns.
        column_modes: &'a [usize],
        /// Core `k` as `[m_k r_k, r_{k-1} n_k]`: row `i_k r_k + β`, column `α n_k + j_k`.
        cores: Vec<Factor<'a>>,
    },
}

impl super::Packer {
    /// Adds the matrix `name` in this form.
    ///
    /// # Errors
    /// [`Error::Matrix`] if the configuration asks for no such matrix, the sizes do not fit, a number is not
    /// finite or too large for the precision, or a sparse factor has a precision that it cannot have.
    pub fn form(&mut self, name: &str, form: &Form<'_>) -> Result<()> {
        let expected = find(self.configuration.matrices(self.words.len()), name)?;
        let encoded = match form {
            Form::Dense(factor) => self.factor(name, name, factor, Some(&expected))?,
            Form::LowRank { left, right } => {
                let shape = Expected { columns: left.columns, ..expected.clone() };
                let left = self.factor(name, &format!("{name}.left"), left, Some(&shape))?;
                let shape = Expected { rows: shape.columns, ..expected.clone() };
                let right = self.factor("", &format!("{name}.right"), right, Some(&shape))?;
                structured(&expected, "low-rank", "", vec![left, right], Vec::new())
            }
            Form::TensorTrain { row_modes, column_modes, cores } => {
                let core = |(k, core)| self.factor("", &format!("{name}.core.{k}"), core, None);
                let cores = cores.iter().enumerate().map(core).collect::<Result<_>>()?;
                let mut fields =
                    format!(",\"row_modes\":{row_modes:?},\"column_modes\":{column_modes:?}");
                let mut arrays = Vec::new();
                if is_by_word(name) {
                    let array = format!("{name}.order");
                    fields += &format!(",\"order\":\"{array}\"");
                    let order = bytes::of_u32(&self.order).to_vec();
                    arrays.push(Leaf::new(&array, Dtype::U32, &[self.order.len()], order));
                }
                structured(&expected, "tensor-train", &fields.replace(", ", ","), cores, arrays)
            }
        };
        self.matrices.insert(name.into(), encoded);
        Ok(())
    }

    /// A factor of the matrix `name` with rows in the file's order, if its rows are those of the matrix.
    fn factor(
        &self,
        matrix: &str,
        name: &str,
        factor: &Factor<'_>,
        shape: Option<&Expected>,
    ) -> Result<Encoded> {
        let Factor { rows, columns, weights, sparsity, precision } = *factor;
        let expected = Expected { name: name.to_string(), rows, columns };
        if let Some(shape) = shape.filter(|shape| (shape.rows, shape.columns) != (rows, columns)) {
            let problem =
                format!("is {rows} x {columns} instead of {} x {}", shape.rows, shape.columns);
            return Err(Error::matrix(name, problem));
        }
        check(&expected, weights)?;
        let sorted = self.sorted(matrix, weights, columns);
        let weights = sorted.as_deref().unwrap_or(weights);
        match sparsity {
            Sparsity::None => dense::encode(&expected, weights, precision),
            Sparsity::Unstructured => encode_sparse(&expected, weights, precision),
        }
    }
}

/// Whether the rows of a matrix are words.
pub(super) fn is_by_word(name: &str) -> bool {
    matches!(name, "embedding" | "softmax")
}

/// The description of a matrix made of factors, and all their arrays.
fn structured(
    expected: &Expected,
    structure: &str,
    fields: &str,
    factors: Vec<Encoded>,
    more: Vec<Leaf>,
) -> Encoded {
    let same = |pick: &dyn Fn(&Encoded) -> &'static str| {
        let first = factors.first().map_or("mixed", pick);
        if factors.iter().all(|factor| pick(factor) == first) { first } else { "mixed" }
    };
    let precision = same(&|factor| factor.precision.name());
    let Expected { name, rows, columns } = expected;
    let descriptions: Vec<_> = factors.iter().map(|factor| factor.description.as_str()).collect();
    let description = format!(
        "{{\"name\":\"{name}\",\"rows\":{rows},\"columns\":{columns},\"structure\":\"{structure}\",\
         \"sparsity\":\"none\",\"precision\":\"{precision}\",\"arrays\":[]{fields},\
         \"factors\":[{}]}}",
        descriptions.join(","),
    );
    let precision = factors.first().map_or(Precision::F32, |factor| factor.precision);
    let arrays = factors.into_iter().flat_map(|factor| factor.arrays).chain(more);
    Encoded { description, precision, arrays: arrays.collect() }
}

/// The kept numbers of a sparse matrix.
struct Kept {
    /// Index of each block's first number.
    starts: Vec<u32>,
    /// Place within the matrix, row-major; fillers among them where deltas are too long.
    places: Vec<usize>,
}

impl Kept {
    /// With fillers so that no two places of a block are more than 256 apart, if `filled`.
    fn of(weights: &[f32], columns: usize, filled: bool) -> Self {
        let (mut starts, mut places) = (vec![0], Vec::new());
        let size = PANEL_ROWS * columns;
        for (block, numbers) in weights.chunks(size).enumerate() {
            let mut next = 0;
            for (at, _) in numbers.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                while filled && at - next > 255 {
                    next += 255;
                    places.push(block * size + next);
                    next += 1;
                }
                places.push(block * size + at);
                next = at + 1;
            }
            starts.push(places.len() as u32);
        }
        Self { starts, places }
    }

    fn deltas(&self, columns: usize) -> Vec<u8> {
        let size = PANEL_ROWS * columns;
        let mut next = 0;
        let delta = |&place: &usize| {
            next = next.max(place / size * size);
            let delta = place - next;
            next = place + 1;
            delta as u8
        };
        self.places.iter().map(delta).collect()
    }

    fn bits(&self, columns: usize) -> Vec<u8> {
        let blocks = self.starts.len() - 1;
        let mut bits = vec![0u8; blocks * 2 * columns];
        self.places.iter().for_each(|place| bits[place / 8] |= 1 << (place % 8));
        bits
    }
}

fn encode_sparse(expected: &Expected, weights: &[f32], precision: Precision) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    let Some(width) = sparse_width(precision) else {
        let problem = format!(
            "cannot be sparse in {}: take f32, f16 or int8, or keep all its numbers",
            precision.name()
        );
        return Err(Error::matrix(name, problem));
    };
    let (mut kept, plain) = (Kept::of(weights, columns, true), Kept::of(weights, columns, false));
    let blocks = rows.div_ceil(PANEL_ROWS);
    let is_bits =
        blocks * 2 * columns + plain.places.len() * width < kept.places.len() * (1 + width);
    let (positions, shape) = if is_bits {
        kept = plain;
        (kept.bits(columns), vec![blocks, 2 * columns])
    } else {
        (kept.deltas(columns), vec![kept.places.len()])
    };
    let count = [kept.places.len()];
    let mut arrays = vec![
        Leaf::new(&format!("{name}.positions"), Dtype::U8, &shape, positions),
        Leaf::new(
            &format!("{name}.starts"),
            Dtype::U32,
            &[kept.starts.len()],
            bytes::of_u32(&kept.starts).to_vec(),
        ),
    ];
    match precision {
        Precision::Int8 => {
            let (whole, scales) = rows_int8(weights, rows, columns);
            let values = kept.places.iter().map(|&place| whole[place] as u8).collect();
            arrays.push(Leaf::new(name, Dtype::I8, &count, values));
            arrays.push(Leaf::f32(&format!("{name}.scales"), &[rows], &scales));
        }
        Precision::F16 => {
            let halves: Vec<u16> =
                kept.places.iter().map(|&place| half::from_f32(weights[place])).collect();
            if !halves.iter().all(|&bits| half::to_f32(bits).is_finite()) {
                return Err(dense::too_large(name));
            }
            arrays.push(Leaf::new(name, Dtype::F16, &count, bytes::of_u16(&halves).to_vec()));
        }
        _ => {
            let values: Vec<f32> = kept.places.iter().map(|&place| weights[place]).collect();
            arrays.push(Leaf::f32(name, &count, &values));
        }
    }
    Ok(dense::described(expected, "unstructured", precision, arrays, ""))
}

/// Bytes of a sparse matrix's number in this precision, if it can have it.
fn sparse_width(precision: Precision) -> Option<usize> {
    match precision {
        Precision::F32 => Some(4),
        Precision::F16 => Some(2),
        Precision::Int8 => Some(1),
        Precision::Int4 => None,
    }
}

/// Whole numbers `[rows, columns]` and a scale a row, as a dense int8 matrix has them.
fn rows_int8(weights: &[f32], rows: usize, columns: usize) -> (Vec<i8>, Vec<f32>) {
    let mut packed = vec![0; int8::len(rows, columns)];
    let mut scales = vec![0.0; padded_rows(rows)];
    int8::pack(weights, rows, columns, &mut packed, &mut scales);
    scales.truncate(rows);
    let width = int8::padded_cols(columns);
    let byte = |row: usize, column: usize| {
        let panel = &packed[row / PANEL_ROWS * PANEL_ROWS * width..];
        panel[column / 4 * 64 + row % PANEL_ROWS * 4 + column % 4]
    };
    let whole = (0..rows * columns).map(|at| (byte(at / columns, at % columns) ^ 0x80) as i8);
    (whole.collect(), scales)
}

/// The numbers `[rows, columns]` that the runtime reads back from a factor once it is packed.
///
/// # Errors
/// As [`Packer::form`](super::Packer::form).
pub fn round_trip_factor(factor: &Factor<'_>) -> Result<Vec<f32>> {
    let Factor { rows, columns, weights, sparsity, precision } = *factor;
    let expected = Expected { name: "the matrix".into(), rows, columns };
    check(&expected, weights)?;
    if sparsity != Sparsity::None && sparse_width(precision).is_none() {
        return encode_sparse(&expected, weights, precision).map(|_| Vec::new());
    }
    let mut out = vec![0.0; weights.len()];
    match precision {
        Precision::F32 => out.copy_from_slice(weights),
        Precision::F16 => {
            for (out, &weight) in out.iter_mut().zip(weights) {
                *out = half::to_f32(half::from_f32(weight));
            }
        }
        Precision::Int8 => {
            let mut packed = vec![0; int8::len(rows, columns)];
            let mut scales = vec![0.0; padded_rows(rows)];
            int8::pack(weights, rows, columns, &mut packed, &mut scales);
            int8::unpack(&packed, &scales, columns, &mut out);
        }
        Precision::Int4 => {
            let mut packed = vec![0; int4::len(rows, columns)];
            let mut scales = vec![0; int4::scales_len(rows, columns, int4::GROUP)];
            int4::pack(weights, rows, columns, int4::GROUP, &mut packed, &mut scales);
            int4::unpack(&packed, &scales, int4::GROUP, columns, &mut out);
        }
    }
    Ok(out)
}

/// Bytes of a factor's arrays: exact if all numbers are kept, else as if the `kept` ones lay evenly.
#[must_use]
pub fn factor_bytes(
    rows: usize,
    columns: usize,
    kept: usize,
    sparsity: Sparsity,
    precision: Precision,
) -> usize {
    let padded = padded_rows(rows);
    match (sparsity, precision) {
        (Sparsity::None, Precision::F32) => 4 * padded * columns,
        (Sparsity::None, Precision::F16) => 2 * padded * columns,
        (Sparsity::None, Precision::Int8) => int8::len(rows, columns) + 4 * padded,
        (Sparsity::None, Precision::Int4) => {
            int4::len(rows, columns) + 2 * int4::scales_len(rows, columns, int4::GROUP)
        }
        (Sparsity::Unstructured, _) => {
            let width = sparse_width(precision).unwrap_or(1);
            let blocks = rows.div_ceil(PANEL_ROWS);
            let fillers = (rows * columns / 256).saturating_sub(kept);
            let deltas = (kept + fillers) * (1 + width);
            let bits = blocks * 2 * columns + kept * width;
            let scales = if precision == Precision::Int8 { 4 * rows } else { 0 };
            deltas.min(bits) + 4 * (blocks + 1) + scales
        }
    }
}
