//! Every product at the sizes of language models, beside the time to merely read as many bytes.
//!
//! `cargo bench -p pocketlm-kernels --bench products [-- FILTER]`: for each backend of this processor,
//! batch 1 on one thread: least time, bytes of weights per second, and the ratio to the bandwidth
//! that [`pocketlm_kernels::bytes::sum_words`] reaches over a buffer of the same size in the same
//! minute. Then the batched products: operations per second. Sizes are rows × columns.

use std::hint::black_box;
use std::time::Instant;

use pocketlm_kernels::backend::{self, Backend};
use pocketlm_kernels::grouped::{self, Code, GROUP, Grouped};
use pocketlm_kernels::layout::padded_rows;
use pocketlm_kernels::{bytes, codebook, float16, float32, int8, quantise};

const SIZES: [(usize, usize); 5] =
    [(800, 200), (2600, 650), (10_000, 200), (10_000, 650), (6000, 1500)];

/// 64 bytes, so that buffers of it are aligned to cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Aligned bytes with some values in them.
struct Buffer(Vec<Line>);

impl Buffer {
    fn new(len: usize, byte: impl Fn(usize) -> u8) -> Self {
        let mut lines = vec![Line([0; 64]); len.div_ceil(64)];
        for (i, line) in lines.iter_mut().enumerate() {
            line.0.iter_mut().enumerate().for_each(|(j, b)| *b = byte(i * 64 + j));
        }
        Buffer(lines)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: lines are plain bytes without padding.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 64) }
    }
}

/// The least seconds of one call of each function, measured in turns: what the machine can do, when
/// nothing disturbs it.
fn least(functions: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let repeats: Vec<usize> = functions.iter_mut().map(|f| repeats(f)).collect();
    let mut times = vec![f64::INFINITY; functions.len()];
    for _ in 0..40 {
        for (k, f) in functions.iter_mut().enumerate() {
            let start = Instant::now();
            (0..repeats[k]).for_each(|_| f());
            times[k] = times[k].min(start.elapsed().as_secs_f64() / repeats[k] as f64);
        }
    }
    times
}

/// How many calls take about a millisecond.
fn repeats(f: &mut dyn FnMut()) -> usize {
    f();
    let start = Instant::now();
    f();
    (0.001 / start.elapsed().as_secs_f64().max(1e-7)).ceil() as usize
}

fn line(name: &str, rows: usize, cols: usize, bytes: usize, [read, product]: [f64; 2]) {
    println!(
        "{:9} {name:8} {rows:6} x {cols:4} {:8.2} MB {:9.1} us {:7.1} GB/s  read {:7.1} GB/s  {:4.0} %",
        backend::chosen().name(),
        bytes as f64 / 1e6,
        product * 1e6,
        bytes as f64 / product / 1e9,
        bytes as f64 / read / 1e9,
        100.0 * read / product,
    );
}

/// Times `product` beside reading `buffer`.
fn beside_reading(buffer: &Buffer, mut product: impl FnMut()) -> [f64; 2] {
    let words = bytes::as_i32(buffer.bytes()).expect("aligned");
    let mut read = || {
        black_box(bytes::sum_words(black_box(words)));
    };
    let times = least(&mut [&mut read, &mut product]);
    [times[0], times[1]]
}

/// About normal: as of activations, most are far smaller than the largest.
fn some_vector(cols: usize) -> Vec<f32> {
    let mut normal = normal();
    (0..cols).map(|_| normal()).collect()
}

/// Sums of four numbers in ±0.5.
fn normal() -> impl FnMut() -> f32 {
    let mut random = 1u32;
    let mut unit = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as f32 / (1 << 24) as f32
    };
    move || (0..4).map(|_| unit()).sum::<f32>() - 2.0
}

fn batch_1(rows: usize, cols: usize) {
    let (x, mut out) = (some_vector(cols), vec![0.0; rows]);
    let mut q = vec![0; int8::padded_cols(cols)];
    let q_scale = quantise::quantise(&x, &mut q);

    let size = float32::len(rows, cols) * 4;
    let buffer = Buffer::new(size, |i| if i % 4 == 3 { 0x3d } else { i as u8 });
    let w = &bytes::as_f32(buffer.bytes()).expect("aligned")[..size / 4];
    let times = beside_reading(&buffer, || float32::matvec(black_box(w), &x, &mut out));
    line("f32", rows, cols, size, times);

    let size = float16::len(rows, cols) * 2;
    let buffer = Buffer::new(size, |i| if i % 2 == 1 { 0x2d } else { i as u8 });
    let w = &bytes::as_u16(buffer.bytes()).expect("aligned")[..size / 2];
    let times = beside_reading(&buffer, || float16::matvec(black_box(w), &x, &mut out));
    line("f16", rows, cols, size, times);

    let (size, scales) = (int8::len(rows, cols), vec![0.01; padded_rows(rows)]);
    let buffer = Buffer::new(size, |i| (i * 7) as u8);
    let (w, q8) = (&buffer.bytes()[..size], &q[..int8::padded_cols(cols)]);
    let sum = quantise::sum(q8);
    let product = || int8::matvec(black_box(w), &scales, q8, q_scale, sum, &mut out);
    line("int8", rows, cols, size, beside_reading(&buffer, product));

    Code::ALL.into_iter().for_each(|code| grouped_1(code, rows, cols));
}

