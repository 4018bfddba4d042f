//! Small random models for the tests, and an independent double-precision computation of them.
#![allow(dead_code)]

pub mod malformed;
pub mod ngram;
pub mod subword;

use std::collections::BTreeMap;

use pocketlm::pack::{Factor, Form, Packer, Precision, Sparsity, round_trip_factor};
use pocketlm::{CellKind, Configuration, MatrixName, Model, Part, Random, Structure, Unit};

/// A model's parts in the caller's order, as a trainer has them.
pub struct Parts {
    pub configuration: Configuration,
    pub words: Vec<String>,
    pub weights: BTreeMap<String, Vec<f32>>,
}

/// A configuration with two layers of different widths.
pub fn configuration(
    cell: CellKind,
    cell_projection: usize,
    projection: usize,
    tied: bool,
) -> Configuration {
    let hidden = if cell == CellKind::Urnn { vec![16, 8] } else { vec![9, 7] };
    let top = if cell_projection > 0 { cell_projection } else { hidden[1] };
    let softmax = if projection > 0 { projection } else { top };
    let embedding = if tied { softmax } else { 6 };
    Configuration {
        cell,
        embedding,
        hidden,
        cell_projection,
        projection,
        tied,
        unit: Unit::Word,
        layer_norm: false,
        mogrifier: 0,
    }
}

/// Every cell with and without projections, tied and untied.
pub fn configurations() -> Vec<Configuration> {
    let mut list = Vec::new();
    for cell in CellKind::ALL {
        let projected = matches!(cell, CellKind::Lstm | CellKind::Cifg);
        for cell_projection in if projected { vec![0, 5] } else { vec![0] } {
            for projection in [0, 11] {
                list.extend(
                    [false, true]
                        .map(|tied| configuration(cell, cell_projection, projection, tied)),
                );
            }
        }
        if cell == CellKind::Urnn {
            continue;
        }
        let plain = configuration(cell, 0, 0, false);
        list.push(Configuration { layer_norm: true, ..plain.clone() });
        list.push(Configuration { mogrifier: 3, ..plain.clone() });
        list.push(Configuration { mogrifier: 4, layer_norm: true, ..plain });
    }
    list
}

/// Gives the first layer about `width` units: an even number to a uRNN.
pub fn widen(configuration: &mut Configuration, width: usize) {
    configuration.hidden[0] =
        width + usize::from(configuration.cell == CellKind::Urnn) * (width % 2);
}

/// Words that share prefixes, in an order that is not sorted, with `<eos>` and `<unk>` among them.
pub fn words(count: usize) -> Vec<String> {
    let stems = ["the", "then", "them", "a", "an", "and", "un", "under", "été", "Zug", "я", "word"];
    let word = |i: usize| match i {
        0 => "<unk>".to_string(),
        1 => "<eos>".to_string(),
        _ if i - 2 < stems.len() => stems[i - 2].to_string(),
        _ => format!("{}{}", stems[i * 7 % stems.len()], i),
    };
    (0..count).map(word).collect()
}

impl Parts {
    /// Random weights, uniform in ±`scale`; those that a uRNN feeds its state back by are smaller, since nothing else
    /// bounds that state.
    pub fn random(configuration: Configuration, types: usize, scale: f32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut weights = BTreeMap::new();
        let matrices = configuration.matrices(types).into_iter();
        for expected in matrices.chain(configuration.biases(types)) {
            let is_unbounded = configuration.cell == CellKind::Urnn
                && expected.name.to_string().ends_with("recurrent");
            let share = if is_unbounded { 0.5 / (expected.columns as f32).sqrt() } else { 1.0 };
            let draw = |_| (random.unit() as f32 * 2.0 - 1.0) * scale * share;
            let values = (0..expected.rows * expected.columns).map(draw).collect();
            weights.insert(expected.name.to_string(), values);
        }
        Self { configuration, words: words(types), weights }
    }

