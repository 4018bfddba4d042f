//! The network against PyTorch: logits, loss, final state, every gradient, three steps of each optimiser.
//! The fixtures come from `tests/oracle/fixtures.py`.

use std::path::Path;

use pocketlm_train::linear::Parameters;
use pocketlm_train::matrix::{Shape, Structure};
use pocketlm_train::network::{Lesson, Network, State};
use pocketlm_train::recipe::Recipe;
use pocketlm_train::settings::{Augmented, Objective, OptimizerKind, Penalties, TrainConfig};
use pocketlm_train::train::{Optimizer, clip_scale, norm};
use safetensors::SafeTensors;

/// Largest error allowed, relative to the largest number of the tensor.
const TOLERANCE: f32 = 1e-5;

struct Fixture<'a> {
    name: String,
    tensors: SafeTensors<'a>,
    network: Network,
    parameters: Parameters,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    batch: usize,
}

impl<'a> Fixture<'a> {
    fn read(name: String, bytes: &'a [u8]) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let config = &metadata.metadata().as_ref().unwrap()["config"];
        let config = serde_json::from_str(config).unwrap();
        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let vocabulary = tensors.tensor("param.embedding").unwrap().shape()[0];
        let (network, mut parameters) = Network::new(&config, vocabulary).unwrap();
        let batch = tensors.tensor("inputs").unwrap().shape()[1];
        let (inputs, targets) = (integers(&tensors, "inputs"), integers(&tensors, "targets"));
        for entry in parameters.clone().entries() {
            let values = floats(&tensors, &format!("param.{}", entry.name));
            parameters.data[entry.range.clone()].copy_from_slice(&values);
        }
        Self { name, tensors, network, parameters, inputs, targets, batch }
    }

    fn state(&self, prefix: &str) -> State {
        let mut state = self.network.zero_state(self.batch);
        for (k, (output, memory)) in state.layers.iter_mut().enumerate() {
            *output = floats(&self.tensors, &format!("{prefix}.h.{k}"));
            if !memory.is_empty() {
                *memory = floats(&self.tensors, &format!("{prefix}.c.{k}"));
            }
        }
        state
    }

    /// Runs the batch with `parameters`: mean loss, gradient, final state, logits.
    fn run(&self, parameters: &Parameters) -> (f64, Parameters, State, Vec<f32>) {
        self.run_with(parameters, Penalties::default(), None)
    }

    fn run_with(
        &self,
        parameters: &Parameters,
        penalties: Penalties,
        lesson: Option<Lesson>,
    ) -> (f64, Parameters, State, Vec<f32>) {
        let mut window = self.network.window(self.inputs.len() / self.batch, self.batch);
        window.penalties = penalties;
        window.lesson = lesson;
        let mut state = self.state("state");
        let mut gradient = parameters.zeros_like();
        let scale = 1.0 / self.inputs.len() as f32;
        self.network.forward(parameters, &self.inputs, &mut state, &mut window, None);
        let logits = self.network.logits(parameters, &window);
        let loss = self.network.loss_and_gradients(
            parameters,
            &mut gradient,
            &self.inputs,
            &self.targets,
            &mut window,
            scale,
        );
        (loss * f64::from(scale), gradient, state, logits)
    }

    fn expect(&self, what: &str, got: &[f32]) {
        close(&self.name, what, got, &floats(&self.tensors, what));
    }

    fn expect_parameters(&self, prefix: &str, got: &Parameters) {
        for entry in got.entries() {
            self.expect(&format!("{prefix}.{}", entry.name), &got.data[entry.range.clone()]);
        }
    }
}

fn close(name: &str, what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name} {what}");
    let size = want.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / size;
        assert!(error <= TOLERANCE, "{name} {what}[{i}]: {got}, PyTorch has {want}");
    }
}

fn bytes_of<'a>(tensors: &'a SafeTensors, name: &str) -> &'a [u8] {
    tensors.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).data()
}

fn floats(tensors: &SafeTensors, name: &str) -> Vec<f32> {
    let chunks = bytes_of(tensors, name).chunks_exact(4);
    chunks.map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap())).collect()
}

fn integers(tensors: &SafeTensors, name: &str) -> Vec<u32> {
    let chunks = bytes_of(tensors, name).chunks_exact(8);
    chunks.map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap()) as u32).collect()
}

fn each_fixture(check: impl Fn(&Fixture)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle/fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    paths.sort();
    assert!(paths.len() >= 6, "the fixtures are in the repository");
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        check(&Fixture::read(path.file_stem().unwrap().to_string_lossy().into(), &bytes));
    }
}

fn train_config(optimizer: OptimizerKind, weight_decay: f64) -> TrainConfig {
    let base = Recipe::base("zaremba-small").unwrap().train;
    TrainConfig { optimizer, weight_decay, objective: Objective::Token, ..base }
}

