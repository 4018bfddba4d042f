//! What of an array is coded with which table: its symbols, and the planes that they are dealt into.

use alloc::vec;
use alloc::vec::Vec;

use super::rans;

/// Bytes of a block of int3 codes: 512 codes in lines of 64 bytes, two with the low bits, one with the third.
const INT3: [usize; 2] = [192, 256];

/// Bits of the line of third bits that belong to the first and the second code of each symbol, for the four lines
/// of symbols that a block gives: section 5 of `docs/format.md` has code q of line l at bit (2q + 2 + l) mod 8.
const THIRD: [[u32; 2]; 4] = [[2, 4], [6, 0], [3, 5], [7, 1]];

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbols {
    /// A byte.
    Bytes,
    /// Two codes of 3 bits, which lie in two bytes of the array.
    Int3,
}

impl Symbols {
    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Int3 => "int3",
        }
    }

    /// The symbols of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Bytes, Self::Int3].into_iter().find(|symbols| symbols.name() == name)
    }

    /// How many symbols an array of so many bytes has, if it has any.
    pub(crate) fn count(self, bytes: usize) -> Option<usize> {
        match self {
            Self::Bytes => Some(bytes),
            Self::Int3 if bytes.is_multiple_of(INT3[0]) => (bytes / INT3[0]).checked_mul(INT3[1]),
            Self::Int3 => None,
        }
    }
}

/// Symbols are dealt in periods, of which each plane has the same part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planes {
    /// Symbols of a period.
    pub(crate) period: usize,
    /// Where in a period the planes but the first begin, ascending.
    pub(crate) cuts: Vec<usize>,
}

impl Planes {
    /// One plane of all symbols.
    pub(crate) fn one() -> Self {
        Self { period: 1, cuts: Vec::new() }
    }

    /// Begin and end of each plane's part of a period.
    pub(crate) fn parts(&self) -> impl Iterator<Item = [usize; 2]> {
        let ends = self.cuts.iter().copied().chain([self.period]);
        [0].into_iter().chain(self.cuts.iter().copied()).zip(ends).map(|(begin, end)| [begin, end])
    }

    /// Reads all planes into `symbols`.
    pub(crate) fn decode(&self, mut coded: &[u8], symbols: &mut [u8]) -> Result<(), &'static str> {
        if self.cuts.is_empty() {
            rans::plane(&mut coded, symbols)?;
        }
        let periods = symbols.len() / self.period;
        for [begin, end] in self.parts().filter(|_| !self.cuts.is_empty()) {
            let mut plane = vec![0; periods * (end - begin)];
            rans::plane(&mut coded, &mut plane)?;
            deal(&plane, symbols, self.period, begin, end);
        }
        if coded.is_empty() { Ok(()) } else { Err("is coded, and has bytes after its last plane") }
    }
}

/// Puts a plane in its place.
fn deal(plane: &[u8], symbols: &mut [u8], period: usize, begin: usize, end: usize) {
    match (end - begin, period) {
        (1, 2) => deal_bytes::<2>(plane, symbols, begin),
        (1, 4) => deal_bytes::<4>(plane, symbols, begin),
        (width, _) => {
            let parts = symbols.chunks_exact_mut(period).zip(plane.chunks_exact(width));
            parts.for_each(|(to, from)| to[begin..end].copy_from_slice(from));
        }
    }
}

/// The same for planes of one byte in each N.
fn deal_bytes<const N: usize>(plane: &[u8], symbols: &mut [u8], place: usize) {
    symbols
        .as_chunks_mut::<N>()
        .0
        .iter_mut()
        .zip(plane)
        .for_each(|(to, &from)| to[place % N] = from);
}

/// The bytes of an array of int3 codes from its symbols.
pub(crate) fn join(symbols: &[u8], bytes: &mut [u8]) {
    let (blocks, symbols) = (bytes.as_chunks_mut::<192>().0, symbols.as_chunks::<256>().0);
    for (block, symbols) in blocks.iter_mut().zip(symbols) {
        join_block(symbols, block);
    }
}

/// One block; loops over whole lines, so that they are done many places at a time.
fn join_block(symbols: &[u8; 256], block: &mut [u8; 192]) {
    for at in 0..64 {
        block[at] = symbols[at] & 15 | symbols[64 + at] << 4;
        block[64 + at] = symbols[128 + at] & 15 | symbols[192 + at] << 4;
    }
    let (lines, third) = (symbols.as_chunks::<64>().0, &mut block[128..]);
    third.fill(0);
    for (line, [first, second]) in lines.iter().zip(THIRD) {
        for (third, symbol) in third.iter_mut().zip(line) {
            *third |= (symbol >> 4 & 1) << first | (symbol >> 5 & 1) << second;
        }
    }
}

/// The symbols of an array of int3 codes.
#[cfg(feature = "pack")]
pub(crate) fn split(bytes: &[u8]) -> Vec<u8> {
    let mut symbols = Vec::with_capacity(bytes.len() / 3 * 4);
    for block in bytes.as_chunks::<192>().0 {
        for (line, [first, second]) in THIRD.into_iter().enumerate() {
            symbols.extend((0..64).map(|at| {
                let low = block[64 * (line / 2) + at] >> (4 * (line % 2)) & 15;
                let third = block[128 + at];
                low | (third >> first & 1) << 4 | (third >> second & 1) << 5
            }));
        }
    }
    symbols
}
