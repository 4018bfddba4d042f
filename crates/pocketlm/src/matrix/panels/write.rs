//! Writing sparsity by panels.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;
use pocketlm_kernels::grouped::GROUP;
use pocketlm_kernels::layout::PANEL_ROWS;

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::matrix::dense::write as dense;
use crate::matrix::encoded::{Encoded, Shape};
use crate::matrix::shape::check_sparse;
use crate::spec::{Precision, Sparsity};

/// The kept columns of one panel.
struct Compact {
    /// Ascending.
    columns: Vec<u16>,
    /// `[rows of the panel, kept columns]`
    weights: Vec<f32>,
}

/// The panels of `weights` `[rows, columns]` without the columns that are zero in all their rows.
fn compact(weights: &[f32], columns: usize) -> impl Iterator<Item = Compact> {
    weights.chunks(PANEL_ROWS * columns).map(move |panel| {
        let rows = || panel.chunks_exact(columns);
        let kept = |&column: &usize| rows().any(|row| row[column] != 0.0);
        let kept: Vec<usize> = (0..columns).filter(kept).collect();
        let weights = rows().flat_map(|row| kept.iter().map(|&column| row[column])).collect();
        Compact { columns: kept.iter().map(|&column| column as u16).collect(), weights }
    })
}

/// Columns that a panel's list is padded to a multiple of.
///
/// # Errors
/// [`Error::Matrix`] for a precision that panels cannot have.
fn unit(name: &str, precision: Precision) -> Result<usize> {
    super::unit(precision).ok_or_else(|| {
        let known = Precision::list(|precision| Sparsity::Panels.takes(precision));
        let problem =
            format!("cannot have panels in {precision}: take {known}, or keep all its numbers");
        Error::matrix(name, problem)
    })
}

/// Encodes the blocks of 16 rows × 1 column of `weights` `[rows, columns]` that are not all zero.
pub(crate) fn encode(shape: &Shape, weights: &[f32], precision: Precision) -> Result<Encoded> {
    let &Shape { ref name, rows, columns } = shape;
    let unit = unit(name, precision)?;
    check_sparse(name, columns)?;
    let (mut numbers, mut scales) = (Vec::new(), Vec::new());
    let (mut indices, mut offsets) = (Vec::new(), vec![0u32]);
    for (at, Compact { columns: mut kept, weights }) in compact(weights, columns).enumerate() {
        if let Some(&last) = kept.last() {
            let rows = PANEL_ROWS.min(rows - at * PANEL_ROWS);
            let compact = Shape { name: name.clone(), rows, columns: kept.len() };
            let mut leaves = dense::encode(&compact, &weights, precision)?.arrays.into_iter();
            numbers.extend(leaves.next().into_iter().flat_map(|leaf| leaf.bytes));
            scales.extend(leaves.flat_map(|leaf| leaf.bytes));
            kept.resize(kept.len().next_multiple_of(unit), last);
        } else if precision == Precision::Int8 {
            // It has a scale for each row, whatever the panel keeps.
            scales.extend([0; 4 * PANEL_ROWS]);
        }
        indices.extend(kept);
        offsets.push(indices.len() as u32);
    }
    let mut arrays = arrays(indices.len(), numbers, scales, precision);
    let parts = [offsets.len()];
    let offsets = bytes::of_u32(&offsets).to_vec();
    arrays.push(Leaf::new("", Dtype::U32, &parts, offsets));
    let columns = bytes::of_u16(&indices).to_vec();
    arrays.push(Leaf::new("", Dtype::U16, &[indices.len()], columns));
    Ok(Encoded::of_numbers(shape, (Sparsity::Panels, precision), arrays, ""))
}

/// The arrays of compact panels with `kept` columns together.
fn arrays(kept: usize, numbers: Vec<u8>, scales: Vec<u8>, precision: Precision) -> Vec<Leaf> {
    let (dtype, shape) = match precision {
        Precision::F32 => (Dtype::F32, vec![kept, PANEL_ROWS]),
        Precision::F16 => (Dtype::F16, vec![kept, PANEL_ROWS]),
        Precision::Int8 => (Dtype::U8, vec![kept / 4, PANEL_ROWS, 4]),
        _ => (Dtype::U8, vec![kept / 8, PANEL_ROWS, 4]),
    };
    let numbers = Leaf::new("", dtype, &shape, numbers);
    let (dtype, shape) = match precision {
        Precision::Int8 => (Dtype::F32, vec![scales.len() / 4]),
        Precision::Int4 => (Dtype::F16, vec![scales.len() / 2 / PANEL_ROWS, PANEL_ROWS]),
        _ => return vec![numbers],
    };
    vec![numbers, Leaf::new("", dtype, &shape, scales)]
}

/// Writes what is read back from `weights` `[rows, columns]`; what is too large becomes infinite or NaN.
///
/// # Errors
/// [`Error::Matrix`] for a precision that panels cannot have.
pub(crate) fn read_back(
    shape: &Shape,
    weights: &[f32],
    precision: Precision,
    back: &mut [f32],
) -> Result<()> {
    unit(&shape.name, precision)?;
    let blocks = back.chunks_mut(PANEL_ROWS * shape.columns);
    for (back, panel) in blocks.zip(compact(weights, shape.columns)) {
        read_panel_back(&panel, shape.columns, precision, back);
    }
    Ok(())
}

/// Writes the numbers of a compact panel to their places in `out` `[rows, columns]`.
fn read_panel_back(panel: &Compact, columns: usize, precision: Precision, out: &mut [f32]) {
    let (rows, kept) = (out.len() / columns, panel.columns.len());
    if kept == 0 {
        return;
    }
    let mut read = vec![0.0; panel.weights.len()];
    dense::read_back(&panel.weights, rows, kept, precision, &mut read);
    for (out, read) in out.chunks_exact_mut(columns).zip(read.chunks_exact(kept)) {
        for (&column, value) in panel.columns.iter().zip(read) {
            out[usize::from(column)] = *value;
        }
    }
}

/// An upper bound of the bytes, with 16 numbers of `kept` for each block (those beyond the last row counted): as if every
/// panel had as much padding as it can have.
pub(crate) fn stored_bytes(rows: usize, kept: usize, precision: Precision) -> usize {
    let (panels, blocks) = (rows.div_ceil(PANEL_ROWS), kept.div_ceil(PANEL_ROWS));
    let unit = super::unit(precision).unwrap_or(1);
    let padded = blocks + panels * (unit - 1);
    let numbers = match precision {
        Precision::F32 => 64 * padded,
        Precision::F16 => 32 * padded,
        Precision::Int8 => 16 * padded + 64 * panels,
        _ => 8 * padded + 32 * (blocks / GROUP + panels),
    };
    numbers + 2 * padded + 4 * (panels + 1)
}
