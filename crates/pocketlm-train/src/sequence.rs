//! One recurrent layer over a whole window of steps as a single operation.
//!
//! Forward: one product for the inputs of all steps, one small product a step for the recurrence, the gates
//! in one pass. Backward: the same in reverse, then each weight gradient as one large product.
//! Rows are time-major: row `t * batch + b` is stream `b` at step `t`.

use crate::cell::{self, BackStep, Feed, Step};
use crate::config::{CellKind, ModelConfig};
use crate::parameters::{Builder, Id, Parameters};
use crate::product::{View, Write, add_column_sums, product};

/// Shape of one layer and where its matrices are.
#[derive(Clone, Debug)]
pub struct Layer {
    kind: CellKind,
    /// Width of what enters it.
    pub input_width: usize,
    /// Units.
    pub hidden: usize,
    /// Width of what leaves it and of what it feeds back.
    pub output_width: usize,
    input: Id,
    recurrent: Id,
    bias: Id,
    projection: Option<Id>,
}

/// What the forward pass of a window keeps for the backward pass; slot 0 of `memory` and `output` is the
/// state before the window.
pub struct Trace {
    steps: usize,
    batch: usize,
    /// Pre-activations, then gates, then gradients of the pre-activations: `[steps * batch, blocks * hidden]`.
    gates: Vec<f32>,
    /// `[(steps + 1) * batch, hidden]`, empty for a GRU.
    memory: Vec<f32>,
    /// tanh of the memory, `[steps * batch, hidden]`, empty for a GRU.
    squashed: Vec<f32>,
    /// Output before the projection, `[steps * batch, hidden]`, empty without one.
    unprojected: Vec<f32>,
    /// `[(steps + 1) * batch, output_width]`.
    output: Vec<f32>,
    /// Gradient of the memory on its way back, `[batch, hidden]`.
    carry: Vec<f32>,
    /// Gradient of the output before the projection, `[batch, hidden]`, empty without one.
    d_unprojected: Vec<f32>,
}

impl Layer {
    /// Declares the matrices of layer `k`.
    pub fn declare(config: &ModelConfig, k: usize, builder: &mut Builder) -> Self {
        let (kind, hidden) = (config.cell, config.hidden[k]);
        let (input_width, output_width) = (config.input_width(k), config.output_width(k));
        let rows = kind.gates() * hidden;
        Self {
            kind,
            input_width,
            hidden,
            output_width,
            input: builder.matrix(format!("cell.{k}.input"), rows, input_width),
            recurrent: builder.matrix(format!("cell.{k}.recurrent"), rows, output_width),
            bias: builder.vector(format!("cell.{k}.bias"), kind.blocks() * hidden),
            projection: (config.cell_projection > 0)
                .then(|| builder.matrix(format!("cell.{k}.projection"), output_width, hidden)),
        }
    }

    /// Room for windows of `steps` steps of `batch` streams.
    pub fn trace(&self, steps: usize, batch: usize) -> Trace {
        let rows = steps * batch;
        let memory = if self.kind.has_memory() { self.hidden } else { 0 };
        let projected = if self.projection.is_some() { self.hidden } else { 0 };
        Trace {
            steps,
            batch,
            gates: vec![0.0; rows * self.width()],
            memory: vec![0.0; (rows + batch) * memory],
            squashed: vec![0.0; rows * memory],
            unprojected: vec![0.0; rows * projected],
            output: vec![0.0; (rows + batch) * self.output_width],
            carry: vec![0.0; batch * self.hidden],
            d_unprojected: vec![0.0; batch * projected],
        }
    }

    /// Width of a row of pre-activations.
    fn width(&self) -> usize {
        self.kind.blocks() * self.hidden
    }

    /// Pre-activations that the input matrix feeds: the first of each row.
    fn fed_width(&self) -> usize {
        self.kind.gates() * self.hidden
    }

