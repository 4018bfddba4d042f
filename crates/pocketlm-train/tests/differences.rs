//! Every gradient of the whole network, hence of the fused sequence operation, against central differences of
//! its loss, under fixed dropout masks, with the penalties, and from a state that is not zero.

use pocketlm_train::linear::{Entry, Parameters};
use pocketlm_train::network::{Dropout, Network, State, Window, initialise};
use pocketlm_train::recipe::Recipe;
use pocketlm_train::settings::{Augmented, CellKind, ModelConfig, Penalties, Variational};

const VOCABULARY: usize = 11;
const STEPS: usize = 6;
const BATCH: usize = 3;
/// Half the distance of the two losses of the narrower difference: large, since losses in `f32` are rounded.
const STEP: f32 = 2e-2;
/// Largest error allowed, relative to the largest gradient of the matrix; a wrong term makes far larger ones.
const TOLERANCE: f64 = 5e-3;
/// Numbers compared in each matrix.
const SAMPLES: usize = 40;
const DROPOUT: Dropout =
    Dropout { rate: 0.3, variational: Variational::NONE, weights: 0.0, seed: 7, update: 5 };

struct Case {
    network: Network,
    dropout: Dropout,
    penalties: Penalties,
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
        let (dropout, penalties) = (DROPOUT, Penalties::default());
        let (inputs, targets) = (ids(3), ids(5));
        Self { network, dropout, penalties, parameters, state, inputs, targets }
    }

    fn forward(&self, parameters: &Parameters) -> Window {
        let mut window = self.network.window(STEPS, BATCH);
        window.penalties = self.penalties;
        let mut state = self.state.clone();
        let dropout = Some(self.dropout);
        self.network.forward(parameters, &self.inputs, &mut state, &mut window, dropout);
        window
    }

    fn loss(&self, parameters: &Parameters) -> f64 {
        let window = self.forward(parameters);
        let losses = self.network.losses(parameters, &self.targets, &window);
        let likelihood: f64 = losses.into_iter().map(f64::from).sum();
        likelihood + self.penalty(parameters, &window)
    }

    /// The penalties as their papers write them, for a likelihood that is summed over tokens.
    fn penalty(&self, parameters: &Parameters, window: &Window) -> f64 {
        let Penalties { augmented, activation, temporal } = self.penalties;
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let inputs = self.network.matrix_inputs(window);
        let top = inputs.iter().find(|(name, ..)| name == "softmax");
        let (width, top) = top.map_or((1, &[][..]), |(_, width, top)| (*width, *top));
        let top: Vec<f64> = top.iter().map(|&x| f64::from(x)).collect();
        let squares = top.iter().map(|x| x * x).collect();
        let changes = top.iter().zip(&top[(BATCH * width).min(top.len())..]);
        let changes = changes.map(|(a, b)| (a - b) * (a - b)).collect();
        let rows = (STEPS * BATCH) as f64;
        let penalty = rows * (activation * mean(squares) + temporal * mean(changes));
        penalty + augmented.map_or(0.0, |augmented| self.divergence(augmented, parameters, window))
    }

    /// Sum of the augmented loss, with soft targets of the embedding as it was before any change.
    fn divergence(&self, augmented: Augmented, parameters: &Parameters, window: &Window) -> f64 {
        let Augmented { weight, temperature } = augmented;
        let width = self.network.config.embedding;
        let embedding = self.parameters.find("embedding").unwrap().range.clone();
        let rows: Vec<&[f32]> = self.parameters.data[embedding].chunks_exact(width).collect();
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
        let logits = self.network.logits(parameters, window);
        let logits = logits.chunks_exact(VOCABULARY);
        let divergences = logits.zip(&self.targets).map(|(logits, &target)| {
            let near: Vec<f64> = rows.iter().map(|row| near(row, rows[target as usize])).collect();
            let logits: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
            let (q, p) = (softmax(&near, temperature), softmax(&logits, temperature));
            q.iter().zip(&p).map(|(q, p)| q * (q / p).ln()).sum::<f64>()
        });
        weight * temperature * divergences.sum::<f64>()
    }

    fn gradient(&self) -> Parameters {
        let mut window = self.forward(&self.parameters);
        // Whatever was in the gradient before must not matter.
        let mut gradient = self.parameters.clone();
        let (inputs, targets) = (&self.inputs, &self.targets);
        let weights = &self.parameters;
        self.network.loss_and_gradients(weights, &mut gradient, inputs, targets, &mut window, 1.0);
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

    fn check_all(&self) {
        let gradient = self.gradient();
        gradient.entries().iter().for_each(|entry| self.check(entry, &gradient));
    }

    fn check(&self, entry: &Entry, gradient: &Parameters) {
        let part = &gradient.data[entry.range.clone()];
        let size = part.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert!(size > 2e-2, "{} has gradients to compare: {size}", entry.name);
        let stride = part.len().div_ceil(SAMPLES);
        for i in (0..part.len()).step_by(stride) {
            let (got, want) = (f64::from(part[i]), self.derivative(entry.range.start + i));
            let error = (got - want).abs() / f64::from(size);
            assert!(error < TOLERANCE, "{}[{i}]: {got}, difference {want}", entry.name);
        }
    }
}

fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let exponentials: Vec<f64> = logits.iter().map(|x| (x / temperature).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|x| x / sum).collect()
}

