//! A window on a device, forward and backward: the operations of [`Network`](crate::network::Network), in its order.

use std::ops::Range;

use super::accelerator::{Accelerator, Matrix, Part};
use super::kernels::{BackStep, Groups, Kernels, Logits, Near, Step, Top};
use super::plan::{Layer, Layout, Model, Plan, Task};
use super::room::{LayerRoom, Room};
use crate::error::Result;
use crate::linear::product::Write;
use crate::network::cell::{Feed, recurrent_feeds};
use crate::settings::Augmented;
use crate::settings::Penalties;

/// One window.
pub struct Pass<'a> {
    pub device: &'a dyn Accelerator,
    pub model: &'a Model,
    /// All weights and their gradient, as the model has them.
    pub weights: Part<'a>,
    pub gradient: Part<'a>,
    pub room: &'a Room,
    pub plan: &'a Plan,
    pub layout: &'a Layout,
}

impl<'a> Pass<'a> {
    /// Does what the plan's task asks for.
    pub fn run(&self) -> Result<()> {
        self.forward()?;
        match self.plan.task {
            Task::Predict => self.predict(),
            Task::Train(scale, penalties) => {
                self.back_output(scale, penalties)?;
                self.back_top(scale, penalties)?;
                (0..self.model.layers.len()).rev().try_for_each(|k| self.back_layer(k))?;
                self.back_embedding()
            }
        }
    }

