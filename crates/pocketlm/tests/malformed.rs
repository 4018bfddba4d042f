//! One test for each way in which a file can be malformed, named by the failure.

mod common;

use common::malformed::{fault, joined, replaced, says, split};
use common::{Forms, Kind, Parts, configuration, tiny_parts};
use pocketlm::pack::{Factor, Form, Precision, Sparsity};
use pocketlm::spec::Kernels;
use pocketlm::{CellKind, Configuration, Error, Model, Session};
use pocketlm_kernels::grouped::Code;

fn valid() -> Vec<u8> {
    tiny_parts().bytes(Precision::Int8)
}

fn header_fault(from: &str, to: &str, parts: &[&str]) {
    says(replaced(&valid(), from, to), parts);
}

/// The file with bytes of the array `name` replaced from `at` on.
fn poked(mut bytes: Vec<u8>, name: &str, at: usize, new: &[u8]) -> Vec<u8> {
    let model = Model::from_bytes(bytes.clone()).unwrap();
    let array = model.arrays().into_iter().find(|array| array.name == name).unwrap();
    bytes[array.range.start + at..][..new.len()].copy_from_slice(new);
    bytes
}

// ------------------------------------------------------------------------------- the container

#[test]
fn the_valid_file_opens() {
    Model::from_bytes(valid()).unwrap().verify().unwrap();
    let (header, data) = split(&valid());
    assert_eq!(joined(&header, &data), valid());
}

#[test]
fn empty_file() {
    assert_eq!(fault(vec![]), Error::TooShort { bytes: 0, needed: 10 });
}

#[test]
fn nine_bytes() {
    assert_eq!(fault(vec![1; 9]), Error::TooShort { bytes: 9, needed: 10 });
}

#[test]
fn header_length_beyond_the_file() {
    let mut bytes = valid();
    let limit = bytes.len() - 8;
    for declared in [limit as u64 + 1, u64::MAX, 1 << 63] {
        bytes[..8].copy_from_slice(&declared.to_le_bytes());
        assert_eq!(fault(bytes.clone()), Error::HeaderLength { declared, limit });
    }
}

#[test]
fn header_length_beyond_the_limit() {
    let limit = pocketlm::format::MAX_HEADER;
    let mut bytes = vec![b' '; limit + 100];
    bytes[..8].copy_from_slice(&(limit as u64 + 1).to_le_bytes());
    assert_eq!(fault(bytes), Error::HeaderLength { declared: limit as u64 + 1, limit });
}

#[test]
fn every_truncation() {
    let bytes = valid();
    for cut in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        fault(bytes[..cut].to_vec());
    }
}

#[test]
fn header_that_is_not_an_object() {
    says(joined("[]", &[]), &["header, byte 0", "does not start with {"]);
    says(joined(" {}", &[]), &["header, byte 0"]);
}

#[test]
fn header_that_is_not_utf8() {
    let mut bytes = valid();
    bytes[40] = 0xff;
    says(bytes, &["header, byte 32", "not UTF-8"]);
}

#[test]
fn header_that_is_not_json() {
    header_fault("\"dtype\":", "\"dtype\"", &["header, byte", "a colon should stand here"]);
    header_fault("{\"__metadata__\"", "{,\"__metadata__\"", &["header, byte 1"]);
}

#[test]
fn header_with_a_key_twice() {
    let array = "\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},";
    header_fault("{\"__m", &format!("{{{array}{array}\"__m"), &["has this key twice"]);
}

#[test]
fn deeply_nested_header() {
    says(joined(&format!("{{\"a\":{}", "[".repeat(100_000)), &[]), &["nested too deeply"]);
}

#[test]
fn safetensors_of_another_program() {
    assert_eq!(fault(joined("{}", &[])), Error::NotPacked);
    let array = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    assert_eq!(fault(joined(array, &[0; 4])), Error::NotPacked);
    let foreign = r#"{"__metadata__":{"format":"pt"}}"#;
    assert_eq!(fault(joined(foreign, &[])), Error::NotPacked);
}

