//! Every gradient of the whole network, hence of the fused sequence operation, against central differences of
//! its loss, under a fixed dropout mask and from a state that is not zero.

use pocketlm_train::config::{CellKind, ModelConfig};
use pocketlm_train::dropout::Dropout;
use pocketlm_train::network::{Network, State, initialise};
use pocketlm_train::parameters::{Entry, Parameters};

const VOCABULARY: usize = 11;
const STEPS: usize = 6;
const BATCH: usize = 3;
/// Half the distance of the two losses of the narrower difference: large, since losses in `f32` are rounded.
const STEP: f32 = 2e-2;
/// Largest error allowed, relative to the largest gradient of the matrix; a wrong term makes far larger ones.
const TOLERANCE: f64 = 5e-3;
/// Numbers compared in each matrix.
const SAMPLES: usize = 40;
const DROPOUT: Dropout = Dropout { rate: 0.3, seed: 7, update: 5 };

struct Case {
    network: Network,
    parameters: Parameters,
    state: State,
    inputs: Vec<u32>,
    targets: Vec<u32>,
}

impl Case {
    fn new(config: &ModelConfig) -> Self {
        let (network, mut parameters) = Network::new(config, VOCABULARY).unwrap();
        initialise(&mut parameters, 0.9, 1);
        let mut state = network.zero_state(BATCH);
        let numbers = state.layers.iter_mut().flat_map(|(h, c)| h.iter_mut().chain(c));
        numbers.zip(0..).for_each(|(x, i)| *x = 0.5 * (i as f32).sin());
        let ids = |factor: usize| -> Vec<u32> {
            (0..STEPS * BATCH).map(|i| ((i * factor + i * i) % VOCABULARY) as u32).collect()
        };
        Self { network, parameters, state, inputs: ids(3), targets: ids(5) }
    }

    fn loss(&self, parameters: &Parameters) -> f64 {
        let mut window = self.network.window(STEPS, BATCH);
        let mut state = self.state.clone();
        self.network.forward(parameters, &self.inputs, &mut state, &mut window, Some(DROPOUT));
        let losses = self.network.losses(parameters, &self.targets, &window);
        losses.into_iter().map(f64::from).sum()
    }

    fn gradient(&self) -> Parameters {
        let mut window = self.network.window(STEPS, BATCH);
        let mut state = self.state.clone();
        // Whatever was in the gradient before must not matter.
        let mut gradient = self.parameters.clone();
        let (weights, inputs) = (&self.parameters, &self.inputs);
        self.network.forward(weights, inputs, &mut state, &mut window, Some(DROPOUT));
        let (gradient_out, targets) = (&mut gradient, &self.targets);
        self.network.loss_and_gradients(weights, gradient_out, inputs, targets, &mut window, 1.0);
        gradient
    }

    /// Two central differences, extrapolated so that the third derivative cancels (Richardson).
    fn derivative(&self, at: usize) -> f64 {
        (4.0 * self.difference(at, STEP) - self.difference(at, 2.0 * STEP)) / 3.0
    }

    fn difference(&self, at: usize, step: f32) -> f64 {
        let value = self.parameters.data[at];
        let moved = |by: f32| {
            let mut parameters = self.parameters.clone();
            parameters.data[at] = value + by;
            (f64::from(parameters.data[at]), self.loss(&parameters))
        };
        let ((above, more), (below, less)) = (moved(step), moved(-step));
        (more - less) / (above - below)
    }

    fn check(&self, entry: &Entry, gradient: &Parameters) {
        let part = &gradient.data[entry.range.clone()];
        let size = part.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert!(size > 5e-2, "{} has gradients to compare", entry.name);
        let stride = part.len().div_ceil(SAMPLES);
        for i in (0..part.len()).step_by(stride) {
            let (got, want) = (f64::from(part[i]), self.derivative(entry.range.start + i));
            let error = (got - want).abs() / f64::from(size);
            assert!(error < TOLERANCE, "{}[{i}]: {got}, difference {want}", entry.name);
        }
    }
}

fn check(config: &ModelConfig) {
    let case = Case::new(config);
    let gradient = case.gradient();
    gradient.entries().iter().for_each(|entry| case.check(entry, &gradient));
}

/// Widths that no vector register divides.
fn two_layers(cell: CellKind) -> ModelConfig {
    let hidden = vec![7, 6];
    ModelConfig { cell, embedding: 5, hidden, cell_projection: 0, projection: 0, tied: false }
}

#[test]
fn lstm() {
    check(&two_layers(CellKind::Lstm));
}

#[test]
fn gru() {
    check(&two_layers(CellKind::Gru));
}

#[test]
fn cifg() {
    check(&two_layers(CellKind::Cifg));
}

#[test]
fn lstm_with_both_projections_tied() {
    let base = two_layers(CellKind::Lstm);
    check(&ModelConfig { cell_projection: 4, projection: 5, tied: true, ..base });
}

#[test]
fn cifg_with_cell_projection() {
    check(&ModelConfig { cell_projection: 4, ..two_layers(CellKind::Cifg) });
}

#[test]
fn gru_with_projection_tied() {
    check(&ModelConfig { projection: 5, tied: true, ..two_layers(CellKind::Gru) });
}
