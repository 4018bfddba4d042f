//! Small random models for the tests, and an independent double-precision computation of them.
#![allow(dead_code)]

use std::collections::BTreeMap;

use pocketlm::pack::{Packer, Precision};
use pocketlm::{CellKind, Configuration, Model, Random, Unit};

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
    let hidden = vec![9, 7];
    let top = if cell_projection > 0 { cell_projection } else { 7 };
    let softmax = if projection > 0 { projection } else { top };
    let embedding = if tied { softmax } else { 6 };
    Configuration { cell, embedding, hidden, cell_projection, projection, tied, unit: Unit::Word }
}

/// Every cell with and without projections, tied and untied.
pub fn configurations() -> Vec<Configuration> {
    let mut list = Vec::new();
    for cell in [CellKind::Lstm, CellKind::Gru, CellKind::Cifg] {
        for cell_projection in if cell == CellKind::Gru { vec![0] } else { vec![0, 5] } {
            for projection in [0, 11] {
                list.extend(
                    [false, true]
                        .map(|tied| configuration(cell, cell_projection, projection, tied)),
                );
            }
        }
    }
    list
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
    /// Random weights, uniform in ±`scale`.
    pub fn random(configuration: Configuration, types: usize, scale: f32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut weights = BTreeMap::new();
        let matrices = configuration.matrices(types).into_iter();
        for expected in matrices.chain(configuration.biases(types)) {
            let draw = |_| (random.unit() as f32 * 2.0 - 1.0) * scale;
            let values = (0..expected.rows * expected.columns).map(draw).collect();
            weights.insert(expected.name, values);
        }
        Self { configuration, words: words(types), weights }
    }

    pub fn packer(&self, precision: Precision) -> Packer {
        let types = self.words.len();
        let unk = self.words.iter().any(|word| word == "<unk>").then_some("<unk>");
        let mut packer =
            Packer::new(self.configuration.clone(), &self.words, "<eos>", unk).unwrap();
        for matrix in self.configuration.matrices(types) {
            packer.matrix(&matrix.name, &self.weights[&matrix.name], precision).unwrap();
        }
        for bias in self.configuration.biases(types) {
            packer.bias(&bias.name, &self.weights[&bias.name]).unwrap();
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
            let w = self.times(&format!("cell.{k}.input"), &x);
            let u = self.times(&format!("cell.{k}.recurrent"), &self.h[k]);
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
