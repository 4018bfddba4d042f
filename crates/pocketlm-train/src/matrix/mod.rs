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

pub(crate) mod block_low_rank;
pub(crate) mod circulant;
pub(crate) mod diagonal_low_rank;
mod displacement;
pub(crate) mod learned_scales;
pub(crate) mod low_rank;
pub(crate) mod noise;
pub(crate) mod parametrization;
mod structured;
pub(crate) mod tensor_train;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod toeplitz;
pub(crate) mod unitary;
pub(crate) mod variational_dropout;

pub use block_low_rank::BlockLowRank;
pub use circulant::BlockCirculant;
pub use diagonal_low_rank::DiagonalLowRank;
pub use learned_scales::LearnedScales;
pub use low_rank::LowRank;
pub use noise::Noise;
pub use parametrization::Parametrization;
pub use structured::{LeafShape, Shape, Stochastic, Structured};
pub use tensor_train::TensorTrain;
pub use toeplitz::ToeplitzLike;
pub use unitary::Unitary;
pub use variational_dropout::VariationalDropout;

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
    /// Two thin factors and a diagonal.
    DiagonalLowRank(DiagonalLowRank),
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
    #[serde(default = "kept")]
    pub sparsity: Sparsity,
    /// Bits in the packed file.
    #[serde(default = "full")]
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
