//! The twin against the network on the processor, on an emulator and, where there is one, on a GPU.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::accelerator::Accelerator;
#[cfg(feature = "cuda")]
use super::driver::{Gpu, compile, has_nvrtc};
use super::emulator::Emulator;
use super::{Device, Tokens, Twin};
use crate::corpus::Split;
use crate::grammar;
use crate::linear::Parameters;
use crate::network::Dropout;
use crate::network::{Network, State, initialise};
use crate::recipe::{Draft, Recipe};
use crate::settings::Penalties;
use crate::settings::Variational;
use crate::settings::{Augmented, CellKind, ModelConfig};
use crate::train::evaluate::evaluate;
use crate::train::{Event, Validation, validations};
use crate::train::{Options, Trainer};

/// More than a block's threads, and a multiple of nothing, as all that follows.
const VOCABULARY: usize = 301;
const STEPS: usize = 5;
const BATCH: usize = 3;
/// Largest difference, relative to the largest number of a matrix's gradient.
const TOLERANCE: f32 = 1e-4;

/// A setting to compare under.
struct Case {
    name: &'static str,
    config: ModelConfig,
    dropout: Dropout,
    penalties: Penalties,
    /// Most logits held at once.
    held: usize,
}

fn case(name: &'static str) -> Case {
    let config = ModelConfig {
        cell: CellKind::Lstm,
        embedding: 13,
        hidden: vec![37, 103],
        ..Recipe::base("zaremba-small").unwrap().model
    };
    let variational = Variational::NONE;
    let dropout = Dropout { rate: 0.0, variational, weights: 0.0, seed: 7, update: 5 };
    Case { name, config, dropout, penalties: Penalties::default(), held: 1 << 20 }
}

/// Each cell and each regulariser, alone and together.
fn cases() -> Vec<Case> {
    let cell =
        |name, cell| Case { config: ModelConfig { cell, ..case(name).config }, ..case(name) };
    let mut all = vec![
        cell("lstm", CellKind::Lstm),
        cell("cifg", CellKind::Cifg),
        cell("gru", CellKind::Gru),
        Case { dropout: Dropout { rate: 0.4, ..case("").dropout }, ..case("dropout") },
        Case { dropout: Dropout { weights: 0.5, ..case("").dropout }, ..case("dropped weights") },
        Case { held: 4 * VOCABULARY, ..case("few logits at a time") },
    ];
    for (name, kind) in
        [("lstm, all", CellKind::Lstm), ("cifg, all", CellKind::Cifg), ("gru, all", CellKind::Gru)]
    {
        let mut all_of = regularised(name);
        all_of.config.cell = kind;
        all.push(all_of);
    }
    for (name, kind) in [("projected lstm", CellKind::Lstm), ("projected cifg", CellKind::Cifg)] {
        let mut projected = regularised(name);
        projected.config.cell = kind;
        projected.config.cell_projection = 19;
        all.push(projected);
    }
    let mut tied = regularised("tied, with a projection");
    (tied.config.tied, tied.config.projection) = (true, tied.config.embedding);
    all.push(tied);
    all
}

fn regularised(name: &'static str) -> Case {
    let variational = Variational { word: 0.2, input: 0.3, between: 0.2, state: 0.25, output: 0.4 };
    let case = case(name);
    Case {
        dropout: Dropout { variational, weights: 0.3, ..case.dropout },
        penalties: Penalties {
            augmented: Some(Augmented { weight: 0.7, temperature: 1.3 }),
            activation: 2.0,
            temporal: 1.5,
        },
        held: 4 * VOCABULARY,
        ..case
    }
}

/// A network beside its twin.
struct Pair {
    case: Case,
    network: Network,
    weights: Parameters,
    twin: Twin,
}

impl Pair {
    fn new(case: Case, device: Rc<dyn Accelerator>) -> Self {
        let (network, mut weights) = Network::new(&case.config, VOCABULARY).unwrap();
        initialise(&mut weights, 0.4, 1);
        let mut twin = Twin::on(device, &network, &weights).unwrap();
        twin.model.held = case.held;
        Self { case, network, weights, twin }
    }

