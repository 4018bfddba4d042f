//! Products of a matrix with a few vectors at a time, as the recurrence needs them: the matrix is packed once
//! for many products; a large one is shared out among the threads by rows.

use pocketlm_kernels::accumulate;
use pocketlm_kernels::float32;
use pocketlm_kernels::gemm::{self, Factor, STRIP_COLUMNS, TILE_COLUMNS};
use rayon::prelude::*;

use crate::linear::product::{Lines, apart};

/// Multiplications below which one thread alone is faster than two that wait for each other.
const WORTHWHILE: usize = 1 << 20;

/// A packed matrix `[rows, columns]`.
pub struct Panels {
    columns: usize,
    /// For one vector at a time, rather than a few.
    single: bool,
    shares: Vec<Share>,
}

/// Some consecutive rows.
struct Share {
    first: usize,
    rows: usize,
    strips: Lines,
}

/// Room for what a product needs on its way, kept from one product to the next.
#[derive(Default)]
pub struct Scratch {
    /// The vectors, where they have to be moved.
    vectors: Lines,
    /// The product of each share, `[batch, rows]`.
    products: Vec<Lines>,
}

impl Panels {
    /// Room for a matrix `[rows, columns]` that `batch` vectors at a time are multiplied with.
    pub fn new(rows: usize, columns: usize, batch: usize) -> Self {
        let small = rows * columns * batch < WORTHWHILE;
        let threads = if small { 1 } else { rayon::current_num_threads() };
        let share = rows.div_ceil(threads).next_multiple_of(TILE_COLUMNS);
        let shares = (0..rows).step_by(share.max(1)).map(|first| {
            let rows = share.min(rows - first);
            Share { first, rows, strips: Lines::new() }
        });
        Self { columns, single: batch == 1, shares: shares.collect() }
    }

    /// Packs `matrix` `[rows, columns]`.
    pub fn pack(&mut self, matrix: &[f32]) {
        self.pack_factor(Factor { data: matrix, line_step: self.columns, depth_step: 1 });
    }

    /// Packs the transpose of `matrix` `[columns, rows]`.
    pub fn pack_transposed(&mut self, matrix: &[f32]) {
        let rows = matrix.len() / self.columns;
        self.pack_factor(Factor { data: matrix, line_step: 1, depth_step: rows });
    }

    fn pack_factor(&mut self, factor: Factor) {
        let columns = self.columns;
        self.shares.par_iter_mut().for_each(|share| {
            let strips = share.strips.first(gemm::len(STRIP_COLUMNS, share.rows, columns));
            gemm::pack(factor, STRIP_COLUMNS, (share.first, share.rows), (0, columns), strips);
        });
    }

    /// `out[b, r] += Σ_c W[r, c] x[b, c]` for `batch` vectors: row `b` of `x` and of `out` begins `x_stride`
    /// and `out_stride` numbers after the last.
    pub fn add_product(
        &self,
        (x, x_stride): (&[f32], usize),
        batch: usize,
        (out, out_stride): (&mut [f32], usize),
        scratch: &mut Scratch,
    ) {
        let columns = self.columns;
        if self.single {
            let vectors = x.chunks(x_stride).zip(out.chunks_mut(out_stride));
            vectors.take(batch).for_each(|(x, out)| self.add_single(&x[..columns], out));
            return;
        }
        let Scratch { vectors, products } = scratch;
        let vectors = if apart(x_stride) {
            (x, x_stride)
        } else {
            moved_apart((x, x_stride), batch, columns, vectors)
        };
        if let [share] = &self.shares[..] {
            let (out, shape) = ((out, out_stride), [batch, share.rows]);
            gemm::multiply_rows(vectors, self.strips(share), columns, shape, out, true);
            return;
        }
        products.resize_with(self.shares.len(), Lines::new);
        self.shares.par_iter().zip(&mut *products).for_each(|(share, product)| {
            let out = (product.first(batch * share.rows), share.rows);
            let shape = [batch, share.rows];
            gemm::multiply_rows(vectors, self.strips(share), columns, shape, out, false);
        });
        // By all threads: while one did it alone, the others would fall asleep.
        let rows = out.par_chunks_mut(out_stride).take(batch).enumerate();
        rows.with_min_len(batch.div_ceil(self.shares.len())).for_each(|(b, out)| {
            for (share, product) in self.shares.iter().zip(&*products) {
                let product = &product.held(batch * share.rows)[b * share.rows..];
                accumulate::add(&mut out[share.first..][..share.rows], &product[..share.rows]);
            }
        });
    }

    /// `out[r] += Σ_c W[r, c] x[c]`
    fn add_single(&self, x: &[f32], out: &mut [f32]) {
        let [first, .., last] = &self.shares[..] else {
            let [share] = &self.shares[..] else { return };
            return float32::matvec(self.strips(share), x, &mut out[..share.rows]);
        };
        let outs = out[..last.first + last.rows].par_chunks_mut(first.rows);
        outs.zip(&self.shares).for_each(|(out, share)| float32::matvec(self.strips(share), x, out));
    }

    fn strips<'s>(&self, share: &'s Share) -> &'s [f32] {
        share.strips.held(gemm::len(STRIP_COLUMNS, share.rows, self.columns))
    }
}

/// The first `columns` of each row of `x` at a stride that keeps them [`apart`].
fn moved_apart<'r>(
    (x, stride): (&[f32], usize),
    batch: usize,
    columns: usize,
    room: &'r mut Lines,
) -> (&'r [f32], usize) {
    let to = if apart(columns) { columns } else { columns + 16 };
    let rows = room.first(batch * to);
    for (row, x) in rows.chunks_exact_mut(to).zip(x.chunks(stride)) {
        row[..columns].copy_from_slice(&x[..columns]);
    }
    (rows, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::product::{View, Write, product};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_dense_product(
            rows in 1usize..70, columns in 1usize..20, batch in 1usize..15, gap in 0usize..3,
            large: bool,
        ) {
            let rows = if large { rows + WORTHWHILE / columns / batch } else { rows };
            let gap = if gap == 2 { 1024 - columns } else { gap };
            let number = |i: usize| ((i * 7919) % 201) as f32 / 100.0 - 1.0;
            let matrix: Vec<f32> = (0..rows * columns).map(number).collect();
            let x: Vec<f32> = (0..batch * (columns + gap)).map(|i| number(i + 31)).collect();
            let mut expected = vec![1.0; batch * (rows + gap)];
            let vectors = View::strided(&x, batch, columns, columns + gap);
            let dense = View::new(&matrix, rows, columns);
            product(&mut expected, rows + gap, Write::Add, vectors, dense.t());
            let transposed: Vec<f32> =
                (0..rows * columns).map(|at| matrix[at % rows * columns + at / rows]).collect();
            let mut panels = Panels::new(rows, columns, batch);
            let mut scratch = Scratch::default();
            for turned in [false, true] {
                if turned { panels.pack_transposed(&transposed) } else { panels.pack(&matrix) }
                let mut out = vec![1.0; batch * (rows + gap)];
                let to = (&mut out[..], rows + gap);
                panels.add_product((&x, columns + gap), batch, to, &mut scratch);
                for (got, want) in out.iter().zip(&expected) {
                    prop_assert!((got - want).abs() < 1e-4, "{got} {want}");
                }
            }
        }
    }
}
