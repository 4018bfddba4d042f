//! Tokenizers of subwords: those that were trained here and those that users bring.
//!
//! Text is cut by the runtime's own encoder ([`pocketlm::subword`]), so that training and use cut it alike. Ids are the
//! tokenizer file's own, of which the runtime's, ranks of the pieces' bytes, are a permutation.

mod json;
mod sentencepiece;

use super::error::Error;
use super::unit::Unit;
use super::vocabulary::{EOS, UNK, Vocabulary};
pub(super) use json::letters;
use pocketlm::pack::{sorted_order, write_file_with};
use pocketlm::subword::{Algorithm, Rules, SentencePieceRules, Tokenizer};
use std::path::Path;
use std::sync::Arc;

/// What a tokenizer's file says, in the ids of that file.
struct Parts {
    /// The names of the pieces, as the file has them.
    names: Vec<String>,
    /// The bytes that they stand for; the names of those that are no text.
    bytes: Vec<Vec<u8>>,
    /// Pieces that are no text.
    control: Vec<u32>,
    /// The piece that ends a line; a new one where there is none.
    eos: Option<u32>,
    unk: Option<u32>,
    rules: Rules,
}

/// A tokenizer of subwords in the ids of its file.
#[derive(Debug, Clone)]
pub(super) struct Subword {
    tokenizer: Arc<Tokenizer>,
    /// The id here of each of the runtime's.
    own: Arc<[u32]>,
    /// The file's bytes.
    file: Arc<[u8]>,
}

impl Subword {
    /// Reads the tokenizer in a file, with its vocabulary.
    pub(super) fn load(path: &Path) -> Result<(Self, Vocabulary), Error> {
        Self::read(&std::fs::read(path).map_err(Error::reading(path))?, path)
    }

    /// Reads the tokenizer in the bytes of a file; `path` is named in errors.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<(Self, Vocabulary), Error> {
        let fault = |reason| Error::Tokenizer { path: path.into(), reason };
        let is_json = bytes.trim_ascii_start().first() == Some(&b'{');
        let parts = if is_json { json::parts(bytes) } else { sentencepiece::parts(bytes) };
        let parts = parts.and_then(Parts::closed).map_err(fault)?;
        let vocabulary = parts.vocabulary(path)?;
        let (tokenizer, own) = parts.tokenizer().map_err(fault)?;
        let (tokenizer, own) = (Arc::new(tokenizer), own.into());
        Ok((Self { tokenizer, own, file: bytes.into() }, vocabulary))
    }

    /// That of a packed model, in the runtime's ids, with its vocabulary; `path` is named in errors.
    pub(super) fn packed(
        tokenizer: &Tokenizer,
        (eos, unk): (u32, Option<u32>),
        path: &Path,
    ) -> Result<(Self, Vocabulary), Error> {
        let ids = 0..tokenizer.types() as u32;
        let is_bytes = tokenizer.algorithm() == Algorithm::ByteLevel;
        let name = |id| {
            let piece = tokenizer.piece(id);
            let text = || String::from_utf8_lossy(piece).into_owned();
            match is_bytes {
                _ if tokenizer.is_control(id) => text(),
                true => json::letters(piece),
                false => text().replace(' ', "\u{2581}"),
            }
        };
        let names = ids.clone().map(name);
        let vocabulary = Vocabulary::with_ids(names, eos, unk, path)?;
        let bytes = ids.clone().map(|id| tokenizer.piece(id).to_vec()).collect();
        let (tokenizer, own) = (Arc::new(tokenizer.clone()), ids.collect());
        Ok((Self { tokenizer, own, file: Arc::new([]) }, vocabulary.with_bytes(bytes)))
    }

    /// Whether there is a file to write.
    pub(super) fn has_file(&self) -> bool {
        !self.file.is_empty()
    }

    /// Writes the file anew.
    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        write_file_with(path, |file| file.write_all(&self.file)).map_err(Error::writing(path))
    }

    /// What cuts text, in the runtime's ids.
    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The unit of models of this tokenizer.
    pub(super) fn unit(&self) -> Unit {
        match self.tokenizer.algorithm() {
            Algorithm::ByteLevel => Unit::Bpe,
            Algorithm::Bpe | Algorithm::Unigram => Unit::SentencePiece,
        }
    }

    /// Calls `take` with the pieces of a line, and what each is in the line.
    pub(super) fn each_piece(&self, line: &str, mut take: impl FnMut(u32, &[u8])) {
        self.tokenizer.each_piece(line, |id, text| take(self.own[id as usize], text));
    }

    /// The text of ids.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut runtime = vec![0; self.own.len()];
        self.own.iter().zip(0..).for_each(|(&own, id)| runtime[own as usize] = id);
        let ids: Vec<u32> =
            ids.iter().filter_map(|&id| runtime.get(id as usize).copied()).collect();
        self.tokenizer.decode(&ids)
    }
}

