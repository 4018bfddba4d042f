//! Layer normalisation of a cell's pre-activations (Ba, Kiros & Hinton 2016, arXiv 1607.06450): each block of
//! `hidden` of them has its mean taken off and is divided by its deviation over the units, then scaled by a
//! gain and shifted by the bias. The memory is left as it is.

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// What the forward pass of a window keeps for the backward pass.
#[derive(Default)]
pub struct Trace {
    /// Before gain and bias, `[rows, blocks * hidden]`.
    normalised: Vec<f32>,
    /// One over the deviation of each block, `[rows, blocks]`.
    inverse: Vec<f32>,
    /// Gradient of the gain, `[blocks * hidden]`.
    pub d_gain: Vec<f32>,
    /// Gradient of the bias, `[blocks * hidden]`.
    pub d_bias: Vec<f32>,
}

impl Trace {
    /// Room for `rows` rows of `blocks` blocks of `hidden`.
    pub fn new(rows: usize, blocks: usize, hidden: usize) -> Self {
        Self {
            normalised: vec![0.0; rows * blocks * hidden],
            inverse: vec![0.0; rows * blocks],
            d_gain: vec![0.0; blocks * hidden],
            d_bias: vec![0.0; blocks * hidden],
        }
    }

    /// Normalises the rows `pre` `[.., blocks * hidden]`, of which the first is row `first` of the window.
    pub fn forward(
        &mut self,
        hidden: usize,
        first: usize,
        pre: &mut [f32],
        (gain, bias): (&[f32], &[f32]),
    ) {
        let (width, blocks) = (gain.len(), gain.len() / hidden);
        let rows = self.normalised[first * width..].chunks_exact_mut(width);
        let rows = rows.zip(self.inverse[first * blocks..].chunks_exact_mut(blocks));
        for (pre, (normalised, inverse)) in pre.chunks_exact_mut(width).zip(rows) {
            for (block, inverse) in inverse.iter_mut().enumerate() {
                let at = block * hidden..(block + 1) * hidden;
                *inverse = normalise(&pre[at.clone()], &mut normalised[at]);
            }
            let shifted = gain.iter().zip(bias).zip(normalised.iter());
            pre.iter_mut().zip(shifted).for_each(|(pre, ((g, b), x))| *pre = g * x + b);
        }
    }

    /// Turns the gradient `d` of those rows, after gain and bias, into that before normalising, and adds to
    /// the gradients of gain and bias.
    pub fn backward(&mut self, hidden: usize, first: usize, d: &mut [f32], gain: &[f32]) {
        let (width, blocks) = (gain.len(), gain.len() / hidden);
        let rows = self.normalised[first * width..].chunks_exact(width);
        let rows = rows.zip(self.inverse[first * blocks..].chunks_exact(blocks));
        for (d, (normalised, inverse)) in d.chunks_exact_mut(width).zip(rows) {
            for (at, d) in d.iter_mut().enumerate() {
                self.d_gain[at] += *d * normalised[at];
                self.d_bias[at] += *d;
                *d *= gain[at];
            }
            let blocks = d.chunks_exact_mut(hidden).zip(normalised.chunks_exact(hidden));
            for ((d, normalised), inverse) in blocks.zip(inverse) {
                let share = 1.0 / hidden as f32;
                let mean = d.iter().sum::<f32>() * share;
                let along = d.iter().zip(normalised).map(|(d, x)| d * x).sum::<f32>() * share;
                d.iter_mut()
                    .zip(normalised)
                    .for_each(|(d, x)| *d = inverse * (*d - mean - along * x));
            }
        }
    }
}

/// Writes `x` with mean 0 and variance 1 into `out`; returns one over its deviation.
fn normalise(x: &[f32], out: &mut [f32]) -> f32 {
    let count = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let square = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let inverse = 1.0 / (square + EPSILON).sqrt();
    let (mean, inverse) = (mean as f32, inverse as f32);
    out.iter_mut().zip(x).for_each(|(out, x)| *out = (x - mean) * inverse);
    inverse
}
