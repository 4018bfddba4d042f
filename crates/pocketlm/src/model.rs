//! An open model: its vocabulary and what gives the probabilities, over bytes that nobody copies.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::entropy;
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::container::{self, Header};
use crate::format::metadata;
use crate::format::{Perplexity, Provenance};
use crate::leaves::Leaves;
use crate::mixture::{Mixture, Part};
use crate::ngram::Ngram;
use crate::recurrent::Recurrent;
use crate::spec::{Configuration, Unit};
use crate::storage::Storage;
use crate::vocabulary::{BLOCK, Vocabulary};

/// A packed model, open for use.
///
/// Arrays are used where they lie in the file, but for entropy-coded ones, which opening decodes into memory.
/// Opening checks everything but the weights themselves, whose every bit pattern is harmless;
/// [`verify`](Self::verify) checks those too. A model is shared freely between threads and sessions.
#[derive(Debug)]
pub struct Model {
    pub(crate) kind: Kind,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) header: Header,
    pub(crate) storage: Arc<Storage>,
    /// What was decoded of the file.
    #[cfg_attr(
        not(feature = "pack"),
        expect(dead_code, reason = "the writer of mixtures reads it")
    )]
    pub(crate) decoded: Arc<Storage>,
    checksum: u32,
    recipe: String,
    provenance: Provenance,
    perplexity: Vec<Perplexity>,
}

/// What gives the probabilities.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a model has one, which a box would only put further away"
)]
pub(crate) enum Kind {
    Recurrent(Recurrent),
    Ngram(Ngram),
    Mixture(Mixture),
}

