//! The public functions on small matrices, against plain loops.

use pocketlm_kernels::binary;
use pocketlm_kernels::grouped::{self, Code, Grouped, Levels};
use pocketlm_kernels::layout::padded_rows;
use pocketlm_kernels::{codebook, float16, float32, half, int8, quantise};

const ROWS: usize = 21;
const COLS: usize = 70;

fn weights() -> Vec<f32> {
    (0..ROWS * COLS).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 700.0).collect()
}

fn vector(seed: usize) -> Vec<f32> {
    (0..COLS).map(|i| ((i * 31 + seed * 17) % 23) as f32 / 9.0 - 1.2).collect()
}

fn product(weights: &[f32], x: &[f32]) -> Vec<f32> {
    weights.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn assert_close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tolerance, "{g} {w}");
    }
}

#[test]
fn float_products() {
    let (w, x) = (weights(), vector(0));
    let mut panels = vec![0.0; float32::len(ROWS, COLS)];
    float32::pack(&w, ROWS, COLS, &mut panels);
    let mut back = vec![0.0; ROWS * COLS];
    float32::unpack(&panels, COLS, &mut back);
    assert_eq!(back, w);
    let mut out = vec![0.0; ROWS];
    float32::matvec(&panels, &x, &mut out);
    assert_close(&out, &product(&w, &x), 1e-4);

    let mut panels = vec![0; float16::len(ROWS, COLS)];
    float16::pack(&w, ROWS, COLS, &mut panels);
    float16::unpack(&panels, COLS, &mut back);
    assert_eq!(back[5], half::to_f32(half::from_f32(w[5])));
    out.fill(0.0);
    float16::matvec(&panels, &x, &mut out);
    assert_close(&out, &product(&back, &x), 1e-4);
}

#[test]
fn int8_products() {
    let (w, x) = (weights(), vector(1));
    let mut panels = vec![0; int8::len(ROWS, COLS)];
    let mut scales = vec![0.0; padded_rows(ROWS)];
    int8::pack(&w, ROWS, COLS, &mut panels, &mut scales);
    let mut back = vec![0.0; ROWS * COLS];
    int8::unpack(&panels, &scales, COLS, &mut back);
    assert_close(&back, &w, 0.5 * 0.73 / 127.0);

    let mut q = vec![1; int8::padded_cols(COLS)];
    let scale = quantise::quantise(&x, &mut q);
    let rounded: Vec<f32> = q[..COLS].iter().map(|&q| f32::from(q) * scale).collect();
    assert_close(&rounded, &x, 0.51 * scale);
    let mut out = vec![0.0; ROWS];
    int8::matvec(&panels, &scales, &q, scale, quantise::sum(&q), &mut out);
    assert_close(&out, &product(&back, &rounded), 1e-4);
}

/// A packed matrix that owns its parts.
struct Packed(Code, Vec<u8>, Vec<u16>, usize, Levels);

impl Packed {
    fn new(code: Code, w: &[f32], rows: usize, cols: usize, group: usize) -> Self {
        let levels = codebook::levels(w, cols, group);
        Self::with(code, levels, w, rows, cols, group)
    }

    fn with(code: Code, levels: Levels, w: &[f32], rows: usize, cols: usize, group: usize) -> Self {
        let mut bytes = vec![0; code.len(rows, cols)];
        let mut scales = vec![0; grouped::scales_len(rows, cols, group)];
        grouped::pack(code, &levels, w, rows, cols, group, &mut bytes, &mut scales);
        Self(code, bytes, scales, group, levels)
    }

    fn view(&self) -> Grouped<'_> {
        let Self(code, bytes, scales, group, levels) = self;
        Grouped { code: *code, bytes, scales, group: *group, levels }
    }

    fn unpacked(&self, rows: usize, cols: usize) -> Vec<f32> {
        let mut back = vec![0.0; rows * cols];
        self.view().unpack(cols, &mut back);
        back
    }
}

#[test]
fn grouped_products() {
    let (w, x) = (weights(), vector(2));
    for (code, group) in Code::ALL.into_iter().flat_map(|code| [32, 64, 128].map(|g| (code, g))) {
        let packed = Packed::new(code, &w, ROWS, COLS, group);
        let back = packed.unpacked(ROWS, COLS);
        let mut q = vec![1; code.padded_cols(COLS)];
        let scale = quantise::quantise(&x, &mut q);
        let rounded: Vec<f32> = q[..COLS].iter().map(|&q| f32::from(q) * scale).collect();
        let mut sums = vec![0; COLS.div_ceil(group)];
        quantise::sums(&q, group, &mut sums);
        let mut out = vec![0.0; ROWS];
        packed.view().matvec(&q, scale, &sums, &mut out);
        assert_close(&out, &product(&back, &rounded), 1e-4);
    }
}

/// Numbers of a normal distribution (sums of twelve uniform ones), some of them far out.
fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| unit()).sum::<f32>() - 6.0).collect()
}

fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[test]
fn errors_on_a_normal_distribution() {
    let (rows, cols) = (64, 640);
    let w = normal(rows * cols, 1);
    let power: f64 = w.iter().map(|&w| f64::from(w).powi(2)).sum();
    // Max 1960 has 0.119 for four even steps and 0.0374 for eight, 0.190 for three.
    // One sign and the mean magnitude leave 1 - 2/π.
    let bounds = [0.0022, 0.008, 0.031, 0.110, 0.185, 0.0085, 0.365];
    for (code, bound) in Code::ALL.into_iter().zip(bounds) {
        let back = Packed::new(code, &w, rows, cols, 64).unpacked(rows, cols);
        let error = squared_error(&w, &back) / power;
        println!("{code:?}: {error:.5}");
        assert!(error < bound, "{code:?} {error}");
    }
}

#[test]
fn what_is_not_clipped_is_within_half_a_step() {
    for (code, steps) in Code::ALL.into_iter().filter_map(|code| Some((code, code.steps()?))) {
        for seed in 0..50 {
            let w = normal(64, seed);
            let packed = Packed::new(code, &w, 1, 64, 64);
            let scale = half::to_f32(packed.2[0]);
            let half = f32::from(steps.step) / 2.0;
            let (low, high) = (f32::from(steps.offset) - half, f32::from(steps.highest()) + half);
            for (w, back) in w.iter().zip(packed.unpacked(1, 64)) {
                let units = w / scale;
                if (low..=high).contains(&units) {
                    assert!((w - back).abs() <= half * scale.abs() * 1.0001, "{code:?} {w} {back}");
                } else {
                    assert!(units.abs() >= high.min(-low), "{code:?} {w} {back}");
                }
            }
        }
    }
}

/// What the scale that just clips nothing loses.
fn naive_error(code: Code, levels: &Levels, w: &[f32]) -> f64 {
    let count = code.steps().map_or(levels.len() as u8, |steps| steps.count.unsigned_abs());
    let levels: Vec<i8> = (0..count).map(|place| code.level(place, levels)).collect();
    let largest = w.iter().fold(0.0f32, |m, &w| if w.abs() > m.abs() { w } else { m });
    let scale = match code {
        Code::Codebook => largest.abs() / 127.0,
        _ => largest / f32::from(levels[0]),
    };
    let scale = half::to_f32(half::from_f32(scale));
    let nearest = |w: f32| {
        let errors = levels.iter().map(|&level| f64::from(w - f32::from(level) * scale).powi(2));
        errors.fold(f64::INFINITY, f64::min)
    };
    w.iter().map(|&w| nearest(w)).sum()
}

#[test]
fn a_fitted_scale_is_never_worse_than_the_naive_one() {
    for code in Code::ALL {
        for seed in 0..200 {
            let mut w = normal(64, seed);
            match seed % 4 {
                0 => w[7] *= 30.0,
                1 => w.iter_mut().skip(3).for_each(|w| *w = 0.0),
                2 => w.iter_mut().for_each(|w| *w = w.abs() * 1e-3),
                _ => {}
            }
            let packed = Packed::new(code, &w, 1, 64, 64);
            let error = squared_error(&w, &packed.unpacked(1, 64));
            let naive = naive_error(code, &packed.4, &w);
            assert!(error <= naive * 1.00001, "{code:?} {seed}: {error} {naive}");
        }
    }
}

#[test]
fn packing_what_was_unpacked_changes_nothing() {
    for code in Code::ALL {
        let w = normal(ROWS * COLS, 5);
        let packed = Packed::new(code, &w, ROWS, COLS, 64);
        let first = packed.unpacked(ROWS, COLS);
        // With the same levels: k-means of what k-means made may still move.
        let second = Packed::with(code, packed.4, &first, ROWS, COLS, 64).unpacked(ROWS, COLS);
        let (lost, power) =
            (squared_error(&first, &second), squared_error(&first, &[0.0; ROWS * COLS]));
        assert!(lost <= 1e-6 * power, "{code:?}: {lost} of {power}");
    }
}

/// What each of the planes of a binary code gives, added up.
fn binary_unpacked(planes: usize, w: &[f32], rows: usize, cols: usize, group: usize) -> Vec<f32> {
    let (size, count) = (Code::Binary.len(rows, cols), grouped::scales_len(rows, cols, group));
    let (mut bytes, mut scales) = (vec![0; planes * size], vec![0; planes * count]);
    binary::pack(planes, w, [rows, cols], group, &mut bytes, &mut scales);
    let mut sum = vec![0.0; rows * cols];
    for (bytes, scales) in bytes.chunks(size).zip(scales.chunks(count)) {
        let mut plane = vec![0.0; rows * cols];
        Grouped { code: Code::Binary, bytes, scales, group, levels: &[0; 16] }
            .unpack(cols, &mut plane);
        sum.iter_mut().zip(plane).for_each(|(sum, x)| *sum += x);
    }
    sum
}

