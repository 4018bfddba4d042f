//! The runtime as a WebAssembly module without any standard library: takes a packed model, gives its fingerprint.
#![no_std]

extern crate alloc;

#[path = "../../../../bindings/web/src/builtins.rs"]
mod builtins;
mod fingerprint;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

use pocketlm::Model;

const PAGE: usize = 1 << 16;

/// Takes memory and never gives it back: an instance of the module sees one model.
struct Grow;

static NEXT: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static MEMORY: Grow = Grow;

// SAFETY: every block lies in pages that were added for it, at or behind `NEXT`, which only grows; the module has one
// thread.
unsafe impl GlobalAlloc for Grow {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let have = core::arch::wasm32::memory_size(0) * PAGE;
        let next = NEXT.load(Ordering::Relaxed);
        let start = (if next == 0 { have } else { next }).next_multiple_of(layout.align());
        let end = start + layout.size();
        let pages = end.saturating_sub(have).div_ceil(PAGE);
        if core::arch::wasm32::memory_grow(0, pages) == usize::MAX {
            return core::ptr::null_mut();
        }
        NEXT.store(end, Ordering::Relaxed);
        start as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Room for a packed model of so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn room(len: usize) -> *mut u8 {
    alloc::vec![0u8; len].leak().as_mut_ptr()
}

/// The fingerprint, going on from `hash`, of the model of `len` bytes in its room.
///
/// # Safety
/// `model` is what [`room`] gave for `len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fingerprint(hash: u64, model: *mut u8, len: usize) -> u64 {
    // SAFETY: the caller's; the allocator does not mind who frees.
    let bytes = unsafe { Vec::from_raw_parts(model, len, len) };
    fingerprint::add(hash, &Model::from_bytes(bytes).unwrap())
}

/// The fingerprint of no model.
#[unsafe(no_mangle)]
pub extern "C" fn empty() -> u64 {
    fingerprint::EMPTY
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
