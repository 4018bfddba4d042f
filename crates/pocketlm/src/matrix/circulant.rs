//! Block-circulant matrices (Ding et al. 2017, section 3): blocks of b rows and b columns, each described by its
//! first column w, `block[r, c] = w[(r − c) mod b]`.
//!
//! The leaf has a row for each row of blocks, `[⌈rows / b⌉, ⌈columns / b⌉ · b]`, the blocks' vectors one after
//! the other. Row r of every block times x is w times x turned round and by r places, so a product with the whole
//! is the leaf's product with b such turns of the vector, in whatever form the leaf is. Blocks of floating-point
//! numbers that are large powers of two are multiplied by Fourier transform instead.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::float32;

use super::fft::Fft;
use super::order::Order;
use super::scratch::{MOST_AT_ONCE, Scratch, grow};
use super::stored::Stored;
use crate::error::{Error, Result};
use crate::format::metadata::{Description, Word, factors};
use crate::json::Value;
use crate::leaves::Leaves;
use crate::spec::Precision;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// Largest block, and most numbers in all turns of a vector.
pub(crate) const MAX_BLOCK: usize = 1024;
pub(crate) const MAX_TURNED: usize = 1 << 22;

/// Blocks from this size on are multiplied by Fourier transform if they can be.
const TRANSFORMED: usize = 16;

/// A matrix of circulant blocks.
#[derive(Debug)]
pub(crate) struct BlockCirculant {
    rows: usize,
    columns: usize,
    block: usize,
    vectors: Box<Stored>,
    order: Order,
    spectra: Option<Spectra>,
}

/// The spectra of all blocks: for each bin a matrix `[rows of blocks, 2 · columns of blocks]`, real parts, then
/// imaginary ones, in panels as the kernels take them.
#[derive(Debug)]
struct Spectra {
    fft: Fft,
    bins: Vec<f32>,
}