    pub fn packer(&self, precision: Precision) -> Packer {
        let types = self.words.len();
        let unk = self.words.iter().any(|word| word == "<unk>").then_some("<unk>");
        let mut packer =
            Packer::new(self.configuration.clone(), &self.words, "<eos>", unk).unwrap();
        for matrix in self.configuration.matrices(types) {
            packer.matrix(matrix.name, &self.weights[&matrix.name.to_string()], precision).unwrap();
        }
        for bias in self.configuration.biases(types) {
            packer.bias(bias.name, &self.weights[&bias.name.to_string()]).unwrap();
        }
        packer
    }

    pub fn bytes(&self, precision: Precision) -> Vec<u8> {
        self.packer(precision).finish().unwrap()
    }

    pub fn model(&self, precision: Precision) -> Model {
        Model::from_bytes(self.bytes(precision)).unwrap()
    }
}

/// A packed tiny LSTM for tests of everything but the arithmetic.
pub fn tiny(precision: Precision) -> Model {
    tiny_parts().model(precision)
}

pub fn tiny_parts() -> Parts {
    Parts::random(configuration(CellKind::Lstm, 0, 0, false), 40, 0.5, 1)
}

/// A model with a form of its own for each matrix.
pub struct Forms {
    pub parts: Parts,
    kinds: Vec<Kind>,
}

/// One matrix's form.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Leaf(Sparsity, Precision),
    LowRank((Sparsity, Precision), (Sparsity, Precision)),
    /// Factors of rank 4 in the first form, a diagonal in the second.
    DiagonalLowRank((Sparsity, Precision), (Sparsity, Precision)),
    TensorTrain(Sparsity, Precision),
    /// Blocks of this size.
    BlockCirculant(usize, (Sparsity, Precision)),
    /// Two groups of rows, of ranks 3 and 2.
    BlockLowRank((Sparsity, Precision), (Sparsity, Precision)),
    /// Blocks of this size, two terms each.
    ToeplitzLike(usize, (Sparsity, Precision)),
    /// Phases and reflections in this form.
    Unitary((Sparsity, Precision)),
}

impl Kind {
    /// That of a structure, with leaves of these forms; blocks have several sizes.
    fn of(
        structure: Structure,
        k: usize,
        leaf: (Sparsity, Precision),
        other: (Sparsity, Precision),
    ) -> Option<Self> {
        Some(match structure {
            Structure::Dense => Self::Leaf(leaf.0, leaf.1),
            Structure::LowRank => Self::LowRank(leaf, other),
            Structure::DiagonalLowRank => Self::DiagonalLowRank(leaf, other),
            Structure::TensorTrain => Self::TensorTrain(leaf.0, leaf.1),
            Structure::BlockCirculant => Self::BlockCirculant([1, 3, 4, 16, 32][k % 5], leaf),
            Structure::BlockLowRank => Self::BlockLowRank(leaf, other),
            Structure::ToeplitzLike => Self::ToeplitzLike([2, 4, 5, 7][k % 4], leaf),
            // Square ones: the recurrent matrices of a uRNN have it in any case.
            Structure::Unitary => return None,
        })
    }

    /// The form of a leaf.
    fn leaf(self) -> (Sparsity, Precision) {
        match self {
            Kind::Leaf(sparsity, precision) | Kind::TensorTrain(sparsity, precision) => {
                (sparsity, precision)
            }
            Kind::LowRank(leaf, _)
            | Kind::DiagonalLowRank(leaf, _)
            | Kind::BlockLowRank(leaf, _) => leaf,
            Kind::BlockCirculant(_, leaf) | Kind::ToeplitzLike(_, leaf) | Kind::Unitary(leaf) => {
                leaf
            }
        }
    }
}

/// The forms that a leaf can have.
pub fn leaves() -> Vec<(Sparsity, Precision)> {
    let all = Sparsity::ALL.into_iter().flat_map(|s| Precision::ALL.map(|p| (s, p)));
    all.filter(|(sparsity, precision)| sparsity.takes(*precision)).collect()
}

