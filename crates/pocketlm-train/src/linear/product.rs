//! Large dense matrix products over the kernels' packed product, on the threads of the current rayon pool.

use std::cell::Cell;
use std::ops::Range;

use pocketlm_kernels::accumulate;
use pocketlm_kernels::gemm::{self, Factor, STRIP_COLUMNS, STRIP_ROWS, TILE_COLUMNS};
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

/// Most numbers of the right factor that are packed at a time: 16 MB of them.
const PACKED: usize = 4 << 20;

/// Most numbers of the left factor that a thread packs at a time: 512 KB, a part of its second-level cache.
const NEAR: usize = 1 << 17;

/// Most of the inner dimension that is packed at a time.
const DEPTH: usize = 768;

/// Numbers that begin with a cache line, so that no load of a register crosses two.
#[derive(Default)]
pub struct Lines(Vec<f32>);

impl Lines {
    /// Bytes.
    const LINE: usize = 64;

    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first `length` numbers: whatever they were, zero where there were not as many.
    pub fn first(&mut self, length: usize) -> &mut [f32] {
        if self.0.len() < length + Self::LINE / 4 {
            self.0.resize(length + Self::LINE / 4, 0.0);
        }
        let skip = self.0.as_ptr().align_offset(Self::LINE).min(Self::LINE / 4);
        &mut self.0[skip..skip + length]
    }

    /// The first `length` numbers, which [`first`](Self::first) made room for.
    pub fn held(&self, length: usize) -> &[f32] {
        let skip = self.0.as_ptr().align_offset(Self::LINE).min(Self::LINE / 4);
        &self.0[skip..skip + length]
    }
}

thread_local! {
    /// Room for the packed right factor, kept from one product to the next.
    static RIGHT: Cell<Lines> = const { Cell::new(Lines::new()) };
    /// Room for a part of the left factor.
    static LEFT: Cell<Lines> = const { Cell::new(Lines::new()) };
    /// Room for a block of a product that is used up at once.
    static OUT: Cell<Lines> = const { Cell::new(Lines::new()) };
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
    let mut room = RIGHT.take();
    let (a, b) = (Packing::rows(a), Packing::columns(b));
    for depth in stretches(a.depth, DEPTH, 4) {
        let add = write == Write::Add || depth.start > 0;
        for columns in stretches(b.lines, lines(PACKED, depth.len(), TILE_COLUMNS), TILE_COLUMNS) {
            let strips = b.pack_together(&columns, &depth, &mut room);
            let length = (a.lines - 1) * stride + columns.len();
            let out = &mut out[columns.start..][..length];
            a.share_out((strips, columns.len()), depth.clone(), (out, stride), add);
        }
    }
    RIGHT.set(room);
}

/// Consecutive ranges that make up `0..whole`: about equal, of at most `most`, whole multiples of `unit` but
/// for the last; one empty range where `whole` is nothing.
fn stretches(whole: usize, most: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let length = whole.div_ceil(whole.div_ceil(most).max(1)).next_multiple_of(unit).max(1);
    let starts = (0..whole.max(1)).step_by(length);
    starts.map(move |start| start..whole.min(start + length))
}

/// How many lines of this depth are at most so many numbers: whole strips, one at least.
fn lines(numbers: usize, depth: usize, width: usize) -> usize {
    (numbers / (width * depth.max(1))).max(1) * width
}

