//! Writing packed models.
//!
//! ```
//! use pocketlm::{CellKind, Configuration, Model, Unit};
//! use pocketlm::pack::{Packer, Precision};
//!
//! let configuration = Configuration {
//!     cell: CellKind::Gru,
//!     embedding: 2,
//!     hidden: vec![3],
//!     cell_projection: 0,
//!     projection: 0,
//!     tied: false,
//!     unit: Unit::Word,
//!     layer_norm: false,
//!     mogrifier: 0,
//! };
//! let mut packer = Packer::new(configuration.clone(), &["<eos>", "b", "a"], "<eos>", None)?;
//! for matrix in configuration.matrices(3) {
//!     let weights = vec![0.1; matrix.rows * matrix.columns];
//!     packer.matrix(&matrix.name, &weights, Precision::Int8)?;
//! }
//! for bias in configuration.biases(3) {
//!     packer.bias(&bias.name, &vec![0.0; bias.rows])?;
//! }
//! let model = Model::from_bytes(packer.finish()?)?;
//! assert_eq!(model.vocabulary().id("a"), Some(1));
//! # Ok::<(), pocketlm::Error>(())
//! ```

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use pocketlm_kernels::grouped::Code;

use crate::configuration::{Configuration, Expected, Unit};
use crate::error::{Error, Result};
use crate::format::{Perplexity, Provenance};

mod blocks;
mod container;
mod dense;
mod entropy;
#[cfg(feature = "std")]
mod file;
mod form;
mod ngram;
mod notes;
mod panels;
mod planes;
mod product;
mod product_quantised;
mod unstructured;
mod vocabulary;

pub use blocks::{circulant_fits, toeplitz_fits, unitary_fits};
pub use dense::{round_trip, stored_bytes};
pub use entropy::entropy_coded;
#[cfg(feature = "std")]
pub use file::{create_file_with, write_file, write_file_with};
pub use form::{Factor, Form, Sparsity, factor_bytes, round_trip_factor};
pub use notes::Notes;
pub use product::Product;
pub use vocabulary::sorted_order;

/// How many bits each number of a matrix has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    F16,
    /// 1 byte, and a scale of 4 bytes for each row.
    Int8,
    /// Half a byte, and a scale of 2 bytes for each row and group of 64 columns.
    Int4,
    /// Sixteen levels of the matrix's own, found by k-means: half a byte, and scales as int4.
    Codebook,
    /// 3 bits, and scales as int4.
    Int3,
    /// 2 bits (−3, −1, 1, 3), and scales as int4.
    Int2,
    /// −1, 0 or 1 in 2 bits, and scales as int4.
    Ternary,
    /// A sum of three scaled signs: 3 bits, and three scales of 2 bytes for each row and group of 128 columns.
    Binary3,
    /// A sum of two scaled signs: 2 bits, and two such scales.
    Binary2,
    /// One of 256 vectors for every 4 columns of a row: 2 bits, and 512 bytes a column for the vectors.
    Product4,
    /// One for every 8 columns: 1 bit, and the same.
    Product8,
}

impl Precision {
    /// All precisions.
    pub const ALL: [Self; 12] = [
        Self::F32,
        Self::F16,
        Self::Int8,
        Self::Int4,
        Self::Codebook,
        Self::Int3,
        Self::Int2,
        Self::Ternary,
        Self::Binary3,
        Self::Binary2,
        Self::Product4,
        Self::Product8,
    ];

    /// Its name: `f32`, `f16`, `int8`, `int4`, `codebook`, `int3`, `int2`, `ternary`, `binary3`, `binary2`, `product4` or
    /// `product8`.
    #[must_use]
    pub fn name(self) -> &'static str {
        let names = [
            "f32", "f16", "int8", "int4", "codebook", "int3", "int2", "ternary", "binary3",
            "binary2", "product4", "product8",
        ];
        names[self as usize]
    }

    /// How many scaled signs a number is the sum of, if it is one.
    fn planes(self) -> Option<usize> {
        match self {
            Self::Binary3 => Some(3),
            Self::Binary2 => Some(2),
            _ => None,
        }
    }

    /// How many columns share a code, if some do.
    fn part(self) -> Option<usize> {
        match self {
            Self::Product4 => Some(4),
            Self::Product8 => Some(8),
            _ => None,
        }
    }

    /// Whether its products are exact in whole numbers, the same on every machine.
    #[must_use]
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F16 | Self::Product4 | Self::Product8)
    }

    /// How the kernels call it, where weights are short codes.
    fn code(self) -> Option<Code> {
        match self {
            Self::F32 | Self::F16 | Self::Int8 => None,
            Self::Binary3 | Self::Binary2 | Self::Product4 | Self::Product8 => None,
            Self::Int4 => Some(Code::Int4),
            Self::Codebook => Some(Code::Codebook),
            Self::Int3 => Some(Code::Int3),
            Self::Int2 => Some(Code::Int2),
            Self::Ternary => Some(Code::Ternary),
        }
    }

    /// The precision of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name)
    }
}

/// A matrix encoded for the file: the JSON of its description, and its arrays.
#[derive(Debug, Clone)]
struct Encoded {
    description: String,
    /// Names of its sparsity and precision: `mixed` where factors differ.
    sparsity: &'static str,
    precision: &'static str,
    arrays: Vec<container::Leaf>,
}

/// Puts a packed model together.
///
/// Words and rows come in the caller's order and leave in sorted order: the rows of `embedding`,
/// `softmax` and `softmax.bias` follow their words.
#[derive(Debug, Clone)]
pub struct Packer {
    configuration: Configuration,
    words: Vec<String>,
    /// The caller's index of each id.
    order: Vec<u32>,
    eos: u32,
    unk: Option<u32>,
    matrices: BTreeMap<String, Encoded>,
    biases: BTreeMap<String, container::Leaf>,
    notes: Notes,
}

