//! Everything that can go wrong, with what was found, where, and what mends it.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write};

/// An error of the runtime: reading, writing or using a packed model.
///
/// Every variant carries what was found and where; its text ends with the mend where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written: see `reason`, the operating system's own words.
    File {
        /// The file, as the caller named it.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// The model in the file `path` is faulty: see `source`.
    Model {
        /// The file, as the caller named it.
        path: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Fewer bytes than even the smallest packed model has: not a `.plm` file, or cut off.
    TooShort {
        /// Bytes there are.
        bytes: usize,
        /// Bytes needed at the least.
        needed: usize,
    },
    /// The first eight bytes declare a header that reaches past the file's end or the limit
    /// of [`MAX_HEADER`](crate::format::MAX_HEADER) bytes: a foreign file, or cut off.
    HeaderLength {
        /// The declared length in bytes.
        declared: u64,
        /// The longest that could be valid here, in bytes.
        limit: usize,
    },
    /// Not a packed model, by how the file begins.
    Foreign {
        /// What it looks like, and what to do with such a file.
        looks: &'static str,
    },
    /// The header, or a value of its metadata, is not strict JSON.
    Json {
        /// Which text: `"header"` or the name of the metadata value.
        text: String,
        /// Byte offset of the fault in this text.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A line of a user's words ([`Personal`](crate::personal::Personal)) is not as it should be.
    #[cfg(feature = "personal")]
    Personal {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A line of what a typist does ([`Typing`](crate::correct::Typing)) is not as it should be.
    #[cfg(feature = "correct")]
    Typing {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A safetensors file, but not a packed model: pack a checkpoint with `pocketlm pack`.
    NotPacked,
    /// The file has a format version that this reader does not know: take a newer pocketlm,
    /// or pack the checkpoint again.
    Version {
        /// The version in the file.
        found: String,
        /// The newest version that this reader knows.
        supported: u32,
    },
    /// A value of the metadata is missing or says something impossible.
    Metadata {
        /// The metadata key, with the field in it where there is one (`matrices.softmax.rows`).
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// An array of the file (a safetensors entry) is missing, misplaced or of the wrong kind.
    Array {
        /// The array's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A matrix that the configuration asks for is not in the file, or has the wrong shape.
    Matrix {
        /// The matrix's name, as `cell.0.input`.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The vocabulary in the file is damaged.
    Vocabulary {
        /// Id of the entry at fault.
        entry: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A tokenizer of subwords is damaged, or its parts do not fit together.
    Subwords {
        /// What is wrong.
        problem: String,
    },
    /// The checksum stored in the file is not that of its bytes: copy the file anew.
    Checksum {
        /// The checksum stored in the file.
        stored: u32,
        /// The checksum of the bytes read.
        computed: u32,
    },
    /// A word is not in the vocabulary, and the vocabulary has no `<unk>` to stand for it.
    UnknownWord {
        /// The word.
        word: String,
    },
    /// What the model computes is infinite or not a number: its weights are too large to compute with.
    NotFinite {
        /// What overflowed.
        what: String,
    },
    /// A token id is not below the vocabulary's size.
    Token {
        /// The id given.
        token: u32,
        /// Types in the vocabulary.
        types: usize,
    },
    /// A buffer has another length than what shall be written into it.
    Length {
        /// Its length.
        given: usize,
        /// The length needed.
        needed: usize,
    },
    /// A saved state does not belong to this model: another size, or values that no state has.
    State {
        /// What is wrong.
        problem: &'static str,
    },
    /// A setting of [`Sampler`](crate::Sampler) that cannot be sampled with.
    Sampling {
        /// What is wrong.
        problem: &'static str,
    },
    /// The file asks for what this build of the library leaves out.
    Unsupported {
        /// What is not supported, and what to use instead.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and texts may be those of a hostile file.
        let f = &mut Escape(f);
        match self {
            Self::File { path, reason } => write!(f, "{path}: {reason}"),
            Self::Model { path, source } => write!(f, "{path}: {source}"),
            Self::TooShort { bytes, needed } => write!(
                f,
                "not a .plm file, or cut off: {bytes} bytes are too few for a packed model (at least {needed})"
            ),
            Self::HeaderLength { declared, limit } => write!(
                f,
                "not a .plm file, or cut off: its first eight bytes make a header of {declared} bytes, of which at \
                 most {limit} fit"
            ),
            Self::Foreign { looks } => write!(f, "not a .plm file: it looks like {looks}"),
            Self::Json { text, offset, problem } => {
                write!(f, "{text}, byte {offset}: {problem}; the file is damaged or foreign")
            }
            #[cfg(feature = "personal")]
            Self::Personal { line, problem } => write!(f, "line {line}: {problem}"),
            #[cfg(feature = "correct")]
            Self::Typing { line, problem } => write!(f, "line {line}: {problem}"),
            Self::NotPacked => write!(
                f,
                "not a .plm file: it is a safetensors file, but not a packed model; `pocketlm pack` makes \
                 one from a checkpoint"
            ),
            Self::Version { found, supported } => write!(
                f,
                "format version {found}, but this reader knows versions up to {supported} only; \
                 use the pocketlm that wrote it, or pack the checkpoint again"
            ),
            Self::Metadata { key, problem } => write!(f, "metadata `{key}`: {problem}"),
            Self::Array { name, problem } => write!(f, "array `{name}`: {problem}"),
            Self::Matrix { name, problem } => write!(f, "matrix `{name}`: {problem}"),
            Self::Vocabulary { entry, problem } => {
                write!(f, "vocabulary entry {entry}: {problem}")
            }
            Self::Subwords { problem } => write!(f, "subwords: {problem}"),
            Self::Checksum { stored, computed } => write!(
                f,
                "checksum {computed:08x} instead of {stored:08x}: the bytes have changed since \
                 the file was written; copy it anew"
            ),
            Self::UnknownWord { word } => write!(
                f,
                "the word \"{word}\" is not in the vocabulary, and the vocabulary has no <unk>"
            ),
            Self::NotFinite { what } => write!(
                f,
                "the model's output is not finite: {what} overflows; its weights are too large to compute with"
            ),
            Self::Token { token, types } => {
                write!(f, "token {token} is out of range: the vocabulary has {types} types")
            }
            Self::Length { given, needed } => {
                write!(f, "the buffer has {given} places, but {needed} are needed")
            }
            Self::State { problem } => write!(f, "saved state: {problem}"),
            Self::Sampling { problem } => write!(f, "sampling: {problem}"),
            Self::Unsupported { what } => write!(f, "{what}"),
        }
    }
}

/// A text that a file brought, for people: characters that act on a terminal, turn the direction of a text or cannot be
/// seen are escaped.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => f.write_char(c),
            c => c.escape_debug().try_for_each(|c| f.write_char(c)),
        })
    }
}

/// Writes what it is given as [`Shown`] does.
struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        fmt::Display::fmt(&Shown(text), self.0)
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Model { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A result of the runtime.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    pub(crate) fn metadata(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Metadata { key: key.into(), problem: problem.into() }
    }

    pub(crate) fn array(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Array { name: name.into(), problem: problem.into() }
    }

    #[cfg(feature = "subword")]
    pub(crate) fn subwords(problem: impl Into<String>) -> Self {
        Self::Subwords { problem: problem.into() }
    }

    pub(crate) fn matrix(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Matrix { name: name.into(), problem: problem.into() }
    }
}
