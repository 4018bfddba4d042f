//! The Mogrifier (Melis, Kočiský & Blunsom 2020, arXiv 1909.01792, equations 1 and 2): before a cell's step its
//! input and what it feeds back gate each other in turn.
//!
//! With `v[-1] = x` and `v[0] = h`, round `i` makes `v[i] = 2 sigmoid(M_i v[i-1]) * v[i-2]`; the cell then
//! takes the last `v` of each kind. Odd rounds change the input (the paper's `Q`), even ones the state (`R`).

use pocketlm_kernels::activation::sigmoid;

use crate::linear::panels::{Panels, Scratch};
use crate::linear::product::{View, Write, product};
use crate::linear::{Builder, Id, Parameters};

/// The matrices of one layer's rounds.
#[derive(Clone, Debug)]
pub struct Mogrifier {
    rounds: Vec<Id>,
    /// Width of the input, then of the state.
    widths: [usize; 2],
}

/// What a window keeps for the backward pass.
pub struct Trace {
    batch: usize,
    /// `v[-1]`, `v[0]`, `v[1]`, …, each `[steps * batch, its width]`.
    values: Vec<Vec<f32>>,
    /// Gates of each round, then the gradients of their pre-activations; laid out as the values they made.
    gates: Vec<Vec<f32>>,
    /// Gradients of the values at one step, `[batch, width]`.
    d_values: Vec<Vec<f32>>,
    matrices: Vec<Panels>,
    transposes: Vec<Panels>,
}

impl Mogrifier {
    /// Declares the matrices of layer `layer`; none of them without rounds.
    pub fn declare(layer: usize, rounds: usize, widths: [usize; 2], builder: &mut Builder) -> Self {
        let matrix = |i: usize| {
            let (rows, columns) = (widths[i % 2], widths[1 - i % 2]);
            builder.matrix(format!("cell.{layer}.mogrifier.{i}"), rows, columns)
        };
        Self { rounds: (0..rounds).map(matrix).collect(), widths }
    }

