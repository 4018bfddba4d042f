//! Every backend against the specification, on random and adversarial input.

use core::ops::Range;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::backend::{ALL, Backend, runs};
use crate::grouped::{Code, Grouped};
use crate::naive::TABLE as NAIVE;
use crate::table::Table;

/// The table of a backend by name, or none (said aloud) where it cannot run.
fn table(name: &str) -> Option<&'static Table> {
    let found = ALL.iter().copied().find(|t| t.backend.name() == name && runs(t.backend));
    if found.is_none() {
        std::println!("SKIPPED: this processor does not run {name}");
    }
    found
}

/// The same bits, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn assert_same(got: &[f32], want: &[f32]) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), want.len());
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        prop_assert!(same(g, w), "element {} of {}: {:e}, not {:e}", i, got.len(), g, w);
    }
    Ok(())
}

/// Numbers of every kind: usual ones, tiny ones, huge ones, zeros, infinities, NaN.
fn any_float() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -20.0f32..20.0,
        2 => -150.0f32..150.0,
        2 => any::<u32>().prop_map(f32::from_bits),
        1 => Just(0.0f32),
        1 => Just(-0.0f32),
        1 => (0u32..0x80_0000).prop_map(f32::from_bits),
    ]
}

fn finite_float() -> impl Strategy<Value = f32> {
    any_float().prop_map(|x| if x.is_finite() { x } else { 0.5 })
}

fn floats(len: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(any_float(), len)
}

fn any_floats() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(any_float(), 0..70)
}

/// A matrix in bytes with a batch of quantised vectors: all the products need, of any value.
#[derive(Clone, Debug)]
struct Integers {
    rows: usize,
    batch: usize,
    group: usize,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    halves: Vec<u16>,
    q: Vec<i8>,
    q_scales: Vec<f32>,
    out: Vec<f32>,
}

impl Integers {
    fn cols(&self) -> usize {
        self.q.len() / self.batch
    }

    /// The sums of each vector's groups of `group`.
    fn sums(&self, group: usize) -> Vec<i32> {
        let groups = self.q.chunks(self.cols()).flat_map(|q| q.chunks(group));
        groups.map(|q| q.iter().map(|&q| i32::from(q)).sum()).collect()
    }
}

/// Numbers that look random (Vigna's splitmix64): filling matrices by strategies would take all the
/// time of the tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any value of 8 bits, extremes in every fourth place.
    fn byte(&mut self) -> u8 {
        let bits = self.next();
        match bits >> 60 {
            0 => 0,
            1 => 255,
            2 => 127,
            3 => 129,
            _ => bits as u8,
        }
    }

    /// Any number of any kind.
    fn float(&mut self) -> f32 {
        let bits = self.next();
        match bits >> 61 {
            0 => f32::from_bits(bits as u32),
            1 => f32::from_bits(bits as u32 & 0x7f_ffff),
            2 => 0.0,
            _ => self.moderate(),
        }
    }

    /// Between −2 and 2, sometimes zero or denormal.
    fn moderate(&mut self) -> f32 {
        let bits = self.next();
        match bits >> 60 {
            0 => 0.0,
            1 => f32::from_bits(bits as u32 & 0x7f_ffff),
            _ => (bits as u32 >> 8) as f32 / 4_194_304.0 - 2.0,
        }
    }

    fn many<T>(&mut self, len: usize, one: fn(&mut Self) -> T) -> Vec<T> {
        (0..len).map(|_| one(self)).collect()
    }
}

/// Shapes that are multiples of nothing, extremes in every place.
fn integers(bits: usize, unit: usize) -> impl Strategy<Value = Integers> {
    shapes(bits, unit, 1..70, 1..40)
}

fn shapes(
    bits: usize,
    unit: usize,
    rows: Range<usize>,
    units: Range<usize>,
) -> impl Strategy<Value = Integers> {
    let shape = (rows, units, 1usize..35, 1usize..20, any::<u64>());
    shape.prop_map(move |(rows, units, batch, group, seed)| {
        let (padded, cols, group) = (crate::layout::padded_rows(rows), units * unit, group * unit);
        let mut random = Random(seed);
        Integers {
            rows,
            batch,
            group,
            bytes: random.many(padded * cols * bits / 8, Random::byte),
            scales: random.many(padded, Random::float),
            halves: random.many(padded * cols.div_ceil(group), |r| r.next() as u16),
            q: random.many(batch * cols, |r| r.byte() as i8),
            q_scales: random.many(batch, Random::float),
            out: random.many(batch * rows, Random::float),
        }
    })
}

