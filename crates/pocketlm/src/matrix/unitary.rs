//! Unitary matrices (Arjovsky, Shah & Bengio 2016, equation 6): the real form of `W = D₃ R₂ F⁻¹ D₂ P R₁ F D₁` of n
//! complex rows, with `D` the diagonal matrix of `e^(iθ)`, `R = I − 2 v vᴴ / |v|²` a reflection, `F` the unitary
//! Fourier transform and `P` the permutation `(P x)[j] = x[j (j + 1) / 2 mod n]`.
//!
//! A vector is n real parts, then n imaginary ones; n is a power of two. Two leaves, `[3, n]` and `[4, n]`: the phases
//! θ of the three diagonals in radians, and the real and imaginary parts of the two v. A product takes n log n steps.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::fft::{Fft, cos_sin};
use super::order::Order;
use super::scratch::{Scratch, grow};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, factors};
use crate::leaves::Leaves;
use crate::normalise::inverse_root;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Largest size.
const MAX_SIZE: usize = 1 << 15;

/// A unitary matrix `[2n, 2n]`.
#[derive(Debug)]
pub(crate) struct Unitary {
    phases: Box<Stored>,
    reflections: Box<Stored>,
    order: Order,
    fft: Fft,
    /// cos and sin of the phases; the middle ones by 1/n, for the two transforms that are not scaled.
    diagonals: [Vec<[f32; 2]>; 3],
    /// √2 v / |v|.
    vectors: [Vec<[f32; 2]>; 2],
}

/// Whether a square matrix of this size can be unitary.
pub(crate) fn fits(size: usize) -> bool {
    size.is_power_of_two() && (2..=MAX_SIZE).contains(&size)
}

impl Unitary {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let fault = |problem: String| Error::matrix(name, problem);
        if rows != columns || !fits(rows) {
            let problem = format!("is {rows} x {columns}, which no unitary matrix is");
            return Err(fault(problem));
        }
        let [phases, reflections] = factors(description)?
            .try_into()
            .map_err(|list: Vec<_>| fault(format!("lists {} factors instead of 2", list.len())))?;
        let n = rows / 2;
        for (leaf, count) in [(&phases, 3), (&reflections, 4)] {
            if [leaf.rows, leaf.columns] != [count, n] {
                let found = format!("{} x {}", leaf.rows, leaf.columns);
                return Err(fault(format!("has a factor of {found} instead of {count} x {n}")));
            }
        }
        leaves.take(name, 32 * rows)?;
        let open = |leaf| Stored::open(leaf, leaves).map(Box::new);
        let (phases, reflections) = (open(&phases)?, open(&reflections)?);
        let order = Order::open(description, leaves)?;
        let scales = [1.0, 1.0 / n as f32, 1.0];
        let diagonals = [0, 1, 2].map(|k| diagonal(&line(&phases, k), scales[k]));
        let vectors =
            [0, 2].map(|k| reflection(&line(&reflections, k), &line(&reflections, k + 1)));
        Ok(Self { phases, reflections, order, fft: Fft::new(rows), diagonals, vectors })
    }

    pub(crate) fn rows(&self) -> usize {
        self.fft.length()
    }

    pub(crate) fn columns(&self) -> usize {
        self.fft.length()
    }

    pub(crate) fn parameters(&self) -> usize {
        self.phases.parameters() + self.reflections.parameters()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.phases.bytes() + self.reflections.bytes() + self.order.bytes()
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        vec![&self.phases, &self.reflections]
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        grow(&mut scratch.inner, batch * self.rows());
        grow(&mut scratch.spare, batch * self.rows());
        grow(&mut scratch.line, 2 * batch);
    }

    /// Computes the whole product, which [`apply_rows`](Self::apply_rows) then hands out.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let size = self.rows();
        scratch.inner.resize(batch * size, 0.0);
        scratch.spare.resize(batch * size, 0.0);
        scratch.line.resize(2 * batch, 0.0);
        let Scratch { inner, spare, line, .. } = scratch;
        let [d1, d2, d3] = &self.diagonals;
        let [v1, v2] = &self.vectors;
        interleave(x, batch, spare);
        multiply(spare, d1, 1.0);
        self.fft.complex(batch, spare, -1.0);
        reflect(spare, v1, line);
        for (j, row) in inner.chunks_exact_mut(2 * batch).enumerate() {
            row.copy_from_slice(&spare[2 * batch * self.place(j)..][..2 * batch]);
        }
        multiply(inner, d2, 1.0);
        self.fft.complex(batch, inner, 1.0);
        reflect(inner, v2, line);
        multiply(inner, d3, 1.0);
        spare.copy_from_slice(inner);
        separate(spare, batch, inner);
    }

    pub(crate) fn apply_rows(&self, scratch: &Scratch, rows: Range<usize>, out: &mut [f32]) {
        self.order.hand_out(&scratch.inner, self.rows(), rows, out);
    }

    /// A row is what the adjoint makes of its unit vector.
    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let (row, n) = (self.order.place(row), self.rows() / 2);
        scratch.inner.resize(2 * n, 0.0);
        scratch.spare.resize(2 * n, 0.0);
        scratch.line.resize(2, 0.0);
        let Scratch { inner, spare, line, .. } = scratch;
        let [d1, d2, d3] = &self.diagonals;
        let [v1, v2] = &self.vectors;
        inner.fill(0.0);
        inner[2 * (row % n) + row / n] = 1.0;
        multiply(inner, d3, -1.0);
        reflect(inner, v2, line);
        self.fft.complex(1, inner, -1.0);
        multiply(inner, d2, -1.0);
        for (j, pair) in inner.chunks_exact(2).enumerate() {
            spare[2 * self.place(j)..][..2].copy_from_slice(pair);
        }
        reflect(spare, v1, line);
        self.fft.complex(1, spare, 1.0);
        multiply(spare, d1, -1.0);
        separate(spare, 1, out);
    }

    /// Where the permutation takes element `j` from.
    fn place(&self, j: usize) -> usize {
        j * (j + 1) / 2 % (self.rows() / 2)
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let phases = self.phases.fault().map(|fault| format!("phases: {fault}"));
        phases.or_else(|| self.reflections.fault().map(|fault| format!("reflections: {fault}")))
    }
}

