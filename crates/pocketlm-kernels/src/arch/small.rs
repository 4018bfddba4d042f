//! int8 products where the only multiplication of bytes adds two products in 16 bits.
//!
//! A sum of two products with bytes up to 255 fits in 16 bits if the two activations have different signs, or if their
//! magnitudes add up to at most 128. Most do: activations are scaled by the largest of the vector, and most are far
//! smaller. Of those that do not, the two halves do, and each is multiplied apart, while its weights are near. The
//! products are exact.
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as the public functions check.
#![allow(clippy::needless_range_loop, reason = "tiles of registers are indexed, on purpose")]

use core::mem::MaybeUninit;

use super::lanes::Lanes;
use super::product::{Batch, Out, finish, prefetch, starts};
use crate::layout::PANEL_ROWS;

/// A vector of activations, cut into quads that [`Lanes::dot_small`] takes; a quad is four bytes in a word.
pub struct Small {
    /// Each quad, or half of it where it is too large, and zeros up to a multiple of 16.
    first: [MaybeUninit<[u32; 4]>; Self::COLUMNS / 16],
    /// The other halves, with the columns where they begin.
    second: [MaybeUninit<(u32, u32)>; Self::HALVES],
    /// How many other halves there are.
    halved: usize,
}

impl Small {
    /// The most columns.
    pub const COLUMNS: usize = 2048;

    /// Vectors of a batch that are cut at once.
    pub const TOGETHER: usize = 8;

    /// The most halves: with many more, [`Lanes::dot`] would be as fast.
    const HALVES: usize = 128;

    /// None yet.
    pub const NEW: Self = Self {
        first: [const { MaybeUninit::uninit() }; _],
        second: [const { MaybeUninit::uninit() }; _],
        halved: 0,
    };

    /// Takes at most [`COLUMNS`](Self::COLUMNS) activations; false if too many quads are too large.
    #[inline(always)]
    pub unsafe fn take<S: Lanes>(&mut self, q: &[i8]) -> bool {
        self.halved = 0;
        for (i, some) in q.chunks(16).enumerate() {
            let mut padded = [0; 16];
            padded[..some.len()].copy_from_slice(some);
            // SAFETY: sixteen activations, which are four quads.
            let (mut large, mut quads) = unsafe {
                (S::large(padded.as_ptr()), padded.as_ptr().cast::<[u32; 4]>().read_unaligned())
            };
            while large != 0 {
                let k = large.trailing_zeros() / 4;
                large &= !(15 << (4 * k));
                // Byte by byte: the half, rounded down, and the same with the bit that it lost.
                let quad = quads[k as usize];
                let (signs, lost) = (quad & 0x8080_8080, quad & 0x0101_0101);
                let half = quad >> 1 & 0x7f7f_7f7f;
                quads[k as usize] = half | signs;
                let rest = (half + lost) ^ signs;
                let Some(second) = self.second.get_mut(self.halved) else { return false };
                second.write((16 * i as u32 + 4 * k, rest));
                self.halved += 1;
            }
            self.first[i].write(quads);
        }
        true
    }
}

/// P panels from number i on × B vectors from number j on, cut small.
#[inline(always)]
pub unsafe fn small_tile<S: Lanes, const P: usize, const B: usize>(
    panels: *const u8,
    scales: *const f32,
    small: &[Small],
    x: Batch,
    out: Out,
    i: usize,
    j: usize,
) {
    // SAFETY: the tile lies within the matrix and the batch; all quads of its vectors were written, and `halved` halves.
    unsafe {
        let cols = x.q.len() / x.scales.len();
        let panel = panels.add(i * PANEL_ROWS * cols);
        out.ask::<S, P, B>(j, i * PANEL_ROWS);
        let mut acc = starts::<S, P, B>(x, j);
        let mut q = [small.as_ptr().cast::<i8>(); B];
        for b in 0..B {
            q[b] = small.get_unchecked(j + b).first.as_ptr().cast();
        }
        let mut c = 0;
        while c < cols {
            for p in 0..P {
                let line = panel.add((p * cols + c) * PANEL_ROWS);
                prefetch::<S, u8>(line);
                let w = S::weights(line);
                for b in 0..B {
                    acc[p][b] = S::dot_small(acc[p][b], w, S::activations(q[b].add(c)));
                }
            }
            c += 4;
        }
        for b in 0..B {
            let small = small.get_unchecked(j + b);
            for second in small.second.get_unchecked(..small.halved) {
                let (c, quad) = second.assume_init_ref();
                let (c, x) = (*c as usize, S::activations(core::ptr::from_ref(quad).cast()));
                for p in 0..P {
                    let w = S::weights(panel.add((p * cols + c) * PANEL_ROWS));
                    acc[p][b] = S::dot_small(acc[p][b], w, x);
                }
            }
        }
        finish::<S, P, B>(&acc, scales, x, out, i, j);
    }
}