/// Many columns of int8, activations as they are in models: few are large, in every vector or in some.
fn long_vectors() -> impl Strategy<Value = Integers> {
    let sizes = (0u32..8, 0u32..9);
    (shapes(8, 4, 1..40, 1..540), sizes).prop_map(|(mut m, (shift, every))| {
        let cols = m.cols();
        for (i, q) in m.q.iter_mut().enumerate() {
            let is_large = i.is_multiple_of(1 << every) || i / cols % 3 == 2;
            *q >>= if is_large { 0 } else { shift };
        }
        m
    })
}

// SAFETY of all `unsafe` below: the table runs here (see `table`), lengths are made to fit.

fn int8_matvec(t: &Table, m: &Integers) -> Vec<f32> {
    let mut out = m.out[..m.rows].to_vec();
    let q = &m.q[..m.cols()];
    let sum = m.sums(m.cols())[0];
    // SAFETY: see above.
    unsafe { (t.int8_matvec)(&m.bytes, &m.scales, q, m.q_scales[0], sum, &mut out) };
    out
}

fn int8_matmul(t: &Table, m: &Integers) -> Vec<f32> {
    let (mut out, sums) = (m.out.clone(), m.sums(m.cols()));
    // SAFETY: see above.
    unsafe { (t.int8_matmul)(&m.bytes, &m.scales, &m.q, &m.q_scales, &sums, &mut out) };
    out
}

fn check_int8(t: &Table, m: &Integers) -> Result<(), TestCaseError> {
    assert_same(&int8_matvec(t, m), &int8_matvec(&NAIVE, m))?;
    assert_same(&int8_matmul(t, m), &int8_matmul(&NAIVE, m))
}

/// A code with a matrix of it, the first 16 of whose quantised numbers serve as the codebook.
fn grouped() -> impl Strategy<Value = (Code, Integers)> {
    let code = prop::sample::select(&Code::ALL[..]);
    code.prop_flat_map(|code| (Just(code), integers(code.bits(), code.block())))
}

/// What `t` gives for the first vector and for the batch.
fn grouped_products(t: &Table, code: Code, m: &Integers) -> [Vec<f32>; 2] {
    let mut outs = [m.out[..m.rows].to_vec(), m.out.clone()];
    let levels = core::array::from_fn(|i| m.q[i % m.q.len()]);
    let w = Grouped { code, bytes: &m.bytes, scales: &m.halves, group: m.group, levels: &levels };
    let (q, sums) = (&m.q[..m.cols()], m.sums(m.group));
    let first = &sums[..m.cols().div_ceil(m.group)];
    // SAFETY: see above.
    unsafe {
        (t.grouped_matvec)(w, q, m.q_scales[0], first, &mut outs[0]);
        (t.grouped_matmul)(w, &m.q, &m.q_scales, &sums, &mut outs[1]);
    }
    outs
}

fn check_grouped(t: &Table, code: Code, m: &Integers) -> Result<(), TestCaseError> {
    for (got, want) in grouped_products(t, code, m).iter().zip(grouped_products(&NAIVE, code, m)) {
        assert_same(got, &want)?;
    }
    Ok(())
}

/// A floating-point matrix `[rows, cols]` in panels, and a batch of vectors.
#[derive(Clone, Debug)]
struct Floats {
    batch: usize,
    panels: Vec<f32>,
    x: Vec<f32>,
    out: Vec<f32>,
}

fn float_matrices() -> impl Strategy<Value = Floats> {
    let shape = (1usize..70, 1usize..70, 1usize..30, any::<u64>());
    shape.prop_map(|(rows, cols, batch, seed)| {
        let mut random = Random(seed);
        Floats {
            batch,
            panels: random.many(crate::layout::padded_rows(rows) * cols, Random::moderate),
            x: random.many(batch * cols, Random::moderate),
            out: random.many(batch * rows, Random::moderate),
        }
    })
}

/// Sums of at most 71 terms of at most 4 each, in any order, differ by less than this.
const FLOAT_TOLERANCE: f32 = 1e-4;

fn assert_close(got: &[f32], want: &[f32]) -> Result<(), TestCaseError> {
    for (g, w) in got.iter().zip(want) {
        prop_assert!((g - w).abs() <= FLOAT_TOLERANCE, "{} {}", g, w);
    }
    Ok(())
}

fn check_floats(t: &Table, m: &Floats) -> Result<(), TestCaseError> {
    let (cols, rows) = (m.x.len() / m.batch, m.out.len() / m.batch);
    let halves: Vec<u16> = m.panels.iter().map(|&w| crate::half::from_f32(w)).collect();
    let run = |t: &Table| {
        let mut outs =
            [m.out[..rows].to_vec(), m.out[..rows].to_vec(), m.out.clone(), m.out.clone()];
        // SAFETY: see above.
        unsafe {
            (t.f32_matvec)(&m.panels, &m.x[..cols], &mut outs[0]);
            (t.f16_matvec)(&halves, &m.x[..cols], &mut outs[1]);
            (t.f32_matmul)(&m.panels, &m.x, m.batch, &mut outs[2]);
            (t.f16_matmul)(&halves, &m.x, m.batch, &mut outs[3]);
        }
        outs
    };
    for (got, want) in run(t).iter().zip(run(&NAIVE)) {
        assert_close(got, &want)?;
    }
    Ok(())
}

