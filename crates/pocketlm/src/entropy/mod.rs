//! Entropy-coded arrays: read at opening into memory of their own, where they are what a plain file has.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::format::container::{Dtype, Entry, Header};
use crate::format::metadata::{self, Coding};
use crate::storage::{ALIGNMENT, Storage};

pub(crate) mod planes;
pub(crate) mod rans;
#[cfg(feature = "pack")]
pub(crate) mod write;

use planes::Symbols;

/// An array has at most this many times the bytes of its coding, so that a small file cannot ask for much memory.
pub(crate) const EXPANSION: usize = 64;

/// Decodes the coded arrays of a file; their entries in the header then are those of the plain arrays.
pub(crate) fn decode(header: &mut Header, file: &[u8]) -> Result<Arc<Storage>> {
    let codings = metadata::codings(&header.metadata)?;
    if codings.is_empty() {
        return Ok(Arc::new(Storage::Static(&[])));
    }
    let mut total = 0usize;
    for coding in &codings {
        let entry = header.arrays.get_mut(&coding.name);
        let entry = entry.ok_or_else(|| Error::array(&coding.name, "is missing"))?;
        total = place(entry, coding, total)?;
    }
    let mut memory = memory(total)?;
    for coding in &codings {
        let Some(Entry { range, decoded: Some(place), .. }) = header.arrays.get(&coding.name)
        else {
            continue;
        };
        let (coded, out) = (&file[range.clone()], &mut memory.1[place.start + memory.0..]);
        array(coding, coded, &mut out[..place.len()])
            .map_err(|problem| Error::array(&coding.name, problem))?;
    }
    Ok(Arc::new(Storage::Heap { start: memory.0, buffer: memory.1 }))
}

/// Gives an array its place in memory, `total` bytes being taken; returns how many then are.
fn place(entry: &mut Entry, coding: &Coding, total: usize) -> Result<usize> {
    let fault = |problem: String| Err(Error::array(&coding.name, problem));
    if entry.decoded.is_some() {
        return fault("is listed twice among the coded arrays".into());
    }
    if entry.dtype != Dtype::U8 || entry.shape.len() != 1 {
        return fault("is listed as coded, but is not a list of bytes".into());
    }
    let coded = entry.range.len();
    let shape = &coding.shape;
    let bytes = shape.iter().try_fold(coding.dtype.bytes(), |n, &d| n.checked_mul(d));
    let limit = coded.saturating_mul(EXPANSION);
    let Some(bytes) = bytes.filter(|&bytes| coded < bytes && bytes <= limit) else {
        let dtype = coding.dtype.name();
        return fault(format!(
            "has {coded} coded bytes, which cannot stand for {dtype} of shape {shape:?}: a coded array has more \
             bytes than its coding, and at most {EXPANSION} times as many"
        ));
    };
    let symbols = coding.symbols.count(bytes).filter(|n| n.is_multiple_of(coding.planes.period));
    if symbols.is_none() {
        return fault("is coded in symbols or periods that do not fit its length".into());
    }
    let end = bytes.checked_next_multiple_of(ALIGNMENT).and_then(|room| total.checked_add(room));
    let Some(end) = end else { return fault("is too large for this machine".into()) };
    entry.decoded = Some(total..total + bytes);
    (entry.dtype, entry.shape) = (coding.dtype, coding.shape.clone());
    Ok(end)
}

/// Zeros, and where among them an aligned stretch of `bytes` bytes begins that reaches to their end.
fn memory(bytes: usize) -> Result<(usize, Vec<u8>)> {
    let mut buffer: Vec<u8> = Vec::new();
    let room = bytes.checked_add(ALIGNMENT).filter(|&room| buffer.try_reserve_exact(room).is_ok());
    if room.is_none() {
        let what = format!("has coded arrays of {bytes} bytes, for which there is no memory");
        return Err(Error::metadata("coded", what));
    }
    let start = buffer.as_ptr().addr().wrapping_neg() % ALIGNMENT;
    buffer.resize(start + bytes, 0);
    Ok((start, buffer))
}

/// Decodes one array.
fn array(coding: &Coding, coded: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
    match coding.symbols {
        Symbols::Bytes => coding.planes.decode(coded, out),
        Symbols::Int3 => {
            let mut symbols = alloc::vec![0; coding.symbols.count(out.len()).unwrap_or(0)];
            coding.planes.decode(coded, &mut symbols)?;
            planes::join(&symbols, out);
            Ok(())
        }
    }
}
