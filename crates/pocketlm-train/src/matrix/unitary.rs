//! Unitary matrices (Arjovsky, Shah & Bengio 2016, equation 6): `W = D₃ R₂ F⁻¹ D₂ P R₁ F D₁` of n complex rows,
//! with `D` the diagonal matrix of `e^(iθ)`, `R = I − 2 v vᴴ / |v|²` a reflection, `F` the unitary Fourier transform
//! and `P` a fixed permutation, here `(P x)[j] = x[j (j + 1) / 2 mod n]`. Whatever the phases `θ` and the vectors `v`
//! are, W is unitary; a vector of zeros reflects nothing.
//!
//! The matrix is the real form of W, `[re W, −im W; im W, re W]`: a vector is n real parts, then n imaginary ones. n is
//! a power of two, for which the triangular numbers run through all residues. Computed in double precision, column
//! by column side by side.

use std::f64::consts::PI;

use pocketlm::Structure;
use serde::{Deserialize, Serialize};

use super::structured::{LeafShape, Shape, Structured};
use crate::error::{Error, Result};

/// Phases and reflections of a unitary matrix; its size says all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unitary {}

/// Real and imaginary parts.
type Pair<'a> = [&'a [f32]; 2];

/// A complex matrix `[n, n]`, row-major.
#[derive(Clone)]
struct Square {
    n: usize,
    re: Vec<f64>,
    im: Vec<f64>,
}

/// The product after some of its factors, from the right.
struct Stages {
    /// After `F D₁`.
    transformed: Square,
    /// After `D₂ P R₁`.
    permuted: Square,
    /// After `F⁻¹`.
    inverse: Square,
    whole: Square,
}

impl Square {
    fn zeros(n: usize) -> Self {
        Self { n, re: vec![0.0; n * n], im: vec![0.0; n * n] }
    }

    fn rows(&self) -> impl Iterator<Item = (&[f64], &[f64])> {
        self.re.chunks_exact(self.n).zip(self.im.chunks_exact(self.n))
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [f64], &mut [f64])> {
        self.re.chunks_exact_mut(self.n).zip(self.im.chunks_exact_mut(self.n))
    }

    /// `F D` with these phases.
    fn transform_of(phases: &[f32]) -> Self {
        let n = phases.len();
        let (mut square, size) = (Self::zeros(n), 1.0 / (n as f64).sqrt());
        for (j, (re, im)) in square.rows_mut().enumerate() {
            for (k, &phase) in phases.iter().enumerate() {
                let angle = f64::from(phase) - 2.0 * PI * (j * k % n) as f64 / n as f64;
                (re[k], im[k]) = (size * angle.cos(), size * angle.sin());
            }
        }
        square
    }

    /// Turns each row by its phase, forwards or (`sign` −1) back.
    fn turn(&mut self, phases: &[f32], sign: f64) {
        for ((re, im), &phase) in self.rows_mut().zip(phases) {
            let (s, c) = (sign * f64::from(phase)).sin_cos();
            for (re, im) in re.iter_mut().zip(im) {
                (*re, *im) = (c * *re - s * *im, c * *im + s * *re);
            }
        }
    }

    /// Reflects all columns.
    fn reflect(&mut self, v: Pair) {
        let s = square_of(v);
        if s == 0.0 {
            return;
        }
        let (share, u) = (2.0 / s, self.along(v, -1.0));
        for (j, (re, im)) in self.rows_mut().enumerate() {
            let [a, b] = v.map(|part| share * f64::from(part[j]));
            for (k, (re, im)) in re.iter_mut().zip(im).enumerate() {
                *re -= a * u.re[k] - b * u.im[k];
                *im -= a * u.im[k] + b * u.re[k];
            }
        }
    }

    /// `vᵀ` or (`sign` −1) `vᴴ` times the matrix.
    fn along(&self, v: Pair, sign: f64) -> Line {
        let mut line = Line { re: vec![0.0; self.n], im: vec![0.0; self.n] };
        for (j, (re, im)) in self.rows().enumerate() {
            let (a, b) = (f64::from(v[0][j]), sign * f64::from(v[1][j]));
            for k in 0..self.n {
                line.re[k] += a * re[k] - b * im[k];
                line.im[k] += a * im[k] + b * re[k];
            }
        }
        line
    }

