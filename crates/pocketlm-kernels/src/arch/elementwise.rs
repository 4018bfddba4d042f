//! Activations, gates, quantisation and softmax sums, written once for all instruction sets.
//!
//! Each follows `naive` operation by operation, so the results are the same bits; see there for the
//! reasons.
//!
//! # Safety
//! All functions: the instructions of `S` are there, and lengths fit as the public functions check.

use super::lanes::{AHEAD, Lanes, load_some, store_some};
use crate::naive::{EXP_HIGH, EXP_LOW, EXP_POLY, LN2_HI, LN2_LO, LOG2_E, LOWEST_TERM, ROUND};

/// x = n·ln 2 + r: (n, exp(r) − 1).
#[inline(always)]
unsafe fn split<S: Lanes>(x: S::F) -> (S::F, S::F) {
    // SAFETY: the caller's.
    unsafe {
        let n = S::add(S::mul(x, S::splat(LOG2_E)), S::splat(ROUND));
        let n = S::sub(n, S::splat(ROUND));
        let r = S::sub(x, S::mul(n, S::splat(LN2_HI)));
        let r = S::sub(r, S::mul(n, S::splat(LN2_LO)));
        let [c2, c3, c4, c5, c6] = EXP_POLY;
        let mut poly = S::splat(c6);
        for c in [c5, c4, c3, c2] {
            poly = S::add(S::mul(poly, r), S::splat(c));
        }
        (n, S::add(r, S::mul(S::mul(r, r), poly)))
    }
}

#[inline(always)]
unsafe fn exp_lanes<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's.
    unsafe {
        let (low, high) = (S::splat(EXP_LOW), S::splat(EXP_HIGH));
        // NaN stays NaN: min and max return their second operand for it.
        let (n, p) = split::<S>(S::min(high, S::max(low, x)));
        let value = S::add(p, S::splat(1.0));
        let value = S::scale(S::add(value, value), S::sub(n, S::splat(1.0)));
        let value = S::select_less(x, low, S::splat(0.0), value);
        S::select_less(high, x, S::splat(f32::INFINITY), value)
    }
}

#[inline(always)]
unsafe fn sigmoid_lanes<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's.
    unsafe {
        let one = S::splat(1.0);
        let e = exp_lanes::<S>(S::sub(S::splat(0.0), x));
        S::div(one, S::add(one, e))
    }
}

#[inline(always)]
unsafe fn tanh_lanes<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's.
    unsafe {
        let one = S::splat(1.0);
        let a = S::min(S::splat(10.0), S::abs(x));
        let (n, p) = split::<S>(S::add(a, a));
        let two_n = S::scale(one, n);
        let t = S::add(S::mul(two_n, p), S::sub(two_n, one));
        S::with_sign(S::div(t, S::add(t, S::splat(2.0))), x)
    }
}

/// Replaces each element of `$x` by `$f` of it.
macro_rules! map {
    ($name:ident, $f:ident) => {
        #[inline(always)]
        pub unsafe fn $name<S: Lanes>(x: &mut [f32]) {
            let (chunks, rest) = x.as_chunks_mut::<16>();
            // SAFETY: chunks of 16, and the rest is as long as it says.
            unsafe {
                for chunk in chunks {
                    S::store(chunk.as_mut_ptr(), $f::<S>(S::load(chunk.as_ptr())));
                }
                if !rest.is_empty() {
                    let v = $f::<S>(load_some::<S>(rest.as_ptr(), rest.len(), 0.0));
                    store_some::<S>(rest.as_mut_ptr(), rest.len(), v);
                }
            }
        }
    };
}

map!(exp, exp_lanes);
map!(sigmoid, sigmoid_lanes);
map!(tanh, tanh_lanes);

/// c = keep·c + take·g, h = o·tanh(c) for `left` units (at most 16 at a time).
#[inline(always)]
unsafe fn update<S: Lanes>([keep, take, g, o]: [S::F; 4], c: *mut f32, h: *mut f32, left: usize) {
    // SAFETY: min(left, 16) elements at c and h.
    unsafe {
        let old = load_some::<S>(c, left, 0.0);
        let new = S::add(S::mul(keep, old), S::mul(take, g));
        store_some::<S>(c, left, new);
        store_some::<S>(h, left, S::mul(o, tanh_lanes::<S>(new)));
    }
}

