//! Tokenizers of subwords against the programs that made them, whose ids `tests/oracle/subwords.py` wrote down; files
//! that are broken or of another kind.

use std::fs;
use std::path::{Path, PathBuf};

use pocketlm::pack::{Packer, Precision};
use pocketlm::subword::{Algorithm, stretches};
use pocketlm::{CellKind, Configuration, Model};
use pocketlm_train::corpus::{Encoder, Error, Options, Source, Unit};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

const ALL: [(&str, Algorithm); 5] = [
    ("byte-level.json", Algorithm::ByteLevel),
    ("bpe.model", Algorithm::Bpe),
    ("bpe-bytes.model", Algorithm::Bpe),
    ("unigram.model", Algorithm::Unigram),
    ("unigram-bytes.model", Algorithm::Unigram),
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/fixtures/subwords").join(name)
}

fn text() -> String {
    fs::read_to_string(fixture("text.txt")).unwrap()
}

/// The ids of each line of the text, by the program that made the tokenizer.
fn expected(name: &str) -> Vec<Vec<u32>> {
    let ids = fs::read_to_string(fixture(&format!("{name}.ids"))).unwrap();
    ids.lines()
        .map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect())
        .collect()
}

fn brought(path: &Path) -> Result<Encoder, Error> {
    let options = Options { tokenizer: Some(path.to_owned()), ..Options::default() };
    Encoder::train(&Source::text("the text", "a b\n"), &options)
}

/// A model of one unit over the pieces of an encoder, packed and opened.
fn packed(encoder: &Encoder) -> Model {
    let vocabulary = encoder.vocabulary();
    let configuration = Configuration {
        cell: CellKind::Gru,
        embedding: 1,
        hidden: vec![1],
        cell_projection: 0,
        projection: 0,
        tied: true,
        unit: pocketlm::Unit::Subword,
        layer_norm: false,
        mogrifier: 0,
    };
    let unk = vocabulary.unk().map(|_| "<unk>");
    let mut packer = Packer::new(configuration.clone(), &vocabulary.bytes(), "<eos>", unk).unwrap();
    for matrix in configuration.matrices(vocabulary.len()) {
        let weights = vec![0.5; matrix.rows * matrix.columns];
        packer.matrix(matrix.name, &weights, Precision::F32).unwrap();
    }
    for bias in configuration.biases(vocabulary.len()) {
        packer.bias(bias.name, &vec![0.0; bias.rows]).unwrap();
    }
    assert!(packer.finish().is_err(), "a model of subwords needs its tokenizer");
    packer.tokenizer(encoder.tokenizer().unwrap()).unwrap();
    Model::from_bytes(packer.finish().unwrap()).unwrap()
}

#[test]
fn ids_are_those_of_the_programs_that_made_the_tokenizers() {
    for (name, algorithm) in ALL {
        let encoder = brought(&fixture(name)).unwrap();
        assert_eq!(encoder.tokenizer().unwrap().algorithm(), algorithm);
        let (text, expected) = (text(), expected(name));
        assert_eq!(text.lines().count(), expected.len());
        for (line, expected) in text.split('\n').zip(&expected) {
            assert_eq!(&encoder.encode(line).unwrap().ids, expected, "{name}: {line:?}");
        }
    }
}

