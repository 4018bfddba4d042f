//! Which numbers describe a matrix.

use alloc::format;
use alloc::string::String;

use super::named;

named! {
    /// Which numbers describe a matrix.
    Structure {
        /// Its own.
        Dense = "dense",
        /// Those of two thin factors, whose product it is.
        LowRank = "low-rank",
        /// Two thin factors for each of some groups of rows.
        BlockLowRank = "block-low-rank",
        /// A chain of small cores.
        TensorTrain = "tensor-train",
        /// A vector for each circulant block.
        BlockCirculant = "block-circulant",
        /// Vectors for each block of low displacement rank.
        ToeplitzLike = "toeplitz-like",
        /// Phases and reflections of a unitary matrix.
        Unitary = "unitary",
    }
}

impl Structure {
    /// The name of its factor `factor`, in the order of the file, for a matrix of the name `matrix`: `softmax.left`. A
    /// dense matrix is its own factor.
    #[must_use]
    pub fn factor(self, matrix: &str, factor: usize) -> String {
        let side = ["left", "right"][factor % 2];
        match self {
            Self::Dense => matrix.into(),
            Self::LowRank => format!("{matrix}.{side}"),
            Self::BlockLowRank => format!("{matrix}.{side}.{}", factor / 2),
            Self::TensorTrain => format!("{matrix}.core.{factor}"),
            Self::BlockCirculant => format!("{matrix}.blocks"),
            Self::ToeplitzLike => format!("{matrix}.{}", ["circulant", "skew"][factor % 2]),
            Self::Unitary => format!("{matrix}.{}", ["phases", "reflections"][factor % 2]),
        }
    }
}
