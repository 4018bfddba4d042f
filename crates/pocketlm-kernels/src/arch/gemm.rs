//! The product of packed factors, written once for all instruction sets; see [`crate::gemm`]. Vectors side by side
//! times a matrix in panels are one of them: strips of B are panels.
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as [`crate::gemm::multiply`] checks.
#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed, on purpose")]

use super::lanes::{Lanes, load_some, store_some};
use super::product::Weight;
use crate::layout::{STRIP_COLUMNS, STRIP_ROWS, TILE_COLUMNS};

/// Most of the depth that is summed in registers: a strip of A then takes 36 KB of the first-level cache. Shallower
/// stretches would fit it better, and lose more by reading and writing the result more often.
const DEPTH: usize = 768;

/// Numbers of B that stay in the second-level cache while all of A passes by: 1 MB, or 256 KB where registers are
/// narrow, since processors with those have less.
const fn near<S: Lanes>() -> usize {
    if S::WIDE { 1 << 18 } else { 1 << 16 }
}

/// Depths between two turns of the loop: where a tile has few products a depth, what the loop itself costs counts.
const fn unrolled<S: Lanes>() -> usize {
    if S::WIDE { 1 } else { 4 }
}

/// How many bytes ahead of use B is asked for where registers are wide.
const WIDE_AHEAD: usize = 2048;

/// How many bytes ahead of use B is asked for where registers are narrow and A is not packed: mostly of few rows, so that
/// B comes from afar for little work.
const FEW_ROWS_AHEAD: usize = 3072;

/// How many bytes ahead of use a strip of A is asked for.
const NARROW_AHEAD: usize = 768;

/// Computes a tile of so many rows, and says how many.
macro_rules! size {
    ($rows:literal, $vectors:literal, $($argument:expr),*) => {{
        tile::<S, T, $rows, $vectors, PLAIN>($($argument),*);
        $rows
    }};
}

/// A place in the result: where its rows begin, how many rows and columns are there.
#[derive(Clone, Copy)]
struct Place {
    out: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
}

/// Where rows of A begin: in a strip (`PLAIN` below is false), or as they lie in memory, `stride` apart.
#[derive(Clone, Copy)]
struct Left {
    at: *const f32,
    stride: usize,
}

/// Where a strip of B begins, and how many numbers after it the next does.
#[derive(Clone, Copy)]
struct Right<T> {
    at: *const T,
    strip: usize,
}

#[inline(always)]
pub unsafe fn gemm<S: Lanes>(
    a: &[f32],
    b: &[f32],
    depth: usize,
    shape: [usize; 2],
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let a = Left { at: a.as_ptr(), stride: depth };
    // SAFETY: the caller's.
    unsafe {
        stretches::<S, f32, false>(a, b.as_ptr(), depth, shape, (out.as_mut_ptr(), stride), add)
    }
}

#[inline(always)]
pub unsafe fn gemm_rows<S: Lanes>(
    (a, a_stride): (&[f32], usize),
    b: &[f32],
    depth: usize,
    shape: [usize; 2],
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let a = Left { at: a.as_ptr(), stride: a_stride };
    // SAFETY: the caller's.
    unsafe {
        stretches::<S, f32, true>(a, b.as_ptr(), depth, shape, (out.as_mut_ptr(), stride), add)
    }
}

/// Vectors side by side, which are rows of A, times a matrix in panels, added to the results.
#[inline(always)]
unsafe fn panels<S: Lanes, T: Weight>(panels: &[T], x: &[f32], batch: usize, out: &mut [f32]) {
    let (cols, rows) = (x.len() / batch, out.len() / batch);
    let (a, out) = (Left { at: x.as_ptr(), stride: cols }, (out.as_mut_ptr(), rows));
    // SAFETY: the caller's.
    unsafe { stretches::<S, T, true>(a, panels.as_ptr(), cols, [batch, rows], out, true) }
}

#[inline(always)]
pub unsafe fn f32_matmul<S: Lanes>(weights: &[f32], x: &[f32], batch: usize, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { panels::<S, f32>(weights, x, batch, out) }
}

#[inline(always)]
pub unsafe fn f16_matmul<S: Lanes>(weights: &[u16], x: &[f32], batch: usize, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { panels::<S, u16>(weights, x, batch, out) }
}

