//! Dense matrix products over the `gemm` crate, on the threads of the current rayon pool.

use gemm::Parallelism;
use rayon::prelude::*;

/// A row-major matrix seen through strides: `rows × columns`, each row `stride` numbers after the last.
#[derive(Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl<'a> View<'a> {
    /// `data` as `[rows, columns]`.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// The first `columns` of each row of `data`, whose rows are `stride` apart.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check(data.len(), rows, columns, stride);
        Self { data, rows, columns, row_stride: stride as isize, column_stride: 1 }
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

/// The product of `a` `[m, k]` and `b` `[k, n]` into `out` `[m, n]`, whose rows are `stride` numbers apart.
///
/// # Panics
/// When the inner dimensions differ or `out` is too short.
pub fn product(out: &mut [f32], stride: usize, write: Write, a: View, b: View) {
    assert_eq!(a.columns, b.rows, "inner dimensions of a product");
    check(out.len(), a.rows, b.columns, stride);
    let threads = rayon::current_num_threads();
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    // SAFETY: `check` and the constructors of `View` made sure that every element addressed by rows,
    // columns and strides lies within its slice; `out` is exclusive and so overlaps neither input.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            stride as isize,
            write == Write::Add,
            a.data.as_ptr(),
            a.column_stride,
            a.row_stride,
            b.data.as_ptr(),
            b.column_stride,
            b.row_stride,
            if write == Write::Add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            parallelism,
        );
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
