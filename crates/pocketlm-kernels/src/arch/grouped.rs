//! Products with codes of a few bits, written once for all instruction sets and all codes.
//!
//! A code's [`Fields`] say how the lines of a block become bytes that a dot product takes; everything
//! else is shared. At batch 1 fields stay where they lie within their byte, where the dot product allows
//! it: that costs one `and` a line of weights, and the sums of each field are shifted down once a group.
//! Where there is no dot product of bytes, sums stay narrow for as many blocks as fit, and two panels share
//! what is made of the activations.
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as the public functions check.
#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed, on purpose")]

use super::lanes::{AHEAD, Lanes};
use super::product::{Batch, Out};
use crate::code::{Code, Grouped};
use crate::layout::PANEL_ROWS;

/// How the sums of a code come about.
trait Decode: Copy {
    const CODE: Code;

    /// The sums of levels × activations over `blocks` blocks of codes of P panels, which begin `apart` bytes from
    /// each other from `p` on, for B vectors, which lie `stride` apart from `q` on and whose activations add up to
    /// `sums`.
    unsafe fn sums<S: Lanes, const P: usize, const B: usize>(
        self,
        panels: (*const u8, usize),
        vectors: (*const i8, usize),
        blocks: usize,
        sums: [i32; B],
    ) -> [[S::I; B]; P];
}

/// Sums in the making: four to a vector, of which as many are used as there are registers for.
type Sums<I, const B: usize> = [[I; 4]; B];

/// A code of even steps, whose bytes hold several fields.
trait Fields: Copy {
    const CODE: Code;
    /// By how much the sums of each field are too large, in bits, where fields stay in place.
    const SHIFTS: [i32; 4];

    /// Adds the products of a block at `p` with as many activations of each vector.
    unsafe fn add<S: Lanes, const B: usize>(
        acc: &mut Sums<S::I, B>,
        p: *const u8,
        vectors: (*const i8, usize),
    );
}

impl<D: Fields> Decode for D {
    const CODE: Code = D::CODE;

    #[inline(always)]
    unsafe fn sums<S: Lanes, const P: usize, const B: usize>(
        self,
        (p, apart): (*const u8, usize),
        (q, stride): (*const i8, usize),
        blocks: usize,
        sums: [i32; B],
    ) -> [[S::I; B]; P] {
        // SAFETY: the caller's.
        unsafe {
            let mut totals = [[S::isplat(0); B]; P];
            let mut done = 0;
            while done < blocks {
                let run = (blocks - done).min(const { run::<S>(D::CODE, B) });
                let mut acc = [[[S::isplat(0); 4]; B]; P];
                if const { starts_offset::<S, D>() } {
                    for b in 0..B {
                        let start = S::isplat(sums[b].wrapping_mul(const { steps::<D>()[1] }));
                        acc.iter_mut().for_each(|acc| acc[b][0] = start);
                    }
                }
                for block in done..done + run {
                    let q = q.add(block * const { D::CODE.block() });
                    for i in 0..P {
                        let p = p.add(i * apart + block * const { bytes::<D>(D::CODE.block()) });
                        D::add::<S, B>(&mut acc[i], p, (q, stride));
                    }
                }
                for i in 0..P {
                    for b in 0..B {
                        totals[i][b] = gather::<S, D, B>(totals[i][b], acc[i][b]);
                    }
                }
                done += run;
            }
            if const { starts_offset::<S, D>() } {
                return totals;
            }
            for i in 0..P {
                for b in 0..B {
                    let sum = totals[i][b];
                    let sum = if const { steps::<D>()[0] == 2 } { S::iadd(sum, sum) } else { sum };
                    totals[i][b] =
                        S::iadd(sum, S::isplat(sums[b].wrapping_mul(const { steps::<D>()[1] })));
                }
            }
            totals
        }
    }
}

/// From one level of a code to the next, and the lowest.
const fn steps<D: Fields>() -> [i32; 2] {
    let steps = D::CODE.steps().expect("the levels of a codebook are no fields");
    [steps.step as i32, steps.offset as i32]
}

