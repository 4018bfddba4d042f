//! CRC-32 as in zlib and PNG (reflected polynomial 0xEDB88320), eight bytes a step.

use core::ops::Range;

/// `TABLES[k][b]`: the register after byte `b` and then `k` zero bytes.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = (register >> 1) ^ (0xedb8_8320 & (register & 1).wrapping_neg());
            bit += 1;
        }
        tables[0][byte] = register;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][(before & 255) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// A running CRC-32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) fn new() -> Self {
        Self(!0)
    }

    /// The checksum with `bytes` appended to what has been seen.
    pub(crate) fn update(self, bytes: &[u8]) -> Self {
        let (eights, rest) = bytes.as_chunks::<8>();
        let register = eights.iter().fold(self.0, |register, eight| {
            let word = u64::from_le_bytes(*eight) ^ u64::from(register);
            (0..8).fold(0, |sum, k| sum ^ TABLES[7 - k][(word >> (8 * k) & 255) as usize])
        });
        Self(rest.iter().fold(register, |register, &byte| {
            (register >> 8) ^ TABLES[0][(register as u8 ^ byte) as usize]
        }))
    }

    pub(crate) fn finish(self) -> u32 {
        !self.0
    }
}

/// How the checksum stands in the header.
const FIELD: &[u8] = b"\"checksum\":\"crc32:";

/// Where the eight digits of the checksum stand in a file whose header ends at `data`.
pub(crate) fn checksum_place(file: &[u8], data: usize) -> Option<Range<usize>> {
    let header = file.get(..data)?;
    let at = header.windows(FIELD.len()).position(|window| window == FIELD)? + FIELD.len();
    (at + 8 <= data).then_some(at..at + 8)
}

/// CRC-32 of a whole file with the digits of the checksum itself taken as zeros.
pub(crate) fn checksum(file: &[u8], data: usize) -> u32 {
    let place = checksum_place(file, data).unwrap_or(0..0);
    let sum = Crc32::new().update(&file[..place.start]);
    sum.update(&b"00000000"[..place.len()]).update(&file[place.end..]).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_check_value() {
        // "Check" of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(Crc32::new().update(b"123456789").finish(), 0xcbf4_3926);
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let bytes: [u8; 100] = core::array::from_fn(|i| (i * 37) as u8);
        let whole = Crc32::new().update(&bytes).finish();
        for cut in 0..100 {
            let pieces = Crc32::new().update(&bytes[..cut]).update(&bytes[cut..]);
            assert_eq!(pieces.finish(), whole);
        }
    }
}