/// Whether rows of such a stride are so far apart that they share no places in the nearest cache: it tells
/// addresses apart by what they leave over 4 KB.
pub fn apart(stride: usize) -> bool {
    !stride.is_multiple_of(1024)
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

    /// The rows of a left factor and their stride, where they need no packing.
    fn plain(&self) -> Option<(&'a [f32], usize)> {
        let Factor { data, line_step, depth_step } = self.factor;
        let rows = depth_step == 1 && line_step >= self.depth;
        (rows && apart(line_step)).then_some((data, line_step))
    }

    /// Packs a part of it into whole strips, on the calling thread.
    fn pack(&self, lines: &Range<usize>, depth: &Range<usize>, strips: &mut [f32]) {
        let (lines, depth) = ((lines.start, lines.len()), (depth.start, depth.len()));
        gemm::pack(self.factor, self.width, lines, depth, strips);
    }

    /// Packs a part of it, shared out among the threads.
    fn pack_together<'r>(
        &self,
        lines: &Range<usize>,
        depth: &Range<usize>,
        room: &'r mut Lines,
    ) -> &'r [f32] {
        /// Strips of one share, whose lines make up whole cache lines.
        const SHARE: usize = 8;
        let width = self.width;
        let strips = room.first(gemm::len(width, lines.len(), depth.len()));
        let shares = strips.par_chunks_mut((SHARE * width * depth.len()).max(1));
        shares.enumerate().for_each(|(i, strips)| {
            let first = lines.start + i * SHARE * width;
            self.pack(&(first..lines.end.min(first + SHARE * width)), depth, strips);
        });
        strips
    }

    /// `out (+)= self b` over a stretch of the depth, for packed `b`: the rows shared out among the threads, each
    /// of which packs its own a part at a time, to have it near.
    fn share_out(
        &self,
        (b, columns): (&[f32], usize),
        depth: Range<usize>,
        (out, stride): (&mut [f32], usize),
        add: bool,
    ) {
        // Two shares a thread: a thread that is held up leaves its second to the other.
        let share =
            self.lines.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(self.width);
        let most = lines(NEAR, depth.len(), self.width);
        out.par_chunks_mut(share * stride).enumerate().for_each(|(i, out)| {
            let mut room = LEFT.take();
            let first = i * share;
            for part in stretches(share.min(self.lines - first), most, self.width) {
                let (lines, shape) = (first + part.start..first + part.end, [part.len(), columns]);
                let out = (&mut out[part.start * stride..], stride);
                if let Some((rows, step)) = self.plain() {
                    let rows = &rows[lines.start * step + depth.start..];
                    gemm::multiply_rows((rows, step), b, depth.len(), shape, out, add);
                } else {
                    let a = room.first(gemm::len(self.width, part.len(), depth.len()));
                    self.pack(&lines, &depth, a);
                    gemm::multiply((a, b), depth.len(), shape, out, add);
                }
            }
            LEFT.set(room);
        });
    }
}

/// One factor of many products, packed once.
#[derive(Default)]
pub struct Packed {
    depth: usize,
    /// Rows of a left factor, columns of a right one.
    lines: usize,
    width: usize,
    strips: Lines,
}

impl Packed {
    /// Packs a left factor `[m, k]` in the place of what was there, on the calling thread.
    pub fn pack_left(&mut self, a: View) {
        let a = Packing::rows(a);
        let strips = self.strips.first(gemm::len(a.width, a.lines, a.depth));
        a.pack(&(0..a.lines), &(0..a.depth), strips);
        (self.depth, self.lines, self.width) = (a.depth, a.lines, a.width);
    }

    /// Packs a right factor `[k, n]` in the place of what was there, on the calling thread.
    pub fn pack_right(&mut self, b: View) {
        let b = Packing::columns(b);
        let strips = self.strips.first(gemm::len(b.width, b.lines, b.depth));
        b.pack(&(0..b.lines), &(0..b.depth), strips);
        (self.depth, self.lines, self.width) = (b.depth, b.lines, b.width);
    }

    /// The same on all threads.
    pub fn pack_right_together(&mut self, b: View) {
        let b = Packing::columns(b);
        b.pack_together(&(0..b.lines), &(0..b.depth), &mut self.strips);
        (self.depth, self.lines, self.width) = (b.depth, b.lines, b.width);
    }

    /// Strips of some lines, from the first of a strip on.
    fn strips(&self, lines: Range<usize>) -> &[f32] {
        let strips = self.strips.held(gemm::len(self.width, self.lines, self.depth));
        &strips[lines.start * self.depth..][..gemm::len(self.width, lines.len(), self.depth)]
    }

    /// `out (+)= self b` for a left and a right factor, on the calling thread; rows of `out` are `stride` numbers
    /// apart.
    ///
    /// # Panics
    /// When the inner dimensions differ, the factors are not a left and a right one, or `out` is too short.
    pub fn product(&self, b: &Packed, (out, stride): (&mut [f32], usize), write: Write) {
        assert_eq!([self.width, b.width], [STRIP_ROWS, STRIP_COLUMNS], "a left and a right factor");
        self.product_of(b, 0..b.lines, (out, stride), write);
    }