/// Calls `$step` for 16 units at a time, `$j` on, and once for the rest: apart, so that whole steps
/// know their length.
macro_rules! steps {
    ($n:expr, |$j:ident, $left:ident| $step:expr) => {{
        let n = $n;
        let mut $j = 0;
        while $j + 16 <= n {
            let $left = 16;
            $step;
            $j += 16;
        }
        if $j < n {
            let $left = n - $j;
            $step;
        }
    }};
}

#[inline(always)]
pub unsafe fn lstm<S: Lanes>(pre: &[f32], c: &mut [f32], h: &mut [f32]) {
    let (n, pre, c, h) = (h.len(), pre.as_ptr(), c.as_mut_ptr(), h.as_mut_ptr());
    // SAFETY: n − j elements are left of each gate and state.
    unsafe { steps!(n, |j, left| lstm_step::<S>(pre.add(j), n, c.add(j), h.add(j), left)) }
}

#[inline(always)]
unsafe fn lstm_step<S: Lanes>(pre: *const f32, n: usize, c: *mut f32, h: *mut f32, left: usize) {
    // SAFETY: min(left, 16) elements of each gate and state.
    unsafe {
        let i = sigmoid_lanes::<S>(load_some::<S>(pre, left, 0.0));
        let f = sigmoid_lanes::<S>(load_some::<S>(pre.add(n), left, 0.0));
        let g = tanh_lanes::<S>(load_some::<S>(pre.add(2 * n), left, 0.0));
        let o = sigmoid_lanes::<S>(load_some::<S>(pre.add(3 * n), left, 0.0));
        update::<S>([f, i, g, o], c, h, left);
    }
}

#[inline(always)]
pub unsafe fn cifg<S: Lanes>(pre: &[f32], c: &mut [f32], h: &mut [f32]) {
    let (n, pre, c, h) = (h.len(), pre.as_ptr(), c.as_mut_ptr(), h.as_mut_ptr());
    // SAFETY: n − j elements are left of each gate and state.
    unsafe { steps!(n, |j, left| cifg_step::<S>(pre.add(j), n, c.add(j), h.add(j), left)) }
}

#[inline(always)]
unsafe fn cifg_step<S: Lanes>(pre: *const f32, n: usize, c: *mut f32, h: *mut f32, left: usize) {
    // SAFETY: min(left, 16) elements of each gate and state.
    unsafe {
        let [f, g, o] = three::<S>(pre, n, left);
        let (f, g) = (sigmoid_lanes::<S>(f), tanh_lanes::<S>(g));
        let take = S::sub(S::splat(1.0), f);
        update::<S>([f, take, g, sigmoid_lanes::<S>(o)], c, h, left);
    }
}

/// The same `left` units of three gates of n units.
#[inline(always)]
unsafe fn three<S: Lanes>(p: *const f32, n: usize, left: usize) -> [S::F; 3] {
    // SAFETY: min(left, 16) elements of each gate.
    unsafe {
        [
            load_some::<S>(p, left, 0.0),
            load_some::<S>(p.add(n), left, 0.0),
            load_some::<S>(p.add(2 * n), left, 0.0),
        ]
    }
}

#[inline(always)]
pub unsafe fn gru<S: Lanes>(gx: &[f32], gh: &[f32], h: &mut [f32]) {
    let (n, gx, gh, h) = (h.len(), gx.as_ptr(), gh.as_ptr(), h.as_mut_ptr());
    // SAFETY: n − j elements are left of each gate and of the state.
    unsafe { steps!(n, |j, left| gru_step::<S>(gx.add(j), gh.add(j), n, h.add(j), left)) }
}

