//! One test for each way in which the file of an n-gram model can be malformed.

mod common;

use common::malformed::{replaced, says};
use common::ngram::table;
use pocketlm::pack::Notes;
use pocketlm::{Model, Session};

/// A model with rounded numbers, whose header is a JSON text.
fn valid() -> Vec<u8> {
    table(4, 100, 30, 2).pack(&Notes::default()).unwrap()
}

/// The file with bytes of the array `name` replaced from `at` on, from the end where it is negative.
fn poked(name: &str, at: isize, new: &[u8]) -> Vec<u8> {
    let mut bytes = valid();
    let model = Model::from_bytes(bytes.clone()).unwrap();
    let array = model.arrays().into_iter().find(|array| array.name == name).unwrap();
    let start = if at < 0 { array.range.end as isize } else { array.range.start as isize };
    bytes[(start + at) as usize..][..new.len()].copy_from_slice(new);
    bytes
}

/// Uses a model in every way; what it says does not matter.
fn used(bytes: Vec<u8>) -> Model {
    let model = Model::from_bytes(bytes).unwrap();
    let mut session = Session::new(&model);
    for token in 0..100 {
        session.feed(token).unwrap();
        let _ = session.suggest(5);
        let _ = session.suggest_prefix("t", 5);
        let _ = session.log_probability_of(99 - token);
    }
    let _ = session.score("the then under a");
    model.ngrams().unwrap();
    model
}

#[test]
fn the_valid_file_opens() {
    used(valid()).verify().unwrap();
}

#[test]
fn every_truncation() {
    let bytes = valid();
    for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        assert!(Model::from_bytes(bytes[..cut].to_vec()).is_err());
    }
}