impl Model {
    /// Opens the file at `path` by mapping it into memory.
    ///
    /// The file must not be shortened or rewritten in place while the model is open; replacing it by
    /// renaming another over it is fine.
    ///
    /// Linux is asked for large pages, which it gives to what it does not hold in small ones already: a file that was
    /// written a moment ago is slower to open and, beyond some ten megabytes, to use than after the next start.
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
        let mut header = container::read(&storage, metadata::check_version)?;
        let checksum = metadata::checksum(&header.metadata)?;
        let decoded = entropy::decode(&mut header, &storage)?;
        let leaves = Leaves::new(&header, &storage, &decoded);
        let (kind, vocabulary) = match Mixture::weights(&header)? {
            Some(weights) => open_mixture(&leaves, checksum, &weights)?,
            None => open_kind(&leaves, None)?,
        };
        Self::new(kind, vocabulary, checksum, header, (&storage, &decoded))
    }

    fn new(
        kind: Kind,
        vocabulary: Vocabulary,
        checksum: u32,
        header: Header,
        (storage, decoded): (&Arc<Storage>, &Arc<Storage>),
    ) -> Result<Self> {
        let fields = &header.metadata;
        Ok(Self {
            kind,
            vocabulary,
            checksum,
            recipe: metadata::recipe(fields),
            provenance: metadata::provenance(fields)?,
            perplexity: metadata::perplexity(fields)?,
            storage: Arc::clone(storage),
            decoded: Arc::clone(decoded),
            header,
        })
    }

    /// The models of a mixture ([`pack::mixture`](crate::pack::mixture)); none of any other model. The file, its bytes and
    /// its checksum are those of the whole.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        match &self.kind {
            Kind::Mixture(mixture) => &mixture.parts,
            _ => &[],
        }
    }

    /// What a recurrent model is made of; `None` for an n-gram model and a mixture.
    #[must_use]
    pub fn configuration(&self) -> Option<&Configuration> {
        self.recurrent().map(|model| &model.configuration)
    }

    /// The words it knows.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The checksum that the file holds of itself, which tells it from other models; [`verify`](Self::verify) computes
    /// whether it is right.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.checksum
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
        match &self.kind {
            Kind::Recurrent(model) => model.state_len(),
            Kind::Ngram(model) => model.state_len(),
            Kind::Mixture(model) => model.state_len(),
        }
    }

    pub(crate) fn recurrent(&self) -> Option<&Recurrent> {
        match &self.kind {
            Kind::Recurrent(model) => Some(model),
            Kind::Ngram(_) | Kind::Mixture(_) => None,
        }
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

/// The model that the metadata describe: an n-gram model if they have an entry `ngram`, else a recurrent one.
///
/// `known` is the vocabulary, where it is not that of `leaves`.
fn open_kind(leaves: &Leaves<'_>, known: Option<&Vocabulary>) -> Result<(Kind, Vocabulary)> {
    let fields = &leaves.header.metadata;
    let words =
        |unit| known.map_or_else(|| open_vocabulary(leaves, unit), |words| Ok(words.clone()));
    if let Some(description) = metadata::ngram(fields)? {
        let vocabulary = words(description.unit)?;
        let model = Ngram::open(&description, &vocabulary, leaves)?;
        return Ok((Kind::Ngram(model), vocabulary));
    }
    let configuration = metadata::configuration(fields)?;
    let vocabulary = words(configuration.unit)?;
    let model = Recurrent::open(configuration, vocabulary.len(), leaves)?;
    Ok((Kind::Recurrent(model), vocabulary))
}

/// All parts of a mixture over the vocabulary of the file.
fn open_mixture(leaves: &Leaves<'_>, checksum: u32, weights: &[f64]) -> Result<(Kind, Vocabulary)> {
    let headers = (0..weights.len()).map(|part| Mixture::part_header(leaves.header, part));
    let headers: Vec<Header> = headers.collect::<Result<_>>()?;
    let unit = unit_of(&headers[0])?;
    let vocabulary = open_vocabulary(leaves, unit)?;
    let mut parts = Vec::with_capacity(weights.len());
    for (header, &weight) in headers.into_iter().zip(weights) {
        if unit_of(&header)? != unit {
            return Err(Error::metadata(
                "mixture",
                "has parts that cut text otherwise than the first",
            ));
        }
        let own = leaves.part(&header);
        let (kind, words) = open_kind(&own, Some(&vocabulary))?;
        leaves.take_back(&own);
        let storage = (leaves.storage, leaves.decoded);
        parts.push(Part { weight, model: Model::new(kind, words, checksum, header, storage)? });
    }
    Ok((Kind::Mixture(Mixture { parts }), vocabulary))
}

/// How the model that a header describes cuts text.
fn unit_of(header: &Header) -> Result<Unit> {
    Ok(match metadata::ngram(&header.metadata)? {
        Some(description) => description.unit,
        None => metadata::configuration(&header.metadata)?.unit,
    })
}

fn open_vocabulary(leaves: &Leaves<'_>, unit: Unit) -> Result<Vocabulary> {
    if unit.case().is_some() && cfg!(not(feature = "raw")) {
        let what = "a model of raw text needs the feature `raw` of this library";
        return Err(Error::Unsupported { what: what.into() });
    }
    if unit == Unit::Subword && cfg!(not(feature = "subword")) {
        let what = "a model of subwords needs the feature `subword` of this library";
        return Err(Error::Unsupported { what: what.into() });
    }
    let entry = metadata::vocabulary(&leaves.header.metadata)?;
    let (text, shape) = leaves.any(&entry.text, Dtype::U8)?;
    if shape.len() != 1 {
        return Err(Error::array(entry.text, "is not a list of bytes"));
    }
    let blocks = leaves.array(&entry.blocks, Dtype::U32, &[entry.types.div_ceil(BLOCK)])?;
    let names = entry.names.map(|name| leaves.array(&name, Dtype::U8, &[entry.types.div_ceil(8)]));
    let special = (entry.types, entry.eos, entry.unk);
    let vocabulary = Vocabulary::new(text, blocks, special, unit, names.transpose()?)?;
    #[cfg(feature = "subword")]
    if unit == Unit::Subword {
        let tokenizer = crate::subword::open::tokenizer(leaves, &vocabulary)?;
        return Ok(vocabulary.with_tokenizer(tokenizer));
    }
    Ok(vocabulary)
}
