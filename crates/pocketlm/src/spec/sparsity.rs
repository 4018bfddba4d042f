//! Which numbers of a matrix are stored.

use super::named;

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
    /// What the names of its arrays have after the matrix's, behind those of the
    /// [precision](super::Precision::arrays).
    #[must_use]
    pub const fn arrays(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Unstructured => &[".offsets", ".positions"],
            Self::Panels => &[".offsets", ".columns"],
        }
    }
}
