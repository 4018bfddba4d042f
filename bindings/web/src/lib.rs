//! The WebAssembly module of the package `pocketlm`: what `package/index.js` calls.
//!
//! Texts go in through [`room`], answers come back as one text, the [`reply`]. A function that can fail returns
//! [`FAILED`] or no handle, and the reply is the message. A panic leaves its message there too and ends the module: the
//! package then refuses further calls, and a page starts another one.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod builtins;
mod keyboard;
mod model;
mod reply;
mod session;

pub use keyboard::*;
pub use model::*;
pub use reply::{FAILED, reply, reply_length};
pub use session::*;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    reply::tell(info);
    core::arch::wasm32::unreachable()
}

/// Room for `length` bytes, 0 where there is none; a call takes it over, or [`release`] gives it back.
#[unsafe(no_mangle)]
pub extern "C" fn room(length: usize) -> *mut u8 {
    let mut bytes = alloc::vec::Vec::<u8>::new();
    if bytes.try_reserve_exact(length).is_err() {
        return core::ptr::null_mut();
    }
    bytes.resize(length, 0);
    alloc::boxed::Box::into_raw(bytes.into_boxed_slice()).cast()
}

/// Gives room back.
///
/// # Safety
/// `start` is what [`room`] gave for `length`, and no call has taken it over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn release(start: *mut u8, length: usize) {
    // SAFETY: the caller keeps the contract above.
    drop(unsafe { taken(start, length) });
}

/// The bytes that were put into a room, which is theirs from now on.
///
/// # Safety
/// As [`release`].
unsafe fn taken(start: *mut u8, length: usize) -> alloc::vec::Vec<u8> {
    // SAFETY: `room` made it from a boxed slice of that length.
    let bytes =
        unsafe { alloc::boxed::Box::from_raw(core::ptr::slice_from_raw_parts_mut(start, length)) };
    bytes.into_vec()
}

/// The text in a room, without taking it over.
///
/// # Safety
/// As [`release`]; the room stays as it is for as long as the text is used.
unsafe fn text<'t>(start: *const u8, length: usize) -> Result<&'t str, core::str::Utf8Error> {
    // SAFETY: the caller vouches for the bytes.
    core::str::from_utf8(unsafe { core::slice::from_raw_parts(start, length) })
}