#[test]
fn a_packed_model_cuts_text_as_the_trainer_does() {
    for (name, _) in ALL {
        let encoder = brought(&fixture(name)).unwrap();
        let model = packed(&encoder);
        let (own, words) = (encoder.vocabulary(), encoder.vocabulary().bytes());
        let vocabulary = model.vocabulary();
        let mut buffer = Vec::new();
        for line in text().split('\n') {
            let ids: Vec<&[u8]> =
                encoder.encode(line).unwrap().ids.iter().map(|&id| words[id as usize]).collect();
            let tokens: Vec<u32> =
                vocabulary.tokens(line).map(|t| vocabulary.resolve(t).unwrap()).collect();
            let pieces: Vec<Vec<u8>> = tokens
                .iter()
                .map(|&id| vocabulary.bytes_of(id, &mut buffer).unwrap().to_vec())
                .collect();
            assert_eq!(pieces, ids, "{name}: {line:?}");
        }
        // What is read back from the file is the same encoder again, whose names are those of the trainer.
        let path = Path::new(name);
        let again = Encoder::packed(&model, path).unwrap();
        let mut names: Vec<&str> = again.vocabulary().words().collect();
        let mut trained: Vec<&str> = own.words().collect();
        names.sort_unstable();
        trained.sort_unstable();
        assert_eq!(names, trained, "{name}");
        assert_eq!(again.tokenizer().unwrap().rules(), encoder.tokenizer().unwrap().rules());
    }
}