    /// `P` times the matrix, or (`back`) `Pᵀ`.
    fn permute(&mut self, back: bool) {
        let (n, before) = (self.n, self.clone());
        for j in 0..n {
            let (from, to) = if back { (j, place(j, n)) } else { (place(j, n), j) };
            let (from, to) = (from * n..(from + 1) * n, to * n..(to + 1) * n);
            self.re[to.clone()].copy_from_slice(&before.re[from.clone()]);
            self.im[to].copy_from_slice(&before.im[from]);
        }
    }

    /// The Fourier transform of all columns (`sign` −1), or its inverse (`sign` 1): Cooley & Tukey 1965.
    fn transform(&mut self, sign: f64) {
        let n = self.n;
        for part in [&mut self.re, &mut self.im] {
            reverse_bits(part, n);
            let size = 1.0 / (n as f64).sqrt();
            part.iter_mut().for_each(|x| *x *= size);
        }
        let mut size = 2;
        while size <= n {
            let blocks = self.re.chunks_exact_mut(size * n).zip(self.im.chunks_exact_mut(size * n));
            for (re, im) in blocks {
                butterflies(re, im, n, sign);
            }
            size *= 2;
        }
    }

    /// The gradients of the phases that turned the rows, given the gradient `d` of the turned matrix.
    fn d_phases(&self, d: &Self, out: &mut [f32]) {
        for (((re, im), (d_re, d_im)), out) in self.rows().zip(d.rows()).zip(out) {
            let terms = re.iter().zip(im).zip(d_re.iter().zip(d_im));
            *out = terms.map(|((re, im), (d_re, d_im))| d_im * re - d_re * im).sum::<f64>() as f32;
        }
    }

    /// The gradient of the vector that reflected this matrix, given the gradient `d` of what came out.
    ///
    /// With s = |v|², u = vᴴ X and r = vᵀ conj(D), the reflection adds `−2/s · re Σ conj(D) v u` to `re Σ conj(D) X`.
    fn d_reflection(&self, v: Pair, d: &Self, [out_re, out_im]: [&mut [f32]; 2]) {
        let s = square_of(v);
        if s == 0.0 {
            out_re.fill(0.0);
            out_im.fill(0.0);
            return;
        }
        let u = self.along(v, -1.0);
        // vᴴ D, the conjugate of r.
        let r = d.along(v, -1.0);
        let rows: Vec<[f64; 2]> =
            self.rows().zip(d.rows()).map(|(x, d)| row_gradient(x, d, &u, &r)).collect();
        // Each term has v twice, so that their sum with v is twice what is to be divided by s.
        let of = |(j, g): (usize, &[f64; 2])| f64::from(v[0][j]) * g[0] + f64::from(v[1][j]) * g[1];
        let radial = rows.iter().enumerate().map(of).sum::<f64>() / s;
        for (j, g) in rows.iter().enumerate() {
            out_re[j] = (2.0 / s * (radial * f64::from(v[0][j]) - g[0])) as f32;
            out_im[j] = (2.0 / s * (radial * f64::from(v[1][j]) - g[1])) as f32;
        }
    }

    /// Writes the real form.
    fn write(&self, out: &mut [f32]) {
        let n = self.n;
        let (upper, lower) = out.split_at_mut(2 * n * n);
        let rows = upper.chunks_exact_mut(2 * n).zip(lower.chunks_exact_mut(2 * n));
        for ((re, im), (upper, lower)) in self.rows().zip(rows) {
            for k in 0..n {
                (upper[k], upper[n + k]) = (re[k] as f32, -im[k] as f32);
                (lower[k], lower[n + k]) = (im[k] as f32, re[k] as f32);
            }
        }
    }

