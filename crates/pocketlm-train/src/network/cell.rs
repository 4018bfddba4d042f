//! The recurrent cells: what one step of one stream computes, forward and backward.
//!
//! A cell keeps four (LSTM, GRU), three (CIFG) or one (uRNN) blocks of pre-activations per unit side by side in a row
//! `[blocks * hidden]`. The sequence operation fills them by matrix products; the functions here turn them
//! into gates in place, and backward turn gates into gradients of the pre-activations in place.

use pocketlm_kernels::activation as kernels;

use crate::settings::CellKind;

/// What modReLU adds to the modulus that it divides by, as the authors' program does.
const EPSILON: f32 = 1e-5;

/// A contiguous part of a weight matrix's rows that feeds a contiguous part of the pre-activations.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    /// First row in the weight matrix, in units of `hidden`.
    pub row: usize,
    /// First pre-activation it feeds, in units of `hidden`.
    pub block: usize,
    /// How many blocks of `hidden` rows.
    pub blocks: usize,
}

/// Which block of pre-activations is the forget gate's.
pub fn forget_block(kind: CellKind) -> Option<usize> {
    match kind {
        CellKind::Lstm => Some(1),
        CellKind::Cifg => Some(0),
        CellKind::Gru | CellKind::Urnn => None,
    }
}

/// How the recurrent matrix's rows feed the pre-activations. The input matrix's row `r` always feeds
/// pre-activation `r`. A GRU's candidate keeps the two sides apart (blocks 2 and 3), since its reset
/// gate multiplies the recurrent one.
pub fn recurrent_feeds(kind: CellKind) -> &'static [Feed] {
    match kind {
        CellKind::Lstm => &[Feed { row: 0, block: 0, blocks: 4 }],
        CellKind::Cifg => &[Feed { row: 0, block: 0, blocks: 3 }],
        CellKind::Urnn => &[Feed { row: 0, block: 0, blocks: 1 }],
        CellKind::Gru => {
            &[Feed { row: 0, block: 0, blocks: 2 }, Feed { row: 2, block: 3, blocks: 1 }]
        }
    }
}

/// One stream at one step, as the forward pass leaves it. All slices are `[hidden]` but for `gates`.
pub struct Step<'a> {
    /// Pre-activations `[blocks * hidden]`, gates once the step is done; a uRNN leaves them as they are.
    pub gates: &'a mut [f32],
    /// The bias where it is not among the pre-activations: for a uRNN, `[hidden / 2]`.
    pub bias: &'a [f32],
    /// Memory before the step; for a GRU its output before the step (unused by a uRNN).
    pub before: &'a [f32],
    /// Memory after the step (unused by a GRU, as the next).
    pub memory: &'a mut [f32],
    /// tanh of the memory after the step.
    pub squashed: &'a mut [f32],
    /// The cell's output, before any projection.
    pub output: &'a mut [f32],
}

/// Forward step.
///
/// LSTM (gates i, f, g, o): `c = f c' + i g`, `h = o tanh(c)`. CIFG (f, g, o): the same with `i = 1 - f`.
/// GRU (r, z, n): `n = tanh(x_n + r h_n)`, `h = (1 - z) n + z h'`. uRNN: `h = z max(|z| + b, 0) / (|z| + 1e-5)` for
/// the complex numbers z whose real parts come first, then the imaginary ones.
pub fn forward(kind: CellKind, step: Step) {
    let hidden = step.output.len();
    match kind {
        CellKind::Lstm => {
            let (sigmoids, rest) = step.gates.split_at_mut(2 * hidden);
            let (g, o) = rest.split_at_mut(hidden);
            kernels::sigmoid(sigmoids);
            kernels::tanh(g);
            kernels::sigmoid(o);
            let (i, f) = sigmoids.split_at(hidden);
            for u in 0..hidden {
                step.memory[u] = f[u] * step.before[u] + i[u] * g[u];
            }
            emit(step.memory, step.squashed, o, step.output);
        }
        CellKind::Cifg => {
            let (f, rest) = step.gates.split_at_mut(hidden);
            let (g, o) = rest.split_at_mut(hidden);
            kernels::sigmoid(f);
            kernels::tanh(g);
            kernels::sigmoid(o);
            for u in 0..hidden {
                step.memory[u] = f[u] * step.before[u] + (1.0 - f[u]) * g[u];
            }
            emit(step.memory, step.squashed, o, step.output);
        }
        CellKind::Gru => {
            let (rz, rest) = step.gates.split_at_mut(2 * hidden);
            let (n, recurrent) = rest.split_at_mut(hidden);
            kernels::sigmoid(rz);
            let (r, z) = rz.split_at(hidden);
            for u in 0..hidden {
                n[u] += r[u] * recurrent[u];
            }
            kernels::tanh(n);
            for u in 0..hidden {
                step.output[u] = (1.0 - z[u]) * n[u] + z[u] * step.before[u];
            }
        }
        CellKind::Urnn => rectify(step.gates, step.bias, step.output),
    }
}

fn emit(memory: &[f32], squashed: &mut [f32], o: &[f32], output: &mut [f32]) {
    squashed.copy_from_slice(memory);
    kernels::tanh(squashed);
    for u in 0..output.len() {
        output[u] = o[u] * squashed[u];
    }
}

