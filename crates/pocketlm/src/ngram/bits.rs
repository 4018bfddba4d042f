//! Numbers of a fixed number of bits, one after another.

use alloc::format;

use crate::error::{Error, Result};
use crate::format::container::Dtype;
use crate::leaves::Leaves;
use crate::storage::Array;

/// Zero bytes after the last number, so that eight bytes can be read wherever a number starts.
pub(crate) const SLACK: usize = 7;

/// An array of numbers of `width` bits, 1 to 32: number i is bits i·width to (i+1)·width − 1, bit k being
/// bit k%8, from the lowest, of byte k/8.
#[derive(Debug)]
pub(crate) struct Bits {
    array: Array,
    width: u32,
}

/// The bytes that `count` numbers of `width` bits take, or `None` if they are too many to address.
pub(crate) fn bytes(count: usize, width: u32) -> Option<usize> {
    let bits = (count as u64).checked_mul(u64::from(width))?;
    usize::try_from(bits.div_ceil(8)).ok()?.checked_add(SLACK)
}

impl Bits {
    /// The array `name` as `count` numbers of `width` bits.
    pub(crate) fn open(leaves: &Leaves<'_>, name: &str, count: usize, width: u32) -> Result<Self> {
        let bytes = bytes(count, width)
            .ok_or_else(|| Error::array(name, format!("cannot hold {count} numbers")))?;
        Ok(Self { array: leaves.array(name, Dtype::U8, &[bytes])?, width })
    }

    pub(crate) fn width(&self) -> u32 {
        self.width
    }

    pub(crate) fn bytes(&self) -> usize {
        self.array.bytes().len()
    }

    pub(crate) fn view(&self) -> View<'_> {
        let mask = (u64::MAX >> (64 - self.width)) as u32;
        View { bytes: self.array.bytes(), width: u64::from(self.width), mask }
    }
}

/// [`Bits`] for reading.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    bytes: &'a [u8],
    width: u64,
    mask: u32,
}

impl View<'_> {
    /// Number `index`; 0 past the end.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> u32 {
        let bit = index as u64 * self.width;
        let bytes = self.bytes.get((bit / 8) as usize..).and_then(|rest| rest.first_chunk::<8>());
        let word = bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        (word >> (bit % 8)) as u32 & self.mask
    }
}