/// Every form of a leaf in every structure that a matrix of any shape can have.
fn kinds() -> Vec<Kind> {
    let leaves = leaves();
    let of = |structure| {
        let pairs = leaves.iter().zip(leaves.iter().cycle().skip(3)).enumerate();
        pairs.filter_map(move |(k, (&leaf, &other))| Kind::of(structure, k, leaf, other))
    };
    Structure::ALL.into_iter().flat_map(of).collect()
}

/// Numbers of which some are zero: every third place, or every third column of a panel.
fn thinned(rows: usize, columns: usize, sparsity: Sparsity, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut weights: Vec<f32> =
        (0..rows * columns).map(|_| random.unit() as f32 * 0.8 - 0.4).collect();
    for (at, weight) in weights.iter_mut().enumerate() {
        let (row, column) = (at / columns, at % columns);
        let is_kept = match sparsity {
            Sparsity::None => true,
            Sparsity::Unstructured => (row * 2 + column) % 3 != 0,
            Sparsity::Panels => (row / 16 + column) % 3 != 0,
        };
        *weight = if is_kept { *weight } else { 0.0 };
    }
    weights
}

/// Two modes whose product is at least `size`.
fn modes(size: usize) -> [usize; 2] {
    let first = (1..).find(|mode| mode * mode >= size).unwrap();
    [first, size.div_ceil(first)]
}

impl Forms {
    /// Models that together have every form in every place.
    pub fn all() -> Vec<Self> {
        let (kinds, configurations) = (kinds(), configurations());
        // Each model has five matrices at least.
        let count = configurations.len().max(kinds.len().div_ceil(5));
        let list = configurations.into_iter().cycle().take(count).enumerate();
        list.map(|(k, configuration)| {
            let mut kinds = kinds.clone();
            let turn = k * 5 % kinds.len();
            kinds.rotate_left(turn);
            Self { parts: Parts::random(configuration, 75, 0.5, k as u64), kinds }
        })
        .collect()
    }

    /// The same form for all matrices but the recurrent ones of a uRNN, which are unitary with leaves of that form.
    pub fn one(parts: Parts, kind: Kind) -> Self {
        Self { parts, kinds: vec![kind] }
    }

    /// The packed model.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_and_twin().0
    }

    /// The packed model, and one of dense f32 matrices with the same numbers.
    pub fn bytes_and_twin(&self) -> (Vec<u8>, Vec<u8>) {
        let mut packer = self.parts.packer(Precision::F32);
        let mut twin = self.parts.packer(Precision::F32);
        let order = packer.order().to_vec();
        let matrices = self.parts.configuration.matrices(self.parts.words.len());
        for (seed, (matrix, &kind)) in matrices.iter().zip(self.kinds.iter().cycle()).enumerate() {
            let order = matrix.name.is_by_word().then_some(&order[..]);
            let shape = [matrix.rows, matrix.columns];
            let is_unitary = self.parts.configuration.cell == CellKind::Urnn
                && matches!(matrix.name, MatrixName::Cell(_, Part::Recurrent));
            let kind = if is_unitary { Kind::Unitary(kind.leaf()) } else { kind };
            let dense = pack_kind(&mut packer, (matrix.name, shape), kind, order, seed as u64);
            twin.matrix(matrix.name, &dense, Precision::F32).unwrap();
        }
        (packer.finish().unwrap(), twin.finish().unwrap())
    }
}

