//! A fixed battery of everything that is specified to the bit, and one number made of all results.
//!
//! Only `core` and the crate: it runs wherever the crate does.

use pocketlm_kernels::grouped::{self, Code, Grouped};
use pocketlm_kernels::softmax::LogSumExp;
use pocketlm_kernels::topk::{Candidate, TopK};
use pocketlm_kernels::{activation, codebook, float16, float32, gates, half, int8, quantise};

/// What the battery gives on every platform.
pub const DIGEST: u64 = 0xd05e_9e36_7915_076a;

const ROWS: usize = 37;
const PADDED_ROWS: usize = 48;
const COLS: usize = 150;
const BATCH: usize = 11;

/// Fowler, Noll and Vo's hash (1a) of the bits of results.
struct Hash(u64);

impl Hash {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }

    fn word(&mut self, word: u32) {
        word.to_le_bytes().into_iter().for_each(|byte| self.byte(byte));
    }

    /// The bits; all NaNs are one, since their bits are not specified.
    fn float(&mut self, x: f32) {
        self.word(if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() });
    }

    fn floats(&mut self, x: &[f32]) {
        x.iter().for_each(|&x| self.float(x));
    }
}

/// Numbers that look random (Marsaglia's xorshift).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// Between −1 and 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 8) as f32 / 8_388_608.0 - 1.0
    }

    fn fill(&mut self, x: &mut [f32], scale: f32) {
        x.iter_mut().for_each(|x| *x = self.unit() * scale);
    }
}

/// A batch of vectors, quantised.
struct Quantised {
    q: [i8; BATCH * 152],
    scales: [f32; BATCH],
}

/// Vectors of different magnitudes, the second all zero, in rows of 152.
fn quantised(numbers: &mut Numbers, hash: &mut Hash) -> Quantised {
    let mut out = Quantised { q: [0; BATCH * 152], scales: [0.0; BATCH] };
    for (b, q) in out.q.chunks_mut(152).enumerate() {
        let mut x = [0.0; COLS];
        numbers.fill(&mut x, if b == 1 { 0.0 } else { 1.0 / (1 << b) as f32 });
        out.scales[b] = match b {
            2 => quantise::quantise_within(&x, 0.7 * quantise::max_abs(&x), q),
            _ => quantise::quantise(&x, q),
        };
        hash.float(out.scales[b]);
        q.iter().for_each(|&q| hash.byte(q as u8));
    }
    out
}

fn int8_products(numbers: &mut Numbers, hash: &mut Hash, weights: &[f32], x: &Quantised) {
    let mut panels = [0; PADDED_ROWS * 152];
    let mut scales = [0.0; PADDED_ROWS];
    int8::pack(weights, ROWS, COLS, &mut panels, &mut scales);
    panels.iter().for_each(|&byte| hash.byte(byte));
    hash.floats(&scales);
    for random in [false, true] {
        if random {
            panels.iter_mut().for_each(|byte| *byte = numbers.next() as u8);
        }
        let mut sums = [0; BATCH];
        quantise::sums(&x.q, 152, &mut sums);
        let mut out = [0.25; ROWS];
        int8::matvec(&panels, &scales, &x.q[..152], x.scales[0], sums[0], &mut out);
        hash.floats(&out);
        let mut out = [-0.5; BATCH * ROWS];
        int8::matmul(&panels, &scales, &x.q, &x.scales, &sums, &mut out);
        hash.floats(&out);
    }
    let mut row = [0.0; COLS];
    int8::row(&panels, &scales, 30, &mut row);
    hash.floats(&row);
}

/// Columns of the grouped products: they fit the blocks of every code.
const WIDE: usize = 160;

fn grouped_products(numbers: &mut Numbers, hash: &mut Hash, weights: &[f32], x: &Quantised) {
    let mut q = [0; BATCH * WIDE];
    for (q, x) in q.chunks_mut(WIDE).zip(x.q.chunks(152)) {
        q[..152].copy_from_slice(x);
    }
    for (code, group) in Code::ALL.into_iter().flat_map(|code| [32, 64, 96].map(|g| (code, g))) {
        let (cols, groups) = (code.padded_cols(COLS), COLS.div_ceil(group));
        let mut all_bytes = [0; PADDED_ROWS * WIDE];
        let mut all_scales = [0; PADDED_ROWS * 5];
        let bytes = &mut all_bytes[..code.len(ROWS, COLS)];
        let scales = &mut all_scales[..PADDED_ROWS * groups];
        let levels = match code {
            Code::Codebook => codebook::levels(weights, COLS, group),
            _ => [0; 16],
        };
        grouped::pack(code, &levels, weights, ROWS, COLS, group, bytes, scales);
        scales.iter().for_each(|&scale| hash.word(u32::from(scale)));
        levels.iter().for_each(|&level| hash.byte(level as u8));
        for random in [false, true] {
            if random {
                bytes.iter_mut().for_each(|byte| *byte = numbers.next() as u8);
            }
            bytes.iter().for_each(|&byte| hash.byte(byte));
            products(hash, &Grouped { code, bytes, scales, group, levels: &levels }, cols, &q, x);
        }
    }
}