    /// The gradient of the complex matrix from that of its real form.
    fn gradient(n: usize, d: &[f32]) -> Self {
        let mut square = Self::zeros(n);
        let (upper, lower) = d.split_at(2 * n * n);
        let rows = upper.chunks_exact(2 * n).zip(lower.chunks_exact(2 * n));
        for ((re, im), (upper, lower)) in square.rows_mut().zip(rows) {
            for k in 0..n {
                re[k] = f64::from(upper[k]) + f64::from(lower[n + k]);
                im[k] = f64::from(lower[k]) - f64::from(upper[n + k]);
            }
        }
        square
    }
}

/// A complex row.
struct Line {
    re: Vec<f64>,
    im: Vec<f64>,
}

/// `Σ_k D[k] conj(u[k]) + X[k] r[k]`, with `r` given by its conjugate.
fn row_gradient(x: (&[f64], &[f64]), d: (&[f64], &[f64]), u: &Line, r: &Line) -> [f64; 2] {
    let mut sum = [0.0; 2];
    for k in 0..x.0.len() {
        sum[0] += d.0[k] * u.re[k] + d.1[k] * u.im[k] + x.0[k] * r.re[k] + x.1[k] * r.im[k];
        sum[1] += d.1[k] * u.re[k] - d.0[k] * u.im[k] + x.1[k] * r.re[k] - x.0[k] * r.im[k];
    }
    sum
}

fn square_of(v: Pair) -> f64 {
    v.into_iter().flatten().map(|&x| f64::from(x).powi(2)).sum()
}

/// Where the permutation takes row `j` from.
fn place(j: usize, n: usize) -> usize {
    j * (j + 1) / 2 % n
}

/// Rows of `n` numbers to the places of their numbers' bits in reverse.
fn reverse_bits(rows: &mut [f64], n: usize) {
    for j in 1..n {
        let other = j.reverse_bits() >> (usize::BITS - n.trailing_zeros());
        if j < other {
            let (low, high) = rows.split_at_mut(other * n);
            low[j * n..][..n].swap_with_slice(&mut high[..n]);
        }
    }
}

/// One step of the transform on a block of rows of `n` numbers.
fn butterflies(re: &mut [f64], im: &mut [f64], n: usize, sign: f64) {
    let half = re.len() / 2;
    let ((re, re_high), (im, im_high)) = (re.split_at_mut(half), im.split_at_mut(half));
    for (j, at) in (0..half).step_by(n).enumerate() {
        let (s, c) = (sign * PI * j as f64 / (half / n) as f64).sin_cos();
        for k in at..at + n {
            let (a, b) = (c * re_high[k] - s * im_high[k], c * im_high[k] + s * re_high[k]);
            (re_high[k], im_high[k]) = (re[k] - a, im[k] - b);
            (re[k], im[k]) = (re[k] + a, im[k] + b);
        }
    }
}

/// The phases of D₁, D₂, D₃ and the vectors of R₁, R₂.
fn parts<'a>(leaves: &[&'a [f32]], n: usize) -> ([&'a [f32]; 3], [Pair<'a>; 2]) {
    let row = |leaf: usize, row: usize| &leaves[leaf][row * n..][..n];
    ([row(0, 0), row(0, 1), row(0, 2)], [[row(1, 0), row(1, 1)], [row(1, 2), row(1, 3)]])
}

impl Stages {
    fn new(leaves: &[&[f32]], n: usize) -> Self {
        let (phases, reflections) = parts(leaves, n);
        let transformed = Square::transform_of(phases[0]);
        let mut permuted = transformed.clone();
        permuted.reflect(reflections[0]);
        permuted.permute(false);
        permuted.turn(phases[1], 1.0);
        let mut inverse = permuted.clone();
        inverse.transform(1.0);
        let mut whole = inverse.clone();
        whole.reflect(reflections[1]);
        whole.turn(phases[2], 1.0);
        Self { transformed, permuted, inverse, whole }
    }
}

impl Structured for Unitary {
    fn check(&self, shape: Shape) -> Result<()> {
        let Shape { rows, columns } = shape;
        if rows == columns && pocketlm::pack::unitary_fits(rows) {
            return Ok(());
        }
        let what = format!(
            "is {rows} x {columns}: a unitary matrix is square, and its size a power of two from 2 to 32768"
        );
        Err(Error::config("the shape", what))
    }