/// Whether the offset of the levels can be where sums start, which saves adding it: of the sums of the first field,
/// which are never shifted.
const fn starts_offset<S: Lanes, D: Fields>() -> bool {
    S::NARROW == i32::MAX && steps::<D>()[0] == 1
}

/// How many products of four columns narrow sums hold: each takes two columns, times at most 128.
const fn held<S: Lanes>(code: Code) -> usize {
    S::NARROW as usize / (((1 << code.bits()) - 1) * 2 * 128)
}

/// Blocks that narrow sums hold.
const fn run<S: Lanes>(code: Code, batch: usize) -> usize {
    let products = code.block() / 4;
    if S::NARROW == i32::MAX {
        usize::MAX
    } else {
        held::<S>(code) * chains::<S>(code, batch) / products
    }
}

/// How many of the sums in the making of a vector are used: narrow ones as many as hold a block.
const fn chains<S: Lanes>(code: Code, batch: usize) -> usize {
    match S::NARROW {
        i32::MAX if batch < 4 => 4 / batch,
        i32::MAX => 1,
        _ => (code.block() / 4).div_ceil(held::<S>(code)).next_power_of_two(),
    }
}

/// Adds four columns of weights times activations, found at `q`, to sum `k` of each vector.
#[inline(always)]
unsafe fn add<S: Lanes, D: Fields, const B: usize>(
    acc: &mut Sums<S::I, B>,
    k: usize,
    w: S::W,
    (q, stride): (*const i8, usize),
) {
    let k = k % const { chains::<S>(D::CODE, B) };
    for b in 0..B {
        // SAFETY: four activations of each vector.
        unsafe { acc[b][k] = S::dot_half(acc[b][k], w, S::activations(q.add(b * stride))) }
    }
}

/// Whether fields stay where they lie within their byte. This and the properties of a code are asked for in `const`
/// blocks: a build without link-time optimisation would call them, for every block.
const fn in_place<S: Lanes>(batch: usize) -> bool {
    S::BYTES && batch == 1
}

/// Adds a vector's sums in the making to its total.
#[inline(always)]
unsafe fn gather<S: Lanes, D: Fields, const B: usize>(total: S::I, mut parts: [S::I; 4]) -> S::I {
    // SAFETY: plain arithmetic.
    unsafe {
        if const { in_place::<S>(B) } {
            for k in 1..4 {
                parts[k] = S::shift_right(parts[k], D::SHIFTS[k]);
            }
        }
        let mut total = total;
        for k in 0..const { chains::<S>(D::CODE, B) } {
            total = S::widen(total, parts[k]);
        }
        total
    }
}

/// Adds the products of a block whose bytes are fields of BITS bits, field k of four columns each.
#[inline(always)]
unsafe fn add_fields<S: Lanes, D: Fields, const BITS: usize, const B: usize>(
    acc: &mut Sums<S::I, B>,
    p: *const u8,
    (q, stride): (*const i8, usize),
) {
    // SAFETY: 64 bytes, and four activations of each vector for each field.
    unsafe {
        S::prefetch(p.wrapping_add(AHEAD));
        let line = S::bytes(p);
        let mask = const { (1 << BITS) - 1 };
        for k in 0..const { 8 / BITS } {
            let shift = (BITS * k) as i32;
            let w = if const { in_place::<S>(B) } {
                S::field(line, 0, mask << shift)
            } else {
                S::field(line, shift, mask)
            };
            add::<S, D, B>(acc, k, w, (q.add(4 * k), stride));
        }
    }
}

/// Halves of bytes, and below each a bit in a line of its own, less 16.
#[derive(Clone, Copy)]
struct Int5;

impl Fields for Int5 {
    const CODE: Code = Code::Int5;
    const SHIFTS: [i32; 4] = [0, 3, 0, 3];

