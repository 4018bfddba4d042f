//! Writing unstructured sparsity.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::layout::{PANEL_ROWS, padded_rows};
use pocketlm_kernels::{bytes, half, int8};

use super::bitmap_width;
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::matrix::dense::write::check_int8;
use crate::matrix::encoded::{Encoded, Shape, too_large};
use crate::matrix::shape::check_sparse;
use crate::spec::{Precision, Sparsity};

/// Bytes of a kept number in this precision, if it can have it.
pub(crate) fn width(precision: Precision) -> Option<usize> {
    Sparsity::Unstructured.takes(precision).then(|| precision.bits() / 8)
}

/// Encodes the numbers of `weights` `[rows, columns]` that are not zero; all are finite.
pub(crate) fn encode(shape: &Shape, weights: &[f32], precision: Precision) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    let Some(width) = width(precision) else {
        let known = Precision::list(|precision| Sparsity::Unstructured.takes(precision));
        let problem = format!(
            "cannot be unstructured in {precision}: take {known}, panels, or keep all its numbers"
        );
        return Err(Error::matrix(name, problem));
    };
    check_sparse(name, columns)?;
    let exact = Kept::of(weights, columns, false);
    let filled = Kept::of(weights, columns, true);
    let bitmap = rows * bitmap_width(columns);
    let is_bitmap = bitmap + exact.places.len() * width <= filled.places.len() * (1 + width);
    let (kept, kind, positions, lengths) = if is_bitmap {
        let positions = exact.bitmap(columns);
        (exact, "bitmap", positions, vec![rows, bitmap_width(columns)])
    } else {
        let (positions, count) = (filled.deltas(columns), filled.places.len());
        (filled, "deltas", positions, vec![count])
    };
    let mut arrays = values(shape, weights, &kept.places, precision)?;
    let offsets = bytes::of_u32(&kept.offsets).to_vec();
    arrays.push(Leaf::new("", Dtype::U32, &[rows + 1], offsets));
    arrays.push(Leaf::new("", Dtype::U8, &lengths, positions));
    let extra = format!(",\"positions\":\"{kind}\"");
    Ok(Encoded::of_numbers(shape, (Sparsity::Unstructured, precision), arrays, &extra))
}

/// An estimate of the bytes of `kept` numbers, as if they lay evenly.
pub(crate) fn stored_bytes(
    rows: usize,
    columns: usize,
    kept: usize,
    precision: Precision,
) -> usize {
    let width = width(precision).unwrap_or(1);
    let fillers = (rows * columns / 256).saturating_sub(kept);
    let deltas = (kept + fillers) * (1 + width);
    let bitmap = rows * bitmap_width(columns) + kept * width;
    let scales = if precision == Precision::Int8 { 4 * rows } else { 0 };
    deltas.min(bitmap) + 4 * (rows + 1) + scales
}

/// The kept numbers of a matrix.
struct Kept {
    /// Index of each row's first number, and their count.
    offsets: Vec<u32>,
    /// Place within the matrix, row-major.
    places: Vec<usize>,
}

impl Kept {
    /// With zeros on the way where more than 255 columns lie between two, if `filled`.
    fn of(weights: &[f32], columns: usize, filled: bool) -> Self {
        let (mut offsets, mut places) = (vec![0], Vec::new());
        for (row, numbers) in weights.chunks(columns).enumerate() {
            let mut next = 0;
            for (at, _) in numbers.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                while filled && at - next > 255 {
                    places.push(row * columns + next + 255);
                    next += 256;
                }
                places.push(row * columns + at);
                next = at + 1;
            }
            offsets.push(places.len() as u32);
        }
        Self { offsets, places }
    }

    fn deltas(&self, columns: usize) -> Vec<u8> {
        let mut next = 0;
        let delta = |&place: &usize| {
            next = next.max(place - place % columns);
            let delta = place - next;
            next = place + 1;
            delta as u8
        };
        self.places.iter().map(delta).collect()
    }

    fn bitmap(&self, columns: usize) -> Vec<u8> {
        let width = bitmap_width(columns);
        let mut bits = vec![0u8; (self.offsets.len() - 1) * width];
        for place in &self.places {
            let (row, column) = (place / columns, place % columns);
            bits[row * width + column / 8] |= 1 << (column % 8);
        }
        bits
    }
}

/// The arrays of the numbers at `places`.
fn values(
    shape: &Shape,
    weights: &[f32],
    places: &[usize],
    precision: Precision,
) -> Result<Vec<Leaf>> {
    let &Shape { ref name, rows, columns } = shape;
    let kept = || places.iter().map(|&place| weights[place]);
    let count = [places.len()];
    match precision {
        Precision::Int8 => {
            let (whole, scales) = int8_rows(weights, rows, columns);
            check_int8(name, &scales)?;
            let values = places.iter().map(|&place| whole[place] as u8).collect();
            let scales = Leaf::f32("", &[rows], &scales);
            Ok(vec![Leaf::new("", Dtype::I8, &count, values), scales])
        }
        Precision::F16 => {
            let halves: Vec<u16> = kept().map(half::from_f32).collect();
            if !halves.iter().all(|&bits| half::to_f32(bits).is_finite()) {
                return Err(too_large(name));
            }
            Ok(vec![Leaf::new("", Dtype::F16, &count, bytes::of_u16(&halves).to_vec())])
        }
        _ => Ok(vec![Leaf::f32("", &count, &kept().collect::<Vec<_>>())]),
    }
}

/// Whole numbers `[rows, columns]` and a scale a row, as a dense int8 matrix has them.
fn int8_rows(weights: &[f32], rows: usize, columns: usize) -> (Vec<i8>, Vec<f32>) {
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
