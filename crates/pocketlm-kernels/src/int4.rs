//! Products with 4-bit weights, one half-precision scale per row and group of columns.
//!
//! Layout: see [`layout`](crate::layout). A stored half byte is `w + 8` with w in −8..=7. The group
//! is a multiple of 8 columns, [`GROUP`] by default: 4.25 bits per weight. Products are specified to
//! the bit:
//!
//! `out[r] = out[r] + (((f32(s₀)·scale[r, 0]) + f32(s₁)·scale[r, 1]) + …) · q_scale`
//!
//! with s_g the exact integer sum of `w[r, c]·q[c]` over group g, groups added in ascending order
//! starting from zero, and every operation rounded once.

use crate::backend::call;
use crate::half;
use crate::layout::{INT4_COLS, MAX_INTEGER_COLS, PANEL_ROWS, padded_rows, panels};

/// Columns per scale, unless a model says otherwise.
pub const GROUP: usize = 64;

/// Columns as stored: `cols` rounded up to a multiple of 8. Quantised vectors have this length.
pub const fn padded_cols(cols: usize) -> usize {
    cols.next_multiple_of(INT4_COLS)
}

/// Bytes of weights that a matrix `[rows, cols]` takes (without its scales).
///
/// # Panics
/// If they do not fit in a `usize`.
pub const fn len(rows: usize, cols: usize) -> usize {
    let bytes = padded_rows(rows).checked_mul(padded_cols(cols));
    bytes.expect("the matrix is larger than the address space") / 2
}

/// Scales of a matrix `[rows, cols]`.
///
/// # Panics
/// If they do not fit in a `usize`, or `group` is zero.
pub const fn scales_len(rows: usize, cols: usize, group: usize) -> usize {
    padded_rows(rows)
        .checked_mul(cols.div_ceil(group))
        .expect("the matrix is larger than the address space")
}

/// Packs row-major `weights` `[rows, cols]` into `panels` and `scales`.
///
/// Each row of a group is quantised to the scale (of many tried, each refined by least squares and
/// rounded to half precision) with the smallest sum of squared errors. Weights must be finite.
///
/// # Panics
/// If `weights` is not `rows · cols` long, `panels` not [`len`]`(rows, cols)`, `scales` not
/// [`scales_len`]`(rows, cols, group)`, or `group` no positive multiple of 8.
pub fn pack(
    weights: &[f32],
    rows: usize,
    cols: usize,
    group: usize,
    panels: &mut [u8],
    scales: &mut [u16],
) {
    assert!(weights.len() == rows * cols, "{} weights for [{rows}, {cols}]", weights.len());
    check(panels, scales, group, padded_cols(cols), rows);
    panels.fill(0x88);
    scales.fill(0);
    let (bytes, groups) = (PANEL_ROWS * padded_cols(cols) / 2, cols.div_ceil(group));
    for (row, weights) in weights.chunks_exact(cols.max(1)).enumerate() {
        let (panel, r) = (row / PANEL_ROWS, row % PANEL_ROWS);
        for (g, weights) in weights.chunks(group).enumerate() {
            let scale = best_scale(weights);
            scales[(panel * groups + g) * PANEL_ROWS + r] = scale;
            let start = panel * bytes + g * group / 2 * PANEL_ROWS;
            put(weights, half::to_f32(scale), r, &mut panels[start..]);
        }
    }
}

/// Writes one row of a group.
fn put(weights: &[f32], scale: f32, r: usize, blocks: &mut [u8]) {
    let inverse = inverse(scale);
    for (c, &w) in weights.iter().enumerate() {
        let (at, shift) = place(r, c);
        let value = (nearest(w, inverse) + 8.0) as u8;
        blocks[at] = blocks[at] & !(15 << shift) | value << shift;
    }
}

