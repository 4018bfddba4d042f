//! Sixteen lanes: what an instruction set must offer for the kernels to be written once.
#![allow(clippy::needless_range_loop, reason = "blocks of registers are indexed, on purpose")]

/// How many bytes ahead of use weights are asked for by the products of inference: a few lines, which the processor's own
/// prefetchers, running further ahead, have brought near by then. Asking as far ahead as they do gets in their way.
pub const AHEAD: usize = 256;

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
    /// Whether preparing four activations costs so much that panels should share it.
    const COSTLY_X: bool = false;
    /// Whether [`dot_small`](Self::dot_small) is faster than [`dot`](Self::dot).
    const SMALL: bool = false;
    /// Whether [`weights`](Self::weights) and [`table`](Self::table) are signed, so that no correction is
    /// due for an offset of 128.
    const SIGNED: bool;
    /// Whether [`dot_half`](Self::dot_half) takes bytes up to 255.
    const BYTES: bool;
    /// What narrow sums, which [`dot_half`](Self::dot_half) makes, can hold; where that is less than an i32, each
    /// sum is made of two of them, for two columns of every four.
    const NARROW: i32 = i32::MAX;

    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn load_half(p: *const u16) -> Self::F;
    unsafe fn store(p: *mut f32, v: Self::F);
    /// The first `n` < 16 elements at `p`, which is good for as many; the others are `fill`.
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize, fill: f32) -> Self::F {
        // SAFETY: a copy of n within an array of 16.
        unsafe {
            let mut all = [fill; 16];
            core::ptr::copy_nonoverlapping(p, all.as_mut_ptr(), n);
            Self::load(all.as_ptr())
        }
    }
    /// Stores the first `n` < 16 elements at `p`, which is good for as many.
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, n: usize, v: Self::F) {
        // SAFETY: a copy of n out of an array of 16.
        unsafe {
            let mut all = [0.0f32; 16];
            Self::store(all.as_mut_ptr(), v);
            core::ptr::copy_nonoverlapping(all.as_ptr(), p, n);
        }
    }
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
    /// Lane r of result c is lane c of row r.
    #[inline(always)]
    unsafe fn transpose(rows: [Self::F; 16]) -> [Self::F; 16] {
        let (mut from, mut columns) = ([[0.0f32; 16]; 16], rows);
        // SAFETY: 16 elements each.
        unsafe {
            for r in 0..16 {
                Self::store(from[r].as_mut_ptr(), rows[r]);
            }
            for c in 0..16 {
                let mut column = [0.0; 16];
                for r in 0..16 {
                    column[r] = from[r][c];
                }
                columns[c] = Self::load(column.as_ptr());
            }
        }
        columns
    }

    unsafe fn iload(p: *const i32) -> Self::I;
    unsafe fn isplat(v: i32) -> Self::I;
    unsafe fn iadd(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn istore(p: *mut i32, v: Self::I);
    unsafe fn to_float(a: Self::I) -> Self::F;
    /// Four activations.
    unsafe fn activations(p: *const i8) -> Self::X;
    /// 64 bytes of int8 weights.
    unsafe fn weights(p: *const u8) -> Self::W;
    /// Adds the products of four columns of int8 weights, exactly.
    unsafe fn dot(acc: Self::I, w: Self::W, x: Self::X) -> Self::I;
    /// The same where the magnitudes of those of the first two activations that are above zero add up to at most 128,
    /// and of those below, and so of the last two.
    #[inline(always)]
    unsafe fn dot_small(acc: Self::I, w: Self::W, x: Self::X) -> Self::I {
        // SAFETY: the caller's.
        unsafe { Self::dot(acc, w, x) }
    }
    /// Of sixteen activations: bits 4·k to 4·k + 3, or some of them, are set if quad k is too large for
    /// [`dot_small`](Self::dot_small).
    #[inline(always)]
    unsafe fn large(_: *const i8) -> u32 {
        0
    }
    /// 64 bytes as they are.
    unsafe fn bytes(p: *const u8) -> Self::W;
    /// Each byte shifted right (left if `shift` is negative), then masked: bits that another byte's shift
    /// might bring in must be masked away.
    unsafe fn field(w: Self::W, shift: i32, mask: u8) -> Self::W;
    unsafe fn or(a: Self::W, b: Self::W) -> Self::W;
    /// 16 levels, as [`lookup`](Self::lookup) takes them.
    unsafe fn table(p: *const i8) -> Self::W;
    /// The levels of indices 0..=15, as [`dot`](Self::dot) takes weights.
    unsafe fn lookup(table: Self::W, w: Self::W) -> Self::W;
    unsafe fn shift_right(a: Self::I, bits: i32) -> Self::I;
    /// Adds the products of four columns of weights 0..=31 (or of any bytes: [`BYTES`](Self::BYTES)) to narrow
    /// sums, exactly.
    unsafe fn dot_half(narrow: Self::I, w: Self::W, x: Self::X) -> Self::I;
    /// Adds narrow sums to sums.
    #[inline(always)]
    unsafe fn widen(acc: Self::I, narrow: Self::I) -> Self::I {
        // SAFETY: plain arithmetic.
        unsafe { Self::iadd(acc, narrow) }
    }
    /// The same pointer, of which the compiler does not know that it is: so it keeps it in its register instead
    /// of working out many addresses from it beforehand, for which there are no registers.
    #[inline(always)]
    fn kept(p: *const f32) -> *const f32 {
        p
    }
    /// Asks for the cache line at `p`, which may lie outside of any allocation.
    unsafe fn prefetch(p: *const u8);
}

/// Each method is an instruction or two under its name.
macro_rules! lanes {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            #[allow(unused_unsafe, reason = "some instruction sets make some of these safe")]
            unsafe fn $name($($arg: $ty),*) $(-> $out)? {
                // SAFETY: the trait's: instructions present, pointers good.
                unsafe { $body }
            }
        )*
    };
}
pub(super) use lanes;

/// The first `n` of 16 elements at `p`; the others are `fill`.
///
/// # Safety
/// As [`Lanes`]; `p` is good for min(n, 16) elements.
#[inline(always)]
pub unsafe fn load_some<S: Lanes>(p: *const f32, n: usize, fill: f32) -> S::F {
    // SAFETY: the caller's.
    unsafe { if n >= 16 { S::load(p) } else { S::load_first(p, n, fill) } }
}

/// Stores the first `n` of 16 elements at `p`.
///
/// # Safety
/// As [`Lanes`]; `p` is good for min(n, 16) elements.
#[inline(always)]
pub unsafe fn store_some<S: Lanes>(p: *mut f32, n: usize, v: S::F) {
    // SAFETY: the caller's.
    unsafe { if n >= 16 { S::store(p, v) } else { S::store_first(p, n, v) } }
}
