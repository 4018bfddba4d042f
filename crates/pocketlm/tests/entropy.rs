//! Entropy-coded files hold the same models, bit for bit.

mod common;

use common::{Forms, Parts, configurations};
use pocketlm::pack::{Notes, Precision, entropy_coded};
use pocketlm::{CellKind, CodedBytes, Configuration, Error, Model, Session};

const TEXT: &str = "the under a then Zug\nthem été an unknown";

/// Bits of the score of a text, and everything that is suggested on the way.
fn fingerprint(model: &Model) -> (u64, Vec<(u32, u64)>) {
    let mut session = Session::new(model);
    let score = session.score(TEXT).unwrap().nll.to_bits();
    session.feed_text(TEXT).unwrap();
    let suggestions = session.suggest(5).unwrap();
    let suggestions = suggestions.iter().map(|s| (s.id, s.probability.to_bits()));
    (score, suggestions.collect())
}

/// Codes a file, and compares the two models in everything; returns the coded file.
fn compare(plain: &[u8]) -> Vec<u8> {
    let coded = entropy_coded(plain).unwrap();
    assert!(coded.len() <= plain.len(), "{} became {}", plain.len(), coded.len());
    let [a, b] = [plain, &coded].map(|bytes| Model::from_bytes(bytes.to_vec()).unwrap());
    b.verify().unwrap();
    assert_eq!(fingerprint(&a), fingerprint(&b));
    assert!(a.vocabulary().words().eq(b.vocabulary().words()));
    let forms = |model: &Model| model.matrices().into_iter().map(|m| (m.name, m.bytes));
    assert!(forms(&a).eq(forms(&b)));
    for matrix in a.matrices().into_iter().filter(|m| m.structure != "vector") {
        let mut rows = [vec![0.0; matrix.columns], vec![0.0; matrix.columns]];
        for row in 0..matrix.rows {
            a.row(&matrix.name, row, &mut rows[0]).unwrap();
            b.row(&matrix.name, row, &mut rows[1]).unwrap();
            assert!(rows[0].iter().zip(&rows[1]).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
    let arrays = |model: &Model| {
        let arrays = model.arrays().into_iter();
        arrays.map(|a| (a.name, a.dtype, a.shape, a.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(arrays(&a), arrays(&b));
    coded
}

#[test]
fn every_precision_is_the_same_to_the_bit() {
    for (seed, mut configuration) in configurations().into_iter().step_by(4).enumerate() {
        // Wider than a group of int4, and no multiple of any block.
        common::widen(&mut configuration, 77);
        // Too little of it for some.
        let is_small = configuration.cell == CellKind::Urnn;
        let mut parts = Parts::random(configuration, 133, 1.0, seed as u64);
        // Many small, few large, as trained ones are.
        parts.weights.values_mut().flatten().for_each(|weight| *weight = weight.powi(3));
        for precision in Precision::ALL {
            let coded = compare(&parts.bytes(precision));
            let CodedBytes { plain, coded: bytes } =
                Model::from_bytes(coded.clone()).unwrap().coded_bytes();
            let is_coded = 0 < bytes && bytes < plain;
            // Their codes come almost equally often, and few rows each have a vector of their own.
            let is_even = matches!(
                precision,
                Precision::Codebook | Precision::Product4 | Precision::Product8
            );
            assert!(is_coded || is_even || is_small, "{precision:?} is not coded");
            if !is_coded {
                continue;
            }
            let again = Error::Metadata {
                key: "coded".into(),
                problem: "is there: the file is entropy-coded already".into(),
            };
            assert_eq!(entropy_coded(&coded), Err(again));
        }
    }
}

#[test]
fn every_form_is_the_same_to_the_bit() {
    for forms in Forms::all() {
        let model = Model::from_bytes(compare(&forms.bytes())).unwrap();
        for matrix in model.matrices() {
            assert!(matrix.file_bytes <= matrix.bytes && matrix.file_bytes > 0, "{}", matrix.name);
        }
        let listed: usize = model.matrices().iter().map(|matrix| matrix.file_bytes).sum();
        let arrays: usize = model.arrays().iter().map(|array| array.range.len()).sum();
        assert_eq!(listed + model.vocabulary_bytes(), arrays);
    }
}

#[test]
fn n_grams_are_the_same_to_the_bit() {
    for (order, levels) in [(1, 0), (3, 20), (6, 0)] {
        let table = common::ngram::table(order, 150, levels, 1);
        compare(&table.pack(&Notes::default()).unwrap());
    }
}

#[test]
fn what_the_file_says_of_its_model_stays() {
    let mut packer = small(Precision::Ternary);
    packer.recipe("steps = [\"\\u0041\"]\n# é\t");
    let plain = packer.finish().unwrap();
    let [a, b] =
        [plain.clone(), entropy_coded(&plain).unwrap()].map(|b| Model::from_bytes(b).unwrap());
    for (key, value) in a.metadata() {
        let own = ["format_version", "checksum"].contains(&key.as_str());
        assert!(own || b.metadata().get(key) == Some(value), "{key}");
    }
    assert_eq!(b.metadata()["format_version"], "2");
    assert_eq!(a.coded_bytes(), CodedBytes { plain: 0, coded: 0 });
    assert_eq!(b.bytes(), entropy_coded(&plain).unwrap().len());
}

fn small(precision: Precision) -> pocketlm::pack::Packer {
    let mut configuration = common::configuration(CellKind::Lstm, 0, 0, false);
    configuration.hidden[0] = 40;
    Parts::random(configuration, 90, 0.5, 1).packer(precision)
}

#[test]
fn a_file_that_does_not_shrink_stays_plain() {
    let configuration = common::configuration(CellKind::Lstm, 0, 0, false);
    let configuration = Configuration { embedding: 3, hidden: vec![2], ..configuration };
    let plain = Parts::random(configuration, 36, 0.5, 1).bytes(Precision::Int8);
    assert!(entropy_coded(&plain).unwrap() == plain, "it is coded");
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = entropy_coded(&small(Precision::Int3).finish().unwrap()).unwrap();
    for at in (0..bytes.len()).step_by(3) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let found = Model::from_bytes(bytes).and_then(|model| model.verify());
        assert!(found.is_err(), "byte {at} does not matter");
    }
}