    fn feed_rows<'a>(&self, recurrent: &'a [f32], feed: &Feed) -> View<'a> {
        let (first, rows) = (feed.row * self.hidden, feed.blocks * self.hidden);
        let part = &recurrent[first * self.output_width..][..rows * self.output_width];
        View::new(part, rows, self.output_width)
    }

    /// Runs the window: `input` `[steps * batch, input_width]` into the trace's output.
    pub fn forward(&self, weights: &Parameters, input: &[f32], trace: &mut Trace) {
        let (rows, width) = (trace.steps * trace.batch, self.width());
        for row in trace.gates.chunks_exact_mut(width) {
            row.copy_from_slice(weights.get(self.bias));
        }
        let matrix = View::new(weights.get(self.input), self.fed_width(), self.input_width);
        product(
            &mut trace.gates,
            width,
            Write::Add,
            View::new(input, rows, self.input_width),
            matrix.t(),
        );
        for t in 0..trace.steps {
            self.step_recurrence(weights, trace, t);
            self.step_cell(trace, t);
            self.step_projection(weights, trace, t);
        }
    }

    fn step_recurrence(&self, weights: &Parameters, trace: &mut Trace, t: usize) {
        let (batch, width) = (trace.batch, self.width());
        let before = &trace.output[t * batch * self.output_width..][..batch * self.output_width];
        let before = View::new(before, batch, self.output_width);
        let gates = &mut trace.gates[t * batch * width..][..batch * width];
        for feed in self.kind.recurrent_feeds() {
            let matrix = self.feed_rows(weights.get(self.recurrent), feed);
            product(&mut gates[feed.block * self.hidden..], width, Write::Add, before, matrix.t());
        }
    }

    fn step_cell(&self, trace: &mut Trace, t: usize) {
        let (batch, hidden, width) = (trace.batch, self.hidden, self.width());
        let gates = trace.gates[t * batch * width..].chunks_exact_mut(width);
        let (output_before, output) =
            trace.output.split_at_mut((t + 1) * batch * self.output_width);
        let projected = self.projection.is_some();
        let output = if projected { &mut trace.unprojected[t * batch * hidden..] } else { output };
        let output = output.chunks_exact_mut(hidden);
        if !self.kind.has_memory() {
            let before = output_before[t * batch * hidden..].chunks_exact(hidden);
            for ((gates, before), output) in gates.zip(before).zip(output) {
                let (memory, squashed) = (&mut [][..], &mut [][..]);
                cell::forward(self.kind, Step { gates, before, memory, squashed, output });
            }
            return;
        }
        let (before, memory) = trace.memory.split_at_mut((t + 1) * batch * hidden);
        let before = before[t * batch * hidden..].chunks_exact(hidden);
        let memory = memory.chunks_exact_mut(hidden);
        let squashed = trace.squashed[t * batch * hidden..].chunks_exact_mut(hidden);
        let streams = gates.zip(before).zip(memory).zip(squashed).zip(output).take(batch);
        for ((((gates, before), memory), squashed), output) in streams {
            cell::forward(self.kind, Step { gates, before, memory, squashed, output });
        }
    }

    fn step_projection(&self, weights: &Parameters, trace: &mut Trace, t: usize) {
        let Some(projection) = self.projection else { return };
        let (batch, hidden, narrow) = (trace.batch, self.hidden, self.output_width);
        let from =
            View::new(&trace.unprojected[t * batch * hidden..][..batch * hidden], batch, hidden);
        let matrix = View::new(weights.get(projection), narrow, hidden);
        let to = &mut trace.output[(t + 1) * batch * narrow..][..batch * narrow];
        product(to, narrow, Write::Set, from, matrix.t());
    }

    /// Pulls `d_output` `[steps * batch, output_width]` (changed in place) back through the window: sets this
    /// layer's entries of `gradient`, and `d_input` `[steps * batch, input_width]`.
    pub fn backward(
        &self,
        weights: &Parameters,
        gradient: &mut Parameters,
        input: &[f32],
        d_output: &mut [f32],
        trace: &mut Trace,
        d_input: &mut [f32],
    ) {
        trace.carry.fill(0.0);
        for t in (0..trace.steps).rev() {
            self.back_cell(weights, d_output, trace, t);
            self.back_recurrence(weights, d_output, trace, t);
        }
        self.weight_gradients(gradient, input, d_output, trace);
        let (rows, width) = (trace.steps * trace.batch, self.width());
        let gates = View::strided(&trace.gates, rows, self.fed_width(), width);
        let matrix = View::new(weights.get(self.input), self.fed_width(), self.input_width);
        product(d_input, self.input_width, Write::Set, gates, matrix);
    }

    fn back_cell(&self, weights: &Parameters, d_output: &[f32], trace: &mut Trace, t: usize) {
        let (batch, hidden, narrow) = (trace.batch, self.hidden, self.output_width);
        let d_output = &d_output[t * batch * narrow..][..batch * narrow];
        let output = if let Some(projection) = self.projection {
            let matrix = View::new(weights.get(projection), narrow, hidden);
            let d_output = View::new(d_output, batch, narrow);
            product(&mut trace.d_unprojected, hidden, Write::Set, d_output, matrix);
            &trace.d_unprojected[..]
        } else {
            d_output
        };
        let memory = self.kind.has_memory();
        let before = if memory { &trace.memory } else { &trace.output };
        let before = &before[t * batch * hidden..];
        for b in 0..batch {
            let row = b * hidden..(b + 1) * hidden;
            let (width, at) = (self.width(), t * batch + b);
            let squashed = if memory { &trace.squashed[at * hidden..][..hidden] } else { &[][..] };
            cell::backward(
                self.kind,
                BackStep {
                    gates: &mut trace.gates[at * width..][..width],
                    before: &before[row.clone()],
                    squashed,
                    output: &output[row.clone()],
                    carry: &mut trace.carry[row],
                },
            );
        }
    }

    /// Adds to the gradient of the previous step's output what flows through the recurrence.
    fn back_recurrence(&self, weights: &Parameters, d_output: &mut [f32], trace: &Trace, t: usize) {
        if t == 0 {
            return;
        }
        let (batch, width, narrow) = (trace.batch, self.width(), self.output_width);
        let d_before = &mut d_output[(t - 1) * batch * narrow..][..batch * narrow];
        let gates = &trace.gates[t * batch * width..][..batch * width];
        for feed in self.kind.recurrent_feeds() {
            let matrix = self.feed_rows(weights.get(self.recurrent), feed);
            let d_gates = &gates[feed.block * self.hidden..];
            let d_gates = View::strided(d_gates, batch, feed.blocks * self.hidden, width);
            product(d_before, narrow, Write::Add, d_gates, matrix);
        }
        if !self.kind.has_memory() {
            // A GRU's output is its memory: the part of its gradient that bypasses the gates.
            d_before.iter_mut().zip(&trace.carry).for_each(|(d, carry)| *d += carry);
        }
    }

    fn weight_gradients(
        &self,
        gradient: &mut Parameters,
        input: &[f32],
        d_output: &[f32],
        trace: &Trace,
    ) {
        let (rows, width, narrow) = (trace.steps * trace.batch, self.width(), self.output_width);
        let bias = gradient.get_mut(self.bias);
        bias.fill(0.0);
        add_column_sums(bias, &trace.gates);
        let gates = View::strided(&trace.gates, rows, self.fed_width(), width);
        let input = View::new(input, rows, self.input_width);
        product(gradient.get_mut(self.input), self.input_width, Write::Set, gates.t(), input);
        let before = View::new(&trace.output[..rows * narrow], rows, narrow);
        let recurrent = gradient.get_mut(self.recurrent);
        for feed in self.kind.recurrent_feeds() {
            let d_gates = &trace.gates[feed.block * self.hidden..];
            let d_gates = View::strided(d_gates, rows, feed.blocks * self.hidden, width);
            let part = &mut recurrent[feed.row * self.hidden * narrow..];
            product(part, narrow, Write::Set, d_gates.t(), before);
        }
        if let Some(projection) = self.projection {
            let d_output = View::new(d_output, rows, narrow);
            let unprojected = View::new(&trace.unprojected, rows, self.hidden);
            let part = gradient.get_mut(projection);
            product(part, self.hidden, Write::Set, d_output.t(), unprojected);
        }
    }
}

impl Trace {
    /// The layer's output over the window, `[steps * batch, output_width]`.
    pub fn output(&self) -> &[f32] {
        let slot = self.output.len() / (self.steps + 1);
        &self.output[slot..]
    }

    /// State before the window: output `[batch, output_width]` and memory `[batch, hidden]` (empty for a GRU).
    pub fn first_state(&mut self) -> (&mut [f32], &mut [f32]) {
        let (output, memory) = (self.output.len(), self.memory.len());
        let slots = self.steps + 1;
        (&mut self.output[..output / slots], &mut self.memory[..memory / slots])
    }

    /// State after the window, in the same layout.
    pub fn last_state(&self) -> (&[f32], &[f32]) {
        let slots = self.steps + 1;
        let last = |data: &'_ [f32]| data.len() - data.len() / slots;
        (&self.output[last(&self.output)..], &self.memory[last(&self.memory)..])
    }
}
