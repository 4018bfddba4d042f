//! AVX2, FMA and F16C, with or without AVX-VNNI: sixteen lanes are two registers.

use core::arch::x86_64::*;

use super::lanes::{Lanes, lanes};

/// The instruction set.
#[derive(Clone, Copy)]
pub struct Avx2<const VNNI: bool>;

/// Without the dot-product instruction.
pub mod plain {
    use super::Avx2;
    super::super::table!(
        Avx2<false>,
        crate::table::Backend::Avx2,
        #[target_feature(enable = "avx2,fma,f16c")]
    );
}

/// With it.
pub mod vnni {
    use super::Avx2;
    super::super::table_over!(
        super::plain::TABLE,
        Avx2<true>,
        crate::table::Backend::AvxVnni,
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    );
}

type F = (__m256, __m256);
type I = (__m256i, __m256i);

#[inline(always)]
fn int(v: __m256) -> __m256i {
    // SAFETY: a change of type alone; whoever holds a value has the instructions.
    unsafe { _mm256_castps_si256(v) }
}

#[inline(always)]
fn float(v: __m256i) -> __m256 {
    // SAFETY: as `int`.
    unsafe { _mm256_castsi256_ps(v) }
}

/// Eight lanes of a dot product of bytes 0..=255 and signed bytes.
///
/// `maddubs` would saturate: even and odd bytes are widened and multiplied apart.
#[inline(always)]
unsafe fn dot_8(acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
    // SAFETY: the caller has AVX2.
    unsafe {
        let w_even = _mm256_and_si256(w, _mm256_set1_epi16(0xff));
        let w_odd = _mm256_srli_epi16::<8>(w);
        let x_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x));
        let x_odd = _mm256_srai_epi16::<8>(x);
        let even = _mm256_madd_epi16(w_even, x_even);
        let odd = _mm256_madd_epi16(w_odd, x_odd);
        _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
    }
}

/// Sums of pairs of products of bytes and signed bytes, so small that `maddubs` does not saturate.
#[inline(always)]
unsafe fn pairs(w: I, x: __m256i) -> I {
    // SAFETY: the caller has AVX2.
    unsafe { (_mm256_maddubs_epi16(w.0, x), _mm256_maddubs_epi16(w.1, x)) }
}

#[inline(always)]
unsafe fn add_16(a: I, b: I) -> I {
    // SAFETY: the caller has AVX2.
    unsafe { (_mm256_add_epi16(a.0, b.0), _mm256_add_epi16(a.1, b.1)) }
}

/// Adds sums of pairs, widened.
#[inline(always)]
unsafe fn add_pairs(acc: I, pairs: I) -> I {
    // SAFETY: the caller has AVX2.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let low = _mm256_add_epi32(acc.0, _mm256_madd_epi16(pairs.0, ones));
        (low, _mm256_add_epi32(acc.1, _mm256_madd_epi16(pairs.1, ones)))
    }
}

#[inline(always)]
unsafe fn load_256(p: *const u8) -> I {
    // SAFETY: 64 bytes.
    unsafe { (_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())) }
}

/// Blocks of 4 × 4 within halves of the registers, then the halves.
#[inline(always)]
unsafe fn transpose_8(mut m: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller has AVX2.
    unsafe {
        for four in m.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *four;
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            *four = [
                _mm256_shuffle_ps::<0x44>(ab, cd),
                _mm256_shuffle_ps::<0xee>(ab, cd),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
            ];
        }
        let mut columns = m;
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(m[c], m[4 + c]);
            columns[4 + c] = _mm256_permute2f128_ps::<0x31>(m[c], m[4 + c]);
        }
        columns
    }
}

/// Sixteen rows as four blocks of 8 × 8.
#[inline(always)]
unsafe fn transposed(rows: [F; 16]) -> [F; 16] {
    let mut columns = rows;
    for (low, right) in [(true, 0), (false, 8)] {
        let half = |v: F| if low { v.0 } else { v.1 };
        let mut blocks = [[half(rows[0]); 8]; 2];
        for (i, block) in blocks.iter_mut().enumerate() {
            for (r, row) in block.iter_mut().enumerate() {
                *row = half(rows[i * 8 + r]);
            }
        }
        // SAFETY: the caller has AVX2.
        let (top, bottom) = unsafe { (transpose_8(blocks[0]), transpose_8(blocks[1])) };
        for c in 0..8 {
            columns[right + c] = (top[c], bottom[c]);
        }
    }
    columns
}

impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    type F = F;
    type I = I;
    type W = I;
    type X = __m256i;

    const WIDE: bool = false;
    const COSTLY_X: bool = !VNNI;
    const SMALL: bool = !VNNI;
    const SIGNED: bool = false;
    const BYTES: bool = VNNI;
    const NARROW: i32 = if VNNI { i32::MAX } else { i16::MAX as i32 };

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
        fn load(p: *const f32) -> F { (_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))) }
        fn load_first(p: *const f32, n: usize, fill: f32) -> F {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let part = |p: *const f32, n: i32| {
                let there = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lanes);
                _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, there), float(there))
            };
            (part(p, n as i32), part(p.wrapping_add(8), n as i32 - 8))
        }
        fn load_half(p: *const u16) -> F {
            let (low, high) = (_mm_loadu_si128(p.cast()), _mm_loadu_si128(p.add(8).cast()));
            (_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
        }
        fn store(p: *mut f32, v: F) {
            _mm256_storeu_ps(p, v.0);
            _mm256_storeu_ps(p.add(8), v.1)
        }
        fn store_i8(p: *mut i8, v: F) {
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.0), _mm256_cvtps_epi32(v.1));
            // Packing works within halves of the register: put the quarters back in order.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let high = _mm256_extracti128_si256::<1>(words);
            _mm_storeu_si128(p.cast(), _mm_packs_epi16(_mm256_castsi256_si128(words), high))
        }
        fn splat(v: f32) -> F { (_mm256_set1_ps(v), _mm256_set1_ps(v)) }
        fn add(a: F, b: F) -> F { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
        fn sub(a: F, b: F) -> F { (_mm256_sub_ps(a.0, b.0), _mm256_sub_ps(a.1, b.1)) }
        fn mul(a: F, b: F) -> F { (_mm256_mul_ps(a.0, b.0), _mm256_mul_ps(a.1, b.1)) }
        fn div(a: F, b: F) -> F { (_mm256_div_ps(a.0, b.0), _mm256_div_ps(a.1, b.1)) }
        fn mul_add(a: F, b: F, c: F) -> F {
            (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1))
        }
        fn transpose(rows: [F; 16]) -> [F; 16] { transposed(rows) }
        fn min(a: F, b: F) -> F { (_mm256_min_ps(a.0, b.0), _mm256_min_ps(a.1, b.1)) }
        fn max(a: F, b: F) -> F { (_mm256_max_ps(a.0, b.0), _mm256_max_ps(a.1, b.1)) }
        fn select_less(a: F, b: F, yes: F, no: F) -> F {
            let less = (_mm256_cmp_ps::<_CMP_LT_OQ>(a.0, b.0), _mm256_cmp_ps::<_CMP_LT_OQ>(a.1, b.1));
            (_mm256_blendv_ps(no.0, yes.0, less.0), _mm256_blendv_ps(no.1, yes.1, less.1))
        }
        fn any_above(a: F, b: F) -> bool {
            let low = _mm256_cmp_ps::<_CMP_GT_OQ>(a.0, b.0);
            let high = _mm256_cmp_ps::<_CMP_GT_OQ>(a.1, b.1);
            _mm256_movemask_ps(_mm256_or_ps(low, high)) != 0
        }
        fn abs(a: F) -> F {
            let mask = float(_mm256_set1_epi32(i32::MAX));
            (_mm256_and_ps(a.0, mask), _mm256_and_ps(a.1, mask))
        }
        fn with_sign(a: F, b: F) -> F {
            let mask = _mm256_set1_ps(-0.0);
            let low = _mm256_or_ps(a.0, _mm256_and_ps(b.0, mask));
            (low, _mm256_or_ps(a.1, _mm256_and_ps(b.1, mask)))
        }
        fn max_bits(a: F, b: F) -> F {
            let low = _mm256_max_epi32(int(a.0), int(b.0));
            (float(low), float(_mm256_max_epi32(int(a.1), int(b.1))))
        }
        fn scale(v: F, n: F) -> F {
            let bias = Self::splat(crate::naive::ROUND + 127.0);
            let n = Self::add(n, bias);
            let low = float(_mm256_slli_epi32::<23>(int(n.0)));
            Self::mul(v, (low, float(_mm256_slli_epi32::<23>(int(n.1)))))
        }
        fn iload(p: *const i32) -> I { load_256(p.cast()) }
        fn istore(p: *mut i32, v: I) {
            _mm256_storeu_si256(p.cast(), v.0);
            _mm256_storeu_si256(p.add(8).cast(), v.1)
        }
        fn isplat(v: i32) -> I { (_mm256_set1_epi32(v), _mm256_set1_epi32(v)) }
        fn iadd(a: I, b: I) -> I { (_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)) }
        fn to_float(a: I) -> F { (_mm256_cvtepi32_ps(a.0), _mm256_cvtepi32_ps(a.1)) }
        fn activations(p: *const i8) -> __m256i {
            _mm256_set1_epi32(p.cast::<i32>().read_unaligned())
        }
        fn weights(p: *const u8) -> I { load_256(p) }
        fn dot(acc: I, w: I, x: __m256i) -> I {
            if VNNI {
                let low = _mm256_dpbusd_avx_epi32(acc.0, w.0, x);
                return (low, _mm256_dpbusd_avx_epi32(acc.1, w.1, x));
            }
            (dot_8(acc.0, w.0, x), dot_8(acc.1, w.1, x))
        }
        fn dot_small(acc: I, w: I, x: __m256i) -> I { add_pairs(acc, pairs(w, x)) }
        fn large(p: *const i8) -> u32 {
            let (x, zero) = (_mm_loadu_si128(p.cast()), _mm_setzero_si128());
            let pairs = |magnitudes| _mm_maddubs_epi16(magnitudes, _mm_set1_epi8(1));
            let above = pairs(_mm_max_epi8(x, zero));
            let below = pairs(_mm_sub_epi8(zero, _mm_min_epi8(x, zero)));
            let most = _mm_max_epi16(above, below);
            _mm_movemask_epi8(_mm_cmpgt_epi16(most, _mm_set1_epi16(128))) as u32
        }
        fn bytes(p: *const u8) -> I { load_256(p) }
        fn field(w: I, shift: i32, mask: u8) -> I {
            let count = _mm_cvtsi32_si128(shift.abs());
            let shifted = |w| {
                let w = if shift > 0 { _mm256_srl_epi16(w, count) } else { w };
                let w = if shift < 0 { _mm256_sll_epi16(w, count) } else { w };
                _mm256_and_si256(w, _mm256_set1_epi8(mask as i8))
            };
            (shifted(w.0), shifted(w.1))
        }
        fn or(a: I, b: I) -> I { (_mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1)) }
        fn table(p: *const i8) -> I {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(p.cast()));
            let table = _mm256_xor_si256(table, _mm256_set1_epi8(i8::MIN));
            (table, table)
        }
        fn lookup(table: I, w: I) -> I {
            (_mm256_shuffle_epi8(table.0, w.0), _mm256_shuffle_epi8(table.1, w.1))
        }
        fn shift_right(a: I, bits: i32) -> I {
            let count = _mm_cvtsi32_si128(bits);
            (_mm256_sra_epi32(a.0, count), _mm256_sra_epi32(a.1, count))
        }
        fn dot_half(acc: I, w: I, x: __m256i) -> I {
            if VNNI {
                return Self::dot(acc, w, x);
            }
            add_16(acc, pairs(w, x))
        }
        fn widen(acc: I, narrow: I) -> I {
            if VNNI { Self::iadd(acc, narrow) } else { add_pairs(acc, narrow) }
        }
        fn prefetch(p: *const u8) { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
}