impl Packer {
    /// Begins a model over `words`, the row order of the matrices to come.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for byte-pair encoding; [`Error::Metadata`] if the configuration is
    /// impossible, a word is empty, comes twice or is longer than 4096 bytes, or `eos` or `unk` is not
    /// among them.
    pub fn new<W: AsRef<str>>(
        configuration: Configuration,
        words: &[W],
        eos: &str,
        unk: Option<&str>,
    ) -> Result<Self> {
        configuration.check()?;
        if configuration.unit == Unit::Bpe {
            let what = "models over byte-pair pieces cannot be packed yet; \
                        train with unit \"word\" or \"character\"";
            return Err(Error::Unsupported { what: what.into() });
        }
        let order = sorted_order(words);
        let sorted = order.iter().map(|&at| words[at as usize].as_ref().to_string());
        let words: Vec<String> = sorted.collect();
        vocabulary::check(&words)?;
        let id = |special: &str| match words.binary_search_by(|word| word.as_str().cmp(special)) {
            Ok(id) => Ok(id as u32),
            Err(_) => Err(Error::metadata("vocabulary", format!("has no {special}"))),
        };
        Ok(Self {
            eos: id(eos)?,
            unk: unk.map(id).transpose()?,
            configuration,
            words,
            order,
            matrices: BTreeMap::new(),
            biases: BTreeMap::new(),
            notes: Notes::default(),
        })
    }

    /// Adds the dense matrix `name` of row-major `weights` `[rows, columns]`, whose shape the configuration
    /// gives, in this precision.
    ///
    /// # Errors
    /// [`Error::Matrix`] if the configuration asks for no such matrix, there are too few or too many
    /// weights, or one is not finite or too large for the precision.
    pub fn matrix(&mut self, name: &str, weights: &[f32], precision: Precision) -> Result<()> {
        let expected = find(self.configuration.matrices(self.words.len()), name)?;
        let Expected { rows, columns, .. } = expected;
        let sparsity = Sparsity::None;
        self.form(name, &Form::Dense(Factor { rows, columns, weights, sparsity, precision }))
    }

    /// Adds the bias `name`.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub fn bias(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let expected = find(self.configuration.biases(self.words.len()), name)?;
        check(&expected, values)?;
        let sorted = (name == "softmax.bias").then(|| sorted(&self.order, values, 1));
        let values = sorted.as_deref().unwrap_or(values);
        let leaf = container::Leaf::f32(name, &[values.len()], values);
        self.biases.insert(name.into(), leaf);
        Ok(())
    }

    /// Stores the recipe that made the model, any text.
    pub fn recipe(&mut self, recipe: &str) {
        self.notes.recipe = recipe.into();
    }

    /// Stores where the model comes from.
    pub fn provenance(&mut self, provenance: Provenance) {
        self.notes.provenance = provenance;
    }

    /// Adds a perplexity that was measured on the packed model: finish, measure, add, finish again.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the value is not finite.
    pub fn perplexity(&mut self, perplexity: Perplexity) -> Result<()> {
        if !perplexity.value.is_finite() {
            return Err(Error::metadata("perplexity", "is not a finite number"));
        }
        self.notes.perplexity.push(perplexity);
        Ok(())
    }

    /// The packed model. The same parts always give the same bytes.
    ///
    /// # Errors
    /// [`Error::Matrix`] if a matrix or bias that the configuration asks for was not added.
    pub fn finish(&self) -> Result<Vec<u8>> {
        let types = self.words.len();
        let missing = |name: &str| Error::matrix(name, "was not given to the packer");
        let mut leaves = Vec::new();
        let mut descriptions = Vec::new();
        for Expected { name, .. } in self.configuration.matrices(types) {
            let matrix = self.matrices.get(&name).ok_or_else(|| missing(&name))?;
            descriptions.push(matrix.description.as_str());
            leaves.extend(&matrix.arrays);
        }
        for Expected { name, .. } in self.configuration.biases(types) {
            leaves.push(self.biases.get(&name).ok_or_else(|| missing(&name))?);
        }
        let vocabulary = vocabulary::encode(&self.words)?;
        leaves.extend(&vocabulary);
        let model = alloc::vec![
            ("configuration", self.configuration.to_json()),
            ("matrices", format!("[{}]", descriptions.join(","))),
        ];
        let fields = self.notes.metadata(model, (types, self.eos, self.unk));
        container::write(&fields, &leaves)
    }
}

/// The rows of `weights` in this order.
fn sorted(order: &[u32], weights: &[f32], columns: usize) -> Vec<f32> {
    let rows = order.iter().map(|&at| &weights[at as usize * columns..][..columns]);
    rows.flatten().copied().collect()
}

fn find(list: Vec<Expected>, name: &str) -> Result<Expected> {
    let names: Vec<_> = list.iter().map(|expected| expected.name.clone()).collect();
    let found = list.into_iter().find(|expected| expected.name == name);
    let problem = || format!("is not one that the configuration asks for: {}", names.join(", "));
    found.ok_or_else(|| Error::matrix(name, problem()))
}

fn check(expected: &Expected, values: &[f32]) -> Result<()> {
    let Expected { name, rows, columns } = expected;
    if values.len() != rows * columns {
        let problem = format!("has {} values instead of {rows} x {columns}", values.len());
        return Err(Error::matrix(name, problem));
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (row, column, value) = (at / columns, at % columns, values[at]);
            Err(Error::matrix(name, format!("row {row}, column {column} is {value}, not finite")))
        }
    }
}
