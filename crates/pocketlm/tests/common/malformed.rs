//! Files made wrong, and what the reader says of them.

use pocketlm::{Error, Model};

/// Why the file does not open.
pub fn fault(bytes: Vec<u8>) -> Error {
    Model::from_bytes(bytes).expect_err("the model opened")
}

/// The error's text, which must contain each of `parts`.
pub fn says(bytes: Vec<u8>, parts: &[&str]) {
    let text = fault(bytes).to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

/// Header without padding, and data.
pub fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    (header.trim_end().to_string(), bytes[8 + length..].to_vec())
}

/// A file of this header, padded, and this data.
pub fn joined(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (8 + header.len()).next_multiple_of(64) - 8;
    let mut bytes = (length as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(8 + length, b' ');
    bytes.extend_from_slice(data);
    bytes
}

/// The file with the first `from` in its header replaced by `to`.
pub fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (header, data) = split(bytes);
    assert!(header.contains(from), "the header {header} has no {from}");
    joined(&header.replacen(from, to, 1), &data)
}
