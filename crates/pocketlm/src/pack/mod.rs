//! Writing packed models.
//!
//! ```
//! use pocketlm::pack::Packer;
//! use pocketlm::{CellKind, Configuration, Model, Precision, Unit};
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
//!     packer.matrix(matrix.name, &weights, Precision::Int8)?;
//! }
//! for bias in configuration.biases(3) {
//!     packer.bias(bias.name, &vec![0.0; bias.rows])?;
//! }
//! let model = Model::from_bytes(packer.finish()?)?;
//! assert_eq!(model.vocabulary().id("a"), Some(1));
//! # Ok::<(), pocketlm::Error>(())
//! ```

use alloc::collections::BTreeMap;
use alloc::format;
#[cfg(feature = "subword")]
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Display;

use crate::error::{Error, Result};
use crate::format::container::write::{Leaf, write};
use crate::format::{Perplexity, Provenance};
use crate::matrix::encoded::{Encoded, Shape, check, sorted};
use crate::matrix::write::encode;
use crate::spec::{Configuration, Expected, MatrixName, Unit};
use crate::vocabulary::write as vocabulary;

mod notes;
mod product;

pub use crate::entropy::write::entropy_coded;
#[cfg(feature = "std")]
pub use crate::file::{create_file_with, write_file, write_file_with};
pub use crate::matrix::circulant::write::circulant_fits;
pub use crate::matrix::dense::write::{round_trip, stored_bytes};
pub use crate::matrix::encoded::Factor;
pub use crate::matrix::stored::write::{factor_bytes, round_trip_factor};
pub use crate::matrix::toeplitz::write::toeplitz_fits;
pub use crate::matrix::unitary::write::unitary_fits;
pub use crate::matrix::write::Form;
pub use crate::spec::{Precision, Sparsity};
pub use crate::vocabulary::write::sorted_order;
pub use notes::Notes;
pub use product::Product;

/// Puts a packed model together.
///
/// Words and rows come in the caller's order and leave in sorted order: the rows of `embedding`,
/// `softmax` and `softmax.bias` follow their words.
#[derive(Debug, Clone)]
pub struct Packer {
    configuration: Configuration,
    words: Vec<Vec<u8>>,
    /// The caller's index of each id.
    order: Vec<u32>,
    eos: u32,
    unk: Option<u32>,
    matrices: BTreeMap<MatrixName, Encoded>,
    biases: BTreeMap<MatrixName, Leaf>,
    names: Option<Leaf>,
    /// The entry of the metadata that describes the tokenizer, and its arrays.
    #[cfg(feature = "subword")]
    subwords: Option<(String, Vec<Leaf>)>,
    notes: Notes,
}