impl BlockCirculant {
    pub(crate) fn open(description: &Description<'_>, leaves: &Leaves<'_>) -> Result<Self> {
        let &Description { ref name, rows, columns, .. } = description;
        let fault = |problem: String| Err(Error::matrix(name, problem));
        let block = description.fields.get("block").and_then(Value::number).unwrap_or(0);
        let turned = || rows.max(columns).checked_next_multiple_of(block)?.checked_mul(block);
        let fits = (1..=MAX_BLOCK).contains(&block);
        if !fits || turned().is_none_or(|numbers| numbers > MAX_TURNED) {
            return fault("has no block, or one that is too large".into());
        }
        let list = factors(description)?;
        let [leaf] = &list[..] else {
            return fault(format!("lists {} factors instead of 1", list.len()));
        };
        let shape = [rows.div_ceil(block), columns.next_multiple_of(block)];
        if [leaf.rows, leaf.columns] != shape {
            let [r, c] = shape;
            let (found, wanted) =
                (format!("{} x {}", leaf.rows, leaf.columns), format!("{r} x {c}"));
            return fault(format!("has blocks of {found} instead of {wanted} numbers"));
        }
        let vectors = Box::new(Stored::open(leaf, leaves)?);
        let transformed = block >= TRANSFORMED
            && block.is_power_of_two()
            && matches!(leaf.precision, Word::Known(Precision::F32 | Precision::F16));
        if transformed {
            let [high, columns] = shape;
            let bins = (block / 2 + 1) * float32::len(high, 2 * columns / block);
            leaves.take(name, 4 * (bins + 2 * high * columns))?;
        }
        let spectra = transformed.then(|| Spectra::new(&vectors, block));
        let order = Order::open(description, leaves)?;
        Ok(Self { rows, columns, block, vectors, order, spectra })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn parameters(&self) -> usize {
        self.vectors.parameters()
    }

    /// Multiplications of a product, about.
    pub(crate) fn operations(&self) -> usize {
        let each = if self.spectra.is_some() { 32 } else { self.block };
        each.saturating_mul(self.vectors.parameters())
    }

    /// How many of `batch` vectors are turned at a time.
    fn at_once(&self, batch: usize) -> usize {
        batch.min(MOST_AT_ONCE / (self.block * self.vectors.columns())).max(1)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.vectors.bytes() + self.order.bytes()
    }

    pub(crate) fn factors(&self) -> Vec<&Stored> {
        vec![&self.vectors]
    }

    fn padded_rows(&self) -> usize {
        self.vectors.rows() * self.block
    }

    pub(crate) fn reserve(&self, batch: usize, scratch: &mut Scratch) {
        let (columns, rows, b) = (self.vectors.columns(), self.padded_rows(), self.block);
        grow(&mut scratch.line, columns.max(batch * rows));
        if self.spectra.is_some() {
            grow(&mut scratch.inner, batch * (columns + rows));
            return grow(&mut scratch.spare, batch * (4 * columns + 2 * rows).div_ceil(b));
        }
        let batch = self.at_once(batch);
        self.vectors.reserve(batch * b, scratch);
        grow(&mut scratch.inner, batch * b * columns);
        grow(&mut scratch.spare, batch * rows);
    }

    /// Computes the whole product, which [`apply_rows`](Self::apply_rows) then hands out.
    pub(crate) fn prepare(&self, x: &[f32], batch: usize, scratch: &mut Scratch) {
        let mut line = core::mem::take(&mut scratch.line);
        line.resize(batch * self.padded_rows(), 0.0);
        match &self.spectra {
            Some(spectra) => self.transform(spectra, x, batch, scratch, &mut line),
            None => {
                let (at_once, rows) = (self.at_once(batch), self.padded_rows());
                let outs = line.chunks_mut(at_once * rows);
                for (x, out) in x.chunks(at_once * self.columns).zip(outs) {
                    self.turn(x, out.len() / rows, scratch, out);
                }
            }
        }
        scratch.line = line;
    }

    /// The product `[batch, padded rows]` by turns of the vectors.
    fn turn(&self, x: &[f32], batch: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let (b, wide, high) = (self.block, self.vectors.columns(), self.vectors.rows());
        let mut turned = core::mem::take(&mut scratch.inner);
        let mut product = core::mem::take(&mut scratch.spare);
        turned.clear();
        turned.resize(batch * b * wide, 0.0);
        for (x, turned) in x.chunks_exact(self.columns).zip(turned.chunks_exact_mut(b * wide)) {
            for (r, turned) in turned.chunks_exact_mut(wide).enumerate() {
                for (x, turned) in x.chunks(b).zip(turned.chunks_exact_mut(b)) {
                    turn_round(x, r, turned);
                }
            }
        }
        product.clear();
        product.resize(batch * b * high, 0.0);
        self.vectors.apply(&turned, batch * b, scratch, &mut product);
        for (out, product) in out.chunks_exact_mut(high * b).zip(product.chunks_exact(b * high)) {
            for (r, product) in product.chunks_exact(high).enumerate() {
                out[r..].iter_mut().step_by(b).zip(product).for_each(|(out, x)| *out = *x);
            }
        }
        (scratch.inner, scratch.spare) = (turned, product);
    }

    /// The same by Fourier transform: bin by bin a product of complex numbers.
    fn transform(
        &self,
        spectra: &Spectra,
        x: &[f32],
        batch: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let (b, high) = (self.block, self.vectors.rows());
        let wide = self.vectors.columns() / b;
        let (lanes, lanes_out) = (batch * wide, batch * high);
        scratch.inner.clear();
        scratch.inner.resize(b * (lanes + lanes_out), 0.0);
        scratch.spare.resize(4 * lanes + 2 * lanes_out, 0.0);
        let (given, found) = scratch.inner.split_at_mut(b * lanes);
        let (vectors, products) =
            scratch.spare[..4 * lanes + 2 * lanes_out].split_at_mut(4 * lanes);
        for (v, x) in x.chunks_exact(self.columns).enumerate() {
            for (at, x) in x.iter().enumerate() {
                given[at % b * lanes + v * wide + at / b] = *x;
            }
        }
        spectra.fft.forward(lanes, given);
        for bin in 0..=b / 2 {
            let rows = rows_of(bin, b);
            let parts = rows.map(|row| row.map_or(&[][..], |row| &given[row * lanes..][..lanes]));
            pair_up(parts, wide, vectors);
            products.fill(0.0);
            float32::matmul(spectra.bin(bin), vectors, 2 * batch, products);
            for (v, product) in products.chunks_exact(2 * high).enumerate() {
                for (row, part) in rows.into_iter().zip(product.chunks_exact(high)) {
                    let Some(row) = row else { continue };
                    found[row * lanes_out + v * high..][..high].copy_from_slice(part);
                }
            }
        }
        spectra.fft.inverse(lanes_out, found);
        for (r, found) in found.chunks_exact(lanes_out).enumerate() {
            for (out, found) in out.chunks_exact_mut(high * b).zip(found.chunks_exact(high)) {
                out[r..].iter_mut().step_by(b).zip(found).for_each(|(out, x)| *out = *x);
            }
        }
    }

    pub(crate) fn apply_rows(&self, scratch: &Scratch, rows: Range<usize>, out: &mut [f32]) {
        self.order.hand_out(&scratch.line, self.padded_rows(), rows, out);
    }

    pub(crate) fn row(&self, row: usize, scratch: &mut Scratch, out: &mut [f32]) {
        let row = self.order.place(row);
        let (i, r, b) = (row / self.block, row % self.block, self.block);
        let mut line = core::mem::take(&mut scratch.line);
        line.resize(self.vectors.columns(), 0.0);
        self.vectors.row(i, scratch, &mut line);
        for (w, out) in line.chunks_exact(b).zip(out.chunks_mut(b)) {
            for (c, out) in out.iter_mut().enumerate() {
                *out = w[(r + b - c) % b];
            }
        }
        scratch.line = line;
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.vectors.fault().map(|fault| format!("blocks: {fault}"))
    }
}

impl Spectra {
    fn new(vectors: &Stored, block: usize) -> Self {
        let fft = Fft::new(block);
        let (high, columns) = (vectors.rows(), vectors.columns());
        let wide = columns / block;
        let mut rows = vec![0.0; high * columns];
        let mut scratch = Scratch::default();
        for (i, row) in rows.chunks_exact_mut(columns).enumerate() {
            vectors.row(i, &mut scratch, row);
        }
        // One lane for each block.
        let lanes = high * wide;
        let mut data = vec![0.0; block * lanes];
        for (at, w) in rows.iter().enumerate() {
            let (i, j, t) = (at / columns, at % columns / block, at % block);
            data[t * lanes + i * wide + j] = *w;
        }
        fft.forward(lanes, &mut data);
        let mut bins = Vec::new();
        let mut matrix = vec![0.0; high * 2 * wide];
        let mut packed = vec![0.0; float32::len(high, 2 * wide)];
        for bin in 0..=block / 2 {
            for (part, row) in rows_of(bin, block).into_iter().enumerate() {
                for (i, out) in matrix.chunks_exact_mut(2 * wide).enumerate() {
                    let out = &mut out[part * wide..][..wide];
                    match row {
                        None => out.fill(0.0),
                        Some(row) => out.copy_from_slice(&data[row * lanes + i * wide..][..wide]),
                    }
                }
            }
            float32::pack(&matrix, high, 2 * wide, &mut packed);
            bins.extend_from_slice(&packed);
        }
        Self { fft, bins }
    }

