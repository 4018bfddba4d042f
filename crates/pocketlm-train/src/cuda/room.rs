//! The memory that windows take on a device.

use std::rc::Rc;

use super::accelerator::{Accelerator, Buffer};
use super::plan::{Layer, Layout, Model, Plan};
use crate::error::Result;

/// Room for windows of so many tokens and streams at most.
pub struct Room {
    rows: usize,
    batch: usize,
    /// What is sent and what comes back, as [`Layout`] has it.
    pub sent: Buffer,
    pub returned: Buffer,
    pub layers: Vec<LayerRoom>,
    /// What enters each layer, and what leaves the top one, after their masks: `[rows, width]`.
    pub inputs: Vec<Buffer>,
    /// Output of the projection, and its gradient: `[rows, projection]`.
    pub projected: Buffer,
    pub d_projected: Buffer,
    /// Gradients of what enters a layer, `[rows, widest]`: the one of even and the one of odd layers.
    pub d: [Buffer; 2],
    /// `[held rows, vocabulary]`
    pub logits: Buffer,
    /// With the augmented loss: the targets' embeddings, and their products with all others.
    pub near_rows: Buffer,
    pub near: Buffer,
}

/// What the forward pass of a layer keeps for the backward pass, as [`Trace`](crate::network::sequence::Trace) does; slot 0 of
/// `memory` and `output` is the state before the window.
pub struct LayerRoom {
    /// `[rows, blocks * hidden]`
    pub gates: Buffer,
    /// `[rows + batch, hidden]`, empty for a GRU.
    pub memory: Buffer,
    /// `[rows, hidden]`, empty for a GRU.
    pub squashed: Buffer,
    /// `[rows, hidden]`, empty without a projection.
    pub unprojected: Buffer,
    /// `[rows + batch, output_width]`
    pub output: Buffer,
    /// What is fed back after its mask, `[rows, output_width]`, and the gradient of a step of it.
    pub fed: Buffer,
    pub d_fed: Buffer,
    /// `[batch, hidden]`
    pub carry: Buffer,
    pub d_unprojected: Buffer,
}

impl Room {
    /// Room for a window, and for all that `old` had room for.
    pub fn new(
        device: &Rc<dyn Accelerator>,
        model: &Model,
        plan: &Plan,
        layout: &Layout,
        old: Option<&Self>,
    ) -> Result<Self> {
        let had = |length: fn(&Self) -> usize| old.map_or(0, length);
        let rows = plan.rows().max(had(|old| old.rows));
        let batch = plan.batch.max(had(|old| old.batch));
        let sent = layout.sent.max(had(|old| old.sent.len()));
        let returned = layout.returned.max(had(|old| old.returned.len()));
        let near = had(|old| old.near.len()) > 0 || plan.is_augmented();
        let held = model.held_rows(rows);
        let widths = (0..=model.layers.len()).map(|k| model.width(k));
        let widest = widths.clone().max().unwrap_or(0);
        let projection = model.projection.as_ref().map_or(0, |(_, width)| *width);
        let room = |length| Buffer::new(device, length);
        let near = if near { held } else { 0 };
        Ok(Self {
            rows,
            batch,
            sent: room(sent)?,
            returned: room(returned)?,
            layers: (model.layers.iter())
                .map(|layer| LayerRoom::new(device, layer, rows, batch))
                .collect::<Result<_>>()?,
            inputs: widths.map(|width| room(rows * width)).collect::<Result<_>>()?,
            projected: room(rows * projection)?,
            d_projected: room(rows * projection)?,
            d: [room(rows * widest)?, room(rows * widest)?],
            logits: room(held * model.vocabulary)?,
            near_rows: room(near * model.embedding_width)?,
            near: room(near * model.vocabulary)?,
        })
    }

    /// Whether a window has room.
    pub fn holds(&self, plan: &Plan, layout: &Layout) -> bool {
        let fits = plan.rows() <= self.rows && plan.batch <= self.batch;
        let is_sent = layout.sent <= self.sent.len() && layout.returned <= self.returned.len();
        fits && is_sent && (!plan.is_augmented() || self.near.len() > 0)
    }
}

impl LayerRoom {
    fn new(device: &Rc<dyn Accelerator>, layer: &Layer, rows: usize, batch: usize) -> Result<Self> {
        let (hidden, wide, memory) = (layer.hidden, layer.output_width, layer.memory());
        let projected = if layer.projection.is_some() { hidden } else { 0 };
        let room = |length| Buffer::new(device, length);
        Ok(Self {
            gates: room(rows * layer.width())?,
            memory: room((rows + batch) * memory)?,
            squashed: room(rows * memory)?,
            unprojected: room(rows * projected)?,
            output: room((rows + batch) * wide)?,
            fed: room(rows * wide)?,
            d_fed: room(batch * wide)?,
            carry: room(batch * hidden)?,
            d_unprojected: room(batch * projected)?,
        })
    }
}
