//! A layer over many steps: ONNX's own operator where there is one for it, else a loop over steps.

use super::Precision;
use super::cell::State;
use super::graph::{Dim, MICROSOFT, int, text, value};
use super::proto::{DataType, ValueInfoProto};
use super::weights::{Builder, quantise};
use crate::settings::CellKind;

/// The blocks of ONNX's LSTM, `i, o, f, c`, among ours, `i, f, g, o`.
const LSTM: [usize; 4] = [0, 3, 1, 2];
/// The blocks of ONNX's GRU, `z, r, h`, among ours, `r, z, n`.
const GRU: [usize; 3] = [1, 0, 2];

/// Blocks of rows in another order.
fn reordered(numbers: &[f32], order: &[usize]) -> Vec<f32> {
    let size = numbers.len() / order.len();
    order.iter().flat_map(|block| &numbers[block * size..][..size]).copied().collect()
}

impl Builder<'_> {
    /// Whether ONNX, or for bytes ONNX Runtime, has an operator for the model's layers.
    pub fn has_operator(&self) -> bool {
        let model = &self.export.model;
        let is_plain = model.cell_projection == 0 && !model.layer_norm && model.mogrifier == 0;
        let has = match model.cell {
            CellKind::Lstm => true,
            CellKind::Gru => self.precision == Precision::F32,
            CellKind::Cifg | CellKind::Urnn => false,
        };
        is_plain && has
    }

    /// The outputs `[steps, streams, output]` of layer `k` over `x` `[steps, streams, input]`, and its state after them.
    pub fn layer(&mut self, k: usize, x: &str, state: &State) -> (String, State) {
        match self.export.model.cell {
            _ if !self.has_operator() => self.scan(k, x, state),
            CellKind::Lstm => self.lstm(k, x, state),
            _ => self.gru(k, x, state),
        }
    }

    fn lstm(&mut self, k: usize, x: &str, state: &State) -> (String, State) {
        let units = self.export.model.hidden[k];
        let memory = state.memory.as_ref().expect("an LSTM has a memory");
        let h = self.unsqueeze(&state.output, 0);
        let c = self.unsqueeze(memory, 0);
        let [w, w_scale] = self.turned(&format!("cell.{k}.input"), &LSTM);
        let [r, r_scale] = self.turned(&format!("cell.{k}.recurrent"), &LSTM);
        let bias = format!("cell.{k}.lstm.bias");
        if self.graph.is_new(&bias) {
            let (numbers, _) = self.numbers(&format!("cell.{k}.bias"));
            let both = [reordered(numbers, &LSTM), vec![0.0; 4 * units]].concat();
            self.graph.floats(&bias, &[1, both.len()], &both);
        }
        let attributes = vec![int("hidden_size", units), text("direction", "forward")];
        let mut inputs = vec![x, &w, &r, &bias, "", &h, &c];
        let out = if self.precision == Precision::F32 {
            self.graph.nodes("", "LSTM", &inputs, 3, attributes)
        } else {
            let zero = self.zero(Some(4 * units));
            inputs.extend(["", &w_scale, &zero, &r_scale, &zero]);
            self.graph.nodes(MICROSOFT, "DynamicQuantizeLSTM", &inputs, 3, attributes)
        };
        let output = self.squeeze(&out[1], 0);
        let memory = self.squeeze(&out[2], 0);
        (self.squeeze(&out[0], 1), State { output, memory: Some(memory) })
    }

    /// ONNX's GRU with `linear_before_reset`: the reset gate multiplies the state's share with its bias.
    fn gru(&mut self, k: usize, x: &str, state: &State) -> (String, State) {
        let units = self.export.model.hidden[k];
        let h = self.unsqueeze(&state.output, 0);
        let [w, _] = self.turned(&format!("cell.{k}.input"), &GRU);
        let [r, _] = self.turned(&format!("cell.{k}.recurrent"), &GRU);
        let bias = format!("cell.{k}.gru.bias");
        if self.graph.is_new(&bias) {
            let (numbers, _) = self.numbers(&format!("cell.{k}.bias"));
            let both = crate::torch::split_bias(CellKind::Gru, units, numbers);
            let both = both.map(|bias| reordered(&bias, &GRU)).concat();
            self.graph.floats(&bias, &[1, both.len()], &both);
        }
        let attributes = vec![
            int("hidden_size", units),
            text("direction", "forward"),
            int("linear_before_reset", 1),
        ];
        let inputs = [x, &w, &r, &bias, "", &h];
        let out = self.graph.nodes("", "GRU", &inputs, 2, attributes);
        let output = self.squeeze(&out[1], 0);
        (self.squeeze(&out[0], 1), State { output, memory: None })
    }

    /// A matrix with its blocks in ONNX's order, and its scales: `[1, rows, columns]` of f32, or the transpose of bytes.
    fn turned(&mut self, name: &str, order: &[usize]) -> [String; 2] {
        let [matrix, scales] = [format!("{name}.onnx"), format!("{name}.onnx.scales")];
        if self.graph.is_new(&matrix) {
            let (numbers, columns) = self.numbers(name);
            let (numbers, rows) = (reordered(numbers, order), numbers.len() / columns);
            if self.precision == Precision::F32 {
                self.graph.floats(&matrix, &[1, rows, columns], &numbers);
            } else {
                let quantised = quantise(&numbers, columns);
                self.graph.bytes(&matrix, &[1, columns, rows], quantised.bytes);
                self.graph.floats(&scales, &[1, rows], &quantised.scales);
            }
        }
        [matrix, scales]
    }

    /// A loop over the steps.
    fn scan(&mut self, k: usize, x: &str, state: &State) -> (String, State) {
        let model = &self.export.model;
        let widths = [model.input_width(k), model.output_width(k), model.hidden[k]];
        let describe = |name: &str, width| {
            value(name, DataType::Float, &[Dim::Named("streams"), Dim::Fixed(width)])
        };
        let mark = self.graph.mark();
        let [here, output, memory] = ["x", "h", "c"].map(|name| self.graph.fresh(name));
        let before =
            State { output: output.clone(), memory: state.memory.as_ref().map(|_| memory.clone()) };
        let after = self.step(k, &here, &before);
        let each = self.graph.node("Identity", &[&after.output], Vec::new());
        let both = |output: &str, memory: Option<&str>| -> Vec<ValueInfoProto> {
            let memory = memory.map(|memory| describe(memory, widths[2]));
            [describe(output, widths[1])].into_iter().chain(memory).collect()
        };
        let inputs = [both(&output, before.memory.as_deref()), vec![describe(&here, widths[0])]];
        let outputs =
            [both(&after.output, after.memory.as_deref()), vec![describe(&each, widths[1])]];
        let body = self.graph.body(mark, inputs.concat(), outputs.concat());
        let mut inputs = vec![state.output.as_str()];
        inputs.extend(state.memory.as_deref());
        inputs.push(x);
        let count = inputs.len();
        let mut out =
            self.graph.nodes("", "Scan", &inputs, count, vec![body, int("num_scan_inputs", 1)]);
        let outputs = out.pop().expect("the outputs of all steps");
        let mut out = out.into_iter();
        (outputs, State { output: out.next().expect("a state"), memory: out.next() })
    }

    pub fn unsqueeze(&mut self, x: &str, axis: i64) -> String {
        let axes = self.graph.longs(&[axis]);
        self.graph.node("Unsqueeze", &[x, &axes], Vec::new())
    }

    pub fn squeeze(&mut self, x: &str, axis: i64) -> String {
        let axes = self.graph.longs(&[axis]);
        self.graph.node("Squeeze", &[x, &axes], Vec::new())
    }
}
