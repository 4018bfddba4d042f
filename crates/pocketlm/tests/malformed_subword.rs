//! One test for each way in which the tokenizer of a file can be malformed.

mod common;

use common::malformed::{fault, replaced, says};
use common::subword::{subwords, unigram};
use pocketlm::{Error, Model};

/// The file with bytes of the array `name` replaced from `at` on.
fn poked(mut bytes: Vec<u8>, name: &str, at: usize, new: &[u8]) -> Vec<u8> {
    let model = Model::from_bytes(bytes.clone()).unwrap();
    let array = model.arrays().into_iter().find(|array| array.name == name).unwrap();
    bytes[array.range.start + at..][..new.len()].copy_from_slice(new);
    bytes
}

fn pieces_fault(from: &str, to: &str, parts: &[&str]) {
    says(replaced(&subwords(1), from, to), parts);
}

fn unigram_fault(from: &str, to: &str, parts: &[&str]) {
    says(replaced(&unigram(1), from, to), parts);
}

#[test]
fn the_valid_files_open() {
    Model::from_bytes(subwords(1)).unwrap().verify().unwrap();
    Model::from_bytes(unigram(1)).unwrap().verify().unwrap();
}

#[test]
fn a_kind_that_is_not_known() {
    let bytes = replaced(&subwords(1), "byte-level-bpe", "word-pieces");
    let fault = fault(bytes);
    assert!(
        matches!(&fault, Error::Unsupported { what } if what.contains("word-pieces")),
        "{fault}"
    );
}

#[test]
fn an_entry_that_is_no_json_or_lacks_a_field() {
    pieces_fault("{\\\"algorithm", "[\\\"algorithm", &["subwords"]);
    pieces_fault("\\\"prefix_space", "\\\"suffix_space", &["subwords.prefix_space"]);
    pieces_fault("\\\"merges\\\":", "\\\"marges\\\":", &["subwords.merges"]);
    for field in ["user", "byte_fallback", "single_spaces", "scores"] {
        let (from, to) = (format!("\\\"{field}\\\":"), format!("\\\"no-{field}\\\":"));
        unigram_fault(&from, &to, &[&format!("subwords.{field}")]);
    }
}

#[test]
fn control_pieces_out_of_range_or_without_the_end_of_lines() {
    pieces_fault("\\\"control\\\":[", "\\\"control\\\":[99999,", &["subwords.control"]);
    pieces_fault("\\\"control\\\":[", "\\\"control\\\":[250,", &["control pieces"]);
    unigram_fault("\\\"user\\\":[", "\\\"user\\\":[99999,", &["subwords.user"]);
    unigram_fault("\\\"user\\\":[", "\\\"user\\\":[264,", &["user-defined"]);
    pieces_fault("\\\"eos\\\":", "\\\"eos\\\":1,\\\"old\\\":", &["subwords.control", "<eos>"]);
}

#[test]
fn merges_that_make_no_piece() {
    says(poked(subwords(1), "subwords.merges", 4, &[0xff, 0xff]), &["merge 1"]);
    says(poked(subwords(1), "subwords.merges", 4, &[0, 0, 0, 0]), &["merge 1"]);
}

#[test]
fn scores_that_are_no_numbers() {
    says(
        poked(unigram(1), "subwords.scores", 8, &f32::NAN.to_le_bytes()),
        &["subwords.scores", "2"],
    );
}

#[test]
fn a_table_of_normalisation_that_is_cut_off() {
    says(poked(unigram(1), "subwords.charsmap", 0, &[0xff; 4]), &["normalisation", "cut off"]);
    // Whatever stands in the table, no step leads out of it.
    for unit in [u32::MAX, 1 << 31, 0x0000_0500, 0xffff_fd61] {
        let model =
            Model::from_bytes(poked(unigram(1), "subwords.charsmap", 4, &unit.to_le_bytes()));
        let model = model.unwrap();
        assert!(model.vocabulary().tokens("aba <x> \u{2581}字").count() > 3);
    }
}

#[test]
fn a_byte_without_a_piece() {
    // The first piece is the byte zero; the next, of one byte too, takes its place.
    let bytes = subwords(1);
    let at = Model::from_bytes(bytes.clone()).unwrap();
    assert_eq!(at.vocabulary().id_of(&[0]), Some(0));
    says(replaced(&bytes, "\\\"control\\\":[", "\\\"control\\\":[0,"), &["256 bytes"]);
    unigram_fault("\\\"control\\\":[", "\\\"control\\\":[7,", &["<0x00>"]);
}

#[test]
fn a_file_of_every_length_is_refused() {
    let whole = unigram(1);
    for length in (0..whole.len()).step_by(61) {
        assert!(Model::from_bytes(whole[..length].to_vec()).is_err(), "{length}");
    }
}
