//! Products with one vector in every structure and sparsity, beside dense int8.
//!
//! `cargo bench -p pocketlm --bench forms [-- FILTER] [--json]`: for each shape and form the least time of a product,
//! and its ratio to the time of dense int8 of the same shape, of the same bytes and of as many numbers (with fewer
//! rows), all measured in turns.

use std::time::Instant;

use pocketlm::Random;
use pocketlm::pack::{Factor, Form, Precision, Product, Sparsity};

/// The recurrence of 650 and of 1500 units, and a softmax of 10,000 words; then what a unitary recurrence can be of
/// about those widths.
const SIZES: [[usize; 2]; 5] =
    [[2600, 650], [6000, 1500], [10_000, 650], [1024, 1024], [2048, 2048]];

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

fn unitary([rows, columns]: [usize; 2]) -> Product {
    let form = (Sparsity::None, Precision::F32);
    let shapes = [[3, rows / 2], [4, rows / 2]];
    let [phases, reflections] = shapes.map(|shape| weights(shape, form.0, 1.0));
    let form = Form::Unitary {
        phases: factor(shapes[0], &phases, form),
        reflections: factor(shapes[1], &reflections, form),
    };
    Product::new(rows, columns, &form, 1).unwrap()
}

/// The forms to be measured, with their names.
fn forms(shape: [usize; 2]) -> Vec<(String, Product)> {
    use Precision::{F32, Int8};
    if shape[0] == shape[1] {
        return vec![("unitary f32".to_owned(), unitary(shape))];
    }
    let mut list = Vec::new();
    for precision in Precision::ALL.into_iter().filter(|&precision| precision != Int8) {
        let product = leaf(shape, (Sparsity::None, precision), 1.0);
        list.push((format!("dense {}", precision.name()), product));
    }
    for rank in [32, 128] {
        list.push((format!("low-rank int8, rank {rank}"), low_rank(shape, rank)));
    }
    for pruned in [50, 80, 90] {
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
    for block in [4, 16] {
        list.push((format!("circulant int8, blocks of {block}"), circulant(shape, block, Int8)));
    }
    for block in [16, 64] {
        list.push((format!("circulant f32, blocks of {block}"), circulant(shape, block, F32)));
    }
    for rank in [1, 4] {
        list.push((format!("toeplitz-like int8, rank {rank}"), toeplitz(shape, rank)));
    }
    let m: &[usize] = match shape[0] {
        2600 => &[10, 13, 20],
        6000 => &[15, 20, 20],
        _ => &[20, 20, 25],
    };
    let n: &[usize] = if shape[1] == 650 { &[5, 10, 13] } else { &[10, 10, 15] };
    for rank in [4, 16, 32] {
        list.push((format!("tensor-train f32, rank {rank}"), tensor_train(shape, m, n, rank)));
    }
    let (m, n) = ([m[0] * m[1] / 2, 2 * m[2]], [n[0] * n[1] / 2, 2 * n[2]]);
    for terms in [4, 32] {
        let name = format!("sum of {terms} Kronecker products f32");
        list.push((name, tensor_train(shape, &m, &n, terms)));
    }
    list
}

/// Seconds of one product, the mean over some.
fn time(product: &mut Product, x: &[f32], out: &mut [f32], repeats: u32) -> f64 {
    let start = Instant::now();
    (0..repeats).for_each(|_| product.apply(std::hint::black_box(x), out).unwrap());
    start.elapsed().as_secs_f64() / f64::from(repeats)
}

/// A matrix to be timed, with its number of rows.
type Timed<'p> = (&'p mut Product, usize);

/// The least seconds of a product with each, measured in turns of about two milliseconds.
fn least<const N: usize>(mut products: [Timed; N], x: &[f32], out: &mut [f32]) -> [f64; N] {
    let repeats = |(product, rows): &mut Timed, out: &mut [f32]| {
        let once = time(product, x, &mut out[..*rows], 3).max(1e-9);
        (0.002 / once).ceil().clamp(1.0, 1e6) as u32
    };
    let counts = products.each_mut().map(|product| repeats(product, out));
    let mut best = [f64::INFINITY; N];
    for _ in 0..25 {
        for ((best, (product, rows)), count) in best.iter_mut().zip(&mut products).zip(counts) {
            *best = best.min(time(product, x, &mut out[..*rows], count));
        }
    }
    best
}

/// Dense int8 of so many rows: as many, in proportion, as `share` of those of a whole matrix.
fn dense([rows, columns]: [usize; 2], share: f64) -> (Product, usize) {
    let rows = ((rows as f64 * share).round() as usize).max(1);
    (leaf([rows, columns], (Sparsity::None, Precision::Int8), 1.0), rows)
}

/// Microseconds and ratios of a form: to dense int8 of the same shape, of as many bytes, of as many numbers.
struct Row {
    form: String,
    shape: [usize; 2],
    bytes: usize,
    parameters: usize,
    microseconds: f64,
    times: [f64; 3],
}

impl Row {
    fn measure(shape: [usize; 2], form: String, product: &mut Product) -> Self {
        let mut random = Random::new(2);
        let x: Vec<f32> = (0..shape[1]).map(|_| random.unit() as f32 - 0.5).collect();
        let (mut whole, rows) = dense(shape, 1.0);
        let (bytes, parameters) = (product.bytes(), product.parameters());
        let share = bytes as f64 / whole.bytes() as f64;
        let (mut as_large, large) = dense(shape, share);
        let (mut as_many, many) = dense(shape, parameters as f64 / whole.parameters() as f64);
        let mut out = vec![0.0; rows.max(large).max(many)];
        let all =
            [(product, shape[0]), (&mut whole, rows), (&mut as_large, large), (&mut as_many, many)];
        let [seconds, others @ ..] = least(all, &x, &mut out);
        let times = others.map(|other| seconds / other);
        Self { form, shape, bytes, parameters, microseconds: seconds * 1e6, times }
    }

    fn print(&self) {
        let [whole, large, many] = self.times;
        let (kilobytes, time) = (self.bytes as f64 / 1e3, self.microseconds);
        println!(
            "  {:<34} {kilobytes:>9.1} {time:>9.1} {whole:>9.2} {large:>9.2} {many:>9.2}",
            self.form
        );
    }

    fn json(&self) -> String {
        let Self { form, shape, bytes, parameters, microseconds, times } = self;
        format!(
            "{{\"form\":\"{form}\",\"shape\":{shape:?},\"bytes\":{bytes},\"parameters\":{parameters},\
             \"microseconds\":{microseconds},\"time_to_dense\":{times:?}}}"
        )
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let json = arguments.iter().any(|argument| argument == "--json");
    let mut rows = Vec::new();
    if !json {
        println!("{:<36} {:>9} {:>9} time over int8's of the same", "form", "KB", "µs");
        println!("{:>66} {:>9} {:>9}", "shape", "bytes", "numbers");
    }
    for shape in SIZES {
        if !json {
            println!("{} x {}", shape[0], shape[1]);
        }
        for (name, mut product) in forms(shape) {
            if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
                continue;
            }
            let row = Row::measure(shape, name, &mut product);
            if json { rows.push(row.json()) } else { row.print() }
        }
    }
    if json {
        println!("{{\"rows\":[{}]}}", rows.join(","));
    }
}
