//! A product with a batch of vectors is the product with each, whether it has a kernel of its own (feature `batch`)
//! or not: to the bit for integers, up to rounding for the rest.

use pocketlm_kernels::grouped::{Code, Grouped, scales_len};
use pocketlm_kernels::{float16, float32, half, int8, layout, quantise};

const ROWS: usize = 37;
const COLS: usize = 96;
const GROUP: usize = 64;
/// Every size of tiles, alone and after others.
const BATCHES: [usize; 7] = [1, 2, 5, 9, 16, 23, 31];

/// Numbers in -1..1, the same ones each time.
fn noise(seed: u32, n: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn bytes(seed: u32, n: usize) -> Vec<u8> {
    noise(seed, n).iter().map(|x| (x * 128.0) as i8 as u8).collect()
}

/// The vectors of a batch, quantised, with their scales and the sums of their groups.
fn quantised(batch: usize, group: usize) -> (Vec<i8>, Vec<f32>, Vec<i32>) {
    let groups = COLS.div_ceil(group);
    let (mut q, mut scales, mut sums) = (vec![0; batch * COLS], vec![], vec![0; batch * groups]);
    for (x, q) in noise(7, batch * COLS).chunks(COLS).zip(q.chunks_mut(COLS)) {
        scales.push(quantise::quantise(x, q));
    }
    for (q, sums) in q.chunks(COLS).zip(sums.chunks_mut(groups)) {
        quantise::sums(q, group, sums);
    }
    (q, scales, sums)
}

fn assert_close(got: &[f32], want: &[f32]) {
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() < 1e-4, "{got} {want}");
    }
}

#[test]
fn floating_point() {
    let weights = noise(1, ROWS * COLS);
    let mut panels = vec![0.0; float32::len(ROWS, COLS)];
    let mut halves = vec![0; float16::len(ROWS, COLS)];
    float32::pack(&weights, ROWS, COLS, &mut panels);
    float16::pack(&weights, ROWS, COLS, &mut halves);
    for batch in BATCHES {
        let (x, start) = (noise(2, batch * COLS), noise(3, batch * ROWS));
        let [mut all, mut each, mut all_half, mut each_half] = [(); 4].map(|()| start.clone());
        float32::matmul(&panels, &x, batch, &mut all);
        float16::matmul(&halves, &x, batch, &mut all_half);
        for (b, x) in x.chunks(COLS).enumerate() {
            float32::matvec(&panels, x, &mut each[b * ROWS..][..ROWS]);
            float16::matvec(&halves, x, &mut each_half[b * ROWS..][..ROWS]);
        }
        assert_close(&all, &each);
        assert_close(&all_half, &each_half);
    }
}

/// So many columns that they are summed in two stretches, so many rows that not all stay near.
#[test]
fn large_floating_point() {
    let (rows, cols, batch) = (301, 900, 14);
    let (weights, x) = (noise(1, rows * cols), noise(2, batch * cols));
    let mut panels = vec![0.0; float32::len(rows, cols)];
    float32::pack(&weights, rows, cols, &mut panels);
    let (mut all, mut each) = (noise(3, batch * rows), noise(3, batch * rows));
    float32::matmul(&panels, &x, batch, &mut all);
    for (x, each) in x.chunks(cols).zip(each.chunks_mut(rows)) {
        for (weights, y) in weights.chunks(cols).zip(each) {
            let exact = weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            *y += exact.sum::<f64>() as f32;
        }
    }
    assert_close(&all, &each);
}

#[test]
fn eight_bits() {
    let panels = bytes(4, int8::len(ROWS, COLS));
    let scales = noise(5, layout::padded_rows(ROWS));
    for batch in BATCHES {
        let (q, q_scales, sums) = quantised(batch, COLS);
        let mut all = noise(6, batch * ROWS);
        let mut each = all.clone();
        int8::matmul(&panels, &scales, &q, &q_scales, &sums, &mut all);
        for (b, q) in q.chunks(COLS).enumerate() {
            let out = &mut each[b * ROWS..][..ROWS];
            int8::matvec(&panels, &scales, q, q_scales[b], sums[b], out);
        }
        assert_eq!(all, each);
    }
}

#[test]
fn few_bits() {
    for code in Code::ALL {
        let bytes = bytes(8, code.len(ROWS, COLS));
        let scales: Vec<u16> =
            noise(9, scales_len(ROWS, COLS, GROUP)).iter().map(|&x| half::from_f32(x)).collect();
        let w = Grouped { code, bytes: &bytes, scales: &scales, group: GROUP, levels: &[3; 16] };
        for batch in BATCHES {
            let (q, q_scales, sums) = quantised(batch, GROUP);
            let groups = COLS.div_ceil(GROUP);
            let mut all = noise(6, batch * ROWS);
            let mut each = all.clone();
            w.matmul(&q, &q_scales, &sums, &mut all);
            for (b, q) in q.chunks(COLS).enumerate() {
                let out = &mut each[b * ROWS..][..ROWS];
                w.matvec(q, q_scales[b], &sums[b * groups..][..groups], out);
            }
            assert_eq!(all, each, "{code:?}");
        }
    }
}
