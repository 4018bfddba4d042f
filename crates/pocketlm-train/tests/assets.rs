//! The trained models under `assets/`: each is what its card says. Needs the Penn Treebank.

use std::path::{Path, PathBuf};

use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::Corpus;
use pocketlm_train::train::evaluate;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn assets() -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(root().join("assets")) else {
        eprintln!("SKIPPED: no assets/ yet: scripts/make_asset.py writes them");
        return Vec::new();
    };
    let mut models: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    // The others hold packed files.
    models.retain(|path| path.join("config.json").is_file());
    models.sort();
    models
}

#[test]
fn every_asset_has_a_card_and_is_small() {
    let models = assets();
    let mut bytes = 0;
    for model in &models {
        let card = std::fs::read_to_string(model.join("card.json")).unwrap();
        let card: Value = serde_json::from_str(&card).unwrap();
        for field in
            ["name", "data", "data_sha256", "licence", "valid_perplexity", "commit", "command"]
        {
            assert!(!card[field].is_null(), "{}: card.json lacks {field}", model.display());
        }
        for file in std::fs::read_dir(model).unwrap() {
            bytes += file.unwrap().metadata().unwrap().len();
        }
    }
    assert!(bytes < 20_000_000, "{bytes} bytes");
}

#[test]
fn every_asset_has_the_perplexity_of_its_card() {
    let data =
        std::env::var_os("POCKETLM_DATA").map_or(root().join("../shared/data"), PathBuf::from);
    let data = data.join("ptb");
    if !data.is_dir() {
        eprintln!("SKIPPED: no Penn Treebank at {}: set POCKETLM_DATA", data.display());
        return;
    }
    for model in assets() {
        let checkpoint = Checkpoint::load(&model).unwrap();
        let corpus = Corpus::open_with(&data, checkpoint.encoder.clone()).unwrap();
        let card = std::fs::read_to_string(model.join("card.json")).unwrap();
        let card: Value = serde_json::from_str(&card).unwrap();
        assert_eq!(card["data_sha256"], checkpoint.config.provenance.data_sha256);
        let eos = checkpoint.encoder.vocabulary().eos();
        let valid =
            evaluate(&checkpoint.network, &checkpoint.parameters, &corpus.valid, eos).unwrap();
        let stored = card["valid_perplexity"].as_f64().unwrap();
        let error = (valid.perplexity / stored - 1.0).abs();
        assert!(error < 1e-4, "{}: {} is not {stored}", model.display(), valid.perplexity);
    }
}
