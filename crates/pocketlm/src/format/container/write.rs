//! Writing the container.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::bytes;

use super::Dtype;
use crate::error::{Error, Result};
use crate::format::checksum::{checksum, checksum_place};
use crate::format::{MAX_HEADER, PADDING};
use crate::json::write_string;
use crate::storage::ALIGNMENT;

/// One array to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Leaf {
    /// An array of `f32`.
    pub(crate) fn f32(name: &str, shape: &[usize], values: &[f32]) -> Self {
        Self::new(name, Dtype::F32, shape, bytes::of_f32(values).to_vec())
    }

    pub(crate) fn new(name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        Self { name: name.to_string(), dtype, shape: shape.to_vec(), bytes }
    }
}

/// A JSON object of strings.
pub(crate) fn object(fields: &[(&str, &String)]) -> String {
    let fields = fields.iter().map(|(key, value)| {
        let mut text = format!("\"{key}\":");
        write_string(&mut text, value);
        text
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// The whole file: metadata and checksum, then `leaves` in this order, each from a multiple of 64 on.
pub(crate) fn write(fields: &[(&str, String)], leaves: &[&Leaf]) -> Result<Vec<u8>> {
    let mut header = String::from("{\"__metadata__\":");
    let checksum_field = ("checksum", "crc32:00000000".to_string());
    let fields = fields.iter().chain([&checksum_field]).map(|(key, value)| (*key, value));
    header.push_str(&object(&fields.collect::<Vec<_>>()));
    let mut at = 0;
    for (index, leaf) in leaves.iter().enumerate() {
        at = entry(&mut header, &leaf.name, (leaf.dtype, &leaf.shape), at, leaf.bytes.len());
        let padding = padding(at);
        if padding > 0 {
            let name = format!("{PADDING}{index}");
            at = entry(&mut header, &name, (Dtype::U8, &[padding]), at, padding);
        }
    }
    header.push('}');
    header.push_str(&" ".repeat(padding(8 + header.len())));
    if header.len() > MAX_HEADER {
        return Err(Error::HeaderLength { declared: header.len() as u64, limit: MAX_HEADER });
    }
    let mut file = Vec::with_capacity(8 + header.len() + at);
    file.extend_from_slice(&(header.len() as u64).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    for leaf in leaves {
        file.extend_from_slice(&leaf.bytes);
        file.extend_from_slice(&vec![0; padding(file.len())]);
    }
    seal(&mut file, 8 + header.len());
    Ok(file)
}

/// Bytes from `at` up to the next multiple of 64.
fn padding(at: usize) -> usize {
    at.next_multiple_of(ALIGNMENT) - at
}

/// Adds an array to the header; returns where it ends.
fn entry(
    header: &mut String,
    name: &str,
    (dtype, shape): (Dtype, &[usize]),
    at: usize,
    bytes: usize,
) -> usize {
    let shape: Vec<_> = shape.iter().map(ToString::to_string).collect();
    header.push(',');
    write_string(header, name);
    header.push_str(&format!(
        ":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{at},{}]}}",
        dtype.name(),
        shape.join(","),
        at + bytes,
    ));
    at + bytes
}

/// Writes the checksum into its place.
fn seal(file: &mut [u8], data: usize) {
    let digits = format!("{:08x}", checksum(file, data));
    if let Some(place) = checksum_place(file, data) {
        file[place].copy_from_slice(digits.as_bytes());
    }
}