    fn leaves(&self, shape: Shape) -> Vec<LeafShape> {
        let columns = shape.rows / 2;
        vec![
            LeafShape { suffix: Structure::Unitary.suffix(0), rows: 3, columns },
            LeafShape { suffix: Structure::Unitary.suffix(1), rows: 4, columns },
        ]
    }

    fn decompose(&self, _: &[f32], _: Shape) -> Result<Vec<Vec<f32>>> {
        let what = "cannot be found for a trained matrix, which is not unitary: train from scratch";
        Err(Error::config("unitary", what))
    }

    fn terms(&self) -> usize {
        1
    }

    /// Phases within a half turn, reflections within one (section 4.3); every number of the matrix then has about
    /// the variance `1 / (2 n)`, whatever `range` is.
    fn start(&self, leaf: usize, _: usize, _: f64) -> f64 {
        [PI, 1.0][leaf]
    }

    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]) {
        Stages::new(leaves, shape.rows / 2).whole.write(out);
    }

    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    ) {
        let n = shape.rows / 2;
        let (phases, [first, second]) = parts(leaves, n);
        let stages = Stages::new(leaves, n);
        let [d_phases, d_reflections] = d_leaves else { unreachable!("as many as it has") };
        let (d_first, d_second) = d_reflections.split_at_mut(2 * n);
        let mut d = Square::gradient(n, d_dense);
        stages.whole.d_phases(&d, &mut d_phases[2 * n..]);
        d.turn(phases[2], -1.0);
        stages.inverse.d_reflection(second, &d, halves(d_second));
        d.reflect(second);
        d.transform(-1.0);
        stages.permuted.d_phases(&d, &mut d_phases[n..2 * n]);
        d.turn(phases[1], -1.0);
        d.permute(true);
        stages.transformed.d_reflection(first, &d, halves(d_first));
        d.reflect(first);
        stages.transformed.d_column_phases(&d, &mut d_phases[..n]);
    }
}

impl Square {
    /// The gradients of the phases that turned the columns.
    fn d_column_phases(&self, d: &Self, out: &mut [f32]) {
        let mut sums = vec![0.0; self.n];
        for ((re, im), (d_re, d_im)) in self.rows().zip(d.rows()) {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum += d_im[k] * re[k] - d_re[k] * im[k];
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as f32);
    }
}

fn halves(both: &mut [f32]) -> [&mut [f32]; 2] {
    let (re, im) = both.split_at_mut(both.len() / 2);
    [re, im]
}

#[cfg(test)]
mod tests {
    use super::super::testing::numbers;
    use super::*;
    use proptest::prelude::*;

    fn leaves(n: usize, seed: u32) -> Vec<Vec<f32>> {
        let mut phases = numbers(3 * n, seed);
        phases.iter_mut().for_each(|x| *x *= PI as f32);
        vec![phases, numbers(4 * n, !seed)]
    }

    fn whole(leaves: &[Vec<f32>], n: usize) -> Square {
        Stages::new(&leaves.iter().map(Vec::as_slice).collect::<Vec<_>>(), n).whole
    }

    /// The largest number of `Wᵀ W − I`, for the real form `W`.
    fn distance_from_unitary(w: &[f32], size: usize) -> f64 {
        let mut worst = 0.0f64;
        for i in 0..size {
            for j in 0..size {
                let terms =
                    (0..size).map(|k| f64::from(w[k * size + i]) * f64::from(w[k * size + j]));
                let wanted = f64::from(u8::from(i == j));
                worst = worst.max((terms.sum::<f64>() - wanted).abs());
            }
        }
        worst
    }

