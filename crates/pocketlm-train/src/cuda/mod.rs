//! Training on a GPU: the twin of [`Network`] on a device.
//!
//! A window is the seam. Before it the host sends weights, tokens, masks and state in one piece, after it the gradient
//! of the dense matrices, the losses and the state come back in one; whatever makes the weights and uses the gradient
//! (matrix forms, clipping, optimiser, means) stays where it is. The host draws the masks, so a training sees the same
//! noise on either device, and its checkpoint goes on on either.
//!
//! The driver, cuBLAS and NVRTC are found when they are asked for, so a program built without CUDA has it. The kernels
//! are one text, `kernels.cu`, which NVRTC compiles then. The operations of a window are noted as a graph when its
//! shape comes again, since there are hundreds of small ones.

mod accelerator;
mod driver;
#[cfg(test)]
mod emulator;
mod kernels;
mod pass;
mod plan;
mod room;
#[cfg(test)]
mod tests;

use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use pocketlm::Recall;
use rayon::prelude::*;

use self::accelerator::{Accelerator, Recording};
use self::driver::Gpu;
use self::pass::Pass;
use self::plan::{Layout, Masks, Model, Plan, Task, group};
use self::room::Room;
use crate::config::{CellKind, ModelConfig};
use crate::corpus::{Split, Streams};
use crate::dropout::{Dropout, apply};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, STEPS};
use crate::network::{Network, Penalties, State};
use crate::parameters::Parameters;
use crate::softmax::Prediction;

/// Numbers that one thread copies at a time.
const CHUNK: usize = 1 << 18;

/// Most graphs that are kept: windows of varying length come in some tens of them.
const GRAPHS: usize = 128;

/// What a training runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first GPU that the NVIDIA driver shows.
    Cuda {
        /// Whether products may round their factors to 10 bits of mantissa (TF32), which is faster.
        tf32: bool,
    },
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda { tf32: false } => "cuda",
            Self::Cuda { tf32: true } => "cuda-tf32",
        })
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda { tf32: false }),
            "cuda-tf32" => Ok(Self::Cuda { tf32: true }),
            _ => Err("there are cpu, cuda and cuda-tf32".to_owned()),
        }
    }
}

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

/// A [`Network`] on a device.
pub struct Twin {
    /// Windows that were run, and their operations once they have come twice. Their memory is `room`'s.
    graphs: Vec<(Plan, Option<Box<dyn Recording>>)>,
    room: Option<Room>,
    network: Network,
    model: Model,
    masks: Masks,
    device: Rc<dyn Accelerator>,
}

impl Twin {
    /// The twin of a network with these dense matrices; none on the processor.
    ///
    /// # Errors
    /// [`Error::Device`] where there is no GPU or one of its libraries is missing; [`Error::Config`] naming a setting of
    /// the model that is not there on a GPU.
    pub fn open(device: Device, network: &Network, dense: &Parameters) -> Result<Option<Self>> {
        let Device::Cuda { tf32 } = device else { return Ok(None) };
        check(&network.config, dense)?;
        Self::on(Rc::new(Gpu::open(tf32)?), network, dense).map(Some)
    }

    fn on(device: Rc<dyn Accelerator>, network: &Network, dense: &Parameters) -> Result<Self> {
        check(&network.config, dense)?;
        let (network, model) = (network.clone(), Model::new(network, dense));
        let (graphs, masks) = (Vec::new(), Masks::default());
        Ok(Self { graphs, room: None, network, model, masks, device })
    }

    /// Name of the device.
    pub fn device(&self) -> String {
        self.device.name()
    }

    /// [`Network::forward`] and [`Network::loss_and_gradients`] of one window: the sum of the targets' negative
    /// log-likelihoods in nats; sets `gradient` to the gradient of `scale` times that sum and the penalties, and `state`
    /// to the one after the window.
    ///
    /// # Errors
    /// When the device fails.
    #[allow(clippy::too_many_arguments)] // What the network's two functions take together.
    pub fn train(
        &mut self,
        weights: &Parameters,
        gradient: &mut Parameters,
        tokens: Tokens,
        state: &mut State,
        dropout: Option<Dropout>,
        penalties: Penalties,
        scale: f32,
    ) -> Result<f64> {
        let steps = tokens.inputs.len() / tokens.batch;
        self.masks.draw(&self.network, steps, tokens.batch, dropout);
        let task = Task::Train(scale, penalties);
        let plan = Plan::new(steps, tokens.batch, task, &self.masks);
        let layout = Layout::new(&self.model, &plan);
        self.reserve(&plan, &layout)?;
        self.send(Some(weights), tokens, state, &layout)?;
        self.run(&plan, &layout)?;
        let mut loss = 0.0;
        let room = self.room.as_ref().expect("it was reserved");
        self.device.download(room.returned.first(layout.returned), &mut |numbers| {
            copy(&mut gradient.data, &numbers[..self.model.parameters]);
            loss = numbers[layout.losses.clone()].iter().map(|&loss| f64::from(loss)).sum();
            take_state(state, numbers, &layout, 0);
        })?;
        for (layer, mask) in self.model.layers.iter().zip(&self.masks.weights) {
            apply(mask, &mut gradient.data[layer.recurrent.clone()]);
        }
        Ok(loss)
    }

