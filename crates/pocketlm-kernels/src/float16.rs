//! Products with half-precision (as bits in `u16`) weights.
//!
//! Layout: see [`layout`](crate::layout). Sums run in the order that suits the machine, with fused
//! multiply-add where there is: results agree between machines to rounding, not to the bit.

use crate::backend::call;
use crate::half;
use crate::layout::{PANEL_ROWS, padded_rows};

/// Elements that a matrix `[rows, cols]` takes.
///
/// # Panics
/// If they do not fit in a `usize`.
pub const fn len(rows: usize, cols: usize) -> usize {
    padded_rows(rows).checked_mul(cols).expect("the matrix is larger than the address space")
}

/// Packs row-major `weights` `[rows, cols]` into `panels`.
///
/// # Panics
/// If `weights` is not `rows · cols` long or `panels` not [`len`]`(rows, cols)`.
pub fn pack(weights: &[f32], rows: usize, cols: usize, panels: &mut [u16]) {
    assert!(weights.len() == rows * cols, "{} weights for [{rows}, {cols}]", weights.len());
    assert!(panels.len() == len(rows, cols), "{} elements of panels", panels.len());
    for (at, w) in panels.iter_mut().enumerate() {
        let (panel, c, r) = (at / (PANEL_ROWS * cols), at / PANEL_ROWS % cols, at % PANEL_ROWS);
        let row = panel * PANEL_ROWS + r;
        *w = if row < rows { half::from_f32(weights[row * cols + c]) } else { 0 };
    }
}

/// Row `row` as numbers, into `out` `[cols]`.
///
/// # Panics
/// If `panels` does not hold that row with `out.len()` columns.
pub fn row(panels: &[u16], row: usize, out: &mut [f32]) {
    let cols = out.len();
    let start = row / PANEL_ROWS * PANEL_ROWS * cols;
    let panel = &panels[start..start + PANEL_ROWS * cols];
    for (y, column) in out.iter_mut().zip(panel.chunks_exact(PANEL_ROWS)) {
        *y = half::to_f32(column[row % PANEL_ROWS]);
    }
}

/// The whole matrix row-major into `out` `[rows, cols]`.
///
/// # Panics
/// If `out.len()` is no multiple of `cols` or `panels` does not fit.
pub fn unpack(panels: &[u16], cols: usize, out: &mut [f32]) {
    check(panels, cols, out.len() / cols.max(1));
    for (r, out) in out.chunks_exact_mut(cols.max(1)).enumerate() {
        row(panels, r, out);
    }
}

/// `out[r] += Σ_c W[r, c] · x[c]`: one vector `x` `[cols]`, `out` `[rows]`.
///
/// `panels` is the whole matrix or any range of its panels; `out` belongs to the same rows (the
/// last panel may have fewer than 16).
///
/// # Panics
/// If the lengths do not fit.
pub fn matvec(panels: &[u16], x: &[f32], out: &mut [f32]) {
    check(panels, x.len(), out.len());
    call!(f16_matvec(panels, x, out));
}

/// `out[b, r] += Σ_c W[r, c] · x[b, c]`: `batch` vectors, `x` `[batch, cols]`, `out`
/// `[batch, rows]`, both row-major.
///
/// # Panics
/// If the lengths do not fit.
pub fn matmul(panels: &[u16], x: &[f32], batch: usize, out: &mut [f32]) {
    if batch == 0 {
        assert!(x.is_empty() && out.is_empty(), "vectors for an empty batch");
        return;
    }
    assert!(
        x.len().is_multiple_of(batch) && out.len().is_multiple_of(batch),
        "ragged batch of {batch}"
    );
    let (cols, rows) = (x.len() / batch, out.len() / batch);
    check(panels, cols, rows);
    #[cfg(feature = "batch")]
    call!(f16_matmul(panels, x, batch, out));
    #[cfg(not(feature = "batch"))]
    for b in 0..batch {
        matvec(panels, &x[b * cols..][..cols], &mut out[b * rows..][..rows]);
    }
}

fn check(panels: &[u16], cols: usize, rows: usize) {
    assert!(panels.len() == len(rows, cols), "{} elements for [{rows}, {cols}]", panels.len());
}
