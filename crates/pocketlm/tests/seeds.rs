//! The fuzzer's seeds, replayed; and the seeds that are models, kept as the packer writes them.

mod common;
#[path = "../../../fuzz/exercise.rs"]
mod exercise;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Forms, Kind, Parts};
use pocketlm::pack::{Notes, Precision, Sparsity, entropy_coded};
use pocketlm::{CellKind, Configuration, Unit};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/open")
}

/// Names and bytes of the seeds that are models: every cell, precision and optional part.
fn models() -> Vec<(String, Vec<u8>)> {
    let base = Configuration {
        cell: CellKind::Lstm,
        embedding: 3,
        hidden: vec![2],
        cell_projection: 0,
        projection: 0,
        tied: false,
        unit: Unit::Word,
        layer_norm: false,
        mogrifier: 0,
    };
    let list = [
        ("lstmp-f16", Precision::F16, Configuration { cell_projection: 3, ..base.clone() }),
        (
            "gru-f32",
            Precision::F32,
            Configuration { cell: CellKind::Gru, hidden: vec![3], tied: true, ..base.clone() },
        ),
        (
            "cifg-int4",
            Precision::Int4,
            Configuration { cell: CellKind::Cifg, projection: 3, tied: true, ..base.clone() },
        ),
        (
            "characters-int4",
            Precision::Int4,
            Configuration { unit: Unit::Character, ..base.clone() },
        ),
    ];
    let each =
        Precision::ALL.map(|precision| (format!("lstm-{precision}"), precision, base.clone()));
    let others =
        list.map(|(name, precision, configuration)| (name.to_owned(), precision, configuration));
    let model = |(name, precision, configuration): (String, Precision, Configuration)| {
        let characters = configuration.unit == Unit::Character;
        let mut parts = Parts::random(configuration, 36, 0.5, 1);
        if characters {
            let letters = ('a'..='z').chain('1'..='8').map(String::from);
            parts.words = ["<eos>", "<unk>"].map(String::from).into_iter().chain(letters).collect();
        }
        (format!("{name}.plm"), parts.bytes(precision))
    };
    let plain = each.into_iter().chain(others).map(model);
    plain.chain(forms()).chain(ngrams()).chain(coded()).collect()
}

/// N-gram models, rounded and not.
fn ngrams() -> Vec<(String, Vec<u8>)> {
    let model = |(name, order, levels): (&str, usize, u64)| {
        let table = common::ngram::table(order, 36, levels, 1);
        (format!("{name}.plm"), table.pack(&Notes::default()).unwrap())
    };
    [("ngram-1", 1, 0), ("ngram-3", 3, 10), ("ngram-6-f32", 6, 0)].map(model).into()
}

/// The same of entropy-coded models: planes of bytes, symbols of int3, and lines with a table of their own.
fn coded() -> Vec<(String, Vec<u8>)> {
    let configuration = common::configuration(CellKind::Lstm, 0, 0, false);
    let configuration = Configuration { embedding: 9, hidden: vec![9], ..configuration };
    let model = |(name, precision)| {
        let plain = Parts::random(configuration.clone(), 60, 0.5, 1).bytes(precision);
        let bytes = entropy_coded(&plain).unwrap();
        assert_ne!(bytes, plain, "{name} has nothing coded");
        (format!("{name}.plm"), bytes)
    };
    [("coded-f32", Precision::F32), ("coded-int3", Precision::Int3)].map(model).into()
}

/// The same of models in every structure and sparsity.
fn forms() -> Vec<(String, Vec<u8>)> {
    use Precision::{F16, F32, Int4, Int8};
    use Sparsity::{None, Panels, Unstructured};
    let kinds = [
        ("low-rank", Kind::LowRank((None, Int8), (Unstructured, F32))),
        ("low-rank-panels", Kind::LowRank((Panels, F16), (Panels, Int8))),
        ("diagonal-low-rank", Kind::DiagonalLowRank((None, Int8), (None, F16))),
        ("tensor-train", Kind::TensorTrain(None, F32)),
        ("tensor-train-sparse", Kind::TensorTrain(Unstructured, Int8)),
        ("block-circulant-int8", Kind::BlockCirculant(3, (None, Int8))),
        ("block-circulant-f32", Kind::BlockCirculant(16, (None, F32))),
        ("block-low-rank", Kind::BlockLowRank((None, Int8), (None, F32))),
        ("toeplitz-like", Kind::ToeplitzLike(3, (None, F16))),
        ("unstructured-int8", Kind::Leaf(Unstructured, Int8)),
        ("unstructured-f16", Kind::Leaf(Unstructured, F16)),
        ("panels-f32", Kind::Leaf(Panels, F32)),
        ("panels-int8", Kind::Leaf(Panels, Int8)),
        ("panels-int4", Kind::Leaf(Panels, Int4)),
    ];
    let configuration = common::configuration(CellKind::Lstm, 0, 0, false);
    let configuration = Configuration { embedding: 3, hidden: vec![4], ..configuration };
    let model = |(name, kind)| {
        let parts = Parts::random(configuration.clone(), 36, 0.5, 1);
        (format!("{name}.plm"), Forms::one(parts, kind).bytes())
    };
    let urnn = common::configuration(CellKind::Urnn, 0, 0, false);
    let urnn = Configuration { embedding: 3, hidden: vec![4], ..urnn };
    let unitary = Forms::one(Parts::random(urnn, 36, 0.5, 1), Kind::Leaf(None, F16)).bytes();
    kinds.map(model).into_iter().chain([("unitary.plm".into(), unitary)]).collect()
}

#[test]
fn every_seed_is_harmless() {
    let mut count = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        exercise::exercise(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count >= models().len(), "seeds are missing");
}

#[test]
fn the_models_among_the_seeds_are_those_that_the_packer_writes() {
    let bless = std::env::var_os("POCKETLM_BLESS").is_some();
    for (name, bytes) in models() {
        let path = folder().join(&name);
        if bless {
            fs::write(&path, &bytes).unwrap();
        }
        assert!(exercise::exercise(&bytes), "{name} does not open");
        assert!(
            fs::read(&path).unwrap_or_default() == bytes,
            "{name} differs from what is packed now: if the format was meant to change, raise its \
             version and run again with POCKETLM_BLESS=1"
        );
    }
}
