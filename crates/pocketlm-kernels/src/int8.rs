//! Products with 8-bit weights, one scale per row.
//!
//! Layout: see [`layout`](crate::layout). A stored byte is `w + 128` with w in −127..=127 (the
//! packer never writes 0; a product takes it as −128). Products are specified to the bit:
//!
//! `out[r] = out[r] + f32(Σ_c w[r, c]·q[c]) · (scale[r] · q_scale)`
//!
//! with the sum exact in 32-bit integers, converted to f32 by rounding to nearest (ties to even),
//! and three roundings in the order of the parentheses.

use crate::backend::call;
use crate::layout::{INT8_COLS, MAX_INTEGER_COLS, PANEL_ROWS, padded_rows};

/// Columns as stored: `cols` rounded up to a multiple of 4. Quantised vectors have this length.
pub const fn padded_cols(cols: usize) -> usize {
    cols.next_multiple_of(INT8_COLS)
}

/// Bytes of weights that a matrix `[rows, cols]` takes (without its `padded_rows(rows)` scales).
///
/// # Panics
/// If they do not fit in a `usize`.
pub const fn len(rows: usize, cols: usize) -> usize {
    padded_rows(rows)
        .checked_mul(padded_cols(cols))
        .expect("the matrix is larger than the address space")
}

/// Where column `c` of row `r` lies within its panel.
const fn at(r: usize, c: usize) -> usize {
    c / INT8_COLS * (PANEL_ROWS * INT8_COLS) + r * INT8_COLS + c % INT8_COLS
}

/// Packs row-major `weights` `[rows, cols]` into `panels` and `scales`.
///
/// The scale of a row is its largest magnitude / 127; weights round to the nearest, ties to even.
/// A row that is all zero (or below 2⁻¹⁰⁰ in magnitude) gets zeros and the scale 0. Weights must be
/// finite: a row with NaN or infinity gets the scale NaN.
///
/// # Panics
/// If `weights` is not `rows · cols` long, `panels` not [`len`]`(rows, cols)` or `scales` not
/// `padded_rows(rows)`.
pub fn pack(weights: &[f32], rows: usize, cols: usize, panels: &mut [u8], scales: &mut [f32]) {
    assert!(weights.len() == rows * cols, "{} weights for [{rows}, {cols}]", weights.len());
    check(panels, scales, padded_cols(cols), rows);
    panels.fill(128);
    scales.fill(0.0);
    for (r, row) in weights.chunks_exact(cols.max(1)).enumerate() {
        let panel = &mut panels[r / PANEL_ROWS * PANEL_ROWS * padded_cols(cols)..];
        scales[r] = pack_row(row, r % PANEL_ROWS, panel);
    }
}

/// The same with the scale of each row given, instead of the one that clips nothing: each weight becomes the nearest of
/// its multiples from −127 to 127.
///
/// # Panics
/// As [`pack`], or if `scales` has not one for each row.
#[cfg(feature = "host")]
pub fn pack_scaled(weights: &[f32], rows: usize, cols: usize, scales: &[f32], panels: &mut [u8]) {
    assert!(weights.len() == rows * cols, "{} weights for [{rows}, {cols}]", weights.len());
    check(panels, scales, padded_cols(cols), rows);
    panels.fill(128);
    for (r, row) in weights.chunks_exact(cols.max(1)).enumerate() {
        let panel = &mut panels[r / PANEL_ROWS * PANEL_ROWS * padded_cols(cols)..];
        for (c, &w) in row.iter().enumerate() {
            panel[at(r % PANEL_ROWS, c)] = (level(w, scales[r]) as i8 as u8) ^ 0x80;
        }
    }
}

/// The whole number of scales nearest to a weight, from −127 to 127, ties to even; 0 for a scale of zero.
#[cfg(feature = "host")]
pub fn level(w: f32, scale: f32) -> f32 {
    // Adding and taking off 1.5 · 2²³ rounds to a whole number; the difference is no zero with a sign.
    const ROUND: f32 = 12_582_912.0;
    ((w * crate::fit::inverse(scale)).clamp(-127.0, 127.0) + ROUND) - ROUND
}

