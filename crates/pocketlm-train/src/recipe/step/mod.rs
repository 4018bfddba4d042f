//! The steps of a compression: their keys in a recipe, and what they make of a model's shape and forms.
//!
//! What a step does to the numbers is in [`compress`](crate::compress).

use serde::{Deserialize, Serialize};
use toml::Table;

mod block_circulant;
mod block_low_rank;
pub(crate) mod declare;
mod diagonal_low_rank;
mod entropy;
mod fine_tune;
mod kronecker;
mod learned_scales;
mod low_rank;
pub(crate) mod prune;
pub(crate) mod quantise;
pub(crate) mod rate_distortion;
pub(crate) mod remove_units;
pub(crate) mod shared_low_rank;
mod tensor_train;
mod toeplitz_like;
pub(crate) mod variational_dropout;

pub use block_circulant::BlockCirculant;
pub use block_low_rank::BlockLowRank;
pub use declare::{Declare, Structural};
pub use diagonal_low_rank::DiagonalLowRank;
pub use entropy::Entropy;
pub use fine_tune::FineTune;
pub use kronecker::Kronecker;
pub use learned_scales::LearnedScales;
pub use low_rank::LowRank;
pub use prune::Prune;
pub use quantise::Quantise;
pub use rate_distortion::RateDistortion;
pub use remove_units::RemoveUnits;
pub use shared_low_rank::SharedLowRank;
pub use tensor_train::TensorTrain;
pub use toeplitz_like::ToeplitzLike;
pub use variational_dropout::VariationalDropout;

/// The registry: hands `$define` a line for each step, its key `method` and its settings.
macro_rules! for_each_step {
    ($define:ident) => {
        $define! {
            /// Sets small numbers to zero.
            "prune" => Prune,
            /// Takes whole units out.
            "remove-units" => RemoveUnits,
            /// Sets to zero what training finds that the text does not need.
            "variational-dropout" => VariationalDropout,
            /// Fewer bits a number.
            "quantise" => Quantise,
            /// As few bits a number as its loss is worth.
            "rate-distortion" => RateDistortion,
            /// Few bits a number, with scales that are trained.
            "learned-scales" => LearnedScales,
            /// Two thin factors.
            "low-rank" => LowRank,
            /// Two thin factors and a diagonal.
            "diagonal-low-rank" => DiagonalLowRank,
            /// A projection in each layer.
            "shared-low-rank" => SharedLowRank,
            /// A chain of small cores.
            "tensor-train" => TensorTrain,
            /// Groups of words, each of two thin factors.
            "block-low-rank" => BlockLowRank,
            /// A sum of Kronecker products.
            "kronecker" => Kronecker,
            /// Circulant blocks.
            "block-circulant" => BlockCirculant,
            /// Blocks of low displacement rank.
            "toeplitz-like" => ToeplitzLike,
            /// More training.
            "fine-tune" => FineTune,
            /// The file entropy-coded.
            "entropy" => Entropy,
        }
    };
}
pub(crate) use for_each_step;

macro_rules! define_steps {
    ($($(#[$doc:meta])* $name:literal => $step:ident),* $(,)?) => {
        /// A step of a recipe, by its key `method`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method")]
        pub enum Step {
            $($(#[$doc])* #[serde(rename = $name)] $step($step)),*
        }

        impl Step {
            /// Names of all methods.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$step(_) => $name),*
                }
            }

            /// What is known of it before it runs.
            pub fn settings(&self) -> &dyn Declare {
                match self {
                    $(Self::$step(step) => step),*
                }
            }

            /// The step of this name with these keys.
            pub(crate) fn read(name: &str, keys: Table) -> Option<Result<Self, toml::de::Error>> {
                match name {
                    $($name => Some(keys.try_into().map(Self::$step)),)*
                    _ => None,
                }
            }
        }
    };
}

for_each_step!(define_steps);