    /// [`evaluate`](crate::evaluate::evaluate) on the device.
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
        let (mut total, mut recall, mut is_new) = (0.0, Recall::default(), true);
        for window in streams.windows(STEPS) {
            let (inputs, targets) = (&window.inputs[..], &window.targets[..]);
            let tokens = Tokens { batch: 1, inputs, targets };
            let predictions = self.predict((weights, is_new), tokens, &mut state)?;
            is_new = false;
            total += predictions.iter().map(|found| f64::from(found.loss)).sum::<f64>();
            predictions.iter().for_each(|found| recall.add(found.rank));
        }
        Ok(Evaluation::new(total, recall, split))
    }

    /// How each target is predicted, without dropout, by weights that are new or those of the last window.
    fn predict(
        &mut self,
        (weights, is_new): (&Parameters, bool),
        tokens: Tokens,
        state: &mut State,
    ) -> Result<Vec<Prediction>> {
        let steps = tokens.inputs.len() / tokens.batch;
        self.masks.draw(&self.network, steps, tokens.batch, None);
        let plan = Plan::new(steps, tokens.batch, Task::Predict, &self.masks);
        let layout = Layout::new(&self.model, &plan);
        let is_empty = self.reserve(&plan, &layout)?;
        self.send((is_new || is_empty).then_some(weights), tokens, state, &layout)?;
        self.run(&plan, &layout)?;
        let (first, mut predictions) = (self.model.parameters, Vec::new());
        let room = self.room.as_ref().expect("it was reserved");
        let returned = room.returned.first(layout.returned).from(first);
        self.device.download(returned, &mut |numbers| {
            let part = |range: &std::ops::Range<usize>| range.start - first..range.end - first;
            let (losses, ranks) = (&numbers[part(&layout.losses)], &numbers[part(&layout.ranks)]);
            let found = |(&loss, &rank)| Prediction { loss, rank: (rank as usize).min(3) };
            predictions = losses.iter().zip(ranks).map(found).collect();
            take_state(state, numbers, &layout, first);
        })?;
        Ok(predictions)
    }

    /// Makes room for a window; whether it is new. The graphs of the old room go with it.
    fn reserve(&mut self, plan: &Plan, layout: &Layout) -> Result<bool> {
        if self.room.as_ref().is_some_and(|room| room.holds(plan, layout)) {
            return Ok(false);
        }
        self.graphs.clear();
        let old = self.room.take();
        self.room = Some(Room::new(&self.device, &self.model, plan, layout, old.as_ref())?);
        Ok(true)
    }

    /// Sends a window, with new weights or those that are there.
    fn send(
        &self,
        weights: Option<&Parameters>,
        tokens: Tokens,
        state: &State,
        layout: &Layout,
    ) -> Result<()> {
        let room = self.room.as_ref().expect("it was reserved");
        let first = if weights.is_some() { 0 } else { self.model.parameters };
        self.device.upload(room.sent.first(layout.sent).from(first), &mut |numbers| {
            if let Some(weights) = weights {
                copy(&mut numbers[..self.model.parameters], &weights.data);
                for (layer, mask) in self.model.layers.iter().zip(&self.masks.weights) {
                    apply(mask, &mut numbers[layer.recurrent.clone()]);
                }
            }
            let mut part = |range: &std::ops::Range<usize>, from: &[f32]| {
                numbers[range.start - first..range.end - first].copy_from_slice(from);
            };
            let masks = &self.masks;
            let ranges = layout.inputs.iter().chain(&layout.states).chain([&layout.words]);
            let from = masks.inputs.iter().chain(&masks.states).chain([&masks.words]);
            ranges.zip(from).for_each(|(range, mask)| part(range, mask));
            for ([output, memory], from) in layout.before.iter().zip(&state.layers) {
                part(output, &from.0);
                part(memory, &from.1);
            }
            send_tokens(&mut numbers[self.model.parameters - first..], tokens);
        })
    }

    /// Runs a window: at its first time as it comes, then as a graph.
    fn run(&mut self, plan: &Plan, layout: &Layout) -> Result<()> {
        let room = self.room.as_ref().expect("it was reserved");
        let (device, model) = (&*self.device, &self.model);
        let pass = Pass { device, model, room, plan, layout };
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

/// Writes a window's tokens, targets and groups of tokens, which a [`Layout`] puts one after the other.
fn send_tokens(to: &mut [f32], tokens: Tokens) {
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

/// Takes the state from what came back, which begins with the number `first` of the layout.
fn take_state(state: &mut State, numbers: &[f32], layout: &Layout, first: usize) {
    for ([output, memory], to) in layout.after.iter().zip(&mut state.layers) {
        to.0.copy_from_slice(&numbers[output.start - first..output.end - first]);
        to.1.copy_from_slice(&numbers[memory.start - first..memory.end - first]);
    }
}

/// A copy by all threads.
fn copy(to: &mut [f32], from: &[f32]) {
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
    if dense.data.len() > i32::MAX as usize {
        return refuse("hidden", "makes too many parameters for training");
    }
    Ok(())
}
