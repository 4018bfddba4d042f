//! One step of a layer of any cell, in plain operators.

use super::graph::{int, ints};
use super::weights::Builder;
use crate::settings::CellKind;

/// What modReLU adds to the modulus that it divides by.
const MODULUS: f32 = 1e-5;
/// What layer normalisation adds to the variance.
const VARIANCE: f32 = 1e-5;

/// The state of a layer: its output `[streams, output]`, and the memory `[streams, units]` of a cell that has one.
#[derive(Clone)]
pub(super) struct State {
    pub output: String,
    pub memory: Option<String>,
}

impl Builder<'_> {
    fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.graph.node(op, inputs, Vec::new())
    }

    fn split(&mut self, x: &str, parts: usize) -> Vec<String> {
        self.graph.nodes("", "Split", &[x], parts, vec![int("axis", 1)])
    }

    /// The state of layer `k` after `x` `[streams, input]`.
    pub fn step(&mut self, k: usize, x: &str, state: &State) -> State {
        let (x, fed_back) = self.mogrify(k, x, &state.output);
        match self.export.model.cell {
            CellKind::Lstm | CellKind::Cifg => self.step_memory(k, &x, &fed_back, state),
            CellKind::Gru => self.step_gru(k, &x, &fed_back, &state.output),
            CellKind::Urnn => self.step_urnn(k, &x, &fed_back),
        }
    }

    /// Input and state that gate each other in turn (Melis et al. 2020, equations 1 and 2).
    fn mogrify(&mut self, k: usize, x: &str, output: &str) -> (String, String) {
        let mut pair = [x.to_owned(), output.to_owned()];
        for round in 0..self.export.model.mogrifier {
            let by = self.linear(&pair[1 - round % 2], &format!("cell.{k}.mogrifier.{round}"), "");
            let gate = self.op("Sigmoid", &[&by]);
            let two = self.graph.float(2.0);
            let gate = self.op("Mul", &[&gate, &two]);
            pair[round % 2] = self.op("Mul", &[&gate, &pair[round % 2]]);
        }
        let [x, output] = pair;
        (x, output)
    }

    /// The pre-activations of all gates where input and state are summed.
    fn sums(&mut self, k: usize, x: &str, fed_back: &str, bias: &str) -> String {
        let input = self.linear(x, &format!("cell.{k}.input"), bias);
        let recurrent = self.linear(fed_back, &format!("cell.{k}.recurrent"), "");
        self.op("Add", &[&input, &recurrent])
    }

    /// LSTM and CIFG: `c' = f c + i g`, `u = o tanh(c')`, and the output is u or its projection.
    fn step_memory(&mut self, k: usize, x: &str, fed_back: &str, state: &State) -> State {
        let model = &self.export.model;
        let bias = self.vector(&format!("cell.{k}.bias"));
        let pre = match model.layer_norm {
            true => {
                let sums = self.sums(k, x, fed_back, "");
                self.normalise(k, &sums)
            }
            false => self.sums(k, x, fed_back, &bias),
        };
        let mut gates = self.split(&pre, model.cell.gates()).into_iter();
        let mut next = || gates.next().expect("a gate");
        let input = (model.cell == CellKind::Lstm).then(&mut next);
        let (forget, candidate, output) = (next(), next(), next());
        let forget = self.op("Sigmoid", &[&forget]);
        let input = match input {
            Some(input) => self.op("Sigmoid", &[&input]),
            None => {
                let one = self.graph.float(1.0);
                self.op("Sub", &[&one, &forget])
            }
        };
        let candidate = self.op("Tanh", &[&candidate]);
        let output = self.op("Sigmoid", &[&output]);
        let kept = self.op("Mul", &[&forget, state.memory.as_ref().expect("a cell with a memory")]);
        let new = self.op("Mul", &[&input, &candidate]);
        let memory = self.op("Add", &[&kept, &new]);
        let squashed = self.op("Tanh", &[&memory]);
        let units = self.op("Mul", &[&output, &squashed]);
        let output = match model.cell_projection {
            0 => units,
            _ => self.linear(&units, &format!("cell.{k}.projection"), ""),
        };
        State { output, memory: Some(memory) }
    }

    /// GRU: `n = tanh(x_n + r h_n)`, `h' = (1 - z) n + z h`.
    fn step_gru(&mut self, k: usize, x: &str, fed_back: &str, before: &str) -> State {
        let is_normalised = self.export.model.layer_norm;
        let biases =
            if is_normalised { [String::new(), String::new()] } else { self.gru_biases(k) };
        let input = self.linear(x, &format!("cell.{k}.input"), &biases[0]);
        let recurrent = self.linear(fed_back, &format!("cell.{k}.recurrent"), &biases[1]);
        let (input, recurrent) = (self.split(&input, 3), self.split(&recurrent, 3));
        let reset = self.op("Add", &[&input[0], &recurrent[0]]);
        let update = self.op("Add", &[&input[1], &recurrent[1]]);
        let mut blocks = vec![reset, update, input[2].clone(), recurrent[2].clone()];
        if is_normalised {
            let names: Vec<&str> = blocks.iter().map(String::as_str).collect();
            let all = self.graph.node("Concat", &names, vec![int("axis", 1)]);
            let all = self.normalise(k, &all);
            blocks = self.split(&all, 4);
        }
        let reset = self.op("Sigmoid", &[&blocks[0]]);
        let update = self.op("Sigmoid", &[&blocks[1]]);
        let share = self.op("Mul", &[&reset, &blocks[3]]);
        let candidate = self.op("Add", &[&blocks[2], &share]);
        let candidate = self.op("Tanh", &[&candidate]);
        let one = self.graph.float(1.0);
        let rest = self.op("Sub", &[&one, &update]);
        let new = self.op("Mul", &[&rest, &candidate]);
        let kept = self.op("Mul", &[&update, before]);
        State { output: self.op("Add", &[&new, &kept]), memory: None }
    }

    /// The two biases of a GRU's gates r, z, n.
    fn gru_biases(&mut self, k: usize) -> [String; 2] {
        let names = ["input", "recurrent"].map(|side| format!("cell.{k}.{side}.bias"));
        if self.graph.is_new(&names[0]) {
            let (bias, _) = self.numbers(&format!("cell.{k}.bias"));
            let both = crate::torch::split_bias(CellKind::Gru, bias.len() / 4, bias);
            for (name, bias) in names.iter().zip(&both) {
                self.graph.floats(name, &[bias.len()], bias);
            }
        }
        names
    }

    /// uRNN: `h' = z max(|z| + b, 0) / (|z| + 1e-5)` for complex numbers whose real parts come first.
    fn step_urnn(&mut self, k: usize, x: &str, fed_back: &str) -> State {
        let z = self.sums(k, x, fed_back, "");
        let parts = self.split(&z, 2);
        let squares: Vec<_> = parts.iter().map(|part| self.op("Mul", &[part, part])).collect();
        let square = self.op("Add", &[&squares[0], &squares[1]]);
        let modulus = self.op("Sqrt", &[&square]);
        let bias = self.vector(&format!("cell.{k}.bias"));
        let shifted = self.op("Add", &[&modulus, &bias]);
        let kept = self.op("Relu", &[&shifted]);
        let epsilon = self.graph.float(MODULUS);
        let divisor = self.op("Add", &[&modulus, &epsilon]);
        let scale = self.op("Div", &[&kept, &divisor]);
        let parts: Vec<_> = parts.iter().map(|part| self.op("Mul", &[part, &scale])).collect();
        let output = self.graph.node("Concat", &[&parts[0], &parts[1]], vec![int("axis", 1)]);
        State { output, memory: None }
    }

    /// Each block of pre-activations with mean 0 and variance 1 over its units, then gain and bias (Ba et al. 2016).
    fn normalise(&mut self, k: usize, pre: &str) -> String {
        let (blocks, units) = (self.export.model.cell.blocks(), self.export.model.hidden[k]);
        let gain = self.vector(&format!("cell.{k}.gain"));
        let bias = self.vector(&format!("cell.{k}.bias"));
        let apart = self.graph.longs(&[0, blocks as i64, units as i64]);
        let together = self.graph.longs(&[0, (blocks * units) as i64]);
        let epsilon = self.graph.float(VARIANCE);
        let mean = |this: &mut Self, x: &str| {
            this.graph.node("ReduceMean", &[x], vec![ints("axes", &[2]), int("keepdims", 1)])
        };
        let x = self.op("Reshape", &[pre, &apart]);
        let centre = mean(self, &x);
        let x = self.op("Sub", &[&x, &centre]);
        let square = self.op("Mul", &[&x, &x]);
        let variance = mean(self, &square);
        let variance = self.op("Add", &[&variance, &epsilon]);
        let deviation = self.op("Sqrt", &[&variance]);
        let x = self.op("Div", &[&x, &deviation]);
        let x = self.op("Reshape", &[&x, &together]);
        let x = self.op("Mul", &[&x, &gain]);
        self.op("Add", &[&x, &bias])
    }
}
