//! The fuzzer's seeds of checkpoints and recipes, replayed; and those that are whole, kept as they are written now.
//!
//! `POCKETLM_BLESS=1` writes the latter anew.

#[path = "../../../fuzz/exercise_checkpoint.rs"]
mod checkpoint;
#[path = "../../../fuzz/exercise_recipe.rs"]
mod recipe;

use std::fs;
use std::path::{Path, PathBuf};

use pocketlm_train::checkpoint::{Checkpoint, Config, Provenance};
use pocketlm_train::corpus::{Encoder, Options, Source, Text, Unit};
use pocketlm_train::matrix::Parametrization;
use pocketlm_train::network::Network;
use pocketlm_train::recipe::Draft;

fn seeds(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target)
}

/// A checkpoint of a few numbers, as the fuzzer reads it.
fn small(unit: Unit, settings: &[(&str, &str)]) -> Vec<u8> {
    let text = Source::text("text", "the cat sat on the mat\na dog ran\n".repeat(3));
    let max_vocab = (unit == Unit::Bpe).then_some(260);
    let options = Options { unit, max_vocab, text: Text::Tokenised, ..Options::default() };
    let encoder = Encoder::train(&text, &options).unwrap();
    let usual = [("embedding", "3"), ("hidden", "[4]")];
    let base = Draft::base("zaremba-small").unwrap();
    let set = |draft: Draft, (key, value): &(&str, &str)| draft.set(key, value).unwrap();
    let recipe = usual.iter().chain(settings).fold(base, set).finish().unwrap();
    let provenance = Provenance {
        data_sha256: String::new(),
        train_tokens: 1,
        seed: 1,
        version: String::new(),
        devices: Vec::new(),
    };
    let config = Config::new(recipe, &encoder, provenance).unwrap();
    let (network, parameters) = Network::new(&config.recipe.model, config.vocabulary).unwrap();
    let (parametrization, leaves) = Parametrization::new(&config.forms, &parameters).unwrap();
    let model = Checkpoint { config, encoder, network, parameters, leaves, parametrization };
    let folder = tempfile::tempdir().unwrap();
    model.save(folder.path()).unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap_or_default();
    checkpoint::joined(
        &["config.json", "vocab.txt", "tokenizer.json", "model.safetensors"].map(read),
    )
}

#[test]
fn whole_checkpoints_are_among_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    for (name, unit, settings) in [
        ("lstm-word", Unit::Word, &[][..]),
        ("gru-char", Unit::Char, &[("cell", "gru"), ("layer_norm", "true")]),
        ("cifg-tied", Unit::Word, &[("cell", "cifg"), ("cell_projection", "3"), ("tied", "true")]),
        ("lstm-bpe", Unit::Bpe, &[("projection", "2"), ("mogrifier", "2")]),
        ("urnn-word", Unit::Word, &[("cell", "urnn")]),
    ] {
        let (bytes, path) = (small(unit, settings), seeds("checkpoint").join(name));
        if std::env::var_os("POCKETLM_BLESS").is_some() {
            fs::create_dir_all(seeds("checkpoint")).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert!(fs::read(&path).unwrap() == bytes, "{name} is written otherwise now");
        assert!(checkpoint::exercise(&bytes, folder.path()), "{name} loads");
    }
}

#[test]
fn seeds_of_checkpoints_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(seeds("checkpoint")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        checkpoint::exercise(&bytes, folder.path());
        // Cut off anywhere they are refused or read, too.
        for length in (0..bytes.len()).step_by(97) {
            checkpoint::exercise(&bytes[..length], folder.path());
        }
    }
}

#[test]
fn seeds_of_recipes_do_no_harm() {
    let mut whole = 0;
    for file in fs::read_dir(seeds("recipe")).unwrap() {
        whole += usize::from(recipe::exercise(&fs::read(file.unwrap().path()).unwrap()));
    }
    assert!(whole >= 5, "most seeds are recipes");
}
