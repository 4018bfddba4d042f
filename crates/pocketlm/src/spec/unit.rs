//! What a token is.

use super::named;

named! {
    /// What a token is.
    Unit {
        /// Words between white space.
        Word = "word",
        /// Words and marks of raw text ([`raw`](crate::raw)) with [`Case::True`].
        Raw = "raw",
        /// The same with [`Case::Keep`].
        RawKeep = "raw-keep",
        /// The same with [`Case::Fold`].
        RawFold = "raw-fold",
        /// Single characters; a line's end is `<eos>`.
        Character = "character",
        /// Pieces of words ([`subword`](crate::subword)).
        Subword = "subword",
    }
}

named! {
    /// What happens to the capitals of raw text.
    Case {
        /// Nothing.
        Keep = "keep",
        /// All letters become small ones.
        Fold = "fold",
        /// Those at the start of a sentence go where the corpus has the word without one elsewhere.
        True = "true",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro derives no default")]
impl Default for Case {
    fn default() -> Self {
        Self::True
    }
}

impl Unit {
    /// Words and marks of raw text, with this case.
    #[must_use]
    pub fn raw(case: Case) -> Self {
        match case {
            Case::Keep => Self::RawKeep,
            Case::Fold => Self::RawFold,
            Case::True => Self::Raw,
        }
    }

    /// What happens to capitals, for raw text.
    #[must_use]
    pub fn case(self) -> Option<Case> {
        match self {
            Self::Raw => Some(Case::True),
            Self::RawKeep => Some(Case::Keep),
            Self::RawFold => Some(Case::Fold),
            Self::Word | Self::Character | Self::Subword => None,
        }
    }
}