impl Packer {
    /// Begins a model over `words`, the row order of the matrices to come.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the configuration is impossible, a word is empty, comes twice, is longer than 4096
    /// bytes or, but for subwords, no UTF-8, or `eos` or `unk` is not among them.
    pub fn new<W: AsRef<[u8]>>(
        configuration: Configuration,
        words: &[W],
        eos: &str,
        unk: Option<&str>,
    ) -> Result<Self> {
        configuration.check()?;
        let order = sorted_order(words);
        let sorted = order.iter().map(|&at| words[at as usize].as_ref().to_vec());
        let words: Vec<Vec<u8>> = sorted.collect();
        vocabulary::check(&words, configuration.unit)?;
        let id =
            |special: &str| match words.binary_search_by(|word| word[..].cmp(special.as_bytes())) {
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
            names: None,
            #[cfg(feature = "subword")]
            subwords: None,
            notes: Notes::default(),
        })
    }

    /// Adds the dense matrix `name` of row-major `weights` `[rows, columns]`, whose shape the configuration
    /// gives, in this precision.
    ///
    /// # Errors
    /// [`Error::Matrix`] if the configuration asks for no such matrix, there are too few or too many
    /// weights, or one is not finite or too large for the precision.
    pub fn matrix(
        &mut self,
        name: impl Display,
        weights: &[f32],
        precision: Precision,
    ) -> Result<()> {
        let Expected { rows, columns, .. } = self.expected(&name)?;
        let sparsity = Sparsity::None;
        self.form(name, &Form::Dense(Factor { rows, columns, weights, sparsity, precision }))
    }

    /// Adds the matrix `name` in this form. Rows, and those of a left factor, come in the caller's order of the
    /// words where they are words.
    ///
    /// # Errors
    /// [`Error::Matrix`] if the configuration asks for no such matrix, the sizes do not fit, a number is not
    /// finite or too large for the precision, or a sparse factor has a precision that it cannot have.
    pub fn form(&mut self, name: impl Display, form: &Form<'_>) -> Result<()> {
        let Expected { name, rows, columns } = self.expected(&name)?;
        let order = name.is_by_word().then_some(&self.order[..]);
        let encoded = encode(&Shape { name: name.to_string(), rows, columns }, order, form)?;
        self.matrices.insert(name, encoded);
        Ok(())
    }

    /// What the configuration asks of the matrix `name`.
    fn expected(&self, name: &impl Display) -> Result<Expected> {
        find(self.configuration.matrices(self.words.len()), &name.to_string())
    }

    /// The caller's row of each row of the file, for matrices whose rows are words: what
    /// [`sorted_order`] gives for the words. Blocks of 16 rows ([`Sparsity::Panels`]) are
    /// blocks of this order.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Adds the bias or gain `name`.
    ///
    /// # Errors
    /// As [`matrix`](Self::matrix).
    pub fn bias(&mut self, name: impl Display, values: &[f32]) -> Result<()> {
        let biases = self.configuration.biases(self.words.len());
        let Expected { name, rows, columns } = find(biases, &name.to_string())?;
        check(&Shape { name: name.to_string(), rows, columns }, values)?;
        let sorted = name.is_by_word().then(|| sorted(&self.order, values, 1));
        let values = sorted.as_deref().unwrap_or(values);
        let leaf = Leaf::f32(&name.to_string(), &[values.len()], values);
        self.biases.insert(name, leaf);
        Ok(())
    }

    /// Says which capitalised words of raw text keep their capital at the start of a sentence, although the vocabulary
    /// has them with a small letter too.
    ///
    /// # Errors
    /// [`Error::Metadata`] if the vocabulary lacks one of them.
    pub fn names<W: AsRef<str>>(&mut self, names: &[W]) -> Result<()> {
        self.names = vocabulary::names(&self.words, names)?;
        Ok(())
    }

    /// Adds what cuts text into subwords; a model of these needs it.
    ///
    /// # Errors
    /// [`Error::Subwords`] if its pieces are not the words of the model.
    #[cfg(feature = "subword")]
    pub fn tokenizer(&mut self, tokenizer: &crate::subword::Tokenizer) -> Result<()> {
        let types = self.words.len();
        let ids = 0..types as u32;
        let same = tokenizer.types() == types
            && ids.zip(&self.words).all(|(id, word)| tokenizer.piece(id) == word);
        if !same
            || !tokenizer.is_control(self.eos)
            || self.unk.is_some_and(|unk| !tokenizer.is_control(unk))
        {
            return Err(Error::subwords("the tokenizer's pieces are not those of the model"));
        }
        self.subwords = Some(crate::subword::write::parts(tokenizer));
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
        let missing =
            |name: MatrixName| Error::matrix(name.to_string(), "was not given to the packer");
        let mut leaves = Vec::new();
        let mut descriptions = Vec::new();
        for Expected { name, .. } in self.configuration.matrices(types) {
            let matrix = self.matrices.get(&name).ok_or_else(|| missing(name))?;
            descriptions.push(matrix.description.as_str());
            leaves.extend(&matrix.arrays);
        }
        for Expected { name, .. } in self.configuration.biases(types) {
            leaves.push(self.biases.get(&name).ok_or_else(|| missing(name))?);
        }
        let vocabulary = vocabulary::encode(&self.words)?;
        leaves.extend(&vocabulary);
        leaves.extend(&self.names);
        #[cfg_attr(
            not(feature = "subword"),
            expect(unused_mut, reason = "only subwords add to it")
        )]
        let mut model = alloc::vec![
            ("configuration", self.configuration.to_json()),
            ("matrices", format!("[{}]", descriptions.join(","))),
        ];
        #[cfg(feature = "subword")]
        if let Some((entry, arrays)) = &self.subwords {
            model.push(("subwords", entry.clone()));
            leaves.extend(arrays);
        }
        if self.configuration.unit == Unit::Subword
            && !model.iter().any(|(key, _)| *key == "subwords")
        {
            return Err(Error::metadata(
                "subwords",
                "is missing: the packer was given no tokenizer",
            ));
        }
        let fields = self.notes.metadata(model, (types, self.eos, self.unk), self.names.is_some());
        write(&fields, &leaves)
    }
}

fn find(list: Vec<Expected>, name: &str) -> Result<Expected> {
    let wanted = name.parse().ok();
    if let Some(found) = list.iter().find(|expected| Some(expected.name) == wanted) {
        return Ok(found.clone());
    }
    let names: Vec<_> = list.iter().map(|expected| expected.name.to_string()).collect();
    let problem = format!("is not one that the configuration asks for: {}", names.join(", "));
    Err(Error::matrix(name, problem))
}