#[inline(always)]
unsafe fn gru_step<S: Lanes>(gx: *const f32, gh: *const f32, n: usize, h: *mut f32, left: usize) {
    // SAFETY: min(left, 16) elements of each gate and of the state.
    unsafe {
        let [x_r, x_z, x_n] = three::<S>(gx, n, left);
        let [h_r, h_z, h_n] = three::<S>(gh, n, left);
        let r = sigmoid_lanes::<S>(S::add(x_r, h_r));
        let z = sigmoid_lanes::<S>(S::add(x_z, h_z));
        let new = tanh_lanes::<S>(S::add(x_n, S::mul(r, h_n)));
        let kept = S::mul(z, load_some::<S>(h, left, 0.0));
        let taken = S::mul(S::sub(S::splat(1.0), z), new);
        store_some::<S>(h, left, S::add(taken, kept));
    }
}

#[inline(always)]
unsafe fn to_array<S: Lanes>(v: S::F) -> [f32; 16] {
    let mut all = [0.0; 16];
    // SAFETY: 16 elements.
    unsafe { S::store(all.as_mut_ptr(), v) };
    all
}

#[inline(always)]
pub unsafe fn max_abs<S: Lanes>(x: &[f32]) -> f32 {
    // SAFETY: n − i elements are left at p + i.
    unsafe {
        let mut largest = S::splat(0.0);
        for chunk in x.chunks(16) {
            let v = load_some::<S>(chunk.as_ptr(), chunk.len(), 0.0);
            largest = S::max_bits(largest, S::abs(v));
        }
        f32::from_bits(to_array::<S>(largest).iter().fold(0, |m, v| m.max(v.to_bits())))
    }
}

#[inline(always)]
unsafe fn quantise_16<S: Lanes>(v: S::F, limit: f32, inverse: f32, q: *mut i8) {
    // SAFETY: 16 places at q.
    unsafe {
        let clipped = S::max(S::splat(-limit), S::min(S::splat(limit), v));
        S::store_i8(q, S::mul(clipped, S::splat(inverse)));
    }
}

#[inline(always)]
pub unsafe fn quantise<S: Lanes>(x: &[f32], limit: f32, q: &mut [i8]) {
    let n = x.len();
    let inverse = 127.0 / limit;
    // SAFETY: whole chunks of 16 lie within x and q; the rest goes through arrays.
    unsafe {
        let mut i = 0;
        while i + 16 <= n {
            quantise_16::<S>(S::load(x.as_ptr().add(i)), limit, inverse, q.as_mut_ptr().add(i));
            i += 16;
        }
        let mut rest = [0i8; 16];
        let v = load_some::<S>(x.as_ptr().add(i), n - i, 0.0);
        quantise_16::<S>(v, limit, inverse, rest.as_mut_ptr());
        q[i..n].copy_from_slice(&rest[..n - i]);
    }
    q[n..].fill(0);
}

/// Plain code: the compiler vectorises it, and integers leave no doubt about the result.
#[inline(always)]
pub unsafe fn sums<S: Lanes>(q: &[i8], group: usize, sums: &mut [i32]) {
    for (sum, q) in sums.iter_mut().zip(q.chunks(group)) {
        *sum = q.iter().map(|&q| i32::from(q)).sum();
    }
}

/// See [`fit::fit`](crate::fit::fit).
#[cfg(feature = "host")]
#[inline(always)]
pub unsafe fn fit<S: Lanes>(grid: &crate::fit::Grid, weights: &[f32]) -> u16 {
    crate::fit::fit(grid, weights)
}

#[inline(always)]
pub unsafe fn max<S: Lanes>(x: &[f32]) -> f32 {
    // SAFETY: each chunk is as long as it says.
    unsafe {
        // Four at a time, to hide the latency; a maximum does not depend on the order.
        let mut largest = [S::splat(f32::NEG_INFINITY); 4];
        for chunk in x.chunks(64) {
            for (largest, chunk) in largest.iter_mut().zip(chunk.chunks(16)) {
                let v = load_some::<S>(chunk.as_ptr(), chunk.len(), f32::NEG_INFINITY);
                *largest = S::max(v, *largest);
            }
        }
        let [a, b, c, d] = largest;
        let all = to_array::<S>(S::max(S::max(a, b), S::max(c, d)));
        all.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m })
    }
}