/// What a map over a slice gives.
fn mapped(f: unsafe fn(&mut [f32]), x: &[f32]) -> Vec<f32> {
    let mut y = x.to_vec();
    // SAFETY: see above.
    unsafe { f(&mut y) };
    y
}

type Gates = unsafe fn(&[f32], &mut [f32], &mut [f32]);

/// c and h after a step of an LSTM or CIFG.
fn stepped(f: Gates, pre: &[f32], c: &[f32]) -> Vec<f32> {
    let (mut c, mut h) = (c.to_vec(), vec![0.0; c.len()]);
    // SAFETY: see above.
    unsafe { f(pre, &mut c, &mut h) };
    c.extend(h);
    c
}

fn gru_stepped(t: &Table, gx: &[f32], gh: &[f32], h: &[f32]) -> Vec<f32> {
    let mut h = h.to_vec();
    // SAFETY: see above.
    unsafe { (t.gru)(gx, gh, &mut h) };
    h
}

fn units(parts: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    (0usize..40).prop_flat_map(move |n| prop::collection::vec(floats(n), parts))
}

fn quantised(t: &Table, x: &[f32], limit: f32) -> Vec<i8> {
    let mut q = vec![99; x.len() + 5];
    // SAFETY: see above.
    unsafe { (t.quantise)(x, limit, &mut q) };
    q
}

fn sums(t: &Table, q: &[i8], group: usize) -> Vec<i32> {
    let mut sums = vec![0; q.len().div_ceil(group)];
    // SAFETY: see above.
    unsafe { (t.sums)(q, group, &mut sums) };
    sums
}

fn exp_sums(t: &Table, x: &[f32], start: f32) -> [f32; 16] {
    let mut sums = [start; 16];
    // SAFETY: see above.
    unsafe {
        let largest = (t.max)(x);
        if largest.abs() <= 1e6 {
            let exponent = (largest * core::f32::consts::LOG2_E).round_ties_even();
            (t.exp_sums)(x, exponent, &mut sums);
        }
    }
    sums
}