fn grouped_1(code: Code, rows: usize, cols: usize) {
    let (x, mut out) = (some_vector(cols), vec![0.0; rows]);
    let mut q = vec![0; code.padded_cols(cols)];
    let q_scale = quantise::quantise(&x, &mut q);
    let size = code.len(rows, cols);
    let scales = vec![0x2400; grouped::scales_len(rows, cols, GROUP)];
    let mut sums = vec![0; cols.div_ceil(GROUP)];
    quantise::sums(&q, GROUP, &mut sums);
    let buffer = Buffer::new(size + scales.len() * 2, |i| (i * 7) as u8);
    let bytes = &buffer.bytes()[..size];
    let w = Grouped { code, bytes, scales: &scales, group: GROUP, levels: &[7; 16] };
    let product = || black_box(&w).matvec(&q, q_scale, &sums, &mut out);
    line(&name(code), rows, cols, size + scales.len() * 2, beside_reading(&buffer, product));
}

fn name(code: Code) -> String {
    format!("{code:?}").to_lowercase()
}

/// Seconds to pack a matrix.
fn packing(rows: usize, cols: usize) {
    let weights = some_vector(rows * cols);
    for code in Code::ALL {
        let start = Instant::now();
        let levels = match code {
            Code::Codebook => codebook::levels(&weights, cols, GROUP),
            _ => [0; 16],
        };
        let mut bytes = vec![0; code.len(rows, cols)];
        let mut scales = vec![0; grouped::scales_len(rows, cols, GROUP)];
        grouped::pack(code, &levels, &weights, rows, cols, GROUP, &mut bytes, &mut scales);
        let packed = start.elapsed().as_secs_f64();
        let w = Grouped { code, bytes: &bytes, scales: &scales, group: GROUP, levels: &levels };
        let mut back = vec![0.0; rows * cols];
        w.unpack(cols, &mut back);
        let unpacked = start.elapsed().as_secs_f64() - packed;
        let backend = backend::chosen().name();
        let (name, ms) = (name(code), 1e3 * packed);
        println!(
            "{backend:9} {name:8} {rows:6} x {cols:4} packed in {ms:6.1} ms, unpacked in {:6.1} ms",
            1e3 * unpacked
        );
    }
}

fn batched_line(name: &str, rows: usize, cols: usize, batch: usize, seconds: f64) {
    let operations = 2.0 * (rows * cols * batch) as f64;
    println!(
        "{:9} {name:8} {rows:6} x {cols:4} batch {batch:3} {:9.1} us {:8.1} G operations/s",
        backend::chosen().name(),
        seconds * 1e6,
        operations / seconds / 1e9,
    );
}

fn batched(rows: usize, cols: usize, batch: usize) {
    let (x, mut out) = (some_vector(cols * batch), vec![0.0; rows * batch]);
    let w = vec![0.01; float32::len(rows, cols)];
    let halves = vec![0x2400; float16::len(rows, cols)];
    let mut f32_product = || float32::matmul(black_box(&w), &x, batch, &mut out);
    batched_line("f32", rows, cols, batch, least(&mut [&mut f32_product])[0]);
    let mut f16_product = || float16::matmul(black_box(&halves), &x, batch, &mut out);
    batched_line("f16", rows, cols, batch, least(&mut [&mut f16_product])[0]);

    let mut q = vec![0; int8::padded_cols(cols) * batch];
    quantise::quantise(&x, &mut q);
    let sums: Vec<i32> = q.chunks(int8::padded_cols(cols)).map(quantise::sum).collect();
    let (w, scales) = (vec![7; int8::len(rows, cols)], vec![0.01; padded_rows(rows)]);
    let q_scales = vec![0.1; batch];
    let mut product = || int8::matmul(black_box(&w), &scales, &q, &q_scales, &sums, &mut out);
    batched_line("int8", rows, cols, batch, least(&mut [&mut product])[0]);

    Code::ALL.into_iter().for_each(|code| grouped_batch(code, rows, cols, batch));
}

fn grouped_batch(code: Code, rows: usize, cols: usize, batch: usize) {
    let (q, mut out) = (vec![3; code.padded_cols(cols) * batch], vec![0.0; rows * batch]);
    let (bytes, scales) = (vec![7; code.len(rows, cols)], grouped::scales_len(rows, cols, GROUP));
    let (scales, sums) = (vec![0x2400; scales], vec![0; batch * cols.div_ceil(GROUP)]);
    let q_scales = vec![0.1; batch];
    let w = Grouped { code, bytes: &bytes, scales: &scales, group: GROUP, levels: &[7; 16] };
    let mut product = || black_box(&w).matmul(&q, &q_scales, &sums, &mut out);
    batched_line(&name(code), rows, cols, batch, least(&mut [&mut product])[0]);
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let backends: Vec<Backend> =
        Backend::available().filter(|b| b.name().contains(&filter)).collect();
    // Run as a test, the smallest size is enough.
    let quick = std::env::args().any(|a| a == "--test");
    for backend in backends {
        assert!(backend::force(backend));
        for (rows, cols) in SIZES.into_iter().take(if quick { 1 } else { SIZES.len() }) {
            batch_1(rows, cols);
        }
        for batch in [8, 32, 64].into_iter().take(if quick { 1 } else { 3 }) {
            batched(2600, 650, batch);
        }
        packing(if quick { 100 } else { 10_000 }, 650);
    }
}