#[test]
fn metadata_of_another_kind() {
    says(joined(r#"{"__metadata__":[]}"#, &[]), &["`__metadata__`"]);
    says(joined(r#"{"__metadata__":{"format":1}}"#, &[]), &["`format`"]);
}

#[test]
fn a_newer_version() {
    let bytes = replaced(&valid(), "\"format_version\":\"1\"", "\"format_version\":\"3\"");
    assert_eq!(fault(bytes), Error::Version { found: "3".into(), supported: 2 });
}

#[test]
fn no_version() {
    header_fault("\"format_version\"", "\"format_versiom\"", &["`format_version`", "missing"]);
}

// ------------------------------------------------------------------------------------ the arrays

/// What tells a header from that of another program.
const METADATA: &str = r#""__metadata__":{"format":"pocketlm","format_version":"1"}"#;

/// The header's entry of an array that is a list of `length` bytes at 0.
fn array(dtype: &str, shape: &str, offsets: &str) -> Vec<u8> {
    let header = format!(
        "{{{METADATA},\"w\":{{\"dtype\":{dtype},\"shape\":{shape},\"data_offsets\":{offsets}}}}}"
    );
    joined(&header, &[0; 64])
}

#[test]
fn unknown_dtype() {
    says(array("\"F33\"", "[16]", "[0,64]"), &["array `w`", "F33"]);
    says(array("1", "[16]", "[0,64]"), &["array `w`", "no dtype"]);
}

#[test]
fn shape_that_is_no_list_of_counts() {
    for shape in ["1", "[-1]", "[1.5]", "[\"1\"]", "null", "[1e1]"] {
        says(array("\"U8\"", shape, "[0,64]"), &["array `w`", "no shape"]);
    }
}

#[test]
fn offsets_that_are_no_pair() {
    for offsets in ["0", "[0]", "[0,64,64]", "[-1,64]", "[0.0,64]", "{}"] {
        says(array("\"U8\"", "[64]", offsets), &["array `w`", "no data_offsets"]);
    }
}

#[test]
fn offsets_outside_the_file() {
    for offsets in ["[0,65]", "[1,65]", "[64,0]", "[0,18446744073709551615]"] {
        says(array("\"U8\"", "[64]", offsets), &["array `w`", "outside the file"]);
    }
}

#[test]
fn shape_that_does_not_fit_the_offsets() {
    says(array("\"U8\"", "[63]", "[0,64]"), &["64 bytes do not make U8 of shape [63]"]);
    says(array("\"F32\"", "[64]", "[0,64]"), &["64 bytes do not make F32 of shape [64]"]);
}

#[test]
fn shape_whose_product_overflows() {
    let shape = "[4294967296,4294967296,4]";
    says(array("\"F32\"", shape, "[0,0]"), &["0 bytes do not make F32"]);
    says(array("\"F32\"", "[18446744073709551615]", "[0,64]"), &["do not make F32"]);
}

/// A file of arrays of bytes with these names and offsets.
fn arrays(list: &[(&str, usize, usize)], bytes: usize) -> Vec<u8> {
    let entry = |(name, begin, end): &(&str, usize, usize)| {
        let length = end - begin;
        format!(
            "\"{name}\":{{\"dtype\":\"U8\",\"shape\":[{length}],\"data_offsets\":[{begin},{end}]}}"
        )
    };
    let entries: Vec<_> = list.iter().map(entry).collect();
    joined(&format!("{{{METADATA},{}}}", entries.join(",")), &vec![0; bytes])
}

#[test]
fn misaligned_array() {
    let bytes = arrays(&[("a", 0, 32), ("b", 32, 64)], 64);
    says(bytes, &["array `b`", "multiple of 64"]);
}

#[test]
fn misaligned_data() {
    let header = "{}      ";
    let mut bytes = 8u64.to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    assert_eq!(fault(bytes), Error::NotPacked);
    let header = r#""w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}"#;
    let mut header = format!("{{{METADATA},{header}}}");
    header.push_str(if (8 + header.len()).is_multiple_of(64) { " " } else { "" });
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&[0; 8]);
    says(bytes, &["array `w`", "multiple of 64"]);
}

#[test]
fn overlapping_arrays() {
    says(arrays(&[("a", 0, 128), ("b", 64, 128)], 128), &["array `b`", "starts at byte"]);
    says(arrays(&[("a", 0, 64), ("b", 0, 64)], 64), &["array `b`", "starts at byte"]);
}

#[test]
fn hole_between_arrays() {
    says(arrays(&[("a", 0, 64), ("b", 128, 192)], 192), &["array `b`", "starts at byte"]);
    says(arrays(&[("a", 64, 128)], 128), &["array `a`", "starts at byte"]);
}

#[test]
fn data_after_the_last_array() {
    says(arrays(&[("a", 0, 64)], 128), &["end at byte"]);
}

#[test]
fn missing_array() {
    header_fault("\"softmax.bias\":{", "\"softmax.bios\":{", &["`softmax.bias`", "missing"]);
    header_fault("\"embedding.scales\":{", "\"e.scales\":{", &["`embedding.scales`", "missing"]);
}

#[test]
fn array_of_another_dtype() {
    let from = "\"cell.0.bias\":{\"dtype\":\"F32\"";
    header_fault(from, &from.replace("F32", "U32"), &["`cell.0.bias`", "U32 instead of F32"]);
}

#[test]
fn array_of_another_shape() {
    let from = "\"cell.0.bias\":{\"dtype\":\"F32\",\"shape\":[36]";
    header_fault(from, &from.replace("36", "6,6"), &["`cell.0.bias`", "[6, 6] instead of [36]"]);
}

// ------------------------------------------------------------------------------ the configuration

#[test]
fn configuration_that_is_no_json() {
    header_fault("{\\\"cell\\\"", "{cell", &["configuration, byte 1"]);
}

#[test]
fn configuration_with_a_field_missing_or_wrong() {
    for (from, to, field) in [
        ("\\\"cell\\\":\\\"lstm\\\"", "\\\"cell\\\":\\\"elman\\\"", "cell"),
        ("\\\"cell\\\":\\\"lstm\\\"", "\\\"sell\\\":\\\"lstm\\\"", "cell"),
        ("\\\"embedding\\\":6", "\\\"embedding\\\":-6", "embedding"),
        ("\\\"embedding\\\":6", "\\\"embedding\\\":0", "embedding"),
        ("\\\"embedding\\\":6", "\\\"embedding\\\":2000000", "embedding"),
        ("\\\"hidden\\\":[9,7]", "\\\"hidden\\\":[9,\\\"7\\\"]", "hidden"),
        ("\\\"hidden\\\":[9,7]", "\\\"hidden\\\":[]", "hidden"),
        ("\\\"hidden\\\":[9,7]", "\\\"hidden\\\":[0]", "hidden"),
        ("\\\"hidden\\\":[9,7]", "\\\"hidden\\\":9", "hidden"),
        ("\\\"cell_projection\\\":0", "\\\"cell_projection\\\":null", "cell_projection"),
        ("\\\"cell_projection\\\":0", "\\\"cell_projection\\\":99999999", "cell_projection"),
        (",\\\"projection\\\":0", ",\\\"projection\\\":0.5", "projection"),
        (",\\\"projection\\\":0", ",\\\"projection\\\":99999999", "projection"),
        ("\\\"tied\\\":false", "\\\"tied\\\":0", "tied"),
        ("\\\"tied\\\":false", "\\\"tied\\\":true", "tied"),
        ("\\\"unit\\\":\\\"word\\\"", "\\\"unit\\\":\\\"syllable\\\"", "unit"),
    ] {
        header_fault(from, to, &["metadata `configuration.", field]);
    }
}

#[test]
fn too_many_layers() {
    let widths = vec!["9"; 65].join(",");
    header_fault("[9,7]", &format!("[{widths}]"), &["`configuration.hidden`"]);
}

#[test]
fn gru_with_a_recurrent_projection() {
    let bytes = Parts::random(configuration(CellKind::Gru, 0, 0, false), 40, 0.5, 1);
    let bytes = bytes.bytes(Precision::F32);
    let bytes = replaced(&bytes, "\\\"cell_projection\\\":0", "\\\"cell_projection\\\":5");
    says(bytes, &["`configuration.cell_projection`", "GRU"]);
}

#[test]
fn subwords_without_a_tokenizer() {
    let bytes = replaced(&valid(), "\\\"unit\\\":\\\"word\\\"", "\\\"unit\\\":\\\"subword\\\"");
    says(bytes, &["`subwords`", "missing"]);
}

// ----------------------------------------------------------------------------------- the matrices

#[test]
fn matrices_that_are_no_list() {
    header_fault("\"matrices\":\"[{", "\"matrices\":\"{", &["matrices, byte"]);
    header_fault("\"matrices\"", "\"m\":\"\",\"matrices\":\"{}\",\"n\"", &["`matrices`", "list"]);
}

#[test]
fn missing_matrix() {
    header_fault(
        "{\\\"name\\\":\\\"softmax\\\"",
        "{\\\"name\\\":\\\"s\\\"",
        &["`softmax`", "is missing"],
    );
}

#[test]
fn matrix_described_twice() {
    let (from, to) = ("{\\\"name\\\":\\\"softmax\\\"", "{\\\"name\\\":\\\"embedding\\\"");
    header_fault(from, to, &["`embedding`", "twice"]);
}

#[test]
fn matrix_without_a_field() {
    for (from, field) in [
        ("{\\\"name\\\":\\\"softmax\\\"", "name"),
        ("\\\"rows\\\":40", "rows"),
        ("\\\"columns\\\":6", "columns"),
        ("\\\"structure\\\":\\\"dense\\\"", "structure"),
        ("\\\"sparsity\\\":\\\"none\\\"", "sparsity"),
        ("\\\"precision\\\":\\\"int8\\\"", "precision"),
        ("\\\"arrays\\\":[", "arrays"),
    ] {
        header_fault(from, &from.replacen("\\\"", "\\\"x", 1), &["`matrices", field]);
    }
}

#[test]
fn matrix_of_another_shape_than_the_configuration_asks_for() {
    header_fault("\\\"columns\\\":6", "\\\"columns\\\":5", &["`embedding`", "[40, 5]", "[40, 6]"]);
    header_fault("\\\"embedding\\\":6", "\\\"embedding\\\":5", &["[40, 6]", "[40, 5]"]);
}

#[test]
fn matrix_in_a_form_of_the_future() {
    for (field, known) in [("structure", "dense"), ("sparsity", "none"), ("precision", "int8")] {
        let form = |value| format!("\\\"{field}\\\":\\\"{value}\\\"");
        header_fault(&form(known), &form("magic"), &["matrix `embedding`", field, "magic"]);
    }
}

#[test]
fn matrix_with_arrays_too_many_or_too_few() {
    let list = "\\\"arrays\\\":[\\\"embedding\\\",\\\"embedding.scales\\\"]";
    for (names, count) in [("", 0), ("\\\"embedding\\\"", 1), ("\\\"a\\\",\\\"b\\\",\\\"c\\\"", 3)]
    {
        let to = format!("\\\"arrays\\\":[{names}]");
        header_fault(list, &to, &["`embedding`", &format!("{count} arrays instead of 2")]);
    }
}

#[test]
fn matrix_whose_arrays_are_another_precision() {
    header_fault(
        "\\\"precision\\\":\\\"int8\\\"",
        "\\\"precision\\\":\\\"f32\\\"",
        &["`embedding`"],
    );
}

#[test]
fn codes_without_a_usable_group() {
    for (precision, code) in codes() {
        let odd = &(code.block() / 2).to_string();
        let bytes = tiny_parts().bytes(precision);
        for group in ["0", odd, "-32", "\\\"64\\\"", "1048576"] {
            let to = format!("\\\"group\\\":{group}");
            says(replaced(&bytes, "\\\"group\\\":64", &to), &["`embedding`", "group"]);
        }
        let troop = replaced(&bytes, "\\\"group\\\":64", "\\\"troop\\\":64");
        says(troop, &["`embedding`", "group"]);
    }
}

/// The precisions of short codes.
fn codes() -> impl Iterator<Item = (Precision, Code)> {
    Precision::ALL.into_iter().filter_map(|precision| match precision.kernels() {
        Kernels::Codes(code) => Some((precision, code)),
        _ => None,
    })
}

#[test]
fn binary_codes_of_other_groups_or_planes() {
    let bytes = tiny_parts().bytes(Precision::Binary2);
    for group in ["0", "16", "131104", "\\\"\\\""] {
        let to = format!("\\\"group\\\":{group}");
        says(replaced(&bytes, "\\\"group\\\":128", &to), &["`embedding`", "group"]);
    }
    says(replaced(&bytes, "\\\"binary2", "\\\"binary3"), &["`embedding`", "shape"]);
    says(replaced(&bytes, "\\\"binary2", "\\\"binary9"), &["`embedding`", "binary9"]);
    says(replaced(&bytes, "\\\"binary2", "\\\"ternary"), &["`embedding`", "shape"]);
}

#[test]
fn vectors_of_other_widths_or_not_finite() {
    let bytes = tiny_parts().bytes(Precision::Product4);
    says(replaced(&bytes, "\\\"product4", "\\\"product8"), &["`embedding`", "shape"]);
    says(replaced(&bytes, "\\\"product4", "\\\"product5"), &["`embedding`", "product5"]);
    says(replaced(&bytes, "\\\"product4", "\\\"int8"), &["`embedding`", "shape"]);
    let bytes = poked(bytes, "softmax.centroids", 4, &0x7c00u16.to_le_bytes());
    says(bytes, &["array `softmax.centroids`", "element 2", "finite"]);
}

#[test]
fn codebook_without_sixteen_levels() {
    let bytes = tiny_parts().bytes(Precision::Codebook);
    let list = ",\\\"embedding.scales\\\",\\\"embedding.levels\\\"";
    let short = replaced(&bytes, list, ",\\\"embedding.scales\\\"");
    says(short, &["`embedding`", "2 arrays instead of 3"]);
    let other = replaced(&bytes, list, ",\\\"embedding.scales\\\",\\\"embedding.scales\\\"");
    says(other, &["`embedding.scales`", "F16 instead of I8"]);
    let other = replaced(&bytes, list, ",\\\"embedding.scales\\\",\\\"none\\\"");
    says(other, &["`none`", "missing"]);
}

#[test]
fn bias_that_is_not_finite() {
    for value in [f32::NAN, f32::INFINITY] {
        let bytes = poked(valid(), "softmax.bias", 12, &value.to_le_bytes());
        says(bytes, &["array `softmax.bias`", "element 3", "finite"]);
    }
}

#[test]
fn scale_that_is_not_finite() {
    let bytes = poked(valid(), "softmax.scales", 4, &f32::NAN.to_le_bytes());
    says(bytes, &["array `softmax.scales`", "element 1", "finite"]);
    let planes = [Precision::Binary2, Precision::Binary3];
    for precision in codes().map(|(precision, _)| precision).chain(planes) {
        let bytes = tiny_parts().bytes(precision);
        let bytes = poked(bytes, "softmax.scales", 4, &0x7c00u16.to_le_bytes());
        says(bytes, &["array `softmax.scales`", "element 2", "finite"]);
    }
}

/// That a model's numbers overflow, and that this is said.
fn overflows(result: Result<(), Error>) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn weight_that_is_not_finite() {
    for (precision, nan) in [(Precision::F32, 0x7fc0_0000u32), (Precision::F16, 0x7e00)] {
        let bytes = tiny_parts().bytes(precision);
        let bytes = sealed(poked(bytes, "softmax", 64, &nan.to_le_bytes()));
        let model = Model::from_bytes(bytes).unwrap();
        let text = model.verify().unwrap_err().to_string();
        assert!(text.contains("matrix `softmax`") && text.contains("finite"), "{text}");
        let mut session = Session::new(&model);
        session.feed_text("the").unwrap();
        overflows(session.suggest(5).map(drop));
        overflows(session.score("the a").map(drop));
    }
}

// ---------------------------------------------------------------------------------- the vocabulary

#[test]
fn special_token_that_is_none() {
    let vocabulary = |eos: &str, unk: &str| format!("\\\"eos\\\":{eos},\\\"unk\\\":{unk}");
    let valid_ids = vocabulary("0", "1");
    for (eos, unk, field) in
        [("40", "1", "eos"), ("null", "1", "eos"), ("0", "40", "unk"), ("0", "-1", "unk")]
    {
        header_fault(&valid_ids, &vocabulary(eos, unk), &["`vocabulary.", field]);
    }
}

#[test]
fn impossible_number_of_types() {
    for types in ["0", "99999999", "-1", "1.5", "\\\"40\\\""] {
        let to = format!("\\\"types\\\":{types}");
        header_fault("\\\"types\\\":40", &to, &["`vocabulary.types`"]);
    }
}

#[test]
fn other_number_of_types_than_words() {
    header_fault("\\\"types\\\":40", "\\\"types\\\":39", &["vocabulary entry 39", "goes on"]);
    header_fault("\\\"types\\\":40", "\\\"types\\\":41", &["vocabulary entry 40", "ends"]);
    header_fault("\\\"types\\\":40", "\\\"types\\\":400", &["`vocabulary.blocks`", "shape"]);
}

#[test]
fn vocabulary_without_its_arrays() {
    for field in ["text", "blocks"] {
        let from = format!("\\\"{field}\\\":\\\"vocabulary.{field}\\\"");
        header_fault(&from, &from.replacen(field, "x", 1), &["`vocabulary.", field]);
        header_fault(&from, &from.replace("vocabulary", "v"), &["array `v.", "missing"]);
        header_fault(
            &from,
            &from.replace(&format!("vocabulary.{field}"), "embedding"),
            &["`embedding`"],
        );
    }
}

/// The vocabulary's text starts with `<eos>` (5 bytes) and `<unk>` (1 shared, 4 more).
fn text_fault(at: usize, new: &[u8], entry: usize, problem: &str) {
    let bytes = poked(valid(), "vocabulary.text", at, new);
    says(bytes, &[&format!("vocabulary entry {entry}: "), problem]);
}

#[test]
fn words_out_of_order() {
    text_fault(7, b"aaaa", 1, "not in sorted order");
}

#[test]
fn words_with_more_in_common_than_they_say() {
    text_fault(7, b"ezzz", 1, "shares more with its predecessor than it says");
}

#[test]
fn word_that_shares_more_than_there_is() {
    text_fault(0, &[0x15], 0, "shares more with its predecessor than there is");
    text_fault(6, &[0x64], 1, "shares more with its predecessor than there is");
}

#[test]
fn word_that_is_not_utf8() {
    text_fault(7, &[0xff], 1, "not UTF-8");
}

#[test]
fn word_that_is_empty() {
    text_fault(0, &[0x00], 0, "empty");
}

#[test]
fn word_with_a_length_beyond_the_text() {
    text_fault(6, &[0x1f, 0xff, 0x7f], 1, "the text ends within it");
    text_fault(6, &[0x1f, 0xff, 0xff], 1, "the text ends within it");
}

#[test]
fn block_that_starts_elsewhere() {
    for offset in [0, 1, u32::MAX] {
        let bytes = poked(valid(), "vocabulary.blocks", 4, &offset.to_le_bytes());
        says(bytes, &["vocabulary entry 32: ", "its block starts elsewhere"]);
    }
}

// --------------------------------------------------------------------------- checksum and the rest

/// The file with the right checksum, computed bit by bit.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let field = b"\"checksum\":\"crc32:";
    let at = bytes.windows(field.len()).position(|window| window == field).unwrap() + field.len();
    bytes[at..at + 8].copy_from_slice(b"00000000");
    let mut register = !0u32;
    for &byte in &bytes {
        register ^= u32::from(byte);
        for _ in 0..8 {
            register = (register >> 1) ^ (0xedb8_8320 & (register & 1).wrapping_neg());
        }
    }
    bytes[at..at + 8].copy_from_slice(format!("{:08x}", !register).as_bytes());
    bytes
}

#[test]
fn checksum_that_is_none() {
    for to in ["\"crc32:1234567\"", "\"crc32:1234567g\"", "\"md5:00000000\"", "\"\""] {
        let (header, data) = split(&valid());
        let at = header.find("\"crc32:").unwrap();
        let header = format!("{}{to}{}", &header[..at], &header[at + 16..]);
        says(joined(&header, &data), &["`checksum`"]);
    }
    header_fault("\"checksum\"", "\"checkmate\"", &["`checksum`", "missing"]);
}

#[test]
fn any_changed_byte_is_found_by_verify() {
    assert_eq!(sealed(valid()), valid());
    let bytes = valid();
    let mut found = 0;
    for at in (8..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        let Ok(model) = Model::from_bytes(changed) else { continue };
        let fault = model.verify().expect_err("the change was not found");
        assert!(matches!(fault, Error::Checksum { .. }), "{fault}");
        found += 1;
    }
    assert!(found > 500);
}

#[test]
fn provenance_and_perplexity_of_another_kind() {
    header_fault("\"perplexity\":\"[]\"", "\"perplexity\":\"[1]\"", &["`perplexity`"]);
    header_fault("\"perplexity\":\"[]\"", "\"perplexity\":\"{\"", &["perplexity, byte 1"]);
    header_fault("\"provenance\":\"{", "\"provenance\":\"", &["provenance, byte"]);
}

#[test]
fn what_is_not_known_is_passed_over() {
    let bytes = replaced(&valid(), "\"recipe\"", "\"news\":\"of tomorrow\",\"recipe\"");
    Model::from_bytes(bytes).unwrap();
    let bytes = replaced(&valid(), "{\\\"cell\\\"", "{\\\"extra\\\":[1,{}],\\\"cell\\\"");
    Model::from_bytes(bytes).unwrap();
}

#[test]
fn no_damage_makes_a_panic() {
    let mut random = pocketlm::Random::new(5);
    for precision in Precision::ALL {
        let bytes = tiny_parts().bytes(precision);
        for _ in 0..3000 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random.bits() % 3 {
                let at = (random.bits() as usize) % damaged.len();
                damaged[at] = random.bits() as u8;
            }
            let Ok(model) = Model::from_bytes(damaged) else { continue };
            let mut session = Session::new(&model);
            let _ = session.feed_text("the nonsense été");
            let _ = session.suggest(5).map(|found| found.iter().for_each(drop));
            let _ = session.suggest_prefix("t", 5).map(|found| found.iter().for_each(drop));
        }
    }
}

#[test]
fn a_missing_file_and_a_faulty_one_are_named() {
    let path = std::env::temp_dir().join(format!("pocketlm-none-{}.plm", std::process::id()));
    let text = Model::open(&path).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
    std::fs::write(&path, b"no model").unwrap();
    let text = Model::open(&path).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(text.contains(&path.display().to_string()) && text.contains("8 bytes are too few"));
}

#[test]
fn an_empty_file_is_no_model() {
    let path = std::env::temp_dir().join(format!("pocketlm-empty-{}.plm", std::process::id()));
    std::fs::write(&path, b"").unwrap();
    assert!(Model::open(&path).is_err());
    std::fs::remove_file(&path).unwrap();
}

// ------------------------------------------------------------------- structures and sparsities

/// A model whose matrices all have this form.
fn formed(kind: Kind) -> Vec<u8> {
    let bytes = Forms::one(tiny_parts(), kind).bytes();
    Model::from_bytes(bytes.clone()).unwrap().verify().unwrap();
    bytes
}

/// The same with `from` in the list of matrices replaced by `to`; quotes are those of JSON in a string.
fn form_fault(bytes: &[u8], from: &str, to: &str, parts: &[&str]) {
    let escaped = |text: &str| text.replace('"', "\\\"");
    says(replaced(bytes, &escaped(from), &escaped(to)), parts);
}

/// The elements of the array `name` that the file has, as bytes.
fn stored(bytes: &[u8], name: &str) -> Vec<u8> {
    let model = Model::from_bytes(bytes.to_vec()).unwrap();
    let array = model.arrays().into_iter().find(|array| array.name == name).unwrap();
    bytes[array.range].to_vec()
}

fn unstructured(precision: Precision) -> Vec<u8> {
    formed(Kind::Leaf(Sparsity::Unstructured, precision))
}

fn in_panels(precision: Precision) -> Vec<u8> {
    formed(Kind::Leaf(Sparsity::Panels, precision))
}

const DENSE: (Sparsity, Precision) = (Sparsity::None, Precision::F32);

fn low_rank() -> Vec<u8> {
    formed(Kind::LowRank(DENSE, (Sparsity::None, Precision::Int8)))
}

fn train() -> Vec<u8> {
    formed(Kind::TensorTrain(DENSE.0, DENSE.1))
}

#[test]
fn offsets_that_fall_or_do_not_begin_with_zero_or_end_elsewhere() {
    for bytes in [unstructured(Precision::F32), in_panels(Precision::Int8)] {
        let name = "embedding.offsets";
        let problem = ["`embedding.offsets`", "does not begin with zero, or falls"];
        says(poked(bytes.clone(), name, 0, &1u32.to_le_bytes()), &problem);
        says(poked(bytes.clone(), name, 4, &u32::MAX.to_le_bytes()), &problem);
        let end = stored(&bytes, name).len() - 4;
        says(poked(bytes.clone(), name, end, &0u32.to_le_bytes()), &problem);
        says(poked(bytes.clone(), name, end, &u32::MAX.to_le_bytes()), &["shape", "embedding"]);
    }
}

#[test]
fn bitmap_that_disagrees_with_the_offsets_or_leaves_the_row() {
    // So wide that a bit for each place takes less than a byte for each number.
    let wide = Configuration { embedding: 60, ..tiny_parts().configuration };
    let kind = Kind::Leaf(Sparsity::Unstructured, Precision::F32);
    let bytes = Forms::one(Parts::random(wide, 40, 0.5, 1), kind).bytes();
    form_fault(&bytes, "\"positions\":\"bitmap\"", "\"positions\":\"deltas\"", &["shape"]);
    form_fault(&bytes, "\"positions\":\"bitmap\"", "\"positions\":\"runs\"", &["neither"]);
    form_fault(&bytes, "\"positions\":\"bitmap\"", "\"position\":\"bitmap\"", &["neither"]);
    let problem = ["`embedding.positions`", "positions in row 0 that do not fit it"];
    let first = stored(&bytes, "embedding.positions")[0];
    says(poked(bytes.clone(), "embedding.positions", 0, &[first & (first - 1)]), &problem);
    // As many bits, one of them beyond the sixty columns.
    let mut row = stored(&bytes, "embedding.positions")[..8].to_vec();
    row[0] = first & (first - 1);
    row[7] |= 0x80;
    says(poked(bytes, "embedding.positions", 0, &row), &problem);
}

#[test]
fn deltas_that_leave_the_row() {
    // So few numbers that a byte for each takes less than a bit for each place.
    let parts = tiny_parts();
    let mut packer = parts.packer(Precision::F32);
    let mut weights = vec![0.0; 40 * 6];
    weights.iter_mut().step_by(23).for_each(|weight| *weight = 1.0);
    let factor = Factor {
        rows: 40,
        columns: 6,
        weights: &weights,
        sparsity: Sparsity::Unstructured,
        precision: Precision::F32,
    };
    packer.form("embedding", &Form::Dense(factor)).unwrap();
    let bytes = packer.finish().unwrap();
    assert_eq!(stored(&bytes, "embedding.positions").len(), 11);
    let problem = ["`embedding.positions`", "that do not fit it"];
    says(poked(bytes.clone(), "embedding.positions", 0, &[6]), &problem);
    says(poked(bytes.clone(), "embedding.positions", 0, &[255]), &problem);
    Model::from_bytes(poked(bytes, "embedding.positions", 0, &[5])).unwrap();
}

#[test]
fn panel_columns_out_of_order_or_out_of_range() {
    for (precision, padded) in
        [(Precision::F32, false), (Precision::Int8, false), (Precision::Int4, true)]
    {
        let bytes = in_panels(precision);
        let name = "embedding.columns";
        let problem = ["`embedding.columns`", "columns of panel 0"];
        let columns = stored(&bytes, name);
        let second: [u8; 2] = columns[2..4].try_into().unwrap();
        says(poked(bytes.clone(), name, 0, &second), &problem);
        says(poked(bytes.clone(), name, 0, &u16::MAX.to_le_bytes()), &problem);
        says(poked(bytes.clone(), name, 2, &u16::MAX.to_le_bytes()), &problem);
        if padded {
            // Padding that is another column than the last.
            says(poked(bytes, name, 14, &0u16.to_le_bytes()), &problem);
        }
    }
    // A list that is no whole number of blocks of columns.
    let bytes = in_panels(Precision::Int8);
    let name = "embedding.offsets";
    says(poked(bytes, name, 4, &3u32.to_le_bytes()), &["columns of panel 0"]);
}

#[test]
fn sparse_matrices_of_precisions_that_are_not_theirs() {
    let int8 = "\"precision\":\"int8\"";
    let bytes = unstructured(Precision::Int8);
    form_fault(&bytes, int8, "\"precision\":\"int4\"", &["`embedding`", "unstructured", "int4"]);
    form_fault(&bytes, int8, "\"precision\":\"f32\"", &["4 arrays instead of 3"]);
    let bytes = in_panels(Precision::Int8);
    form_fault(&bytes, int8, "\"precision\":\"int1\"", &["`embedding`", "panels", "int1"]);
    form_fault(&bytes, int8, "\"precision\":\"f16\"", &["4 arrays instead of 3"]);
    form_fault(&bytes, int8, "\"precision\":\"int4\"", &["`embedding.columns`", "of 8"]);
    form_fault(&bytes, "\"panels\"", "\"n:m\"", &["sparsity \"n:m\""]);
}

#[test]
fn sparse_numbers_and_scales_that_are_not_finite() {
    let nan = f32::NAN.to_le_bytes();
    for bytes in [unstructured(Precision::F32), in_panels(Precision::F32), train(), low_rank()] {
        let model = Model::from_bytes(bytes.clone()).unwrap();
        let first = model.arrays()[0].name.clone();
        let model = Model::from_bytes(sealed(poked(bytes, &first, 0, &nan))).unwrap();
        assert!(model.verify().unwrap_err().to_string().contains("not a finite number"));
    }
    for bytes in [unstructured(Precision::Int8), in_panels(Precision::Int8)] {
        says(poked(bytes, "embedding.scales", 4, &nan), &["`embedding.scales`", "not a finite"]);
    }
    let bytes = in_panels(Precision::Int4);
    says(poked(bytes, "embedding.scales", 2, &[0, 0x7c]), &["`embedding.scales`", "not a finite"]);
}

#[test]
fn factors_that_do_not_fit_the_matrix() {
    let bytes = low_rank();
    let name = "\"name\":\"embedding.left\",\"rows\":40,\"columns\":4";
    let problem = ["`embedding`", "its factors are"];
    form_fault(&bytes, name, "\"name\":\"embedding.left\",\"rows\":41,\"columns\":4", &problem);
    form_fault(&bytes, name, "\"name\":\"embedding.left\",\"rows\":40,\"columns\":5", &problem);
    form_fault(&bytes, "\"factors\":[", "\"factor\":[", &["`embedding`", "no list of factors"]);
    form_fault(&bytes, "\"factors\":[", "\"factors\":[{},", &["matrices", "has no name"]);
    let (header, data) = split(&bytes);
    let zero = |text: &str| {
        let text = text.replacen("40,\\\"columns\\\":4", "40,\\\"columns\\\":0", 1);
        text.replacen("embedding.right\\\",\\\"rows\\\":4", "embedding.right\\\",\\\"rows\\\":0", 1)
    };
    says(joined(&zero(&header), &data), &["`embedding.left`", "no rows or no columns"]);
}

#[test]
fn factors_that_have_factors_themselves() {
    let circulant = formed(Kind::BlockCirculant(4, DENSE));
    let toeplitz = formed(Kind::ToeplitzLike(4, DENSE));
    let groups = formed(Kind::BlockLowRank(DENSE, DENSE));
    let diagonal = formed(Kind::DiagonalLowRank(DENSE, DENSE));
    for (bytes, structure) in [
        (diagonal, "diagonal-low-rank"),
        (low_rank(), "low-rank"),
        (train(), "tensor-train"),
        (circulant, "block-circulant"),
        (toeplitz, "toeplitz-like"),
        (groups, "block-low-rank"),
    ] {
        let to = format!("\"structure\":\"{structure}\"");
        form_fault(&bytes, "\"structure\":\"dense\"", &to, &["`embedding.", structure]);
    }
}

#[test]
fn a_low_rank_matrix_of_one_factor_or_three() {
    let bytes = low_rank();
    let (header, data) = split(&bytes);
    let begin = header.find("{\\\"name\\\":\\\"embedding.left").unwrap();
    let end = header.find("{\\\"name\\\":\\\"embedding.right").unwrap();
    let one = format!("{}{}", &header[..begin], &header[end..]);
    says(joined(&one, &data), &["`embedding`", "1 factors instead of 2"]);
    let three = format!("{}{}{}", &header[..end], &header[begin..end], &header[end..]);
    says(joined(&three, &data), &["`embedding`", "3 factors instead of 2"]);
}

#[test]
fn diagonals_that_do_not_fit() {
    let bytes = formed(Kind::DiagonalLowRank(DENSE, DENSE));
    let diagonal = "\"name\":\"embedding.diagonal\",\"rows\":40,\"columns\":1";
    for (rows, columns) in [(41, 1), (1, 40), (40, 2)] {
        let to = format!("\"name\":\"embedding.diagonal\",\"rows\":{rows},\"columns\":{columns}");
        let problem = format!("a diagonal of {rows} x {columns} instead of 40 x 1");
        form_fault(&bytes, diagonal, &to, &["`embedding`", &problem]);
    }
    let left = "\"name\":\"embedding.left\",\"rows\":40,\"columns\":4";
    form_fault(&bytes, left, &left.replace("40", "39"), &["`embedding`", "its factors are"]);
    let (header, data) = split(&bytes);
    let begin = header.find("{\\\"name\\\":\\\"embedding.left").unwrap();
    let end = header.find("{\\\"name\\\":\\\"embedding.right").unwrap();
    let two = format!("{}{}", &header[..begin], &header[end..]);
    says(joined(&two, &data), &["`embedding`", "2 factors instead of 3"]);
    let order = 40u32.to_le_bytes();
    says(poked(bytes, "embedding.order", 4, &order), &["`embedding`", "beyond its rows"]);
}

#[test]
fn modes_that_do_not_fit() {
    let bytes = train();
    // The embedding is 40 x 6: modes 7·6 and 3·2.
    for modes in [
        "[7,5]",
        "[7,6,1]",
        "[42]",
        "[]",
        "[0,6]",
        "[700,6]",
        "[9007199254740991,9007199254740991]",
    ] {
        let to = format!("\"row_modes\":{modes}");
        form_fault(&bytes, "\"row_modes\":[7,6]", &to, &["`embedding`"]);
    }
    form_fault(&bytes, "\"row_modes\":[7,6]", "\"row_modes\":[6,7]", &["core 0"]);
    form_fault(&bytes, "\"column_modes\":[3,2]", "\"column_modes\":[2,3]", &["core 0"]);
    form_fault(&bytes, "\"column_modes\":[3,2]", "\"column_modes\":3", &["column_modes"]);
    form_fault(&bytes, "\"column_modes\":[3,2]", "\"columns_mode\":[3,2]", &["column_modes"]);
    form_fault(&bytes, "\"rows\":21,", "\"rows\":6,", &["core 0"]);
    form_fault(&bytes, "\"rows\":21,", "\"rows\":14,", &["core.0"]);
    form_fault(&bytes, "\"rows\":21,", "\"rows\":9007199254740991,", &["core 0"]);
}

/// A number after `"field":` in the description of the embedding.
fn field(name: &str, from: usize, to: &str, bytes: &[u8], parts: &[&str]) {
    let (from, to) = (format!("\"{name}\":{from},"), format!("\"{name}\":{to},"));
    form_fault(bytes, &from, &to, parts);
}

#[test]
fn circulant_blocks_that_do_not_fit() {
    let bytes = formed(Kind::BlockCirculant(4, DENSE));
    // The embedding is 40 x 6: ten rows of two blocks.
    for block in ["0", "1025", "\"4\"", "9007199254740991"] {
        field("block", 4, block, &bytes, &["`embedding`", "no block, or one that is too large"]);
    }
    for block in ["3", "5", "8"] {
        field("block", 4, block, &bytes, &["`embedding`", "blocks of 10 x 8 instead of"]);
    }
    let vectors = "\"name\":\"embedding.blocks\",\"rows\":";
    let to = |rows: usize| format!("{vectors}{rows}");
    form_fault(&bytes, &to(10), &to(11), &["`embedding`", "blocks of 11 x 8 instead of 10 x 8"]);
    form_fault(&bytes, "\"factors\":[", "\"factors\":[{},", &["matrices", "has no name"]);
    form_fault(&bytes, "\"block\":4", "\"blocks\":4", &["`embedding`", "no block"]);
}

#[test]
fn groups_that_do_not_make_up_the_matrix() {
    let bytes = formed(Kind::BlockLowRank(DENSE, DENSE));
    let left = "\"name\":\"embedding.left.0\",\"rows\":";
    let to = |rows: usize| format!("{left}{rows},");
    form_fault(&bytes, &to(13), &to(14), &["`embedding`", "groups of 41 rows, not 40"]);
    let columns = to(13) + "\"columns\":";
    form_fault(&bytes, &(columns.clone() + "3"), &(columns + "2"), &["`embedding`", "factors are"]);
    let right = "\"name\":\"embedding.right.1\",\"rows\":2,";
    form_fault(&bytes, right, &right.replace('2', "3"), &["`embedding`", "its factors are"]);
    let (header, data) = split(&bytes);
    let begin = header.find("{\\\"name\\\":\\\"embedding.left.0").unwrap();
    let second = header.find("{\\\"name\\\":\\\"embedding.right.0").unwrap();
    let end = header.find("{\\\"name\\\":\\\"embedding.left.1").unwrap();
    let three = format!("{}{}", &header[..begin], &header[second..]);
    says(joined(&three, &data), &["`embedding`", "3 factors instead of two for each"]);
    let two = format!("{}{}", &header[..begin], &header[end..]);
    says(joined(&two, &data), &["`embedding`", "groups of 27 rows, not 40"]);
    form_fault(&bytes, "\"factors\":[", "\"factors\":[],\"f\":[", &["0 factors instead of two"]);
}

#[test]
fn toeplitz_like_blocks_that_do_not_fit() {
    let bytes = formed(Kind::ToeplitzLike(4, DENSE));
    for block in ["0", "20000", "9007199254740991", "\"4\""] {
        field("block", 4, block, &bytes, &["`embedding`", "no block and rank"]);
    }
    for rank in ["0", "5", "9007199254740991"] {
        field("rank", 2, rank, &bytes, &["`embedding`", "no block and rank"]);
    }
    field("block", 4, "5", &bytes, &["`embedding`", "a factor of 40 x 4 instead of 32 x 5"]);
    field("rank", 2, "3", &bytes, &["`embedding`", "a factor of 40 x 4 instead of 60 x 4"]);
    let (header, data) = split(&bytes);
    let begin = header.find("{\\\"name\\\":\\\"embedding.circulant").unwrap();
    let end = header.find("{\\\"name\\\":\\\"embedding.skew").unwrap();
    let one = format!("{}{}", &header[..begin], &header[end..]);
    says(joined(&one, &data), &["`embedding`", "1 factors instead of 2"]);
}

/// A packed uRNN, whose recurrent matrices are unitary.
fn unitary(leaf: Kind) -> Vec<u8> {
    let parts = Parts::random(configuration(CellKind::Urnn, 0, 0, false), 40, 0.5, 1);
    let bytes = Forms::one(parts, leaf).bytes();
    Model::from_bytes(bytes.clone()).unwrap().verify().unwrap();
    bytes
}

#[test]
fn unitary_matrices_that_are_none() {
    let bytes = unitary(Kind::Leaf(Sparsity::None, Precision::F32));
    let name = "`cell.0.recurrent`";
    for (leaf, rows) in [("phases", 3), ("reflections", 4)] {
        let part = |rows: usize| format!("\"name\":\"cell.0.recurrent.{leaf}\",\"rows\":{rows},");
        let problem = format!("a factor of 5 x 8 instead of {rows} x 8");
        form_fault(&bytes, &part(rows), &part(5), &[name, &problem]);
    }
    let dense = "\"name\":\"cell.0.input\",\"rows\":16,\"columns\":6,\"structure\":\"";
    let (from, to) = (format!("{dense}dense"), format!("{dense}unitary"));
    form_fault(&bytes, &from, &to, &["`cell.0.input`", "is 16 x 6, which no unitary matrix is"]);
    let (header, data) = split(&bytes);
    let begin = header.find("{\\\"name\\\":\\\"cell.0.recurrent.phases").unwrap();
    let end = header.find("{\\\"name\\\":\\\"cell.0.recurrent.reflections").unwrap();
    let one = format!("{}{}", &header[..begin], &header[end..]);
    says(joined(&one, &data), &[name, "1 factors instead of 2"]);
    let nested = |structure: &str| {
        format!("recurrent.phases\",\"rows\":3,\"columns\":8,\"structure\":\"{structure}\"")
    };
    form_fault(&bytes, &nested("dense"), &nested("unitary"), &["recurrent.phases", "unitary"]);
}

#[test]
fn settings_that_a_urnn_cannot_have() {
    let bytes = unitary(Kind::Leaf(Sparsity::None, Precision::F32));
    for (from, to, field) in [
        ("\"hidden\":[16,8]", "\"hidden\":[16,9]", "hidden"),
        ("\"cell_projection\":0", "\"cell_projection\":4", "cell_projection"),
        ("\"unit\":\"word\"", "\"unit\":\"word\",\"layer_norm\":true", "layer_norm"),
        ("\"unit\":\"word\"", "\"unit\":\"word\",\"mogrifier\":2", "mogrifier"),
    ] {
        form_fault(&bytes, from, to, &[&format!("configuration.{field}"), "uRNN"]);
    }
}

#[test]
fn order_that_leaves_the_matrix() {
    let problem = ["`embedding`", "order", "beyond its rows"];
    for kind in [Kind::BlockCirculant(4, DENSE), Kind::ToeplitzLike(4, DENSE)] {
        says(poked(formed(kind), "embedding.order", 8, &40u32.to_le_bytes()), &problem);
    }
    let bytes = train();
    says(poked(bytes.clone(), "embedding.order", 8, &40u32.to_le_bytes()), &problem);
    says(poked(bytes.clone(), "embedding.order", 8, &u32::MAX.to_le_bytes()), &problem);
    form_fault(&bytes, "\"order\":\"embedding.order\"", "\"order\":7", &["`embedding`", "order"]);
    form_fault(&bytes, "\"order\":\"embedding.order\"", "\"order\":\"x\"", &["`x`", "missing"]);
}

#[test]
fn arrays_of_forms_that_are_missing() {
    for (bytes, name) in [
        (low_rank(), "embedding.right.scales"),
        (train(), "embedding.core.1"),
        (unstructured(Precision::F32), "embedding.positions"),
        (in_panels(Precision::Int4), "embedding.columns"),
    ] {
        let from = format!("\\\"{name}\\\"]");
        says(replaced(&bytes, &from, "\\\"lost\\\"]"), &["`lost`", "is missing"]);
    }
}

#[test]
fn no_damage_to_a_form_makes_a_panic() {
    use Precision::{F16, Int4, Int8};
    use Sparsity::{Panels, Unstructured};
    let kinds = [
        Kind::Leaf(Unstructured, Int8),
        Kind::Leaf(Panels, Int4),
        Kind::LowRank((Unstructured, F16), (Panels, Int8)),
        Kind::TensorTrain(Panels, Int8),
        Kind::BlockCirculant(16, (Sparsity::None, F16)),
        Kind::BlockCirculant(3, (Panels, Int8)),
        Kind::ToeplitzLike(5, (Unstructured, Int8)),
        Kind::BlockLowRank((Unstructured, F16), (Panels, Int8)),
    ];
    let unitary =
        [(Sparsity::None, F16), (Unstructured, Int8)].map(|(s, p)| unitary(Kind::Leaf(s, p)));
    for bytes in kinds.map(formed).into_iter().chain(unitary) {
        for at in (0..bytes.len()).step_by(61) {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                if let Ok(model) = Model::from_bytes(bytes) {
                    let mut session = Session::new(&model);
                    let _ = session.feed_text("the under");
                    let _ = session.suggest(3);
                }
            }
        }
    }
}