    #[inline(always)]
    unsafe fn add<S: Lanes, const B: usize>(
        acc: &mut Sums<S::I, B>,
        p: *const u8,
        (q, stride): (*const i8, usize),
    ) {
        // SAFETY: 320 bytes, and 32 activations of each vector.
        unsafe {
            let low = S::bytes(p.add(256));
            S::prefetch(p.wrapping_add(AHEAD + 256));
            for k in 0..4 {
                let (line, quad) = (p.add(64 * k), 2 * k as i32);
                S::prefetch(line.wrapping_add(AHEAD));
                let (high, q) = (S::bytes(line), q.add(8 * k));
                let w = S::or(S::field(high, -1, 0x1e), S::field(low, quad, 1));
                add::<S, Self, B>(acc, 2 * k, w, (q, stride));
                let w = if const { in_place::<S>(B) } {
                    S::or(S::field(high, 0, 0xf0), S::field(low, quad - 2, 8))
                } else {
                    S::or(S::field(high, 3, 0x1e), S::field(low, quad + 1, 1))
                };
                add::<S, Self, B>(acc, 2 * k + 1, w, (q.add(4), stride));
            }
        }
    }
}

/// Halves of bytes, 0..=15, less 8.
#[derive(Clone, Copy)]
struct Int4;

impl Fields for Int4 {
    const CODE: Code = Code::Int4;
    const SHIFTS: [i32; 4] = [0, 4, 0, 0];

    #[inline(always)]
    unsafe fn add<S: Lanes, const B: usize>(
        acc: &mut Sums<S::I, B>,
        p: *const u8,
        vectors: (*const i8, usize),
    ) {
        // SAFETY: the caller's.
        unsafe { add_fields::<S, Self, 4, B>(acc, p, vectors) }
    }
}

/// Quarters of bytes, 0..=3: times 2 less 3 (int2), or less 1 (ternary).
#[derive(Clone, Copy)]
struct Quarters<const TERNARY: bool>;

impl<const TERNARY: bool> Fields for Quarters<TERNARY> {
    const CODE: Code = if TERNARY { Code::Ternary } else { Code::Int2 };
    const SHIFTS: [i32; 4] = [0, 2, 4, 6];