#[test]
fn orders_that_are_none() {
    let bytes = valid();
    says(
        replaced(&bytes, r#"\"orders\":["#, r#"\"orders\":7,\"x\":["#),
        &["ngram.orders", "1 to 6"],
    );
    says(replaced(&bytes, r#"\"orders\":["#, r#"\"orders\":[],\"x\":["#), &["ngram.orders"]);
    let seven =
        format!(r#"\"orders\":[{}],\"x\":["#, r#"{\"ngrams\":1},"#.repeat(7).trim_end_matches(','));
    says(replaced(&bytes, r#"\"orders\":["#, &seven), &["ngram.orders", "1 to 6"]);
}

#[test]
fn unit_of_byte_pairs() {
    says(replaced(&valid(), r#"\"unit\":\"word\""#, r#"\"unit\":\"bpe\""#), &["ngram.unit"]);
}

#[test]
fn another_number_of_single_words() {
    let bytes = replaced(&valid(), r#"{\"ngrams\":100}"#, r#"{\"ngrams\":99}"#);
    says(bytes, &["ngram.orders", "100 types"]);
}

#[test]
fn another_number_of_ngrams() {
    let model = Model::from_bytes(valid()).unwrap();
    for info in &model.orders()[1..] {
        let count = info.ngrams;
        let field = format!(r#"\"ngrams\":{count},"#);
        for wrong in [0, 1, count - 1, count + 1, (1 << 31) - 1, 1 << 31, usize::MAX] {
            let bytes = replaced(&valid(), &field, &format!(r#"\"ngrams\":{wrong},"#));
            assert!(Model::from_bytes(bytes).is_err(), "{wrong} instead of {count}");
        }
    }
}

#[test]
fn bits_that_are_none_or_others() {
    let bytes = valid();
    for bits in ["0", "17", "31", "33", "-1", "1.5", "null"] {
        let to = format!(r#"\"probability_bits\":{bits},"#);
        assert!(Model::from_bytes(replaced(&bytes, r#"\"probability_bits\":5,"#, &to)).is_err());
    }
    let wider = replaced(&bytes, r#"\"probability_bits\":5,"#, r#"\"probability_bits\":6,"#);
    says(wider, &["ngram.2.probabilities", "instead of"]);
    let floats = replaced(&bytes, r#"\"backoff_bits\":5"#, r#"\"backoff_bits\":32"#);
    says(floats, &["ngram.2.backoffs", "U8 instead of F32"]);
}

#[test]
fn missing_arrays() {
    for part in [
        "1.probabilities",
        "1.backoffs",
        "1.offsets",
        "2.words",
        "2.probabilities",
        "2.probabilities.levels",
        "3.backoffs",
        "3.backoffs.levels",
        "2.children",
        "3.children.samples",
    ] {
        let bytes = replaced(&valid(), &format!("\"ngram.{part}\""), "\"other\"");
        says(bytes, &[&format!("ngram.{part}"), "is missing"]);
    }
}

#[test]
fn offsets_that_fall_or_end_elsewhere() {
    says(poked("ngram.1.offsets", 0, &[1]), &["ngram.1.offsets", "rise from 0"]);
    says(poked("ngram.1.offsets", 200, &[255, 255, 255]), &["ngram.1.offsets", "rise from 0"]);
    says(poked("ngram.1.offsets", -4, &[0, 0, 0, 0]), &["ngram.1.offsets", "rise from 0"]);
}

#[test]
fn children_that_are_too_many_too_few_or_beyond_the_end() {
    for name in ["ngram.2.children", "ngram.3.children"] {
        says(poked(name, 8, &[0]), &[name, "as many children"]);
        says(poked(name, 8, &[255]), &[name, "as many children"]);
        says(poked(name, -1, &[255]), &[name, "as many children"]);
    }
}

#[test]
fn samples_elsewhere() {
    for name in ["ngram.2.children.samples", "ngram.3.children.samples"] {
        for (at, new) in [(0, [1, 0, 0, 0]), (4, [0, 0, 0, 0]), (4, [255; 4])] {
            says(poked(name, at, &new), &["samples are not where"]);
        }
    }
}

#[test]
fn numbers_that_are_not_finite() {
    let nan = f32::NAN.to_le_bytes();
    for name in ["ngram.1.probabilities", "ngram.1.backoffs"] {
        says(poked(name, 12, &nan), &["ngram.1.probabilities", "n-gram 3", "not finite"]);
    }
    says(poked("ngram.2.probabilities.levels", 0, &nan), &["levels", "not a finite number"]);
    let mut table = table(3, 40, 0, 1);
    let bytes = table.pack(&Notes::default()).unwrap();
    let needle = table.orders[2].probabilities[5].to_le_bytes();
    let at = bytes.windows(4).position(|window| window == needle).unwrap();
    let mut bytes = bytes;
    bytes[at..at + 4].copy_from_slice(&nan);
    let model = Model::from_bytes(bytes).unwrap();
    assert!(model.verify().is_err());
    table.orders[2].probabilities[5] = f32::INFINITY;
    assert!(table.pack(&Notes::default()).is_err());
}

#[test]
fn tokens_out_of_order_and_unknown_are_harmless_and_found_by_verify() {
    for name in ["ngram.2.words", "ngram.3.words", "ngram.4.words", "ngram.4.probabilities"] {
        for fill in [0u8, 0x55, 0xff] {
            let length = Model::from_bytes(valid()).unwrap();
            let array = length.arrays().into_iter().find(|array| array.name == name).unwrap();
            let model = used(poked(name, 0, &vec![fill; array.range.len()]));
            // 30 levels take 5 bits: a code of all ones is past them.
            let is_code = name.ends_with("probabilities") && fill != 0xff;
            assert!(model.verify().is_err() || is_code, "{name} {fill}");
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    let bytes = valid();
    for at in (0..bytes.len() * 8).step_by(331) {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        if Model::from_bytes(flipped.clone()).is_ok_and(|model| model.vocabulary().len() == 100) {
            used(flipped);
        }
    }
}