/// Adds a matrix of this kind; returns its numbers as the file has them, in the caller's order of rows.
fn pack_kind(
    packer: &mut Packer,
    (name, [rows, columns]): (MatrixName, [usize; 2]),
    kind: Kind,
    order: Option<&[u32]>,
    seed: u64,
) -> Vec<f32> {
    // Panels are of the file's order, so rows are made in that order and given in the caller's.
    let given = |weights: &[f32], columns: usize| {
        let mut given = vec![0.0; weights.len()];
        for (row, weights) in weights.chunks_exact(columns).enumerate() {
            let at = order.map_or(row, |order| order[row] as usize);
            given[at * columns..][..columns].copy_from_slice(weights);
        }
        given
    };
    fn factor(
        weights: &[f32],
        columns: usize,
        (sparsity, precision): (Sparsity, Precision),
    ) -> Factor<'_> {
        Factor { rows: weights.len() / columns, columns, weights, sparsity, precision }
    }
    let read = |weights: &[f32], columns, form| {
        round_trip_factor(&factor(weights, columns, form)).unwrap()
    };
    match kind {
        Kind::Leaf(sparsity, precision) => {
            let form = (sparsity, precision);
            let weights = thinned(rows, columns, sparsity, seed);
            let turned = given(&weights, columns);
            packer.form(name, &Form::Dense(factor(&turned, columns, form))).unwrap();
            given(&read(&weights, columns, form), columns)
        }
        Kind::LowRank(left, right) => {
            let rank = 4;
            let l = thinned(rows, rank, left.0, seed);
            let r = thinned(rank, columns, right.0, seed + 1);
            let turned = given(&l, rank);
            let form = Form::LowRank {
                left: factor(&turned, rank, left),
                right: factor(&r, columns, right),
            };
            packer.form(name, &form).unwrap();
            let (l, r) = (read(&l, rank, left), read(&r, columns, right));
            let element = |i: usize, j: usize| {
                (0..rank).map(|k| l[i * rank + k] * r[k * columns + j]).sum::<f32>()
            };
            let dense: Vec<f32> =
                (0..rows * columns).map(|at| element(at / columns, at % columns)).collect();
            given(&dense, columns)
        }
        Kind::DiagonalLowRank(leaf, own) => {
            let rank = 4;
            let l = thinned(rows, rank, leaf.0, seed);
            let r = thinned(rank, columns, leaf.0, seed + 1);
            let d = thinned(rows, 1, own.0, seed + 2);
            let [turned, turned_d] = [given(&l, rank), given(&d, 1)];
            let form = Form::DiagonalLowRank {
                left: factor(&turned, rank, leaf),
                right: factor(&r, columns, leaf),
                diagonal: factor(&turned_d, 1, own),
            };
            packer.form(name, &form).unwrap();
            let (l, r) = (read(&l, rank, leaf), read(&r, columns, leaf));
            let (l, d) = (given(&l, rank), given(&read(&d, 1, own), 1));
            let element = |at: usize| {
                let (i, j) = (at / columns, at % columns);
                let product = (0..rank).map(|k| l[i * rank + k] * r[k * columns + j]).sum::<f32>();
                if j == i % columns { product + d[i] } else { product }
            };
            (0..rows * columns).map(element).collect()
        }
        Kind::TensorTrain(sparsity, precision) => {
            let (m, n, rank, form) = (modes(rows), modes(columns), 3, (sparsity, precision));
            let first = thinned(m[0] * rank, n[0], sparsity, seed);
            let second = thinned(m[1], rank * n[1], sparsity, seed + 1);
            let cores = vec![factor(&first, n[0], form), factor(&second, rank * n[1], form)];
            let train = Form::TensorTrain { row_modes: &m, column_modes: &n, cores };
            packer.form(name, &train).unwrap();
            let (first, second) = (read(&first, n[0], form), read(&second, rank * n[1], form));
            // The train has the caller's order of rows.
            let element = |i: usize, j: usize| {
                let (i, j) = ([i / m[1], i % m[1]], [j / n[1], j % n[1]]);
                let left = |k: usize| first[(i[0] * rank + k) * n[0] + j[0]];
                let right = |k: usize| second[i[1] * rank * n[1] + k * n[1] + j[1]];
                (0..rank).map(|k| left(k) * right(k)).sum::<f32>()
            };
            (0..rows * columns).map(|at| element(at / columns, at % columns)).collect()
        }
        Kind::BlockCirculant(block, form) => {
            let wide = columns.next_multiple_of(block);
            let w = thinned(rows.div_ceil(block), wide, form.0, seed);
            let vectors = factor(&w, wide, form);
            packer.form(name, &Form::BlockCirculant { block, vectors }).unwrap();
            circulant(&read(&w, wide, form), block, [rows, columns])
        }
        Kind::BlockLowRank(left, right) => {
            let first = (rows / 3).max(1);
            let sizes = [(first, 3), (rows - first, 2)];
            let parts: Vec<[Vec<f32>; 2]> = sizes
                .iter()
                .zip([seed, seed + 2])
                .map(|(&(rows, rank), seed)| {
                    let l = thinned(rows, rank, left.0, seed);
                    [l, thinned(rank, columns, right.0, seed + 1)]
                })
                .collect();
            let groups = sizes
                .iter()
                .zip(&parts)
                .map(|(&(_, rank), [l, r])| [factor(l, rank, left), factor(r, columns, right)]);
            let form = Form::BlockLowRank { groups: groups.collect() };
            packer.form(name, &form).unwrap();
            let mut dense = Vec::new();
            for (&(rows, rank), [l, r]) in sizes.iter().zip(&parts) {
                let (l, r) = (read(l, rank, left), read(r, columns, right));
                let element = |at: usize| {
                    let (i, j) = (at / columns, at % columns);
                    (0..rank).map(|k| l[i * rank + k] * r[k * columns + j]).sum::<f32>()
                };
                dense.extend((0..rows * columns).map(element));
            }
            dense
        }
        Kind::ToeplitzLike(block, form) => {
            let terms = rows.div_ceil(block) * columns.div_ceil(block) * 2;
            let leaf = |seed| thinned(terms, block, form.0, seed);
            let (g, h) = (leaf(seed), leaf(seed + 1));
            let (g_factor, h_factor) = (factor(&g, block, form), factor(&h, block, form));
            let form_of = Form::ToeplitzLike { block, rank: 2, g: g_factor, h: h_factor };
            packer.form(name, &form_of).unwrap();
            let leaves = [read(&g, block, form), read(&h, block, form)];
            toeplitz(&leaves, [block, 2], [rows, columns])
        }
        Kind::Unitary(form) => {
            let n = rows / 2;
            let (p, r) = (thinned(3, n, form.0, seed), thinned(4, n, form.0, seed + 1));
            let (phases, reflections) = (factor(&p, n, form), factor(&r, n, form));
            packer.form(name, &Form::Unitary { phases, reflections }).unwrap();
            unitary(&read(&p, n, form), &read(&r, n, form))
        }
    }
}