fn products(hash: &mut Hash, w: &Grouped, cols: usize, wide: &[i8], x: &Quantised) {
    let mut all_q = [0; BATCH * WIDE];
    let q = &mut all_q[..BATCH * cols];
    for (q, wide) in q.chunks_mut(cols).zip(wide.chunks(WIDE)) {
        q.copy_from_slice(&wide[..cols]);
    }
    let groups = cols.div_ceil(w.group);
    let mut all_sums = [0; BATCH * 5];
    let sums = &mut all_sums[..BATCH * groups];
    for (sums, q) in sums.chunks_mut(groups).zip(q.chunks(cols)) {
        quantise::sums(q, w.group, sums);
    }
    let mut out = [0.25; ROWS];
    w.matvec(&q[..cols], x.scales[0], &sums[..groups], &mut out);
    hash.floats(&out);
    let mut out = [-0.5; BATCH * ROWS];
    w.matmul(q, &x.scales, sums, &mut out);
    hash.floats(&out);
    let mut row = [0.0; COLS];
    w.row(30, &mut row);
    hash.floats(&row);
}

/// Every 2¹⁷th number there is, NaN and infinities included, a few at a time.
fn activations(hash: &mut Hash) {
    for start in (0u32..1 << 15).step_by(61) {
        let mut x = [0.0f32; 61];
        for (i, x) in x.iter_mut().enumerate() {
            *x = f32::from_bits((start + i as u32) << 17);
        }
        for f in [activation::exp, activation::sigmoid, activation::tanh] {
            let mut y = x;
            f(&mut y);
            hash.floats(&y);
        }
    }
}

fn steps(numbers: &mut Numbers, hash: &mut Hash) {
    let (mut c, mut h) = ([0.0; ROWS], [0.0; ROWS]);
    for _ in 0..20 {
        let (mut pre, mut other) = ([0.0; 4 * ROWS], [0.0; 3 * ROWS]);
        numbers.fill(&mut pre, 6.0);
        numbers.fill(&mut other, 6.0);
        gates::lstm(&pre, &mut c, &mut h);
        hash.floats(&c);
        hash.floats(&h);
        gates::cifg(&pre[..3 * ROWS], &mut c, &mut h);
        hash.floats(&h);
        gates::gru(&pre[..3 * ROWS], &other, &mut h);
        hash.floats(&h);
    }
}

fn softmax(numbers: &mut Numbers, hash: &mut Hash) {
    let (mut lse, mut places) = (LogSumExp::new(), [Candidate::default(); 9]);
    let mut top = TopK::new(&mut places);
    for block in 0..40 {
        let mut logits = [0.0; 48];
        numbers.fill(&mut logits, if block % 7 == 3 { 90.0 } else { 12.0 });
        lse.push(&logits);
        top.push(&logits, block * 48);
        let value = lse.value().to_bits();
        hash.word(value as u32);
        hash.word((value >> 32) as u32);
    }
    for best in top.best() {
        hash.word(best.id);
        hash.float(best.score);
    }
}

/// The hash of everything: [`DIGEST`], on every platform.
pub fn digest() -> u64 {
    let (mut numbers, mut hash) = (Numbers(2_463_534_242), Hash(0xcbf2_9ce4_8422_2325));
    let mut weights = [0.0; ROWS * COLS];
    numbers.fill(&mut weights, 0.1);
    weights[3 * COLS..4 * COLS].fill(0.0);
    let x = quantised(&mut numbers, &mut hash);
    int8_products(&mut numbers, &mut hash, &weights, &x);
    grouped_products(&mut numbers, &mut hash, &weights, &x);
    activations(&mut hash);
    steps(&mut numbers, &mut hash);
    softmax(&mut numbers, &mut hash);
    hash.0
}

fn close(got: &[f32], w: &[f32], x: &[f32], tolerance: f64) -> bool {
    got.iter().enumerate().all(|(i, &y)| {
        let (b, r) = (i / ROWS, i % ROWS);
        let (w, x) = (&w[r * COLS..][..COLS], &x[b * COLS..][..COLS]);
        let want: f64 = w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
        (f64::from(y) - want).abs() < tolerance
    })
}

/// Whether the floating-point products agree with sums in double precision.
pub fn floats_agree() -> bool {
    let mut numbers = Numbers(7);
    let (mut w, mut x) = ([0.0; ROWS * COLS], [0.0; BATCH * COLS]);
    numbers.fill(&mut w, 1.0);
    numbers.fill(&mut x, 1.0);
    let mut panels = [0.0; PADDED_ROWS * COLS];
    float32::pack(&w, ROWS, COLS, &mut panels);
    let (mut one, mut all) = ([0.0; ROWS], [0.0; BATCH * ROWS]);
    float32::matvec(&panels, &x[..COLS], &mut one);
    float32::matmul(&panels, &x, BATCH, &mut all);
    let singles = close(&one, &w, &x, 1e-4) && close(&all, &w, &x, 1e-4);

    let mut panels = [0; PADDED_ROWS * COLS];
    float16::pack(&w, ROWS, COLS, &mut panels);
    w.iter_mut().for_each(|w| *w = half::to_f32(half::from_f32(*w)));
    one.fill(0.0);
    all.fill(0.0);
    float16::matvec(&panels, &x[..COLS], &mut one);
    float16::matmul(&panels, &x, BATCH, &mut all);
    singles && close(&one, &w, &x, 1e-4) && close(&all, &w, &x, 1e-4)
}