    #[test]
    fn the_permutation_is_one() {
        for n in [1, 2, 4, 64, 1024] {
            let mut places: Vec<_> = (0..n).map(|j| place(j, n)).collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..n), "{n}");
        }
    }

    proptest! {
        #[test]
        fn every_choice_of_leaves_is_unitary(power in 0u32..6, seed: u32, scale in 0.01f32..100.0) {
            let n = 1 << power;
            let mut leaves = leaves(n, seed);
            leaves.iter_mut().flatten().for_each(|x| *x *= scale);
            let leaves: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
            let mut dense = vec![0.0; 4 * n * n];
            Unitary {}.materialise(&leaves, Shape { rows: 2 * n, columns: 2 * n }, &mut dense);
            prop_assert!(distance_from_unitary(&dense, 2 * n) < 1e-6);
        }

        /// Each factor's matrix by its definition, multiplied out.
        #[test]
        fn the_product_is_that_of_its_factors(power in 0u32..5, seed: u32) {
            let n = 1 << power;
            let all = leaves(n, seed);
            let found = whole(&all, n);
            let slices: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
            let ([d1, d2, d3], [r1, r2]) = parts(&slices, n);
            let factors = [diagonal(d3), reflection(r2), fourier(n, 1.0), diagonal(d2), permutation(n), reflection(r1), fourier(n, -1.0), diagonal(d1)];
            let wanted = factors.into_iter().reduce(|a, b| times(&a, &b, n)).unwrap();
            for (at, [re, im]) in wanted.into_iter().enumerate() {
                prop_assert!((found.re[at] - re).abs() < 1e-12 && (found.im[at] - im).abs() < 1e-12, "{at}");
            }
        }
    }

    type Plain = Vec<[f64; 2]>;

    fn each(n: usize, of: impl Fn(usize, usize) -> [f64; 2]) -> Plain {
        (0..n * n).map(|at| of(at / n, at % n)).collect()
    }

    fn diagonal(phases: &[f32]) -> Plain {
        let turn = |x: f32| [f64::from(x).cos(), f64::from(x).sin()];
        each(phases.len(), |j, k| if j == k { turn(phases[j]) } else { [0.0; 2] })
    }

    fn reflection(v: Pair) -> Plain {
        let s = square_of(v);
        each(v[0].len(), |j, k| {
            let [a, b, c, d] = [v[0][j], v[1][j], v[0][k], v[1][k]].map(f64::from);
            let one = f64::from(u8::from(j == k));
            [one - 2.0 / s * (a * c + b * d), -2.0 / s * (b * c - a * d)]
        })
    }

    fn fourier(n: usize, sign: f64) -> Plain {
        let root = (n as f64).sqrt();
        each(n, |j, k| {
            let angle = sign * 2.0 * PI * (j * k) as f64 / n as f64;
            [angle.cos() / root, angle.sin() / root]
        })
    }

    fn permutation(n: usize) -> Plain {
        each(n, |j, k| [f64::from(u8::from(k == place(j, n))), 0.0])
    }

    fn times(a: &Plain, b: &Plain, n: usize) -> Plain {
        each(n, |i, j| {
            (0..n).fold([0.0; 2], |sum, k| {
                let ([ar, ai], [br, bi]) = (a[i * n + k], b[k * n + j]);
                [sum[0] + ar * br - ai * bi, sum[1] + ar * bi + ai * br]
            })
        })
    }

    #[test]
    fn vectors_of_zeros_reflect_nothing_and_get_no_gradient() {
        let (n, shape) = (4, Shape { rows: 8, columns: 8 });
        let (phases, reflections) = (vec![0.0; 3 * n], vec![0.0; 4 * n]);
        let mut dense = vec![0.0; 64];
        Unitary {}.materialise(&[&phases, &reflections], shape, &mut dense);
        assert!(distance_from_unitary(&dense, 8) < 1e-6);
        let (mut d_phases, mut d_reflections) = (vec![1.0; 3 * n], vec![1.0; 4 * n]);
        let mut d_leaves = [&mut d_phases[..], &mut d_reflections[..]];
        Unitary {}.pull_back(&[&phases, &reflections], shape, &numbers(64, 3), &mut d_leaves);
        assert!(d_reflections.iter().all(|&x| x == 0.0) && d_phases.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for (rows, columns) in [(8, 4), (6, 6), (1, 1), (9, 9), (65536, 65536)] {
            let message = Unitary {}.check(Shape { rows, columns }).unwrap_err().to_string();
            assert!(message.contains("power of two"), "{message}");
        }
        assert!(Unitary {}.decompose(&[0.0; 4], Shape { rows: 2, columns: 2 }).is_err());
    }
}
