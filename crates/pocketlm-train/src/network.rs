//! The whole network: embedding, recurrent layers, optional projection, softmax; forward and backward over a
//! window of steps of parallel streams.
//!
//! Token ids and targets are time-major: `[steps, batch]`, row `t * batch + b`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::config::ModelConfig;
use crate::dropout::Dropout;
use crate::error::{Error, Result};
use crate::parameters::{Builder, Id, Parameters, fill_uniform};
use crate::product::{View, Write, product};
use crate::sequence::{Layer, Trace};
use crate::softmax::Softmax;

/// The operations of a model of one shape; its numbers are in a [`Parameters`] beside it.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its shape.
    pub config: ModelConfig,
    /// Number of types.
    pub vocabulary: usize,
    embedding: Id,
    layers: Vec<Layer>,
    projection: Option<Id>,
    softmax: Softmax,
}

/// Buffers of one window, made once and used for every window of that size.
pub struct Window {
    /// Steps of the window.
    pub steps: usize,
    /// Parallel streams.
    pub batch: usize,
    /// What enters each layer after dropout, and last what leaves the top one.
    inputs: Vec<Vec<f32>>,
    masks: Vec<Vec<f32>>,
    traces: Vec<Trace>,
    /// Output of the projection, empty without one.
    projected: Vec<f32>,
    /// Gradients on their way down: of the projection's output, and two that alternate.
    d_projected: Vec<f32>,
    d_above: Vec<f32>,
    d_below: Vec<f32>,
    /// A block of logits, allocated by the first backward pass.
    logits: Vec<f32>,
}