#[inline(always)]
pub unsafe fn exp_sums<S: Lanes>(x: &[f32], exponent: f32, sums: &mut [f32; 16]) {
    // SAFETY: chunks of 16, and the rest is as long as it says.
    unsafe {
        let mut total = S::load(sums.as_ptr());
        let (chunks, rest) = x.as_chunks::<16>();
        for chunk in chunks {
            total = S::add(total, exp_term::<S>(S::load(chunk.as_ptr()), exponent));
        }
        if !rest.is_empty() {
            let v = load_some::<S>(rest.as_ptr(), rest.len(), f32::NEG_INFINITY);
            total = S::add(total, exp_term::<S>(v, exponent));
        }
        S::store(sums.as_mut_ptr(), total);
    }
}

/// exp(x) · 2^−exponent, or 0 if that is too small.
#[inline(always)]
unsafe fn exp_term<S: Lanes>(x: S::F, exponent: f32) -> S::F {
    // SAFETY: the caller's.
    unsafe {
        let lowest = S::splat(LOWEST_TERM);
        let (n, p) = split::<S>(x);
        let e = S::sub(n, S::splat(exponent));
        let term = S::scale(S::add(p, S::splat(1.0)), S::max(lowest, e));
        S::select_less(e, lowest, S::splat(0.0), term)
    }
}

#[inline(always)]
pub unsafe fn probabilities<S: Lanes>(x: &mut [f32], shift: f32, factor: f32) {
    let (n, x) = (x.len(), x.as_mut_ptr());
    // SAFETY: n − j elements are left.
    unsafe {
        steps!(n, |j, left| {
            let shifted = S::sub(load_some::<S>(x.add(j), left, 0.0), S::splat(shift));
            let value = S::mul(S::splat(factor), exp_lanes::<S>(shifted));
            store_some::<S>(x.add(j), left, value);
        });
    }
}

#[inline(always)]
pub unsafe fn add<S: Lanes>(sums: &mut [f32], x: &[f32]) {
    let (n, sums, x) = (x.len(), sums.as_mut_ptr(), x.as_ptr());
    // SAFETY: n − j elements are left of both.
    unsafe {
        steps!(n, |j, left| {
            let more = load_some::<S>(x.add(j), left, 0.0);
            let sum = S::add(load_some::<S>(sums.add(j), left, 0.0), more);
            store_some::<S>(sums.add(j), left, sum);
        });
    }
}

#[inline(always)]
pub unsafe fn first_above<S: Lanes>(x: &[f32], threshold: f32) -> usize {
    for (i, chunk) in x.chunks(16).enumerate() {
        // SAFETY: the chunk is as long as it says.
        let any = unsafe {
            let v = load_some::<S>(chunk.as_ptr(), chunk.len(), f32::NEG_INFINITY);
            S::any_above(v, S::splat(threshold))
        };
        if any {
            return i * 16 + chunk.iter().position(|&v| v > threshold).unwrap_or(0);
        }
    }
    x.len()
}

#[inline(always)]
pub unsafe fn sum_words<S: Lanes>(words: &[i32]) -> i32 {
    let mut chunks = words.chunks_exact(8 * 16);
    // SAFETY: each chunk holds eight times 16 words; a prefetch never faults.
    unsafe {
        let mut sums = [S::isplat(0); 8];
        for chunk in &mut chunks {
            for (k, sum) in sums.iter_mut().enumerate() {
                let p = chunk.as_ptr().add(k * 16);
                S::prefetch(p.cast::<u8>().wrapping_add(AHEAD));
                *sum = S::iadd(*sum, S::iload(p));
            }
        }
        let mut all = [0i32; 8 * 16];
        for (k, sum) in sums.into_iter().enumerate() {
            S::istore(all.as_mut_ptr().add(k * 16), sum);
        }
        let whole = all.iter().fold(0i32, |sum, &word| sum.wrapping_add(word));
        chunks.remainder().iter().fold(whole, |sum, &word| sum.wrapping_add(word))
    }
}
