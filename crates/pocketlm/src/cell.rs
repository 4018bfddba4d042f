//! One recurrent layer: LSTM, CIFG, GRU or uRNN, with or without a recurrent projection.
//!
//! The equations stand at [`pocketlm_kernels::gates`]. The input's share `W x + b` of many steps is one
//! product; the recurrent share `U h` is one product a step, added to it.

use alloc::vec;
use alloc::vec::Vec;

use pocketlm_kernels::{activation, gates};

use crate::matrix::{Matrix, Scratch};
use crate::modrelu::modrelu;
use crate::normalise::normalise;
use crate::spec::CellKind;
use crate::storage::Array;

/// Streams that begin a new text on the way through some steps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Begins<'a> {
    /// The step before which a stream begins, and the stream.
    pub(crate) at: &'a [(usize, usize)],
    /// A stream's state there: each layer's `h` `[R]` and `c` `[H]`, one after another.
    pub(crate) state: &'a [f32],
}

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
    /// `[gates · H]`, for the GRU `[4H]`, for the uRNN `[H / 2]`.
    pub(crate) bias: Array,
    /// As the bias, with layer normalisation.
    pub(crate) gain: Option<Array>,
    /// The Mogrifier's matrices, round by round: from the state to the input, then from that to the state.
    pub(crate) rounds: Vec<Matrix>,
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
    /// The Mogrifier's input and state, `[batch, I]` and `[batch, R]`, and the gates of one of them.
    pair: [Vec<f32>; 2],
    round: Vec<f32>,
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
            layer.rounds.iter().for_each(|matrix| matrix.reserve(batch, &mut scratch));
        }
        let mogrified = layers.iter().any(|layer| !layer.rounds.is_empty());
        let pair = [widest(&|layer| layer.input.columns()), widest(&|layer| layer.output())];
        let pair = pair.map(|width| if mogrified { batch * width } else { 0 });
        Self {
            pre: vec![0.0; steps * batch * gates],
            share: vec![0.0; if is_gru { batch * gates } else { 0 }],
            units: vec![0.0; batch * widest(&|layer| layer.hidden)],
            round: vec![0.0; pair[0].max(pair[1])],
            pair: pair.map(|length| vec![0.0; length]),
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
        self.kind.has_memory()
    }

    /// Numbers of state a stream: `h` `[R]` and, but for the GRU and the uRNN, `c` `[H]`.
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
        begins: Begins<'_>,
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        let gates = self.gates();
        let rows = x.len() / self.input.columns();
        let mut pre = core::mem::take(&mut buffers.pre);
        if self.gain.is_some() || self.kind == CellKind::Urnn {
            // The biases come after the normalisation, or are of moduli.
            pre[..rows * gates].fill(0.0);
        } else {
            let bias = &self.bias.f32()[..gates];
            pre[..rows * gates].chunks_exact_mut(gates).for_each(|row| row.copy_from_slice(bias));
        }
        if self.rounds.is_empty() {
            self.input.apply(x, rows, &mut buffers.scratch, &mut pre[..rows * gates]);
        }
        let steps = pre[..rows * gates].chunks_exact_mut(batch * gates);
        let inputs = x.chunks_exact(batch * self.input.columns());
        let outputs = out.chunks_exact_mut(batch * self.output());
        for (step, ((pre, x), out)) in steps.zip(inputs).zip(outputs).enumerate() {
            for (_, stream) in begins.at.iter().filter(|begin| begin.0 == step) {
                self.begin(begins.state, *stream, batch, state);
            }
            if !self.rounds.is_empty() {
                self.mogrify(x, &state[..batch * self.output()], batch, buffers);
                self.input.apply(&buffers.pair[0][..x.len()], batch, &mut buffers.scratch, pre);
            }
            match self.kind {
                CellKind::Gru => self.step_gru(pre, batch, state, buffers, out),
                CellKind::Urnn => self.step_urnn(pre, batch, state, buffers, out),
                CellKind::Lstm | CellKind::Cifg => self.step_lstm(pre, batch, state, buffers, out),
            }
        }
        buffers.pre = pre;
    }

    /// Gives `stream` of `batch` the state `start`, which is `h` `[R]` and then `c` `[H]`.
    fn begin(&self, start: &[f32], stream: usize, batch: usize, state: &mut [f32]) {
        let mut first = 0;
        for width in self.state_widths() {
            let own = &mut state[first * batch + stream * width..][..width];
            own.copy_from_slice(&start[first..first + width]);
            first += width;
        }
    }

    /// Lets the input `x` `[batch, I]` and the state `h` `[batch, R]` gate each other, into `buffers.pair`.
    fn mogrify(&self, x: &[f32], h: &[f32], batch: usize, buffers: &mut Buffers) {
        let Buffers { pair: [input, state], round, scratch, .. } = buffers;
        let (mut this, mut other) = (&mut input[..x.len()], &mut state[..h.len()]);
        this.copy_from_slice(x);
        other.copy_from_slice(h);
        for matrix in &self.rounds {
            let gates = &mut round[..this.len()];
            gates.fill(0.0);
            matrix.apply(other, batch, scratch, gates);
            activation::sigmoid(gates);
            this.iter_mut().zip(gates).for_each(|(v, gate)| *v *= 2.0 * *gate);
            core::mem::swap(&mut this, &mut other);
        }
    }

    /// Adds the recurrent share of `h` `[batch, R]`, or of what the Mogrifier made of it, to `out`.
    fn recur(&self, h: &[f32], batch: usize, buffers: &mut Buffers, out: &mut [f32]) {
        let Buffers { pair: [_, state], scratch, .. } = buffers;
        let h = if self.rounds.is_empty() { h } else { &state[..h.len()] };
        self.recurrent.apply(h, batch, scratch, out);
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
        self.recur(h, batch, buffers, pre);
        if let Some(gain) = &self.gain {
            normalise(pre, self.hidden, gain.f32(), self.bias.f32());
        }
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
        pre: &mut [f32],
        batch: usize,
        h: &mut [f32],
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        let gates = self.gates();
        let mut all = core::mem::take(&mut buffers.share);
        let share = &mut all[..batch * gates];
        share.fill(0.0);
        if self.gain.is_none() {
            for row in share.chunks_exact_mut(gates) {
                row[2 * self.hidden..].copy_from_slice(&self.bias.f32()[gates..]);
            }
        }
        self.recur(h, batch, buffers, share);
        if let Some(gain) = &self.gain {
            self.normalise_gru(pre, share, gain.f32());
        }
        let streams = share.chunks_exact(gates).zip(h.chunks_exact_mut(self.hidden));
        for (pre, (share, h)) in pre.chunks_exact(gates).zip(streams) {
            gates::gru(pre, share, h);
        }
        out.copy_from_slice(h);
        buffers.share = all;
    }

    /// One step of a uRNN from its input's share `pre` `[batch, H]`.
    fn step_urnn(
        &self,
        pre: &mut [f32],
        batch: usize,
        h: &mut [f32],
        buffers: &mut Buffers,
        out: &mut [f32],
    ) {
        self.recur(h, batch, buffers, pre);
        let streams = pre.chunks_exact(self.hidden).zip(out.chunks_exact_mut(self.hidden));
        streams.for_each(|(z, out)| modrelu(z, self.bias.f32(), out));
        h.copy_from_slice(out);
    }

    /// Normalises the sums of both gates, and the two sides of the candidate each for itself.
    fn normalise_gru(&self, pre: &mut [f32], share: &mut [f32], gain: &[f32]) {
        let (gates, pair, bias) = (self.gates(), 2 * self.hidden, self.bias.f32());
        let rows = pre.chunks_exact_mut(gates).zip(share.chunks_exact_mut(gates));
        for (pre, share) in rows {
            pre[..pair].iter_mut().zip(&share[..pair]).for_each(|(sum, u)| *sum += u);
            share[..pair].fill(0.0);
            normalise(pre, self.hidden, &gain[..gates], &bias[..gates]);
            normalise(&mut share[pair..], self.hidden, &gain[gates..], &bias[gates..]);
        }
    }
}
