//! A network on a device: one window sent there, run, and brought back.

use std::ops::Range;
use std::rc::Rc;

use rayon::prelude::*;

use super::Device;
use super::accelerator::{Accelerator, Buffer, Recording};
use super::held::Held;
use super::pass::Pass;
use super::plan::{Layout, Masks, Model, Plan, Task, group};
use super::room::Room;
use crate::corpus::{Split, Streams};
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::network::dropout::{Dropout, apply};
use crate::network::softmax::Prediction;
use crate::network::{Network, State};
use crate::settings::Penalties;
use crate::settings::{CellKind, ModelConfig};
use crate::train::evaluate::{Evaluation, STEPS, Sums};

/// Numbers that one thread copies at a time.
const CHUNK: usize = 1 << 18;

/// Most graphs that are kept: windows of varying length come in some tens of them.
const GRAPHS: usize = 128;

/// One window of parallel streams, time-major as for [`Network::forward`].
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// Parallel streams.
    pub batch: usize,
    /// The tokens fed, `[steps, batch]`.
    pub inputs: &'a [u32],
    /// The tokens to predict, `[steps, batch]`.
    pub targets: &'a [u32],
}

#[cfg(feature = "cuda")]
fn gpu(tf32: bool) -> Result<Rc<dyn Accelerator>> {
    Ok(Rc::new(super::driver::Gpu::open(tf32)?))
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: bool) -> Result<Rc<dyn Accelerator>> {
    Err(Error::device(
        "this program was built without it: build it with --features cuda, or leave out --device",
    ))
}

/// A [`Network`] on a device.
pub struct Twin {
    /// Windows that were run, and their operations once they have come twice. Their memory is that of the others here.
    graphs: Vec<(Plan, Option<Box<dyn Recording>>)>,
    room: Option<Room>,
    /// The dense matrices and their gradient, as the model has them.
    pub(super) weights: Buffer,
    pub(super) gradient: Buffer,
    /// What a training keeps here.
    pub(super) held: Option<Held>,
    network: Network,
    pub(super) model: Model,
    masks: Masks,
    pub(super) device: Rc<dyn Accelerator>,
}

impl Twin {
    /// The twin of a network with these dense matrices; none on the processor.
    ///
    /// # Errors
    /// [`Error::Device`] where there is no GPU or one of its libraries is missing; [`Error::Config`] naming a setting
    /// of the model that is not there on a GPU.
    pub fn open(device: Device, network: &Network, dense: &Parameters) -> Result<Option<Self>> {
        let Device::Cuda { tf32 } = device else { return Ok(None) };
        check(&network.config, dense)?;
        Self::on(gpu(tf32)?, network, dense).map(Some)
    }

    pub(super) fn on(
        device: Rc<dyn Accelerator>,
        network: &Network,
        dense: &Parameters,
    ) -> Result<Self> {
        check(&network.config, dense)?;
        let model = Model::new(network, dense);
        Ok(Self {
            graphs: Vec::new(),
            room: None,
            weights: Buffer::new(&device, model.parameters)?,
            gradient: Buffer::new(&device, model.parameters)?,
            held: None,
            network: network.clone(),
            model,
            masks: Masks::default(),
            device,
        })
    }

    /// Name of the device.
    pub fn device(&self) -> String {
        self.device.name()
    }

