//! SentencePiece's `*.model`: the messages of its `sentencepiece_model.proto` that matter here.

use super::Parts;
use pocketlm::subword::{Rules, SentencePieceRules};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normaliser: Option<Normaliser>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(enumeration = "Kind", optional, tag = "3", default = "Normal")]
    kind: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    /// 1 is the unigram model, 2 byte-pair encoding, 3 words, 4 characters.
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    treat_whitespace_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct Normaliser {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escape_whitespaces: Option<bool>,
}

/// Names of the piece that ends a text, the first that is there. Icefall's models have the second of the last.
const ENDS: [&str; 3] = ["<eos>", "</s>", "<sos/eos>"];

/// Reads the file.
pub(super) fn parts(bytes: &[u8]) -> Result<Parts, String> {
    let file = Model::decode(bytes).map_err(|error| {
        format!("it is neither a tokenizer.json nor a whole SentencePiece model ({error})")
    })?;
    let trainer = file.trainer.unwrap_or_default();
    let normaliser = file.normaliser.unwrap_or_default();
    let kind = match trainer.model_type.unwrap_or(1) {
        1 => Rules::Unigram,
        2 => Rules::Bpe,
        3 => {
            return Err(
                "it is a SentencePiece model of whole words; take one of the type unigram or bpe"
                    .into(),
            );
        }
        4 => {
            return Err(
                "it is a SentencePiece model of characters; take --unit char instead".into()
            );
        }
        other => return Err(format!("it is a SentencePiece model of an unknown type ({other})")),
    };
    if trainer.treat_whitespace_as_suffix == Some(true)
        || normaliser.escape_whitespaces == Some(false)
    {
        return Err("its pieces end in spaces, or keep them as they are; train it with the usual treatment of white space".into());
    }
    if file.pieces.is_empty() {
        return Err("it has no pieces".into());
    }
    let names: Vec<String> =
        file.pieces.iter().map(|piece| piece.piece.clone().unwrap_or_default()).collect();
    let of = |kind: Kind| ids(&file.pieces, move |piece| piece.kind() == kind);
    let unused = of(Kind::Unused);
    let rules = SentencePieceRules {
        scores: file.pieces.iter().map(|piece| piece.score.unwrap_or_default()).collect(),
        user: of(Kind::UserDefined),
        byte_fallback: trainer.byte_fallback == Some(true),
        charsmap: normaliser.precompiled_charsmap.clone().unwrap_or_default(),
        prefix_space: normaliser.add_dummy_prefix.unwrap_or(true),
        single_spaces: normaliser.remove_extra_whitespaces.unwrap_or(true),
    };
    let rules = kind(rules);
    if !unused.is_empty() && matches!(rules, Rules::Bpe(_)) {
        return Err("it has unused pieces, which byte-pair encoding here has none of".into());
    }
    let [unk] = of(Kind::Unknown)[..] else {
        return Err("it does not have exactly one unknown piece".into());
    };
    Ok(closed(names, [of(Kind::Control), unused].concat(), unk, rules))
}

/// The parts, with the piece that ends a line among those that are no text.
fn closed(names: Vec<String>, mut control: Vec<u32>, unk: u32, mut rules: Rules) -> Parts {
    let own = |name: &&str| names.iter().position(|other| other == name).map(|id| id as u32);
    let mut eos = ENDS[..2].iter().find_map(own).filter(|id| control.contains(id));
    if let Rules::Bpe(rules) | Rules::Unigram(rules) = &mut rules
        && eos.is_none()
    {
        eos = own(&ENDS[2]).filter(|id| rules.user.contains(id));
        rules.user.retain(|&id| Some(id) != eos);
    }
    control.extend(eos);
    let is_text = |id: u32| id != unk && !control.contains(&id);
    let bytes = names.iter().zip(0..).map(|(name, id)| {
        let text = if is_text(id) { name.replace('\u{2581}', " ") } else { name.clone() };
        text.into_bytes()
    });
    Parts { bytes: bytes.collect(), control, eos, unk: Some(unk), rules, names }
}

fn ids(pieces: &[Piece], of: impl Fn(&Piece) -> bool) -> Vec<u32> {
    pieces.iter().zip(0..).filter(|(piece, _)| of(piece)).map(|(_, id)| id).collect()
}
