//! One recurrent layer over a whole window of steps as a single operation.
//!
//! Forward: one product for the inputs of all steps, one small product a step for the recurrence, the gates
//! in one pass. Backward: the same in reverse, then each weight gradient as one large product.
//! Rows are time-major: row `t * batch + b` is stream `b` at step `t`.

use rayon::prelude::*;

use super::mogrifier::{self, Mogrifier};
use super::normalise;
use crate::linear::panels::{Panels, Scratch};
use crate::linear::product::{View, Write, add_column_sums, product};
use crate::linear::{Builder, Id, Parameters};
use crate::network::cell::{self, BackStep, Feed, Step};
use crate::network::dropout::{Dropout, Site, apply};
use crate::settings::{CellKind, ModelConfig};

/// Shape of one layer and where its matrices are.
#[derive(Clone, Debug)]
pub struct Layer {
    number: usize,
    pub(crate) kind: CellKind,
    /// Width of what enters it.
    pub input_width: usize,
    /// Units.
    pub hidden: usize,
    /// Width of what leaves it and of what it feeds back.
    pub output_width: usize,
    pub(crate) input: Id,
    pub(crate) recurrent: Id,
    pub(crate) bias: Id,
    /// Gains of the normalised pre-activations, with layer normalisation.
    gain: Option<Id>,
    pub(crate) projection: Option<Id>,
    mogrifier: Mogrifier,
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
    /// What is fed back after dropout, `[steps * batch, output_width]`, and the mask that made it,
    /// `[batch, output_width]`; the mask is empty without dropout.
    fed: Vec<f32>,
    state_mask: Vec<f32>,
    /// Gradient of what is fed back at one step, `[batch, output_width]`, where it is not the output itself.
    d_fed: Vec<f32>,
    /// The recurrent matrix after dropout and the mask that made it; the mask is empty without dropout.
    dropped: Vec<f32>,
    weight_mask: Vec<f32>,
    /// Gradient of the memory on its way back, `[batch, hidden]`; of a uRNN the bias's, `[batch, hidden / 2]`.
    carry: Vec<f32>,
    /// Gradient of the output before the projection, `[batch, hidden]`, empty without one.
    d_unprojected: Vec<f32>,
    /// The recurrent matrix of each feed, packed by the forward pass, and its transpose, by the backward pass.
    recurrence: Vec<Panels>,
    back_recurrence: Vec<Panels>,
    /// The same of the projection.
    projection: Option<Panels>,
    back_projection: Option<Panels>,
    /// With layer normalisation.
    normalised: Option<normalise::Trace>,
    /// With a Mogrifier, which makes the input's product one a step: its matrix, and its transpose.
    mogrifier: mogrifier::Trace,
    input: Option<Panels>,
    back_input: Option<Panels>,
    scratch: Scratch,
}

impl Layer {
    /// Declares the matrices of layer `k`.
    pub fn declare(config: &ModelConfig, k: usize, builder: &mut Builder) -> Self {
        let (kind, hidden) = (config.cell, config.hidden[k]);
        let (input_width, output_width) = (config.input_width(k), config.output_width(k));
        let rows = kind.gates() * hidden;
        let widths = [input_width, output_width];
        Self {
            number: k,
            kind,
            input_width,
            hidden,
            output_width,
            input: builder.matrix(format!("cell.{k}.input"), rows, input_width),
            recurrent: builder.matrix(format!("cell.{k}.recurrent"), rows, output_width),
            bias: builder.vector(format!("cell.{k}.bias"), kind.bias(hidden)),
            projection: (config.cell_projection > 0)
                .then(|| builder.matrix(format!("cell.{k}.projection"), output_width, hidden)),
            mogrifier: Mogrifier::declare(k, config.mogrifier, widths, builder),
            gain: (config.layer_norm)
                .then(|| builder.vector(format!("cell.{k}.gain"), kind.blocks() * hidden)),
        }
    }

