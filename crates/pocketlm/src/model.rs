//! An open model: its configuration, vocabulary and matrices, over bytes that nobody copies.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::cell::Layer;
use crate::configuration::{Configuration, Expected, Unit};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::{self, Header};
use crate::format::metadata::{self, Description};
use crate::format::{Perplexity, Provenance};
use crate::matrix::{self, Leaves, Matrix, factor_name};
use crate::storage::{Array, Storage};
use crate::vocabulary::{BLOCK, Vocabulary};

/// A packed model, open for use.
///
/// Opening checks everything but the weights themselves, whose every bit pattern is harmless;
/// [`verify`](Self::verify) checks those too. A model is shared freely between threads and sessions.
#[derive(Debug)]
pub struct Model {
    pub(crate) configuration: Configuration,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) projection: Option<Matrix>,
    /// `None` where the embedding is used.
    softmax: Option<Matrix>,
    pub(crate) softmax_bias: Array,
    pub(crate) header: Header,
    /// What the file says of each matrix: structure, sparsity, precision.
    pub(crate) forms: BTreeMap<String, [String; 3]>,
    pub(crate) storage: Arc<Storage>,
    recipe: String,
    provenance: Provenance,
    perplexity: Vec<Perplexity>,
}

impl Model {
    /// Opens the file at `path` by mapping it into memory.
    ///
    /// The file must not be shortened or rewritten in place while the model is open; replacing it by
    /// renaming another over it is fine.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, else [`Error::Model`] with what is wrong in it.
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let mapping = crate::mapping::Mapping::open(path)?;
        Self::from_storage(Storage::Mapped(mapping)).map_err(|source| Error::Model {
            path: alloc::string::ToString::to_string(&path.display()),
            source: alloc::boxed::Box::new(source),
        })
    }

    /// Opens a model from bytes: a `Vec<u8>`, or a `&'static [u8]` from `include_bytes!`. Static
    /// bytes are used in place if their address is a multiple of 64, otherwise copied once.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: impl Into<ModelBytes>) -> Result<Self> {
        Self::from_storage(bytes.into().0)
    }

    fn from_storage(storage: Storage) -> Result<Self> {
        let storage = Arc::new(storage);
        let header = container::read(&storage)?;
        let fields = &header.metadata;
        metadata::check_version(fields)?;
        let configuration = metadata::configuration(fields)?;
        if configuration.unit == Unit::Bpe {
            let what = "models over byte-pair pieces cannot be run from a packed file yet; \
                        train with unit \"word\" or \"character\"";
            return Err(Error::Unsupported { what: what.into() });
        }
        metadata::checksum(fields)?;
        let leaves = Leaves { header: &header, storage: &storage };
        let vocabulary = open_vocabulary(&leaves, configuration.unit)?;
        let types = vocabulary.len();
        let parts = Parts {
            descriptions: metadata::matrices(fields)?,
            expected: configuration.matrices(types),
            leaves: &leaves,
        };
        let projection = (configuration.projection > 0).then(|| parts.matrix("projection"));
        let softmax = (!configuration.tied).then(|| parts.matrix("softmax"));
        Ok(Self {
            embedding: parts.matrix("embedding")?,
            layers: parts.layers(&configuration)?,
            projection: projection.transpose()?,
            softmax: softmax.transpose()?,
            softmax_bias: leaves.finite("softmax.bias", &[types])?,
            forms: parts.forms(),
            recipe: metadata::recipe(fields),
            provenance: metadata::provenance(fields)?,
            perplexity: metadata::perplexity(fields)?,
            configuration,
            vocabulary,
            storage,
            header,
        })
    }

    /// What the model is made of.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The words it knows.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The recipe that made it, as its author wrote it; empty if none was stored.
    #[must_use]
    pub fn recipe(&self) -> &str {
        &self.recipe
    }

    /// Where it comes from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Perplexities measured when it was packed.
    #[must_use]
    pub fn perplexity(&self) -> &[Perplexity] {
        &self.perplexity
    }

    /// Numbers that a [`State`](crate::State) of this model holds.
    #[must_use]
    pub fn state_len(&self) -> usize {
        self.layers.iter().map(Layer::state).sum()
    }

    /// The matrix of the output layer.
    pub(crate) fn softmax(&self) -> &Matrix {
        self.softmax.as_ref().unwrap_or(&self.embedding)
    }

    /// Width of what the last layer gives.
    pub(crate) fn top(&self) -> usize {
        self.configuration.top()
    }

    /// Refuses a token that the vocabulary does not have.
    pub(crate) fn check(&self, token: u32) -> Result<()> {
        let types = self.vocabulary.len();
        if (token as usize) < types { Ok(()) } else { Err(Error::Token { token, types }) }
    }
}

