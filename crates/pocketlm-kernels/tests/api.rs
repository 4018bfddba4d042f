//! The public functions on small matrices, against plain loops.

use pocketlm_kernels::layout::padded_rows;
use pocketlm_kernels::{float16, float32, half, int4, int8, quantise};

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

#[test]
fn int4_products() {
    let (w, x) = (weights(), vector(2));
    for group in [8, 32, 64, 128] {
        let mut panels = vec![0; int4::len(ROWS, COLS)];
        let mut scales = vec![0; int4::scales_len(ROWS, COLS, group)];
        int4::pack(&w, ROWS, COLS, group, &mut panels, &mut scales);
        let mut back = vec![0.0; ROWS * COLS];
        int4::unpack(&panels, &scales, group, COLS, &mut back);
        assert_close(&back, &w, 0.15);

        let mut q = vec![1; int4::padded_cols(COLS)];
        let scale = quantise::quantise(&x, &mut q);
        let rounded: Vec<f32> = q[..COLS].iter().map(|&q| f32::from(q) * scale).collect();
        let mut sums = vec![0; COLS.div_ceil(group)];
        quantise::sums(&q, group, &mut sums);
        let mut out = vec![0.0; ROWS];
        int4::matvec(&panels, &scales, group, &q, scale, &sums, &mut out);
        assert_close(&out, &product(&back, &rounded), 1e-4);
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
        int4::matvec(&[0; 192], &scales, group, &[0; 24], 1.0, &sums, &mut [0.0; 16]);
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