    fn bin(&self, bin: usize) -> &[f32] {
        let size = self.bins.len() / (self.fft.length() / 2 + 1);
        &self.bins[bin * size..][..size]
    }
}

/// Where a spectrum of length n has the real and the imaginary part of a bin; the first and the last bin are real.
fn rows_of(bin: usize, n: usize) -> [Option<usize>; 2] {
    match bin {
        0 => [Some(0), None],
        bin if bin == n / 2 => [Some(1), None],
        bin => [Some(2 * bin), Some(2 * bin + 1)],
    }
}

/// For each vector of `wide` complex numbers x the pair (re x, −im x), (im x, re x), whose products with
/// (re w, im w) are the real and the imaginary part of w · x.
fn pair_up([re, im]: [&[f32]; 2], wide: usize, pairs: &mut [f32]) {
    pairs.fill(0.0);
    for (pair, re) in pairs.chunks_exact_mut(4 * wide).zip(re.chunks_exact(wide)) {
        pair[..wide].copy_from_slice(re);
        pair[3 * wide..].copy_from_slice(re);
    }
    for (pair, im) in pairs.chunks_exact_mut(4 * wide).zip(im.chunks_exact(wide)) {
        pair[2 * wide..3 * wide].copy_from_slice(im);
        pair[wide..2 * wide].iter_mut().zip(im).for_each(|(out, im)| *out = -im);
    }
}

/// `x`, padded with zeros to the length of `out`, from element `r` backwards and round.
fn turn_round(x: &[f32], r: usize, out: &mut [f32]) {
    let b = out.len();
    for (k, out) in out.iter_mut().enumerate() {
        *out = x.get((r + b - k) % b).copied().unwrap_or(0.0);
    }
}
