//! Large dense matrix products over the kernels' packed product, on the threads of the current rayon pool.

use std::cell::Cell;
use std::ops::Range;

use pocketlm_kernels::gemm::{self, Factor, STRIP_COLUMNS, STRIP_ROWS};
use rayon::prelude::*;

/// A row-major matrix seen through strides: `rows × columns`, each row `stride` numbers after the last.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// `data` as `[rows, columns]`.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// The first `columns` of each row of `data`, whose rows are `stride` apart.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check(data.len(), rows, columns, stride);
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Its transpose.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

fn check(length: usize, rows: usize, columns: usize, stride: usize) {
    assert!(columns <= stride, "rows of {columns} overlap at a stride of {stride}");
    let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
    assert!(
        needed <= length,
        "{rows} rows of {columns} at stride {stride} need {needed} of {length}"
    );
}

/// Whether a product replaces what is there or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// `out = a b`
    Set,
    /// `out += a b`
    Add,
}

/// Most numbers of one factor that are packed at a time: 4 MB of them.
const PACKED: usize = 1 << 20;

/// Most of the inner dimension that is packed at a time.
const DEPTH: usize = 1536;

/// Numbers that begin with a cache line, so that no load of a register crosses two.
#[derive(Default)]
pub struct Lines(Vec<f32>);

impl Lines {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first `length` numbers: whatever they were, zero where there were not as many.
    pub fn first(&mut self, length: usize) -> &mut [f32] {
        const LINE: usize = 64;
        if self.0.len() < length + LINE / 4 {
            self.0.resize(length + LINE / 4, 0.0);
        }
        let skip = self.0.as_ptr().align_offset(LINE).min(LINE / 4);
        &mut self.0[skip..skip + length]
    }
}

thread_local! {
    /// Room for the packed factors, kept from one product to the next.
    static ROOM: Cell<[Lines; 2]> = const { Cell::new([Lines::new(), Lines::new()]) };
}

/// The product of `a` `[m, k]` and `b` `[k, n]` into `out` `[m, n]`, whose rows are `stride` numbers apart.
///
/// The result does not depend on the number of threads.
///
/// # Panics
/// When the inner dimensions differ or `out` is too short.
pub fn product(out: &mut [f32], stride: usize, write: Write, a: View, b: View) {
    assert_eq!(a.columns, b.rows, "inner dimensions of a product");
    check(out.len(), a.rows, b.columns, stride);
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    // Taken, not borrowed: a thread that waits may begin another product.
    let mut room = ROOM.take();
    let [a_room, b_room] = &mut room;
    let (a, b) = (Packing::rows(a), Packing::columns(b));
    for depth in stretches(a.depth, DEPTH, 4) {
        let add = write == Write::Add || depth.start > 0;
        for columns in stretches(b.lines, lines(depth.len(), b.width), b.width) {
            let b_strips = b.pack(&columns, &depth, b_room);
            for rows in stretches(a.lines, lines(depth.len(), a.width), a.width) {
                let a_strips = a.pack(&rows, &depth, a_room);
                let out = &mut out[rows.start * stride + columns.start..];
                let shape = [rows.len(), columns.len()];
                multiply((a_strips, b_strips), depth.len(), shape, (out, stride), add);
            }
        }
    }
    ROOM.set(room);
}

/// [`gemm::multiply`], the rows shared out among the threads.
fn multiply(
    (a, b): (&[f32], &[f32]),
    depth: usize,
    [rows, columns]: [usize; 2],
    (out, stride): (&mut [f32], usize),
    add: bool,
) {
    // Two shares a thread: a thread that is held up leaves its second to the other.
    let share = rows.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(STRIP_ROWS);
    let length = (rows - 1) * stride + columns;
    let shares = out[..length].par_chunks_mut(share * stride);
    shares.enumerate().for_each(|(i, out)| {
        let first = i * share;
        let rows = share.min(rows - first);
        let a = &a[first * depth..][..gemm::len(STRIP_ROWS, rows, depth)];
        gemm::multiply((a, b), depth, [rows, columns], (out, stride), add);
    });
}