/// Everything that a session and a model can be asked, each with what it says.
fn asked(model: &Model) -> Vec<Result<(), Error>> {
    let mut session = Session::new(model);
    session.feed_text("the").unwrap();
    let the = model.vocabulary().id("the").unwrap();
    let mut all = vec![0.0; model.vocabulary().len()];
    let mut sampler = pocketlm::Sampler::new(model, pocketlm::Sampling::default()).unwrap();
    vec![
        session.suggest(3).map(drop),
        session.suggest(0).map(drop),
        session.suggest_prefix("t", 3).map(drop),
        session.log_probability("the").map(drop),
        session.log_probability_of(the).map(drop),
        session.log_probabilities(&mut all),
        session.sample(&mut sampler, &mut pocketlm::Random::new(1)).map(drop),
        session.score("the a the").map(drop),
        session.score_next("a the").map(drop),
        model.score_batch(&["the a the", "the"]).map(drop),
        session.evaluate([the, the]).map(drop),
        session.evaluate_with_recall([the, the]).map(drop),
    ]
}

#[test]
fn numbers_that_overflow_are_an_error_everywhere() {
    let bias = f32::MAX.to_le_bytes();
    for precision in Precision::ALL {
        let bytes = tiny_parts().bytes(precision);
        let fine = Model::from_bytes(bytes.clone()).unwrap();
        asked(&fine).into_iter().for_each(|answer| answer.unwrap());
        // "the" itself, so that a prefix sees it too.
        let at = 4 * fine.vocabulary().id("the").unwrap() as usize;
        let model = Model::from_bytes(poked(bytes, "softmax.bias", at, &bias)).unwrap();
        asked(&model).into_iter().for_each(overflows);
    }
}

