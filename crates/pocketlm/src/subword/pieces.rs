//! The pieces of a vocabulary, laid out flat so that encoding finds them fast.

use alloc::vec::Vec;

use crate::error::{Error, Result};

/// Most bytes of all pieces together.
const MOST_BYTES: usize = 1 << 28;

/// Pieces in the order of their ids, which is that of their bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    /// Where each piece ends in `bytes`.
    ends: Vec<u32>,
}

impl Pieces {
    /// Pieces in ascending order.
    ///
    /// # Errors
    /// [`Error::Subwords`] if they are not, or are too many bytes.
    pub(crate) fn new<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut own = Self::default();
        for piece in pieces {
            let piece = piece.as_ref();
            let before = own.ends.len().checked_sub(1).map(|last| own.get(last as u32));
            if piece.is_empty() || before.is_some_and(|before| before >= piece) {
                return Err(Error::subwords("its pieces are not in ascending order"));
            }
            if own.bytes.len() + piece.len() > MOST_BYTES {
                return Err(Error::subwords("its pieces have too many bytes"));
            }
            own.push(piece);
        }
        Ok(own)
    }

    /// Appends a piece, whatever its order.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        self.ends.push(self.bytes.len() as u32);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a piece; none of an id that no piece has.
    pub(crate) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return &[] };
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..end as usize]
    }

    /// The piece of these bytes.
    #[inline(never)]
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle as u32) < bytes { low = middle + 1 } else { high = middle }
        }
        (low < self.ends.len() && self.get(low as u32) == bytes).then_some(low as u32)
    }
}
