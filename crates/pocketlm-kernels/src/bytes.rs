//! Bytes seen as numbers, and numbers as bytes, without copying.
//!
//! Files are little-endian, as are all machines that this crate builds for.

/// A plain number: every bit pattern is a value, no padding.
trait Plain: Copy {}
impl Plain for u16 {}
impl Plain for u32 {}
impl Plain for i32 {}
impl Plain for i8 {}
impl Plain for f32 {}

fn view<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    let size = size_of::<T>();
    let aligned = bytes.as_ptr().align_offset(align_of::<T>()) == 0;
    // SAFETY: the pointer is aligned for T, the length covers whole elements within the same
    // allocation, and any bit pattern is a valid T.
    (aligned && bytes.len().is_multiple_of(size))
        .then(|| unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size) })
}

fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: a plain number has no padding, and u8 has no alignment to keep.
    unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Bytes as `f32`; `None` if they are misaligned or not a whole number of elements.
pub fn as_f32(bytes: &[u8]) -> Option<&[f32]> {
    view(bytes)
}

/// Bytes as `u16` (half-precision bits); `None` if misaligned or not whole elements.
pub fn as_u16(bytes: &[u8]) -> Option<&[u16]> {
    view(bytes)
}

/// Bytes as `u32`; `None` if misaligned or not whole elements.
pub fn as_u32(bytes: &[u8]) -> Option<&[u32]> {
    view(bytes)
}

/// Bytes as `i32`; `None` if misaligned or not whole elements.
pub fn as_i32(bytes: &[u8]) -> Option<&[i32]> {
    view(bytes)
}

/// The bytes of `f32` values, little-endian.
pub fn of_f32(values: &[f32]) -> &[u8] {
    bytes_of(values)
}

/// The bytes of `u16` values, little-endian.
pub fn of_u16(values: &[u16]) -> &[u8] {
    bytes_of(values)
}

/// The bytes of `u32` values, little-endian.
pub fn of_u32(values: &[u32]) -> &[u8] {
    bytes_of(values)
}

/// The bytes of `i32` values, little-endian.
pub fn of_i32(values: &[i32]) -> &[u8] {
    bytes_of(values)
}

/// The sum of all words, wrapping around: every byte is read once, by the widest loads there are, and
/// nothing else is done. Its time is the bound for a product over as many bytes.
pub fn sum_words(words: &[i32]) -> i32 {
    crate::backend::call!(sum_words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_there_and_back() {
        let floats = [1.0f32, -2.5, f32::NAN];
        let bytes = of_f32(&floats);
        assert_eq!(bytes[..4], 1.0f32.to_le_bytes());
        let back = as_f32(bytes).unwrap();
        assert_eq!(back[..2], floats[..2]);
        assert_eq!(as_u32(bytes).unwrap()[1], (-2.5f32).to_bits());
        assert_eq!(as_i32(bytes).unwrap().len(), 3);
        assert_eq!(as_u16(bytes).unwrap().len(), 6);
    }

    #[test]
    fn refuses_misaligned_and_ragged_bytes() {
        let words = [0u32; 4];
        let bytes = of_u32(&words);
        assert!(as_f32(&bytes[1..5]).is_none());
        assert!(as_f32(&bytes[..7]).is_none());
        assert!(as_u16(&bytes[2..6]).is_some());
        assert_eq!(as_f32(&bytes[..0]), Some(&[][..]));
    }
}