#[inline(always)]
unsafe fn stretches<S: Lanes, T: Weight, const PLAIN: bool>(
    a: Left,
    b: *const T,
    depth: usize,
    [rows, columns]: [usize; 2],
    (out, stride): (*mut f32, usize),
    add: bool,
) {
    let parts = depth.div_ceil(DEPTH).max(1);
    let stretch = depth.div_ceil(parts).next_multiple_of(unrolled::<S>()).max(1);
    let near = (near::<S>() / (stretch * TILE_COLUMNS)).max(1) * TILE_COLUMNS;
    let mut start = 0;
    loop {
        let length = stretch.min(depth - start);
        for j in (0..columns).step_by(near) {
            for i in (0..rows).step_by(STRIP_ROWS) {
                // SAFETY: rows `i` of A, strips from `j` on and rows `i` of the result from column `j` on exist.
                unsafe {
                    let place = Place {
                        out: out.add(i * stride + j),
                        stride,
                        rows: STRIP_ROWS.min(rows - i),
                        columns: near.min(columns - j),
                    };
                    let step = if PLAIN { 1 } else { STRIP_ROWS };
                    let a = Left { at: a.at.add(i * a.stride + start * step), ..a };
                    let b = b.add(j * depth + start * STRIP_COLUMNS);
                    row_of_tiles::<S, T, PLAIN>((a, b), depth, length, place, add || start > 0);
                }
            }
        }
        start += length;
        if start >= depth {
            return;
        }
    }
}

/// Up to [`STRIP_ROWS`] rows of A by the strips of B that `place` covers.
#[inline(always)]
unsafe fn row_of_tiles<S: Lanes, T: Weight, const PLAIN: bool>(
    (a, b): (Left, *const T),
    depth: usize,
    length: usize,
    place: Place,
    add: bool,
) {
    let step = if S::WIDE { TILE_COLUMNS } else { STRIP_COLUMNS };
    for j in (0..place.columns).step_by(step) {
        // SAFETY: the strips of B and the columns of the result exist.
        unsafe {
            let b = Right { at: b.add(j * depth), strip: STRIP_COLUMNS * depth };
            let columns = step.min(place.columns - j);
            let place = Place { out: place.out.add(j), columns, ..place };
            match columns > STRIP_COLUMNS {
                true => wide::<S, T, PLAIN>((a, b), length, place, add),
                false if S::WIDE && !PLAIN => {
                    tile::<S, T, 12, 1, PLAIN>((a, b), length, place, add)
                }
                false => narrow::<S, T, PLAIN>((a, b), length, place, add),
            }
        }
    }
}

/// The rows of a tile that begin at row `i`.
#[inline(always)]
unsafe fn rows_from<const PLAIN: bool>(i: usize, a: Left, place: Place) -> (Left, Place) {
    let step = if PLAIN { a.stride } else { 1 };
    // SAFETY: row `i` lies within the tile.
    unsafe {
        let place = Place { out: place.out.add(i * place.stride), rows: place.rows - i, ..place };
        (Left { at: a.at.add(i * step), ..a }, place)
    }
}

/// All columns of a strip of B; rows that are not there are never read of plain rows.
#[inline(always)]
unsafe fn wide<S: Lanes, T: Weight, const PLAIN: bool>(
    (a, b): (Left, Right<T>),
    length: usize,
    place: Place,
    add: bool,
) {
    let mut i = 0;
    while i < place.rows {
        // SAFETY: row `i` lies within the tile.
        unsafe {
            let (a, place) = rows_from::<PLAIN>(i, a, place);
            i += match place.rows + if PLAIN { 0 } else { 3 } {
                12.. => size!(12, 2, (a, b), length, place, add),
                10.. => size!(10, 2, (a, b), length, place, add),
                8.. => size!(8, 2, (a, b), length, place, add),
                4.. => size!(4, 2, (a, b), length, place, add),
                2.. => size!(2, 2, (a, b), length, place, add),
                _ => size!(1, 2, (a, b), length, place, add),
            };
        }
    }
}

/// A register of columns, where there are too few registers for more, or too few columns.
#[inline(always)]
unsafe fn narrow<S: Lanes, T: Weight, const PLAIN: bool>(
    (a, b): (Left, Right<T>),
    length: usize,
    place: Place,
    add: bool,
) {
    let mut i = 0;
    while i < place.rows {
        // SAFETY: row `i` lies within the tile.
        unsafe {
            let (a, place) = rows_from::<PLAIN>(i, a, place);
            i += match place.rows {
                4 | 8 => size!(4, 1, (a, b), length, place, add),
                6.. => size!(6, 1, (a, b), length, place, add),
                2.. if PLAIN => size!(2, 1, (a, b), length, place, add),
                _ if PLAIN => size!(1, 1, (a, b), length, place, add),
                _ => size!(6, 1, (a, b), length, place, add),
            };
        }
    }
}