#[test]
fn a_saved_tokenizer_is_read_again() {
    for (name, algorithm) in ALL {
        let encoder = brought(&fixture(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        encoder.save(folder.path()).unwrap();
        let unit = if algorithm == Algorithm::ByteLevel { Unit::Bpe } else { Unit::SentencePiece };
        let loaded = Encoder::load(folder.path(), unit).unwrap();
        assert_eq!(loaded.vocabulary(), encoder.vocabulary());
        assert_eq!(loaded.encode("a b").unwrap(), encoder.encode("a b").unwrap());
        // A vocabulary with fewer types, as of a smaller model.
        let path = folder.path().join("vocab.txt");
        let words = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            words.split_inclusive('\n').skip(100).chain(["<eos>\n"]).collect::<String>(),
        )
        .unwrap();
        let error = Encoder::load(folder.path(), unit).unwrap_err().to_string();
        assert!(error.contains("vocab.txt") && error.contains("types"), "{error}");
    }
}

/// Where `tokenizers` cuts a line before it merges.
fn oracle_stretches(line: &str) -> Vec<String> {
    let mut text = PreTokenizedString::from(line);
    ByteLevel::new(false, true, true).pre_tokenize(&mut text).unwrap();
    let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
    splits.iter().map(|(_, (from, to), _)| line[*from..*to].to_owned()).collect()
}

#[test]
fn every_character_is_cut_as_tokenizers_cuts_it() {
    // What newer versions of Unicode added is not known to the regular expressions yet.
    let unassigned = fancy_regex::Regex::new(r"\p{Cn}").unwrap();
    let mut buffer = [0; 4];
    for char in '\0'..='\u{2ffff}' {
        if unassigned.is_match(char.encode_utf8(&mut buffer)).unwrap() {
            continue;
        }
        // A letter goes with the one before it, a number with the figure, anything else with the mark.
        let line = format!("a{char}1{char}!{char}");
        let own: Vec<&str> = stretches(&line).collect();
        assert_eq!(own, oracle_stretches(&line), "{:x}", char as u32);
    }
}

proptest! {
    #[test]
    fn lines_are_cut_as_tokenizers_cuts_them(line in "([ \t\u{a0}]{0,3}('(s|t|re|ve|m|ll|d)|[a-z0-9é字ि'.!\u{301}]{0,4}|\\PC{0,2})){0,12}") {
        prop_assert_eq!(stretches(&line).map(str::to_owned).collect::<Vec<_>>(), oracle_stretches(&line));
    }

    #[test]
    fn byte_level_pieces_give_the_line_back(line in "\\PC{0,40}|[^\n\r]{0,40}") {
        let encoder = brought(&fixture("byte-level.json")).unwrap();
        prop_assert_eq!(encoder.decode(&encoder.encode(&line).unwrap().ids), line);
    }
}

#[test]
fn long_lines_and_single_characters_are_cut() {
    for (name, _) in ALL {
        let encoder = brought(&fixture(name)).unwrap();
        for line in ["a".repeat(1 << 20), "字 ".repeat(1 << 18), " ".repeat(1 << 20)] {
            let ids = encoder.encode(&line).unwrap().ids;
            assert!(ids.len() <= line.len() + 1, "{name}");
        }
        let split = encoder.read(&Source::text("one", "字")).unwrap();
        assert!(
            split.ids.len() >= 2 && split.ids.last() == Some(&encoder.vocabulary().eos()),
            "{name}"
        );
    }
}

/// The error of a file of these bytes.
fn refusal(bytes: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let error = brought(file.path()).unwrap_err().to_string();
    assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
    error
}

/// The error of `byte-level.json` after a change.
fn changed(change: impl Fn(&mut Value)) -> String {
    let mut file = serde_json::from_slice(&fs::read(fixture("byte-level.json")).unwrap()).unwrap();
    change(&mut file);
    refusal(file.to_string().as_bytes())
}

#[test]
fn tokenizers_of_other_kinds_are_refused_by_name() {
    for (kind, change) in [
        ("WordPiece", json!({"model": {"type": "WordPiece", "vocab": {}}})),
        ("Unigram", json!({"model": {"type": "Unigram", "vocab": []}})),
        ("NFC", json!({"normalizer": {"type": "NFC"}})),
        ("Metaspace", json!({"pre_tokenizer": {"type": "Metaspace"}})),
        ("unnamed", json!({"pre_tokenizer": null})),
        ("use_regex", json!({"pre_tokenizer": {"type": "ByteLevel", "use_regex": false}})),
        (
            "Sequence",
            json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split"}, {"type": "ByteLevel"}]}}),
        ),
        ("special", json!({"added_tokens": [{"id": 0, "content": "<x>", "special": false}]})),
    ] {
        let error = changed(|file| {
            for (key, value) in change.as_object().unwrap() {
                file[key] = value.clone();
            }
        });
        assert!(error.contains(kind), "{kind}: {error}");
    }
    for option in ["dropout", "ignore_merges", "byte_fallback", "end_of_word_suffix"] {
        assert!(changed(|file| file["model"][option] = json!("0.1")).contains(option));
    }
    assert!(refusal(b"#version: 0.2\nt h\n").contains("SentencePiece"));
    assert!(refusal(b"").contains("no pieces"));
}

#[test]
fn damaged_tokenizers_are_refused() {
    let vocabulary = |file: &mut Value| file["model"]["vocab"].as_object_mut().unwrap().clone();
    assert!(changed(|file| file["model"]["vocab"]["the"] = json!(5000)).contains("holes"));
    assert!(changed(|file| file["model"]["vocab"]["a"] = json!(20)).contains("the id 20"));
    assert!(
        changed(|file| file["model"]["vocab"]["字"] = json!(vocabulary(file).len()))
            .contains("no byte")
    );
    assert!(changed(|file| file["model"]["merges"][3] = json!("no such")).contains("merge"));
    assert!(changed(|file| file["model"]["merges"][3] = json!(["a", "b", "c"])).contains("merge"));
    assert!(changed(|file| file["model"]["vocab"] = json!({"a": 1, "b": 5})).contains("holes"));
    let error = changed(|file| {
        *file = json!({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
            "pre_tokenizer": {"type": "ByteLevel"}});
    });
    assert!(error.contains("256 bytes"), "{error}");
    for (name, _) in ALL {
        let whole = fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(whole.len() / 97 + 1) {
            // Some beginnings of a SentencePiece model are whole ones themselves; all others are refused.
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &whole[..length]).unwrap();
            match brought(file.path()) {
                Ok(encoder) => drop(encoder.encode("a b").unwrap()),
                Err(error) => {
                    assert!(matches!(error, Error::Tokenizer { .. }), "{name} {length}: {error}")
                }
            }
        }
    }
    let missing = brought(Path::new("no/such/tokenizer.json")).unwrap_err();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
}
