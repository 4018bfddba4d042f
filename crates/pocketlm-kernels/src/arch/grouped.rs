//! Products with codes of a few bits, written once for all instruction sets and all codes.
//!
//! A code's [`Decode`] says how the lines of a block become bytes that a dot product takes; everything
//! else is shared. At batch 1 fields stay where they lie within their byte, where the dot product allows
//! it: that costs one `and` a line of weights, and the sums of each field are shifted down once a group.
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as the public functions check.
#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed, on purpose")]

use super::lanes::{AHEAD, Lanes};
use super::product::{Batch, Out};
use crate::grouped::{Code, Grouped};
use crate::layout::PANEL_ROWS;

/// How codes become bytes.
trait Decode: Copy {
    const CODE: Code;

    /// The sums of levels × activations over `blocks` blocks of codes at `p` for B vectors, which lie
    /// `stride` apart from `q` on and whose activations add up to `sums`.
    unsafe fn sums<S: Lanes, const B: usize>(
        self,
        p: *const u8,
        q: *const i8,
        stride: usize,
        blocks: usize,
        sums: [i32; B],
    ) -> [S::I; B];
}

/// Sums in the making: four to a vector, of which as many are used as there are registers for.
type Sums<I, const B: usize> = [[I; 4]; B];

/// Adds four columns of weights times activations, found at `q`, to sum `k` of each vector.
#[inline(always)]
unsafe fn add<S: Lanes, const B: usize>(
    acc: &mut Sums<S::I, B>,
    k: usize,
    w: S::W,
    q: *const i8,
    stride: usize,
) {
    let chains = const { if B < 4 { 4 / B } else { 1 } };
    for b in 0..B {
        // SAFETY: four activations of each vector.
        unsafe {
            let x = S::activations(q.add(b * stride));
            acc[b][k % chains] = S::dot_half(acc[b][k % chains], w, x);
        }
    }
}

/// Whether fields stay where they lie within their byte.
const fn in_place<S: Lanes>(batch: usize) -> bool {
    S::BYTES && batch == 1
}

/// step · (the sums of codes × activations) + offset · (the sum of activations).
#[inline(always)]
unsafe fn finish<S: Lanes, const B: usize>(
    acc: Sums<S::I, B>,
    shifts: [i32; 4],
    (step, offset): (i32, i32),
    sums: [i32; B],
) -> [S::I; B] {
    let mut totals = [acc[0][0]; B];
    for b in 0..B {
        let mut parts = acc[b];
        // SAFETY: plain arithmetic.
        unsafe {
            if in_place::<S>(B) {
                for k in 1..4 {
                    parts[k] = S::shift_right(parts[k], shifts[k]);
                }
            }
            let sum = S::iadd(S::iadd(parts[0], parts[1]), S::iadd(parts[2], parts[3]));
            let sum = if step == 2 { S::iadd(sum, sum) } else { sum };
            totals[b] = S::iadd(sum, S::isplat(sums[b].wrapping_mul(offset)));
        }
    }
    totals
}

/// Halves of bytes, 0..=15, less 8.
#[derive(Clone, Copy)]
struct Int4;

impl Decode for Int4 {
    const CODE: Code = Code::Int4;

    #[inline(always)]
    unsafe fn sums<S: Lanes, const B: usize>(
        self,
        p: *const u8,
        q: *const i8,
        stride: usize,
        blocks: usize,
        sums: [i32; B],
    ) -> [S::I; B] {
        // SAFETY: the caller's.
        unsafe { S::half_blocks::<B>(p, q, stride, blocks, sums.map(|sum| sum.wrapping_mul(-8))) }
    }
}

/// Quarters of bytes, 0..=3: times 2 less 3 (int2), or less 1 (ternary).
#[derive(Clone, Copy)]
struct Quarters<const TERNARY: bool>;

impl<const TERNARY: bool> Decode for Quarters<TERNARY> {
    const CODE: Code = if TERNARY { Code::Ternary } else { Code::Int2 };

    #[inline(always)]
    unsafe fn sums<S: Lanes, const B: usize>(
        self,
        p: *const u8,
        q: *const i8,
        stride: usize,
        blocks: usize,
        sums: [i32; B],
    ) -> [S::I; B] {
        // SAFETY: 64 bytes, and 16 activations of each vector, for each block.
        unsafe {
            let mut acc = [[S::isplat(0); 4]; B];
            for block in 0..blocks {
                let p = p.add(block * 64);
                S::prefetch(p.wrapping_add(AHEAD));
                let line = S::bytes(p);
                for k in 0..4 {
                    let shift = 2 * k as i32;
                    let w = if in_place::<S>(B) {
                        S::field(line, 0, 3 << shift)
                    } else {
                        S::field(line, shift, 3)
                    };
                    add::<S, B>(&mut acc, k, w, q.add(block * 16 + 4 * k), stride);
                }
            }
            let affine = if TERNARY { (1, -1) } else { (2, -3) };
            finish::<S, B>(acc, [0, 2, 4, 6], affine, sums)
        }
    }
}

