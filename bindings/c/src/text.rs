//! What a caller lends: texts, lists, places to write to.

use std::ffi::{CStr, c_char};
use std::slice;

use crate::status::Fault;

/// A length that says: the text ends at its first NUL. The header has it from `cbindgen.toml`.
///
/// cbindgen:ignore
pub const POCKETLM_NUL: usize = usize::MAX;

/// The text of `length` bytes at `text`, or up to its NUL.
///
/// # Safety
/// The bytes must be readable, and stay as they are for as long as the caller of this function keeps the text.
pub(crate) unsafe fn text<'a>(text: *const c_char, length: usize) -> Result<&'a str, Fault> {
    let bytes = if length == POCKETLM_NUL && !text.is_null() {
        // SAFETY: the caller vouches for a text that ends in NUL.
        unsafe { CStr::from_ptr(text) }.to_bytes()
    } else {
        // SAFETY: the caller vouches for `length` bytes.
        unsafe { list(text.cast::<u8>(), length, "the text")? }
    };
    std::str::from_utf8(bytes).map_err(|error| Fault::Utf8(error.valid_up_to()))
}

/// `count` items at `items`; none of them may be at null.
///
/// # Safety
/// The items must be readable, aligned, and stay as they are for as long as the caller of this function keeps the list.
pub(crate) unsafe fn list<'a, T>(
    items: *const T,
    count: usize,
    what: &'static str,
) -> Result<&'a [T], Fault> {
    match (items.is_null(), count) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Fault::Null(what)),
        // SAFETY: the caller vouches for them.
        _ => Ok(unsafe { slice::from_raw_parts(items, count) }),
    }
}

/// Room for `count` items at `items`; room for none may be at null. Only for types of which any bytes are a value, since
/// C lends memory that nobody has written to yet.
///
/// # Safety
/// The items must be readable, writable and aligned, and nobody else may use them meanwhile.
pub(crate) unsafe fn room<'a, T>(
    items: *mut T,
    count: usize,
    what: &'static str,
) -> Result<&'a mut [T], Fault> {
    match (items.is_null(), count) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(Fault::Null(what)),
        // SAFETY: the caller vouches for it.
        _ => Ok(unsafe { slice::from_raw_parts_mut(items, count) }),
    }
}

/// What is at `place`.
///
/// # Safety
/// `place` is null or points to a value that nobody else changes meanwhile.
pub(crate) unsafe fn at<'a, T>(place: *const T, what: &'static str) -> Result<&'a T, Fault> {
    // SAFETY: the caller vouches for it.
    unsafe { place.as_ref() }.ok_or(Fault::Null(what))
}

/// A place to write to.
///
/// # Safety
/// `place` is null or points to a value that nobody else uses meanwhile.
pub(crate) unsafe fn place<'a, T>(place: *mut T, what: &'static str) -> Result<&'a mut T, Fault> {
    // SAFETY: the caller vouches for it.
    unsafe { place.as_mut() }.ok_or(Fault::Null(what))
}
