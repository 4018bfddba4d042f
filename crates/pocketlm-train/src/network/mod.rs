//! The whole network: embedding, recurrent layers, optional projection, softmax; forward and backward over a
//! window of steps of parallel streams.
//!
//! Token ids and targets are time-major: `[steps, batch]`, row `t * batch + b`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::linear::product::{Packed, View, Write, product};
use crate::linear::{Builder, Id, Parameters, fill_uniform};
use crate::memory;
use crate::settings::{ModelConfig, Penalties};

mod augmented;
pub(crate) mod cell;
pub(crate) mod distillation;
pub(crate) mod dropout;
mod mogrifier;
mod normalise;
mod sequence;
pub(crate) mod softmax;

pub use dropout::Dropout;

use dropout::{Site, apply};
use sequence::{Layer, Trace};
use softmax::{Prediction, Room, Softmax, Terms};

pub use distillation::Lesson;

/// The operations of a model of one shape; its numbers are in a [`Parameters`] beside it.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its shape.
    pub config: ModelConfig,
    /// Number of types.
    pub vocabulary: usize,
    pub(crate) embedding: Id,
    pub(crate) layers: Vec<Layer>,
    pub(crate) projection: Option<Id>,
    pub(crate) softmax: Softmax,
}

/// Buffers of one window, made once and used for every window of that size.
pub struct Window {
    /// Steps of the window.
    pub steps: usize,
    /// Parallel streams.
    pub batch: usize,
    /// What enters each layer after dropout, and last what leaves the top one.
    inputs: Vec<Vec<f32>>,
    /// What `inputs` were multiplied by: as long as they are, or a mask `[batch, width]` of all steps, or
    /// empty.
    masks: Vec<Vec<f32>>,
    /// What the rows of the embedding were multiplied by, `[vocabulary]` or empty.
    words: Vec<f32>,
    /// What [`Network::loss_and_gradients`] adds to the likelihood; none unless set.
    pub penalties: Penalties,
    /// What teachers say of the targets; nothing unless set.
    pub lesson: Option<Lesson>,
    traces: Vec<Trace>,
    /// Output of the projection, empty without one.
    projected: Vec<f32>,
    /// Gradients on their way down: of the projection's output, and two that alternate.
    d_projected: Vec<f32>,
    d_above: Vec<f32>,
    d_below: Vec<f32>,
    room: Room,
}

/// The state of parallel streams between windows: per layer the output `[batch, output_width]` and the
/// memory `[batch, hidden]` (empty for a GRU).
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// One pair a layer.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl State {
    /// Sets to zero the state of each of the `batch` streams that `which` names.
    pub fn reset(&mut self, batch: usize, mut which: impl FnMut(usize) -> bool) {
        for stream in (0..batch).filter(|&stream| which(stream)) {
            for part in self.layers.iter_mut().flat_map(|(output, memory)| [output, memory]) {
                let width = part.len() / batch;
                part[stream * width..(stream + 1) * width].fill(0.0);
            }
        }
    }
}

impl Network {
    /// A network of this shape and its parameters, all zero.
    ///
    /// # Errors
    /// [`Error::Config`] when the shape cannot work or there is nothing to predict.
    pub fn new(config: &ModelConfig, vocabulary: usize) -> Result<(Self, Parameters)> {
        config.validate()?;
        if u32::try_from(vocabulary).is_err() {
            let what = format!("has {vocabulary} types: at most {} have an id", u32::MAX);
            return Err(Error::config("the vocabulary", what));
        }
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
        let softmax = Softmax { width, vocabulary, matrix, bias, embedding };
        memory::check("the model's shape", "weights", 4 * builder.len() as u128)?;
        let config = config.clone();
        Ok((Self { config, vocabulary, embedding, layers, projection, softmax }, builder.zeros()))
    }

