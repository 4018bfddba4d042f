//! NEON, with or without the dot-product instructions: sixteen lanes are four registers.

use core::arch::aarch64::*;
use core::arch::asm;

use super::lanes::{Lanes, lanes};

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Neon<const DOT: bool>;

/// Without the dot-product instructions.
pub mod plain {
    use super::Neon;
    super::super::table!(
        Neon<false>,
        crate::table::Backend::Neon,
        #[target_feature(enable = "neon")]
    );
}

/// With them.
pub mod dot {
    use super::Neon;
    super::super::table_over!(
        super::plain::TABLE,
        Neon<true>,
        crate::table::Backend::NeonDot,
        #[target_feature(enable = "neon,dotprod")]
    );
}

/// Whether the dot-product instructions are there: as the build says, or, with the standard library,
/// as the operating system says.
pub fn has_dot_product() -> bool {
    #[cfg(any(test, feature = "std"))]
    let detected = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(any(test, feature = "std")))]
    let detected = false;
    cfg!(target_feature = "dotprod") || detected
}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];

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

/// Four half-precision numbers made single.
#[inline(always)]
unsafe fn widen(half: uint16x4_t) -> float32x4_t {
    let single: float32x4_t;
    // SAFETY: the instruction is part of NEON and touches registers alone.
    unsafe {
        asm!(
            "fcvtl {single:v}.4s, {half:v}.4h",
            single = lateout(vreg) single,
            half = in(vreg) half,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    single
}

/// `sdot`: the intrinsic is not stable yet.
#[inline(always)]
unsafe fn sdot(acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    let mut sum = acc;
    // SAFETY: only reached with the dot-product instructions; touches registers alone.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum,
            w = in(vreg) w,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// The same by widening products: pairs are added in 32 bits, so nothing overflows.
#[inline(always)]
unsafe fn widening_dot(acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x)));
        let high = vpaddlq_s16(vmull_high_s8(w, x));
        vaddq_s32(acc, vpaddq_s32(low, high))
    }
}

#[inline(always)]
unsafe fn load_64(p: *const u8) -> [uint8x16_t; 4] {
    // SAFETY: 64 bytes.
    unsafe { [vld1q_u8(p), vld1q_u8(p.add(16)), vld1q_u8(p.add(32)), vld1q_u8(p.add(48))] }
}

#[inline(always)]
unsafe fn select(mask: uint32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe { vbslq_f32(mask, yes, no) }
}

#[inline(always)]
unsafe fn power_of_two(n: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is always there.
    unsafe {
        let biased = vaddq_f32(n, vdupq_n_f32(crate::naive::ROUND + 127.0));
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(biased)))
    }
}

impl<const DOT: bool> Lanes for Neon<DOT> {
    type F = F;
    type I = I;
    type W = [int8x16_t; 4];
    type X = int8x16_t;

    const WIDE: bool = false;
    const SIGNED: bool = true;
    const BYTES: bool = false;

