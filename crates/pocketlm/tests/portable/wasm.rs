//! The runtime as a WebAssembly module without any standard library: takes a packed model, gives its fingerprint.
#![no_std]

extern crate alloc;

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

/// What the compiler calls to compare stretches of memory.
///
/// # Safety
/// Both have `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    for at in 0..len {
        // SAFETY: the caller's.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// What the compiler calls to multiply 128 bits: schoolbook, by halves of 64 bits.
#[unsafe(no_mangle)]
pub extern "C" fn __multi3(a: u128, b: u128) -> u128 {
    const HALF: u64 = 0xffff_ffff;
    let (a_low, a_high) = (a as u64, (a >> 64) as u64);
    let (b_low, b_high) = (b as u64, (b >> 64) as u64);
    let (a0, a1, b0, b1) = (a_low & HALF, a_low >> 32, b_low & HALF, b_low >> 32);
    let middle = a1 * b0 + (a0 * b0 >> 32);
    let middle_low = (middle & HALF) + a0 * b1;
    let low = a_low.wrapping_mul(b_low);
    let carried = a1 * b1 + (middle >> 32) + (middle_low >> 32);
    let high = carried
        .wrapping_add(a_low.wrapping_mul(b_high))
        .wrapping_add(a_high.wrapping_mul(b_low));
    u128::from(high) << 64 | u128::from(low)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