#[test]
fn alternation_never_loses_more() {
    for planes in 1..=binary::MAX_PLANES {
        for seed in 0..100 {
            let mut w = normal(1 + seed as usize % 130, seed);
            match seed % 4 {
                0 => w[0] *= 30.0,
                1 => w.iter_mut().skip(3).for_each(|w| *w = 0.0),
                2 => w.iter_mut().for_each(|w| *w = w.abs() * 1e-3),
                _ => {}
            }
            let mut scales = binary::greedy(&w, planes);
            let mut error = binary::error(&w, planes, &scales);
            for round in 0..10 {
                scales = binary::alternate(&w, planes, &scales);
                let next = binary::error(&w, planes, &scales);
                assert!(
                    next <= error * (1.0 + 1e-5) + 1e-12,
                    "{planes} {seed} {round}: {next} {error}"
                );
                error = next;
            }
            // Half-precision scales are off by 2⁻¹¹ at most.
            let power: f64 = w.iter().map(|w| f64::from(*w).powi(2)).sum();
            let packed = binary_unpacked(planes, &w, 1, w.len(), 160);
            assert!(squared_error(&w, &packed) <= error + 1e-3 * power, "{planes} {seed}");
        }
    }
}

#[test]
fn more_planes_lose_less_of_a_normal_distribution() {
    let (rows, cols) = (48, 640);
    let w = normal(rows * cols, 1);
    let power: f64 = w.iter().map(|&w| f64::from(w).powi(2)).sum();
    // Two and three planes are four and eight levels, of which Max 1960 has the best: 0.1175 and 0.0345.
    for (planes, bound) in [(1, 0.365), (2, 0.120), (3, 0.040), (4, 0.014)] {
        let error = squared_error(&w, &binary_unpacked(planes, &w, rows, cols, 128)) / power;
        println!("{planes}: {error:.5}");
        assert!(error < bound, "{planes}: {error}");
    }
}

#[test]
fn a_binary_code_that_fits_comes_back() {
    let scales = [0.5, 0.25, 0.0625, 0.015625];
    for planes in 1..=binary::MAX_PLANES {
        let value = |i: usize| binary::value((i * 7 % (1 << planes)) as u8, planes, &scales);
        let w: Vec<f32> = (0..4 * 96).map(value).collect();
        assert_eq!(binary_unpacked(planes, &w, 4, 96, 96), w);
    }
}

#[test]
fn nothing_but_zeros_stays_nothing_but_zeros() {
    for code in Code::ALL {
        let back = Packed::new(code, &[0.0; 16 * 70], 16, 70, 64).unpacked(16, 70);
        assert!(back.iter().all(|&w| w == 0.0), "{code:?}");
    }
}

#[test]
fn a_range_of_panels_is_a_matrix() {
    let (w, x) = (weights(), vector(3));
    let mut panels = vec![0.0; float32::len(ROWS, COLS)];
    float32::pack(&w, ROWS, COLS, &mut panels);
    let mut out = vec![0.0; ROWS - 16];
    float32::matvec(&panels[16 * COLS..], &x, &mut out);
    assert_close(&out, &product(&w[16 * COLS..], &x), 1e-4);
}

/// Runs `f`, which must panic rather than reach beyond a slice.
fn assert_refused(what: &str, f: impl FnOnce() + std::panic::UnwindSafe) {
    assert!(std::panic::catch_unwind(f).is_err(), "{what} went through");
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let (w, x) = ([0.0; 320], [0.0; 20]);
    assert_refused("a row too many", || float32::matvec(&w, &x, &mut [0.0; 17]));
    assert_refused("a column too many", || float32::matvec(&w, &[0.0; 21], &mut [0.0; 16]));
    assert_refused("a ragged batch", || float32::matmul(&w, &x, 3, &mut [0.0; 48]));
    assert_refused("a row beyond the last", || float32::row(&w, 16, &mut [0.0; 20]));
    assert_refused("short f16", || float16::matvec(&[0; 319], &x, &mut [0.0; 16]));

    let (w, q) = ([0u8; 320], [0i8; 20]);
    let int8 = |scales: usize, q: &[i8], rows: usize| {
        int8::matvec(&w, &vec![0.0; scales], q, 1.0, 0, &mut vec![0.0; rows]);
    };
    assert_refused("scales too few", || int8(15, &q, 16));
    assert_refused("columns not padded", || int8(16, &q[..19], 16));
    assert_refused("rows too many", || int8(16, &q, 17));

    let int4 = |group: usize, scales: usize, sums: usize| {
        let (scales, sums) = (vec![0; scales], vec![0; sums]);
        let (bytes, levels) = (&[0; 192], &[0; 16]);
        let w = Grouped { code: Code::Int4, bytes, scales: &scales, group, levels };
        w.matvec(&[0; 24], 1.0, &sums, &mut [0.0; 16]);
    };
    int4(8, 48, 3);
    assert_refused("no group", || int4(0, 48, 3));
    assert_refused("an odd group", || int4(12, 32, 2));
    assert_refused("sums too few", || int4(8, 48, 2));
    assert_refused("scales too few", || int4(8, 47, 3));
    assert_refused("a short place", || {
        quantise::quantise(&[1.0; 5], &mut [0; 4]);
    });
}
