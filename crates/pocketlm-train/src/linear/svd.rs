//! Truncated singular value decompositions, through the eigenvectors of the smaller Gram matrix in f64.
//!
//! `W = U Σ Vᵀ` gives `WᵀW = V Σ² Vᵀ`: the right singular vectors of a tall matrix are the eigenvectors of a
//! small symmetric one, and `W V` is `U Σ`. Since `V` is orthogonal, `(W V) Vᵀ = W` whatever the accuracy of
//! the small singular values, so a decomposition at full rank loses nothing.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::{Error, Result};

/// Two factors of a matrix `[rows, columns]`, and its singular values.
#[derive(Clone, Debug)]
pub struct Factors {
    /// Number of singular values kept.
    pub rank: usize,
    /// `[rows, rank]`
    pub left: Vec<f32>,
    /// `[rank, columns]`
    pub right: Vec<f32>,
    /// All singular values (of the weighted matrix, where weights were given), descending.
    pub values: Vec<f64>,
}

impl Factors {
    /// Keeps the first `rank` singular values.
    pub fn truncate(&mut self, rank: usize) {
        let width = self.right.len() / self.rank;
        let rows = self.left.chunks_exact(self.rank);
        self.left = rows.flat_map(|row| &row[..rank]).copied().collect();
        self.right.truncate(rank * width);
        self.rank = rank;
    }
}

/// Where the singular values of the factors go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Their square roots to both sides: factors of equal norm, for training and quantisation.
    Both,
    /// All of them to the right: the left factor's columns are orthonormal, as the TT-SVD needs.
    Right,
}

/// The factors of the best approximation of `matrix` `[rows, columns]` in the Frobenius norm, of the rank that
/// `choose` picks when it sees the singular values (Eckart & Young 1936).
///
/// # Errors
/// When the matrix holds numbers that are not finite.
pub fn decompose(
    matrix: &[f32],
    (rows, columns): (usize, usize),
    balance: Balance,
    choose: impl FnOnce(&[f64]) -> usize,
) -> Result<Factors> {
    let w = to_f64(matrix, rows, columns);
    if rows < columns {
        let (values, u) = eigen(&w * w.transpose())?;
        let rank = choose(&values).clamp(1, values.len());
        let left = u.columns(0, rank).into_owned();
        let right = left.transpose() * &w;
        return Ok(factors(left, right, values, balance, Orthonormal::Left));
    }
    let (values, v) = eigen(w.transpose() * &w)?;
    let rank = choose(&values).clamp(1, values.len());
    let right = v.columns(0, rank).into_owned();
    let left = &w * &right;
    Ok(factors(left, right.transpose(), values, balance, Orthonormal::Right))
}

/// The factors that lose least of `W x` on average over inputs `x` with second moment `E[x xᵀ] = moment`
/// `[columns, columns]`, and with each row's error multiplied by its entry of `row_weights` (all 1 if absent):
/// the smallest `‖D (W - A B) S‖` with `S Sᵀ = moment`. For embedding rows, whose input is one-hot, `moment` is
/// absent and the weights are the square roots of the words' frequencies.
///
/// # Errors
/// As [`decompose`].
pub fn decompose_weighted(
    matrix: &[f32],
    (rows, columns): (usize, usize),
    moment: Option<&[f64]>,
    row_weights: Option<&[f32]>,
    choose: impl FnOnce(&[f64]) -> usize,
) -> Result<Factors> {
    let w = to_f64(matrix, rows, columns);
    let weighted = match row_weights {
        None => w.clone(),
        Some(d) => DMatrix::from_fn(rows, columns, |i, j| f64::from(d[i]) * w[(i, j)]),
    };
    let (root, inverse) = match moment {
        Some(moment) => root(moment, columns)?,
        None => (DMatrix::identity(columns, columns), DMatrix::identity(columns, columns)),
    };
    let gram = weighted.transpose() * &weighted;
    let (values, v) = eigen(root.transpose() * gram * &root)?;
    let rank = choose(&values).clamp(1, values.len());
    let v = v.columns(0, rank);
    let right = v.transpose() * &inverse;
    let left = &w * (&root * v);
    Ok(factors(left, right, values, Balance::Both, Orthonormal::Neither))
}