fn three_steps(fixture: &Fixture, config: &TrainConfig) -> Parameters {
    let mut parameters = fixture.parameters.clone();
    let mut rule = Optimizer::new(config, &parameters);
    for _ in 0..3 {
        let (_, gradient, ..) = fixture.run(&parameters);
        rule.update(&mut parameters, &gradient, 1.0, 0.01);
    }
    parameters
}

/// The constants are those of `fixtures.py`.
#[test]
fn gradients_with_penalties() {
    let augmented = Some(Augmented { weight: 0.7, temperature: 3.0 });
    let penalties = Penalties { augmented, activation: 2.0, temporal: 1.0 };
    each_fixture(|fixture| {
        let (_, gradient, ..) = fixture.run_with(&fixture.parameters, penalties, None);
        fixture.expect_parameters("penalised", &gradient);
    });
}

/// The constants are those of `fixtures.py`.
#[test]
fn gradients_with_a_teacher() {
    each_fixture(|fixture| {
        let ids = integers(&fixture.tensors, "lesson.ids");
        let lesson = Lesson {
            keep: ids.len() / fixture.targets.len(),
            ids,
            probabilities: floats(&fixture.tensors, "lesson.q"),
            share: 0.3,
            temperature: 2.0,
        };
        let (_, gradient, ..) =
            fixture.run_with(&fixture.parameters, Penalties::default(), Some(lesson));
        fixture.expect_parameters("taught", &gradient);
    });
}

#[test]
fn three_steps_of_adam_without_a_first_moment() {
    let config = TrainConfig { betas: [0.0, 0.999], ..train_config(OptimizerKind::Adam, 0.0) };
    each_fixture(|fixture| {
        fixture.expect_parameters("adam0.3", &three_steps(fixture, &config));
    });
}

#[test]
fn forward_and_every_gradient() {
    each_fixture(|fixture| {
        let (loss, gradient, state, logits) = fixture.run(&fixture.parameters);
        fixture.expect("logits", &logits);
        fixture.expect("loss", &[loss as f32]);
        for (k, (output, memory)) in state.layers.iter().enumerate() {
            fixture.expect(&format!("final.h.{k}"), output);
            if !memory.is_empty() {
                fixture.expect(&format!("final.c.{k}"), memory);
            }
        }
        fixture.expect_parameters("grad", &gradient);
    });
}

#[test]
fn three_steps_of_clipped_sgd() {
    each_fixture(|fixture| {
        let clip = f64::from(floats(&fixture.tensors, "sgd.clip")[0]);
        let mut parameters = fixture.parameters.clone();
        let mut rule = Optimizer::new(&train_config(OptimizerKind::Sgd, 0.0), &parameters);
        for step in 1..=3 {
            let (_, gradient, ..) = fixture.run(&parameters);
            let norm = norm(&gradient);
            fixture.expect(&format!("sgd.{step}.norm"), &[norm as f32]);
            rule.update(&mut parameters, &gradient, clip_scale(norm, clip), 0.5);
            fixture.expect_parameters(&format!("sgd.{step}"), &parameters);
        }
    });
}

#[test]
fn three_steps_of_adam() {
    each_fixture(|fixture| {
        let parameters = three_steps(fixture, &train_config(OptimizerKind::Adam, 0.0));
        fixture.expect_parameters("adam.3", &parameters);
    });
}

#[test]
fn three_steps_of_adamw() {
    each_fixture(|fixture| {
        let parameters = three_steps(fixture, &train_config(OptimizerKind::AdamW, 0.1));
        fixture.expect_parameters("adamw.3", &parameters);
    });
}

/// Factored matrices: what they make and the gradients of their leaves. From `tests/oracle/structures.py`.
#[test]
fn structures_agree_with_pytorch() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/fixtures/structures");
    let files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 6, "fixtures are missing");
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let description = &metadata.metadata().as_ref().unwrap()["structure"];
        let structure: Structure = serde_json::from_str(description).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let size = tensors.tensor("dense").unwrap().shape().to_vec();
        let shape = Shape { rows: size[0], columns: size[1] };
        structure.operations().check(shape).unwrap();
        let count = structure.operations().leaves(shape).len();
        let all = |prefix: &str| -> Vec<Vec<f32>> {
            (0..count).map(|k| floats(&tensors, &format!("{prefix}.{k}"))).collect()
        };
        let leaves = all("leaf");
        let leaves: Vec<&[f32]> = leaves.iter().map(Vec::as_slice).collect();
        let mut dense = vec![0.0; shape.rows * shape.columns];
        structure.operations().materialise(&leaves, shape, &mut dense);
        close(name, "dense", &dense, &floats(&tensors, "dense"));
        let mut gradients: Vec<Vec<f32>> =
            leaves.iter().map(|leaf| vec![0.0; leaf.len()]).collect();
        let mut d_leaves: Vec<&mut [f32]> = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        let d_dense = floats(&tensors, "d_dense");
        structure.operations().pull_back(&leaves, shape, &d_dense, &mut d_leaves);
        for (k, (ours, theirs)) in gradients.iter().zip(all("d_leaf")).enumerate() {
            close(name, &format!("d_leaf.{k}"), ours, &theirs);
        }
    }
}
