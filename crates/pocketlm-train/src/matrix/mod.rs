//! The forms that a matrix can have in training: what its numbers are, and how they make a dense matrix.
//!
//! A matrix has three independent axes. Its **structure** says which *leaf* matrices describe it, its **sparsity**
//! which numbers of a leaf are kept, its **precision** how many bits each has in the packed file. Before a batch
//! the leaves are *materialised* to the dense matrix that the network uses, after it the dense gradient is
//! *pulled back* to them ([`Parametrization`]).
//!
//! A new structure is one file here that implements [`Structured`], and one line in `structures!`.

use std::collections::BTreeMap;

use pocketlm::pack::{Precision, Sparsity};
use serde::{Deserialize, Serialize};

use crate::error::Result;

pub mod block_low_rank;
pub mod circulant;
mod displacement;
pub mod learned_scales;
pub mod low_rank;
pub mod noise;
pub mod parametrization;
pub mod svd;
pub mod tensor_train;
#[cfg(test)]
pub(crate) mod testing;
pub mod toeplitz;
pub mod unitary;
pub mod variational_dropout;

pub use block_low_rank::BlockLowRank;
pub use circulant::BlockCirculant;
pub use learned_scales::LearnedScales;
pub use low_rank::LowRank;
pub use noise::Noise;
pub use parametrization::Parametrization;
pub use tensor_train::TensorTrain;
pub use toeplitz::ToeplitzLike;
pub use unitary::Unitary;
pub use variational_dropout::VariationalDropout;

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

/// The registry: a variant for each structure.
macro_rules! structures {
    ($($(#[$doc:meta])* $variant:ident($type:ty)),* $(,)?) => {
        /// The structure of a matrix that is not dense.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Structure {
            $($(#[$doc])* $variant($type)),*
        }

        impl Structure {
            /// What it does.
            pub fn operations(&self) -> &dyn Structured {
                match self {
                    $(Self::$variant(structure) => structure),*
                }
            }
        }
    };
}

structures! {
    /// Two thin factors.
    LowRank(LowRank),
    /// A chain of small cores.
    TensorTrain(TensorTrain),
    /// Circulant blocks.
    BlockCirculant(BlockCirculant),
    /// Blocks of low displacement rank.
    ToeplitzLike(ToeplitzLike),
    /// Groups of rows, each of two thin factors.
    BlockLowRank(BlockLowRank),
    /// Few bits a number, with scales that are trained.
    LearnedScales(LearnedScales),
    /// Phases and reflections of a unitary matrix.
    Unitary(Unitary),
    /// Weights with a variance each.
    VariationalDropout(VariationalDropout),
}

/// Sparsity and precision of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafForm {
    /// Where the kept numbers lie. A number is kept if it is not zero.
    #[serde(with = "sparsity_name", default = "kept")]
    pub sparsity: Sparsity,
    /// Bits in the packed file.
    #[serde(with = "precision_name", default = "full")]
    pub precision: Precision,
}

impl LeafForm {
    /// Whether its numbers are floating-point and none was taken out, so that nothing is lost by another form.
    pub fn is_free(self) -> bool {
        self.sparsity == Sparsity::None && matches!(self.precision, Precision::F32 | Precision::F16)
    }
}

fn kept() -> Sparsity {
    Sparsity::None
}

fn full() -> Precision {
    Precision::F32
}

impl Default for LeafForm {
    fn default() -> Self {
        Self { sparsity: kept(), precision: full() }
    }
}

/// How the matrices of a model are described: what is not named is dense, kept whole, and f32.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forms {
    /// By matrix: `softmax`.
    #[serde(default)]
    pub structures: BTreeMap<String, Structure>,
    /// By leaf: `softmax`, or `softmax.left` where it has a structure.
    #[serde(default)]
    pub leaves: BTreeMap<String, LeafForm>,
    /// Whether the packed file is entropy-coded, which changes its bytes and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub entropy: bool,
}

impl Forms {
    /// Whether every matrix is dense, whole, and f32.
    pub fn is_plain(&self) -> bool {
        self.structures.is_empty() && self.leaves.is_empty()
    }

    /// Whether there is nothing to remember.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Gives a matrix a structure in the place of the form that its numbers had.
    pub fn restructure(&mut self, matrix: String, structure: Structure) {
        self.leaves.remove(&matrix);
        self.structures.insert(matrix, structure);
    }

    /// The form of a leaf.
    pub fn leaf(&self, name: &str) -> LeafForm {
        self.leaves.get(name).copied().unwrap_or_default()
    }
}

/// Serde for types that have a name.
macro_rules! by_name {
    ($module:ident, $type:ty) => {
        pub(crate) mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub fn serialize<S: Serializer>(value: &$type, out: S) -> Result<S::Ok, S::Error> {
                out.serialize_str(value.name())
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let name = String::deserialize(from)?;
                <$type>::from_name(&name).ok_or_else(|| {
                    let all: Vec<_> = <$type>::ALL.iter().map(|value| value.name()).collect();
                    D::Error::custom(format!("{name:?} is not one of {}", all.join(", ")))
                })
            }
        }
    };
}

by_name!(precision_name, pocketlm::pack::Precision);
by_name!(sparsity_name, pocketlm::pack::Sparsity);
