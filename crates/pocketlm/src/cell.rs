//! One recurrent layer: LSTM, CIFG or GRU, with or without a recurrent projection.
//!
//! The equations stand at [`pocketlm_kernels::gates`]. The input's share `W x + b` of many steps is one
//! product; the recurrent share `U h` is one product a step, added to it.

use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::gates;

use crate::configuration::CellKind;
use crate::matrix::{Matrix, Scratch};
use crate::storage::Array;

/// A layer of cells.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) kind: CellKind,
    /// Units `H`.
    pub(crate) hidden: usize,
    /// `[gates · H, I]`.
    pub(crate) input: Matrix,
    /// `[gates · H, R]`, `R` the width of what the layer gives.
    pub(crate) recurrent: Matrix,
    /// `[R, H]`.
    pub(crate) projection: Option<Matrix>,
    /// `[gates · H]`, for the GRU `[4H]`.
    pub(crate) bias: Array,
}

/// Buffers for running layers.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Pre-activations `[steps · batch, gates · H]`.
    pre: Vec<f32>,
    /// The GRU's recurrent share `[batch, 3H]`.
    share: Vec<f32>,
    /// Units before their projection `[batch, H]`.
    units: Vec<f32>,
    pub(crate) scratch: Scratch,
}

impl Buffers {
    /// Buffers for `steps` steps of `batch` streams through any of `layers`.
    pub(crate) fn new(layers: &[Layer], steps: usize, batch: usize) -> Self {
        let widest = |width: &dyn Fn(&Layer) -> usize| layers.iter().map(width).max().unwrap_or(0);
        let gates = widest(&|layer| layer.gates());
        let is_gru = layers.iter().any(|layer| layer.kind == CellKind::Gru);
        let mut scratch = Scratch::default();
        for layer in layers {
            layer.input.reserve(steps * batch, &mut scratch);
            layer.recurrent.reserve(batch, &mut scratch);
            if let Some(projection) = &layer.projection {
                projection.reserve(batch, &mut scratch);
            }
        }
        Self {
            pre: vec![0.0; steps * batch * gates],
            share: vec![0.0; if is_gru { batch * gates } else { 0 }],
            units: vec![0.0; batch * widest(&|layer| layer.hidden)],
            scratch,
        }
    }
}

impl Layer {
    /// Rows of its input and recurrent matrices.
    fn gates(&self) -> usize {
        self.kind.gates() * self.hidden
    }

    /// Width `R` of what it gives.
    pub(crate) fn output(&self) -> usize {
        self.recurrent.columns()
    }

    /// Whether it has a cell state besides its output.
    fn has_cell(&self) -> bool {
        self.kind != CellKind::Gru
    }

    /// Numbers of state a stream: `h` `[R]` and, but for the GRU, `c` `[H]`.
    pub(crate) fn state_widths(&self) -> [usize; 2] {
        [self.output(), if self.has_cell() { self.hidden } else { 0 }]
    }

    /// All numbers of state a stream.
    pub(crate) fn state(&self) -> usize {
        self.state_widths().iter().sum()
    }

    /// Runs steps of `batch` streams. `x` is `[steps, batch, I]`, `out` `[steps, batch, R]`, `state` is
    /// `h` `[batch, R]` and then `c` `[batch, H]`.
    pub(crate) fn run(
        &self,
        x: &[f32],
        batch: usize,
        state: &mut [f32],
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        let gates = self.gates();
        let rows = x.len() / self.input.columns();
        let mut pre = core::mem::take(&mut buffers.pre);
        let bias = &self.bias.f32()[..gates];
        pre[..rows * gates].chunks_exact_mut(gates).for_each(|row| row.copy_from_slice(bias));
        self.input.apply(x, rows, &mut buffers.scratch, &mut pre[..rows * gates]);
        let steps = pre[..rows * gates].chunks_exact_mut(batch * gates);
        for (pre, out) in steps.zip(out.chunks_exact_mut(batch * self.output())) {
            match self.kind {
                CellKind::Gru => self.step_gru(pre, batch, state, buffers, out),
                CellKind::Lstm | CellKind::Cifg => self.step_lstm(pre, batch, state, buffers, out),
            }
        }
        buffers.pre = pre;
    }

    /// One step of an LSTM or CIFG from its input's share `pre` `[batch, gates · H]`.
    fn step_lstm(
        &self,
        pre: &mut [f32],
        batch: usize,
        state: &mut [f32],
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        let (h, c) = state.split_at_mut(batch * self.output());
        self.recurrent.apply(h, batch, &mut buffers.scratch, pre);
        let step = if self.kind == CellKind::Cifg { gates::cifg } else { gates::lstm };
        let mut units = |units: &mut [f32]| {
            let streams = c.chunks_exact_mut(self.hidden).zip(units.chunks_exact_mut(self.hidden));
            for (pre, (c, units)) in pre.chunks_exact(self.gates()).zip(streams) {
                step(pre, c, units);
            }
        };
        match &self.projection {
            None => units(out),
            Some(projection) => {
                let all = &mut buffers.units[..batch * self.hidden];
                units(all);
                out.fill(0.0);
                projection.apply(all, batch, &mut buffers.scratch, out);
            }
        }
        h.copy_from_slice(out);
    }

    /// One step of a GRU from its input's share `pre` `[batch, 3H]`.
    fn step_gru(
        &self,
        pre: &[f32],
        batch: usize,
        h: &mut [f32],
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        let gates = self.gates();
        let share = &mut buffers.share[..batch * gates];
        for row in share.chunks_exact_mut(gates) {
            row[..2 * self.hidden].fill(0.0);
            row[2 * self.hidden..].copy_from_slice(&self.bias.f32()[gates..]);
        }
        self.recurrent.apply(h, batch, &mut buffers.scratch, share);
        let streams = share.chunks_exact(gates).zip(h.chunks_exact_mut(self.hidden));
        for (pre, (share, h)) in pre.chunks_exact(gates).zip(streams) {
            gates::gru(pre, share, h);
        }
        out.copy_from_slice(h);
    }
}
