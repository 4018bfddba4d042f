//! Matrix products over panels, written once for all instruction sets.
//!
//! At batch 1 a product is bound by reading the weights: panels are read from front to back, one
//! line per step, asked for a little ahead of use, into several independent sums. With a batch, the sums
//! of a tile of panels × vectors stay in registers, and each line of weights serves every vector of
//! the tile.
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as the public functions check.
#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed, on purpose")]

use super::lanes::{AHEAD, Lanes, load_some, store_some};
use super::small::{Small, small_tile};
use crate::layout::PANEL_ROWS;

/// Independent sums at batch 1, to hide the latency of an addition.
const CHAINS: usize = 4;

#[inline(always)]
pub(super) unsafe fn prefetch<S: Lanes, T>(p: *const T) {
    // SAFETY: a prefetch never faults.
    unsafe { S::prefetch(p.cast::<u8>().wrapping_add(AHEAD)) }
}

/// Adds 16 results to the first `live` rows at `out`.
#[inline(always)]
unsafe fn add_to_rows<S: Lanes>(out: *mut f32, live: usize, y: S::F) {
    // SAFETY: `out` has `live` elements.
    unsafe { store_some::<S>(out, live, S::add(load_some::<S>(out, live, 0.0), y)) }
}

/// Calls `$tile` for tiles that cover `$panels` × `$batch`, with the indices of the tile's first panel
/// and first vector, and its shape as the last two generic constants.
macro_rules! tiles {
    ([$s:ty], $panels:expr, $batch:expr, $tile:ident($($arg:expr),*)) => {{
        let (panels, batch) = ($panels, $batch);
        let mut i = 0;
        while <$s>::WIDE && i + 2 <= panels {
            let mut j = 0;
            while j + 8 <= batch { $tile::<$s, 2, 8>($($arg),*, i, j); j += 8; }
            while j + 2 <= batch { $tile::<$s, 2, 2>($($arg),*, i, j); j += 2; }
            while j < batch { $tile::<$s, 2, 1>($($arg),*, i, j); j += 1; }
            i += 2;
        }
        while i < panels {
            let mut j = 0;
            while j + 4 <= batch { $tile::<$s, 1, 4>($($arg),*, i, j); j += 4; }
            while j < batch { $tile::<$s, 1, 1>($($arg),*, i, j); j += 1; }
            i += 1;
        }
    }};
}

// ------------------------------------------------------------------------------ f32 and f16

/// A floating-point weight.
pub trait Weight: Copy {
    unsafe fn load<S: Lanes>(p: *const Self) -> S::F;
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn load<S: Lanes>(p: *const f32) -> S::F {
        // SAFETY: the caller's.
        unsafe { S::load(p) }
    }
}

impl Weight for u16 {
    #[inline(always)]
    unsafe fn load<S: Lanes>(p: *const u16) -> S::F {
        // SAFETY: the caller's.
        unsafe { S::load_half(p) }
    }
}

#[inline(always)]
unsafe fn float_panel<S: Lanes, T: Weight>(panel: *const T, x: &[f32]) -> S::F {
    // SAFETY: the panel has 16 · x.len() elements.
    unsafe {
        let mut acc = [S::splat(0.0); CHAINS];
        let whole = x.len() - x.len() % CHAINS;
        let mut c = 0;
        while c < whole {
            let p = panel.add(c * PANEL_ROWS);
            prefetch::<S, T>(p);
            for k in 0..CHAINS {
                let p = p.add(k * PANEL_ROWS);
                if k > 0 && (k * PANEL_ROWS * size_of::<T>()).is_multiple_of(64) {
                    prefetch::<S, T>(p);
                }
                acc[k] = S::mul_add(T::load::<S>(p), S::splat(*x.get_unchecked(c + k)), acc[k]);
            }
            c += CHAINS;
        }
        while c < x.len() {
            let p = panel.add(c * PANEL_ROWS);
            acc[0] = S::mul_add(T::load::<S>(p), S::splat(*x.get_unchecked(c)), acc[0]);
            c += 1;
        }
        S::add(S::add(acc[0], acc[1]), S::add(acc[2], acc[3]))
    }
}

#[inline(always)]
unsafe fn float_matvec<S: Lanes, T: Weight>(panels: &[T], x: &[f32], out: &mut [f32]) {
    let (step, rows) = (PANEL_ROWS * x.len(), out.len());
    // SAFETY: `panels` holds ceil(rows / 16) panels of `step` elements.
    unsafe {
        for i in 0..rows.div_ceil(PANEL_ROWS) {
            let y = float_panel::<S, T>(panels.as_ptr().add(i * step), x);
            add_to_rows::<S>(out.as_mut_ptr().add(i * PANEL_ROWS), rows - i * PANEL_ROWS, y);
        }
    }
}

