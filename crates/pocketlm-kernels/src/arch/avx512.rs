//! AVX-512 with VNNI: sixteen lanes are one register.

use core::arch::x86_64::*;

use super::lanes::{Lanes, lanes};
use crate::table::Backend;

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Avx512;

super::table!(
    Avx512,
    Backend::Avx512,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
);

#[inline(always)]
fn int(v: __m512) -> __m512i {
    // SAFETY: a change of type alone; whoever holds a value has the instructions.
    unsafe { _mm512_castps_si512(v) }
}

#[inline(always)]
fn float(v: __m512i) -> __m512 {
    // SAFETY: as `int`.
    unsafe { _mm512_castsi512_ps(v) }
}

/// Blocks of 4 × 4 within quarters of the registers, then the quarters.
#[inline(always)]
unsafe fn transposed(mut m: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the caller has AVX-512.
    unsafe {
        for four in m.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *four;
            let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
            let (low, high) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            let (low_high, high_high) = (_mm512_castps_pd(ab_high), _mm512_castps_pd(cd_high));
            *four = [
                _mm512_castpd_ps(_mm512_unpacklo_pd(low, high)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)),
                _mm512_castpd_ps(_mm512_unpacklo_pd(low_high, high_high)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(low_high, high_high)),
            ];
        }
        let mut columns = m;
        for c in 0..4 {
            let (a, b) = (m[c], m[4 + c]);
            let (d, e) = (m[8 + c], m[12 + c]);
            let (even_ab, odd_ab) =
                (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let (even_de, odd_de) =
                (_mm512_shuffle_f32x4::<0x88>(d, e), _mm512_shuffle_f32x4::<0xdd>(d, e));
            columns[c] = _mm512_shuffle_f32x4::<0x88>(even_ab, even_de);
            columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd_ab, odd_de);
            columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even_ab, even_de);
            columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd_ab, odd_de);
        }
        columns
    }
}

impl Lanes for Avx512 {
    type F = __m512;
    type I = __m512i;
    type W = __m512i;
    type X = __m512i;

    const WIDE: bool = true;
    const SIGNED: bool = false;
    const BYTES: bool = true;

    #[inline(always)]
    #[expect(clippy::pointers_in_nomem_asm_block, reason = "nothing is read or written through it")]
    fn kept(mut p: *const f32) -> *const f32 {
        // SAFETY: no instruction at all.
        unsafe {
            core::arch::asm!("/* {0} */", inout(reg) p, options(nomem, nostack, preserves_flags))
        };
        p
    }

    lanes! {
        fn load(p: *const f32) -> __m512 { _mm512_loadu_ps(p) }
        fn load_half(p: *const u16) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
        fn store(p: *mut f32, v: __m512) { _mm512_storeu_ps(p, v) }
        fn load_first(p: *const f32, n: usize, fill: f32) -> __m512 {
            _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (1 << n) - 1, p)
        }
        fn store_first(p: *mut f32, n: usize, v: __m512) {
            _mm512_mask_storeu_ps(p, (1 << n) - 1, v)
        }
        fn store_i8(p: *mut i8, v: __m512) {
            _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)))
        }
        fn splat(v: f32) -> __m512 { _mm512_set1_ps(v) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn select_less(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes)
        }
        fn any_above(a: __m512, b: __m512) -> bool {
            _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) != 0
        }
        fn abs(a: __m512) -> __m512 {
            float(_mm512_and_si512(int(a), _mm512_set1_epi32(i32::MAX)))
        }
        fn with_sign(a: __m512, b: __m512) -> __m512 {
            let sign = _mm512_and_si512(int(b), _mm512_set1_epi32(i32::MIN));
            float(_mm512_or_si512(int(a), sign))
        }
        fn max_bits(a: __m512, b: __m512) -> __m512 { float(_mm512_max_epi32(int(a), int(b))) }
        fn scale(v: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(v, n) }
        fn transpose(rows: [__m512; 16]) -> [__m512; 16] { transposed(rows) }
        fn iload(p: *const i32) -> __m512i { _mm512_loadu_si512(p.cast()) }
        fn istore(p: *mut i32, v: __m512i) { _mm512_storeu_si512(p.cast(), v) }
        fn isplat(v: i32) -> __m512i { _mm512_set1_epi32(v) }
        fn iadd(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn to_float(a: __m512i) -> __m512 { _mm512_cvtepi32_ps(a) }
        fn activations(p: *const i8) -> __m512i {
            _mm512_set1_epi32(p.cast::<i32>().read_unaligned())
        }
        fn weights(p: *const u8) -> __m512i { _mm512_loadu_si512(p.cast()) }
        fn dot(acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
            _mm512_dpbusd_epi32(acc, w, x)
        }
        fn bytes(p: *const u8) -> __m512i { _mm512_loadu_si512(p.cast()) }
        fn field(w: __m512i, shift: i32, mask: u8) -> __m512i {
            let count = _mm_cvtsi32_si128(shift.abs());
            let w = if shift > 0 { _mm512_srl_epi16(w, count) } else { w };
            let w = if shift < 0 { _mm512_sll_epi16(w, count) } else { w };
            _mm512_and_si512(w, _mm512_set1_epi8(mask as i8))
        }
        fn or(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn table(p: *const i8) -> __m512i {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(p.cast()));
            _mm512_xor_si512(table, _mm512_set1_epi8(i8::MIN))
        }
        fn lookup(table: __m512i, w: __m512i) -> __m512i { _mm512_shuffle_epi8(table, w) }
        fn shift_right(a: __m512i, bits: i32) -> __m512i {
            _mm512_sra_epi32(a, _mm_cvtsi32_si128(bits))
        }
        fn dot_half(acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
            _mm512_dpbusd_epi32(acc, w, x)
        }
        fn prefetch(p: *const u8) { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
}