/// Mean 0 and variance 1, times the gain.
fn standardise(block: &mut [f64], gain: &[f32]) {
    let count = block.len() as f64;
    let mean = block.iter().sum::<f64>() / count;
    let variance = block.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    let deviation = (variance + 1e-5).sqrt();
    let gained = block.iter_mut().zip(gain);
    gained.for_each(|(x, gain)| *x = f64::from(*gain) * (*x - mean) / deviation);
}

/// The matrix of circulant blocks with these vectors.
pub fn circulant(w: &[f32], block: usize, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let wide = columns.next_multiple_of(block);
    let element = |i: usize, j: usize| {
        let turn = (i % block + block - j % block) % block;
        w[i / block * wide + j / block * block + turn]
    };
    (0..rows * columns).map(|at| element(at / columns, at % columns)).collect()
}

/// The matrix of Toeplitz-like blocks with these vectors, by its definition.
pub fn toeplitz(
    [g, h]: &[Vec<f32>; 2],
    [n, rank]: [usize; 2],
    [rows, columns]: [usize; 2],
) -> Vec<f32> {
    let wide = columns.div_ceil(n);
    let z = |f: f64, v: &[f32], a: usize, c: usize| match a >= c {
        true => f64::from(v[a - c]),
        false => f * f64::from(v[a + n - c]),
    };
    let element = |i: usize, j: usize| {
        let first = (i / n * wide + j / n) * rank;
        let terms = (first..first + rank).flat_map(|term| (0..n).map(move |c| (term, c)));
        let term = |(term, c): (usize, usize)| {
            let (g, h) = (&g[term * n..][..n], &h[term * n..][..n]);
            z(1.0, g, i % n, c) * z(-1.0, h, c, j % n)
        };
        terms.map(term).sum::<f64>() as f32
    };
    (0..rows * columns).map(|at| element(at / columns, at % columns)).collect()
}

