//! The large product at the sizes of training, on one thread: packing, the product alone, and the machine's
//! limit on arithmetic in the same minute.
//!
//! `cargo bench -p pocketlm-kernels --bench gemm`. Shapes are rows × columns, depth.

use std::hint::black_box;
use std::time::Instant;

use pocketlm_kernels::gemm::{self, Factor, STRIP_COLUMNS, STRIP_ROWS};
use pocketlm_kernels::probe::multiply_add;

/// What a training step of two layers of 200 or 650 units multiplies, cut as the trainer cuts it.
const SHAPES: [[usize; 3]; 12] = [
    [48, 320, 200],
    [348, 2048, 200],
    [348, 10_000, 200],
    [96, 200, 700],
    [348, 200, 768],
    [348, 800, 200],
    [348, 2048, 650],
    [96, 650, 700],
    [348, 650, 768],
    [10, 800, 200],
    [20, 800, 200],
    [20, 1300, 650],
];

/// Numbers of a cache line.
const LINE: usize = 16;

/// The least seconds of a call.
fn least(mut f: impl FnMut()) -> f64 {
    f();
    let start = Instant::now();
    f();
    let repeats = (0.002 / start.elapsed().as_secs_f64().max(1e-7)).ceil() as usize;
    let mut once = || {
        let start = Instant::now();
        (0..repeats).for_each(|_| f());
        start.elapsed().as_secs_f64() / repeats as f64
    };
    (0..20).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn peak() -> f64 {
    const ROUNDS: u64 = 100_000;
    let seconds = least(|| {
        black_box(multiply_add(black_box(ROUNDS)));
    });
    multiply_add(ROUNDS).0 as f64 / seconds / 1e9
}

fn numbers(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * 31) % 17) as f32 / 8.0 - 1.0).collect()
}

/// Nanoseconds an element to pack a matrix `[lines, depth]`, row-major or column-major.
fn packing(width: usize, lines: usize, depth: usize) -> [f64; 2] {
    let data = numbers(lines * depth);
    let mut strips = vec![0.0; gemm::len(width, lines, depth)];
    [(depth, 1), (1, lines)].map(|(line_step, depth_step)| {
        let factor = Factor { data: &data, line_step, depth_step };
        let seconds =
            least(|| gemm::pack(black_box(factor), width, (0, lines), (0, depth), &mut strips));
        seconds * 1e9 / (lines * depth) as f64
    })
}

fn product([rows, columns, depth]: [usize; 3]) {
    let lengths =
        [(STRIP_ROWS, rows), (STRIP_COLUMNS, columns)].map(|(w, n)| gemm::len(w, n, depth));
    let [a, b] = lengths.map(|length| numbers(length + LINE));
    // As the trainer lays them: a register's load never crosses two cache lines.
    let [a, b] = [(&a, lengths[0]), (&b, lengths[1])].map(|(all, length)| {
        let skip = all.as_ptr().align_offset(4 * LINE);
        &all[skip..skip + length]
    });
    let mut out = vec![0.0; rows * columns];
    let shape = [rows, columns];
    let seconds =
        least(|| gemm::multiply(black_box((a, b)), depth, shape, (&mut out, columns), true));
    let speed = 2e-9 * (rows * columns * depth) as f64 / seconds;
    let limit = peak();
    let percent = 100.0 * speed / limit;
    println!(
        "{rows:5} x {columns:5}, {depth:4}: {speed:6.1} GFLOP/s of {limit:.1}: {percent:.0} %"
    );
}

fn main() {
    for (width, lines, depth) in
        [(STRIP_ROWS, 96, 2048), (STRIP_ROWS, 2048, 700), (STRIP_COLUMNS, 2048, 200)]
    {
        let [rows, columns] = packing(width, lines, depth);
        println!(
            "packing {lines} lines of {depth} by {width}: {rows:.2} ns an element, transposed {columns:.2}"
        );
    }
    SHAPES.into_iter().for_each(product);
}
