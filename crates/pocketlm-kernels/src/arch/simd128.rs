//! WebAssembly's 128-bit SIMD: sixteen lanes are four registers.

use core::arch::wasm32::*;

use super::lanes::{Lanes, lanes};
use crate::table::Backend;

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Simd128;

super::table!(
    Simd128,
    Backend::Simd128,
    #[target_feature(enable = "simd128")]
);

type Four = [v128; 4];

/// `$f` of the registers of each of the arguments.
macro_rules! each {
    ($f:expr, $a:expr) => {{
        let a = $a;
        [$f(a[0]), $f(a[1]), $f(a[2]), $f(a[3])]
    }};
    ($f:expr, $a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        [$f(a[0], b[0]), $f(a[1], b[1]), $f(a[2], b[2]), $f(a[3], b[3])]
    }};
}

#[inline(always)]
unsafe fn load_64<T>(p: *const T) -> Four {
    let p = p.cast::<v128>();
    // SAFETY: 64 bytes; loads take any alignment.
    unsafe { [v128_load(p), v128_load(p.add(1)), v128_load(p.add(2)), v128_load(p.add(3))] }
}

#[inline(always)]
unsafe fn store_64<T>(p: *mut T, v: Four) {
    let p = p.cast::<v128>();
    // SAFETY: 64 bytes; stores take any alignment.
    unsafe {
        v128_store(p, v[0]);
        v128_store(p.add(1), v[1]);
        v128_store(p.add(2), v[2]);
        v128_store(p.add(3), v[3]);
    }
}

/// Four half-precision numbers made single, as in [`half`](crate::half).
#[inline(always)]
fn widen(bits: v128) -> v128 {
    let magnitude = v128_and(bits, i32x4_splat(0x7fff));
    let sign = i32x4_shl(v128_xor(bits, magnitude), 16);
    let two_112 = f32x4_splat(f32::from_bits((127 + 112) << 23));
    let value = f32x4_mul(i32x4_shl(magnitude, 13), two_112);
    let infinite = i32x4_gt(magnitude, i32x4_splat(0x7bff));
    let exponent = v128_and(infinite, i32x4_splat(0x7f80_0000));
    v128_or(v128_or(value, exponent), sign)
}

/// Four lanes of a dot product of bytes 0..=255 and signed bytes: even and odd bytes apart.
#[inline(always)]
fn dot_4(acc: v128, w: v128, x: v128) -> v128 {
    let x_even = i16x8_shr(i16x8_shl(x, 8), 8);
    let even = i32x4_dot_i16x8(v128_and(w, i16x8_splat(0xff)), x_even);
    let odd = i32x4_dot_i16x8(u16x8_shr(w, 8), i16x8_shr(x, 8));
    i32x4_add(acc, i32x4_add(even, odd))
}

/// Rounds to the nearest integer, ties to even.
#[inline(always)]
fn round(v: v128) -> v128 {
    i32x4_trunc_sat_f32x4(f32x4_nearest(v))
}

#[inline(always)]
fn power_of_two(n: v128) -> v128 {
    i32x4_shl(f32x4_add(n, f32x4_splat(crate::naive::ROUND + 127.0)), 23)
}

impl Lanes for Simd128 {
    type F = Four;
    type I = Four;
    type W = Four;
    type X = v128;

    const WIDE: bool = false;
    const COSTLY_X: bool = true;
    const SIGNED: bool = false;
    const BYTES: bool = true;

