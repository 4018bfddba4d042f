//! Products of two large matrices: `C[m, n] = A[m, k] B[k, n]`, in f32.
//!
//! Both factors are first packed into **strips** ([`pack`]): A by [`STRIP_ROWS`] rows, B by
//! [`STRIP_COLUMNS`] columns, each strip depth by depth, so that [`multiply`] reads both from front to
//! back. A tile of the result stays in registers over a stretch of the depth, a strip of A in the
//! first-level cache and a block of B in the second (Goto and van de Geijn 2008, "Anatomy of
//! High-Performance Matrix Multiplication"). Packing takes strides, and so transposes where that is needed.
//!
//! Sums run in the order that suits the machine, with fused multiply-add where there is: results agree
//! between machines to rounding. How a product is shared among threads (by rows of C) changes no bit.

use crate::backend::call;
pub use crate::layout::{STRIP_COLUMNS, STRIP_ROWS, TILE_COLUMNS};

/// Elements that `count` rows of A (or columns of B) of this `depth` take in strips of `width`.
///
/// # Panics
/// If they do not fit in a `usize`.
pub const fn len(width: usize, count: usize, depth: usize) -> usize {
    let padded = count.next_multiple_of(width);
    padded.checked_mul(depth).expect("the matrix is larger than the address space")
}

/// A factor as it lies in memory: element `(line, d)` at `line * line_step + d * depth_step`, where lines
/// are the rows of A or the columns of B and `d` runs over what is summed.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    /// All of it.
    pub data: &'a [f32],
    /// From one line to the next.
    pub line_step: usize,
    /// From one element of a line to the next.
    pub depth_step: usize,
}

/// Packs `count` lines from line `first` on, elements `start..start + depth` of each, into strips of `width`
/// ([`STRIP_ROWS`] for A, [`STRIP_COLUMNS`] for B); lines that the last strip lacks become zero.
///
/// # Panics
/// If `width` is none of these, `strips` is not [`len`]`(width, count, depth)` long or the factor is too short.
pub fn pack(
    factor: Factor,
    width: usize,
    (first, count): (usize, usize),
    (start, depth): (usize, usize),
    strips: &mut [f32],
) {
    assert!(strips.len() == len(width, count, depth), "{} elements of strips", strips.len());
    if strips.is_empty() {
        return;
    }
    let last = (first + count - 1) * factor.line_step + (start + depth - 1) * factor.depth_step;
    assert!(last < factor.data.len(), "the factor ends before element {last}");
    // Where lines lie side by side, strips share cache lines: a stretch is read while it is near.
    let near = if factor.line_step == 1 { NEAR } else { depth };
    for d in (0..depth).step_by(near) {
        for (i, strip) in strips.chunks_exact_mut(width * depth).enumerate() {
            let line = first + i * width;
            let data = &factor.data[line * factor.line_step + (start + d) * factor.depth_step..];
            let live = width.min(first + count - line);
            let strip = &mut strip[d * width..depth.min(d + near) * width];
            match width {
                STRIP_ROWS => pack_strip::<STRIP_ROWS>(Factor { data, ..factor }, live, strip),
                STRIP_COLUMNS => {
                    pack_strip::<STRIP_COLUMNS>(Factor { data, ..factor }, live, strip)
                }
                _ => panic!("no strips are {width} wide"),
            }
        }
    }
}

/// Steps of the depth that are packed together.
const NEAR: usize = 64;

fn pack_strip<const W: usize>(factor: Factor, live: usize, strip: &mut [f32]) {
    if factor.depth_step == 1 && factor.line_step != 1 {
        let shape = [live, strip.len() / W];
        call!(transpose(factor.data, factor.line_step, shape, W, strip));
        return;
    }
    if factor.line_step == 1 {
        let shape = [live, strip.len() / W];
        call!(copy(factor.data, factor.depth_step, shape, W, strip));
    } else {
        let (steps, _) = strip.as_chunks_mut::<W>();
        let at = |l: usize, d: usize| factor.data[l * factor.line_step + d * factor.depth_step];
        for (d, step) in steps.iter_mut().enumerate() {
            *step = core::array::from_fn(|l| if l < live { at(l, d) } else { 0.0 });
        }
    }
}

/// `out[r, c] (+)= Σ_d A[r, d] · B[d, c]` for packed factors of the same `depth`: `out` is `[rows, columns]`
/// with rows `stride` apart; `add` says whether it is added to or replaced.
///
/// # Panics
/// If the lengths do not fit.
pub fn multiply(
    (a, b): (&[f32], &[f32]),
    depth: usize,
    [rows, columns]: [usize; 2],
    (out, stride): (&mut [f32], usize),
    add: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(a.len() == len(STRIP_ROWS, rows, depth), "{} elements for {rows} rows", a.len());
    assert!(b.len() == len(STRIP_COLUMNS, columns, depth), "{} for {columns} columns", b.len());
    assert!(columns <= stride, "rows of {columns} overlap at a stride of {stride}");
    assert!(fits(rows, columns, stride, out.len()), "{} of a result", out.len());
    call!(gemm(a, b, depth, [rows, columns], out, stride, add));
}

