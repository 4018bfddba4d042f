//! Writing matrices in every form that the runtime has.

use alloc::vec::Vec;

use super::encoded::{Encoded, Factor, Shape};
use super::stored::write as stored;
use super::{
    block_low_rank, circulant, dense, diagonal_low_rank, low_rank, tensor_train, toeplitz, unitary,
};
use crate::error::Result;

/// The form of a matrix.
#[derive(Debug, Clone)]
pub enum Form<'a> {
    /// Its own numbers.
    Dense(Factor<'a>),
    /// Its own numbers as codes of given scales; the file has it as any other dense matrix of codes.
    Scaled {
        /// The numbers, all kept, in a precision that [takes scales](crate::spec::Precision::takes_scales).
        factor: Factor<'a>,
        /// `[rows, ⌈columns / 64⌉]`: the scale of each row and group of 64 columns; or `[rows]`: one for all of a
        /// row, which int8 always has. Rounded to half precision.
        scales: &'a [f32],
    },
    /// `left [rows, rank] · right [rank, columns]`
    LowRank {
        /// `[rows, rank]`
        left: Factor<'a>,
        /// `[rank, columns]`
        right: Factor<'a>,
    },
    /// `left · right`, and in row i one number more at column i mod columns.
    DiagonalLowRank {
        /// `[rows, rank]`
        left: Factor<'a>,
        /// `[rank, columns]`
        right: Factor<'a>,
        /// `[rows, 1]`
        diagonal: Factor<'a>,
    },
    /// A tensor train: with `i = (i_1, …, i_d)` and `j = (j_1, …, j_d)` in mixed radix, most significant first,
    /// `W[i, j] = G_1[:, i_1, j_1, :] · … · G_d[:, i_d, j_d, :]` (Novikov et al. 2015).
    TensorTrain {
        /// `m_1, …, m_d`, whose product is at least the number of rows.
        row_modes: &'a [usize],
        /// `n_1, …, n_d`, whose product is at least the number of columns.
        column_modes: &'a [usize],
        /// Core `k` as `[m_k r_k, r_{k-1} n_k]`: row `i_k r_k + β`, column `α n_k + j_k`.
        cores: Vec<Factor<'a>>,
    },
    /// Circulant blocks: element `r, c` of block `i, j` is element `(r − c) mod block` of its vector.
    BlockCirculant {
        /// Rows and columns of a block.
        block: usize,
        /// `[⌈rows / block⌉, ⌈columns / block⌉ · block]`: the vectors of a row of blocks one after the other.
        vectors: Factor<'a>,
    },
    /// Blocks of low displacement rank: block `i, j` is `Σ_k Z₁(g_k) · Z₋₁(h_k)` (Sindhwani et al. 2015).
    ToeplitzLike {
        /// Rows and columns of a block.
        block: usize,
        /// Terms of a block.
        rank: usize,
        /// `[blocks · rank, block]`: row `(i · ⌈columns / block⌉ + j) · rank + k` is g_k of block `i, j`.
        g: Factor<'a>,
        /// The same of h.
        h: Factor<'a>,
    },
    /// The real form `[re W, −im W; im W, re W]` of `W = D₃ R₂ F⁻¹ D₂ P R₁ F D₁` (Arjovsky et al. 2016, equation 6).
    Unitary {
        /// `[3, rows / 2]`: the phases of D₁, D₂, D₃ in radians.
        phases: Factor<'a>,
        /// `[4, rows / 2]`: the real and the imaginary part of the vector of R₁, then those of R₂.
        reflections: Factor<'a>,
    },
    /// Groups of rows, one below the other, each the product of a left and a right factor.
    BlockLowRank {
        /// `[rows of the group, rank]` and `[rank, columns]` for each group.
        groups: Vec<[Factor<'a>; 2]>,
    },
}

/// Encodes a matrix; `order` is the caller's row of each row of the file.
pub(crate) fn encode(shape: &Shape, order: Option<&[u32]>, form: &Form<'_>) -> Result<Encoded> {
    match form {
        Form::Dense(factor) => {
            stored::encode(&shape.name, order, factor, [shape.rows, shape.columns])
        }
        Form::Scaled { factor, scales } => {
            dense::write::encode_scaled(shape, order, factor, scales)
        }
        Form::LowRank { left, right } => low_rank::write::encode(shape, order, [left, right]),
        Form::DiagonalLowRank { left, right, diagonal } => {
            diagonal_low_rank::write::encode(shape, order, [left, right, diagonal])
        }
        Form::TensorTrain { row_modes, column_modes, cores } => {
            tensor_train::write::encode(shape, order, [row_modes, column_modes], cores)
        }
        Form::BlockCirculant { block, vectors } => {
            circulant::write::encode(shape, order, *block, vectors)
        }
        Form::ToeplitzLike { block, rank, g, h } => {
            toeplitz::write::encode(shape, order, [*block, *rank], [g, h])
        }
        Form::Unitary { phases, reflections } => {
            unitary::write::encode(shape, order, phases, reflections)
        }
        Form::BlockLowRank { groups } => block_low_rank::write::encode(shape, order, groups),
    }
}
