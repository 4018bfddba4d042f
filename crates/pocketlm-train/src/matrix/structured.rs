//! What a structure does.

use super::noise::Noise;
use crate::error::Result;

/// Rows and columns of a dense matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows: values that come out.
    pub rows: usize,
    /// Columns: values that go in.
    pub columns: usize,
}

/// A leaf that a structure asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafShape {
    /// What its name has after the matrix's: `.left`, `.core.0`.
    pub suffix: String,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// What a structure does. Leaves are row-major and come in the order of [`Structured::leaves`].
pub trait Structured {
    /// Checks its settings against the matrix.
    ///
    /// # Errors
    /// [`crate::error::Error::Config`] naming the setting and the mend.
    fn check(&self, shape: Shape) -> Result<()>;

    /// The leaves of a matrix of this shape.
    fn leaves(&self, shape: Shape) -> Vec<LeafShape>;

    /// The leaves that come nearest to a dense matrix.
    ///
    /// # Errors
    /// When the matrix holds numbers that are not finite.
    fn decompose(&self, dense: &[f32], shape: Shape) -> Result<Vec<Vec<f32>>>;

    /// How many products of one number from each of `depth` leaves add up to a number of the dense matrix: with
    /// leaves of variance `s²`, that number has variance `terms · s^(2 · depth)`.
    fn terms(&self) -> usize;

    /// How many of its `leaves` leaves have a part in a number of the dense matrix.
    fn depth(&self, leaves: usize) -> usize {
        leaves
    }

    /// How far from zero the uniform numbers of leaf `leaf` of `leaves` start, so that every number of the dense
    /// matrix has the variance of one uniform in `[-range, range]`.
    fn start(&self, _leaf: usize, leaves: usize, range: f64) -> f64 {
        let variance = range * range / 3.0 / self.terms() as f64;
        (3.0 * variance.powf(1.0 / self.depth(leaves) as f64)).sqrt()
    }

    /// Writes the dense matrix `[rows, columns]`.
    fn materialise(&self, leaves: &[&[f32]], shape: Shape, out: &mut [f32]);

    /// Sets `d_leaves` to the gradients of the leaves from that of the dense matrix.
    fn pull_back(
        &self,
        leaves: &[&[f32]],
        shape: Shape,
        d_dense: &[f32],
        d_leaves: &mut [&mut [f32]],
    );

    /// What training does with it where the leaves stand for a distribution of matrices.
    fn stochastic(&self) -> Option<&dyn Stochastic> {
        None
    }
}

/// A structure whose leaves stand for a distribution of matrices. Training draws one for each update and minimises, with
/// the loss, how far the distribution is from a prior; everything else takes the matrix that
/// [`Structured::materialise`] writes.
pub trait Stochastic {
    /// Writes a matrix of the distribution, drawn by `noise`.
    fn sample(&self, leaves: &[&[f32]], noise: &Noise, out: &mut [f32]);

    /// Sets `d_leaves` to the gradients of the leaves from that of the matrix that was drawn.
    fn pull_back_sample(
        &self,
        leaves: &[&[f32]],
        sample: &[f32],
        d_sample: &[f32],
        d_leaves: &mut [&mut [f32]],
    );

    /// Adds `weight` times the gradient of the divergence from the prior in nats, so many `epochs` after the start.
    fn add_divergence_gradient(
        &self,
        leaves: &[&[f32]],
        weight: f64,
        epochs: f64,
        d_leaves: &mut [&mut [f32]],
    );
}
