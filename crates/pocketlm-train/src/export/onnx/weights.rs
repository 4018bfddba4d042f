//! The matrices of a model in a graph: as f32, or as bytes with a scale for each row.

use super::Precision;
use super::graph::{Graph, MICROSOFT, int, ints};
use crate::export::Export;

/// The byte that stands for zero.
const ZERO: u8 = 128;

/// A graph being built of a model.
pub(super) struct Builder<'a> {
    pub graph: Graph,
    pub export: &'a Export,
    pub precision: Precision,
}

/// A matrix as bytes.
pub(super) struct Quantised {
    /// `[columns, rows]`: the transpose of the matrix.
    pub bytes: Vec<u8>,
    /// One a row of the matrix.
    pub scales: Vec<f32>,
}

/// Rounds a matrix `[rows, columns]` to `scale * (byte - 128)`, the largest number of a row to 127 steps.
pub(super) fn quantise(numbers: &[f32], columns: usize) -> Quantised {
    let rows = numbers.len() / columns;
    let mut quantised = Quantised { bytes: vec![ZERO; numbers.len()], scales: vec![1.0; rows] };
    for (row, numbers) in numbers.chunks_exact(columns).enumerate() {
        let most = numbers.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        // The smallest numbers have no steps between them.
        if most < f32::MIN_POSITIVE * 127.0 {
            continue;
        }
        let scale = most / 127.0;
        quantised.scales[row] = scale;
        for (column, x) in numbers.iter().enumerate() {
            let step = (x / scale).round().clamp(-127.0, 127.0) as i16;
            quantised.bytes[column * rows + row] = (step + i16::from(ZERO)) as u8;
        }
    }
    quantised
}

impl<'a> Builder<'a> {
    pub fn new(export: &'a Export, precision: Precision) -> Self {
        Self { graph: Graph::default(), export, precision }
    }

    /// The numbers of a matrix or a bias, and its columns.
    pub fn numbers(&self, name: &str) -> (&'a [f32], usize) {
        let entry = self.export.parameters.find(name).expect("a matrix of the model");
        (&self.export.parameters.data[entry.range.clone()], entry.columns)
    }

    /// A bias, or what else is a list.
    pub fn vector(&mut self, name: &str) -> String {
        if self.graph.is_new(name) {
            let (numbers, length) = self.numbers(name);
            self.graph.floats(name, &[length], numbers);
        }
        name.to_owned()
    }

    /// A matrix `[rows, columns]`.
    fn matrix(&mut self, name: &str) -> String {
        if self.graph.is_new(name) {
            let (numbers, columns) = self.numbers(name);
            self.graph.floats(name, &[numbers.len() / columns, columns], numbers);
        }
        name.to_owned()
    }

    /// A matrix as bytes `[columns, rows]`, and their scales `[rows]`.
    fn bytes(&mut self, name: &str) -> [String; 2] {
        let [bytes, scales] = [format!("{name}.bytes"), format!("{name}.scales")];
        if self.graph.is_new(&bytes) {
            let (numbers, columns) = self.numbers(name);
            let quantised = quantise(numbers, columns);
            let rows = quantised.scales.len();
            self.graph.bytes(&bytes, &[columns, rows], quantised.bytes);
            self.graph.floats(&scales, &[rows], &quantised.scales);
        }
        [bytes, scales]
    }

    /// The byte that stands for zero, in each of so many places, or alone.
    pub fn zero(&mut self, places: Option<usize>) -> String {
        let name = places.map_or_else(|| "zero".to_owned(), |n| format!("zero.{n}"));
        if self.graph.is_new(&name) {
            match places {
                Some(n) => self.graph.bytes(&name, &[1, n], vec![ZERO; n]),
                None => self.graph.bytes(&name, &[], vec![ZERO]),
            }
        }
        name
    }

    /// The product of `x` `[any, columns]` and a matrix, plus a bias: `[any, rows]`.
    pub fn linear(&mut self, x: &str, matrix: &str, bias: &str) -> String {
        let bias: &[&str] = if bias.is_empty() { &[] } else { &[bias] };
        match self.precision {
            Precision::F32 => {
                let matrix = self.matrix(matrix);
                let inputs = [&[x, &matrix], bias].concat();
                self.graph.node("Gemm", &inputs, vec![int("transB", 1)])
            }
            Precision::Int8 => {
                let [bytes, scales] = self.bytes(matrix);
                let zero = self.zero(None);
                let inputs = [&[x, &bytes, &scales, &zero], bias].concat();
                self.graph
                    .nodes(MICROSOFT, "DynamicQuantizeMatMul", &inputs, 1, Vec::new())
                    .remove(0)
            }
        }
    }

    /// The rows of the embedding for ids `[any]`: `[any, width]`.
    pub fn embed(&mut self, ids: &str) -> String {
        const NAME: &str = "embedding";
        if self.precision == Precision::F32 {
            let matrix = self.matrix(NAME);
            return self.graph.node("Gather", &[&matrix, ids], vec![int("axis", 0)]);
        }
        // Of the transpose, which a tied output layer multiplies by.
        let [bytes, scales] = self.bytes(NAME);
        let (zero, axes) = (self.graph.float(f32::from(ZERO)), self.graph.longs(&[1]));
        let graph = &mut self.graph;
        let columns = graph.node("Gather", &[&bytes, ids], vec![int("axis", 1)]);
        let rows = graph.node("Transpose", &[&columns], vec![ints("perm", &[1, 0])]);
        let numbers = graph.node("Cast", &[&rows], vec![int("to", 1)]);
        let steps = graph.node("Sub", &[&numbers, &zero], Vec::new());
        let scales = graph.node("Gather", &[&scales, ids], vec![int("axis", 0)]);
        let scales = graph.node("Unsqueeze", &[&scales, &axes], Vec::new());
        graph.node("Mul", &[&steps, &scales], Vec::new())
    }

    /// Log-probabilities of all words, `[any, words]`, where `top` `[any, width]` leaves the last layer.
    pub fn predict(&mut self, top: &str) -> String {
        let model = &self.export.model;
        let projected = match model.projection {
            0 => top.to_owned(),
            _ => self.linear(top, "projection", ""),
        };
        let bias = self.vector("softmax.bias");
        let matrix = if model.tied { "embedding" } else { "softmax" };
        let logits = self.linear(&projected, matrix, &bias);
        self.graph.node("LogSoftmax", &[&logits], vec![int("axis", 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_are_within_half_a_step(
            columns in 1usize..9,
            numbers in prop::collection::vec(-1e3f32..1e3, 1..80),
        ) {
            let rows = numbers.len() / columns;
            let numbers = &numbers[..rows * columns];
            let Quantised { bytes, scales } = quantise(numbers, columns);
            for (at, &x) in numbers.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let back = scales[row] * (f32::from(bytes[column * rows + row]) - 128.0);
                prop_assert!((back - x).abs() <= scales[row] * 0.5001);
            }
        }
    }

    #[test]
    fn rows_of_zeros_stay_so() {
        let Quantised { bytes, scales } = quantise(&[0.0, 0.0, 1e-45, 0.0], 2);
        assert_eq!((bytes, scales), (vec![128; 4], vec![1.0; 2]));
    }
}
