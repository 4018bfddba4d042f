//! Toeplitz-like matrices of low displacement rank (Sindhwani, Sainath & Kumar 2015, theorem 3.1; in recurrent
//! cells: Lu, Sindhwani & Sainath 2016): square blocks of n rows, each a sum of r products of a circulant and a
//! skew-circulant matrix, `Σ_k Z₁(g_k) · Z₋₁(h_k)`, where `Z_f(v)[a, c]` is `v[a − c]` if a ≥ c, else
//! `f · v[a − c + n]`.
//!
//! Two leaves of a row for each block and term, `[blocks · r, n]`: the vectors g and h. Products go through the
//! Fourier transform, padded to twice the block, so that a circulant product is a plain convolution whose two
//! halves are added, and a skew-circulant one a convolution whose halves are subtracted.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::fft::{Fft, times};
use super::order::Order;
use super::scratch::{Scratch, grow};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, factors};
use crate::json::Value;
use crate::leaves::Leaves;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Largest block, and most numbers that a product works on.
const MAX_BLOCK: usize = 1 << 14;
const MAX_WORK: usize = 1 << 22;

/// A matrix of Toeplitz-like blocks.
#[derive(Debug)]
pub(crate) struct ToeplitzLike {
    rows: usize,
    columns: usize,
    sizes: Sizes,
    g: Box<Stored>,
    h: Box<Stored>,
    order: Order,
    fft: Fft,
    /// Spectra of all g and of all h. Lane `(j · rank + k) · high + i` is term k of block i, j.
    spectra: [Vec<f32>; 2],
}

/// How many blocks there are, of what size and rank.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    block: usize,
    rank: usize,
    /// Rows and columns of blocks.
    high: usize,
    wide: usize,
    /// Length of the transform: a power of two that holds the convolution of two vectors of a block.
    length: usize,
    /// Numbers that a product works on.
    work: usize,
}

impl Sizes {
    /// Those of a matrix of this shape, if a product with it is no larger than it may be.
    pub(crate) fn new(shape: [usize; 2], block: usize, rank: usize) -> Option<Self> {
        if !(1..=MAX_BLOCK).contains(&block) || !(1..=block).contains(&rank) {
            return None;
        }
        let [high, wide] = shape.map(|side| side.div_ceil(block));
        let length = (2 * block).next_power_of_two();
        let lanes = high.checked_mul(wide)?.checked_mul(rank)?;
        let work = lanes.checked_add(high)?.checked_add(wide)?.checked_mul(length)?;
        (work <= MAX_WORK).then_some(Self { block, rank, high, wide, length, work })
    }

    /// Terms of all blocks.
    fn terms(&self) -> usize {
        self.high * self.wide * self.rank
    }
}

impl ToeplitzLike {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let fault = |problem: String| Error::matrix(name, problem);
        let field = |name| description.fields.get(name).and_then(Value::number).unwrap_or(0);
        let sizes = Sizes::new([rows, columns], field("block"), field("rank"));
        let Some(sizes) = sizes else {
            return Err(fault("has no block and rank, or such as are too large".into()));
        };
        let terms = sizes.terms();
        let [g, h] = factors(description)?
            .try_into()
            .map_err(|list: Vec<_>| fault(format!("lists {} factors instead of 2", list.len())))?;
        for leaf in [&g, &h] {
            if [leaf.rows, leaf.columns] != [terms, sizes.block] {
                let found = format!("{} x {}", leaf.rows, leaf.columns);
                let problem =
                    format!("has a factor of {found} instead of {terms} x {}", sizes.block);
                return Err(fault(problem));
            }
        }
        let open = |leaf| Stored::open(leaf, leaves).map(Box::new);
        let (g, h) = (open(&g)?, open(&h)?);
        let order = Order::open(description, leaves)?;
        // Two spectra and the sines.
        leaves.take(name, 4 * (2 * terms + 1) * sizes.length)?;
        let fft = Fft::new(sizes.length);
        let spectra = [&g, &h].map(|leaf| spectra(leaf, &sizes, &fft));
        Ok(Self { rows, columns, sizes, g, h, order, fft, spectra })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn parameters(&self) -> usize {
        self.g.parameters() + self.h.parameters()
    }

    /// Multiplications of a product, or of a row, about.
    pub(crate) fn operations(&self) -> usize {
        let Sizes { block, rank, wide, work, .. } = self.sizes;
        (64 * work).max(rank * wide * block * block)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.g.bytes() + self.h.bytes() + self.order.bytes()
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        vec![&self.g, &self.h]
    }

    fn padded_rows(&self) -> usize {
        self.sizes.high * self.sizes.block
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        self.g.reserve(1, scratch);
        self.h.reserve(1, scratch);
        grow(&mut scratch.inner, (batch * self.padded_rows()).max(self.sizes.block));
        grow(&mut scratch.spare, self.sizes.work.max(self.sizes.block));
    }

