//! The specification: every operation written plainly, for any machine.
//!
//! The integer products and everything elementwise are the truth to the bit; the versions in
//! `arch` must equal them. The floating-point products are the truth up to rounding.

use crate::code::Grouped;
#[cfg(feature = "host")]
use crate::fit::Grid;
use crate::half;
use crate::layout::PANEL_ROWS;
#[cfg(feature = "host")]
use crate::layout::{STRIP_COLUMNS, STRIP_ROWS};
use crate::table::{Backend, Table, kernels};

macro_rules! table {
    ($($(#[$when:meta])* $module:ident::$name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*) => {
        /// The table of these functions.
        pub static TABLE: Table = Table { backend: Backend::Portable, $($(#[$when])* $name,)* };
    };
}
kernels! { table {} }

/// Adding and subtracting 1.5·2²³ rounds to the nearest integer, ties to even, when |x| < 2²².
pub const ROUND: f32 = 12_582_912.0;

fn round_even(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

// ---------------------------------------------------------------------------------- products

fn float_matvec<T: Copy>(panels: &[T], x: &[f32], out: &mut [f32], value: impl Fn(T) -> f32) {
    for (i, rows) in out.chunks_mut(PANEL_ROWS).enumerate() {
        let panel = &panels[i * PANEL_ROWS * x.len()..][..PANEL_ROWS * x.len()];
        let mut acc = [0.0f32; PANEL_ROWS];
        for (column, &xc) in panel.chunks_exact(PANEL_ROWS).zip(x) {
            for (a, &w) in acc.iter_mut().zip(column) {
                *a += value(w) * xc;
            }
        }
        for (y, a) in rows.iter_mut().zip(acc) {
            *y += a;
        }
    }
}

fn f32_matvec(panels: &[f32], x: &[f32], out: &mut [f32]) {
    float_matvec(panels, x, out, |w| w);
}

fn f16_matvec(panels: &[u16], x: &[f32], out: &mut [f32]) {
    float_matvec(panels, x, out, half::to_f32);
}

#[cfg(feature = "batch")]
fn f32_matmul(panels: &[f32], x: &[f32], batch: usize, out: &mut [f32]) {
    let (cols, rows) = (x.len() / batch, out.len() / batch);
    for b in 0..batch {
        f32_matvec(panels, &x[b * cols..][..cols], &mut out[b * rows..][..rows]);
    }
}

#[cfg(feature = "batch")]
fn f16_matmul(panels: &[u16], x: &[f32], batch: usize, out: &mut [f32]) {
    let (cols, rows) = (x.len() / batch, out.len() / batch);
    for b in 0..batch {
        f16_matvec(panels, &x[b * cols..][..cols], &mut out[b * rows..][..rows]);
    }
}

#[cfg(feature = "host")]
fn gemm(
    a: &[f32],
    b: &[f32],
    depth: usize,
    shape: [usize; 2],
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let at = |i: usize, d: usize| {
        a[i / STRIP_ROWS * STRIP_ROWS * depth + i % STRIP_ROWS + d * STRIP_ROWS]
    };
    gemm_of(at, b, depth, shape, (out, stride), add);
}

#[cfg(feature = "host")]
fn gemm_rows(
    (a, a_stride): (&[f32], usize),
    b: &[f32],
    depth: usize,
    shape: [usize; 2],
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    gemm_of(|i, d| a[i * a_stride + d], b, depth, shape, (out, stride), add);
}

/// The product with A given as a function of row and depth.
#[cfg(feature = "host")]
fn gemm_of(
    a: impl Fn(usize, usize) -> f32,
    b: &[f32],
    depth: usize,
    [rows, columns]: [usize; 2],
    (out, stride): (&mut [f32], usize),
    add: bool,
) {
    for (i, row) in out.chunks_mut(stride).take(rows).enumerate() {
        for (j, y) in row[..columns].iter_mut().enumerate() {
            let j = j / STRIP_COLUMNS * STRIP_COLUMNS * depth + j % STRIP_COLUMNS;
            let dot: f32 = (0..depth).map(|d| a(i, d) * b[j + d * STRIP_COLUMNS]).sum();
            *y = if add { *y + dot } else { dot };
        }
    }
}

/// `strip[d, l]` = element l of the row at `d * step`, zero from line `live` on; a strip is `[depth, width]`.
#[cfg(feature = "host")]
fn copy(rows: &[f32], step: usize, [live, depth]: [usize; 2], width: usize, strip: &mut [f32]) {
    for (d, out) in strip.chunks_exact_mut(width).enumerate().take(depth) {
        out[..live].copy_from_slice(&rows[d * step..][..live]);
        out[live..].fill(0.0);
    }
}

/// `strip[d, l]` = element d of line l, zero from line `live` on; a strip is `[depth, width]`.
#[cfg(feature = "host")]
fn transpose(
    lines: &[f32],
    line_step: usize,
    [live, depth]: [usize; 2],
    width: usize,
    strip: &mut [f32],
) {
    for (d, step) in strip.chunks_exact_mut(width).enumerate().take(depth) {
        for (l, x) in step.iter_mut().enumerate() {
            *x = if l < live { lines[l * line_step + d] } else { 0.0 };
        }
    }
}

fn int8_matvec(panels: &[u8], scales: &[f32], q: &[i8], scale: f32, _: i32, out: &mut [f32]) {
    for (i, rows) in out.chunks_mut(PANEL_ROWS).enumerate() {
        let panel = &panels[i * PANEL_ROWS * q.len()..][..PANEL_ROWS * q.len()];
        for (r, y) in rows.iter_mut().enumerate() {
            let acc = (0..q.len()).fold(0i32, |acc, c| {
                let w = i32::from(panel[(c / 4) * 64 + r * 4 + c % 4]) - 128;
                acc.wrapping_add(w * i32::from(q[c]))
            });
            *y += acc as f32 * (scales[i * PANEL_ROWS + r] * scale);
        }
    }
}

#[cfg(feature = "batch")]
fn int8_matmul(
    panels: &[u8],
    scales: &[f32],
    q: &[i8],
    q_scales: &[f32],
    q_sums: &[i32],
    out: &mut [f32],
) {
    let batch = q_scales.len();
    let (cols, rows) = (q.len() / batch, out.len() / batch);
    for b in 0..batch {
        let (q, out) = (&q[b * cols..][..cols], &mut out[b * rows..][..rows]);
        int8_matvec(panels, scales, q, q_scales[b], q_sums[b], out);
    }
}

fn grouped_matvec(w: Grouped, q: &[i8], scale: f32, _: &[i32], out: &mut [f32]) {
    let (step, groups) = (w.code.len(PANEL_ROWS, q.len()), q.len().div_ceil(w.group));
    for (i, rows) in out.chunks_mut(PANEL_ROWS).enumerate() {
        let panel = &w.bytes[i * step..][..step];
        for (r, y) in rows.iter_mut().enumerate() {
            let mut total = 0.0f32;
            for (g, q) in q.chunks(w.group).enumerate() {
                let acc = (0..q.len()).fold(0i32, |acc, c| {
                    let code = w.code.get(panel, r, g * w.group + c);
                    acc.wrapping_add(i32::from(w.code.level(code, w.levels)) * i32::from(q[c]))
                });
                total += acc as f32 * half::to_f32(w.scales[(i * groups + g) * PANEL_ROWS + r]);
            }
            *y += total * scale;
        }
    }
}

#[cfg(feature = "batch")]
fn grouped_matmul(w: Grouped, q: &[i8], q_scales: &[f32], q_sums: &[i32], out: &mut [f32]) {
    let batch = q_scales.len();
    let (cols, rows) = (q.len() / batch, out.len() / batch);
    for b in 0..batch {
        let (q, out) = (&q[b * cols..][..cols], &mut out[b * rows..][..rows]);
        grouped_matvec(w, q, q_scales[b], q_sums, out);
    }
}

#[cfg(feature = "host")]
fn fit(grid: &Grid, weights: &[f32]) -> u16 {
    crate::fit::fit(grid, weights)
}

// ------------------------------------------------------------------------------ quantisation

fn max_abs(x: &[f32]) -> f32 {
    // As integers, the bits of magnitudes are ordered like the magnitudes, with NaN on top.
    f32::from_bits(x.iter().fold(0, |m, v| m.max(v.to_bits() & 0x7fff_ffff)))
}

fn quantise(x: &[f32], limit: f32, q: &mut [i8]) {
    let inverse = 127.0 / limit;
    for (q, &x) in q.iter_mut().zip(x) {
        let clipped = if x > limit { limit } else { x };
        let clipped = if clipped < -limit { -limit } else { clipped };
        *q = round_even(clipped * inverse) as i8;
    }
    q[x.len()..].fill(0);
}

fn sums(q: &[i8], group: usize, sums: &mut [i32]) {
    for (sum, q) in sums.iter_mut().zip(q.chunks(group)) {
        *sum = q.iter().map(|&q| i32::from(q)).sum();
    }
}

// ------------------------------------------------------------------------------- activations

pub const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// ln 2 in two parts (Cody and Waite): the first has 9 bits, so that n·LN2_HI is exact.
pub const LN2_HI: f32 = 355.0 / 512.0;
pub const LN2_LO: f32 = -2.121_944_4e-4;
/// Minimax fit of (exp(r) − 1 − r) / r² on ±ln 2 / 2, relative error of exp(r) below 5e-9.
pub const EXP_POLY: [f32; 5] =
    [0.499_999_94, 0.166_665_2, 0.041_668_393, 0.008_368_781, 0.001_381_446_7];
/// Below this, `exp` is zero (the true value is below 1.9e-38).
pub const EXP_LOW: f32 = -86.9;
/// Above this, `exp` is infinite (as is the true value, rounded).
pub const EXP_HIGH: f32 = 88.722_84;

/// Splits x = n·ln 2 + r and returns (n, exp(r) − 1).
fn split(x: f32) -> (f32, f32) {
    let n = round_even(x * LOG2_E);
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let [c2, c3, c4, c5, c6] = EXP_POLY;
    let poly = (((c6 * r + c5) * r + c4) * r + c3) * r + c2;
    (n, r + (r * r) * poly)
}

/// Terms of a sum of exponentials below 2 to this power, relative to the largest, count as zero.
pub const LOWEST_TERM: f32 = -125.0;

/// 2ⁿ for a whole n of −126 to 127.
fn power(n: f32) -> f32 {
    f32::from_bits((n + (ROUND + 127.0)).to_bits() << 23)
}

fn exp_one(x: f32) -> f32 {
    if x < EXP_LOW {
        return 0.0;
    }
    if x > EXP_HIGH {
        return f32::INFINITY;
    }
    let (n, p) = split(x);
    let value = p + 1.0;
    // Doubled first, so that the power of two stays below 2^128.
    (value + value) * power(n - 1.0)
}

fn sigmoid_one(x: f32) -> f32 {
    1.0 / (1.0 + exp_one(-x))
}

/// (exp(2|x|) − 1) / (exp(2|x|) + 1) with the sign of x. From 10 on, it rounds to 1.
fn tanh_one(x: f32) -> f32 {
    let a = if 10.0 < x.abs() { 10.0 } else { x.abs() };
    let (n, p) = split(a + a);
    let two_n = power(n);
    let t = two_n * p + (two_n - 1.0);
    (t / (t + 2.0)).copysign(x)
}

fn exp(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = exp_one(*x));
}

fn sigmoid(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = sigmoid_one(*x));
}

fn tanh(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = tanh_one(*x));
}

fn lstm(pre: &[f32], c: &mut [f32], h: &mut [f32]) {
    let n = h.len();
    for j in 0..n {
        let (i, f) = (sigmoid_one(pre[j]), sigmoid_one(pre[n + j]));
        let (g, o) = (tanh_one(pre[2 * n + j]), sigmoid_one(pre[3 * n + j]));
        c[j] = f * c[j] + i * g;
        h[j] = o * tanh_one(c[j]);
    }
}

fn cifg(pre: &[f32], c: &mut [f32], h: &mut [f32]) {
    let n = h.len();
    for j in 0..n {
        let (f, g) = (sigmoid_one(pre[j]), tanh_one(pre[n + j]));
        let o = sigmoid_one(pre[2 * n + j]);
        c[j] = f * c[j] + (1.0 - f) * g;
        h[j] = o * tanh_one(c[j]);
    }
}

fn gru(gx: &[f32], gh: &[f32], h: &mut [f32]) {
    let n = h.len();
    for j in 0..n {
        let r = sigmoid_one(gx[j] + gh[j]);
        let z = sigmoid_one(gx[n + j] + gh[n + j]);
        let new = tanh_one(gx[2 * n + j] + r * gh[2 * n + j]);
        h[j] = (1.0 - z) * new + z * h[j];
    }
}

// ----------------------------------------------------------------------------------- softmax

/// The largest element, NaN ignored; −∞ if there is none.
fn max(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
}

/// Adds exp(x[i]) · 2^−exponent to `sums[i % 16]`; terms below 2^−125 count as zero.
/// No x[i] · log2(e) may round to more than `exponent`.
fn exp_sums(x: &[f32], exponent: f32, sums: &mut [f32; PANEL_ROWS]) {
    for (i, &x) in x.iter().enumerate() {
        let (n, p) = split(x);
        let e = n - exponent;
        if e < LOWEST_TERM {
            continue;
        }
        sums[i % PANEL_ROWS] += (p + 1.0) * power(e);
    }
}

/// x = factor · exp(x − shift)
fn probabilities(x: &mut [f32], shift: f32, factor: f32) {
    x.iter_mut().for_each(|x| *x = factor * exp_one(*x - shift));
}

fn add(sums: &mut [f32], x: &[f32]) {
    sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}

/// The index of the first element above `threshold`, or the length.
fn first_above(x: &[f32], threshold: f32) -> usize {
    x.iter().position(|&v| v > threshold).unwrap_or(x.len())
}

fn sum_words(words: &[i32]) -> i32 {
    words.iter().fold(0, |sum, &word| sum.wrapping_add(word))
}