/// The same properties for each backend, in a module of its name.
macro_rules! backends {
    ($($(#[$only:meta])* $module:ident = $name:literal;)*) => {$(
        $(#[$only])*
        mod $module {
            use super::*;

            proptest! {
                #[test]
                fn int8_is_exact(m in integers(8, 4)) {
                    let Some(t) = table($name) else { return Ok(()) };
                    check_int8(t, &m)?;
                }

                #[test]
                fn int8_of_long_vectors_is_exact(m in long_vectors()) {
                    let Some(t) = table($name) else { return Ok(()) };
                    check_int8(t, &m)?;
                }

                #[test]
                fn grouped_codes_are_exact((code, m) in grouped()) {
                    let Some(t) = table($name) else { return Ok(()) };
                    check_grouped(t, code, &m)?;
                }

                #[test]
                fn fitted_scales_are_exact(
                    x in prop::collection::vec(finite_float(), 1..140),
                    code in prop::sample::select(&Code::ALL[..]),
                ) {
                    let Some(t) = table($name) else { return Ok(()) };
                    let levels = crate::codebook::levels(&x, x.len(), 64);
                    let grid = crate::fit::Grid::new(code, &levels);
                    // SAFETY: see above.
                    unsafe { prop_assert_eq!((t.fit)(&grid, &x), (NAIVE.fit)(&grid, &x)) };
                }

                #[test]
                fn float_products_agree(m in float_matrices()) {
                    let Some(t) = table($name) else { return Ok(()) };
                    check_floats(t, &m)?;
                }

                #[test]
                fn activations_are_exact(x in any_floats()) {
                    let Some(t) = table($name) else { return Ok(()) };
                    assert_same(&mapped(t.exp, &x), &mapped(NAIVE.exp, &x))?;
                    assert_same(&mapped(t.sigmoid, &x), &mapped(NAIVE.sigmoid, &x))?;
                    assert_same(&mapped(t.tanh, &x), &mapped(NAIVE.tanh, &x))?;
                }

                #[test]
                fn probabilities_are_exact(x in any_floats(), shift in any_float(), factor in -2.0f32..2.0) {
                    let Some(t) = table($name) else { return Ok(()) };
                    let of = |t: &Table| {
                        let (mut p, mut sums) = (x.clone(), x.clone());
                        // SAFETY: see above.
                        unsafe { (t.probabilities)(&mut p, shift, factor) };
                        // SAFETY: see above.
                        unsafe { (t.add)(&mut sums, &p) };
                        (p, sums)
                    };
                    let (got, want) = (of(t), of(&NAIVE));
                    assert_same(&got.0, &want.0)?;
                    assert_same(&got.1, &want.1)?;
                }

                #[test]
                fn strips_are_exact(lines in 1usize..33, depth in 1usize..70, gap in 0usize..5, seed: u64) {
                    let Some(t) = table($name) else { return Ok(()) };
                    let data = Random(seed).many(lines * (depth + gap), Random::moderate);
                    let columns = Random(seed).many((lines + gap) * depth, Random::moderate);
                    for width in [12, 16, 32] {
                        let of = |t: &Table| {
                            let mut strip = vec![9.0; width * depth];
                            let shape = [lines.min(width), depth];
                            // SAFETY: see above.
                            unsafe { (t.transpose)(&data, depth + gap, shape, width, &mut strip) };
                            strip
                        };
                        assert_same(&of(t), &of(&NAIVE))?;
                        let of = |t: &Table| {
                            let mut strip = vec![9.0; width * depth];
                            let shape = [lines.min(width), depth];
                            // SAFETY: see above.
                            unsafe { (t.copy)(&columns, lines + gap, shape, width, &mut strip) };
                            strip
                        };
                        assert_same(&of(t), &of(&NAIVE))?;
                    }
                }

                #[test]
                fn gates_are_exact(p in units(7)) {
                    let Some(t) = table($name) else { return Ok(()) };
                    let (three, four) = (p[..3].concat(), p[..4].concat());
                    assert_same(&stepped(t.lstm, &four, &p[6]), &stepped(NAIVE.lstm, &four, &p[6]))?;
                    assert_same(&stepped(t.cifg, &three, &p[6]), &stepped(NAIVE.cifg, &three, &p[6]))?;
                    let gh = p[3..6].concat();
                    let got = gru_stepped(t, &three, &gh, &p[6]);
                    assert_same(&got, &gru_stepped(&NAIVE, &three, &gh, &p[6]))?;
                }

                #[test]
                fn quantisation_is_exact(
                    x in prop::collection::vec(finite_float(), 0..70),
                    limit in 1e-30f32..1e30,
                    usual in 0.01f32..200.0,
                ) {
                    let Some(t) = table($name) else { return Ok(()) };
                    prop_assert_eq!(quantised(t, &x, limit), quantised(&NAIVE, &x, limit));
                    prop_assert_eq!(quantised(t, &x, usual), quantised(&NAIVE, &x, usual));
                }

                #[test]
                fn extremes_are_exact(x in any_floats(), threshold in any_float()) {
                    let Some(t) = table($name) else { return Ok(()) };
                    // SAFETY: see above.
                    unsafe {
                        prop_assert!(same((t.max_abs)(&x), (NAIVE.max_abs)(&x)));
                        prop_assert!(same((t.max)(&x), (NAIVE.max)(&x)));
                        let want = (NAIVE.first_above)(&x, threshold);
                        prop_assert_eq!((t.first_above)(&x, threshold), want);
                    }
                }

                #[test]
                fn sums_are_exact(
                    x in any_floats(),
                    q in prop::collection::vec(any::<i8>(), 0..300),
                    group in 1usize..300,
                    start in 0.0f32..10.0,
                ) {
                    let Some(t) = table($name) else { return Ok(()) };
                    prop_assert_eq!(sums(t, &q, group), sums(&NAIVE, &q, group));
                    let words: Vec<i32> = q.iter().map(|&q| i32::from(q) << 22).collect();
                    // SAFETY: see above.
                    unsafe { prop_assert_eq!((t.sum_words)(&words), (NAIVE.sum_words)(&words)) };
                    assert_same(&exp_sums(t, &x, start), &exp_sums(&NAIVE, &x, start))?;
                }
            }
        }
    )*};
}

backends! {
    #[cfg(target_arch = "x86_64")]
    avx512 = "avx512";
    #[cfg(target_arch = "x86_64")]
    avx_vnni = "avx-vnni";
    #[cfg(target_arch = "x86_64")]
    avx2 = "avx2";
    #[cfg(target_arch = "aarch64")]
    neon_dot = "neon-dot";
    #[cfg(target_arch = "aarch64")]
    neon = "neon";
    portable = "portable";
}

#[test]
fn every_backend_is_tested() {
    let tested = ["avx512", "avx-vnni", "avx2", "neon-dot", "neon", "simd128", "portable"];
    assert!(Backend::available().all(|b| tested.contains(&b.name())));
}
