//! The buffers that products work in.

use alloc::vec::Vec;

use pocketlm_kernels::quantise;

/// Rows of a panel, the unit in which ranges of rows are multiplied.
pub(crate) const PANEL: usize = pocketlm_kernels::layout::PANEL_ROWS;

/// Buffers that a product needs; sized once by [`Matrix::reserve`](super::Matrix::reserve), then used by all matrices.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scratch {
    /// Quantised activations `[batch, padded columns]`.
    pub(crate) q: Vec<i8>,
    /// One scale a vector, `[batch]`.
    pub(crate) scales: Vec<f32>,
    /// Sums of the quantised activations, `[batch, groups]`.
    pub(crate) sums: Vec<i32>,
    /// What lies between the factors of a matrix, or its whole product.
    pub(crate) inner: Vec<f32>,
    /// A second buffer of that kind.
    pub(crate) spare: Vec<f32>,
    /// A row of a factor.
    pub(crate) line: Vec<f32>,
    /// Columns of a sparse row's numbers.
    pub(crate) indices: Vec<u16>,
    /// Activations, and quantised ones, of a sparse panel's columns, `[batch, columns of the panel]`.
    pub(crate) gathered: Vec<f32>,
    pub(crate) gathered_q: Vec<i8>,
    /// Products of the vectors that rows are made of, `[batch, parts, 256]`.
    pub(crate) tables: Vec<f32>,
    /// A panel's part of a product, `[batch, 16]`.
    pub(crate) block: Vec<f32>,
}

/// Numbers between the factors of a matrix that are worked on at a time: more vectors than fit are taken in parts.
pub(crate) const MOST_AT_ONCE: usize = 1 << 21;

/// Makes a buffer at least so long.
pub(crate) fn grow<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
}

/// Quantises the vectors of `x` `[batch, columns]`, without padding.
pub(crate) fn quantise_rows(x: &[f32], batch: usize, columns: usize, scratch: &mut Scratch) {
    scratch.q.resize(batch * columns, 0);
    scratch.scales.resize(batch, 0.0);
    let vectors = x.chunks_exact(columns).zip(scratch.q.chunks_exact_mut(columns));
    for ((x, q), scale) in vectors.zip(&mut scratch.scales) {
        *scale = quantise::quantise(x, q);
    }
}
