//! The tokenizer of an open file: `docs/format.md`, section 16.

use alloc::format;
use alloc::vec::Vec;

use super::{Algorithm, Rules, SentencePieceRules, Tokenizer};
use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::format::metadata;
use crate::json::Value;
use crate::leaves::Leaves;
use crate::vocabulary::Vocabulary;

/// The largest vocabulary whose ids are stored in 16 bits.
pub(super) const SMALL: usize = 1 << 16;

/// Reads and checks the tokenizer of a model with this vocabulary.
pub(crate) fn tokenizer(leaves: &Leaves<'_>, vocabulary: &Vocabulary) -> Result<Tokenizer> {
    let value = metadata::value(&leaves.header.metadata, "subwords")?;
    let entry = Entry { leaves, value: &value, types: vocabulary.len() };
    let name = entry.field("algorithm", "is missing", Value::string)?;
    let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    let algorithm = algorithm.ok_or_else(|| Error::Unsupported {
        what: format!("subwords of the kind \"{name}\" are not known to this version"),
    })?;
    // Pieces are laid out flat, and those of SentencePiece in a trie besides.
    let bytes: usize = vocabulary.all_bytes().map(|piece| piece.len()).sum();
    leaves.take(
        "subwords",
        bytes.saturating_mul(if algorithm == Algorithm::ByteLevel { 2 } else { 48 }),
    )?;
    let rules = match algorithm {
        Algorithm::ByteLevel => Rules::ByteLevel {
            merges: entry.merges()?,
            prefix_space: entry.field("prefix_space", "is neither true nor false", Value::bool)?,
        },
        Algorithm::Bpe => Rules::Bpe(entry.sentencepiece()?),
        Algorithm::Unigram => Rules::Unigram(entry.sentencepiece()?),
    };
    let tokenizer =
        Tokenizer::new(vocabulary.all_bytes(), vocabulary.unk(), entry.ids("control")?, rules)?;
    if !tokenizer.is_control(vocabulary.eos()) {
        return Err(Error::metadata("subwords.control", "lacks <eos>"));
    }
    Ok(tokenizer)
}

struct Entry<'a> {
    leaves: &'a Leaves<'a>,
    value: &'a Value<'a>,
    types: usize,
}

impl Entry<'_> {
    fn field<'s, T>(
        &'s self,
        field: &str,
        problem: &str,
        read: impl Fn(&'s Value<'s>) -> Option<T>,
    ) -> Result<T> {
        let value = self.value.get(field).and_then(read);
        value.ok_or_else(|| Error::metadata(format!("subwords.{field}"), problem))
    }

    fn ids(&self, field: &str) -> Result<Vec<u32>> {
        let problem = "is not a list of ids below the number of types";
        let list = self.field(field, problem, Value::array)?;
        let id =
            |value: &Value<'_>| value.number().filter(|&id| id < self.types).map(|id| id as u32);
        let ids: Option<Vec<u32>> = list.iter().map(id).collect();
        ids.ok_or_else(|| Error::metadata(format!("subwords.{field}"), problem))
    }

    fn merges(&self) -> Result<Vec<[u32; 2]>> {
        let name = self.field("merges", "is not the name of an array", Value::string)?;
        let dtype = if self.types <= SMALL { Dtype::U16 } else { Dtype::U32 };
        let (array, shape) = self.leaves.any(name, dtype)?;
        if shape.len() != 2 || shape[1] != 2 {
            return Err(Error::array(name, "is not a list of pairs"));
        }
        self.leaves.take("subwords", shape[0].saturating_mul(40))?;
        let small = array.u16().chunks_exact(2).map(|pair| [pair[0].into(), pair[1].into()]);
        if dtype == Dtype::U16 {
            return Ok(small.collect());
        }
        Ok(array.u32().chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    }

    fn sentencepiece(&self) -> Result<SentencePieceRules> {
        let name = |field| self.field(field, "is not the name of an array", Value::string);
        let flag = |field| self.field(field, "is neither true nor false", Value::bool);
        let charsmap = match self.value.get("charsmap") {
            None => Vec::new(),
            Some(_) => {
                let (array, _) = self.leaves.any(name("charsmap")?, Dtype::U8)?;
                self.leaves.take("subwords", array.bytes().len())?;
                array.bytes().to_vec()
            }
        };
        self.leaves.take("subwords", self.types.saturating_mul(24))?;
        Ok(SentencePieceRules {
            scores: self.leaves.finite(name("scores")?, &[self.types])?.f32().to_vec(),
            user: self.ids("user")?,
            byte_fallback: flag("byte_fallback")?,
            charsmap,
            prefix_space: flag("prefix_space")?,
            single_spaces: flag("single_spaces")?,
        })
    }
}