fn check(config: &ModelConfig) {
    Case::new(config).check_all();
}

/// Every mask that stays through a window, and dropped weights.
fn locked() -> Dropout {
    let variational = Variational { word: 0.2, input: 0.2, between: 0.3, state: 0.25, output: 0.2 };
    Dropout { rate: 0.0, variational, weights: 0.3, ..DROPOUT }
}

fn check_locked(config: &ModelConfig) {
    Case { dropout: locked(), ..Case::new(config) }.check_all();
}

/// Widths that no vector register divides.
fn two_layers(cell: CellKind) -> ModelConfig {
    let hidden = vec![7, 6];
    ModelConfig { cell, embedding: 5, hidden, ..Recipe::base("zaremba-small").unwrap().model }
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

/// Moduli stay away from zero, where modReLU is no smooth function.
fn urnn(config: ModelConfig) -> Case {
    let config = ModelConfig { cell: CellKind::Urnn, hidden: vec![8, 4], ..config };
    let mut case = Case::new(&config);
    for entry in case.parameters.clone().entries() {
        let scale = match &*entry.name {
            name if name.ends_with("input") => 3.0,
            name if name.starts_with("cell") && name.ends_with("bias") => 0.1,
            _ => 1.0,
        };
        case.parameters.data[entry.range.clone()].iter_mut().for_each(|x| *x *= scale);
    }
    case
}

#[test]
fn urnn_with_masks_of_every_kind() {
    let base = two_layers(CellKind::Urnn);
    urnn(base.clone()).check_all();
    Case { dropout: locked(), ..urnn(base.clone()) }.check_all();
    urnn(ModelConfig { projection: 5, tied: true, ..base }).check_all();
}

#[test]
fn cifg_with_cell_projection() {
    check(&ModelConfig { cell_projection: 4, ..two_layers(CellKind::Cifg) });
}

#[test]
fn gru_with_projection_tied() {
    check(&ModelConfig { projection: 5, tied: true, ..two_layers(CellKind::Gru) });
}

#[test]
fn locked_masks_and_dropped_weights_of_every_cell() {
    for cell in [CellKind::Lstm, CellKind::Gru, CellKind::Cifg] {
        check_locked(&two_layers(cell));
    }
}

#[test]
fn locked_masks_with_both_projections_tied() {
    let base = two_layers(CellKind::Lstm);
    check_locked(&ModelConfig { cell_projection: 4, projection: 5, tied: true, ..base });
}

#[test]
fn augmented_loss() {
    let augmented = Some(Augmented { weight: 0.7, temperature: 3.0 });
    let penalties = Penalties { augmented, ..Penalties::default() };
    Case { penalties, ..Case::new(&two_layers(CellKind::Lstm)) }.check_all();
    let tied = ModelConfig { embedding: 6, tied: true, ..two_layers(CellKind::Lstm) };
    Case { penalties, ..Case::new(&tied) }.check_all();
}

#[test]
fn penalties_of_activations() {
    let penalties = Penalties { augmented: None, activation: 2.0, temporal: 1.5 };
    let dropout = Dropout { rate: 0.0, ..DROPOUT };
    Case { penalties, dropout, ..Case::new(&two_layers(CellKind::Lstm)) }.check_all();
}

#[test]
fn a_locked_mask_is_the_same_at_every_step_and_keeps_the_mean() {
    let config = ModelConfig { embedding: 400, ..two_layers(CellKind::Lstm) };
    let variational = Variational { input: 0.25, ..Variational::NONE };
    let dropout = Dropout { rate: 0.0, variational, ..DROPOUT };
    let mut case = Case { dropout, ..Case::new(&config) };
    case.parameters.data.fill(1.0);
    let window = case.forward(&case.parameters);
    let inputs = case.network.matrix_inputs(&window);
    let (_, width, input) = inputs.iter().find(|(name, ..)| name == "cell.0.input").unwrap();
    let steps: Vec<&[f32]> = input.chunks_exact(BATCH * width).collect();
    assert_eq!(steps.len(), STEPS);
    assert!(steps.iter().all(|step| step == &steps[0]));
    let mean = steps[0].iter().sum::<f32>() / steps[0].len() as f32;
    assert!((mean - 1.0).abs() < 0.05, "{mean}");
    assert!(steps[0].iter().all(|&x| x == 0.0 || (x - 4.0 / 3.0).abs() < 1e-6));
}

#[test]
fn layer_normalisation_of_every_cell() {
    for cell in [CellKind::Lstm, CellKind::Gru, CellKind::Cifg] {
        check(&ModelConfig { layer_norm: true, ..two_layers(cell) });
    }
    let projected = ModelConfig { cell_projection: 4, ..two_layers(CellKind::Cifg) };
    check_locked(&ModelConfig { layer_norm: true, ..projected });
}

#[test]
fn mogrifier_of_every_cell() {
    for cell in [CellKind::Lstm, CellKind::Gru, CellKind::Cifg] {
        for mogrifier in [1, 2, 5] {
            check(&ModelConfig { mogrifier, ..two_layers(cell) });
        }
    }
}

#[test]
fn mogrifier_with_locked_masks_and_normalisation() {
    let base = ModelConfig { mogrifier: 4, layer_norm: true, ..two_layers(CellKind::Lstm) };
    check_locked(&base);
    check_locked(&ModelConfig { cell_projection: 4, projection: 5, tied: true, ..base });
}
