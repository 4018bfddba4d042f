//! Products of a matrix with a few vectors at a time, as the recurrence needs them: the matrix is packed once
//! for many products, and shared out among the threads by rows.

use pocketlm_kernels::gemm::{self, Factor, STRIP_COLUMNS, STRIP_ROWS};
use rayon::prelude::*;

use crate::product::Lines;

/// Numbers that a thread should at least have to pack, lest waking it take longer.
const WORTHWHILE: usize = 1 << 14;

/// A packed matrix `[rows, columns]`.
pub struct Panels {
    columns: usize,
    shares: Vec<Share>,
    /// The vectors, packed.
    vectors: Lines,
}

/// Some consecutive rows.
struct Share {
    first: usize,
    rows: usize,
    strips: Lines,
    /// Its part of the product, `[batch, rows]`.
    product: Lines,
}

impl Panels {
    /// Room for a matrix `[rows, columns]`, a share for each thread of the current pool.
    pub fn new(rows: usize, columns: usize) -> Self {
        let share = rows.div_ceil(rayon::current_num_threads()).next_multiple_of(STRIP_COLUMNS);
        let shares = (0..rows).step_by(share.max(1)).map(|first| {
            let rows = share.min(rows - first);
            Share { first, rows, strips: Lines::new(), product: Lines::new() }
        });
        Self { columns, shares: shares.collect(), vectors: Lines::new() }
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
        &mut self,
        (x, x_stride): (&[f32], usize),
        batch: usize,
        (out, out_stride): (&mut [f32], usize),
    ) {
        let columns = self.columns;
        let vectors = self.vectors.first(gemm::len(STRIP_ROWS, batch, columns));
        pack_vectors((x, x_stride), batch, columns, vectors);
        self.shares.par_iter_mut().for_each(|share| {
            let strips = share.strips.first(gemm::len(STRIP_COLUMNS, share.rows, columns));
            let product = share.product.first(batch * share.rows);
            let out = (product, share.rows);
            gemm::multiply((vectors, strips), columns, [batch, share.rows], out, false);
        });
        for share in &mut self.shares {
            let products = share.product.first(batch * share.rows).chunks_exact(share.rows);
            for (out, product) in out.chunks_mut(out_stride).zip(products) {
                let out = &mut out[share.first..][..share.rows];
                out.iter_mut().zip(product).for_each(|(sum, x)| *sum += x);
            }
        }
    }
}

fn pack_vectors((x, x_stride): (&[f32], usize), batch: usize, columns: usize, out: &mut [f32]) {
    let factor = Factor { data: x, line_step: x_stride, depth_step: 1 };
    let strip = STRIP_ROWS * columns;
    let strips = out.par_chunks_mut(strip).with_min_len(WORTHWHILE / strip + 1);
    strips.enumerate().for_each(|(i, out)| {
        let first = i * STRIP_ROWS;
        let count = STRIP_ROWS.min(batch - first);
        gemm::pack(factor, STRIP_ROWS, (first, count), (0, columns), out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::{View, Write, product};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_dense_product(
            rows in 1usize..70, columns in 1usize..20, batch in 1usize..6, gap in 0usize..3,
        ) {
            let number = |i: usize| ((i * 7919) % 201) as f32 / 100.0 - 1.0;
            let matrix: Vec<f32> = (0..rows * columns).map(number).collect();
            let x: Vec<f32> = (0..batch * (columns + gap)).map(|i| number(i + 31)).collect();
            let mut expected = vec![1.0; batch * (rows + gap)];
            let vectors = View::strided(&x, batch, columns, columns + gap);
            let dense = View::new(&matrix, rows, columns);
            product(&mut expected, rows + gap, Write::Add, vectors, dense.t());
            let transposed: Vec<f32> =
                (0..rows * columns).map(|at| matrix[at % rows * columns + at / rows]).collect();
            let mut panels = Panels::new(rows, columns);
            for turned in [false, true] {
                if turned { panels.pack_transposed(&transposed) } else { panels.pack(&matrix) }
                let mut out = vec![1.0; batch * (rows + gap)];
                panels.add_product((&x, columns + gap), batch, (&mut out, rows + gap));
                for (got, want) in out.iter().zip(&expected) {
                    prop_assert!((got - want).abs() < 1e-4, "{got} {want}");
                }
            }
        }
    }
}
