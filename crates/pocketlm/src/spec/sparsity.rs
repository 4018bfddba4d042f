//! Which numbers of a matrix are stored.

use pocketlm_kernels::grouped::Code;

use super::{Kernels, Precision, named};

named! {
    /// Which numbers of a matrix the file holds.
    Sparsity {
        /// All.
        None = "none",
        /// Those that are not zero, with their positions.
        Unstructured = "unstructured",
        /// Blocks of 16 rows × 1 column that are not all zero, in panels of 16 rows of the file: rows of `embedding`
        /// and `softmax` are in the sorted order of their words there, those of other matrices and factors as they are
        /// given.
        Panels = "panels",
    }
}

impl Sparsity {
    /// Whether kept numbers can have this precision.
    #[must_use]
    pub const fn takes(self, precision: Precision) -> bool {
        match (self, precision.kernels()) {
            (Self::None, _)
            | (_, Kernels::Float32 | Kernels::Float16 | Kernels::Int8)
            | (Self::Panels, Kernels::Codes(Code::Int4)) => true,
            (Self::Unstructured | Self::Panels, _) => false,
        }
    }

    /// What the names of its arrays have after the matrix's, behind those of the
    /// [precision](Precision::arrays).
    #[must_use]
    pub const fn arrays(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Unstructured => &[".offsets", ".positions"],
            Self::Panels => &[".offsets", ".columns"],
        }
    }
}