/// Bytes that a model can be opened from: see [`Model::from_bytes`].
#[derive(Debug)]
pub struct ModelBytes(Storage);

impl From<Vec<u8>> for ModelBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&'static [u8]> for ModelBytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self(bytes.into())
    }
}

fn open_vocabulary(leaves: &Leaves<'_>, unit: Unit) -> Result<Vocabulary> {
    let entry = metadata::vocabulary(&leaves.header.metadata)?;
    let (text, shape) = leaves.any(&entry.text, Dtype::U8)?;
    if shape.len() != 1 {
        return Err(Error::array(entry.text, "is not a list of bytes"));
    }
    let blocks = leaves.array(&entry.blocks, Dtype::U32, &[entry.types.div_ceil(BLOCK)])?;
    Vocabulary::new(text, blocks, (entry.types, entry.eos, entry.unk), unit)
}

/// What a model is put together from.
struct Parts<'a> {
    descriptions: BTreeMap<String, Description<'a>>,
    expected: Vec<Expected>,
    leaves: &'a Leaves<'a>,
}

impl Parts<'_> {
    /// The matrix `name`, with the shape that the configuration gives it.
    fn matrix(&self, name: &str) -> Result<Matrix> {
        let missing = || Error::matrix(name, "is missing, but the configuration asks for it");
        let description = self.descriptions.get(name).ok_or_else(missing)?;
        let expected = self.expected.iter().find(|expected| expected.name == name);
        let expected = expected.ok_or_else(missing)?;
        let (found, wanted) =
            ([description.rows, description.columns], [expected.rows, expected.columns]);
        if found != wanted {
            let problem = alloc::format!("is {found:?}, but the configuration asks for {wanted:?}");
            return Err(Error::matrix(name, problem));
        }
        Matrix::open(description, self.leaves)
    }

    fn layers(&self, configuration: &Configuration) -> Result<Vec<Layer>> {
        let layers = configuration.hidden.iter().enumerate().map(|(k, &hidden)| {
            let matrix = |part: &str| self.matrix(&alloc::format!("cell.{k}.{part}"));
            let length = configuration.cell.biases() * hidden;
            let vector = |part| self.leaves.finite(&alloc::format!("cell.{k}.{part}"), &[length]);
            let projected = configuration.cell_projection > 0;
            Ok(Layer {
                kind: configuration.cell,
                hidden,
                input: matrix("input")?,
                recurrent: matrix("recurrent")?,
                projection: projected.then(|| matrix("projection")).transpose()?,
                bias: vector("bias")?,
                gain: configuration.layer_norm.then(|| vector("gain")).transpose()?,
                rounds: (0..configuration.mogrifier)
                    .map(|i| matrix(&alloc::format!("mogrifier.{i}")))
                    .collect::<Result<_>>()?,
            })
        });
        layers.collect()
    }

    /// Structure, sparsity and precision of every matrix and every factor of one.
    fn forms(&self) -> BTreeMap<String, [String; 3]> {
        let form =
            |d: &Description<'_>| [d.structure.clone(), d.sparsity.clone(), d.precision.clone()];
        let mut forms = BTreeMap::new();
        for (name, description) in &self.descriptions {
            // What has no factors has none to list; what has, has been opened.
            let factors = matrix::factors(description).unwrap_or_default();
            for (k, factor) in factors.iter().enumerate() {
                forms.insert(factor_name(name, &description.structure, k), form(factor));
            }
            forms.insert(name.clone(), form(description));
        }
        forms
    }
}