#[inline(always)]
pub unsafe fn f32_matvec<S: Lanes>(panels: &[f32], x: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { float_matvec::<S, f32>(panels, x, out) }
}

#[inline(always)]
pub unsafe fn f16_matvec<S: Lanes>(panels: &[u16], x: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { float_matvec::<S, u16>(panels, x, out) }
}

// ------------------------------------------------------------------------------------- int8

/// Where the sum of a row starts, so that the offset in the stored weights is undone.
#[inline(always)]
unsafe fn start<S: Lanes>(sum: i32) -> S::I {
    // SAFETY: the caller's.
    unsafe { S::isplat(if S::SIGNED { 0 } else { sum.wrapping_mul(-128) }) }
}

#[inline(always)]
unsafe fn int8_panel<S: Lanes>(panel: *const u8, q: &[i8], sum: i32) -> S::I {
    // SAFETY: the panel has 16 · q.len() bytes, q.len() is a multiple of 4.
    unsafe {
        let mut acc = [S::isplat(0); CHAINS];
        acc[0] = start::<S>(sum);
        let whole = q.len() - q.len() % (4 * CHAINS);
        let mut c = 0;
        while c < whole {
            for k in 0..CHAINS {
                let p = panel.add((c + 4 * k) * PANEL_ROWS);
                prefetch::<S, u8>(p);
                acc[k] = S::dot(acc[k], S::weights(p), S::activations(q.as_ptr().add(c + 4 * k)));
            }
            c += 4 * CHAINS;
        }
        while c < q.len() {
            let p = panel.add(c * PANEL_ROWS);
            acc[1] = S::dot(acc[1], S::weights(p), S::activations(q.as_ptr().add(c)));
            c += 4;
        }
        S::iadd(S::iadd(acc[0], acc[1]), S::iadd(acc[2], acc[3]))
    }
}

/// f32(sum) · (scale[row] · q_scale).
#[inline(always)]
unsafe fn rescale<S: Lanes>(sum: S::I, scales: *const f32, q_scale: f32) -> S::F {
    // SAFETY: 16 scales.
    unsafe { S::mul(S::to_float(sum), S::mul(S::load(scales), S::splat(q_scale))) }
}

#[inline(always)]
pub unsafe fn int8_matvec<S: Lanes>(
    panels: &[u8],
    scales: &[f32],
    q: &[i8],
    q_scale: f32,
    q_sum: i32,
    out: &mut [f32],
) {
    let (step, rows) = (PANEL_ROWS * q.len(), out.len());
    let mut first = 0;
    // SAFETY: `panels` holds ceil(rows / 16) panels of `step` bytes, `scales` 16 for each.
    unsafe {
        let mut small = [Small::NEW];
        let is_small = S::SMALL && q.len() <= Small::COLUMNS && small[0].take::<S>(q);
        if is_small || (S::COSTLY_X && !S::SMALL) {
            let x = Batch { q, scales: &[q_scale], sums: &[q_sum] };
            let out = Out { rows, p: out.as_mut_ptr() };
            let (panels, scales) = (panels.as_ptr(), scales.as_ptr());
            first = rows.div_ceil(PANEL_ROWS) / 2 * 2;
            for i in (0..first).step_by(2) {
                if S::SMALL {
                    small_tile::<S, 2, 1>(panels, scales, &small, x, out, i, 0);
                } else {
                    int8_tile::<S, 2, 1>(panels, scales, x, out, i, 0);
                }
            }
        }
        for i in first..rows.div_ceil(PANEL_ROWS) {
            let sum = int8_panel::<S>(panels.as_ptr().add(i * step), q, q_sum);
            let row = i * PANEL_ROWS;
            let y = rescale::<S>(sum, scales.as_ptr().add(row), q_scale);
            add_to_rows::<S>(out.as_mut_ptr().add(row), rows - row, y);
        }
    }
}

/// A batch of quantised vectors and what is needed to undo the quantisation.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub q: &'a [i8],
    pub scales: &'a [f32],
    pub sums: &'a [i32],
}

/// Where results go: `[batch, rows]`.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub p: *mut f32,
    pub rows: usize,
}

impl Out {
    /// Asks for the lines of `B` vectors from `j` on that P panels from row `row` on will be added to: they lie far
    /// apart, where nothing else would ask for them, and are wanted all at once.
    #[inline(always)]
    pub unsafe fn ask<S: Lanes, const P: usize, const B: usize>(self, j: usize, row: usize) {
        if B == 1 {
            return;
        }
        for b in 0..B {
            for p in 0..P {
                let at = (j + b) * self.rows + row + p * PANEL_ROWS;
                // SAFETY: a prefetch never faults.
                unsafe { S::prefetch(self.p.wrapping_add(at).cast()) }
            }
        }
    }