    #[inline(always)]
    unsafe fn add<S: Lanes, const B: usize>(
        acc: &mut Sums<S::I, B>,
        p: *const u8,
        vectors: (*const i8, usize),
    ) {
        // SAFETY: the caller's.
        unsafe { add_fields::<S, Self, 2, B>(acc, p, vectors) }
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

impl Fields for Int3 {
    const CODE: Code = Code::Int3;
    const SHIFTS: [i32; 4] = [0, 2, 4, 0];

    #[inline(always)]
    unsafe fn add<S: Lanes, const B: usize>(
        acc: &mut Sums<S::I, B>,
        p: *const u8,
        (q, stride): (*const i8, usize),
    ) {
        // SAFETY: 192 bytes, and 32 activations of each vector.
        unsafe {
            let mut high = S::bytes(p.add(128));
            S::prefetch(p.wrapping_add(AHEAD + 128));
            for half in 0..2 {
                let line = p.add(half * 64);
                S::prefetch(line.wrapping_add(AHEAD));
                let (low, q) = (S::bytes(line), q.add(half * 16));
                for k in 0..4 {
                    let w = third::<S>(low, high, k, const { in_place::<S>(B) });
                    add::<S, Self, B>(acc, k, w, (q.add(4 * k), stride));
                }
                high = S::field(high, 1, 0x7f);
            }
        }
    }
}

/// Bits, times 2 less 1.
#[derive(Clone, Copy)]
struct Binary;

impl Fields for Binary {
    const CODE: Code = Code::Binary;
    const SHIFTS: [i32; 4] = [0, 1, 2, 3];

    #[inline(always)]
    unsafe fn add<S: Lanes, const B: usize>(
        acc: &mut Sums<S::I, B>,
        p: *const u8,
        (q, stride): (*const i8, usize),
    ) {
        // SAFETY: 64 bytes, and 32 activations of each vector.
        unsafe {
            S::prefetch(p.wrapping_add(AHEAD));
            let line = S::bytes(p);
            // Four fields of a half of a byte stay in place, so that sums need only four registers.
            for half in 0..2 {
                let bits = S::field(line, 4 * half as i32, 15);
                for k in 0..4 {
                    let w = if const { in_place::<S>(B) } {
                        S::field(bits, 0, 1 << k)
                    } else {
                        S::field(bits, k as i32, 1)
                    };
                    add::<S, Self, B>(acc, k, w, (q.add(half * 16 + 4 * k), stride));
                }
            }
        }
    }
}

/// Halves of bytes that choose among sixteen levels.
#[derive(Clone, Copy)]
struct Codebook(*const i8);

impl Decode for Codebook {
    const CODE: Code = Code::Codebook;

    #[inline(always)]
    unsafe fn sums<S: Lanes, const P: usize, const B: usize>(
        self,
        (p, apart): (*const u8, usize),
        (q, stride): (*const i8, usize),
        blocks: usize,
        sums: [i32; B],
    ) -> [[S::I; B]; P] {
        // SAFETY: 64 bytes of each panel, and 8 activations of each vector, for each block; 16 levels.
        unsafe {
            let table = S::table(self.0);
            let mut acc = [[[S::isplat(0); 2]; B]; P];
            for b in 0..B {
                let offset = if S::SIGNED { 0 } else { sums[b].wrapping_mul(-128) };
                for i in 0..P {
                    acc[i][b][0] = S::isplat(offset);
                }
            }
            for block in 0..blocks {
                for i in 0..P {
                    let p = p.add(i * apart + block * 64);
                    S::prefetch(p.wrapping_add(AHEAD));
                    let line = S::bytes(p);
                    for k in 0..2 {
                        let w = S::lookup(table, S::field(line, 4 * k as i32, 15));
                        for b in 0..B {
                            let x = S::activations(q.add(b * stride + block * 8 + 4 * k));
                            let chain = if B < 8 { k } else { 0 };
                            acc[i][b][chain] = S::dot(acc[i][b][chain], w, x);
                        }
                    }
                }
            }
            let mut totals = [[acc[0][0][0]; B]; P];
            for i in 0..P {
                for b in 0..B {
                    totals[i][b] = S::iadd(acc[i][b][0], acc[i][b][1]);
                }
            }
            totals
        }
    }
}

/// P panels from number i on × B vectors from number j on.
#[inline(always)]
unsafe fn tile<S: Lanes, D: Decode, const P: usize, const B: usize>(
    decode: D,
    w: &Grouped,
    x: Batch,
    out: Out,
    i: usize,
    j: usize,
) {
    // SAFETY: the tile lies within the matrix and the batch.
    unsafe {
        let cols = x.q.len() / x.scales.len();
        out.ask::<S, P, B>(j, i * PANEL_ROWS);
        let mut total = [[S::splat(0.0); B]; P];
        // At batch 1 usual groups get a loop of known length, which unrolls; the last few panels need none.
        let usual = const { D::CODE.usual_group() };
        let unrolls = const { B == 1 && P == side_by_side::<S, D>() };
        let unrolled = if unrolls && w.group == usual { cols / usual } else { 0 };
        for g in 0..unrolled {
            group::<S, D, P, B>(decode, w, x, (i, j), (g, usual), &mut total);
        }
        for g in unrolled..x.sums.len() / x.scales.len() {
            let width = (cols - g * w.group).min(w.group);
            group::<S, D, P, B>(decode, w, x, (i, j), (g, width), &mut total);
        }
        for b in 0..B {
            let scale = S::splat(*x.scales.get_unchecked(j + b));
            for p in 0..P {
                out.add::<S>(j + b, (i + p) * PANEL_ROWS, S::mul(total[p][b], scale));
            }
        }
    }
}

/// Adds group `g`, which is `width` columns wide, to a tile's totals.
#[inline(always)]
unsafe fn group<S: Lanes, D: Decode, const P: usize, const B: usize>(
    decode: D,
    w: &Grouped,
    x: Batch,
    (i, j): (usize, usize),
    (g, width): (usize, usize),
    total: &mut [[S::F; B]; P],
) {
    // SAFETY: the tile lies within the matrix and the batch, the group within the columns.
    unsafe {
        let batch = x.scales.len();
        let (cols, groups, start) = (x.q.len() / batch, x.sums.len() / batch, g * w.group);
        let mut sums = [0; B];
        for b in 0..B {
            sums[b] = *x.sums.get_unchecked((j + b) * groups + g);
        }
        let apart = bytes::<D>(cols);
        let panels = (w.bytes.as_ptr().add(i * apart + bytes::<D>(start)), apart);
        let vectors = (x.q.as_ptr().add(j * cols + start), cols);
        let acc = decode.sums::<S, P, B>(panels, vectors, width / const { D::CODE.block() }, sums);
        for p in 0..P {
            let scale = S::load_half(w.scales.as_ptr().add(((i + p) * groups + g) * PANEL_ROWS));
            for b in 0..B {
                total[p][b] = S::add(total[p][b], S::mul(S::to_float(acc[p][b]), scale));
            }
        }
    }
}

/// Bytes of `cols` columns of a panel.
#[inline(always)]
const fn bytes<D: Decode>(cols: usize) -> usize {
    cols * const { PANEL_ROWS / 8 * D::CODE.bits() }
}

/// Panels that go side by side at batch 1. They share what is made of the activations, and each has sums of its own,
/// so that none has to wait for the one before. Codes of fewer bits have more sums, and gain too little by it for the
/// bytes that it takes.
const fn side_by_side<S: Lanes, D: Decode>() -> usize {
    match D::CODE.bits() {
        4 if S::WIDE => 4,
        _ if S::COSTLY_X => 2,
        _ => 1,
    }
}

#[inline(always)]
unsafe fn matvec<S: Lanes, D: Decode>(decode: D, w: &Grouped, x: Batch, out: Out) {
    let panels = out.rows.div_ceil(PANEL_ROWS);
    let mut i = 0;
    // SAFETY: the panels of the rows, no more.
    unsafe {
        while const { side_by_side::<S, D>() == 4 } && i + 4 <= panels {
            tile::<S, D, 4, 1>(decode, w, x, out, i, 0);
            i += 4;
        }
        while const { side_by_side::<S, D>() == 2 } && i + 2 <= panels {
            tile::<S, D, 2, 1>(decode, w, x, out, i, 0);
            i += 2;
        }
        while i < panels {
            tile::<S, D, 1, 1>(decode, w, x, out, i, 0);
            i += 1;
        }
    }
}

/// Whether two panels of a batch go side by side, so that they share what is loaded of the activations. Codes that are put
/// together of several lines have no registers for it.
const fn in_pairs<S: Lanes, D: Decode>() -> bool {
    S::WIDE && D::CODE.bits() == 4
}

#[inline(always)]
unsafe fn matmul<S: Lanes, D: Decode>(decode: D, w: &Grouped, x: Batch, out: Out) {
    let panels = out.rows.div_ceil(PANEL_ROWS);
    let mut i = 0;
    // SAFETY: the panels of the rows, no more.
    unsafe {
        while const { in_pairs::<S, D>() } && i + 2 <= panels {
            row_of_tiles::<S, D, 2>(decode, w, x, out, i);
            i += 2;
        }
        while i < panels {
            row_of_tiles::<S, D, 1>(decode, w, x, out, i);
            i += 1;
        }
    }
}

/// P panels from number i on × all vectors.
#[inline(always)]
unsafe fn row_of_tiles<S: Lanes, D: Decode, const P: usize>(
    decode: D,
    w: &Grouped,
    x: Batch,
    out: Out,
    i: usize,
) {
    let batch = x.scales.len();
    let mut j = 0;
    // SAFETY: tiles cover the panels and the batch, no more.
    unsafe {
        while S::WIDE && P == 1 && j + 16 <= batch {
            tile::<S, D, P, 16>(decode, w, x, out, i, j);
            j += 16;
        }
        while S::WIDE && j + 8 <= batch {
            tile::<S, D, P, 8>(decode, w, x, out, i, j);
            j += 8;
        }
        while j + 4 <= batch {
            tile::<S, D, P, 4>(decode, w, x, out, i, j);
            j += 4;
        }
        while j + 2 <= batch {
            tile::<S, D, P, 2>(decode, w, x, out, i, j);
            j += 2;
        }
        while j < batch {
            tile::<S, D, P, 1>(decode, w, x, out, i, j);
            j += 1;
        }
    }
}

/// Calls `$product` with the decoder of `$w`'s code.
macro_rules! decoded {
    ($product:ident::<$s:ty>, $w:expr, $x:expr, $out:expr) => {
        match $w.code {
            Code::Int5 => $product::<$s, _>(Int5, &$w, $x, $out),
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
