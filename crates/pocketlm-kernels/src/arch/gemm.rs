//! The product of packed factors, written once for all instruction sets; see [`crate::gemm`].
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as [`crate::gemm::multiply`] checks.
#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed, on purpose")]

use super::lanes::{AHEAD, Lanes, load_some, store_some};
use crate::gemm::{STRIP_COLUMNS, STRIP_ROWS};

/// Most of the depth that is summed in registers: a strip of A then takes 36 KB of the first-level cache.
const DEPTH: usize = 768;

/// Columns whose strips of B, at most 1 MB, stay in the second-level cache.
const COLUMNS: usize = 10 * STRIP_COLUMNS;

/// A place in the result: where its rows begin, how many rows and columns are there.
#[derive(Clone, Copy)]
struct Place {
    out: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
}

#[inline(always)]
pub unsafe fn gemm<S: Lanes>(
    a: &[f32],
    b: &[f32],
    depth: usize,
    [rows, columns]: [usize; 2],
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let stretch = depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1);
    let mut start = 0;
    loop {
        let length = stretch.min(depth - start);
        for j in (0..columns).step_by(COLUMNS) {
            for i in (0..rows).step_by(STRIP_ROWS) {
                // SAFETY: strips `i` and from `j` on exist, and rows `i` of the result from column `j` on.
                unsafe {
                    let place = Place {
                        out: out.as_mut_ptr().add(i * stride + j),
                        stride,
                        rows: STRIP_ROWS.min(rows - i),
                        columns: COLUMNS.min(columns - j),
                    };
                    let a = a.as_ptr().add(i * depth + start * STRIP_ROWS);
                    let b = b.as_ptr().add(j * depth + start * STRIP_COLUMNS);
                    row_of_tiles::<S>((a, b), depth, length, place, add || start > 0);
                }
            }
        }
        start += length;
        if start >= depth {
            return;
        }
    }
}

/// One strip of A by the strips of B that `place` covers.
#[inline(always)]
unsafe fn row_of_tiles<S: Lanes>(
    (a, b): (*const f32, *const f32),
    depth: usize,
    length: usize,
    place: Place,
    add: bool,
) {
    for j in (0..place.columns).step_by(STRIP_COLUMNS) {
        // SAFETY: the strip of B and the columns of the result exist.
        unsafe {
            let b = b.add(j * depth);
            let columns = STRIP_COLUMNS.min(place.columns - j);
            let place = Place { out: place.out.add(j), columns, ..place };
            match (S::WIDE, columns > 16, place.rows) {
                (true, true, 9..) => tile::<S, 12, 2>((a, b), length, place, add),
                (true, true, 5..) => tile::<S, 8, 2>((a, b), length, place, add),
                (true, true, _) => tile::<S, 4, 2>((a, b), length, place, add),
                (true, false, _) => tile::<S, 12, 1>((a, b), length, place, add),
                (false, ..) => quarters::<S>((a, b), length, place, add),
            }
        }
    }
}

/// A tile where there are too few registers for a whole one.
#[inline(always)]
unsafe fn quarters<S: Lanes>(
    (a, b): (*const f32, *const f32),
    length: usize,
    place: Place,
    add: bool,
) {
    for i in (0..place.rows).step_by(6) {
        for j in (0..place.columns).step_by(16) {
            // SAFETY: row `i` and column `j` lie within the tile.
            unsafe {
                let out = place.out.add(i * place.stride + j);
                let (rows, columns) = (6.min(place.rows - i), 16.min(place.columns - j));
                let place = Place { out, rows, columns, ..place };
                tile::<S, 6, 1>((a.add(i), b.add(j)), length, place, add);
            }
        }
    }
}

/// R rows by V times 16 columns.
#[inline(always)]
unsafe fn tile<S: Lanes, const R: usize, const V: usize>(
    (mut a, mut b): (*const f32, *const f32),
    length: usize,
    place: Place,
    add: bool,
) {
    // SAFETY: both strips are `length` deep; `store` keeps to the place.
    unsafe {
        for r in 0..R {
            S::prefetch(place.out.wrapping_add(r.min(place.rows) * place.stride).cast());
        }
        let mut sums = [[S::splat(0.0); V]; R];
        for _ in 0..length {
            let mut w = [S::splat(0.0); V];
            for v in 0..V {
                S::prefetch(b.add(v * 16).cast::<u8>().wrapping_add(AHEAD));
                w[v] = S::load(b.add(v * 16));
            }
            for r in 0..R {
                let x = S::splat(*a.add(r));
                for v in 0..V {
                    sums[r][v] = S::mul_add(w[v], x, sums[r][v]);
                }
            }
            a = a.add(STRIP_ROWS);
            b = b.add(STRIP_COLUMNS);
        }
        for r in 0..R {
            for v in 0..V {
                if r < place.rows && v * 16 < place.columns {
                    let out = place.out.add(r * place.stride + v * 16);
                    put::<S>(out, place.columns - v * 16, sums[r][v], add);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn put<S: Lanes>(out: *mut f32, live: usize, sum: S::F, add: bool) {
    // SAFETY: min(live, 16) elements at `out`.
    unsafe {
        let sum = if add { S::add(load_some::<S>(out, live, 0.0), sum) } else { sum };
        store_some::<S>(out, live, sum);
    }
}

/// `strip[d, l]` = element d of line l, zero from line `live` on; a strip is `[depth, width]`, of at most 16
/// lines or a multiple of 16.
#[inline(always)]
pub unsafe fn transpose<S: Lanes>(
    lines: &[f32],
    line_step: usize,
    [live, depth]: [usize; 2],
    width: usize,
    strip: &mut [f32],
) {
    for first in (0..width).step_by(16) {
        for d in (0..depth).step_by(16) {
            // SAFETY: lines below `live` have `depth` elements, a strip has `depth` times `width`.
            unsafe {
                let n = 16.min(depth - d);
                let mut rows = [S::splat(0.0); 16];
                for r in 0..16.min(live.saturating_sub(first)) {
                    let line = lines.as_ptr().add((first + r) * line_step + d);
                    rows[r] = load_some::<S>(line, n, 0.0);
                }
                let columns = S::transpose(rows);
                for k in 0..16 {
                    let at = (d + k) * width + first;
                    // In a strip of less than 16 lines, what is stored beyond a step is stored over by the next.
                    let room = if width < 16 { strip.len().saturating_sub(at) } else { 16 };
                    if k < n {
                        store_some::<S>(strip.as_mut_ptr().add(at), room.min(16), columns[k]);
                    }
                }
            }
        }
    }
}