    lanes! {
        fn load(p: *const f32) -> F {
            [vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))]
        }
        fn load_half(p: *const u16) -> F {
            let low = [widen(vld1_u16(p)), widen(vld1_u16(p.add(4)))];
            [low[0], low[1], widen(vld1_u16(p.add(8))), widen(vld1_u16(p.add(12)))]
        }
        fn store(p: *mut f32, v: F) {
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
            vst1q_f32(p.add(8), v[2]);
            vst1q_f32(p.add(12), v[3])
        }
        fn store_i8(p: *mut i8, v: F) {
            let v = each!(vcvtnq_s32_f32, v);
            let low = vmovn_s16(vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1])));
            let high = vmovn_s16(vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3])));
            vst1q_s8(p, vcombine_s8(low, high))
        }
        fn splat(v: f32) -> F { [vdupq_n_f32(v); 4] }
        fn add(a: F, b: F) -> F { each!(vaddq_f32, a, b) }
        fn sub(a: F, b: F) -> F { each!(vsubq_f32, a, b) }
        fn mul(a: F, b: F) -> F { each!(vmulq_f32, a, b) }
        fn div(a: F, b: F) -> F { each!(vdivq_f32, a, b) }
        fn mul_add(a: F, b: F, c: F) -> F {
            let low = [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])];
            [low[0], low[1], vfmaq_f32(c[2], a[2], b[2]), vfmaq_f32(c[3], a[3], b[3])]
        }
        fn min(a: F, b: F) -> F { Self::select_less(a, b, a, b) }
        fn max(a: F, b: F) -> F { Self::select_less(b, a, a, b) }
        fn select_less(a: F, b: F, yes: F, no: F) -> F {
            let less = each!(vcltq_f32, a, b);
            let low = [select(less[0], yes[0], no[0]), select(less[1], yes[1], no[1])];
            [low[0], low[1], select(less[2], yes[2], no[2]), select(less[3], yes[3], no[3])]
        }
        fn any_above(a: F, b: F) -> bool {
            let above = each!(vcgtq_f32, a, b);
            let any = vorrq_u32(vorrq_u32(above[0], above[1]), vorrq_u32(above[2], above[3]));
            vmaxvq_u32(any) != 0
        }
        fn abs(a: F) -> F { each!(vabsq_f32, a) }
        fn with_sign(a: F, b: F) -> F {
            let sign = vdupq_n_u32(1 << 31);
            let low = [vbslq_f32(sign, b[0], a[0]), vbslq_f32(sign, b[1], a[1])];
            [low[0], low[1], vbslq_f32(sign, b[2], a[2]), vbslq_f32(sign, b[3], a[3])]
        }
        fn max_bits(a: F, b: F) -> F {
            let (a, b) = (each!(vreinterpretq_u32_f32, a), each!(vreinterpretq_u32_f32, b));
            each!(vreinterpretq_f32_u32, each!(vmaxq_u32, a, b))
        }
        fn scale(v: F, n: F) -> F { Self::mul(v, each!(power_of_two, n)) }
        fn iload(p: *const i32) -> I {
            [vld1q_s32(p), vld1q_s32(p.add(4)), vld1q_s32(p.add(8)), vld1q_s32(p.add(12))]
        }
        fn istore(p: *mut i32, v: I) {
            vst1q_s32(p, v[0]);
            vst1q_s32(p.add(4), v[1]);
            vst1q_s32(p.add(8), v[2]);
            vst1q_s32(p.add(12), v[3])
        }
        fn isplat(v: i32) -> I { [vdupq_n_s32(v); 4] }
        fn iadd(a: I, b: I) -> I { each!(vaddq_s32, a, b) }
        fn to_float(a: I) -> F { each!(vcvtq_f32_s32, a) }
        fn activations(p: *const i8) -> int8x16_t {
            vreinterpretq_s8_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned()))
        }
        fn weights(p: *const u8) -> [int8x16_t; 4] {
            let w = load_64(p);
            let flip = [vdupq_n_u8(0x80); 4];
            each!(vreinterpretq_s8_u8, each!(veorq_u8, w, flip))
        }
        fn dot(acc: I, w: [int8x16_t; 4], x: int8x16_t) -> I {
            if DOT {
                let low = [sdot(acc[0], w[0], x), sdot(acc[1], w[1], x)];
                return [low[0], low[1], sdot(acc[2], w[2], x), sdot(acc[3], w[3], x)];
            }
            let low = [widening_dot(acc[0], w[0], x), widening_dot(acc[1], w[1], x)];
            [low[0], low[1], widening_dot(acc[2], w[2], x), widening_dot(acc[3], w[3], x)]
        }
        fn bytes(p: *const u8) -> [int8x16_t; 4] { each!(vreinterpretq_s8_u8, load_64(p)) }
        fn field(w: [int8x16_t; 4], shift: i32, mask: u8) -> [int8x16_t; 4] {
            let mut w = each!(vreinterpretq_u8_s8, w);
            if shift != 0 {
                w = each!(vshlq_u8, w, [vdupq_n_s8(-shift as i8); 4]);
            }
            // The highest field is alone once it is shifted down.
            if shift < 0 || mask != 0xff >> shift {
                w = each!(vandq_u8, w, [vdupq_n_u8(mask); 4]);
            }
            each!(vreinterpretq_s8_u8, w)
        }
        fn or(a: [int8x16_t; 4], b: [int8x16_t; 4]) -> [int8x16_t; 4] { each!(vorrq_s8, a, b) }
        fn table(p: *const i8) -> [int8x16_t; 4] { [vld1q_s8(p); 4] }
        fn lookup(table: [int8x16_t; 4], w: [int8x16_t; 4]) -> [int8x16_t; 4] {
            each!(vqtbl1q_s8, table, each!(vreinterpretq_u8_s8, w))
        }
        fn shift_right(a: I, bits: i32) -> I { each!(vshlq_s32, a, [vdupq_n_s32(-bits); 4]) }
        fn dot_half(acc: I, w: [int8x16_t; 4], x: int8x16_t) -> I { Self::dot(acc, w, x) }
        fn prefetch(p: *const u8) {
            asm!("prfm pldl1strm, [{p}]", p = in(reg) p, options(nostack, preserves_flags, readonly))
        }
    }
}