    /// Room for windows of `steps` steps of `batch` streams.
    pub fn trace(&self, steps: usize, batch: usize) -> Trace {
        let (rows, active) = (steps * batch, self.mogrifier.is_active());
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
            fed: Vec::new(),
            state_mask: Vec::new(),
            d_fed: Vec::new(),
            dropped: Vec::new(),
            weight_mask: Vec::new(),
            carry: vec![0.0; batch * self.carry_width()],
            d_unprojected: vec![0.0; batch * projected],
            recurrence: self.feeds(|rows| Panels::new(rows, self.output_width, batch)),
            back_recurrence: self.feeds(|rows| Panels::new(self.output_width, rows, batch)),
            projection: self.projection.map(|_| Panels::new(self.output_width, self.hidden, batch)),
            back_projection: self
                .projection
                .map(|_| Panels::new(self.hidden, self.output_width, batch)),
            normalised: self
                .gain
                .map(|_| normalise::Trace::new(rows, self.kind.blocks(), self.hidden)),
            mogrifier: self.mogrifier.trace(steps, batch),
            input: active.then(|| Panels::new(self.fed_width(), self.input_width, batch)),
            back_input: active.then(|| Panels::new(self.input_width, self.fed_width(), batch)),
            scratch: Scratch::default(),
        }
    }

    /// Adds `bias` to those of the forget gate, if there is one, and 1 to the gains, if there are any; the biases of a
    /// uRNN start at zero. They are found by name, since leaves may be other numbers than the dense matrices.
    pub fn offset(&self, weights: &mut Parameters, bias: f32) {
        let vector = |name: &str| {
            let found = weights.find(&format!("cell.{}.{name}", self.number));
            found.map(|entry| entry.range.clone())
        };
        let (biases, gains) = (vector("bias"), vector("gain"));
        if let (Some(biases), CellKind::Urnn) = (&biases, self.kind) {
            weights.data[biases.clone()].fill(0.0);
        }
        if let (Some(biases), Some(block)) = (biases, cell::forget_block(self.kind)) {
            let biases = &mut weights.data[biases][block * self.hidden..][..self.hidden];
            biases.iter_mut().for_each(|b| *b += bias);
        }
        if let Some(gains) = gains {
            weights.data[gains].iter_mut().for_each(|gain| *gain += 1.0);
        }
    }

    /// Something for each feed of the recurrent matrix, given the number of its rows.
    fn feeds(&self, make: impl Fn(usize) -> Panels) -> Vec<Panels> {
        let feeds = cell::recurrent_feeds(self.kind).iter();
        feeds.map(|feed| make(feed.blocks * self.hidden)).collect()
    }

    /// Width of a row of pre-activations.
    fn width(&self) -> usize {
        self.kind.blocks() * self.hidden
    }

    fn carry_width(&self) -> usize {
        if self.kind == CellKind::Urnn { self.hidden / 2 } else { self.hidden }
    }

    /// The bias, where it is not among the pre-activations.
    fn bias_apart<'a>(&self, weights: &'a Parameters) -> &'a [f32] {
        if self.kind == CellKind::Urnn { weights.get(self.bias) } else { &[] }
    }

    /// Pre-activations that the input matrix feeds: the first of each row.
    fn fed_width(&self) -> usize {
        self.kind.gates() * self.hidden
    }

    /// The recurrent matrix's rows of one feed.
    fn feed_rows<'a>(&self, recurrent: &'a [f32], feed: &Feed) -> &'a [f32] {
        let (first, rows) = (feed.row * self.hidden, feed.blocks * self.hidden);
        &recurrent[first * self.output_width..][..rows * self.output_width]
    }

    /// Draws this window's masks, or none.
    fn drop(&self, weights: &Parameters, dropout: Option<Dropout>, trace: &mut Trace) {
        let Some(dropout) = dropout else {
            trace.state_mask.clear();
            trace.weight_mask.clear();
            return;
        };
        let (state, length) = (dropout.variational.state, trace.batch * self.output_width);
        dropout.draw(Site::State(self.number), state, length, &mut trace.state_mask);
        if !trace.state_mask.is_empty() {
            trace.fed.resize(trace.steps * length, 0.0);
        }
        let recurrent = weights.get(self.recurrent);
        let (site, length) = (Site::Weights(self.number), recurrent.len());
        dropout.draw(site, dropout.weights, length, &mut trace.weight_mask);
        if !trace.weight_mask.is_empty() {
            trace.dropped.clear();
            trace.dropped.extend_from_slice(recurrent);
            apply(&trace.weight_mask, &mut trace.dropped);
        }
    }

    fn pack_forward(&self, weights: &Parameters, trace: &mut Trace) {
        let dropped = !trace.weight_mask.is_empty();
        let recurrent = if dropped { &trace.dropped } else { weights.get(self.recurrent) };
        for (panels, feed) in trace.recurrence.iter_mut().zip(cell::recurrent_feeds(self.kind)) {
            panels.pack(self.feed_rows(recurrent, feed));
        }
        if let (Some(panels), Some(id)) = (&mut trace.projection, self.projection) {
            panels.pack(weights.get(id));
        }
        if let Some(panels) = &mut trace.input {
            panels.pack(weights.get(self.input));
        }
        self.mogrifier.pack_forward(weights, &mut trace.mogrifier);
    }

    fn pack_backward(&self, weights: &Parameters, trace: &mut Trace) {
        let dropped = !trace.weight_mask.is_empty();
        let recurrent = if dropped { &trace.dropped } else { weights.get(self.recurrent) };
        for (panels, feed) in trace.back_recurrence.iter_mut().zip(cell::recurrent_feeds(self.kind))
        {
            panels.pack_transposed(self.feed_rows(recurrent, feed));
        }
        if let (Some(panels), Some(id)) = (&mut trace.back_projection, self.projection) {
            panels.pack_transposed(weights.get(id));
        }
        if let Some(panels) = &mut trace.back_input {
            panels.pack_transposed(weights.get(self.input));
        }
        self.mogrifier.pack_backward(weights, &mut trace.mogrifier);
    }

    /// Runs the window: `input` `[steps * batch, input_width]` into the trace's output.
    pub fn forward(
        &self,
        weights: &Parameters,
        input: &[f32],
        dropout: Option<Dropout>,
        trace: &mut Trace,
    ) {
        let (rows, width) = (trace.steps * trace.batch, self.width());
        if self.gain.is_some() || self.kind == CellKind::Urnn {
            // The biases come after the normalisation, or are of moduli.
            trace.gates.fill(0.0);
        } else {
            let bias = weights.get(self.bias);
            let streams = trace.gates.par_chunks_exact_mut(width).with_min_len(share(rows));
            streams.for_each(|row| row.copy_from_slice(bias));
        }
        if !self.mogrifier.is_active() {
            let matrix = View::new(weights.get(self.input), self.fed_width(), self.input_width);
            let input = View::new(input, rows, self.input_width);
            product(&mut trace.gates, width, Write::Add, input, matrix.t());
        }
        self.drop(weights, dropout, trace);
        self.pack_forward(weights, trace);
        for t in 0..trace.steps {
            self.step_recurrence(input, trace, t);
            self.step_normalise(weights, trace, t);
            self.step_cell(self.bias_apart(weights), trace, t);
            self.step_projection(trace, t);
        }
    }

    fn step_recurrence(&self, input: &[f32], trace: &mut Trace, t: usize) {
        let (batch, width, narrow) = (trace.batch, self.width(), self.output_width);
        let step = t * batch * narrow..(t + 1) * batch * narrow;
        let mut before = &trace.output[step.clone()];
        if !trace.state_mask.is_empty() {
            let fed = &mut trace.fed[step];
            fed.copy_from_slice(before);
            apply(&trace.state_mask, fed);
            before = fed;
        }
        let gates = &mut trace.gates[t * batch * width..][..batch * width];
        if let Some(panels) = &trace.input {
            let input = &input[t * batch * self.input_width..][..batch * self.input_width];
            let (rounds, scratch) = (&mut trace.mogrifier, &mut trace.scratch);
            self.mogrifier.forward(t, input, before, rounds, scratch);
            let input = &self.mogrifier.input(rounds)[t * batch * self.input_width..];
            panels.add_product((input, self.input_width), batch, (gates, width), scratch);
            before = &self.mogrifier.state(rounds)[t * batch * narrow..][..batch * narrow];
        }
        for (panels, feed) in trace.recurrence.iter().zip(cell::recurrent_feeds(self.kind)) {
            let gates = &mut gates[feed.block * self.hidden..];
            panels.add_product((before, narrow), batch, (gates, width), &mut trace.scratch);
        }
    }

    fn step_normalise(&self, weights: &Parameters, trace: &mut Trace, t: usize) {
        let (Some(gain), Some(normalised)) = (self.gain, &mut trace.normalised) else { return };
        let (first, width) = (t * trace.batch, self.width());
        let gates = &mut trace.gates[first * width..][..trace.batch * width];
        let affine = (weights.get(gain), weights.get(self.bias));
        normalised.forward(self.hidden, first, gates, affine);
    }

    fn back_normalise(&self, weights: &Parameters, trace: &mut Trace, t: usize) {
        let (Some(gain), Some(normalised)) = (self.gain, &mut trace.normalised) else { return };
        let (first, width) = (t * trace.batch, self.width());
        let gates = &mut trace.gates[first * width..][..trace.batch * width];
        normalised.backward(self.hidden, first, gates, weights.get(gain));
    }

    fn step_cell(&self, bias: &[f32], trace: &mut Trace, t: usize) {
        let (batch, hidden, width) = (trace.batch, self.hidden, self.width());
        let (first, rows) = (t * batch, batch * hidden);
        let gates = &mut trace.gates[first * width..][..batch * width];
        let (output_before, output) =
            trace.output.split_at_mut((first + batch) * self.output_width);
        let projected = self.projection.is_some();
        let output = if projected { &mut trace.unprojected[first * hidden..] } else { output };
        let gates = gates.par_chunks_exact_mut(width).with_min_len(share(batch));
        let gates = gates.zip(output[..rows].par_chunks_exact_mut(hidden));
        if !self.kind.has_memory() {
            let before = output_before[first * hidden..].par_chunks_exact(hidden);
            gates.zip(before).for_each(|((gates, output), before)| {
                let (memory, squashed) = (&mut [][..], &mut [][..]);
                cell::forward(self.kind, Step { gates, bias, before, memory, squashed, output });
            });
            return;
        }
        let (before, memory) = trace.memory.split_at_mut((first + batch) * hidden);
        let before = before[first * hidden..].par_chunks_exact(hidden);
        let memory = memory[..rows].par_chunks_exact_mut(hidden);
        let squashed = trace.squashed[first * hidden..][..rows].par_chunks_exact_mut(hidden);
        let memories = before.zip(memory).zip(squashed);
        gates.zip(memories).for_each(|((gates, output), ((before, memory), squashed))| {
            cell::forward(self.kind, Step { gates, bias, before, memory, squashed, output });
        });
    }

    fn step_projection(&self, trace: &mut Trace, t: usize) {
        let Some(panels) = &trace.projection else { return };
        let (batch, hidden, narrow) = (trace.batch, self.hidden, self.output_width);
        let from = &trace.unprojected[t * batch * hidden..];
        let to = &mut trace.output[(t + 1) * batch * narrow..][..batch * narrow];
        to.fill(0.0);
        panels.add_product((from, hidden), batch, (to, narrow), &mut trace.scratch);
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
        if let Some(normalised) = &mut trace.normalised {
            normalised.d_gain.fill(0.0);
            normalised.d_bias.fill(0.0);
        }
        self.pack_backward(weights, trace);
        for t in (0..trace.steps).rev() {
            self.back_cell(self.bias_apart(weights), d_output, trace, t);
            self.back_normalise(weights, trace, t);
            self.back_recurrence(d_output, d_input, trace, t);
        }
        self.weight_gradients(gradient, input, d_output, trace);
        if self.mogrifier.is_active() {
            return;
        }
        let (rows, width) = (trace.steps * trace.batch, self.width());
        let gates = View::strided(&trace.gates, rows, self.fed_width(), width);
        let matrix = View::new(weights.get(self.input), self.fed_width(), self.input_width);
        product(d_input, self.input_width, Write::Set, gates, matrix);
    }

    fn back_cell(&self, bias: &[f32], d_output: &[f32], trace: &mut Trace, t: usize) {
        let (batch, hidden, narrow) = (trace.batch, self.hidden, self.output_width);
        let d_output = &d_output[t * batch * narrow..][..batch * narrow];
        let output = if let Some(panels) = &trace.back_projection {
            trace.d_unprojected.fill(0.0);
            let out = (&mut trace.d_unprojected[..], hidden);
            panels.add_product((d_output, narrow), batch, out, &mut trace.scratch);
            &trace.d_unprojected[..]
        } else {
            d_output
        };
        let first = t * batch;
        let memory = self.kind.has_memory();
        let before = if memory { &trace.memory } else { &trace.output };
        let before = before[first * hidden..][..batch * hidden].par_chunks_exact(hidden);
        let gates = &mut trace.gates[first * self.width()..][..batch * self.width()];
        let gates = gates.par_chunks_exact_mut(self.width()).with_min_len(share(batch));
        let carries = trace.carry.par_chunks_exact_mut(self.carry_width());
        let streams =
            gates.zip(before).zip(output.par_chunks_exact(hidden)).zip(carries).enumerate();
        streams.for_each(|(b, (((gates, before), output), carry))| {
            let at = (first + b) * hidden;
            let squashed = if memory { &trace.squashed[at..at + hidden] } else { &[][..] };
            cell::backward(self.kind, BackStep { gates, bias, before, squashed, output, carry });
        });
    }

    /// Adds to the gradient of the previous step's output what flows through the recurrence; with a Mogrifier
    /// also sets this step's part of `d_input`.
    fn back_recurrence(
        &self,
        d_output: &mut [f32],
        d_input: &mut [f32],
        trace: &mut Trace,
        t: usize,
    ) {
        let mogrified = self.mogrifier.is_active();
        if t == 0 && !mogrified {
            return;
        }
        let (batch, width, narrow) = (trace.batch, self.width(), self.output_width);
        let gates = &trace.gates[t * batch * width..][..batch * width];
        let apart = mogrified || !trace.state_mask.is_empty();
        let before = t.saturating_sub(1) * batch * narrow;
        let d_before = &mut d_output[before..][..batch * narrow];
        trace.d_fed.resize(if apart { batch * narrow } else { 0 }, 0.0);
        trace.d_fed.fill(0.0);
        let d_fed = if apart { &mut trace.d_fed[..] } else { &mut *d_before };
        for (panels, feed) in trace.back_recurrence.iter().zip(cell::recurrent_feeds(self.kind)) {
            let d_gates = &gates[feed.block * self.hidden..];
            panels.add_product((d_gates, width), batch, (d_fed, narrow), &mut trace.scratch);
        }
        if let Some(panels) = &trace.back_input {
            let (wide, scratch) = (self.input_width, &mut trace.scratch);
            let d_input = &mut d_input[t * batch * wide..][..batch * wide];
            d_input.fill(0.0);
            panels.add_product((gates, width), batch, (d_input, wide), scratch);
            self.mogrifier.backward(t, d_input, d_fed, &mut trace.mogrifier, scratch);
        }
        if t == 0 {
            return;
        }
        if apart {
            apply(&trace.state_mask, &mut trace.d_fed);
            d_before.iter_mut().zip(&trace.d_fed).for_each(|(d, d_fed)| *d += d_fed);
        }
        if self.kind == CellKind::Gru {
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
        if let (Some(normalised), Some(gain)) = (&trace.normalised, self.gain) {
            bias.copy_from_slice(&normalised.d_bias);
            gradient.get_mut(gain).copy_from_slice(&normalised.d_gain);
        } else {
            bias.fill(0.0);
            let apart = self.kind == CellKind::Urnn;
            add_column_sums(bias, if apart { &trace.carry } else { &trace.gates });
        }
        self.mogrifier.weight_gradients(gradient, &trace.mogrifier);
        let gates = View::strided(&trace.gates, rows, self.fed_width(), width);
        let input = View::new(self.taken(trace, input), rows, self.input_width);
        product(gradient.get_mut(self.input), self.input_width, Write::Set, gates.t(), input);
        let before = View::new(self.fed_back(trace), rows, narrow);
        let recurrent = gradient.get_mut(self.recurrent);
        for feed in cell::recurrent_feeds(self.kind) {
            let d_gates = &trace.gates[feed.block * self.hidden..];
            let d_gates = View::strided(d_gates, rows, feed.blocks * self.hidden, width);
            let part = &mut recurrent[feed.row * self.hidden * narrow..];
            product(part, narrow, Write::Set, d_gates.t(), before);
        }
        apply(&trace.weight_mask, recurrent);
        if let Some(projection) = self.projection {
            let d_output = View::new(d_output, rows, narrow);
            let unprojected = View::new(&trace.unprojected, rows, self.hidden);
            let part = gradient.get_mut(projection);
            product(part, self.hidden, Write::Set, d_output.t(), unprojected);
        }
    }
}

