//! The safetensors container: header length, JSON header, arrays without holes.
//!
//! Stricter than safetensors asks: the data and every array start at multiples of 64 bytes.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::{MAX_HEADER, PADDING};
use crate::error::{Error, Result};
use crate::json::{self, Value};
use crate::storage::ALIGNMENT;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// The kind of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    F16,
    I8,
    U8,
    U16,
    U32,
}

impl Dtype {
    const ALL: [(Dtype, &str, usize); 6] = [
        (Dtype::F32, "F32", 4),
        (Dtype::F16, "F16", 2),
        (Dtype::I8, "I8", 1),
        (Dtype::U8, "U8", 1),
        (Dtype::U16, "U16", 2),
        (Dtype::U32, "U32", 4),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Bytes of one element.
    pub(crate) fn bytes(self) -> usize {
        Self::ALL[self as usize].2
    }
}

/// What the header says of one array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Where its bytes lie in the file.
    pub(crate) range: Range<usize>,
    /// Where they lie in memory once they are decoded, if the file has them coded.
    pub(crate) decoded: Option<Range<usize>>,
}

impl Entry {
    /// Its bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.decoded.as_ref().unwrap_or(&self.range).len()
    }
}

/// A header that has passed every check of the container.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, String>,
    /// All arrays but padding, by name.
    pub(crate) arrays: BTreeMap<String, Entry>,
    /// Where the data starts, in bytes from the file's beginning.
    pub(crate) data: usize,
}

impl Header {
    /// Bytes that these arrays take in the file.
    pub(crate) fn file_bytes<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> usize {
        let entries = names.into_iter().filter_map(|name| self.arrays.get(name));
        entries.map(|entry| entry.range.len()).sum()
    }
}

/// Reads and checks the header of `file`, its metadata by `check`.
pub(crate) fn read(
    file: &[u8],
    check: fn(&BTreeMap<String, String>) -> Result<()>,
) -> Result<Header> {
    let text = header_text(file)?;
    let data = 8 + text.len();
    let fields = json::parse(text).map_err(|fault| Error::Json {
        text: "header".to_owned(),
        offset: fault.offset,
        problem: fault.problem,
    })?;
    // Another safetensors file has its arrays where it likes.
    let fields = fields.object().ok_or(Error::NotPacked)?;
    let all = metadata(fields.get("__metadata__").ok_or(Error::NotPacked)?)?;
    check(&all)?;
    let mut header = Header { metadata: all, arrays: BTreeMap::new(), data };
    for (name, value) in fields.iter().filter(|(name, _)| *name != "__metadata__") {
        header.arrays.insert(name.clone().into_owned(), entry(name, value, data, file.len())?);
    }
    check_coverage(&header.arrays, data, file.len())?;
    header.arrays.retain(|name, _| !name.starts_with(PADDING));
    Ok(header)
}

fn header_text(file: &[u8]) -> Result<&str> {
    let (length, rest) = file
        .split_first_chunk::<8>()
        .filter(|(_, rest)| rest.len() >= 2)
        .ok_or(Error::TooShort { bytes: file.len(), needed: 10 })?;
    let declared = u64::from_le_bytes(*length);
    let limit = rest.len().min(MAX_HEADER);
    let fault = || match looks(file) {
        Some(looks) => Error::Foreign { looks },
        None => Error::HeaderLength { declared, limit },
    };
    let length =
        usize::try_from(declared).ok().filter(|&length| length <= limit).ok_or_else(fault)?;
    let fault = |offset, problem| Error::Json { text: "header".to_owned(), offset, problem };
    if !rest[..length].starts_with(b"{") {
        return Err(fault(0, "the header does not start with {"));
    }
    core::str::from_utf8(&rest[..length])
        .map_err(|error| fault(error.valid_up_to(), "this is not UTF-8"))
}

