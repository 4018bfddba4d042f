//! What a window on a device comes to: where each number lies that is sent there and back.

use std::ops::Range;

use crate::linear::Parameters;
use crate::network::Network;
use crate::network::dropout::{Dropout, Site};
use crate::settings::CellKind;
use crate::settings::Penalties;

/// Most logits that are held at once, but in tests: 256 MB of them.
const HELD: usize = 1 << 26;

/// The shape of a network, and where its matrices lie among its parameters.
pub struct Model {
    /// Numbers of all matrices.
    pub parameters: usize,
    /// Most logits that are held at once.
    pub held: usize,
    pub vocabulary: usize,
    pub tied: bool,
    pub embedding: Range<usize>,
    pub embedding_width: usize,
    pub layers: Vec<Layer>,
    /// With its width.
    pub projection: Option<(Range<usize>, usize)>,
    pub softmax: Range<usize>,
    pub softmax_width: usize,
    pub softmax_bias: Range<usize>,
}

/// The same of a layer.
pub struct Layer {
    pub kind: CellKind,
    pub input_width: usize,
    pub hidden: usize,
    pub output_width: usize,
    pub input: Range<usize>,
    pub recurrent: Range<usize>,
    pub bias: Range<usize>,
    pub projection: Option<Range<usize>>,
}

impl Model {
    /// Of a network and its dense matrices.
    pub fn new(network: &Network, dense: &Parameters) -> Self {
        let range = |id| dense.entry(id).range.clone();
        let layers = network.layers.iter().map(|layer| Layer {
            kind: layer.kind,
            input_width: layer.input_width,
            hidden: layer.hidden,
            output_width: layer.output_width,
            input: range(layer.input),
            recurrent: range(layer.recurrent),
            bias: range(layer.bias),
            projection: layer.projection.map(range),
        });
        Self {
            parameters: dense.data.len(),
            held: HELD,
            vocabulary: network.vocabulary,
            tied: network.config.tied,
            embedding: range(network.embedding),
            embedding_width: network.config.embedding,
            layers: layers.collect(),
            projection: network.projection.map(|id| (range(id), network.config.projection)),
            softmax: range(network.softmax.matrix),
            softmax_width: network.softmax.width,
            softmax_bias: range(network.softmax.bias),
        }
    }

    /// Width of what leaves the top layer.
    pub fn top_width(&self) -> usize {
        self.layers.last().map_or(self.embedding_width, |layer| layer.output_width)
    }

    /// Width of what enters layer `k`, or of what leaves the top one.
    pub fn width(&self, k: usize) -> usize {
        self.layers.get(k).map_or(self.top_width(), |layer| layer.input_width)
    }

    /// Rows whose logits are held at once: equal parts, as few as keep to `held`.
    pub fn held_rows(&self, rows: usize) -> usize {
        let most = (self.held / self.vocabulary).max(1);
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }
}

impl Layer {
    /// Width of a row of pre-activations.
    pub fn width(&self) -> usize {
        self.kind.blocks() * self.hidden
    }

    /// Units that have a memory.
    pub fn memory(&self) -> usize {
        if self.kind.has_memory() { self.hidden } else { 0 }
    }
}

/// The masks of a window; each is empty where nothing is dropped.
#[derive(Default)]
pub struct Masks {
    /// Of what enters each layer, and of what leaves the top one.
    pub inputs: Vec<Vec<f32>>,
    /// Of what each layer feeds back.
    pub states: Vec<Vec<f32>>,
    /// Of words.
    pub words: Vec<f32>,
    /// Of each recurrent matrix.
    pub weights: Vec<Vec<f32>>,
}

impl Masks {
    /// Draws those that [`Network::forward`] draws, or none.
    pub fn draw(
        &mut self,
        network: &Network,
        steps: usize,
        batch: usize,
        dropout: Option<Dropout>,
    ) {
        let layers = network.layers.len();
        self.inputs.resize_with(layers + 1, Vec::new);
        self.states.resize_with(layers, Vec::new);
        self.weights.resize_with(layers, Vec::new);
        let Some(dropout) = dropout else {
            [&mut self.inputs, &mut self.states, &mut self.weights]
                .into_iter()
                .flatten()
                .for_each(Vec::clear);
            self.words.clear();
            return;
        };
        for (k, mask) in self.inputs.iter_mut().enumerate() {
            network.draw_input_mask(dropout, k, (steps, batch), mask);
        }
        for (k, layer) in network.layers.iter().enumerate() {
            let (wide, rows) = (layer.output_width, layer.kind.gates() * layer.hidden);
            let state = dropout.variational.state;
            dropout.draw(Site::State(k), state, batch * wide, &mut self.states[k]);
            dropout.draw(Site::Weights(k), dropout.weights, rows * wide, &mut self.weights[k]);
        }
        let word = dropout.variational.word;
        dropout.draw(Site::Words, word, network.vocabulary, &mut self.words);
    }