/// Two bits in quarters and a third in a line of its own, less 4.
#[derive(Clone, Copy)]
struct Int3;

/// Quad k of half a block of int3: its low bits at 2k, its third bit at 2k + 2 or, of the last, at 0.
#[inline(always)]
unsafe fn third<S: Lanes>(low: S::W, high: S::W, k: usize, in_place: bool) -> S::W {
    let shift = 2 * k as i32;
    // SAFETY: plain arithmetic.
    unsafe {
        if k == 3 {
            S::or(S::field(low, 6, 3), S::field(high, -2, 4))
        } else if in_place {
            S::or(S::field(low, 0, 3 << shift), S::field(high, 0, 4 << shift))
        } else {
            S::or(S::field(low, shift, 3), S::field(high, shift, 4))
        }
    }
}

impl Decode for Int3 {
    const CODE: Code = Code::Int3;

    #[inline(always)]
    unsafe fn sums<S: Lanes, const B: usize>(
        self,
        p: *const u8,
        q: *const i8,
        stride: usize,
        blocks: usize,
        sums: [i32; B],
    ) -> [S::I; B] {
        // SAFETY: 192 bytes, and 32 activations of each vector, for each block.
        unsafe {
            let mut acc = [[S::isplat(0); 4]; B];
            for block in 0..blocks {
                let p = p.add(block * 192);
                let mut high = S::bytes(p.add(128));
                S::prefetch(p.wrapping_add(AHEAD + 128));
                for half in 0..2 {
                    let line = p.add(half * 64);
                    S::prefetch(line.wrapping_add(AHEAD));
                    let (low, q) = (S::bytes(line), q.add(block * 32 + half * 16));
                    for k in 0..4 {
                        let w = third::<S>(low, high, k, in_place::<S>(B));
                        add::<S, B>(&mut acc, k, w, q.add(4 * k), stride);
                    }
                    high = S::field(high, 1, 0x7f);
                }
            }
            finish::<S, B>(acc, [0, 2, 4, 0], (1, -4), sums)
        }
    }
}

/// Bits, times 2 less 1.
#[derive(Clone, Copy)]
struct Binary;

impl Decode for Binary {
    const CODE: Code = Code::Binary;

    #[inline(always)]
    unsafe fn sums<S: Lanes, const B: usize>(
        self,
        p: *const u8,
        q: *const i8,
        stride: usize,
        blocks: usize,
        sums: [i32; B],
    ) -> [S::I; B] {
        // SAFETY: 64 bytes, and 32 activations of each vector, for each block.
        unsafe {
            let mut acc = [[S::isplat(0); 4]; B];
            for block in 0..blocks {
                let p = p.add(block * 64);
                S::prefetch(p.wrapping_add(AHEAD));
                let line = S::bytes(p);
                // Four fields of a half of a byte stay in place, so that sums need only four registers.
                for half in 0..2 {
                    let bits = S::field(line, 4 * half as i32, 15);
                    for k in 0..4 {
                        let w = if in_place::<S>(B) {
                            S::field(bits, 0, 1 << k)
                        } else {
                            S::field(bits, k as i32, 1)
                        };
                        add::<S, B>(&mut acc, k, w, q.add(block * 32 + half * 16 + 4 * k), stride);
                    }
                }
            }
            finish::<S, B>(acc, [0, 1, 2, 3], (2, -1), sums)
        }
    }
}

/// Halves of bytes that choose among sixteen levels.
#[derive(Clone, Copy)]
struct Codebook(*const i8);

impl Decode for Codebook {
    const CODE: Code = Code::Codebook;

    #[inline(always)]
    unsafe fn sums<S: Lanes, const B: usize>(
        self,
        p: *const u8,
        q: *const i8,
        stride: usize,
        blocks: usize,
        sums: [i32; B],
    ) -> [S::I; B] {
        // SAFETY: 64 bytes, and 8 activations of each vector, for each block; 16 levels.
        unsafe {
            let table = S::table(self.0);
            let mut acc = [[S::isplat(0); 2]; B];
            for b in 0..B {
                let offset = if S::SIGNED { 0 } else { sums[b].wrapping_mul(-128) };
                acc[b][0] = S::isplat(offset);
            }
            for block in 0..blocks {
                let p = p.add(block * 64);
                S::prefetch(p.wrapping_add(AHEAD));
                let line = S::bytes(p);
                for k in 0..2 {
                    let w = S::lookup(table, S::field(line, 4 * k as i32, 15));
                    for b in 0..B {
                        let x = S::activations(q.add(b * stride + block * 8 + 4 * k));
                        let chain = if B < 8 { k } else { 0 };
                        acc[b][chain] = S::dot(acc[b][chain], w, x);
                    }
                }
            }
            acc.map(|[even, odd]| S::iadd(even, odd))
        }
    }
}