/// The name of a tokenizer's file in the folder of a checkpoint.
pub(super) fn file_name(unit: Unit) -> &'static str {
    if unit == Unit::SentencePiece { "tokenizer.model" } else { "tokenizer.json" }
}

impl Parts {
    /// The same with a piece that ends a line, and with the names of this one and of the unknown word that all models
    /// here have.
    fn closed(mut self) -> Result<Self, String> {
        let eos = match self.eos {
            Some(eos) => eos,
            None => {
                let id = self.names.len() as u32;
                self.names.push(EOS.into());
                self.bytes.push(Vec::new());
                match &mut self.rules {
                    Rules::ByteLevel { .. } => {}
                    Rules::Bpe(rules) | Rules::Unigram(rules) => rules.scores.push(0.0),
                }
                id
            }
        };
        self.eos = Some(eos);
        let special = [(Some(eos), EOS), (self.unk, UNK)];
        for (id, name) in special.iter().filter_map(|&(id, name)| Some((id? as usize, name))) {
            self.names[id] = name.into();
            self.bytes[id] = name.into();
        }
        self.control.extend(special.iter().filter_map(|(id, _)| *id));
        self.control.sort_unstable();
        self.control.dedup();
        if let Some(at) = self.names.iter().position(|name| name.contains('\n')) {
            return Err(format!("piece {at} holds a line feed, where lines end in {EOS}"));
        }
        Ok(self)
    }

    fn vocabulary(&self, path: &Path) -> Result<Vocabulary, Error> {
        let names = self.names.iter().map(|name| &**name);
        Ok(Vocabulary::from_words(names, path)?.with_bytes(self.bytes.clone()))
    }

    /// The tokenizer, and the id here of each of its own.
    fn tokenizer(self) -> Result<(Tokenizer, Vec<u32>), String> {
        let order = sorted_order(&self.bytes);
        let mut rank = vec![0; order.len()];
        order.iter().zip(0..).for_each(|(&id, place)| rank[id as usize] = place);
        let ranks = |ids: Vec<u32>| {
            let mut ranks: Vec<u32> = ids.into_iter().map(|id| rank[id as usize]).collect();
            ranks.sort_unstable();
            ranks
        };
        let sorted = |rules: SentencePieceRules| SentencePieceRules {
            scores: order.iter().map(|&id| rules.scores[id as usize]).collect(),
            user: ranks(rules.user),
            ..rules
        };
        let rules = match self.rules {
            Rules::ByteLevel { merges, prefix_space } => {
                let pair = |pair: [u32; 2]| pair.map(|id| rank[id as usize]);
                Rules::ByteLevel { merges: merges.into_iter().map(pair).collect(), prefix_space }
            }
            Rules::Bpe(rules) => Rules::Bpe(sorted(rules)),
            Rules::Unigram(rules) => Rules::Unigram(sorted(rules)),
        };
        let pieces = order.iter().map(|&id| &self.bytes[id as usize]);
        let unk = self.unk.map(|unk| rank[unk as usize]);
        let tokenizer = Tokenizer::new(pieces, unk, ranks(self.control), rules);
        Ok((tokenizer.map_err(|error| error.to_string())?, order))
    }
}