/// The smallest rank that keeps this share of the energy (the sum of squared singular values).
pub fn rank_of_energy(values: &[f64], share: f64) -> usize {
    let total: f64 = values.iter().map(|s| s * s).sum();
    let mut kept = 0.0;
    let enough = |value: &f64| {
        kept += value * value;
        kept >= share * total
    };
    values.iter().position(enough).map_or(values.len(), |at| at + 1)
}

fn to_f64(matrix: &[f32], rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |i, j| f64::from(matrix[i * columns + j]))
}

fn to_f32(matrix: &DMatrix<f64>) -> Vec<f32> {
    let row = |i| (0..matrix.ncols()).map(move |j| matrix[(i, j)] as f32);
    (0..matrix.nrows()).flat_map(row).collect()
}

/// Square roots of the eigenvalues of a positive semi-definite matrix, descending, and its eigenvectors in
/// that order. The sign of each vector makes its largest entry positive, so that equal input gives equal output.
fn eigen(gram: DMatrix<f64>) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let n = gram.nrows();
    if gram.iter().any(|x| !x.is_finite()) {
        return Err(Error::config("the decomposition", "met numbers that are not finite"));
    }
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(gram);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let mut sorted = DMatrix::zeros(n, n);
    for (mut to, &from) in sorted.column_iter_mut().zip(&order) {
        let vector = eigenvectors.column(from);
        let sign = if vector[vector.iamax()] < 0.0 { -1.0 } else { 1.0 };
        to.axpy(sign, &vector, 0.0);
    }
    Ok((order.iter().map(|&at| eigenvalues[at].max(0.0).sqrt()).collect(), sorted))
}

/// `S` with `S Sᵀ = moment`, and its inverse; directions that the inputs never take get a small floor.
fn root(moment: &[f64], n: usize) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
    let (values, q) = eigen(DMatrix::from_fn(n, n, |i, j| moment[i * n + j]))?;
    let floor = 1e-4 * values.iter().map(|v| v * v).sum::<f64>() / n as f64;
    let scale: Vec<f64> = values.iter().map(|v| (v * v + floor).sqrt()).collect();
    if scale.contains(&0.0) {
        return Ok((DMatrix::identity(n, n), DMatrix::identity(n, n)));
    }
    let root = DMatrix::from_fn(n, n, |i, j| q[(i, j)] * scale[j]);
    let inverse = DMatrix::from_fn(n, n, |i, j| q[(j, i)] / scale[i]);
    Ok((root, inverse))
}

/// Which factor has orthonormal vectors, so that the other one carries the singular values.
enum Orthonormal {
    Left,
    Right,
    Neither,
}