/// What a file looks like that begins with no header.
fn looks(file: &[u8]) -> Option<&'static str> {
    let head = &file[..file.len().min(4096)];
    // The length of a header has zeros among its eight bytes.
    let is_letter = |&byte: &u8| matches!(byte, b'\t'..=b'\r' | b' '..=0xfe);
    let is_text = head.iter().take(64).all(is_letter);
    if head.starts_with(&[0x1f, 0x8b]) {
        Some("a gzip file: unpack it first")
    } else if head.windows(6).any(|window| window == b"\\data\\") {
        Some("an ARPA file: `pocketlm import` packs it")
    } else if is_text {
        Some("text")
    } else {
        None
    }
}

fn metadata(value: &Value<'_>) -> Result<BTreeMap<String, String>> {
    let fault = |key: &str| Error::metadata(key, "is not of the kind that safetensors asks for");
    let fields = value.object().ok_or_else(|| fault("__metadata__"))?;
    fields
        .iter()
        .map(|(key, value)| match value.string() {
            Some(text) => Ok((key.clone().into_owned(), text.to_owned())),
            None => Err(fault(key)),
        })
        .collect()
}

fn entry(name: &str, value: &Value<'_>, data: usize, file: usize) -> Result<Entry> {
    let fault = |problem: &str| Error::array(name, problem);
    let dtype =
        value.get("dtype").and_then(Value::string).ok_or_else(|| fault("has no dtype")).and_then(
            |dtype| {
                Dtype::from_name(dtype)
                    .ok_or_else(|| Error::array(name, format!("has the unknown dtype {dtype:?}")))
            },
        )?;
    let shape = value
        .get("shape")
        .and_then(counts)
        .ok_or_else(|| fault("has no shape, or one that is not a list of counts"))?;
    let range = match value.get("data_offsets").and_then(counts).as_deref() {
        Some(&[begin, end]) => span(begin, end, data, file).ok_or_else(|| {
            Error::array(name, format!("lies at {begin}..{end}, outside the file"))
        })?,
        _ => return Err(fault("has no data_offsets, or not two of them")),
    };
    let entry = Entry { dtype, shape, range, decoded: None };
    check_size(name, &entry)?;
    let (start, end) = (entry.range.start, entry.range.end);
    if name.starts_with(PADDING) {
        let ends_line = end > start && end == start.next_multiple_of(ALIGNMENT);
        if !ends_line || dtype != Dtype::U8 {
            return Err(fault(
                "is padding, but not U8 from an array's end to the next multiple of 64 bytes",
            ));
        }
    } else if !start.is_multiple_of(ALIGNMENT) {
        return Err(fault("does not start at a multiple of 64 bytes"));
    }
    Ok(entry)
}

fn counts(value: &Value<'_>) -> Option<Vec<usize>> {
    value.array()?.iter().map(Value::number).collect()
}

/// The range `begin..end` of the data as one of the file, if there is such.
fn span(begin: usize, end: usize, data: usize, file: usize) -> Option<Range<usize>> {
    let range = data.checked_add(begin)?..data.checked_add(end)?;
    (begin <= end && range.end <= file).then_some(range)
}

fn check_size(name: &str, entry: &Entry) -> Result<()> {
    let bytes = entry.shape.iter().try_fold(entry.dtype.bytes(), |n, &d| n.checked_mul(d));
    if bytes == Some(entry.range.len()) {
        return Ok(());
    }
    let (dtype, shape, found) = (entry.dtype.name(), &entry.shape, entry.range.len());
    Err(Error::array(name, format!("{found} bytes do not make {dtype} of shape {shape:?}")))
}

/// Arrays must follow one another from the data's start to the file's end, without holes or overlap.
fn check_coverage(arrays: &BTreeMap<String, Entry>, data: usize, file: usize) -> Result<()> {
    let mut order: Vec<_> = arrays.iter().map(|(name, entry)| (&entry.range, name)).collect();
    order.sort_by_key(|(range, name)| (range.start, range.end, *name));
    let mut at = data;
    for (range, name) in order {
        if range.start != at {
            return Err(Error::array(
                name,
                format!("starts at byte {} of the file instead of {at}", range.start),
            ));
        }
        at = range.end;
    }
    if at == file {
        return Ok(());
    }
    let problem = format!("end at byte {at}, but the file has {file} bytes");
    Err(Error::array("(all)", problem))
}