/// Whether so many rows of `width`, at least one, lie `stride` apart within `length` without overlapping.
fn fits(rows: usize, width: usize, stride: usize, length: usize) -> bool {
    let needed = (rows - 1).checked_mul(stride).and_then(|n| n.checked_add(width));
    width <= stride && needed.is_some_and(|n| n <= length)
}

/// [`multiply`] with rows of A as they lie in memory, `a_stride` apart: no packing, and no slower where the
/// stride is no multiple of a large power of two and the depth is not beyond some hundreds.
///
/// # Panics
/// If the lengths do not fit.
pub fn multiply_rows(
    (a, a_stride): (&[f32], usize),
    b: &[f32],
    depth: usize,
    [rows, columns]: [usize; 2],
    (out, stride): (&mut [f32], usize),
    add: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(fits(rows, depth, a_stride, a.len()), "{} elements for {rows} rows", a.len());
    assert!(b.len() == len(STRIP_COLUMNS, columns, depth), "{} for {columns} columns", b.len());
    assert!(fits(rows, columns, stride, out.len()), "{} of a result", out.len());
    call!(gemm_rows((a, a_stride), b, depth, [rows, columns], out, stride, add));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{ALL, runs};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn numbers(length: usize, seed: u32) -> Vec<f32> {
        let next =
            |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 32768.0;
        (0..length as u32).map(|i| next(i) - 1.0).collect()
    }

    fn packed(factor: Factor, width: usize, lines: usize, depth: usize) -> Vec<f32> {
        let mut strips = vec![f32::NAN; len(width, lines, depth)];
        pack(factor, width, (0, lines), (0, depth), &mut strips);
        strips
    }

    proptest! {
        #[test]
        fn packing_is_a_matter_of_place(
            lines in 1usize..70, depth in 1usize..150, width in 0usize..2, steps in 0..3,
        ) {
            let width = [STRIP_ROWS, STRIP_COLUMNS][width];
            let (line_step, depth_step) =
                [(1, lines + 2), (depth + 3, 1), (2 * depth, 2)][steps as usize];
            let data = numbers(2 * (lines + 3) * (depth + 3), 5);
            let strips = packed(Factor { data: &data, line_step, depth_step }, width, lines, depth);
            for (at, &got) in strips.iter().enumerate() {
                let (line, d) = (at / (width * depth) * width + at % width, at / width % depth);
                let want = if line < lines { data[line * line_step + d * depth_step] } else { 0.0 };
                prop_assert_eq!(got, want);
            }
        }

        #[test]
        fn every_backend_equals_the_plain_product(
            m in 1usize..40, n in 1usize..80, k in 0usize..50, deep: bool, gap in 0usize..3, add: bool,
            plain: bool,
        ) {
            let k = if deep { k + 800 } else { k };
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let left = Factor { data: &a, line_step: k, depth_step: 1 };
            let right = Factor { data: &b, line_step: 1, depth_step: n };
            let (pa, pb) = (packed(left, STRIP_ROWS, m, k), packed(right, STRIP_COLUMNS, n, k));
            for table in ALL.iter().filter(|table| runs(table.backend)) {
                let mut out = vec![1.0f32; (m - 1) * (n + gap) + n];
                // SAFETY: the backend runs here and the lengths fit.
                unsafe {
                    if plain {
                        (table.gemm_rows)((&a, k), &pb, k, [m, n], &mut out, n + gap, add);
                    } else {
                        (table.gemm)(&pa, &pb, k, [m, n], &mut out, n + gap, add);
                    }
                }
                for (at, &got) in out.iter().enumerate() {
                    let (i, j) = (at / (n + gap), at % (n + gap));
                    if j >= n {
                        prop_assert_eq!(got, 1.0);
                        continue;
                    }
                    let term = |p: usize| f64::from(a[i * k + p]) * f64::from(b[p * n + j]);
                    let dot = (0..k).map(term).sum::<f64>();
                    let want = if add { 1.0 + dot } else { dot };
                    let name = table.backend.name();
                    prop_assert!((f64::from(got) - want).abs() < 1e-3, "{name}: {got} {want}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "of a result")]
    fn too_short_a_result_panics() {
        let (a, b) = (vec![0.0; STRIP_ROWS], vec![0.0; STRIP_COLUMNS]);
        multiply((&a, &b), 1, [2, 3], (&mut [0.0; 5], 3), false);
    }
}