#[test]
fn a_number_that_is_none_is_seen_behind_every_precision() {
    for cell in [CellKind::Lstm, CellKind::Gru, CellKind::Cifg, CellKind::Urnn] {
        let parts = Parts::random(configuration(cell, 0, 0, false), 40, 0.5, 1);
        for precision in Precision::ALL {
            let mut packer = parts.packer(precision);
            packer.matrix("embedding", &parts.weights["embedding"], Precision::F32).unwrap();
            // Weights are not looked at when a file is opened.
            let rows = 48 * parts.configuration.embedding;
            let nothing: Vec<u8> = (0..rows).flat_map(|_| f32::NAN.to_le_bytes()).collect();
            let bytes = poked(packer.finish().unwrap(), "embedding", 0, &nothing);
            let model = Model::from_bytes(bytes).unwrap();
            asked(&model).into_iter().for_each(overflows);
            let text = Session::new(&model).suggest(1).unwrap_err().to_string();
            assert!(text.contains("layer 0"), "{text}");
        }
    }
}

#[test]
fn weights_that_overflow_a_precision_are_refused_with_the_matrix() {
    let mut parts = tiny_parts();
    parts.weights.insert("softmax".into(), vec![f32::MAX; 40 * 7]);
    for precision in Precision::ALL.into_iter().filter(|&precision| precision != Precision::F32) {
        let mut packer = parts.packer(Precision::F32);
        let error = packer.matrix("softmax", &parts.weights["softmax"], precision).unwrap_err();
        assert!(error.to_string().contains("matrix `softmax`"), "{precision:?}: {error}");
    }
    let mut packer = parts.packer(Precision::F32);
    let infinite = vec![f32::INFINITY; 40 * 7];
    for values in [&infinite, &vec![f32::NAN; 40 * 7]] {
        let error = packer.matrix("softmax", values, Precision::Int8).unwrap_err();
        assert!(error.to_string().contains("not finite"), "{error}");
    }
    let error = packer.bias("softmax.bias", &infinite[..40]).unwrap_err();
    assert!(error.to_string().contains("softmax.bias"), "{error}");
}