    /// Adds 16 results to vector `j`'s rows from `row` on.
    #[inline(always)]
    pub unsafe fn add<S: Lanes>(self, j: usize, row: usize, y: S::F) {
        // SAFETY: the caller's: vector and row exist.
        unsafe { add_to_rows::<S>(self.p.add(j * self.rows + row), self.rows - row, y) }
    }
}

/// Where the sums of a tile of P panels × B vectors from number j on start.
#[inline(always)]
pub(super) unsafe fn starts<S: Lanes, const P: usize, const B: usize>(
    x: Batch,
    j: usize,
) -> [[S::I; B]; P] {
    // SAFETY: the vectors lie within the batch.
    unsafe {
        let mut acc = [[S::isplat(0); B]; P];
        for b in 0..B {
            for acc in &mut acc {
                acc[b] = start::<S>(*x.sums.get_unchecked(j + b));
            }
        }
        acc
    }
}

/// Adds the sums of a tile, rescaled, to the results.
#[inline(always)]
pub(super) unsafe fn finish<S: Lanes, const P: usize, const B: usize>(
    acc: &[[S::I; B]; P],
    scales: *const f32,
    x: Batch,
    out: Out,
    i: usize,
    j: usize,
) {
    // SAFETY: the tile lies within the matrix and the batch.
    unsafe {
        for p in 0..P {
            let row = (i + p) * PANEL_ROWS;
            for b in 0..B {
                let scale = *x.scales.get_unchecked(j + b);
                out.add::<S>(j + b, row, rescale::<S>(acc[p][b], scales.add(row), scale));
            }
        }
    }
}

#[inline(always)]
unsafe fn int8_tile<S: Lanes, const P: usize, const B: usize>(
    panels: *const u8,
    scales: *const f32,
    x: Batch,
    out: Out,
    i: usize,
    j: usize,
) {
    // SAFETY: the tile lies within the matrix and the batch.
    unsafe {
        let cols = x.q.len() / x.scales.len();
        let panel = panels.add(i * PANEL_ROWS * cols);
        let q = x.q.as_ptr().add(j * cols);
        out.ask::<S, P, B>(j, i * PANEL_ROWS);
        let mut acc = starts::<S, P, B>(x, j);
        let mut c = 0;
        while c < cols {
            prefetch::<S, u8>(panel.add(c * PANEL_ROWS));
            let mut w = [S::weights(panel.add(c * PANEL_ROWS)); P];
            for p in 1..P {
                let line = panel.add((p * cols + c) * PANEL_ROWS);
                prefetch::<S, u8>(line);
                w[p] = S::weights(line);
            }
            for b in 0..B {
                let x = S::activations(q.add(b * cols + c));
                for p in 0..P {
                    acc[p][b] = S::dot(acc[p][b], w[p], x);
                }
            }
            c += 4;
        }
        finish::<S, P, B>(&acc, scales, x, out, i, j);
    }
}

#[inline(always)]
pub unsafe fn int8_matmul<S: Lanes>(
    panels: &[u8],
    scales: &[f32],
    q: &[i8],
    q_scales: &[f32],
    q_sums: &[i32],
    out: &mut [f32],
) {
    let (batch, rows) = (q_scales.len(), out.len() / q_scales.len());
    let (cols, count) = (q.len() / batch, rows.div_ceil(PANEL_ROWS));
    let (panels, scales) = (panels.as_ptr(), scales.as_ptr());
    // As many vectors at a time as are cut small at once, or all of them.
    let step = if S::SMALL { Small::TOGETHER } else { batch };
    for j in (0..batch).step_by(step) {
        let n = step.min(batch - j);
        let q = &q[j * cols..][..n * cols];
        let x = Batch { q, scales: &q_scales[j..][..n], sums: &q_sums[j..][..n] };
        // SAFETY: tiles cover the panels of the rows and these vectors, no more.
        unsafe {
            let out = Out { rows, p: out.as_mut_ptr().add(j * rows) };
            if S::SMALL && cols <= Small::COLUMNS {
                let mut small = [Small::NEW; Small::TOGETHER];
                let mut vectors = small.iter_mut().zip(q.chunks_exact(cols.max(1)));
                if vectors.all(|(small, q)| small.take::<S>(q)) {
                    tiles!([S], count, n, small_tile(panels, scales, &small, x, out));
                    continue;
                }
            }
            tiles!([S], count, n, int8_tile(panels, scales, x, out));
        }
    }
}
