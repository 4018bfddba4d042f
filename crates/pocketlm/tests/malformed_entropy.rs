//! One test for each way in which an entropy-coded file can be malformed.

mod common;

use common::Parts;
use common::malformed::{replaced, says};
use pocketlm::pack::{Precision, entropy_coded};
use pocketlm::{CellKind, Error, Model};

/// A file whose matrices are coded, in symbols of int3 and in planes.
fn valid() -> Vec<u8> {
    let mut configuration = common::configuration(CellKind::Lstm, 0, 0, false);
    configuration.hidden[0] = 40;
    let plain = Parts::random(configuration, 90, 0.5, 1).bytes(Precision::Int3);
    entropy_coded(&plain).unwrap()
}

/// What the reader says of the file with `from` replaced by `to`; quotes within the codings are escaped once.
fn fault(from: &str, to: &str, parts: &[&str]) {
    let escaped = |text: &str| text.replace('"', "\\\"");
    says(replaced(&valid(), &escaped(from), &escaped(to)), parts);
}

/// The file with bytes of the coded array `softmax` replaced from `at` on, from its end where that is negative.
fn poked(at: isize, new: &[u8]) -> Vec<u8> {
    let mut bytes = valid();
    let model = Model::from_bytes(bytes.clone()).unwrap();
    let array = model.arrays().into_iter().find(|array| array.name == "softmax").unwrap();
    assert!(array.bytes > array.range.len(), "softmax is not coded");
    let start = if at < 0 { array.range.end as isize } else { array.range.start as isize };
    bytes[(start + at) as usize..][..new.len()].copy_from_slice(new);
    bytes
}

/// How the file says that softmax is coded.
const SOFTMAX: &str =
    "{\"name\":\"softmax\",\"dtype\":\"U8\",\"shape\":[6,3,16,4],\"coding\":\"rans\"";

#[test]
fn the_valid_file_opens() {
    Model::from_bytes(valid()).unwrap().verify().unwrap();
    Model::from_bytes(poked(0, &[1])).unwrap().verify().unwrap();
}

#[test]
fn version_1_has_no_coded_arrays() {
    let bytes = replaced(&valid(), "\"format_version\":\"2\"", "\"format_version\":\"1\"");
    says(bytes, &["array `", "instead of"]);
}

#[test]
fn version_2_may_be_plain() {
    let plain = common::tiny_parts().bytes(Precision::Int8);
    let bytes = replaced(&plain, "\"format_version\":\"1\"", "\"format_version\":\"2\"");
    Model::from_bytes(bytes).unwrap();
}

#[test]
fn codings_that_are_no_list_of_codings() {
    let bytes = replaced(&valid(), "\"coded\":\"[", "\"coded\":\"1\",\"x\":\"[");
    says(bytes, &["`coded`", "not a list"]);
    fault(SOFTMAX, &SOFTMAX.replace("name", "nome"), &["`coded`", "no name"]);
}

#[test]
fn names_that_this_reader_does_not_know() {
    fault(SOFTMAX, &SOFTMAX.replace("rans", "tans"), &["coded.softmax.coding", "not one that"]);
    fault(SOFTMAX, &SOFTMAX.replace("U8", "U9"), &["coded.softmax.dtype", "not one that"]);
    fault("\"symbols\":\"int3\"", "\"symbols\":\"int9\"", &[".symbols", "not one that"]);
}

#[test]
fn arrays_that_are_not_there_or_not_coded() {
    fault(SOFTMAX, &SOFTMAX.replace("softmax", "lost"), &["array `lost`", "is missing"]);
    let twice = SOFTMAX.replace("softmax", "embedding");
    fault(SOFTMAX, &twice, &["array `embedding`", "listed twice"]);
    let bias = SOFTMAX.replace("softmax", "cell.1.bias");
    fault(SOFTMAX, &bias, &["array `cell.1.bias`", "listed"]);
}

#[test]
fn lengths_out_of_bounds() {
    for shape in ["[6,3]", "[1152,64]", "[4294967296,4294967296]", "[0]", "[6,3,16,4,1e1]"] {
        let text = SOFTMAX.replace("[6,3,16,4]", shape);
        let part =
            if shape.contains("1e1") { "not a list of counts" } else { "cannot stand for U8" };
        fault(SOFTMAX, &text, &["softmax", part]);
    }
}

#[test]
fn symbols_that_do_not_fit_the_length() {
    let text = SOFTMAX.replace("[6,3,16,4]", "[6,3,16,5]");
    fault(SOFTMAX, &text, &["array `softmax`", "do not fit its length"]);
}

#[test]
fn planes_that_are_none() {
    let cut = "\"period\":256,\"cuts\":[64]";
    for to in [
        "\"period\":0,\"cuts\":[]",
        "\"period\":256,\"cuts\":[0]",
        "\"period\":256,\"cuts\":[256]",
        "\"period\":256,\"cuts\":[64,64]",
        "\"period\":256,\"cuts\":[64,32]",
        "\"period\":256,\"cuts\":[1,2,3,4,5,6,7,8]",
        "\"period\":256",
        "\"cuts\":[64]",
    ] {
        fault(cut, to, &["coded.", "cuts", "ascending places"]);
    }
    fault(cut, "\"period\":257,\"cuts\":[64]", &["array `", "do not fit its length"]);
}

#[test]
fn streams_that_are_none() {
    says(poked(0, &[2]), &["array `softmax`", "planes of an unknown kind"]);
    says(poked(0, &[0]), &["array `softmax`", "is coded"]);
    // A first frequency of 8192, and one that does not end.
    says(poked(1, &[128, 64]), &["array `softmax`", "add up to 4096"]);
    says(poked(1, &[128, 128]), &["array `softmax`", "add up to 4096"]);
    // No symbols at all: 256 zeros, and no more.
    says(poked(1, &[0, 255, 1]), &["array `softmax`", "add up to 4096"]);
    // One symbol that is all, states below the least, then states that end elsewhere.
    says(poked(1, &[128, 32, 0, 0, 0, 0]), &["array `softmax`", "state below 65536"]);
    says(poked(1, &[[128, 32].as_slice(), &[9; 32]].concat()), &["array `softmax`", "to its end"]);
    says(poked(-1, &[0xff]), &["array `softmax`", "is coded"]);
}

#[test]
fn streams_cut_short_or_with_more_behind() {
    // The last array takes over what another loses, so that the file still is covered.
    let model = Model::from_bytes(valid()).unwrap();
    let coded: Vec<_> = model.arrays().into_iter().filter(|a| a.bytes > a.range.len()).collect();
    for array in coded {
        let data = model.header_bytes();
        let length = array.range.len();
        let from = format!("\"shape\":[{length}],\"data_offsets\":[{},", array.range.start - data);
        let bytes = valid();
        for keep in [0, 1, 2, 40, length - 1] {
            // Padding takes the bytes behind.
            let (begin, cut) = (array.range.start - data, array.range.start - data + keep);
            let end = array.range.end - data;
            let to = format!(
                "\"shape\":[{keep}],\"data_offsets\":[{begin},{cut}]}},\"~pad.x\":{{\"dtype\":\"U8\",\"shape\":[{}],\"data_offsets\":[{cut},",
                end - cut
            );
            says(replaced(&bytes, &from, &to), &["array `"]);
        }
    }
}

#[test]
fn no_damage_makes_a_panic() {
    let bytes = valid();
    for at in (0..bytes.len()).step_by(11) {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            match Model::from_bytes(bytes) {
                Ok(model) => assert!(
                    matches!(model.verify(), Err(Error::Checksum { .. }))
                        || at < model.header_bytes()
                ),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