    /// Trains on windows of some shapes: one as it comes, one that is noted, one that is replayed, and others between.
    fn check_training(&mut self) {
        let mut state = self.network.zero_state(BATCH);
        let numbers = state.layers.iter_mut().flat_map(|(h, c)| h.iter_mut().chain(c));
        numbers.zip(0..).for_each(|(x, i)| *x = 0.5 * (i as f32).sin());
        let mut on_device = state.clone();
        for (update, steps) in
            [STEPS, STEPS, STEPS - 2, STEPS, 1, STEPS + 4, STEPS, STEPS].into_iter().enumerate()
        {
            self.check_window(update, steps, [&mut state, &mut on_device]);
        }
    }

    fn check_window(&mut self, update: usize, steps: usize, [state, on_device]: [&mut State; 2]) {
        let ids = |factor: usize| -> Vec<u32> {
            (0..steps * BATCH)
                .map(|i| ((i * factor + i * i / 7 + update) % VOCABULARY % 17) as u32)
                .collect()
        };
        let (inputs, targets) = (ids(3), ids(41));
        let dropout = Some(Dropout { update: update as u64, ..self.case.dropout });
        let (penalties, scale) = (self.case.penalties, 0.25);
        let mut window = self.network.window(steps, BATCH);
        window.penalties = penalties;
        let (network, weights) = (&self.network, &self.weights);
        // Whatever was in the gradients before must not matter.
        let (mut want, mut got) = (weights.clone(), weights.clone());
        network.forward(weights, &inputs, state, &mut window, dropout);
        let loss =
            network.loss_and_gradients(weights, &mut want, &inputs, &targets, &mut window, scale);
        let tokens = Tokens { batch: BATCH, inputs: &inputs, targets: &targets };
        let twin = &mut self.twin;
        let found = twin
            .train(Some((weights, &mut got)), tokens, on_device, dropout, (scale, penalties))
            .unwrap();
        let place = format!("{}, update {update}", self.case.name);
        assert!((found - loss).abs() < 1e-5 * loss, "{place}: {found}, not {loss}");
        for entry in want.entries() {
            let part = |p: &Parameters| p.data[entry.range.clone()].to_vec();
            near(&part(&got), &part(&want), &format!("{place}: {}", entry.name));
        }
        for (k, (got, want)) in on_device.layers.iter().zip(&state.layers).enumerate() {
            near(&got.0, &want.0, &format!("{place}: output {k}"));
            near(&got.1, &want.1, &format!("{place}: memory {k}"));
        }
    }

    fn check_evaluation(&mut self) {
        let ids: Vec<u32> = (0..300).map(|i| ((i * 37 + i * i) % VOCABULARY) as u32).collect();
        let split =
            Split { ids, bytes: 300, unk: Some(5), no_words: vec![2, 5], ..Split::default() };
        let want = evaluate(&self.network, &self.weights, &split, 2).unwrap();
        let got = self.twin.evaluate(&self.weights, &split, 2).unwrap();
        let name = self.case.name;
        assert!((got.nll - want.nll).abs() < 1e-5 * want.nll, "{name}: {} {}", got.nll, want.nll);
        assert_eq!(
            (got.recall_at_1, got.recall_at_3, got.words, got.word_recall_at_1),
            (want.recall_at_1, want.recall_at_3, want.words, want.word_recall_at_1),
            "{name}"
        );
    }
}

fn near(got: &[f32], want: &[f32], what: &str) {
    let size = want.iter().fold(1e-6f32, |most, x| most.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= TOLERANCE * size,
            "{what}[{i}]: {got}, not {want} (of {size})"
        );
    }
}

fn check_all(open: impl Fn() -> Rc<dyn Accelerator>) {
    for case in cases() {
        let mut pair = Pair::new(case, open());
        pair.check_evaluation();
        pair.check_training();
        pair.check_evaluation();
    }
}

fn emulator() -> Option<Rc<dyn Accelerator>> {
    let emulator = Emulator::open();
    if emulator.is_none() {
        eprintln!("SKIPPED: there is no C++ compiler (c++, or $CXX)");
    }
    emulator.map(|emulator| Rc::new(emulator) as Rc<dyn Accelerator>)
}

#[test]
fn emulated_twin_agrees_with_the_network() {
    if emulator().is_some() {
        check_all(|| emulator().unwrap());
    }
}

