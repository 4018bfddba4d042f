//! Small random models of subwords and of characters.

use pocketlm::pack::{Packer, Precision};
use pocketlm::subword::{Rules, SentencePieceRules, Tokenizer};
use pocketlm::{CellKind, Configuration, Unit};

use super::{Parts, configuration};

/// Byte-level pieces: all bytes, and these with the merges that make them.
pub const MERGES: [(&str, &str); 11] = [
    ("t", "h"),
    ("th", "e"),
    (" ", "th"),
    (" th", "e"),
    ("c", "a"),
    (" ", "ca"),
    (" ca", "t"),
    ("e", "n"),
    ("é", "e"),
    (" the", "n"),
    (".", "."),
];

/// A random model over these pieces; `seed` draws its weights.
pub fn subwords(seed: u64) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    pieces.push("<eos>".into());
    pieces.push("é".into());
    let mut pairs = vec![(vec![0xc3], vec![0xa9])];
    for (left, right) in MERGES {
        pieces.push([left, right].concat().into());
        pairs.push((left.into(), right.into()));
    }
    pieces.sort();
    pieces.dedup();
    let id = |piece: &Vec<u8>| pieces.iter().position(|other| other == piece).unwrap() as u32;
    let merges = pairs.iter().map(|(left, right)| [id(left), id(right)]).collect();
    let rules = Rules::ByteLevel { merges, prefix_space: false };
    let tokenizer = Tokenizer::new(&pieces, None, vec![id(&"<eos>".into())], rules).unwrap();
    packed(Unit::Subword, &pieces, seed, Some(&tokenizer))
}

pub fn characters(seed: u64) -> Vec<u8> {
    let words: Vec<Vec<u8>> = ["<eos>", " ", "a", "b", "字", ".", "'", "é"].map(Into::into).into();
    packed(Unit::Character, &words, seed, None)
}

fn packed(unit: Unit, words: &[Vec<u8>], seed: u64, tokenizer: Option<&Tokenizer>) -> Vec<u8> {
    let own = Configuration { unit, ..configuration(CellKind::Lstm, 0, 0, false) };
    // Weights are drawn for as many words; only their names differ.
    let parts = Parts::random(own.clone(), words.len(), 2.0, seed);
    let unk = words.iter().any(|word| word == b"<unk>").then_some("<unk>");
    let mut packer = Packer::new(own.clone(), words, "<eos>", unk).unwrap();
    for matrix in own.matrices(words.len()) {
        packer
            .matrix(matrix.name, &parts.weights[&matrix.name.to_string()], Precision::F32)
            .unwrap();
    }
    for bias in own.biases(words.len()) {
        packer.bias(bias.name, &parts.weights[&bias.name.to_string()]).unwrap();
    }
    if let Some(tokenizer) = tokenizer {
        packer.tokenizer(tokenizer).unwrap();
    }
    packer.finish().unwrap()
}

/// A random unigram model of a few pieces, with byte fallback, a symbol of the user and a rule of normalisation.
pub fn unigram(seed: u64) -> Vec<u8> {
    let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| format!("<0x{byte:02X}>").into()).collect();
    pieces.extend(["<eos>", "<unk>", "<s>", "a", "b", "ab", " ", " a", "<x>"].map(Vec::from));
    pieces.sort();
    let id =
        |piece: &str| pieces.iter().position(|other| other == piece.as_bytes()).unwrap() as u32;
    let mut control = ["<eos>", "<unk>", "<s>"].map(id).to_vec();
    control.sort_unstable();
    let rules = Rules::Unigram(SentencePieceRules {
        scores: (0..pieces.len()).map(|at| -(at as f32) / 7.0).collect(),
        user: vec![id("<x>")],
        byte_fallback: true,
        // A double array without rules.
        charsmap: [&4u32.to_le_bytes()[..], &[0; 4], b"\0"].concat(),
        prefix_space: true,
        single_spaces: true,
    });
    let tokenizer = Tokenizer::new(&pieces, Some(id("<unk>")), control, rules).unwrap();
    packed(Unit::Subword, &pieces, seed, Some(&tokenizer))
}
