//! The elementwise half of one step of a recurrent cell: from pre-activations to the new state.
//!
//! H is the number of units. For a batch, call once per stream.

use crate::backend::call;

/// One LSTM step (Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000).
///
/// `pre` is `[4H]`: the pre-activations of input gate i, forget gate f, candidate g and output
/// gate o, in this order (PyTorch's). `c` `[H]` is updated, `h` `[H]` written:
/// `c = σ(f)·c + σ(i)·tanh(g)`, `h = σ(o)·tanh(c)`.
///
/// # Panics
/// If the lengths do not fit.
pub fn lstm(pre: &[f32], c: &mut [f32], h: &mut [f32]) {
    assert!(pre.len() == 4 * h.len() && c.len() == h.len(), "LSTM step: pre [4H], c [H], h [H]");
    call!(lstm(pre, c, h));
}

/// One step of an LSTM with coupled input and forget gates (CIFG; Greff et al. 2017).
///
/// `pre` is `[3H]`: forget gate f, candidate g, output gate o. `c` `[H]` is updated, `h` `[H]`
/// written: `c = σ(f)·c + (1 − σ(f))·tanh(g)`, `h = σ(o)·tanh(c)`.
///
/// # Panics
/// If the lengths do not fit.
pub fn cifg(pre: &[f32], c: &mut [f32], h: &mut [f32]) {
    assert!(pre.len() == 3 * h.len() && c.len() == h.len(), "CIFG step: pre [3H], c [H], h [H]");
    call!(cifg(pre, c, h));
}

/// One GRU step (Cho et al. 2014, in the variant of PyTorch and cuDNN: reset after the product).
///
/// `gx` and `gh` are `[3H]`: the input's and the state's contributions, each with its bias, to
/// reset gate r, update gate z and candidate n. `h` `[H]` is updated:
/// `n = tanh(gx_n + σ(gx_r + gh_r)·gh_n)`, `h = (1 − z)·n + z·h` with `z = σ(gx_z + gh_z)`.
///
/// # Panics
/// If the lengths do not fit.
pub fn gru(gx: &[f32], gh: &[f32], h: &mut [f32]) {
    assert!(gx.len() == 3 * h.len() && gh.len() == gx.len(), "GRU step: gx [3H], gh [3H], h [H]");
    call!(gru(gx, gh, h));
}
