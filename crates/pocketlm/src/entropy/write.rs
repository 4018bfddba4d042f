//! Entropy coding of a packed file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::EXPANSION;
use super::planes::{self, Planes, Symbols};
use super::rans::write as rans;
use crate::error::{Error, Result};
use crate::format::container::write::{self as container, Leaf};
use crate::format::container::{Dtype, Entry, read};
use crate::format::{VERSION, metadata};
use crate::json::write_string;

/// Metadata in the order in which they are written; others follow, and the checksum is last.
const ORDER: [&str; 10] = [
    "format",
    "format_version",
    "configuration",
    "matrices",
    "ngram",
    "vocabulary",
    "coded",
    "recipe",
    "provenance",
    "perplexity",
];

/// Bytes that an array must lose to be coded: about what its description takes in the header.
const WORTH: usize = 192;

/// How many lines at the end of a panel may have a table of their own. Those with padding columns have: 64 bytes
/// are 32 columns at most, and int3 has four lines of symbols for 32.
const TAIL: usize = 4;

/// The packed file with every array entropy-coded that shrinks by it: the same model to the bit, which opening
/// decodes. A file that has none, or so few that it would not be smaller, comes back as it is.
///
/// # Errors
/// What is wrong with the file; [`Error::Metadata`] if it has coded arrays already.
pub fn entropy_coded(file: &[u8]) -> Result<Vec<u8>> {
    let mut header = read(file, metadata::check_version)?;
    if !metadata::codings(&header.metadata)?.is_empty() {
        return Err(Error::metadata("coded", "is there: the file is entropy-coded already"));
    }
    let mut arrays: Vec<_> = header.arrays.iter().collect();
    arrays.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
    let mut codings = Vec::new();
    let leaves: Vec<Leaf> =
        arrays.into_iter().map(|(name, entry)| leaf(name, entry, file, &mut codings)).collect();
    header.metadata.insert("format_version".into(), VERSION.to_string());
    header.metadata.insert("coded".into(), format!("[{}]", codings.join(",")));
    header.metadata.remove("checksum");
    let known = ORDER.iter().filter_map(|&key| Some((key, header.metadata.get(key)?.clone())));
    let others = header.metadata.iter().filter(|(key, _)| !ORDER.contains(&key.as_str()));
    let others = others.map(|(key, value)| (key.as_str(), value.clone()));
    let fields: Vec<_> = known.chain(others).collect();
    let coded = container::write(&fields, &leaves.iter().collect::<Vec<_>>())?;
    Ok(if coded.len() < file.len() { coded } else { file.to_vec() })
}

/// An array for the file, and its coding where that is worth it.
fn leaf(name: &str, entry: &Entry, file: &[u8], codings: &mut Vec<String>) -> Leaf {
    let bytes = &file[entry.range.clone()];
    let best = candidates(entry, bytes.len()).into_iter().map(|(symbols, planes)| {
        let coded = encode(bytes, symbols, &planes);
        (coded, symbols, planes)
    });
    let best = best.min_by_key(|(coded, ..)| coded.len());
    let fits =
        |coded: &[u8]| coded.len() + WORTH <= bytes.len() && bytes.len() <= coded.len() * EXPANSION;
    match best.filter(|(coded, ..)| fits(coded)) {
        None => Leaf::new(name, entry.dtype, &entry.shape, bytes.to_vec()),
        Some((coded, symbols, planes)) => {
            codings.push(description(name, entry, symbols, &planes));
            Leaf::new(name, Dtype::U8, &[coded.len()], coded)
        }
    }
}

/// The codings that may suit an array of so many bytes.
fn candidates(entry: &Entry, bytes: usize) -> Vec<(Symbols, Planes)> {
    let mut list = vec![(Symbols::Bytes, Planes::one())];
    let width = entry.dtype.bytes();
    if width > 1 {
        list.push((Symbols::Bytes, Planes { period: width, cuts: (1..width).collect() }));
    }
    // Panels of whole numbers: lines of 16 rows and 4 bytes.
    let &[.., _, lines, 16, 4] = entry.shape.as_slice() else { return list };
    let is_int3 = lines.is_multiple_of(3) && Symbols::Int3.count(bytes).is_some();
    if is_int3 {
        list.push((Symbols::Int3, Planes::one()));
    }
    for tail in 1..=TAIL {
        let mut push = |symbols, lines: usize| {
            if lines > tail {
                let (period, cuts) = (64 * lines, vec![64 * (lines - tail)]);
                list.push((symbols, Planes { period, cuts }));
            }
        };
        push(Symbols::Bytes, lines);
        if is_int3 {
            push(Symbols::Int3, lines / 3 * 4);
        }
    }
    list
}

/// The bytes of an array, coded.
fn encode(bytes: &[u8], symbols: Symbols, planes: &Planes) -> Vec<u8> {
    let split;
    let symbols = match symbols {
        Symbols::Bytes => bytes,
        Symbols::Int3 => {
            split = planes::split(bytes);
            &split
        }
    };
    if planes.cuts.is_empty() {
        return rans::plane(symbols);
    }
    let coded = planes.parts().map(|[begin, end]| {
        let parts = symbols.chunks_exact(planes.period).flat_map(|period| &period[begin..end]);
        rans::plane(&parts.copied().collect::<Vec<u8>>())
    });
    coded.collect::<Vec<_>>().concat()
}

/// The JSON that says how an array is coded.
fn description(name: &str, entry: &Entry, symbols: Symbols, planes: &Planes) -> String {
    let list = |counts: &[usize]| {
        let counts: Vec<_> = counts.iter().map(ToString::to_string).collect();
        format!("[{}]", counts.join(","))
    };
    let mut text = String::from("{\"name\":");
    write_string(&mut text, name);
    let (dtype, shape, symbols) = (entry.dtype.name(), list(&entry.shape), symbols.name());
    text += &format!(
        ",\"dtype\":\"{dtype}\",\"shape\":{shape},\"coding\":\"rans\",\"symbols\":\"{symbols}\""
    );
    if !planes.cuts.is_empty() {
        text += &format!(",\"period\":{},\"cuts\":{}", planes.period, list(&planes.cuts));
    }
    text + "}"
}