    /// Moves what should not start around zero: adds `forget` to the biases of the forget gates (a GRU has
    /// none), and 1 to the gains of layer normalisation.
    pub fn offset(&self, leaves: &mut Parameters, forget: f64) {
        self.layers.iter().for_each(|layer| layer.offset(leaves, forget as f32));
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
            masks: vec![Vec::new(); self.layers.len() + 1],
            words: Vec::new(),
            penalties: Penalties::default(),
            lesson: None,
            traces: self.layers.iter().map(|layer| layer.trace(steps, batch)).collect(),
            projected: vec![0.0; projected],
            d_projected: vec![0.0; projected],
            d_above: vec![0.0; rows * widest],
            d_below: vec![0.0; rows * widest],
            room: Room::default(),
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
        self.draw_masks(window, dropout);
        self.embed(weights, tokens, &mut window.inputs[0]);
        self.drop_words(&window.words, tokens, &mut window.inputs[0]);
        apply(&window.masks[0], &mut window.inputs[0]);
        for (k, layer) in self.layers.iter().enumerate() {
            let (output, memory) = window.traces[k].first_state();
            output.copy_from_slice(&state.layers[k].0);
            memory.copy_from_slice(&state.layers[k].1);
            layer.forward(weights, &window.inputs[k], dropout, &mut window.traces[k]);
            let (output, memory) = window.traces[k].last_state();
            state.layers[k].0.copy_from_slice(output);
            state.layers[k].1.copy_from_slice(memory);
            window.inputs[k + 1].copy_from_slice(window.traces[k].output());
            apply(&window.masks[k + 1], &mut window.inputs[k + 1]);
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

    /// Draws the masks between layers and of words, or none.
    fn draw_masks(&self, window: &mut Window, dropout: Option<Dropout>) {
        let Some(dropout) = dropout else {
            window.masks.iter_mut().for_each(Vec::clear);
            window.words.clear();
            return;
        };
        let shape = (window.steps, window.batch);
        for (k, mask) in window.masks.iter_mut().enumerate() {
            self.draw_input_mask(dropout, k, shape, mask);
        }
        let rate = dropout.variational.word;
        dropout.draw(Site::Words, rate, self.vocabulary, &mut window.words);
    }

    /// Draws the mask of what enters layer `k`, or of what leaves the top one, in a window of so many steps of so many
    /// streams: for each step, or one for all.
    pub(crate) fn draw_input_mask(
        &self,
        dropout: Dropout,
        k: usize,
        (steps, batch): (usize, usize),
        mask: &mut Vec<f32>,
    ) {
        let (locked, top) = (dropout.variational, self.layers.len());
        let rate = match k {
            _ if dropout.rate > 0.0 => dropout.rate,
            0 => locked.input,
            _ if k == top => locked.output,
            _ => locked.between,
        };
        let width =
            if k == top { self.layers[k - 1].output_width } else { self.layers[k].input_width };
        let rows = if dropout.rate > 0.0 { steps * batch } else { batch };
        dropout.draw(Site::Input(k), rate, rows * width, mask);
    }

    /// Multiplies the rows of `tokens` by the masks of their words.
    fn drop_words(&self, words: &[f32], tokens: &[u32], rows: &mut [f32]) {
        if words.is_empty() {
            return;
        }
        for (row, &token) in rows.chunks_exact_mut(self.config.embedding).zip(tokens) {
            row.iter_mut().for_each(|x| *x *= words[token as usize]);
        }
    }

    /// What enters the softmax after [`Self::forward`], `[steps * batch, softmax_width]`.
    pub(crate) fn top<'a>(&self, window: &'a Window) -> &'a [f32] {
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
            let input = layer.taken(trace, &window.inputs[k]);
            all.push((format!("cell.{k}.input"), layer.input_width, input));
            all.push((format!("cell.{k}.recurrent"), layer.output_width, layer.fed_back(trace)));
            all.extend(layer.mogrifier_inputs(trace));
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
        let found = self.predictions(weights, &self.pack_softmax(weights), targets, window);
        found.into_iter().map(|found| found.loss).collect()
    }

    /// How each target was predicted after [`Self::forward`], with the packed softmax matrix.
    pub fn predictions(
        &self,
        weights: &Parameters,
        softmax: &Packed,
        targets: &[u32],
        window: &Window,
    ) -> Vec<Prediction> {
        self.softmax.predictions(weights, softmax, self.top(window), targets)
    }

    /// The softmax matrix for [`Self::predictions`].
    pub fn pack_softmax(&self, weights: &Parameters) -> Packed {
        self.softmax.pack(weights)
    }

    /// The logits `[steps * batch, vocabulary]` after [`Self::forward`].
    pub fn logits(&self, weights: &Parameters, window: &Window) -> Vec<f32> {
        let mut logits = Vec::new();
        self.softmax.logits(weights, self.top(window), &mut logits);
        logits
    }

    /// Sum of the targets' negative log-likelihoods in nats after [`Self::forward`]; sets `gradient` to the
    /// gradient of `scale` times that sum and the window's penalties.
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
        let loss = self.back_output(weights, gradient, targets, window, scale);
        self.back_top(window, scale);
        for (k, layer) in self.layers.iter().enumerate().rev() {
            let d_output = &mut window.d_above[..rows * layer.output_width];
            let d_input = &mut window.d_below[..rows * layer.input_width];
            let trace = &mut window.traces[k];
            layer.backward(weights, gradient, &window.inputs[k], d_output, trace, d_input);
            std::mem::swap(&mut window.d_above, &mut window.d_below);
            apply(&window.masks[k], &mut window.d_above[..rows * layer.input_width]);
        }
        self.drop_words(&window.words, tokens, &mut window.d_above);
        self.back_embedding(gradient, tokens, &window.d_above);
        loss
    }

    /// Dropout and the penalties of the top layer's output, on `window.d_above`.
    fn back_top(&self, window: &mut Window, scale: f32) {
        let (top, rows) = (self.layers.len(), window.steps * window.batch);
        let width = self.layers[top - 1].output_width;
        let d = &mut window.d_above[..rows * width];
        let Penalties { activation, temporal, .. } = window.penalties;
        let share = |terms: usize| 2.0 * f64::from(scale) * rows as f64 / terms.max(1) as f64;
        if activation > 0.0 {
            let factor = (activation * share(rows * width)) as f32;
            d.iter_mut().zip(&window.inputs[top]).for_each(|(d, x)| *d += factor * x);
        }
        apply(&window.masks[top], d);
        if temporal > 0.0 {
            let (output, step) = (window.traces[top - 1].output(), window.batch * width);
            let factor = (temporal * share((rows - window.batch) * width)) as f32;
            for at in step..rows * width {
                let change = factor * (output[at] - output[at - step]);
                d[at] += change;
                d[at - step] -= change;
            }
        }
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
        let terms = Terms { augmented: window.penalties.augmented, lesson: window.lesson.as_ref() };
        let Some(projection) = self.projection else {
            let input = &window.inputs[self.layers.len()];
            let d_input = &mut window.d_above[..rows * self.softmax.width];
            return self.softmax.loss_and_gradients(
                weights,
                gradient,
                (input, targets),
                (scale, terms),
                d_input,
                &mut window.room,
            );
        };
        let loss = self.softmax.loss_and_gradients(
            weights,
            gradient,
            (&window.projected, targets),
            (scale, terms),
            &mut window.d_projected,
            &mut window.room,
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

/// Fills every matrix and bias with numbers uniform in `[-range, range]`.
pub fn initialise(parameters: &mut Parameters, range: f64, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Stream 0: dropout uses the others.
    random.set_stream(0);
    fill_uniform(&mut random, &mut parameters.data, range);
}