/// The real form of the unitary matrix of these phases `[3, n]` and reflections `[4, n]`, by its definition.
pub fn unitary(phases: &[f32], reflections: &[f32]) -> Vec<f32> {
    let n = phases.len() / 3;
    let mut out = vec![0.0; 4 * n * n];
    for column in 0..2 * n {
        let mut x = vec![[0.0; 2]; n];
        x[column % n][column / n] = 1.0;
        turn(&mut x, &phases[..n]);
        x = fourier(&x, -1.0);
        reflect(&mut x, &reflections[..2 * n]);
        x = (0..n).map(|j| x[j * (j + 1) / 2 % n]).collect();
        turn(&mut x, &phases[n..2 * n]);
        x = fourier(&x, 1.0);
        reflect(&mut x, &reflections[2 * n..]);
        turn(&mut x, &phases[2 * n..]);
        for (j, [re, im]) in x.into_iter().enumerate() {
            out[j * 2 * n + column] = re as f32;
            out[(n + j) * 2 * n + column] = im as f32;
        }
    }
    out
}

fn times([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a * c - b * d, a * d + b * c]
}

fn turn(x: &mut [[f64; 2]], phases: &[f32]) {
    let angles = phases.iter().map(|&phase| f64::from(phase));
    x.iter_mut().zip(angles).for_each(|(x, angle)| *x = times(*x, [angle.cos(), angle.sin()]));
}

fn fourier(x: &[[f64; 2]], sign: f64) -> Vec<[f64; 2]> {
    let n = x.len();
    let bin = |j: usize| {
        x.iter().enumerate().fold([0.0; 2], |sum, (k, &x)| {
            let angle = sign * 2.0 * std::f64::consts::PI * (j * k % n) as f64 / n as f64;
            let [re, im] =
                times(x, [angle.cos(), angle.sin()].map(|part| part / (n as f64).sqrt()));
            [sum[0] + re, sum[1] + im]
        })
    };
    (0..n).map(bin).collect()
}

