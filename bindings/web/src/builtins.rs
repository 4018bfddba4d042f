//! What the compiler calls and `compiler_builtins` has, which a build without rustup's library lacks.

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
    // The compiler knows this product, and would make it a call of this function.
    let middle = core::hint::black_box(a1 * b0) + (a0 * b0 >> 32);
    let middle_low = (middle & HALF) + a0 * b1;
    let low = a_low.wrapping_mul(b_low);
    let carried = a1 * b1 + (middle >> 32) + (middle_low >> 32);
    let high =
        carried.wrapping_add(a_low.wrapping_mul(b_high)).wrapping_add(a_high.wrapping_mul(b_low));
    u128::from(high) << 64 | u128::from(low)
}

/// Linkers before LLVM 16 do not say where the first pages end. Below the heap's beginning, it tells the allocator that it
/// has none of them.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
static __heap_end: u8 = 0;