/// Consecutive ranges that make up `0..whole`: about equal, of at most `most`, whole multiples of `unit` but
/// for the last; one empty range where `whole` is nothing.
fn stretches(whole: usize, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let length = whole.div_ceil(whole.div_ceil(most).max(1)).next_multiple_of(unit).max(1);
    let starts = (0..whole.max(1)).step_by(length);
    starts.map(move |start| start..whole.min(start + length))
}

/// How many lines of this depth are packed at a time: whole strips.
fn lines(depth: usize, width: usize) -> usize {
    (PACKED / (width * depth.max(1))).max(1) * width
}

/// A factor on its way into strips.
struct Packing<'a> {
    factor: Factor<'a>,
    width: usize,
    lines: usize,
    depth: usize,
}

impl<'a> Packing<'a> {
    fn rows(a: View<'a>) -> Self {
        Self::new(a.t(), STRIP_ROWS)
    }

    fn columns(b: View<'a>) -> Self {
        Self::new(b, STRIP_COLUMNS)
    }

    fn new(view: View<'a>, width: usize) -> Self {
        let View { data, rows, columns, row_stride, column_stride } = view;
        let factor = Factor { data, line_step: column_stride, depth_step: row_stride };
        Self { factor, width, lines: columns, depth: rows }
    }

    /// Packs a part of it, the strips shared out among the threads.
    fn pack<'r>(
        &self,
        lines: &Range<usize>,
        depth: &Range<usize>,
        room: &'r mut Lines,
    ) -> &'r [f32] {
        let width = self.width;
        let strips = room.first(gemm::len(width, lines.len(), depth.len()));
        let shares = strips.par_chunks_mut((width * depth.len()).max(1)).with_min_len(4);
        shares.enumerate().for_each(|(i, strip)| {
            let first = lines.start + i * width;
            let count = width.min(lines.end - first);
            gemm::pack(self.factor, width, (first, count), (depth.start, depth.len()), strip);
        });
        strips
    }
}

/// Adds to `sums` `[columns]` the sum over the rows of `data` `[_, columns]`.
pub fn add_column_sums(sums: &mut [f32], data: &[f32]) {
    /// Columns of one thread at a time: their sums stay in the nearest cache.
    const SHARE: usize = 1024;
    let columns = sums.len();
    sums.par_chunks_mut(SHARE).enumerate().for_each(|(share, sums)| {
        for row in data.chunks_exact(columns) {
            let row = &row[share * SHARE..];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(a: &[f32], b: &[f32], m: usize, k: usize, n: usize) -> Vec<f32> {
        let dot = |i: usize, j: usize| (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
        (0..m * n).map(|at| dot(at / n, at % n)).collect()
    }

    fn numbers(length: usize, seed: u32) -> Vec<f32> {
        let next =
            |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 32768.0;
        (0..length as u32).map(|i| next(i) - 1.0).collect()
    }

    fn transposed(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|at| data[(at % rows) * columns + at / rows]).collect()
    }

    proptest! {
        #[test]
        fn equals_the_naive_product(m in 1usize..40, k in 1usize..40, n in 1usize..40, gap in 0usize..3) {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let expected = naive(&a, &b, m, k, n);
            let (at, bt) = (transposed(&a, m, k), transposed(&b, k, n));
            for (left, right) in [
                (View::new(&a, m, k), View::new(&b, k, n)),
                (View::new(&at, k, m).t(), View::new(&bt, n, k).t()),
            ] {
                let mut out = vec![1.0; m * (n + gap)];
                product(&mut out, n + gap, Write::Add, left, right);
                for (at, want) in expected.iter().enumerate() {
                    let got = out[at / n * (n + gap) + at % n] - 1.0;
                    prop_assert!((got - want).abs() < 1e-4, "{got} {want}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn unequal_inner_dimensions_panic() {
        let data = [0.0; 6];
        product(&mut [0.0; 4], 2, Write::Set, View::new(&data, 2, 3), View::new(&data, 2, 3));
    }
}