    /// [`Network::forward`] and [`Network::loss_and_gradients`] of one window: the sum of the targets' negative
    /// log-likelihoods in nats. Given weights and a gradient, sets this one to the gradient of `scale` times that sum
    /// and the penalties; without them, they are those that the device holds ([`hold`](Self::hold)), and no weights
    /// are dropped. Sets `state` to the one after the window.
    ///
    /// # Errors
    /// When the device fails.
    pub fn train(
        &mut self,
        matrices: Option<(&Parameters, &mut Parameters)>,
        tokens: Tokens,
        state: &mut State,
        dropout: Option<Dropout>,
        (scale, penalties): (f32, Penalties),
    ) -> Result<f64> {
        let steps = tokens.inputs.len() / tokens.batch;
        self.masks.draw(&self.network, steps, tokens.batch, dropout);
        let plan = Plan::new(steps, tokens.batch, Task::Train(scale, penalties), &self.masks);
        if let Some((weights, _)) = &matrices {
            self.send_weights(weights)?;
        }
        assert!(matrices.is_some() || self.held.is_some(), "there are weights");
        let mut loss = 0.0;
        self.window(&plan, tokens, state, &mut |numbers, layout| {
            loss = numbers[layout.losses.clone()].iter().map(|&loss| f64::from(loss)).sum();
        })?;
        if let Some((_, gradient)) = matrices {
            self.device
                .download(self.gradient.all(), &mut |numbers| copy(&mut gradient.data, numbers))?;
            self.drop_weights(&mut gradient.data);
        }
        Ok(loss)
    }

    /// [`evaluate`](crate::train::evaluate) on the device.
    ///
    /// # Errors
    /// When the split is empty or the device fails.
    pub fn evaluate(
        &mut self,
        weights: &Parameters,
        split: &Split,
        eos: u32,
    ) -> Result<Evaluation> {
        let streams = Streams::new(&split.ids, eos, 1)?;
        let mut state = self.network.zero_state(1);
        let mut sums = Sums::default();
        self.masks.draw(&self.network, STEPS, 1, None);
        self.send_weights(weights)?;
        for window in streams.windows(STEPS) {
            let (inputs, targets) = (&window.inputs[..], &window.targets[..]);
            let tokens = Tokens { batch: 1, inputs, targets };
            for (&target, found) in targets.iter().zip(self.predict(tokens, &mut state)?) {
                sums.add(split, target, f64::from(found.loss), found.rank);
            }
        }
        Ok(Evaluation::new(&sums, split))
    }

    /// How each target of one stream is predicted, without dropout.
    fn predict(&mut self, tokens: Tokens, state: &mut State) -> Result<Vec<Prediction>> {
        let plan = Plan::new(tokens.inputs.len(), tokens.batch, Task::Predict, &self.masks);
        let mut predictions = Vec::new();
        self.window(&plan, tokens, state, &mut |numbers, layout| {
            let part = |range: &Range<usize>| numbers[range.clone()].iter();
            let found = |(&loss, &rank)| Prediction { loss, rank: (rank as usize).min(3) };
            predictions = part(&layout.losses).zip(part(&layout.ranks)).map(found).collect();
        })?;
        Ok(predictions)
    }

    /// Sends a window, runs it, and takes back what it comes to.
    fn window(
        &mut self,
        plan: &Plan,
        tokens: Tokens,
        state: &mut State,
        take: &mut dyn FnMut(&[f32], &Layout),
    ) -> Result<()> {
        let layout = Layout::new(&self.model, plan);
        self.reserve(plan, &layout)?;
        let room = self.room.as_ref().expect("it was reserved");
        let sent = room.sent.first(layout.sent);
        self.device.upload(sent, &mut |numbers| self.write(numbers, tokens, state, &layout))?;
        self.run(plan, &layout)?;
        let room = self.room.as_ref().expect("it was reserved");
        self.device.download(room.returned.first(layout.returned), &mut |numbers| {
            take(numbers, &layout);
            for ([output, memory], to) in layout.after.iter().zip(&mut state.layers) {
                to.0.copy_from_slice(&numbers[output.clone()]);
                to.1.copy_from_slice(&numbers[memory.clone()]);
            }
        })
    }

    /// Makes room for a window. The graphs of smaller room go with it.
    fn reserve(&mut self, plan: &Plan, layout: &Layout) -> Result<()> {
        if self.room.as_ref().is_some_and(|room| room.holds(plan, layout)) {
            return Ok(());
        }
        self.graphs.clear();
        let old = self.room.take();
        self.room = Some(Room::new(&self.device, &self.model, plan, layout, old.as_ref())?);
        Ok(())
    }