#[cfg(feature = "cuda")]
#[test]
fn gpu_twin_agrees_with_the_network() {
    match Gpu::open(false) {
        Ok(gpu) => {
            let gpu: Rc<dyn Accelerator> = Rc::new(gpu);
            eprintln!("on {}", gpu.name());
            check_all(|| gpu.clone());
        }
        Err(e) => eprintln!("SKIPPED: {e}"),
    }
}

#[cfg(feature = "cuda")]
#[test]
fn nvrtc_compiles_the_kernels() {
    if !has_nvrtc() {
        eprintln!("SKIPPED: NVRTC (libnvrtc) was not found");
        return;
    }
    for (major, minor) in [(7, 5), (9, 0)] {
        compile(major, minor).unwrap();
    }
}

#[test]
fn what_has_no_twin_is_named() {
    let Some(device) = emulator() else { return };
    let config = ModelConfig { layer_norm: true, ..case("").config };
    let (network, weights) = Network::new(&config, VOCABULARY).unwrap();
    let message = Twin::on(device, &network, &weights).err().unwrap().to_string();
    assert!(message.contains("model.layer_norm") && message.contains("--device cpu"), "{message}");
}

/// Every regulariser, windows of varying length, several of them an update, a factored matrix.
const RECIPE: &str = r#"
[model]
embedding = 12
hidden = [16, 12]
tied = true
[train]
batch = 10
steps = 12
epochs = 2
lr = 0.5
dropout = 0.0
variational = { word = 0.1, input = 0.1, between = 0.1, state = 0.2, output = 0.1 }
weight_drop = 0.2
augmented = { weight = 0.5, temperature = 4.0 }
activation_penalty = 0.5
temporal_penalty = 0.5
state_reset = 0.1
random_steps = true
accumulate = 2
average = { kind = "ema", decay = 0.9 }
[[form]]
method = "low-rank"
matrices = ["cell.*.input"]
rank = 5
"#;

fn options(out: &Path) -> Options {
    let save_every = Duration::MAX;
    Options { out: out.to_owned(), seed: 1, save_every, device: Device::Cpu }
}

/// A recipe whose parameters stay on the device.
const HELD: &str = r#"
[model]
embedding = 12
hidden = [16, 12]
[train]
batch = 10
steps = 12
epochs = 2
optimizer = "OPTIMIZER"
lr = LR
clip = 0.5
weight_decay = 1e-4
dropout = 0.2
"#;

/// Validations of a training that is stopped in its second epoch and goes on on the processor; if a device is given, it
/// is on that before.
fn trained(recipe: &str, device: Option<Rc<dyn Accelerator>>) -> Vec<Validation> {
    let corpus = grammar::corpus(3, 6_000).unwrap();
    let draft = Draft::base("zaremba-small").unwrap().file("recipe", recipe).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let mut trainer = Trainer::start(&corpus, draft.finish().unwrap(), options.clone()).unwrap();
    if let Some(device) = device {
        let model = &trainer.config.recipe.model;
        let (network, dense) = Network::new(model, trainer.config.vocabulary).unwrap();
        trainer.twin = Some(Twin::on(device, &network, &dense).unwrap());
    }
    let events = Cell::new(0);
    let is_in_second = Cell::new(false);
    let mut observe = |event: &Event| {
        events.set(if event.epoch == 2 { events.get() + 1 } else { 0 });
        is_in_second.set(events.get() > 5);
    };
    trainer.run(&|| is_in_second.get(), &mut observe).unwrap();
    drop(trainer);
    Trainer::resume(&corpus, options).unwrap().run(&|| false, &mut |_| ()).unwrap();
    validations(folder.path()).unwrap()
}

#[test]
fn training_goes_on_on_another_device() {
    let held = |optimizer, lr| HELD.replace("OPTIMIZER", optimizer).replace("LR", lr);
    let recipes =
        [RECIPE.to_owned(), held("sgd", "0.5"), held("adam", "0.005"), held("adamw", "0.005")];
    for recipe in recipes {
        let Some(device) = emulator() else { return };
        let (got, want) = (trained(&recipe, Some(device)), trained(&recipe, None));
        assert_eq!((got.len(), want.len()), (2, 2));
        for (got, want) in got.iter().zip(&want) {
            let (got, want) = (got.perplexity, want.perplexity);
            assert!((got - want).abs() < 1e-3 * want, "{recipe}: {got}, not {want}");
        }
    }
}