    fn lengths(&self) -> MaskLengths {
        let all = |masks: &[Vec<f32>]| masks.iter().map(Vec::len).collect();
        let (inputs, states) = (all(&self.inputs), all(&self.states));
        MaskLengths { inputs, states, words: self.words.len() }
    }
}

/// How long the masks are that are sent.
#[derive(Clone, PartialEq)]
struct MaskLengths {
    inputs: Vec<usize>,
    states: Vec<usize>,
    words: usize,
}

/// What a window is run for.
#[derive(Clone, Copy, PartialEq)]
pub enum Task {
    /// The gradient of so many times the summed loss, with its penalties.
    Train(f32, Penalties),
    /// How each target is predicted.
    Predict,
}

/// All that decides which operations a window takes, at which addresses.
#[derive(Clone, PartialEq)]
pub struct Plan {
    pub steps: usize,
    pub batch: usize,
    pub task: Task,
    masks: MaskLengths,
}

impl Plan {
    /// For windows of `steps` steps of `batch` streams.
    pub fn new(steps: usize, batch: usize, task: Task, masks: &Masks) -> Self {
        Self { steps, batch, task, masks: masks.lengths() }
    }

    /// Tokens of the window.
    pub fn rows(&self) -> usize {
        self.steps * self.batch
    }

    /// Whether the augmented loss is asked for.
    pub fn is_augmented(&self) -> bool {
        matches!(self.task, Task::Train(_, penalties) if penalties.augmented.is_some())
    }
}

/// Where things lie in what is sent for a window beside the weights, and in what comes back beside the gradient.
pub struct Layout {
    /// Whole numbers.
    pub tokens: Range<usize>,
    pub targets: Range<usize>,
    pub types: Range<usize>,
    pub starts: Range<usize>,
    pub order: Range<usize>,
    /// As in [`Masks`].
    pub inputs: Vec<Range<usize>>,
    pub states: Vec<Range<usize>>,
    pub words: Range<usize>,
    /// The streams' state before the window: each layer's output, and its memory.
    pub before: Vec<[Range<usize>; 2]>,
    /// Length of what is sent.
    pub sent: usize,
    /// Of each token.
    pub losses: Range<usize>,
    pub ranks: Range<usize>,
    /// The state after the window.
    pub after: Vec<[Range<usize>; 2]>,
    /// Length of what comes back.
    pub returned: usize,
}

impl Layout {
    /// Of a window.
    pub fn new(model: &Model, plan: &Plan) -> Self {
        let (mut there, mut back) = (0, 0);
        let rows = plan.rows();
        let mut send = |length| take(&mut there, length);
        let [tokens, targets, types, order] = [(); 4].map(|()| send(rows));
        let starts = send(rows + 1);
        let inputs = plan.masks.inputs.iter().map(|&length| send(length)).collect();
        let states = plan.masks.states.iter().map(|&length| send(length)).collect();
        let words = send(plan.masks.words);
        let [losses, ranks] = [(); 2].map(|()| take(&mut back, rows));
        let state = |at: &mut usize| {
            let lengths = model.layers.iter().map(|layer| [layer.output_width, layer.memory()]);
            lengths.map(|lengths| lengths.map(|length| take(at, plan.batch * length))).collect()
        };
        let (before, after) = (state(&mut there), state(&mut back));
        let (sent, returned) = (there, back);
        Self {
            tokens,
            targets,
            types,
            starts,
            order,
            inputs,
            states,
            words,
            before,
            sent,
            losses,
            ranks,
            after,
            returned,
        }
    }
}

fn take(at: &mut usize, length: usize) -> Range<usize> {
    *at += length;
    *at - length..*at
}

/// Tokens by their types, so that the rows of each type can be summed up in their order: writes the types that there
/// are, then -1 (`[rows]`); where the places of each begin (`[rows + 1]`); and the places (`[rows]`).
pub fn group(tokens: &[u32], types: &mut [i32], starts: &mut [i32], order: &mut [i32]) {
    order.iter_mut().zip(0..).for_each(|(place, row)| *place = row);
    order.sort_by_key(|&row| tokens[row as usize]);
    types.fill(-1);
    starts.fill(tokens.len() as i32);
    let mut count = 0;
    for (at, &row) in order.iter().enumerate() {
        let token = tokens[row as usize] as i32;
        if count == 0 || types[count - 1] != token {
            (types[count], starts[count]) = (token, at as i32);
            count += 1;
        }
    }
}