    /// `out (+)= a self` for this right factor and plain rows of `a`, on the calling thread.
    ///
    /// # Panics
    /// When the inner dimensions differ, this is no right factor, `a` is a transpose or `out` is too short.
    pub fn times_rows(&self, a: View, out: (&mut [f32], usize), write: Write) {
        assert_eq!(self.width, STRIP_COLUMNS, "a right factor");
        assert_eq!((a.columns, a.column_stride), (self.depth, 1), "plain rows of as many columns");
        let (rows, shape) = ((a.data, a.row_stride), [a.rows, self.lines]);
        let strips = self.strips(0..self.lines);
        gemm::multiply_rows(rows, strips, self.depth, shape, out, write == Write::Add);
    }

    fn product_of(
        &self,
        b: &Packed,
        columns: Range<usize>,
        (out, stride): (&mut [f32], usize),
        write: Write,
    ) {
        assert_eq!(self.depth, b.depth, "inner dimensions of a product");
        let (shape, add) = ([self.lines, columns.len()], write == Write::Add);
        let factors = (self.strips(0..self.lines), b.strips(columns));
        gemm::multiply(factors, self.depth, shape, (out, stride), add);
    }

    /// The product of `a` `[m, k]` and this right factor, some columns at a time: calls `consume` with which they
    /// are and with those of the product, `[m, columns]`, while they are in the nearest caches. Works on the
    /// calling thread alone.
    ///
    /// # Panics
    /// When the inner dimensions differ.
    pub fn each_block(&self, a: View, mut consume: impl FnMut(Range<usize>, &mut [f32])) {
        /// Columns of a block.
        const BLOCK: usize = 10 * TILE_COLUMNS;
        let mut rows = Packed { strips: LEFT.take(), ..Packed::default() };
        rows.pack_left(a);
        let mut room = OUT.take();
        for first in (0..self.lines).step_by(BLOCK) {
            let columns = first..self.lines.min(first + BLOCK);
            let out = room.first(rows.lines * columns.len());
            rows.product_of(self, columns.clone(), (out, columns.len()), Write::Set);
            consume(columns, out);
        }
        OUT.set(room);
        LEFT.set(rows.strips);
    }
}

/// Adds to `sums` `[columns]` the sum over the rows of `data` `[_, columns]`.
pub fn add_column_sums(sums: &mut [f32], data: &[f32]) {
    /// Columns of one thread at a time: their sums stay in the nearest cache.
    const SHARE: usize = 1024;
    let columns = sums.len();
    sums.par_chunks_mut(SHARE).enumerate().for_each(|(share, sums)| {
        for row in data.chunks_exact(columns) {
            accumulate::add(sums, &row[share * SHARE..][..sums.len()]);
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
    fn blocks_of_a_packed_factor_make_up_the_product() {
        let (m, k, n) = (13, 30, 700);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let expected = naive(&a, &b, m, k, n);
        let mut packed = Packed::default();
        packed.pack_right(View::new(&numbers(8, 3), 2, 4));
        packed.pack_right_together(View::new(&transposed(&b, k, n), n, k).t());
        let mut seen = 0;
        packed.each_block(View::new(&a, m, k), |columns, block| {
            assert_eq!(columns.start, seen);
            seen = columns.end;
            for (at, got) in block.iter().enumerate() {
                let (i, j) = (at / columns.len(), columns.start + at % columns.len());
                assert!((got - expected[i * n + j]).abs() < 1e-4);
            }
        });
        assert_eq!(seen, n);
        let mut left = Packed::default();
        left.pack_left(View::new(&a, m, k));
        let mut out = vec![1.0; m * n];
        left.product(&packed, (&mut out, n), Write::Set);
        out.fill(1.0);
        packed.times_rows(View::new(&a, m, k), (&mut out, n), Write::Add);
        assert!(out.iter().zip(&expected).all(|(got, want)| (got - 1.0 - want).abs() < 1e-4));
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn unequal_inner_dimensions_panic() {
        let data = [0.0; 6];
        product(&mut [0.0; 4], 2, Write::Set, View::new(&data, 2, 3), View::new(&data, 2, 3));
    }
}
