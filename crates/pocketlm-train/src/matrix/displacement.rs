//! The nearest matrix of low displacement rank: from the truncated displacement, mended by least squares.
//!
//! With F the unitary Fourier transform and Ω the diagonal matrix of e^(πi t / n), `Z₁(g) = F* diag(√n F g) F` and
//! `Z₋₁(h) = Ω* F* diag(√n F Ω h) F Ω`. So `F M Ω* F* = Σ_k diag(ĝ_k) C diag(ĥ_k)` with the fixed matrix
//! `C = F Ω* F*`: the transformed matrix, divided by C element by element, is of plain rank r. The displacement is
//! that quotient, but an error counts there as much where C is nearly zero as where it is not; so its truncated
//! decomposition is only where the search begins. From there alternating least squares, each row of ĝ and of ĥ
//! an own small problem, lose less of M itself at every step.

use nalgebra::{Complex, DMatrix, DVector};

use crate::error::Result;
use crate::linear::svd::{Balance, decompose};

/// Rounds of alternating least squares; they end early where they gain nothing.
const ROUNDS: usize = 40;
/// What a round has to gain of the error to be followed by another.
const GAIN: f64 = 1e-3;

type Number = Complex<f64>;

/// The vectors of a block, `[rank, n]` each.
pub struct Vectors {
    /// Of the circulant matrices.
    pub g: Vec<f32>,
    /// Of the skew-circulant ones.
    pub h: Vec<f32>,
}

/// The vectors of `rank` terms that come near to the block `matrix` `[n, n]`.
///
/// # Errors
/// When it holds numbers that are not finite.
pub fn project(matrix: &[f32], n: usize, rank: usize) -> Result<Vectors> {
    let factors = decompose(&displacement(matrix, n), (n, n), Balance::Both, |_| rank)?;
    let space = Space::new(matrix, n);
    let g = DMatrix::from_fn(rank, n, |k, a| f64::from(factors.left[a * factors.rank + k]));
    let h = DMatrix::from_fn(rank, n, |k, b| 0.5 * f64::from(factors.right[k * n + n - 1 - b]));
    let mut best = [space.circulant.transformed(&g), space.skew.transformed(&h)];
    let mut error = space.error(&best);
    for _ in 0..ROUNDS {
        let next = space.round(&best);
        let less = space.error(&next);
        // Least squares of nearly dependent terms can go astray.
        if less.is_nan() || less >= error {
            break;
        }
        let gain = (error - less) / error;
        (best, error) = (next, less);
        if gain < GAIN {
            break;
        }
    }
    let [g, h] = best;
    Ok(balanced(space.circulant.back(&g), space.skew.back(&h)))
}

/// `Z₁ M − M Z₋₁`
fn displacement(m: &[f32], n: usize) -> Vec<f32> {
    let at = |a: usize, b: usize| m[a * n + b];
    let element = |a: usize, b: usize| {
        let above = at((a + n - 1) % n, b);
        if b + 1 < n { above - at(a, b + 1) } else { above + at(a, 0) }
    };
    (0..n * n).map(|i| element(i / n, i % n)).collect()
}

/// Both factors of each term get the same norm.
fn balanced(mut g: DMatrix<f64>, mut h: DMatrix<f64>) -> Vectors {
    for k in 0..g.nrows() {
        let (a, b) = (g.row(k).norm(), h.row(k).norm());
        if a > 0.0 && b > 0.0 {
            g.row_mut(k).scale_mut((b / a).sqrt());
            h.row_mut(k).scale_mut((a / b).sqrt());
        }
    }
    let rows = |m: DMatrix<f64>| m.transpose().iter().map(|&x| x as f32).collect();
    Vectors { g: rows(g), h: rows(h) }
}

/// A Fourier transform of vectors that are the rows of a matrix.
struct Basis(DMatrix<Number>);

impl Basis {
    /// Element t of a vector is turned by `e^(i π t · turns / n)` first.
    fn new(n: usize, turns: f64) -> Self {
        let pi = std::f64::consts::PI;
        Self(DMatrix::from_fn(n, n, |t, a| {
            let full = (a * t % n) as f64 / n as f64;
            Number::from_polar(1.0, pi * t as f64 * turns / n as f64 - 2.0 * pi * full)
        }))
    }

