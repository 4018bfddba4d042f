//! A model for use, whether it is a checkpoint or a packed file: both run on the runtime.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use pocketlm::{Model, Session};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Encoder, Unit};
use pocketlm_train::pack::pack_in_memory;

/// A model ready to run.
pub struct Loaded {
    /// The runtime's model; a checkpoint is packed in memory, in f32.
    pub model: Model,
    /// How text is cut, where the runtime cannot do it: byte pairs.
    encoder: Option<Encoder>,
}

impl Loaded {
    /// Opens a checkpoint's folder or a `.plm` file.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Self { model: Model::open(path)?, encoder: None });
        }
        let checkpoint = Checkpoint::load(path)?;
        let packed = pack_in_memory(&checkpoint)
            .with_context(|| format!("{} cannot be run", path.display()))?;
        let encoder = (checkpoint.config.unit == Unit::Bpe).then_some(checkpoint.encoder);
        Ok(Self { model: Model::from_bytes(packed)?, encoder })
    }

    /// Opens a model whose text the runtime can cut itself: of words or characters.
    pub fn words(path: &Path) -> Result<Self> {
        let loaded = Self::open(path)?;
        if loaded.encoder.is_some() {
            bail!("{} is a model of byte pairs; take one of words", path.display());
        }
        Ok(loaded)
    }

    /// How text is cut by a model of byte pairs.
    pub fn byte_pairs(&self) -> Option<&Encoder> {
        self.encoder.as_ref()
    }

    /// Token ids of a text and the number of words that the vocabulary lacks.
    pub fn tokens(&self, text: &str) -> Result<(Vec<u32>, u64)> {
        let vocabulary = self.model.vocabulary();
        let Some(encoder) = &self.encoder else {
            let mut oov = 0;
            let ids = vocabulary.tokens(text).map(|token| {
                oov += u64::from(token.id.is_none());
                vocabulary.resolve(token)
            });
            let ids: Result<_, _> = ids.collect();
            let mend = match self.model.configuration() {
                Some(_) => ": train with --max-vocab or --min-count, which adds it",
                None => "",
            };
            return Ok((ids.map_err(|e| anyhow!("{e}{mend}"))?, oov));
        };
        let encoded = encoder.encode(text)?;
        let piece = |&id: &u32| {
            let word = encoder.vocabulary().word(id).and_then(|word| vocabulary.id(word));
            word.ok_or_else(|| anyhow!("the tokenizer has a piece ({id}) that the model lacks"))
        };
        Ok((encoded.ids.iter().map(piece).collect::<Result<_>>()?, encoded.oov))
    }

    /// The text of token ids.
    pub fn text(&self, ids: &[u32]) -> String {
        let vocabulary = self.model.vocabulary();
        let mut buffer = Vec::new();
        let words: Vec<String> = ids
            .iter()
            .filter_map(|&id| vocabulary.word(id, &mut buffer).map(str::to_owned))
            .collect();
        if let Some(encoder) = &self.encoder {
            let own: Vec<u32> = words.iter().filter_map(|w| encoder.vocabulary().id(w)).collect();
            return encoder.decode(&own);
        }
        let gap = if vocabulary.unit() == pocketlm::Unit::Character { "" } else { " " };
        words.join(gap)
    }

    /// A session that has read `context`; words unknown to the model are reported on standard error.
    pub fn session(&self, context: &str) -> Result<Session<&Model>> {
        let mut session = Session::new(&self.model);
        let (ids, oov) = self.tokens(context)?;
        if oov > 0 {
            note!("note: {oov} words of the context are not in the vocabulary, read as <unk>");
        }
        ids.into_iter().try_for_each(|id| session.feed(id))?;
        Ok(session)
    }
}
