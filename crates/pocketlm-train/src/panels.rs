//! Products of a matrix with a few vectors at a time, as the recurrence needs them: the matrix is packed once
//! for many products, and shared out among the threads by rows.

use pocketlm_kernels::float32;
use pocketlm_kernels::layout::PANEL_ROWS;
use rayon::prelude::*;

/// A packed matrix `[rows, columns]`.
pub struct Panels {
    columns: usize,
    shares: Vec<Share>,
    /// The vectors, when they have to be gathered from longer rows.
    gathered: Vec<f32>,
}

/// Some consecutive rows.
struct Share {
    first: usize,
    rows: usize,
    panels: Vec<f32>,
    /// Its part of the product, `[batch, rows]`.
    product: Vec<f32>,
}

impl Panels {
    /// Room for a matrix `[rows, columns]`, a share for each thread of the current pool.
    pub fn new(rows: usize, columns: usize) -> Self {
        let share = rows.div_ceil(rayon::current_num_threads()).next_multiple_of(PANEL_ROWS);
        let shares = (0..rows).step_by(share.max(1)).map(|first| {
            let rows = share.min(rows - first);
            let panels = vec![0.0; float32::len(rows, columns)];
            Share { first, rows, panels, product: Vec::new() }
        });
        Self { columns, shares: shares.collect(), gathered: Vec::new() }
    }

    /// Packs `matrix` `[rows, columns]`.
    pub fn pack(&mut self, matrix: &[f32]) {
        let columns = self.columns;
        self.shares.par_iter_mut().for_each(|share| {
            let rows = matrix.chunks_exact(columns).skip(share.first).take(share.rows);
            let panels = share.panels.chunks_exact_mut(PANEL_ROWS * columns);
            let rows: Vec<_> = rows.collect();
            for (panel, rows) in panels.zip(rows.chunks(PANEL_ROWS)) {
                for (c, column) in panel.chunks_exact_mut(PANEL_ROWS).enumerate() {
                    column.iter_mut().zip(rows).for_each(|(w, row)| *w = row[c]);
                }
            }
        });
    }

    /// Packs the transpose of `matrix` `[columns, rows]`.
    pub fn pack_transposed(&mut self, matrix: &[f32]) {
        let (columns, stride) = (self.columns, matrix.len() / self.columns);
        self.shares.par_iter_mut().for_each(|share| {
            let panels = share.panels.chunks_exact_mut(PANEL_ROWS * columns);
            for (panel, first) in panels.zip((share.first..stride).step_by(PANEL_ROWS)) {
                let width = PANEL_ROWS.min(stride - first);
                for (column, row) in panel.chunks_exact_mut(PANEL_ROWS).zip(matrix.chunks(stride)) {
                    column[..width].copy_from_slice(&row[first..first + width]);
                }
            }
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
        let x = if x_stride == columns {
            &x[..batch * columns]
        } else {
            self.gathered.clear();
            let rows = x.chunks(x_stride).take(batch);
            rows.for_each(|row| self.gathered.extend_from_slice(&row[..columns]));
            &self.gathered
        };
        self.shares.par_iter_mut().for_each(|share| {
            share.product.clear();
            share.product.resize(batch * share.rows, 0.0);
            float32::matmul(&share.panels, x, batch, &mut share.product);
        });
        for share in &self.shares {
            let products = share.product.chunks_exact(share.rows);
            for (out, product) in out.chunks_mut(out_stride).zip(products) {
                let out = &mut out[share.first..][..share.rows];
                out.iter_mut().zip(product).for_each(|(sum, x)| *sum += x);
            }
        }
    }
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