/// The state of parallel streams between windows: per layer the output `[batch, output_width]` and the
/// memory `[batch, hidden]` (empty for a GRU).
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// One pair a layer.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Network {
    /// A network of this shape and its parameters, all zero.
    ///
    /// # Errors
    /// [`Error::Config`] when the shape cannot work or there is nothing to predict.
    pub fn new(config: &ModelConfig, vocabulary: usize) -> Result<(Self, Parameters)> {
        config.validate()?;
        if vocabulary < 2 {
            let what = format!("has {vocabulary} types: there is nothing to predict");
            return Err(Error::config("the vocabulary", what));
        }
        let mut builder = Builder::default();
        let embedding = builder.matrix("embedding", vocabulary, config.embedding);
        let layers = 0..config.hidden.len();
        let layers: Vec<_> = layers.map(|k| Layer::declare(config, k, &mut builder)).collect();
        let top = layers[layers.len() - 1].output_width;
        let projection =
            (config.projection > 0).then(|| builder.matrix("projection", config.projection, top));
        let width = config.softmax_width();
        let matrix =
            if config.tied { embedding } else { builder.matrix("softmax", vocabulary, width) };
        let bias = builder.vector("softmax.bias", vocabulary);
        let softmax = Softmax { width, vocabulary, matrix, bias };
        let config = config.clone();
        Ok((Self { config, vocabulary, embedding, layers, projection, softmax }, builder.zeros()))
    }

    /// Room for windows of `steps` steps of `batch` streams.
    pub fn window(&self, steps: usize, batch: usize) -> Window {
        let rows = steps * batch;
        let widths = self.layers.iter().map(|layer| layer.input_width);
        let widths: Vec<_> =
            widths.chain([self.layers[self.layers.len() - 1].output_width]).collect();
        let widest = widths.iter().copied().max().unwrap_or(0);
        let projected = rows * self.config.projection;
        Window {
            steps,
            batch,
            inputs: widths.iter().map(|width| vec![0.0; rows * width]).collect(),
            masks: Vec::new(),
            traces: self.layers.iter().map(|layer| layer.trace(steps, batch)).collect(),
            projected: vec![0.0; projected],
            d_projected: vec![0.0; projected],
            d_above: vec![0.0; rows * widest],
            d_below: vec![0.0; rows * widest],
            logits: Vec::new(),
        }
    }

    /// The state of `batch` streams before their first token: zero.
    pub fn zero_state(&self, batch: usize) -> State {
        let memory = |hidden| if self.config.cell.has_memory() { hidden } else { 0 };
        let layers = self.layers.iter().map(|layer| {
            (vec![0.0; batch * layer.output_width], vec![0.0; batch * memory(layer.hidden)])
        });
        State { layers: layers.collect() }
    }

    /// Runs `tokens` `[steps, batch]` from `state`, which becomes the state after them.
    pub fn forward(
        &self,
        weights: &Parameters,
        tokens: &[u32],
        state: &mut State,
        window: &mut Window,
        dropout: Option<Dropout>,
    ) {
        window.draw_masks(dropout);
        self.embed(weights, tokens, &mut window.inputs[0]);
        window.mask_input(0);
        for (k, layer) in self.layers.iter().enumerate() {
            let (output, memory) = window.traces[k].first_state();
            output.copy_from_slice(&state.layers[k].0);
            memory.copy_from_slice(&state.layers[k].1);
            layer.forward(weights, &window.inputs[k], &mut window.traces[k]);
            let (output, memory) = window.traces[k].last_state();
            state.layers[k].0.copy_from_slice(output);
            state.layers[k].1.copy_from_slice(memory);
            window.inputs[k + 1].copy_from_slice(window.traces[k].output());
            window.mask_input(k + 1);
        }
        if let Some(projection) = self.projection {
            let (rows, top) = (tokens.len(), window.inputs.len() - 1);
            let (narrow, wide) = (self.config.projection, self.layers[top - 1].output_width);
            let input = View::new(&window.inputs[top], rows, wide);
            let matrix = View::new(weights.get(projection), narrow, wide);
            product(&mut window.projected, narrow, Write::Set, input, matrix.t());
        }
    }

    fn embed(&self, weights: &Parameters, tokens: &[u32], rows: &mut [f32]) {
        let (width, matrix) = (self.config.embedding, weights.get(self.embedding));
        for (row, &token) in rows.chunks_exact_mut(width).zip(tokens) {
            row.copy_from_slice(&matrix[token as usize * width..][..width]);
        }
    }

    /// What enters the softmax after [`Self::forward`], `[steps * batch, softmax_width]`.
    fn top<'a>(&self, window: &'a Window) -> &'a [f32] {
        if self.projection.is_some() {
            &window.projected
        } else {
            &window.inputs[self.layers.len()]
        }
    }

    /// What each matrix but the embedding was multiplied with in the last [`Self::forward`]: its name, its
    /// columns, and the inputs `[steps * batch, columns]`.
    pub fn matrix_inputs<'a>(&self, window: &'a Window) -> Vec<(String, usize, &'a [f32])> {
        let mut all = Vec::new();
        for (k, layer) in self.layers.iter().enumerate() {
            let trace = &window.traces[k];
            all.push((format!("cell.{k}.input"), layer.input_width, &window.inputs[k][..]));
            all.push((format!("cell.{k}.recurrent"), layer.output_width, trace.fed_back()));
            if self.config.cell_projection > 0 {
                all.push((format!("cell.{k}.projection"), layer.hidden, trace.unprojected()));
            }
        }
        if self.projection.is_some() {
            let width = self.layers[self.layers.len() - 1].output_width;
            all.push(("projection".to_owned(), width, &window.inputs[self.layers.len()][..]));
        }
        if !self.config.tied {
            all.push(("softmax".to_owned(), self.softmax.width, self.top(window)));
        }
        all
    }

    /// Negative log-likelihood in nats of each target after [`Self::forward`].
    pub fn losses(&self, weights: &Parameters, targets: &[u32], window: &Window) -> Vec<f32> {
        self.softmax.losses(weights, self.top(window), targets)
    }

    /// The logits `[steps * batch, vocabulary]` after [`Self::forward`].
    pub fn logits(&self, weights: &Parameters, window: &Window) -> Vec<f32> {
        let mut logits = Vec::new();
        self.softmax.logits(weights, self.top(window), &mut logits);
        logits
    }

    /// Sum of the targets' negative log-likelihoods in nats after [`Self::forward`]; sets `gradient` to the
    /// gradient of `scale` times that sum.
    pub fn loss_and_gradients(
        &self,
        weights: &Parameters,
        gradient: &mut Parameters,
        tokens: &[u32],
        targets: &[u32],
        window: &mut Window,
        scale: f32,
    ) -> f64 {
        let rows = tokens.len();
        let top = self.layers.len();
        let loss = self.back_output(weights, gradient, targets, window, scale);
        window.mask_gradient(top, rows * self.layers[top - 1].output_width);
        for (k, layer) in self.layers.iter().enumerate().rev() {
            let d_output = &mut window.d_above[..rows * layer.output_width];
            let d_input = &mut window.d_below[..rows * layer.input_width];
            let trace = &mut window.traces[k];
            layer.backward(weights, gradient, &window.inputs[k], d_output, trace, d_input);
            std::mem::swap(&mut window.d_above, &mut window.d_below);
            window.mask_gradient(k, rows * layer.input_width);
        }
        self.back_embedding(gradient, tokens, &window.d_above);
        loss
    }

    /// Softmax and projection; leaves the gradient of the top layer's output in `window.d_above`.
    fn back_output(
        &self,
        weights: &Parameters,
        gradient: &mut Parameters,
        targets: &[u32],
        window: &mut Window,
        scale: f32,
    ) -> f64 {
        let rows = targets.len();
        let Some(projection) = self.projection else {
            let input = &window.inputs[self.layers.len()];
            let d_input = &mut window.d_above[..rows * self.softmax.width];
            return self.softmax.loss_and_gradients(
                weights,
                gradient,
                (input, targets),
                scale,
                d_input,
                &mut window.logits,
            );
        };
        let loss = self.softmax.loss_and_gradients(
            weights,
            gradient,
            (&window.projected, targets),
            scale,
            &mut window.d_projected,
            &mut window.logits,
        );
        let (narrow, wide) =
            (self.config.projection, self.layers[self.layers.len() - 1].output_width);
        let d_projected = View::new(&window.d_projected, rows, narrow);
        let input = View::new(&window.inputs[self.layers.len()], rows, wide);
        product(gradient.get_mut(projection), wide, Write::Set, d_projected.t(), input);
        let matrix = View::new(weights.get(projection), narrow, wide);
        product(&mut window.d_above[..rows * wide], wide, Write::Set, d_projected, matrix);
        loss
    }

    fn back_embedding(&self, gradient: &mut Parameters, tokens: &[u32], d_rows: &[f32]) {
        let width = self.config.embedding;
        let matrix = gradient.get_mut(self.embedding);
        if !self.config.tied {
            matrix.par_chunks_mut(1 << 16).for_each(|part| part.fill(0.0));
        }
        for (&token, d_row) in tokens.iter().zip(d_rows.chunks_exact(width)) {
            let row = &mut matrix[token as usize * width..][..width];
            row.iter_mut().zip(d_row).for_each(|(sum, d)| *sum += d);
        }
    }
}

impl Window {
    fn draw_masks(&mut self, dropout: Option<Dropout>) {
        let Some(dropout) = dropout.filter(|d| d.rate > 0.0) else {
            self.masks.clear();
            return;
        };
        self.masks.resize_with(self.inputs.len(), Vec::new);
        for (site, (mask, input)) in self.masks.iter_mut().zip(&self.inputs).enumerate() {
            mask.resize(input.len(), 0.0);
            dropout.fill(site as u64, mask);
        }
    }

    fn mask_input(&mut self, k: usize) {
        if let Some(mask) = self.masks.get(k) {
            self.inputs[k].iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
        }
    }

    fn mask_gradient(&mut self, k: usize, length: usize) {
        if let Some(mask) = self.masks.get(k) {
            self.d_above[..length].iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
        }
    }
}

/// Fills every matrix and bias with numbers uniform in `[-range, range]`.
pub fn initialise(parameters: &mut Parameters, range: f64, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Stream 0: dropout uses the others.
    random.set_stream(0);
    fill_uniform(&mut random, &mut parameters.data, range);
}