/// One panel (number i) × B vectors from number j on.
#[inline(always)]
unsafe fn tile<S: Lanes, D: Decode, const B: usize>(
    decode: D,
    w: &Grouped,
    x: Batch,
    out: Out,
    i: usize,
    j: usize,
) {
    // SAFETY: the tile lies within the matrix and the batch.
    unsafe {
        let batch = x.scales.len();
        let (cols, groups) = (x.q.len() / batch, x.sums.len() / batch);
        let panel = w.bytes.as_ptr().add(i * bytes::<D>(cols));
        let mut total = [S::splat(0.0); B];
        for g in 0..groups {
            let start = g * w.group;
            let mut sums = [0; B];
            for (b, sum) in sums.iter_mut().enumerate() {
                *sum = *x.sums.get_unchecked((j + b) * groups + g);
            }
            let (p, q) = (panel.add(bytes::<D>(start)), x.q.as_ptr().add(j * cols + start));
            // At batch 1 the usual group gets a loop of known length, which unrolls.
            let usual = const { D::CODE.usual_group() / D::CODE.block() };
            let acc = match (cols - start).min(w.group) / D::CODE.block() {
                blocks if B == 1 && blocks == usual => decode.sums::<S, B>(p, q, cols, usual, sums),
                blocks => decode.sums::<S, B>(p, q, cols, blocks, sums),
            };
            let scale = S::load_half(w.scales.as_ptr().add((i * groups + g) * PANEL_ROWS));
            for b in 0..B {
                total[b] = S::add(total[b], S::mul(S::to_float(acc[b]), scale));
            }
        }
        for b in 0..B {
            let scale = S::splat(*x.scales.get_unchecked(j + b));
            out.add::<S>(j + b, i * PANEL_ROWS, S::mul(total[b], scale));
        }
    }
}

/// Bytes of `cols` columns of a panel.
#[inline(always)]
const fn bytes<D: Decode>(cols: usize) -> usize {
    cols * (PANEL_ROWS / 8 * D::CODE.bits())
}

#[inline(always)]
unsafe fn matvec<S: Lanes, D: Decode>(decode: D, w: &Grouped, x: Batch, out: Out) {
    for i in 0..out.rows.div_ceil(PANEL_ROWS) {
        // SAFETY: the panels of the rows, no more.
        unsafe { tile::<S, D, 1>(decode, w, x, out, i, 0) }
    }
}

#[inline(always)]
unsafe fn matmul<S: Lanes, D: Decode>(decode: D, w: &Grouped, x: Batch, out: Out) {
    let batch = x.scales.len();
    for i in 0..out.rows.div_ceil(PANEL_ROWS) {
        let mut j = 0;
        // SAFETY: tiles cover the panels of the rows and the batch, no more.
        unsafe {
            while S::WIDE && j + 8 <= batch {
                tile::<S, D, 8>(decode, w, x, out, i, j);
                j += 8;
            }
            while j + 2 <= batch {
                tile::<S, D, 2>(decode, w, x, out, i, j);
                j += 2;
            }
            while j < batch {
                tile::<S, D, 1>(decode, w, x, out, i, j);
                j += 1;
            }
        }
    }
}

/// Calls `$product` with the decoder of `$w`'s code.
macro_rules! decoded {
    ($product:ident::<$s:ty>, $w:expr, $x:expr, $out:expr) => {
        match $w.code {
            Code::Int4 => $product::<$s, _>(Int4, &$w, $x, $out),
            Code::Int3 => $product::<$s, _>(Int3, &$w, $x, $out),
            Code::Int2 => $product::<$s, _>(Quarters::<false>, &$w, $x, $out),
            Code::Ternary => $product::<$s, _>(Quarters::<true>, &$w, $x, $out),
            Code::Codebook => $product::<$s, _>(Codebook($w.levels.as_ptr()), &$w, $x, $out),
            Code::Binary => $product::<$s, _>(Binary, &$w, $x, $out),
        }
    };
}

#[inline(always)]
pub unsafe fn grouped_matvec<S: Lanes>(
    w: Grouped,
    q: &[i8],
    q_scale: f32,
    q_sums: &[i32],
    out: &mut [f32],
) {
    let x = Batch { q, scales: &[q_scale], sums: q_sums };
    let out = Out { rows: out.len(), p: out.as_mut_ptr() };
    // SAFETY: the caller's.
    unsafe { decoded!(matvec::<S>, w, x, out) }
}

#[inline(always)]
pub unsafe fn grouped_matmul<S: Lanes>(
    w: Grouped,
    q: &[i8],
    q_scales: &[f32],
    q_sums: &[i32],
    out: &mut [f32],
) {
    let x = Batch { q, scales: q_scales, sums: q_sums };
    let out = Out { rows: out.len() / q_scales.len(), p: out.as_mut_ptr() };
    // SAFETY: the caller's.
    unsafe { decoded!(matmul::<S>, w, x, out) }
}