fn rectify(z: &[f32], bias: &[f32], output: &mut [f32]) {
    let ((re, im), (out_re, out_im)) = (z.split_at(bias.len()), output.split_at_mut(bias.len()));
    for u in 0..bias.len() {
        let modulus = (re[u] * re[u] + im[u] * im[u]).sqrt();
        let scale = (modulus + bias[u]).max(0.0) / (modulus + EPSILON);
        (out_re[u], out_im[u]) = (scale * re[u], scale * im[u]);
    }
}

/// One stream at one step on the way back.
pub struct BackStep<'a> {
    /// Gates `[blocks * hidden]` from the forward pass; the pre-activations' gradients once done.
    pub gates: &'a mut [f32],
    /// As in [`Step`].
    pub bias: &'a [f32],
    /// Memory before the step; for a GRU its output before the step (unused by a uRNN).
    pub before: &'a [f32],
    /// tanh of the memory after the step (unused by a GRU and a uRNN).
    pub squashed: &'a [f32],
    /// Gradient of the cell's output.
    pub output: &'a [f32],
    /// Gradient of the memory after the step, replaced by that of the memory before it. For a GRU: set to
    /// the part of the gradient of the output before it that does not pass through the recurrent matrix. For a uRNN,
    /// `[hidden / 2]`: the gradient of the bias is added.
    pub carry: &'a mut [f32],
}

/// Backward step.
pub fn backward(kind: CellKind, step: BackStep) {
    match kind {
        CellKind::Lstm => lstm_backward(step),
        CellKind::Cifg => cifg_backward(step),
        CellKind::Gru => gru_backward(step),
        CellKind::Urnn => urnn_backward(step),
    }
}

fn lstm_backward(step: BackStep) {
    let hidden = step.output.len();
    let (i, rest) = step.gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (g, o) = rest.split_at_mut(hidden);
    let (before, squashed) = (&step.before[..hidden], &step.squashed[..hidden]);
    let (carry, o) = (&mut step.carry[..hidden], &mut o[..hidden]);
    for u in 0..hidden {
        let dh = step.output[u];
        let dc = carry[u] + dh * o[u] * (1.0 - squashed[u] * squashed[u]);
        let (iu, fu, gu, ou) = (i[u], f[u], g[u], o[u]);
        i[u] = dc * gu * iu * (1.0 - iu);
        f[u] = dc * before[u] * fu * (1.0 - fu);
        g[u] = dc * iu * (1.0 - gu * gu);
        o[u] = dh * squashed[u] * ou * (1.0 - ou);
        carry[u] = dc * fu;
    }
}

fn cifg_backward(step: BackStep) {
    let hidden = step.output.len();
    let (f, rest) = step.gates.split_at_mut(hidden);
    let (g, o) = rest.split_at_mut(hidden);
    let (before, squashed) = (&step.before[..hidden], &step.squashed[..hidden]);
    let (carry, o) = (&mut step.carry[..hidden], &mut o[..hidden]);
    for u in 0..hidden {
        let dh = step.output[u];
        let dc = carry[u] + dh * o[u] * (1.0 - squashed[u] * squashed[u]);
        let (fu, gu, ou) = (f[u], g[u], o[u]);
        f[u] = dc * (before[u] - gu) * fu * (1.0 - fu);
        g[u] = dc * (1.0 - fu) * (1.0 - gu * gu);
        o[u] = dh * squashed[u] * ou * (1.0 - ou);
        carry[u] = dc * fu;
    }
}

fn gru_backward(step: BackStep) {
    let hidden = step.output.len();
    let (r, rest) = step.gates.split_at_mut(hidden);
    let (z, rest) = rest.split_at_mut(hidden);
    let (n, recurrent) = rest.split_at_mut(hidden);
    let (before, carry) = (&step.before[..hidden], &mut step.carry[..hidden]);
    let recurrent = &mut recurrent[..hidden];
    for u in 0..hidden {
        let dh = step.output[u];
        let (ru, zu, nu) = (r[u], z[u], n[u]);
        let dn = dh * (1.0 - zu) * (1.0 - nu * nu);
        n[u] = dn;
        r[u] = dn * recurrent[u] * ru * (1.0 - ru);
        z[u] = dh * (before[u] - nu) * zu * (1.0 - zu);
        recurrent[u] = dn * ru;
        carry[u] = dh * zu;
    }
}

/// With m = |z| and s = (m + b) / (m + ε): `dz = s dh + (dh · z) s' z / m`, where `s' = (ε − b) / (m + ε)²`.
fn urnn_backward(step: BackStep) {
    let units = step.bias.len();
    let ((re, im), (d_re, d_im)) = (step.gates.split_at_mut(units), step.output.split_at(units));
    for u in 0..units {
        let (x, y, bias) = (re[u], im[u], step.bias[u]);
        let modulus = (x * x + y * y).sqrt();
        let inverse = 1.0 / (modulus + EPSILON);
        let scale = (modulus + bias).max(0.0) * inverse;
        let (mut along, mut share) = (0.0, 0.0);
        if scale > 0.0 {
            along = (d_re[u] * x + d_im[u] * y) * inverse;
            share = along * (EPSILON - bias) * inverse / modulus.max(f32::MIN_POSITIVE);
        }
        step.carry[u] += along;
        (re[u], im[u]) = (scale * d_re[u] + share * x, scale * d_im[u] + share * y);
    }
}
