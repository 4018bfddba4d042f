//! What is packed comes back: weights, words, and everything said of them.

mod common;

use common::{Parts, configurations, tiny_parts};
use pocketlm::pack::{Packer, Precision, round_trip, sorted_order, stored_bytes, write_file};
use pocketlm::{Error, Model, Perplexity, Provenance, Session};

/// Rows of the matrix `name` in the packed order.
fn rows(parts: &Parts, name: &str, columns: usize) -> Vec<Vec<f32>> {
    let rows: Vec<_> = parts.weights[name].chunks_exact(columns).map(<[f32]>::to_vec).collect();
    if !matches!(name, "embedding" | "softmax" | "softmax.bias") {
        return rows;
    }
    sorted_order(&parts.words).iter().map(|&at| rows[at as usize].clone()).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

#[test]
fn weights_come_back_within_half_a_step() {
    for (seed, configuration) in configurations().into_iter().enumerate() {
        let parts = Parts::random(configuration, 45, 0.9, seed as u64);
        for precision in Precision::ALL {
            let model = parts.model(precision);
            for matrix in parts.configuration.matrices(45) {
                let mut found = vec![0.0; matrix.columns];
                for (row, wanted) in
                    rows(&parts, &matrix.name.to_string(), matrix.columns).iter().enumerate()
                {
                    model.row(&matrix.name.to_string(), row, &mut found).unwrap();
                    let error =
                        largest(&found.iter().zip(wanted).map(|(a, b)| a - b).collect::<Vec<_>>());
                    let bound = match precision {
                        Precision::F32 => 0.0,
                        Precision::F16 => 1.0 / 2048.0,
                        Precision::Int8 => largest(wanted) / 127.0 * 0.5001,
                        // Clipping may cost more than half a step of the widest scale that is tried.
                        Precision::Int5 => largest(wanted) / 15.0,
                        Precision::Int4 => largest(wanted) / 7.0,
                        Precision::Codebook => largest(wanted) / 2.0,
                        Precision::Int3 => largest(wanted) / 3.0,
                        Precision::Int2 => largest(wanted) / 2.0,
                        Precision::Ternary => largest(wanted) * 0.75,
                        Precision::Binary3 | Precision::Binary2 => largest(wanted) * 0.75,
                        // Fewer rows than vectors: each has its own, in half precision.
                        Precision::Product4 | Precision::Product8 => 1.0 / 2048.0,
                    };
                    assert!(error <= bound, "{precision:?} {} {error} {bound}", matrix.name);
                }
            }
            for bias in parts.configuration.biases(45) {
                let wanted = rows(&parts, &bias.name.to_string(), 1).concat();
                assert_eq!(model.bias(&bias.name.to_string()).unwrap(), wanted);
            }
        }
    }
}

#[test]
fn everything_else_comes_back() {
    let parts = tiny_parts();
    let mut packer = parts.packer(Precision::Int4);
    let provenance = Provenance {
        training_data: "sha256:0123".into(),
        tool: "pocketlm \"0.1\"\n".into(),
        licence: "für alle".into(),
    };
    let perplexity = Perplexity { data: "ptb/test".into(), tokens: 82430, value: 114.523_456_789 };
    packer.recipe("steps = [\"\\u0041\"]\n# é\t");
    packer.provenance(provenance.clone());
    packer.perplexity(perplexity.clone()).unwrap();
    let model = Model::from_bytes(packer.finish().unwrap()).unwrap();
    model.verify().unwrap();
    assert_eq!(model.recipe(), "steps = [\"\\u0041\"]\n# é\t");
    assert_eq!(*model.provenance(), provenance);
    assert_eq!(model.perplexity(), [perplexity]);
    assert_eq!(model.configuration(), Some(&parts.configuration));
    let mut words = parts.words.clone();
    words.sort();
    assert!(model.vocabulary().words().eq(words));
    assert_eq!(model.vocabulary().eos(), model.vocabulary().id("<eos>").unwrap());
    assert_eq!(model.vocabulary().unk(), model.vocabulary().id("<unk>"));
}

#[test]
fn the_map_covers_the_file() {
    for precision in Precision::ALL {
        let bytes = tiny_parts().bytes(precision);
        let model = Model::from_bytes(bytes.clone()).unwrap();
        assert_eq!(model.bytes(), bytes.len());
        let mut at = model.header_bytes();
        for array in model.arrays() {
            assert!(array.range.start.is_multiple_of(64) && (array.range.start - at) < 64);
            at = array.range.end;
        }
        assert!(bytes.len() - at < 64);
        let matrices = model.matrices();
        let listed: usize = matrices.iter().map(|matrix| matrix.bytes).sum();
        let arrays: usize = model.arrays().iter().map(|array| array.range.len()).sum();
        assert_eq!(listed + model.vocabulary().bytes(), arrays);
        let names: Vec<_> = matrices.iter().map(|matrix| matrix.name.as_str()).collect();
        assert_eq!(names[..3], ["embedding", "cell.0.input", "cell.0.recurrent"]);
        assert_eq!(names.last(), Some(&"softmax.bias"));
        // 40·6 + 36·6 + 36·9 + 28·9 + 28·7 + 40·7, and 36 + 28 + 40 biases.
        assert_eq!(model.parameters(), 1508 + 104);
        let form = &matrices[0];
        assert_eq!([&*form.structure, &form.sparsity], ["dense", "none"]);
        assert_eq!(form.precision, precision.name());
    }
}

#[test]
fn the_same_parts_give_the_same_bytes_in_any_order_of_words() {
    let parts = tiny_parts();
    let wanted = parts.bytes(Precision::Int8);
    assert_eq!(tiny_parts().bytes(Precision::Int8), wanted);
    let mut turned = tiny_parts();
    let order: Vec<usize> = (0..40).rev().collect();
    turned.words = order.iter().map(|&at| parts.words[at].clone()).collect();
    for name in ["embedding", "softmax", "softmax.bias"] {
        let width = parts.weights[name].len() / 40;
        let rows = order.iter().flat_map(|&at| &parts.weights[name][at * width..][..width]);
        turned.weights.insert(name.into(), rows.copied().collect());
    }
    assert_eq!(turned.bytes(Precision::Int8), wanted);
}

#[test]
fn static_bytes_and_files_give_the_same_model() {
    let bytes = tiny_parts().bytes(Precision::Int8);
    let path = std::env::temp_dir().join(format!("pocketlm-static-{}.plm", std::process::id()));
    write_file(&path, &bytes).unwrap();
    let opened = Model::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let fixed: &'static [u8] = Vec::leak(bytes.clone());
    let models = [opened, Model::from_bytes(fixed).unwrap(), Model::from_bytes(bytes).unwrap()];
    let scores = models.map(|model| Session::new(&model).score("the under a").unwrap());
    assert!(scores[0] == scores[1] && scores[1] == scores[2]);
}

#[test]
fn a_file_is_replaced_as_a_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("pocketlm-write-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("a.plm");
    write_file(&path, &tiny_parts().bytes(Precision::F32)).unwrap();
    let open = Model::open(&path).unwrap();
    let wanted = Session::new(&open).score("the").unwrap();
    write_file(&path, b"something else").unwrap();
    assert_eq!(Session::new(&open).score("the"), Ok(wanted));
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
    let text = write_file(&path, b"").unwrap_err().to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
}

// --------------------------------------------------------------------------- what the packer refuses

fn refused<T: std::fmt::Debug>(result: Result<T, Error>, parts: &[&str]) {
    let text = result.unwrap_err().to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

fn packer(words: &[&str], unk: Option<&str>) -> Result<Packer, Error> {
    Packer::new(tiny_parts().configuration, words, "<eos>", unk)
}

#[test]
fn impossible_words_are_refused() {
    refused(packer(&[], None), &["0 words"]);
    refused(packer(&["a", "b"], None), &["has no <eos>"]);
    refused(packer(&["a", "<eos>"], Some("<unk>")), &["has no <unk>"]);
    refused(packer(&["a", "<eos>", "a"], None), &["\"a\" twice"]);
    refused(packer(&["", "<eos>"], None), &["empty word"]);
    refused(packer(&[&"x".repeat(5000), "<eos>"], None), &["more than 4096 bytes", "xxx"]);
}

#[test]
fn impossible_weights_are_refused() {
    let mut packer = tiny_parts().packer(Precision::F32);
    let mut weights = vec![0.0; 240];
    refused(packer.matrix("embeding", &weights, Precision::F32), &["`embeding`", "embedding, "]);
    refused(packer.matrix("embedding", &weights[1..], Precision::F32), &["239", "40 x 6"]);
    refused(packer.bias("softmax.bias", &weights), &["240", "40 x 1"]);
    weights[13] = f32::NAN;
    refused(packer.matrix("embedding", &weights, Precision::F32), &["row 2, column 1 is NaN"]);
    weights[13] = 1e6;
    refused(packer.matrix("embedding", &weights, Precision::F16), &["half precision"]);
    weights[13] = 1e30;
    refused(packer.matrix("embedding", &weights, Precision::Int4), &["half precision"]);
    packer.matrix("embedding", &weights, Precision::Int8).unwrap();
}

#[test]
fn missing_parts_are_named() {
    let parts = tiny_parts();
    let mut packer = Packer::new(parts.configuration.clone(), &parts.words, "<eos>", None).unwrap();
    refused(packer.finish(), &["`embedding`", "not given"]);
    for matrix in parts.configuration.matrices(40) {
        packer
            .matrix(matrix.name, &parts.weights[&matrix.name.to_string()], Precision::F32)
            .unwrap();
    }
    refused(packer.finish(), &["`cell.0.bias`", "not given"]);
}

#[test]
fn a_round_trip_without_a_file_gives_what_the_model_reads() {
    for (seed, mut configuration) in configurations().into_iter().step_by(7).enumerate() {
        common::widen(&mut configuration, 139);
        let parts = Parts::random(configuration, 45, 0.9, seed as u64);
        for precision in Precision::ALL {
            let model = parts.model(precision);
            for info in model.matrices().iter().filter(|info| info.structure != "vector") {
                let (rows, columns) = (info.rows, info.columns);
                let weights = self::rows(&parts, &info.name, columns).concat();
                let found = round_trip(&weights, rows, columns, precision).unwrap();
                let mut wanted = vec![0.0; columns];
                for (row, found) in found.chunks_exact(columns).enumerate() {
                    model.row(&info.name, row, &mut wanted).unwrap();
                    assert_eq!(found, wanted, "{precision:?} {}", info.name);
                }
                assert_eq!(stored_bytes(rows, columns, precision), info.bytes, "{precision:?}");
            }
        }
    }
}

#[test]
fn a_round_trip_refuses_what_the_packer_refuses() {
    for precision in Precision::ALL {
        let refused = |weights: &[f32], text: &str| {
            let error = round_trip(weights, 2, 3, precision).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        refused(&[0.0; 5], "5 values instead of 2 x 3");
        refused(&[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0], "row 1, column 1 is NaN");
        let narrow = !matches!(precision, Precision::F32 | Precision::Int8);
        assert_eq!(round_trip(&[3e38; 6], 2, 3, precision).is_err(), narrow, "{precision:?}");
    }
}
