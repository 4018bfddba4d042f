//! Sixteen lanes: what an instruction set must offer for the kernels to be written once.

/// Sixteen numbers at a time, as one, two or four registers.
///
/// The algorithms over it are `inline(always)` and get their instruction set from the entry
/// functions that [`table!`](super::table) makes.
///
/// # Safety
/// Every method needs the instructions of its type; pointers must be good for 16 elements (or what
/// the method says), in any alignment.
pub trait Lanes: Copy {
    /// 16 × f32.
    type F: Copy;
    /// 16 × i32 (in whatever form sums are gathered fastest).
    type I: Copy;
    /// 64 weights, 16 rows × 4 columns of bytes.
    type W: Copy;
    /// Four activations, repeated for every row.
    type X: Copy;

    /// Whether there are 32 registers of 16 lanes: decides the tile of the batched products.
    const WIDE: bool;
    /// Whether [`weights`](Self::weights) takes the offset off, so that no correction is due.
    const SIGNED: bool;

    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn load_half(p: *const u16) -> Self::F;
    unsafe fn store(p: *mut f32, v: Self::F);
    /// Rounds to the nearest, ties to even, and stores 16 × i8; values are within ±127.
    unsafe fn store_i8(p: *mut i8, v: Self::F);
    unsafe fn splat(v: f32) -> Self::F;
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// a·b + c, fused where that is fast: for the floating-point products only.
    unsafe fn mul_add(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a < b ? a : b, so b if either is NaN.
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// a > b ? a : b, so b if either is NaN.
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    /// a < b ? yes : no.
    unsafe fn select_less(a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// Whether a > b in any lane.
    unsafe fn any_above(a: Self::F, b: Self::F) -> bool;
    unsafe fn abs(a: Self::F) -> Self::F;
    /// The magnitude of a (not negative) with the sign of b.
    unsafe fn with_sign(a: Self::F, b: Self::F) -> Self::F;
    /// The larger bits of two non-negative numbers: NaN is above all.
    unsafe fn max_bits(a: Self::F, b: Self::F) -> Self::F;
    /// v · 2ⁿ for a whole n of −126 to 127 with a normal result.
    unsafe fn scale(v: Self::F, n: Self::F) -> Self::F;

    unsafe fn iload(p: *const i32) -> Self::I;
    unsafe fn isplat(v: i32) -> Self::I;
    unsafe fn iadd(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn istore(p: *mut i32, v: Self::I);
    unsafe fn to_float(a: Self::I) -> Self::F;
    /// Four activations.
    unsafe fn activations(p: *const i8) -> Self::X;
    /// 64 bytes of int8 weights.
    unsafe fn weights(p: *const u8) -> Self::W;
    /// 64 bytes of int4 weights: the low halves and the high halves, 0..=15.
    unsafe fn halves(p: *const u8) -> (Self::W, Self::W);
    /// Adds the products of four columns of int8 weights, exactly.
    unsafe fn dot(acc: Self::I, w: Self::W, x: Self::X) -> Self::I;
    /// Adds the products of four columns of int4 weights, exactly.
    unsafe fn dot_half(acc: Self::I, w: Self::W, x: Self::X) -> Self::I;
    /// Asks for the cache line at `p`, which may lie outside of any allocation.
    unsafe fn prefetch(p: *const u8);
}

/// The first `n` of 16 elements at `p`; the others are `fill`.
///
/// # Safety
/// As [`Lanes`]; `p` is good for min(n, 16) elements.
#[inline(always)]
pub unsafe fn load_some<S: Lanes>(p: *const f32, n: usize, fill: f32) -> S::F {
    // SAFETY: 16 elements if n ≥ 16, else a copy of n within an array of 16.
    unsafe {
        if n >= 16 {
            return S::load(p);
        }
        let mut all = [fill; 16];
        core::ptr::copy_nonoverlapping(p, all.as_mut_ptr(), n);
        S::load(all.as_ptr())
    }
}

/// Stores the first `n` of 16 elements at `p`.
///
/// # Safety
/// As [`Lanes`]; `p` is good for min(n, 16) elements.
#[inline(always)]
pub unsafe fn store_some<S: Lanes>(p: *mut f32, n: usize, v: S::F) {
    // SAFETY: 16 elements if n ≥ 16, else a copy of n out of an array of 16.
    unsafe {
        if n >= 16 {
            return S::store(p, v);
        }
        let mut all = [0.0f32; 16];
        S::store(all.as_mut_ptr(), v);
        core::ptr::copy_nonoverlapping(all.as_ptr(), p, n);
    }
}