    lanes! {
        fn load(p: *const f32) -> Four { load_64(p) }
        fn load_half(p: *const u16) -> Four {
            let low = [u32x4_load_extend_u16x4(p), u32x4_load_extend_u16x4(p.add(4))];
            let third = u32x4_load_extend_u16x4(p.add(8));
            each!(widen, [low[0], low[1], third, u32x4_load_extend_u16x4(p.add(12))])
        }
        fn store(p: *mut f32, v: Four) { store_64(p, v) }
        fn store_i8(p: *mut i8, v: Four) {
            let v = each!(round, v);
            let low = i16x8_narrow_i32x4(v[0], v[1]);
            v128_store(p.cast(), i8x16_narrow_i16x8(low, i16x8_narrow_i32x4(v[2], v[3])))
        }
        fn splat(v: f32) -> Four { [f32x4_splat(v); 4] }
        fn add(a: Four, b: Four) -> Four { each!(f32x4_add, a, b) }
        fn sub(a: Four, b: Four) -> Four { each!(f32x4_sub, a, b) }
        fn mul(a: Four, b: Four) -> Four { each!(f32x4_mul, a, b) }
        fn div(a: Four, b: Four) -> Four { each!(f32x4_div, a, b) }
        fn mul_add(a: Four, b: Four, c: Four) -> Four { Self::add(Self::mul(a, b), c) }
        // pmin(x, y) is y < x ? y : x.
        fn min(a: Four, b: Four) -> Four { each!(f32x4_pmin, b, a) }
        fn max(a: Four, b: Four) -> Four { each!(f32x4_pmax, b, a) }
        fn select_less(a: Four, b: Four, yes: Four, no: Four) -> Four {
            let less = each!(f32x4_lt, a, b);
            let low = [v128_bitselect(yes[0], no[0], less[0]), v128_bitselect(yes[1], no[1], less[1])];
            let third = v128_bitselect(yes[2], no[2], less[2]);
            [low[0], low[1], third, v128_bitselect(yes[3], no[3], less[3])]
        }
        fn any_above(a: Four, b: Four) -> bool {
            let above = each!(f32x4_gt, a, b);
            v128_any_true(v128_or(v128_or(above[0], above[1]), v128_or(above[2], above[3])))
        }
        fn abs(a: Four) -> Four { each!(f32x4_abs, a) }
        fn with_sign(a: Four, b: Four) -> Four {
            each!(v128_or, a, each!(v128_and, b, [f32x4_splat(-0.0); 4]))
        }
        fn max_bits(a: Four, b: Four) -> Four { each!(i32x4_max, a, b) }
        fn scale(v: Four, n: Four) -> Four { Self::mul(v, each!(power_of_two, n)) }
        fn iload(p: *const i32) -> Four { load_64(p) }
        fn istore(p: *mut i32, v: Four) { store_64(p, v) }
        fn isplat(v: i32) -> Four { [i32x4_splat(v); 4] }
        fn iadd(a: Four, b: Four) -> Four { each!(i32x4_add, a, b) }
        fn to_float(a: Four) -> Four { each!(f32x4_convert_i32x4, a) }
        fn activations(p: *const i8) -> v128 { v128_load32_splat(p.cast()) }
        fn weights(p: *const u8) -> Four { load_64(p) }
        fn dot(acc: Four, w: Four, x: v128) -> Four {
            let low = [dot_4(acc[0], w[0], x), dot_4(acc[1], w[1], x)];
            [low[0], low[1], dot_4(acc[2], w[2], x), dot_4(acc[3], w[3], x)]
        }
        fn bytes(p: *const u8) -> Four { load_64(p) }
        fn field(w: Four, shift: i32, mask: u8) -> Four {
            let shifted = |w| {
                let w = if shift > 0 { u8x16_shr(w, shift as u32) } else { w };
                let w = if shift < 0 { i8x16_shl(w, -shift as u32) } else { w };
                v128_and(w, u8x16_splat(mask))
            };
            each!(shifted, w)
        }
        fn or(a: Four, b: Four) -> Four { each!(v128_or, a, b) }
        fn table(p: *const i8) -> Four {
            [v128_xor(v128_load(p.cast()), i8x16_splat(i8::MIN)); 4]
        }
        fn lookup(table: Four, w: Four) -> Four { each!(i8x16_swizzle, table, w) }
        fn shift_right(a: Four, bits: i32) -> Four {
            let shifted = |a| i32x4_shr(a, bits as u32);
            each!(shifted, a)
        }
        fn dot_half(acc: Four, w: Four, x: v128) -> Four { Self::dot(acc, w, x) }
        fn prefetch(_p: *const u8) {}
    }
}