fn pack_row(row: &[f32], r: usize, panel: &mut [u8]) -> f32 {
    let limit = crate::quantise::max_abs(row);
    let mut scale = 0.0;
    for (i, chunk) in row.chunks(INT8_COLS).enumerate() {
        let mut q = [0i8; INT8_COLS];
        scale = crate::quantise::quantise_within(chunk, limit, &mut q);
        for (j, q) in q.iter().enumerate() {
            panel[at(r, i * INT8_COLS + j)] = (*q as u8) ^ 0x80;
        }
    }
    scale
}

/// Row `row` as numbers, `w · scale`, into `out` `[cols]`.
///
/// # Panics
/// If `panels` and `scales` do not hold that row with `out.len()` columns.
pub fn row(panels: &[u8], scales: &[f32], row: usize, out: &mut [f32]) {
    let bytes = PANEL_ROWS * padded_cols(out.len());
    let panel = &panels[row / PANEL_ROWS * bytes..][..bytes];
    let scale = scales[row];
    let blocks = panel.chunks_exact(PANEL_ROWS * INT8_COLS);
    for (y, block) in out.chunks_mut(INT8_COLS).zip(blocks) {
        let start = row % PANEL_ROWS * INT8_COLS;
        for (y, w) in y.iter_mut().zip(&block[start..start + INT8_COLS]) {
            *y = (i32::from(*w) - 128) as f32 * scale;
        }
    }
}

/// The whole matrix row-major into `out` `[rows, cols]`.
///
/// # Panics
/// If `out.len()` is no multiple of `cols`, or `panels` or `scales` do not fit.
pub fn unpack(panels: &[u8], scales: &[f32], cols: usize, out: &mut [f32]) {
    check(panels, scales, padded_cols(cols), out.len() / cols.max(1));
    for (r, out) in out.chunks_exact_mut(cols.max(1)).enumerate() {
        row(panels, scales, r, out);
    }
}

/// Adds the product with one quantised vector to `out` `[rows]`.
///
/// `panels` and `scales` are the whole matrix or the same range of its panels; `q` has
/// [`padded_cols`] elements, `q_scale` is its scale and `q_sum` the sum of all its elements
/// (see [`quantise`](crate::quantise)); a wrong `q_sum` gives wrong numbers.
///
/// # Panics
/// If the lengths do not fit, or there are more than
/// [`MAX_INTEGER_COLS`] columns.
pub fn matvec(panels: &[u8], scales: &[f32], q: &[i8], q_scale: f32, q_sum: i32, out: &mut [f32]) {
    check(panels, scales, q.len(), out.len());
    call!(int8_matvec(panels, scales, q, q_scale, q_sum, out));
}

/// Adds the products with a batch of quantised vectors: `q` `[batch, padded_cols]`, `q_scales`
/// and `q_sums` `[batch]`, `out` `[batch, rows]`. Bit for bit what [`matvec`] gives for each.
///
/// # Panics
/// If the lengths do not fit, or there are more than
/// [`MAX_INTEGER_COLS`] columns.
pub fn matmul(
    panels: &[u8],
    scales: &[f32],
    q: &[i8],
    q_scales: &[f32],
    q_sums: &[i32],
    out: &mut [f32],
) {
    let batch = q_scales.len();
    assert!(q_sums.len() == batch, "{} sums for a batch of {batch}", q_sums.len());
    if batch == 0 {
        assert!(q.is_empty() && out.is_empty(), "vectors for an empty batch");
        return;
    }
    assert!(
        q.len().is_multiple_of(batch) && out.len().is_multiple_of(batch),
        "ragged batch of {batch}"
    );
    let (cols, rows) = (q.len() / batch, out.len() / batch);
    check(panels, scales, cols, rows);
    #[cfg(feature = "batch")]
    call!(int8_matmul(panels, scales, q, q_scales, q_sums, out));
    #[cfg(not(feature = "batch"))]
    for b in 0..batch {
        let (q, out) = (&q[b * cols..][..cols], &mut out[b * rows..][..rows]);
        matvec(panels, scales, q, q_scales[b], q_sums[b], out);
    }
}

fn check(panels: &[u8], scales: &[f32], cols: usize, rows: usize) {
    assert!(cols.is_multiple_of(INT8_COLS), "{cols} columns are no multiple of {INT8_COLS}");
    assert!(cols <= MAX_INTEGER_COLS, "{cols} columns: at most {MAX_INTEGER_COLS}");
    assert!(panels.len() == len(rows, cols), "{} bytes for [{rows}, {cols}]", panels.len());
    assert!(scales.len() == padded_rows(rows), "{} scales for {rows} rows", scales.len());
}