impl Layer {
    /// What the input matrix was multiplied with, given what entered the layer: `[steps * batch, input_width]`.
    pub fn taken<'a>(&self, trace: &'a Trace, input: &'a [f32]) -> &'a [f32] {
        if self.mogrifier.is_active() { self.mogrifier.input(&trace.mogrifier) } else { input }
    }

    /// What the recurrent matrix was multiplied with, `[steps * batch, output_width]`.
    pub fn fed_back<'a>(&self, trace: &'a Trace) -> &'a [f32] {
        if self.mogrifier.is_active() {
            self.mogrifier.state(&trace.mogrifier)
        } else if trace.state_mask.is_empty() {
            &trace.output[..trace.output.len() - trace.output.len() / (trace.steps + 1)]
        } else {
            &trace.fed
        }
    }

    /// The same of the Mogrifier's matrices: name, columns and inputs of each.
    pub fn mogrifier_inputs<'a>(&self, trace: &'a Trace) -> Vec<(String, usize, &'a [f32])> {
        let inputs = self.mogrifier.matrix_inputs(&trace.mogrifier).into_iter().enumerate();
        let name = |i| format!("cell.{}.mogrifier.{i}", self.number);
        inputs.map(|(i, (columns, input))| (name(i), columns, input)).collect()
    }
}

/// Streams for one thread, out of `batch`.
fn share(batch: usize) -> usize {
    batch.div_ceil(rayon::current_num_threads())
}

impl Trace {
    /// The layer's output over the window, `[steps * batch, output_width]`.
    pub fn output(&self) -> &[f32] {
        let slot = self.output.len() / (self.steps + 1);
        &self.output[slot..]
    }

    /// Output before the projection, `[steps * batch, hidden]`, empty without one.
    pub fn unprojected(&self) -> &[f32] {
        &self.unprojected
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
