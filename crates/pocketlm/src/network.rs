//! The cells above one another: from tokens to what the last layer gives.

use alloc::vec;
use alloc::vec::Vec;

use crate::cell::{Begins, Buffers, Layer};
use crate::recurrent::Recurrent;

/// Buffers for running a model's cells.
#[derive(Debug)]
pub(crate) struct Network {
    /// What a layer takes in, and what it gives: `[steps · batch, width]`, exchanged after each.
    below: Vec<f32>,
    above: Vec<f32>,
    buffers: Buffers,
}

impl Network {
    /// Buffers for up to `steps` steps of `batch` streams.
    pub(crate) fn new(model: &Recurrent, steps: usize, batch: usize) -> Self {
        let layers = model.layers.iter();
        let mut buffers = Buffers::new(&model.layers, steps, batch);
        model.embedding.reserve(1, &mut buffers.scratch);
        let widest = layers.map(Layer::output).max().unwrap_or(0).max(model.embedding.columns());
        Self {
            below: vec![0.0; steps * batch * widest],
            above: vec![0.0; steps * batch * widest],
            buffers,
        }
    }

    /// Feeds `tokens` `[steps, batch]`, all of them below the vocabulary's size, and advances `state`,
    /// which holds the layers' states one after another, each as [`Layer::run`] takes it.
    /// Returns what the last layer gives, `[steps, batch, R]`.
    pub(crate) fn run(
        &mut self,
        model: &Recurrent,
        tokens: &[u32],
        batch: usize,
        state: &mut [f32],
    ) -> &[f32] {
        self.run_texts(model, tokens, batch, state, Begins::default())
    }

    /// [`run`](Self::run), where streams begin new texts on the way.
    pub(crate) fn run_texts(
        &mut self,
        model: &Recurrent,
        tokens: &[u32],
        batch: usize,
        mut state: &mut [f32],
        mut begins: Begins<'_>,
    ) -> &[f32] {
        let n = tokens.len();
        let width = model.embedding.columns();
        for (&token, row) in tokens.iter().zip(self.below.chunks_exact_mut(width)) {
            model.embedding.row(token as usize, &mut self.buffers.scratch, row);
        }
        for layer in &model.layers {
            let (this, rest) = state.split_at_mut(batch * layer.state());
            let x = &self.below[..n * layer.input.columns()];
            let out = &mut self.above[..n * layer.output()];
            layer.run(x, batch, this, begins, &mut self.buffers, out);
            core::mem::swap(&mut self.below, &mut self.above);
            state = rest;
            begins.state = begins.state.get(layer.state()..).unwrap_or_default();
        }
        let top = model.layers.last().map_or(width, Layer::output);
        &self.below[..n * top]
    }
}