    /// Whether it does anything.
    pub fn is_active(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// Width of `values[at]`.
    fn width(&self, at: usize) -> usize {
        self.widths[at % 2]
    }

    /// Room for a window.
    pub fn trace(&self, steps: usize, batch: usize) -> Trace {
        let active = if self.is_active() { self.rounds.len() + 2 } else { 0 };
        let values = |rows: usize| -> Vec<Vec<f32>> {
            (0..active).map(|at| vec![0.0; rows * self.width(at)]).collect()
        };
        let panels = |turned: bool| {
            let rounds = 0..self.rounds.len();
            let panels = rounds.map(|i| {
                let (rows, columns) = (self.width(i), self.width(i + 1));
                if turned {
                    Panels::new(columns, rows, batch)
                } else {
                    Panels::new(rows, columns, batch)
                }
            });
            panels.collect()
        };
        Trace {
            batch,
            values: values(steps * batch),
            gates: values(steps * batch).split_off(active.min(2)),
            d_values: values(batch),
            matrices: panels(false),
            transposes: panels(true),
        }
    }

    /// Packs its matrices for the forward pass of a window.
    pub fn pack_forward(&self, weights: &Parameters, trace: &mut Trace) {
        for (panels, &id) in trace.matrices.iter_mut().zip(&self.rounds) {
            panels.pack(weights.get(id));
        }
    }

    /// Packs their transposes for the backward pass.
    pub fn pack_backward(&self, weights: &Parameters, trace: &mut Trace) {
        for (panels, &id) in trace.transposes.iter_mut().zip(&self.rounds) {
            panels.pack_transposed(weights.get(id));
        }
    }

    /// The rounds of step `t` for input `x` and state `h`, `[batch, width]` each.
    pub fn forward(
        &self,
        t: usize,
        x: &[f32],
        h: &[f32],
        trace: &mut Trace,
        scratch: &mut Scratch,
    ) {
        let batch = trace.batch;
        let step = |width: usize| t * batch * width..(t + 1) * batch * width;
        trace.values[0][step(self.widths[0])].copy_from_slice(x);
        trace.values[1][step(self.widths[1])].copy_from_slice(h);
        for i in 0..self.rounds.len() {
            let (width, other) = (self.width(i), self.width(i + 1));
            let gates = &mut trace.gates[i][step(width)];
            gates.fill(0.0);
            let from = &trace.values[i + 1][step(other)];
            trace.matrices[i].add_product((from, other), batch, (gates, width), scratch);
            sigmoid(gates);
            gates.iter_mut().for_each(|gate| *gate *= 2.0);
            let (before, after) = trace.values.split_at_mut(i + 2);
            let before = gates.iter().zip(&before[i][step(width)]);
            after[0][step(width)].iter_mut().zip(before).for_each(|(v, (gate, v0))| *v = gate * v0);
        }
    }

    /// Pulls the gradients of the gated input and state of step `t` back; they become those of the input and
    /// state before the rounds.
    pub fn backward(
        &self,
        t: usize,
        d_x: &mut [f32],
        d_h: &mut [f32],
        trace: &mut Trace,
        scratch: &mut Scratch,
    ) {
        let (batch, rounds) = (trace.batch, self.rounds.len());
        let step = |width: usize| t * batch * width..(t + 1) * batch * width;
        let (last_x, last_h) = self.last();
        trace.d_values[last_x].copy_from_slice(d_x);
        trace.d_values[last_h].copy_from_slice(d_h);
        for i in (0..rounds).rev() {
            let (width, other) = (self.width(i), self.width(i + 1));
            let gates = &mut trace.gates[i][step(width)];
            let values = &trace.values[i][step(width)];
            let (before, after) = trace.d_values.split_at_mut(i + 2);
            let d = before[i].iter_mut().zip(&after[0]);
            for ((gate, value), (d_before, d_after)) in gates.iter_mut().zip(values).zip(d) {
                // The last two values of each kind begin with what the cell gave; the others are set here.
                *d_before = d_after * *gate;
                *gate = d_after * value * *gate * (1.0 - 0.5 * *gate);
            }
            let out = (&mut before[i + 1][..], other);
            trace.transposes[i].add_product((gates, width), batch, out, scratch);
        }
        d_x.copy_from_slice(&trace.d_values[0]);
        d_h.copy_from_slice(&trace.d_values[1]);
    }

    /// Sets the gradients of its matrices, after the backward pass of all steps.
    pub fn weight_gradients(&self, gradient: &mut Parameters, trace: &Trace) {
        for (i, &id) in self.rounds.iter().enumerate() {
            let (width, other) = (self.width(i), self.width(i + 1));
            let rows = trace.gates[i].len() / width;
            let gates = View::new(&trace.gates[i], rows, width);
            let from = View::new(&trace.values[i + 1], rows, other);
            product(gradient.get_mut(id), other, Write::Set, gates.t(), from);
        }
    }

    /// Which values the cell takes: the last of the input and of the state.
    fn last(&self) -> (usize, usize) {
        let top = self.rounds.len() + 1;
        if top.is_multiple_of(2) { (top, top - 1) } else { (top - 1, top) }
    }

    /// What the cell took as its input, `[steps * batch, width]`.
    pub fn input<'a>(&self, trace: &'a Trace) -> &'a [f32] {
        &trace.values[self.last().0]
    }

    /// What the cell took as its state, `[steps * batch, width]`.
    pub fn state<'a>(&self, trace: &'a Trace) -> &'a [f32] {
        &trace.values[self.last().1]
    }

    /// What each of its matrices was multiplied with: `[steps * batch, columns]`.
    pub fn matrix_inputs<'a>(&self, trace: &'a Trace) -> Vec<(usize, &'a [f32])> {
        let rounds = 0..self.rounds.len();
        rounds.map(|i| (self.width(i + 1), &trace.values[i + 1][..])).collect()
    }
}