    fn kernels(&self) -> Kernels<'a> {
        Kernels(self.device)
    }

    fn sent(&self, range: &Range<usize>) -> Part<'a> {
        self.room.sent.all().part(range.clone())
    }

    fn returned(&self, range: &Range<usize>) -> Part<'a> {
        self.room.returned.all().part(range.clone())
    }

    /// A mask, if there is one.
    fn mask(&self, range: &Range<usize>) -> Option<Part<'a>> {
        (!range.is_empty()).then(|| self.sent(range))
    }

    /// A weight matrix of so many columns.
    fn matrix(&self, range: &Range<usize>, columns: usize) -> Matrix<'a> {
        Matrix::new(self.weights.part(range.clone()), range.len() / columns, columns)
    }

    /// Its gradient.
    fn d_matrix(&self, range: &Range<usize>, columns: usize) -> Matrix<'a> {
        Matrix::new(self.gradient.part(range.clone()), range.len() / columns, columns)
    }

    fn layer(&self, k: usize) -> (&'a Layer, &'a LayerRoom) {
        (&self.model.layers[k], &self.room.layers[k])
    }

    /// What left layer `k` before its mask, `[rows, output_width]`.
    fn output(&self, k: usize) -> Part<'a> {
        let (layer, room) = self.layer(k);
        let slot = self.plan.batch * layer.output_width;
        room.output.first(slot * (self.plan.steps + 1)).from(slot)
    }

    /// What enters layer `k` after its mask, or what left the top one: `[rows, width]`.
    fn input(&self, k: usize) -> Part<'a> {
        if k > 0 && self.layout.inputs[k].is_empty() {
            return self.output(k - 1);
        }
        self.room.inputs[k].first(self.plan.rows() * self.model.width(k))
    }

    /// Gradient of what enters layer `k`, `[rows, width]`.
    fn d_input(&self, k: usize) -> Part<'a> {
        self.room.d[k % 2].first(self.plan.rows() * self.model.width(k))
    }

    /// What enters the softmax, `[rows, softmax_width]`.
    fn top(&self) -> Part<'a> {
        match &self.model.projection {
            Some((_, width)) => self.room.projected.first(self.plan.rows() * width),
            None => self.input(self.model.layers.len()),
        }
    }

    fn forward(&self) -> Result<()> {
        let model = self.model;
        let words = self.mask(&self.layout.words);
        self.kernels().embed(
            self.input(0),
            (self.weights.part(model.embedding.clone()), model.embedding_width),
            self.sent(&self.layout.tokens),
            (words, self.mask(&self.layout.inputs[0])),
        )?;
        for k in 0..model.layers.len() {
            self.forward_layer(k)?;
            if let Some(mask) = self.mask(&self.layout.inputs[k + 1]) {
                self.kernels().masked(self.input(k + 1), self.output(k), Some(mask))?;
            }
        }
        let Some((projection, narrow)) = &model.projection else { return Ok(()) };
        let (rows, wide) = (self.plan.rows(), model.top_width());
        let input = Matrix::new(self.input(model.layers.len()), rows, wide);
        let projected = Matrix::new(self.top(), rows, *narrow);
        self.device.product(projected, Write::Set, input, self.matrix(projection, wide).t())
    }

    fn forward_layer(&self, k: usize) -> Result<()> {
        let (layer, room) = self.layer(k);
        let rows = self.plan.rows();
        let states = [&room.output, &room.memory].into_iter().zip(&self.layout.before[k]);
        for (slots, before) in states {
            self.kernels().masked(slots.first(before.len()), self.sent(before), None)?;
        }
        let gates = self.fed(k);
        let input = Matrix::new(self.input(k), rows, layer.input_width);
        let weights = self.matrix(&layer.input, layer.input_width);
        self.device.product(gates, Write::Set, input, weights.t())?;
        (0..self.plan.steps).try_for_each(|t| self.forward_step(k, t))?;
        let last = [(&room.output, layer.output_width), (&room.memory, layer.memory())];
        for ((slots, width), after) in last.into_iter().zip(&self.layout.after[k]) {
            let slot = slots.all().part(rows * width..(rows + self.plan.batch) * width);
            self.kernels().masked(self.returned(after), slot, None)?;
        }
        Ok(())
    }

    /// Step `t` of something that is `width` wide.
    fn step(&self, of: Part<'a>, t: usize, width: usize) -> Part<'a> {
        let slot = self.plan.batch * width;
        of.part(t * slot..(t + 1) * slot)
    }

    /// The pre-activations of all steps that the input feeds, `[rows, gates * hidden]`.
    fn fed(&self, k: usize) -> Matrix<'a> {
        let (layer, room) = self.layer(k);
        let (rows, width) = (self.plan.rows(), layer.width());
        let fed = layer.kind.gates() * layer.hidden;
        Matrix::strided(room.gates.first(rows * width), rows, fed, width)
    }

    /// The pre-activations of step `t` that one feed of the recurrent matrix feeds, and its rows.
    fn feed(&self, k: usize, t: usize, feed: &Feed) -> (Matrix<'a>, Matrix<'a>) {
        let (layer, room) = self.layer(k);
        let (narrow, rows) = (layer.output_width, feed.blocks * layer.hidden);
        let gates = self.step(room.gates.all(), t, layer.width()).from(feed.block * layer.hidden);
        let gates = Matrix::strided(gates, self.plan.batch, rows, layer.width());
        let matrix =
            self.weights.part(layer.recurrent.clone()).from(feed.row * layer.hidden * narrow);
        (gates, Matrix::new(matrix.part(0..rows * narrow), rows, narrow))
    }

    fn forward_step(&self, k: usize, t: usize) -> Result<()> {
        let (layer, room) = self.layer(k);
        let (batch, hidden, wide) = (self.plan.batch, layer.hidden, layer.output_width);
        let mut before = self.step(room.output.all(), t, wide);
        if let Some(mask) = self.mask(&self.layout.states[k]) {
            let fed = self.step(room.fed.all(), t, wide);
            self.kernels().masked(fed, before, Some(mask))?;
            before = fed;
        }
        for feed in recurrent_feeds(layer.kind) {
            let (gates, matrix) = self.feed(k, t, feed);
            // The input feeds the first blocks.
            let write = if feed.block < layer.kind.gates() { Write::Add } else { Write::Set };
            self.device.product(gates, write, Matrix::new(before, batch, wide), matrix.t())?;
        }
        let output = self.step(room.output.all(), t + 1, wide);
        let cell = match layer.projection {
            Some(_) => self.step(room.unprojected.all(), t, hidden),
            None => output,
        };
        let memory = layer.memory();
        let step = Step {
            gates: self.step(room.gates.all(), t, layer.width()),
            bias: self.weights.part(layer.bias.clone()),
            before: self.state_before(k, t),
            memory: self.step(room.memory.all(), if memory > 0 { t + 1 } else { 0 }, memory),
            squashed: self.step(room.squashed.all(), t, memory),
            output: cell,
        };
        self.kernels().cell_forward(layer.kind, hidden, &step)?;
        let Some(projection) = &layer.projection else { return Ok(()) };
        let (output, cell) = (Matrix::new(output, batch, wide), Matrix::new(cell, batch, hidden));
        self.device.product(output, Write::Set, cell, self.matrix(projection, hidden).t())
    }

    /// Memory before step `t`; for a GRU its output.
    fn state_before(&self, k: usize, t: usize) -> Part<'a> {
        let (layer, room) = self.layer(k);
        let of = if layer.kind.has_memory() { &room.memory } else { &room.output };
        self.step(of.all(), t, layer.hidden)
    }

    /// Some rows at a time, as many as can be held: their logits without bias.
    fn logits(&self, rows: Range<usize>) -> Result<Logits<'a>> {
        let (model, count) = (self.model, rows.len());
        let (width, vocabulary) = (model.softmax_width, model.vocabulary);
        let input = self.top().part(rows.start * width..rows.end * width);
        let logits = self.room.logits.first(count * vocabulary);
        let out = Matrix::new(logits, count, vocabulary);
        let matrix = self.matrix(&model.softmax, width).t();
        self.device.product(out, Write::Set, Matrix::new(input, count, width), matrix)?;
        Ok(Logits {
            logits,
            bias: self.weights.part(model.softmax_bias.clone()),
            targets: self.sent(&self.layout.targets).part(rows.clone()),
            losses: self.returned(&self.layout.losses).part(rows),
        })
    }

    /// Parts of the window whose logits can be held.
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, held) = (self.plan.rows(), self.model.held_rows(self.plan.rows()));
        (0..rows).step_by(held).map(move |first| first..rows.min(first + held))
    }

    fn predict(&self) -> Result<()> {
        for rows in self.pieces() {
            let logits = self.logits(rows.clone())?;
            let ranks = self.returned(&self.layout.ranks).part(rows);
            self.kernels().softmax_rank(&logits, ranks)?;
        }
        Ok(())
    }

    /// Softmax and projection: leaves the gradient of what left the top layer, after its mask.
    fn back_output(&self, scale: f32, penalties: Penalties) -> Result<()> {
        for rows in self.pieces() {
            self.back_softmax(rows, scale, penalties)?;
        }
        let Some((projection, narrow)) = &self.model.projection else { return Ok(()) };
        let (rows, top, wide) = (self.plan.rows(), self.model.layers.len(), self.model.top_width());
        let d_projected = Matrix::new(self.d_top(), rows, *narrow);
        let input = Matrix::new(self.input(top), rows, wide);
        let gradient = self.d_matrix(projection, wide);
        self.device.product(gradient, Write::Set, d_projected.t(), input)?;
        let d_input = Matrix::new(self.d_input(top), rows, wide);
        self.device.product(d_input, Write::Set, d_projected, self.matrix(projection, wide))
    }

    /// Gradient of what enters the softmax.
    fn d_top(&self) -> Part<'a> {
        match &self.model.projection {
            Some((_, width)) => self.room.d_projected.first(self.plan.rows() * width),
            None => self.d_input(self.model.layers.len()),
        }
    }

    fn back_softmax(&self, rows: Range<usize>, scale: f32, penalties: Penalties) -> Result<()> {
        let (model, count, width) = (self.model, rows.len(), self.model.softmax_width);
        let logits = self.logits(rows.clone())?;
        let near = match penalties.augmented {
            Some(Augmented { weight, temperature }) => Some(Near {
                products: self.near(logits.targets)?,
                weight: weight as f32,
                inverse: (1.0 / temperature) as f32,
            }),
            None => None,
        };
        self.kernels().softmax_gradient(&logits, near.as_ref(), scale)?;
        let is_later = rows.start > 0;
        let write = if is_later { Write::Add } else { Write::Set };
        self.kernels().column_sums(
            self.gradient.part(model.softmax_bias.clone()),
            logits.logits,
            is_later,
        )?;
        let d = Matrix::new(logits.logits, count, model.vocabulary);
        let numbers = rows.start * width..rows.end * width;
        let input = Matrix::new(self.top().part(numbers.clone()), count, width);
        self.device.product(self.d_matrix(&model.softmax, width), write, d.t(), input)?;
        let d_input = Matrix::new(self.d_top().part(numbers), count, width);
        self.device.product(d_input, Write::Set, d, self.matrix(&model.softmax, width))
    }

    /// Products of the targets' embeddings with all embeddings, `[targets, vocabulary]`.
    fn near(&self, targets: Part<'a>) -> Result<Part<'a>> {
        let (model, count) = (self.model, targets.length);
        let width = model.embedding_width;
        let own = self.room.near_rows.first(count * width);
        let embedding = self.weights.part(model.embedding.clone());
        self.kernels().embed(own, (embedding, width), targets, (None, None))?;
        let products = self.room.near.first(count * model.vocabulary);
        let out = Matrix::new(products, count, model.vocabulary);
        let all = self.matrix(&model.embedding, width);
        self.device.product(out, Write::Set, Matrix::new(own, count, width), all.t())?;
        Ok(products)
    }

    /// Dropout and the penalties of the top layer's output.
    fn back_top(&self, scale: f32, penalties: Penalties) -> Result<()> {
        let (top, rows, width) =
            (self.model.layers.len(), self.plan.rows(), self.model.top_width());
        let mask = self.mask(&self.layout.inputs[top]);
        if mask.is_none() && penalties.activation == 0.0 && penalties.temporal == 0.0 {
            return Ok(());
        }
        let share = |terms: usize| 2.0 * f64::from(scale) * rows as f64 / terms.max(1) as f64;
        let temporal = share((rows - self.plan.batch) * width);
        let top = Top {
            dropped: self.input(top),
            output: self.output(top - 1),
            activation: (penalties.activation * share(rows * width)) as f32,
            temporal: (penalties.temporal * temporal) as f32,
            step: self.plan.batch * width,
        };
        self.kernels().penalise(self.d_input(self.model.layers.len()), mask, &top)
    }

    fn back_layer(&self, k: usize) -> Result<()> {
        let (layer, room) = self.layer(k);
        let rows = self.plan.rows();
        self.kernels().zero(room.carry.first(self.plan.batch * layer.hidden))?;
        (0..self.plan.steps).rev().try_for_each(|t| self.back_step(k, t))?;
        self.weight_gradients(k)?;
        let gates = self.fed(k);
        let d_input = Matrix::new(self.d_input(k), rows, layer.input_width);
        let weights = self.matrix(&layer.input, layer.input_width);
        self.device.product(d_input, Write::Set, gates, weights)?;
        match self.mask(&self.layout.inputs[k]) {
            Some(mask) => self.kernels().masked(self.d_input(k), self.d_input(k), Some(mask)),
            None => Ok(()),
        }
    }

    fn back_step(&self, k: usize, t: usize) -> Result<()> {
        let (layer, room) = self.layer(k);
        let (batch, hidden, wide) = (self.plan.batch, layer.hidden, layer.output_width);
        let carry = room.carry.first(batch * hidden);
        let mut d_output = self.step(self.d_input(k + 1), t, wide);
        if let Some(projection) = &layer.projection {
            let d_unprojected = room.d_unprojected.first(batch * hidden);
            let out = Matrix::new(d_unprojected, batch, hidden);
            let d = Matrix::new(d_output, batch, wide);
            self.device.product(out, Write::Set, d, self.matrix(projection, hidden))?;
            d_output = d_unprojected;
        }
        let step = BackStep {
            gates: self.step(room.gates.all(), t, layer.width()),
            before: self.state_before(k, t),
            squashed: self.step(room.squashed.all(), t, layer.memory()),
            d_output,
            carry,
        };
        self.kernels().cell_backward(layer.kind, hidden, &step)?;
        if t == 0 {
            return Ok(());
        }
        self.back_recurrence(k, t)?;
        if layer.kind.has_memory() {
            return Ok(());
        }
        // A GRU's output is its memory: the part of its gradient that bypasses the gates.
        self.kernels().add_masked(self.step(self.d_input(k + 1), t - 1, wide), carry, None)
    }

    /// Adds to the gradient of the previous step's output what flows through the recurrence.
    fn back_recurrence(&self, k: usize, t: usize) -> Result<()> {
        let (layer, room) = self.layer(k);
        let (batch, wide) = (self.plan.batch, layer.output_width);
        let d_before = self.step(self.d_input(k + 1), t - 1, wide);
        let mask = self.mask(&self.layout.states[k]);
        let d_fed = if mask.is_some() { room.d_fed.first(batch * wide) } else { d_before };
        let mut write = if mask.is_some() { Write::Set } else { Write::Add };
        for feed in recurrent_feeds(layer.kind) {
            let (d_gates, matrix) = self.feed(k, t, feed);
            self.device.product(Matrix::new(d_fed, batch, wide), write, d_gates, matrix)?;
            write = Write::Add;
        }
        if mask.is_none() { Ok(()) } else { self.kernels().add_masked(d_before, d_fed, mask) }
    }

    fn weight_gradients(&self, k: usize) -> Result<()> {
        let (layer, room) = self.layer(k);
        let (rows, width, wide) = (self.plan.rows(), layer.width(), layer.output_width);
        let all = room.gates.first(rows * width);
        self.kernels().column_sums(self.gradient.part(layer.bias.clone()), all, false)?;
        let input = Matrix::new(self.input(k), rows, layer.input_width);
        let gradient = self.d_matrix(&layer.input, layer.input_width);
        self.device.product(gradient, Write::Set, self.fed(k).t(), input)?;
        let masked = self.mask(&self.layout.states[k]).is_some();
        let before = if masked { &room.fed } else { &room.output };
        let before = Matrix::new(before.first(rows * wide), rows, wide);
        for feed in recurrent_feeds(layer.kind) {
            let count = feed.blocks * layer.hidden;
            let d_gates = Matrix::strided(all.from(feed.block * layer.hidden), rows, count, width);
            let part =
                self.gradient.part(layer.recurrent.clone()).from(feed.row * layer.hidden * wide);
            let part = Matrix::new(part, count, wide);
            self.device.product(part, Write::Set, d_gates.t(), before)?;
        }
        let Some(projection) = &layer.projection else { return Ok(()) };
        let d_output = Matrix::new(self.d_input(k + 1), rows, wide);
        let unprojected = room.unprojected.first(rows * layer.hidden);
        let unprojected = Matrix::new(unprojected, rows, layer.hidden);
        let gradient = self.d_matrix(projection, layer.hidden);
        self.device.product(gradient, Write::Set, d_output.t(), unprojected)
    }

    fn back_embedding(&self) -> Result<()> {
        let (model, layout) = (self.model, self.layout);
        let gradient = self.gradient.part(model.embedding.clone());
        if !model.tied {
            self.kernels().zero(gradient)?;
        }
        let groups = Groups {
            types: self.sent(&layout.types),
            starts: self.sent(&layout.starts),
            order: self.sent(&layout.order),
        };
        let d = (self.d_input(0), model.embedding_width);
        self.kernels().embedding_gradient(
            (gradient, model.tied),
            d,
            self.mask(&layout.words),
            &groups,
        )
    }
}