    /// Sends the weights, without those that the masks drop. What was held is so no more.
    fn send_weights(&mut self, weights: &Parameters) -> Result<()> {
        self.held = None;
        self.device.upload(self.weights.all(), &mut |numbers| {
            copy(numbers, &weights.data);
            self.drop_weights(numbers);
        })
    }

    /// Multiplies recurrent matrices, or their gradients, by their masks.
    fn drop_weights(&self, numbers: &mut [f32]) {
        for (layer, mask) in self.model.layers.iter().zip(&self.masks.weights) {
            apply(mask, &mut numbers[layer.recurrent.clone()]);
        }
    }

    /// Writes what is sent for a window.
    fn write(&self, numbers: &mut [f32], tokens: Tokens, state: &State, layout: &Layout) {
        write_tokens(numbers, tokens);
        let mut part = |range: &Range<usize>, from: &[f32]| {
            numbers[range.clone()].copy_from_slice(from);
        };
        let masks = &self.masks;
        let ranges = layout.inputs.iter().chain(&layout.states).chain([&layout.words]);
        let from = masks.inputs.iter().chain(&masks.states).chain([&masks.words]);
        ranges.zip(from).for_each(|(range, mask)| part(range, mask));
        for ([output, memory], from) in layout.before.iter().zip(&state.layers) {
            part(output, &from.0);
            part(memory, &from.1);
        }
    }

    /// Runs a window: at its first time as it comes, then as a graph.
    fn run(&mut self, plan: &Plan, layout: &Layout) -> Result<()> {
        let room = self.room.as_ref().expect("it was reserved");
        let (device, model) = (&*self.device, &self.model);
        let (weights, gradient) = (self.weights.all(), self.gradient.all());
        let pass = Pass { device, model, weights, gradient, room, plan, layout };
        let Some(at) = self.graphs.iter().position(|(known, _)| known == plan) else {
            if self.graphs.len() == GRAPHS {
                self.graphs.remove(0);
            }
            self.graphs.push((plan.clone(), None));
            return pass.run();
        };
        let graph = &mut self.graphs[at].1;
        if graph.is_none() {
            *graph = Some(device.record(&mut || pass.run())?);
        }
        graph.as_ref().map_or(Ok(()), |graph| graph.replay())
    }
}

/// Writes a window's tokens, targets and groups of tokens, which a [`Layout`] puts first, one after the other.
fn write_tokens(to: &mut [f32], tokens: Tokens) {
    let rows = tokens.inputs.len();
    let to: &mut [i32] = bytemuck::cast_slice_mut(&mut to[..5 * rows + 1]);
    let (inputs, to) = to.split_at_mut(rows);
    let (targets, to) = to.split_at_mut(rows);
    let (types, to) = to.split_at_mut(rows);
    let (order, starts) = to.split_at_mut(rows);
    let pairs = [(inputs, tokens.inputs), (targets, tokens.targets)];
    for (to, from) in pairs {
        to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as i32);
    }
    group(tokens.inputs, types, starts, order);
}

/// A copy by all threads.
pub(super) fn copy(to: &mut [f32], from: &[f32]) {
    let chunks = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
    chunks.for_each(|(to, from)| to.copy_from_slice(from));
}

/// Refuses what has no twin.
fn check(config: &ModelConfig, dense: &Parameters) -> Result<()> {
    let refuse = |field: &str, what: &str| {
        let what = format!("{what} on a GPU yet: train with --device cpu");
        Err(Error::config(format!("model.{field}"), what))
    };
    if config.cell == CellKind::Urnn {
        return refuse("cell", "urnn is not there");
    }
    if config.layer_norm {
        return refuse("layer_norm", "is not there");
    }
    if config.mogrifier > 0 {
        return refuse("mogrifier", "is not there");
    }
    // Kernels count in 31 bits.
    if dense.data.len() > i32::MAX as usize / 2 {
        return refuse("hidden", "makes too many parameters for training");
    }
    Ok(())
}