/// Row `k` of a leaf.
fn line(leaf: &Stored, k: usize) -> Vec<f32> {
    let mut out = vec![0.0; leaf.columns()];
    leaf.row(k, &mut Scratch::default(), &mut out);
    out
}

fn diagonal(phases: &[f32], scale: f32) -> Vec<[f32; 2]> {
    let turns = |&phase: &f32| f64::from(phase) / (2.0 * core::f64::consts::PI);
    phases.iter().map(turns).map(|turns| cos_sin(turns).map(|x| scale * x)).collect()
}

/// √2 v / |v|, or zeros.
fn reflection(re: &[f32], im: &[f32]) -> Vec<[f32; 2]> {
    let square = re.iter().chain(im).map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    let scale = if square > 0.0 { inverse_root(0.5 * square) } else { 0.0 };
    let scaled = |&x: &f32| (f64::from(x) * scale) as f32;
    re.iter().zip(im).map(|(re, im)| [scaled(re), scaled(im)]).collect()
}

/// Vectors `[batch, 2n]` as the transform has them.
fn interleave(x: &[f32], batch: usize, out: &mut [f32]) {
    let n = x.len() / batch / 2;
    for (l, x) in x.chunks_exact(2 * n).enumerate() {
        let (re, im) = x.split_at(n);
        for (row, (re, im)) in out.chunks_exact_mut(2 * batch).zip(re.iter().zip(im)) {
            (row[l], row[batch + l]) = (*re, *im);
        }
    }
}

/// The way back.
fn separate(x: &[f32], batch: usize, out: &mut [f32]) {
    let n = x.len() / batch / 2;
    for (l, out) in out.chunks_exact_mut(2 * n).enumerate() {
        let (re, im) = out.split_at_mut(n);
        for (row, (re, im)) in x.chunks_exact(2 * batch).zip(re.iter_mut().zip(im)) {
            (*re, *im) = (row[l], row[batch + l]);
        }
    }
}

/// Multiplies by a diagonal matrix, or (`sign` −1) by its conjugate.
fn multiply(x: &mut [f32], diagonal: &[[f32; 2]], sign: f32) {
    let lanes = x.len() / diagonal.len() / 2;
    for (row, &[c, s]) in x.chunks_exact_mut(2 * lanes).zip(diagonal) {
        let (re, im) = row.split_at_mut(lanes);
        for (re, im) in re.iter_mut().zip(im) {
            (*re, *im) = (c * *re - sign * s * *im, c * *im + sign * s * *re);
        }
    }
}

/// Takes v (vᴴ x) off x; `sums` has a complex number for each lane.
fn reflect(x: &mut [f32], v: &[[f32; 2]], sums: &mut [f32]) {
    let lanes = x.len() / v.len() / 2;
    let (sum_re, sum_im) = sums.split_at_mut(lanes);
    sum_re.fill(0.0);
    sum_im.fill(0.0);
    for (row, &[a, b]) in x.chunks_exact(2 * lanes).zip(v) {
        let (re, im) = row.split_at(lanes);
        for l in 0..lanes {
            sum_re[l] += a * re[l] + b * im[l];
            sum_im[l] += a * im[l] - b * re[l];
        }
    }
    for (row, &[a, b]) in x.chunks_exact_mut(2 * lanes).zip(v) {
        let (re, im) = row.split_at_mut(lanes);
        for l in 0..lanes {
            re[l] -= a * sum_re[l] - b * sum_im[l];
            im[l] -= a * sum_im[l] + b * sum_re[l];
        }
    }
}