/// R rows by V times 16 columns.
#[inline(always)]
unsafe fn tile<S: Lanes, T: Weight, const R: usize, const V: usize, const PLAIN: bool>(
    (a, mut b): (Left, Right<T>),
    length: usize,
    place: Place,
    add: bool,
) {
    // SAFETY: rows and strips are `length` deep; `put` keeps to the place. Plain rows are as many as R.
    unsafe {
        for r in 0..R {
            let row = place.out.wrapping_add(r.min(place.rows) * place.stride);
            for v in 0..V {
                S::prefetch(row.wrapping_add(v * 16).cast());
            }
        }
        // Of plain rows every fourth has a pointer: the others are within reach of it by multiples of the stride.
        let mut at = [a.at; 3];
        for k in 1..R.div_ceil(4) {
            at[k] = at[k - 1].wrapping_add(4 * a.stride);
        }
        let mut sums = [[S::splat(0.0); V]; R];
        let mut left = length;
        for unrolled in [const { unrolled::<S>() }, 1] {
            while left >= unrolled {
                for d in 0..unrolled {
                    step::<S, T, R, V, PLAIN>((at, a.stride), b, d, &mut sums);
                }
                for at in &mut at {
                    *at = at.wrapping_add(unrolled * if PLAIN { 1 } else { STRIP_ROWS });
                    if PLAIN {
                        *at = S::kept(*at);
                    }
                }
                b.at = b.at.wrapping_add(unrolled * STRIP_COLUMNS);
                left -= unrolled;
            }
        }
        if place.rows >= R && place.columns >= V * 16 {
            let mut out = place.out;
            for r in 0..R {
                for v in 0..V {
                    put::<S>(out.add(v * 16), 16, sums[r][v], add);
                }
                out = out.wrapping_add(place.stride);
            }
            return;
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

/// Adds to a tile's sums the products of depth `d` from where the pointers are.
#[inline(always)]
unsafe fn step<S: Lanes, T: Weight, const R: usize, const V: usize, const PLAIN: bool>(
    (at, stride): ([*const f32; 3], usize),
    b: Right<T>,
    d: usize,
    sums: &mut [[S::F; V]; R],
) {
    // SAFETY: the caller's pointers have depth `d` before them.
    unsafe {
        let mut w = [S::splat(0.0); V];
        for v in 0..V {
            let b = b.at.add(v * b.strip + d * STRIP_COLUMNS);
            if S::WIDE {
                S::prefetch(b.cast::<u8>().wrapping_add(WIDE_AHEAD));
            } else if PLAIN {
                S::prefetch(b.cast::<u8>().wrapping_add(FEW_ROWS_AHEAD));
            }
            w[v] = T::load::<S>(b);
        }
        if !PLAIN && S::WIDE {
            S::prefetch(at[0].cast::<u8>().wrapping_add(NARROW_AHEAD));
        }
        for r in 0..R {
            let x = if PLAIN {
                *at[r / 4].add(r % 4 * stride + d)
            } else {
                *at[0].add(d * STRIP_ROWS + r)
            };
            let x = S::splat(x);
            for v in 0..V {
                sums[r][v] = S::mul_add(w[v], x, sums[r][v]);
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

/// `strip[d, l]` = element l of the row at `d * step`, zero from line `live` on, as [`transpose`] lays them.
#[inline(always)]
pub unsafe fn copy<S: Lanes>(
    rows: &[f32],
    step: usize,
    [live, depth]: [usize; 2],
    width: usize,
    strip: &mut [f32],
) {
    let (length, rows, out) = (rows.len(), rows.as_ptr(), strip.as_mut_ptr());
    // SAFETY: rows have `live` elements, a strip has `depth` times `width`; in one of less than 16 lines, what is
    // stored beyond a step is stored over by the next, and the last keeps to its own.
    unsafe {
        let mut first = 0;
        if width < 16 && live == width {
            // As many rows as have 16 elements before the end, whosever those beyond `width` are.
            let whole = (length + step).saturating_sub(16) / step.max(1);
            first = whole.min(depth.saturating_sub(2));
            for d in 0..first {
                S::store(out.add(d * width), S::load(rows.add(d * step)));
            }
        }
        for d in first..depth {
            for l in (0..width).step_by(16) {
                let left = live.saturating_sub(l);
                let v = load_some::<S>(rows.wrapping_add(d * step + l), left, 0.0);
                store_some::<S>(out.add(d * width + l), width - l, v);
            }
        }
    }
}
