//! Encoding sparsity by panels: the writing half of [`crate::matrix`]'s `panels`.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;
use pocketlm_kernels::grouped::GROUP;
use pocketlm_kernels::layout::PANEL_ROWS;

use super::container::Leaf;
use super::{Encoded, Precision, dense};
use crate::configuration::Expected;
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::matrix::{MAX_SPARSE_COLUMNS, panels};

/// The kept columns of one panel.
pub(super) struct Compact {
    /// Ascending.
    pub(super) columns: Vec<u16>,
    /// `[rows of the panel, kept columns]`
    pub(super) weights: Vec<f32>,
}

/// The panels of `weights` `[rows, columns]` without the columns that are zero in all their rows.
pub(super) fn compact(weights: &[f32], columns: usize) -> impl Iterator<Item = Compact> {
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
pub(super) fn unit(name: &str, precision: Precision) -> Result<usize> {
    panels::unit(precision.name()).ok_or_else(|| {
        let problem = format!(
            "cannot have panels in {}: take f32, f16, int8 or int4, or keep all its numbers",
            precision.name()
        );
        Error::matrix(name, problem)
    })
}

/// Encodes the blocks of 16 rows × 1 column of `weights` `[rows, columns]` that are not all zero.
pub(super) fn encode(
    expected: &Expected,
    weights: &[f32],
    precision: Precision,
) -> Result<Encoded> {
    let &Expected { ref name, rows, columns } = expected;
    let unit = unit(name, precision)?;
    if columns > MAX_SPARSE_COLUMNS {
        let problem = format!("is sparse with more than {MAX_SPARSE_COLUMNS} columns");
        return Err(Error::matrix(name, problem));
    }
    let (mut numbers, mut scales) = (Vec::new(), Vec::new());
    let (mut indices, mut offsets) = (Vec::new(), vec![0u32]);
    for (at, Compact { columns: mut kept, weights }) in compact(weights, columns).enumerate() {
        if let Some(&last) = kept.last() {
            let rows = PANEL_ROWS.min(rows - at * PANEL_ROWS);
            let shape = Expected { name: name.clone(), rows, columns: kept.len() };
            let mut leaves = dense::encode(&shape, &weights, precision)?.arrays.into_iter();
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
    let mut arrays = arrays(name, indices.len(), numbers, scales, precision);
    let parts = [offsets.len()];
    let offsets = bytes::of_u32(&offsets).to_vec();
    arrays.push(Leaf::new(&format!("{name}.offsets"), Dtype::U32, &parts, offsets));
    let columns = bytes::of_u16(&indices).to_vec();
    arrays.push(Leaf::new(&format!("{name}.columns"), Dtype::U16, &[indices.len()], columns));
    let group = format!(",\"group\":{}", GROUP);
    let extra = if precision == Precision::Int4 { &group } else { "" };
    Ok(dense::described(expected, "panels", precision, arrays, extra))
}

/// The arrays of compact panels with `kept` columns together.
fn arrays(
    name: &str,
    kept: usize,
    numbers: Vec<u8>,
    scales: Vec<u8>,
    precision: Precision,
) -> Vec<Leaf> {
    let (dtype, shape) = match precision {
        Precision::F32 => (Dtype::F32, vec![kept, PANEL_ROWS]),
        Precision::F16 => (Dtype::F16, vec![kept, PANEL_ROWS]),
        Precision::Int8 => (Dtype::U8, vec![kept / 4, PANEL_ROWS, 4]),
        _ => (Dtype::U8, vec![kept / 8, PANEL_ROWS, 4]),
    };
    let numbers = Leaf::new(name, dtype, &shape, numbers);
    let (dtype, shape) = match precision {
        Precision::Int8 => (Dtype::F32, vec![scales.len() / 4]),
        Precision::Int4 => (Dtype::F16, vec![scales.len() / 2 / PANEL_ROWS, PANEL_ROWS]),
        _ => return vec![numbers],
    };
    vec![numbers, Leaf::new(&format!("{name}.scales"), dtype, &shape, scales)]
}