/// The byte within a panel (or from the start of a group on) and the shift within the byte.
const fn place(r: usize, c: usize) -> (usize, usize) {
    (c / INT4_COLS * 64 + r * 4 + c % 4, c % INT4_COLS / 4 * 4)
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// w · inverse rounded (ties to even) to a whole number of −8..=7.
#[inline]
fn nearest(w: f32, inverse: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let scaled = w * inverse;
    let scaled = if scaled < 7.0 { scaled } else { 7.0 };
    let scaled = if scaled > -8.0 { scaled } else { -8.0 };
    (scaled + ROUND) - ROUND
}

/// How many scales are tried between the one that clips nothing and about half of it.
const TRIES: u32 = 20;

/// Sums run in this many lanes (element i in lane i % 8), so that the compiler vectorises them.
const LANES: usize = 8;

/// The half-precision scale with the least sum of squared errors for these weights.
fn best_scale(weights: &[f32]) -> u16 {
    // −8 is the one value without a positive twin: the largest magnitude takes it, so the scale
    // may be negative.
    let largest = weights.iter().fold(0.0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
    let full = largest / -8.0;
    let mut best = (f32::INFINITY, 0u16);
    for i in 0..TRIES {
        let factor = 1.14 - i as f32 * (0.6 / TRIES as f32);
        for sign in [1.0, -1.0] {
            let scale = half::from_f32(least_squares(weights, full * factor * sign));
            let error = squared_error(weights, half::to_f32(scale));
            if error < best.0 {
                best = (error, scale);
            }
        }
    }
    best.1
}

/// Adds up `terms(w)` over all weights, each of the sums in lanes.
fn sums<const N: usize>(weights: &[f32], terms: impl Fn(f32) -> [f32; N]) -> [f32; N] {
    let mut lanes = [[0.0f32; LANES]; N];
    let mut add = |chunk: &[f32; LANES]| {
        for (i, &w) in chunk.iter().enumerate() {
            let terms = terms(w);
            for (lanes, term) in lanes.iter_mut().zip(terms) {
                lanes[i] += term;
            }
        }
    };
    let (chunks, rest) = weights.as_chunks::<LANES>();
    chunks.iter().for_each(&mut add);
    if !rest.is_empty() {
        // A weight of zero quantises to zero: it adds nothing.
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        add(&last);
    }
    lanes.map(|lanes| lanes.iter().fold(0.0, |sum, &lane| sum + lane))
}

/// With the integers that `scale` gives, the scale that fits best: Σ w·q / Σ q².
fn least_squares(weights: &[f32], scale: f32) -> f32 {
    let inverse = inverse(scale);
    let [wq, qq] = sums(weights, |w| {
        let q = nearest(w, inverse);
        [w * q, q * q]
    });
    if qq == 0.0 { scale } else { wq / qq }
}

fn squared_error(weights: &[f32], scale: f32) -> f32 {
    let inverse = inverse(scale);
    let [error] = sums(weights, |w| {
        let error = w - nearest(w, inverse) * scale;
        [error * error]
    });
    error
}

/// Row `row` as numbers, `w · scale`, into `out` `[cols]`.
///
/// # Panics
/// If `panels` and `scales` do not hold that row with `out.len()` columns in groups of `group`.
pub fn row(panels: &[u8], scales: &[u16], group: usize, row: usize, out: &mut [f32]) {
    let (panel, r) = (row / PANEL_ROWS, row % PANEL_ROWS);
    let (bytes, groups) = (PANEL_ROWS * padded_cols(out.len()) / 2, out.len().div_ceil(group));
    let panel_bytes = &panels[panel * bytes..][..bytes];
    let scales = &scales[panel * groups * PANEL_ROWS..][..groups * PANEL_ROWS];
    for (g, out) in out.chunks_mut(group).enumerate() {
        let scale = half::to_f32(scales[g * PANEL_ROWS + r]);
        let blocks = panel_bytes[g * group / INT4_COLS * 64..].chunks_exact(64);
        for (y, block) in out.chunks_mut(INT4_COLS).zip(blocks) {
            for (c, y) in y.iter_mut().enumerate() {
                let (at, shift) = place(r, c);
                *y = (i32::from(block[at] >> shift & 15) - 8) as f32 * scale;
            }
        }
    }
}

/// The whole matrix row-major into `out` `[rows, cols]`.
///
/// # Panics
/// If `out.len()` is no multiple of `cols`, or `panels` or `scales` do not fit.
pub fn unpack(panels: &[u8], scales: &[u16], group: usize, cols: usize, out: &mut [f32]) {
    check(panels, scales, group, padded_cols(cols), out.len() / cols.max(1));
    for (r, out) in out.chunks_exact_mut(cols.max(1)).enumerate() {
        row(panels, scales, group, r, out);
    }
}

/// Adds the product with one quantised vector to `out` `[rows]`.
///
/// `panels` and `scales` are the whole matrix or the same range of its panels; `q` has
/// [`padded_cols`] elements, `q_scale` is its scale, `q_sums` the sums of its groups of `group`
/// elements (see [`quantise::sums`](crate::quantise::sums)); wrong sums give wrong numbers.
///
/// # Panics
/// If the lengths do not fit, `group` is no positive multiple of 8, or there are more than
/// [`MAX_INTEGER_COLS`] columns.
pub fn matvec(
    panels: &[u8],
    scales: &[u16],
    group: usize,
    q: &[i8],
    q_scale: f32,
    q_sums: &[i32],
    out: &mut [f32],
) {
    check(panels, scales, group, q.len(), out.len());
    assert!(q_sums.len() == q.len().div_ceil(group), "{} sums of groups", q_sums.len());
    call!(int4_matvec(panels, scales, group, q, q_scale, q_sums, out));
}

/// Adds the products with a batch of quantised vectors: `q` `[batch, padded_cols]`, `q_scales`
/// `[batch]`, `q_sums` `[batch, groups]`, `out` `[batch, rows]`. Bit for bit what [`matvec`] gives
/// for each.
///
/// # Panics
/// As [`matvec`].
pub fn matmul(
    panels: &[u8],
    scales: &[u16],
    group: usize,
    q: &[i8],
    q_scales: &[f32],
    q_sums: &[i32],
    out: &mut [f32],
) {
    let batch = q_scales.len();
    if batch == 0 {
        assert!(q.is_empty() && q_sums.is_empty() && out.is_empty(), "an empty batch of vectors");
        return;
    }
    assert!(
        q.len().is_multiple_of(batch) && out.len().is_multiple_of(batch),
        "ragged batch of {batch}"
    );
    let cols = q.len() / batch;
    check(panels, scales, group, cols, out.len() / batch);
    assert!(q_sums.len() == batch * cols.div_ceil(group), "{} sums of groups", q_sums.len());
    call!(int4_matmul(panels, scales, group, q, q_scales, q_sums, out));
}

fn check(bytes: &[u8], scales: &[u16], group: usize, cols: usize, rows: usize) {
    assert!(group > 0 && group.is_multiple_of(INT4_COLS), "a group of {group} columns");
    assert!(cols.is_multiple_of(INT4_COLS), "{cols} columns are no multiple of {INT4_COLS}");
    assert!(cols <= MAX_INTEGER_COLS, "{cols} columns: at most {MAX_INTEGER_COLS}");
    let groups = cols.div_ceil(group);
    assert!(bytes.len() == len(rows, cols), "{} bytes for [{rows}, {cols}]", bytes.len());
    let expected = panels(rows) * groups * PANEL_ROWS;
    assert!(scales.len() == expected, "{} scales, not {expected}", scales.len());
}