fn factors(
    mut left: DMatrix<f64>,
    mut right: DMatrix<f64>,
    values: Vec<f64>,
    balance: Balance,
    orthonormal: Orthonormal,
) -> Factors {
    let rank = left.ncols();
    let least = values[0] * 1e-10;
    for (k, &value) in values.iter().enumerate().take(rank) {
        // A direction without weight stays as it is: there is nothing to share out.
        let s = if value > least { value } else { 1.0 };
        let (l, r) = match (&orthonormal, balance) {
            (Orthonormal::Left, Balance::Both) => (s.sqrt(), 1.0 / s.sqrt()),
            (Orthonormal::Left, Balance::Right) => (1.0, 1.0),
            (Orthonormal::Right, Balance::Both) => (1.0 / s.sqrt(), s.sqrt()),
            (Orthonormal::Right, Balance::Right) => (1.0 / s, s),
            (Orthonormal::Neither, _) => {
                let (a, b) = (left.column(k).norm(), right.row(k).norm());
                if a > 0.0 && b > 0.0 { ((b / a).sqrt(), (a / b).sqrt()) } else { (1.0, 1.0) }
            }
        };
        left.column_mut(k).scale_mut(l);
        right.row_mut(k).scale_mut(r);
    }
    Factors { rank, left: to_f32(&left), right: to_f32(&right), values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        crate::matrix::testing::noise(rows * columns, seed)
    }

    fn product(f: &Factors, rows: usize, columns: usize) -> Vec<f32> {
        let at = |i: usize, j: usize| {
            (0..f.rank).map(|k| f.left[i * f.rank + k] * f.right[k * columns + j]).sum()
        };
        (0..rows * columns).map(|n| at(n / columns, n % columns)).collect()
    }

    fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    }

    proptest! {
        #[test]
        fn full_rank_gives_the_matrix_back(rows in 1usize..30, columns in 1usize..30, seed: u64) {
            let w = matrix(rows, columns, seed);
            for balance in [Balance::Both, Balance::Right] {
                let f = decompose(&w, (rows, columns), balance, |v| v.len()).unwrap();
                for (a, b) in product(&f, rows, columns).iter().zip(&w) {
                    prop_assert!((a - b).abs() < 1e-4, "{a} {b}");
                }
            }
        }

        #[test]
        fn error_of_a_truncation_is_the_tail(rows in 2usize..30, columns in 2usize..30, seed: u64) {
            let w = matrix(rows, columns, seed);
            let rank = rows.min(columns).div_ceil(2);
            let f = decompose(&w, (rows, columns), Balance::Both, |_| rank).unwrap();
            let tail: f64 = f.values[rank..].iter().map(|s| s * s).sum();
            let error = squared_distance(&product(&f, rows, columns), &w);
            prop_assert!((error - tail).abs() < 1e-4 * (1.0 + tail), "{error} {tail}");
        }

        #[test]
        fn weighting_never_loses_more_on_its_inputs(rows in 4usize..20, columns in 4usize..20, seed: u64) {
            let w = matrix(rows, columns, seed);
            let inputs = matrix(64, columns, seed ^ 99);
            let stretch = |c: usize| 1.0 / (1 + c) as f32;
            let x: Vec<f32> = inputs.iter().enumerate().map(|(i, v)| v * stretch(i % columns)).collect();
            let mut moment = vec![0.0; columns * columns];
            for row in x.chunks(columns) {
                for i in 0..columns {
                    for j in 0..columns {
                        moment[i * columns + j] += f64::from(row[i] * row[j]);
                    }
                }
            }
            let rank = 1 + rows.min(columns) / 3;
            let plain = decompose(&w, (rows, columns), Balance::Both, |_| rank).unwrap();
            let ours = decompose_weighted(&w, (rows, columns), Some(&moment), None, |_| rank).unwrap();
            let loss = |f: &Factors| -> f64 {
                let off: Vec<f32> =
                    product(f, rows, columns).iter().zip(&w).map(|(a, b)| a - b).collect();
                x.chunks(columns).flat_map(|x| off.chunks(columns).map(move |d| {
                    d.iter().zip(x).map(|(d, x)| f64::from(d * x)).sum::<f64>().powi(2)
                })).sum()
            };
            prop_assert!(loss(&ours) <= loss(&plain) * 1.01 + 1e-6, "{} {}", loss(&ours), loss(&plain));
        }
    }

    #[test]
    fn energy_counts_squares() {
        assert_eq!(rank_of_energy(&[2.0, 1.0, 1.0], 0.6), 1);
        assert_eq!(rank_of_energy(&[2.0, 1.0, 1.0], 0.8), 2);
        assert_eq!(rank_of_energy(&[2.0, 1.0, 1.0], 1.0), 3);
    }
}
