//! The battery as a WebAssembly module without any standard library.
#![no_std]

#[path = "mod.rs"]
mod battery;

/// Zero if the bits and the floating-point products are right.
#[unsafe(no_mangle)]
pub extern "C" fn failures() -> u32 {
    u32::from(battery::digest() != battery::DIGEST) | u32::from(!battery::floats_agree()) << 1
}

/// The length of the name of the backend in use: 7 for `simd128`, 8 for `portable`.
#[unsafe(no_mangle)]
pub extern "C" fn backend_name_len() -> usize {
    pocketlm_kernels::backend::chosen().name().len()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
