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
        /// Those of two thin factors, and one for each row on the diagonals of squares.
        DiagonalLowRank = "diagonal-low-rank",
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
    /// What the name of its factor `factor`, in the order of the file, has after that of the matrix: `.left`. A dense
    /// matrix is its own factor.
    #[must_use]
    pub fn suffix(self, factor: usize) -> String {
        let side = ["left", "right"][factor % 2];
        match self {
            Self::Dense => String::new(),
            Self::LowRank => format!(".{side}"),
            Self::DiagonalLowRank if factor == 2 => ".diagonal".into(),
            Self::DiagonalLowRank => format!(".{side}"),
            Self::BlockLowRank => format!(".{side}.{}", factor / 2),
            Self::TensorTrain => format!(".core.{factor}"),
            Self::BlockCirculant => ".blocks".into(),
            Self::ToeplitzLike => [".circulant", ".skew"][factor % 2].into(),
            Self::Unitary => [".phases", ".reflections"][factor % 2].into(),
        }
    }

    /// The whole name of that factor: `softmax.left`.
    #[must_use]
    pub fn factor(self, matrix: &str, factor: usize) -> String {
        format!("{matrix}{}", self.suffix(factor))
    }
}
