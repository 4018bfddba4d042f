//! Products with one vector in every structure and sparsity, beside dense int8.
//!
//! `cargo bench -p pocketlm --bench forms [-- FILTER]`: for each shape and form the least time of a product, its
//! ratio to the time of dense int8 measured in alternation with it, and the ratio of their bytes.

use std::time::Instant;

use pocketlm::Random;
use pocketlm::pack::{Factor, Form, Precision, Product, Sparsity};

const SIZES: [[usize; 2]; 3] = [[10_000, 200], [10_000, 650], [2600, 650]];

/// Random weights `[rows, columns]` of which `density` are kept.
fn weights([rows, columns]: [usize; 2], sparsity: Sparsity, density: f64) -> Vec<f32> {
    let mut random = Random::new(1);
    let mut weights: Vec<f32> =
        (0..rows * columns).map(|_| random.unit() as f32 * 2.0 - 1.0).collect();
    if sparsity == Sparsity::Unstructured {
        weights.iter_mut().filter(|_| random.unit() >= density).for_each(|w| *w = 0.0);
    }
    if sparsity == Sparsity::Panels {
        for panel in weights.chunks_mut(16 * columns) {
            for column in (0..columns).filter(|_| random.unit() >= density) {
                panel.iter_mut().skip(column).step_by(columns).for_each(|w| *w = 0.0);
            }
        }
    }
    weights
}

fn factor([rows, columns]: [usize; 2], weights: &[f32], form: (Sparsity, Precision)) -> Factor<'_> {
    Factor { rows, columns, weights, sparsity: form.0, precision: form.1 }
}

fn leaf(shape: [usize; 2], form: (Sparsity, Precision), density: f64) -> Product {
    let weights = weights(shape, form.0, density);
    Product::new(shape[0], shape[1], &Form::Dense(factor(shape, &weights, form)), 1).unwrap()
}

fn low_rank([rows, columns]: [usize; 2], rank: usize) -> Product {
    let form = (Sparsity::None, Precision::Int8);
    let (left, right) = ([rows, rank], [rank, columns]);
    let (l, r) = (weights(left, form.0, 1.0), weights(right, form.0, 1.0));
    let form = Form::LowRank { left: factor(left, &l, form), right: factor(right, &r, form) };
    Product::new(rows, columns, &form, 1).unwrap()
}

fn tensor_train([rows, columns]: [usize; 2], m: &[usize], n: &[usize], rank: usize) -> Product {
    let form = (Sparsity::None, Precision::F32);
    let ranks = |k: usize| if k == 0 || k == m.len() { 1 } else { rank };
    let shapes: Vec<_> = (0..m.len()).map(|k| [m[k] * ranks(k + 1), ranks(k) * n[k]]).collect();
    let all: Vec<_> = shapes.iter().map(|&shape| weights(shape, form.0, 1.0)).collect();
    let cores = shapes.iter().zip(&all).map(|(&shape, w)| factor(shape, w, form)).collect();
    let form = Form::TensorTrain { row_modes: m, column_modes: n, cores };
    Product::new(rows, columns, &form, 1).unwrap()
}

fn circulant([rows, columns]: [usize; 2], block: usize, precision: Precision) -> Product {
    let shape = [rows.div_ceil(block), columns.next_multiple_of(block)];
    let form = (Sparsity::None, precision);
    let vectors = weights(shape, form.0, 1.0);
    let form = Form::BlockCirculant { block, vectors: factor(shape, &vectors, form) };
    Product::new(rows, columns, &form, 1).unwrap()
}

fn toeplitz([rows, columns]: [usize; 2], rank: usize) -> Product {
    let block = rows.min(columns);
    let shape = [rows.div_ceil(block) * columns.div_ceil(block) * rank, block];
    let form = (Sparsity::None, Precision::Int8);
    let leaf = weights(shape, form.0, 1.0);
    let [g, h] = [0, 1].map(|_| factor(shape, &leaf, form));
    Product::new(rows, columns, &Form::ToeplitzLike { block, rank, g, h }, 1).unwrap()
}

/// The forms to be measured, with their names.
fn forms(shape: [usize; 2]) -> Vec<(String, Product)> {
    use Precision::{F32, Int8};
    let mut list = Vec::new();
    for rank in [16, 32, 64, 128] {
        list.push((format!("low-rank int8, rank {rank}"), low_rank(shape, rank)));
    }
    for pruned in [50, 80, 90, 95] {
        let density = 1.0 - f64::from(pruned) / 100.0;
        let product = leaf(shape, (Sparsity::Unstructured, Int8), density);
        list.push((format!("unstructured int8, {pruned} %"), product));
    }
    for precision in [Int8, F32] {
        for pruned in [50, 80, 90] {
            let density = 1.0 - f64::from(pruned) / 100.0;
            let product = leaf(shape, (Sparsity::Panels, precision), density);
            list.push((format!("panels {}, {pruned} %", precision.name()), product));
        }
    }
    for block in [4, 8, 16] {
        list.push((format!("circulant int8, blocks of {block}"), circulant(shape, block, Int8)));
    }
    for block in [8, 16, 32, 64] {
        list.push((format!("circulant f32, blocks of {block}"), circulant(shape, block, F32)));
    }
    for rank in [1, 4] {
        list.push((format!("toeplitz-like int8, rank {rank}"), toeplitz(shape, rank)));
    }
    let m: &[usize] = if shape[0] == 2600 { &[10, 13, 20] } else { &[20, 20, 25] };
    let n: &[usize] = if shape[1] == 650 { &[5, 10, 13] } else { &[5, 5, 8] };
    for rank in [4, 16, 32] {
        list.push((format!("tensor-train f32, rank {rank}"), tensor_train(shape, m, n, rank)));
    }
    list
}

/// Seconds of one product, the mean over about two milliseconds.
fn time(product: &mut Product, x: &[f32], out: &mut [f32], repeats: u32) -> f64 {
    let start = Instant::now();
    (0..repeats).for_each(|_| product.apply(std::hint::black_box(x), out).unwrap());
    start.elapsed().as_secs_f64() / f64::from(repeats)
}

/// The least seconds of a product with each, measured in turns.
fn least(products: [&mut Product; 2], x: &[f32], out: &mut [f32]) -> [f64; 2] {
    let [a, b] = products;
    let repeats = |p: &mut Product, out: &mut [f32]| {
        (0.002 / time(p, x, out, 3).max(1e-9)).ceil().clamp(1.0, 1e6) as u32
    };
    let counts = [repeats(a, out), repeats(b, out)];
    let mut best = [f64::INFINITY; 2];
    for _ in 0..25 {
        best[0] = best[0].min(time(a, x, out, counts[0]));
        best[1] = best[1].min(time(b, x, out, counts[1]));
    }
    best
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:<36} {:>9} {:>12} {:>12}", "form", "µs", "time ratio", "bytes ratio");
    for shape in SIZES {
        let mut random = Random::new(2);
        let x: Vec<f32> = (0..shape[1]).map(|_| random.unit() as f32 - 0.5).collect();
        let mut out = vec![0.0; shape[0]];
        let mut dense = leaf(shape, (Sparsity::None, Precision::Int8), 1.0);
        println!("{} x {}", shape[0], shape[1]);
        for (name, mut product) in forms(shape) {
            if filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
                continue;
            }
            let bytes = product.bytes() as f64 / dense.bytes() as f64;
            let [seconds, base] = least([&mut product, &mut dense], &x, &mut out);
            println!("  {name:<34} {:>9.1} {:>12.3} {bytes:>12.3}", seconds * 1e6, seconds / base);
        }
    }
}