    /// Computes the whole product, which [`apply_rows`](Self::apply_rows) then hands out.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let padded = self.padded_rows();
        scratch.inner.resize(batch * padded, 0.0);
        scratch.spare.resize(self.sizes.work, 0.0);
        let all = x.chunks_exact(self.columns).zip(scratch.inner.chunks_exact_mut(padded));
        all.for_each(|(x, out)| self.multiply(x, &mut scratch.spare, out));
    }

    /// The product with one vector.
    fn multiply(&self, x: &[f32], work: &mut [f32], out: &mut [f32]) {
        let Sizes { block: n, rank, high, wide, length, .. } = self.sizes;
        let lanes = high * wide * rank;
        let [g, h] = &self.spectra;
        work.fill(0.0);
        let (given, rest) = work.split_at_mut(length * wide);
        let (terms, found) = rest.split_at_mut(length * lanes);
        for (at, x) in x.iter().enumerate() {
            given[at % n * wide + at / n] = *x;
        }
        self.fft.forward(wide, given);
        spread(given, h, [wide, high * rank], terms);
        self.fft.inverse(lanes, terms);
        let (low, beyond) = terms.split_at_mut(n * lanes);
        low.iter_mut().zip(&*beyond).for_each(|(x, wrapped)| *x -= wrapped);
        beyond.fill(0.0);
        self.fft.forward(lanes, terms);
        gather(terms, g, [wide * rank, high], found);
        self.fft.inverse(high, found);
        for (a, (low, beyond)) in
            found.chunks_exact(high).zip(found[n * high..].chunks_exact(high)).take(n).enumerate()
        {
            for (i, (x, wrapped)) in low.iter().zip(beyond).enumerate() {
                out[i * n + a] = x + wrapped;
            }
        }
    }

    pub(crate) fn apply_rows(&self, scratch: &Scratch, rows: Range<usize>, out: &mut [f32]) {
        self.order.hand_out(&scratch.inner, self.padded_rows(), rows, out);
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let Sizes { block: n, rank, wide, .. } = self.sizes;
        let row = self.order.place(row);
        let (i, a) = (row / n, row % n);
        let mut g = core::mem::take(&mut scratch.inner);
        let mut h = core::mem::take(&mut scratch.spare);
        g.resize(n, 0.0);
        h.resize(n, 0.0);
        out.fill(0.0);
        for (j, out) in out.chunks_mut(n).enumerate() {
            for k in 0..rank {
                let term = (i * wide + j) * rank + k;
                self.g.row(term, scratch, &mut g);
                self.h.row(term, scratch, &mut h);
                for c in 0..n {
                    add_skew_row(g[(a + n - c) % n], &h, c, out);
                }
            }
        }
        (scratch.inner, scratch.spare) = (g, h);
    }

    pub(crate) fn fault(&self) -> Option<String> {
        let g = self.g.fault().map(|fault| format!("circulant factor: {fault}"));
        g.or_else(|| self.h.fault().map(|fault| format!("skew-circulant factor: {fault}")))
    }
}

/// Adds row `c` of Z₋₁(h), `weight` times, to `out`.
fn add_skew_row(weight: f32, h: &[f32], c: usize, out: &mut [f32]) {
    let (low, high) = out.split_at_mut((c + 1).min(out.len()));
    low.iter_mut().zip(h[..=c].iter().rev()).for_each(|(sum, h)| *sum += weight * h);
    high.iter_mut().zip(h[c + 1..].iter().rev()).for_each(|(sum, h)| *sum -= weight * h);
}

/// The spectra of a leaf's vectors, `[length, lanes]`.
fn spectra(leaf: &Stored, sizes: &Sizes, fft: &Fft) -> Vec<f32> {
    let &Sizes { block, rank, high, wide, length, .. } = sizes;
    let lanes = high * wide * rank;
    let (mut data, mut row) = (vec![0.0; length * lanes], vec![0.0; block]);
    let mut scratch = Scratch::default();
    for term in 0..lanes {
        leaf.row(term, &mut scratch, &mut row);
        let (i, j, k) = (term / rank / wide, term / rank % wide, term % rank);
        let lane = (j * rank + k) * high + i;
        data[lane..].iter_mut().step_by(lanes).zip(&row).for_each(|(out, x)| *out = *x);
    }
    fft.forward(lanes, &mut data);
    data
}

/// Each of `count` spectra times `each` spectra of `weights`.
fn spread(x: &[f32], weights: &[f32], [count, each]: [usize; 2], out: &mut [f32]) {
    let lanes = count * each;
    let bins = x.chunks_exact(2 * count).zip(weights.chunks_exact(2 * lanes));
    for (bin, ((x, w), out)) in bins.zip(out.chunks_exact_mut(2 * lanes)).enumerate() {
        let (out_re, out_im) = out.split_at_mut(lanes);
        for j in 0..count {
            for l in j * each..(j + 1) * each {
                let x = [x[j], x[count + j]];
                [out_re[l], out_im[l]] = times(bin, x, [w[l], w[lanes + l]]);
            }
        }
    }
}

/// Adds to `each` spectra the sums of the products of `count` times as many, pair by pair.
fn gather(x: &[f32], weights: &[f32], [count, each]: [usize; 2], out: &mut [f32]) {
    let lanes = count * each;
    let bins = x.chunks_exact(2 * lanes).zip(weights.chunks_exact(2 * lanes));
    for (bin, ((x, w), out)) in bins.zip(out.chunks_exact_mut(2 * each)).enumerate() {
        let (out_re, out_im) = out.split_at_mut(each);
        for j in 0..count {
            for i in 0..each {
                let l = j * each + i;
                let [re, im] = times(bin, [x[l], x[lanes + l]], [w[l], w[lanes + l]]);
                (out_re[i], out_im[i]) = (out_re[i] + re, out_im[i] + im);
            }
        }
    }
}
