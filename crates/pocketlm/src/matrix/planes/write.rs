//! Writing sums of scaled signs.

use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::binary::{self, GROUP};
use pocketlm_kernels::grouped::{Grouped, scales_len};
use pocketlm_kernels::layout::{PANEL_ROWS, panels};
use pocketlm_kernels::{bytes, half};

use super::CODE;
use crate::error::Result;
use crate::format::container::Dtype;
use crate::format::container::write::Leaf;
use crate::matrix::encoded::{Shape, too_large};

/// Codes and scales of the planes, one after the other.
struct Planes {
    bytes: Vec<u8>,
    scales: Vec<u16>,
}

fn pack(weights: &[f32], rows: usize, columns: usize, count: usize) -> Planes {
    let mut bytes = vec![0; count * CODE.len(rows, columns)];
    let mut scales = vec![0; count * scales_len(rows, columns, GROUP)];
    binary::pack(count, weights, [rows, columns], GROUP, &mut bytes, &mut scales);
    Planes { bytes, scales }
}

pub(crate) fn encode(
    &Shape { ref name, rows, columns }: &Shape,
    weights: &[f32],
    count: usize,
) -> Result<Vec<Leaf>> {
    let Planes { bytes: packed, scales } = pack(weights, rows, columns, count);
    if !scales.iter().all(|&bits| half::to_f32(bits).is_finite()) {
        return Err(too_large(name));
    }
    let lines = CODE.len(PANEL_ROWS, columns) / (PANEL_ROWS * 4);
    let shape = [count, panels(rows), lines, PANEL_ROWS, 4];
    let packed = Leaf::new("", Dtype::U8, &shape, packed);
    let shape = [count, panels(rows), columns.div_ceil(GROUP), PANEL_ROWS];
    let scales = bytes::of_u16(&scales).to_vec();
    Ok(vec![packed, Leaf::new("", Dtype::F16, &shape, scales)])
}

/// Writes what is read back; what is too large becomes infinite or NaN.
pub(crate) fn read_back(
    weights: &[f32],
    rows: usize,
    columns: usize,
    count: usize,
    back: &mut [f32],
) {
    let Planes { bytes, scales } = pack(weights, rows, columns, count);
    let planes = bytes.chunks_exact(CODE.len(rows, columns));
    back.fill(0.0);
    for (plane, (bytes, scales)) in
        planes.zip(scales.chunks_exact(scales_len(rows, columns, GROUP))).enumerate()
    {
        let plane_of = Grouped { code: CODE, bytes, scales, group: GROUP, levels: &[0; 16] };
        for (row, out) in back.chunks_exact_mut(columns).enumerate() {
            if plane == 0 { plane_of.row(row, out) } else { plane_of.add_row(row, out) }
        }
    }
}

pub(crate) fn stored_bytes(rows: usize, columns: usize, count: usize) -> usize {
    count * (CODE.len(rows, columns) + 2 * scales_len(rows, columns, GROUP))
}