    /// √n times the unitary transform.
    fn transformed(&self, vectors: &DMatrix<f64>) -> DMatrix<Number> {
        vectors.map(Number::from) * &self.0
    }

    fn back(&self, spectra: &DMatrix<Number>) -> DMatrix<f64> {
        let n = self.0.nrows() as f64;
        (spectra * self.0.adjoint()).map(|x| x.re / n)
    }
}

/// The transformed problem: `target ≈ C ∘ (ĝᵀ ĥ)`.
struct Space {
    circulant: Basis,
    skew: Basis,
    c: DMatrix<Number>,
    target: DMatrix<Number>,
}

impl Space {
    fn new(matrix: &[f32], n: usize) -> Self {
        let (circulant, skew) = (Basis::new(n, 0.0), Basis::new(n, 1.0));
        let scale = Number::from(1.0 / n as f64);
        let m = DMatrix::from_fn(n, n, |a, b| Number::from(f64::from(matrix[a * n + b])));
        // F M Ω* F*; the basis matrices are √n times the transposes of F and F Ω.
        let right = skew.0.map(|x| x.conj());
        let target = circulant.0.transpose() * m * &right * scale;
        let c = circulant.0.transpose() * &right * scale;
        Self { circulant, skew, c, target }
    }

    fn error(&self, [g, h]: &[DMatrix<Number>; 2]) -> f64 {
        (&self.target - self.c.component_mul(&(g.transpose() * h))).norm_squared()
    }

    /// The best ĝ for this ĥ, and then the best ĥ for that ĝ.
    fn round(&self, [_, h]: &[DMatrix<Number>; 2]) -> [DMatrix<Number>; 2] {
        let g = solve(&self.c, &self.target, h);
        let h = solve(&self.c.transpose(), &self.target.transpose(), &g);
        [g, h]
    }
}

/// For each row a of `target` the x that loses least of it: `target[a, b] ≈ c[a, b] Σ_k x[k, a] y[k, b]`.
fn solve(c: &DMatrix<Number>, target: &DMatrix<Number>, y: &DMatrix<Number>) -> DMatrix<Number> {
    let (rank, n) = y.shape();
    let mut x = DMatrix::zeros(rank, n);
    for a in 0..n {
        let design = DMatrix::from_fn(n, rank, |b, k| c[(a, b)] * y[(k, b)]);
        let row = DVector::from_fn(n, |b, _| target[(a, b)]);
        let adjoint = design.adjoint();
        let (mut gram, moment) = (&adjoint * design, adjoint * row);
        let ridge = 1e-12 * gram.trace().re + f64::MIN_POSITIVE;
        (0..rank).for_each(|k| gram[(k, k)] += ridge);
        if let Some(cholesky) = gram.cholesky() {
            x.set_column(a, &cholesky.solve(&moment));
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::super::testing::numbers;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The transformed problem is the problem: its error is that of the matrices, and no round raises it.
        #[test]
        fn rounds_never_lose_more(n in 1usize..12, rank in 1usize..4, seed: u32) {
            let rank = rank.min(n);
            let matrix = numbers(n * n, seed);
            let space = Space::new(&matrix, n);
            let rows = |salt: u32| DMatrix::from_row_slice(rank, n, &numbers(rank * n, seed ^ salt)).map(f64::from);
            let (g, h) = (rows(1), rows(2));
            let mut spectra = [space.circulant.transformed(&g), space.skew.transformed(&h)];
            let z = |f: f64, v: &DMatrix<f64>, k: usize, a: usize, c: usize| {
                if a >= c { v[(k, a - c)] } else { f * v[(k, a + n - c)] }
            };
            let direct: f64 = (0..n * n).map(|i| {
                let (a, b) = (i / n, i % n);
                let sum: f64 = (0..rank).flat_map(|k| (0..n).map(move |c| (k, c)))
                    .map(|(k, c)| z(1.0, &g, k, a, c) * z(-1.0, &h, k, c, b)).sum();
                (f64::from(matrix[i]) - sum).powi(2)
            }).sum();
            let mut error = space.error(&spectra);
            prop_assert!((error - direct).abs() < 1e-9 * (1.0 + direct), "{error} {direct}");
            for _ in 0..4 {
                spectra = space.round(&spectra);
                let next = space.error(&spectra);
                prop_assert!(next <= error * (1.0 + 1e-9) + 1e-9, "{next} {error}");
                error = next;
            }
        }
    }
}
