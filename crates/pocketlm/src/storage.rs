//! The bytes of a packed model, wherever they live, at an address that is a multiple of 64.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, Range};

/// Alignment of a model's bytes in memory and of its arrays in the file: one cache line, and the
/// widest SIMD register.
pub(crate) const ALIGNMENT: usize = 64;

/// A model's bytes: on the heap, in the program's image, or mapped from a file.
#[derive(Debug)]
pub(crate) enum Storage {
    /// The bytes from `start` on; what lies before only serves the alignment.
    Heap {
        buffer: Vec<u8>,
        start: usize,
    },
    Static(&'static [u8]),
    #[cfg(feature = "std")]
    Mapped(crate::mapping::Mapping),
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Storage::Heap { buffer, start } => &buffer[*start..],
            Storage::Static(bytes) => bytes,
            #[cfg(feature = "std")]
            Storage::Mapped(mapping) => mapping,
        }
    }
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
}

/// Copies `bytes` to an aligned address.
fn copied(bytes: &[u8]) -> Storage {
    let mut buffer: Vec<u8> = Vec::with_capacity(bytes.len() + ALIGNMENT);
    let start = buffer.as_ptr().addr().wrapping_neg() % ALIGNMENT;
    buffer.resize(start, 0);
    buffer.extend_from_slice(bytes);
    Storage::Heap { buffer, start }
}

impl From<Vec<u8>> for Storage {
    fn from(bytes: Vec<u8>) -> Self {
        if is_aligned(&bytes) { Storage::Heap { buffer: bytes, start: 0 } } else { copied(&bytes) }
    }
}

impl From<&'static [u8]> for Storage {
    fn from(bytes: &'static [u8]) -> Self {
        if is_aligned(bytes) { Storage::Static(bytes) } else { copied(bytes) }
    }
}

/// One array of the file: a stretch of the shared storage.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    storage: Arc<Storage>,
    range: Range<usize>,
}

impl Array {
    /// The stretch `range`, or `None` where it reaches past the end.
    pub(crate) fn new(storage: &Arc<Storage>, range: Range<usize>) -> Option<Self> {
        storage.get(range.clone())?;
        Some(Self { storage: Arc::clone(storage), range })
    }

    /// The array's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.range.clone()]
    }

    /// The array as `f32`. Arrays start at multiples of 64 bytes and their lengths were checked against
    /// their dtype, so the bytes always are whole, aligned numbers; likewise below.
    pub(crate) fn f32(&self) -> &[f32] {
        pocketlm_kernels::bytes::as_f32(self.bytes()).unwrap_or_default()
    }

    /// The array as the bits of half-precision numbers.
    pub(crate) fn u16(&self) -> &[u16] {
        pocketlm_kernels::bytes::as_u16(self.bytes()).unwrap_or_default()
    }

    /// The array as `u32`.
    pub(crate) fn u32(&self) -> &[u32] {
        pocketlm_kernels::bytes::as_u32(self.bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned_wherever_they_come_from() {
        static BYTES: [u8; 200] = [7; 200];
        for cut in 0..70 {
            let still: Storage = Storage::from(&BYTES[cut..]);
            let heap = Storage::from(BYTES[cut..].to_vec());
            assert!(is_aligned(&still) && is_aligned(&heap));
            assert!(*still == BYTES[cut..] && *heap == BYTES[cut..]);
        }
    }
}