/// Takes 2 v vᴴ x / |v|² off x.
fn reflect(x: &mut [[f64; 2]], v: &[f32]) {
    let (re, im) = v.split_at(x.len());
    let v: Vec<_> = re.iter().zip(im).map(|(&re, &im)| [re, im].map(f64::from)).collect();
    let square: f64 = v.iter().flatten().map(|x| x * x).sum();
    if square == 0.0 {
        return;
    }
    let along = v.iter().zip(&*x).fold([0.0; 2], |sum, (v, &x)| {
        let [re, im] = times([v[0], -v[1]], x);
        [sum[0] + re, sum[1] + im]
    });
    for (x, v) in x.iter_mut().zip(v) {
        let [re, im] = times(v, along).map(|part| 2.0 * part / square);
        *x = [x[0] - re, x[1] - im];
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The equations of the crate's documentation, plainly, in f64, over the caller's word order.
pub struct Reference<'p> {
    parts: &'p Parts,
    h: Vec<Vec<f64>>,
    c: Vec<Vec<f64>>,
}

impl<'p> Reference<'p> {
    pub fn new(parts: &'p Parts) -> Self {
        let configuration = &parts.configuration;
        let zeros = |width: &dyn Fn(usize) -> usize| {
            (0..configuration.layers()).map(|k| vec![0.0; width(k)]).collect::<Vec<_>>()
        };
        let mut reference = Self {
            parts,
            h: zeros(&|k| configuration.output(k)),
            c: zeros(&|k| configuration.hidden[k]),
        };
        reference.feed("<eos>");
        reference
    }

    fn index(&self, word: &str) -> usize {
        self.parts.words.iter().position(|found| found == word).unwrap()
    }

    fn times(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let rows = self.parts.weights[name].chunks_exact(x.len());
        rows.map(|row| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum()).collect()
    }

    pub fn feed(&mut self, word: &str) {
        let configuration = &self.parts.configuration;
        let width = configuration.embedding;
        let row = &self.parts.weights["embedding"][self.index(word) * width..][..width];
        let mut x: Vec<f64> = row.iter().copied().map(f64::from).collect();
        for k in 0..configuration.layers() {
            let n = configuration.hidden[k];
            let mut pair = [x, self.h[k].clone()];
            for i in 0..configuration.mogrifier {
                let gates = self.times(&format!("cell.{k}.mogrifier.{i}"), &pair[1 - i % 2]);
                pair[i % 2].iter_mut().zip(gates).for_each(|(v, gate)| *v *= 2.0 * sigmoid(gate));
            }
            let mut w = self.times(&format!("cell.{k}.input"), &pair[0]);
            let mut u = self.times(&format!("cell.{k}.recurrent"), &pair[1]);
            if configuration.layer_norm {
                let gain = self.parts.weights[&format!("cell.{k}.gain")].clone();
                let own = if configuration.cell == CellKind::Gru { 2 } else { w.len() / n };
                for at in 0..own * n {
                    w[at] += std::mem::take(&mut u[at]);
                }
                let blocks = w.chunks_mut(n).chain(u[own * n..].chunks_mut(n));
                blocks.zip(gain.chunks(n)).for_each(|(block, gain)| standardise(block, gain));
            }
            let bias: Vec<f64> =
                self.parts.weights[&format!("cell.{k}.bias")].iter().map(|&b| b.into()).collect();
            let z = |gate: usize, j: usize| w[gate * n + j] + u[gate * n + j] + bias[gate * n + j];
            let mut h = vec![0.0; n];
            for j in 0..n {
                match configuration.cell {
                    CellKind::Lstm => {
                        let (i, f, g, o) = (z(0, j), z(1, j), z(2, j), z(3, j));
                        self.c[k][j] = sigmoid(f) * self.c[k][j] + sigmoid(i) * g.tanh();
                        h[j] = sigmoid(o) * self.c[k][j].tanh();
                    }
                    CellKind::Cifg => {
                        let (f, g, o) = (sigmoid(z(0, j)), z(1, j), z(2, j));
                        self.c[k][j] = f * self.c[k][j] + (1.0 - f) * g.tanh();
                        h[j] = sigmoid(o) * self.c[k][j].tanh();
                    }
                    CellKind::Gru => {
                        let (r, update) = (sigmoid(z(0, j)), sigmoid(z(1, j)));
                        let new =
                            w[2 * n + j] + bias[2 * n + j] + r * (u[2 * n + j] + bias[3 * n + j]);
                        h[j] = (1.0 - update) * new.tanh() + update * self.h[k][j];
                    }
                    CellKind::Urnn => {
                        let (unit, half) = (j % (n / 2), n / 2);
                        let part = |at: usize| w[at] + u[at];
                        let modulus = part(unit).hypot(part(half + unit));
                        h[j] = part(j) * (modulus + bias[unit]).max(0.0) / (modulus + 1e-5);
                    }
                }
            }
            if configuration.cell_projection > 0 {
                h = self.times(&format!("cell.{k}.projection"), &h);
            }
            self.h[k] = h;
            x = self.h[k].clone();
        }
    }

    /// Log-probabilities of all words, in the caller's order.
    pub fn log_probabilities(&self) -> Vec<f64> {
        let configuration = &self.parts.configuration;
        let mut x = self.h.last().unwrap().clone();
        if configuration.projection > 0 {
            x = self.times("projection", &x);
        }
        let softmax = if configuration.tied { "embedding" } else { "softmax" };
        let mut logits = self.times(softmax, &x);
        for (logit, &bias) in logits.iter_mut().zip(&self.parts.weights["softmax.bias"]) {
            *logit += f64::from(bias);
        }
        let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        logits.iter().map(|logit| logit - sum).collect()
    }

    /// Log-probability of a text with an `<eos>` at its end, from where this stands.
    pub fn score(&mut self, words: &[&str]) -> f64 {
        let mut total = 0.0;
        for word in words.iter().chain(&["<eos>"]) {
            total += self.log_probabilities()[self.index(word)];
            self.feed(word);
        }
        total
    }
}
