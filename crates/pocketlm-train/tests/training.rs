//! Training as a function of recipe, data and seed: the same bytes, however often it was stopped, killed and
//! resumed; and that it learns, notices divergence, and agrees with the runtime.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::sit;
use pocketlm::{Model, Recall, Score, Session};
use pocketlm_train::checkpoint::{Checkpoint, Config, Provenance};
use pocketlm_train::corpus::{Corpus, Split, Streams};
use pocketlm_train::cuda::Device;
use pocketlm_train::error::Error;
use pocketlm_train::grammar;
use pocketlm_train::matrix::Parametrization;
use pocketlm_train::network::{Network, initialise};
use pocketlm_train::pack::pack_in_memory;
use pocketlm_train::recipe::{Draft, Recipe};
use pocketlm_train::settings::Schedule;
use pocketlm_train::train::grow;
use pocketlm_train::train::{Evaluation, evaluate};
use pocketlm_train::train::{Options, Trainer};
use serde_json::Value;
use tempfile::TempDir;

const SGD: &[(&str, &str)] = &[("optimizer", "sgd"), ("lr", "1.0")];
const ADAM: &[(&str, &str)] =
    &[("optimizer", "adam"), ("lr", "0.01"), ("objective", "token"), ("schedule", PLATEAU)];
const PLATEAU: &str = r#"{ kind = "plateau", factor = 0.5 }"#;

/// Every regulariser, a mean over the training, several windows an update.
const REGULARISED: &[(&str, &str)] = &[
    ("optimizer", "adam"),
    ("betas", "[0.0, 0.999]"),
    ("lr", "0.01"),
    ("warmup", "9"),
    ("objective", "token"),
    ("schedule", r#"{ kind = "cosine" }"#),
    ("dropout", "0.0"),
    ("variational", "{ word = 0.1, input = 0.1, between = 0.1, state = 0.2, output = 0.1 }"),
    ("weight_drop", "0.2"),
    ("tied", "true"),
    ("augmented", "{ weight = 0.5, temperature = 4.0 }"),
    ("activation_penalty", "0.5"),
    ("temporal_penalty", "0.5"),
    ("state_reset", "0.1"),
    ("random_steps", "true"),
    ("accumulate", "2"),
    ("average", r#"{ kind = "ema", decay = 0.9 }"#),
    ("forget_bias", "1.0"),
];
const AVERAGED_SGD: &[(&str, &str)] =
    &[("lr", "1.0"), ("epochs", "4"), ("average", r#"{ kind = "nt-asgd", patience = 1 }"#)];

fn corpus() -> Corpus {
    grammar::corpus(3, 6_000).unwrap()
}

/// A small network of which an epoch is 51 updates, the last of them shorter.
fn recipe(settings: &[(&str, &str)]) -> Recipe {
    let small = [
        ("embedding", "12"),
        ("hidden", "[16, 12]"),
        ("batch", "10"),
        ("steps", "12"),
        ("epochs", "3"),
        ("dropout", "0.2"),
    ];
    let base = Draft::base("zaremba-small").unwrap();
    let set = |draft: Draft, &(key, value): &(&str, &str)| draft.set(key, value).unwrap();
    small.iter().chain(settings).fold(base, set).finish().unwrap()
}

fn options(folder: &Path, seed: u64) -> Options {
    Options { out: folder.to_owned(), seed, save_every: Duration::MAX, device: Device::Cpu }
}

fn start<'a>(corpus: &'a Corpus, settings: &[(&str, &str)], out: &Path, seed: u64) -> Trainer<'a> {
    Trainer::start(corpus, recipe(settings), options(out, seed)).unwrap()
}

fn finish(mut trainer: Trainer) {
    assert!(sit(&mut trainer, usize::MAX));
}

/// A training that nothing interrupts.
fn through(corpus: &Corpus, settings: &[(&str, &str)], seed: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    finish(start(corpus, settings, folder.path(), seed));
    folder
}

fn model(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("model.safetensors")).unwrap()
}

/// The events of `metrics.jsonl` without their times.
fn events(folder: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let event = |line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event.as_object_mut().unwrap().remove("seconds").unwrap();
        event
    };
    text.lines().map(event).collect()
}

fn validations(folder: &TempDir) -> Vec<Value> {
    events(folder).into_iter().filter(|event| event["split"] == "valid").collect()
}

#[test]
fn same_seed_same_bytes_other_seed_other_bytes() {
    let corpus = corpus();
    for settings in [SGD, ADAM] {
        let [one, again, other] = [1, 1, 2].map(|seed| through(&corpus, settings, seed));
        assert_eq!(model(&one), model(&again));
        assert_eq!(events(&one), events(&again));
        assert_ne!(model(&one), model(&other));
    }
}

#[test]
fn stopped_and_resumed_is_uninterrupted() {
    let corpus = corpus();
    for settings in [SGD, ADAM] {
        let whole = through(&corpus, settings, 1);
        // Sittings that end within an epoch, at its last update, and across several.
        for sittings in [&[1, 1, 7, 500][..], &[51, 51, 51, 1], &[50, 3, 99, 500]] {
            let folder = tempfile::tempdir().unwrap();
            let mut finished = sit(&mut start(&corpus, settings, folder.path(), 1), sittings[0]);
            for &updates in &sittings[1..] {
                assert!(!finished);
                // The seed is the checkpoint's, whatever is asked for.
                let mut trainer = Trainer::resume(&corpus, options(folder.path(), 9)).unwrap();
                finished = sit(&mut trainer, updates);
            }
            assert!(finished);
            assert_eq!(model(&folder), model(&whole), "{sittings:?}");
            assert_eq!(events(&folder), events(&whole), "{sittings:?}");
        }
    }
}

#[test]
fn stopped_and_resumed_is_uninterrupted_with_every_regulariser() {
    let corpus = corpus();
    for settings in [REGULARISED, AVERAGED_SGD] {
        let whole = through(&corpus, settings, 1);
        let folder = tempfile::tempdir().unwrap();
        sit(&mut start(&corpus, settings, folder.path(), 1), 7);
        sit(&mut Trainer::resume(&corpus, options(folder.path(), 1)).unwrap(), 40);
        finish(Trainer::resume(&corpus, options(folder.path(), 1)).unwrap());
        assert_eq!(model(&folder), model(&whole));
        assert_eq!(events(&folder), events(&whole));
    }
}

#[test]
fn restarts_begin_again_at_a_smaller_rate() {
    const RESTARTS: &[(&str, &str)] = &[
        ("lr", "1.0"),
        ("epochs", "4"),
        ("schedule", r#"{ kind = "restarts", epochs = 2, factor = 0.5 }"#),
    ];
    let corpus = corpus();
    let rates = |folder| -> Vec<f64> {
        validations(folder).iter().map(|event| event["lr"].as_f64().unwrap()).collect()
    };
    let whole = through(&corpus, RESTARTS, 1);
    // Those of the next update: amid the first cosine, at the restart, amid the second, at the end of it.
    for (rate, expected) in rates(&whole).iter().zip([0.5, 0.5, 0.25, 0.25]) {
        assert!((rate - expected).abs() < 0.01, "{:?}", rates(&whole));
    }
    let folder = tempfile::tempdir().unwrap();
    sit(&mut start(&corpus, RESTARTS, folder.path(), 1), 120);
    finish(Trainer::resume(&corpus, options(folder.path(), 1)).unwrap());
    assert_eq!(model(&folder), model(&whole));
}

#[test]
fn regularised_training_learns() {
    let corpus = corpus();
    let folder = through(&corpus, REGULARISED, 1);
    let perplexities = validations(&folder).into_iter().map(|event| event["perplexity"].as_f64());
    let perplexities: Vec<f64> = perplexities.map(Option::unwrap).collect();
    assert!(perplexities[2] < 0.9 * perplexities[0], "{perplexities:?}");
}

#[test]
fn killed_and_resumed_is_uninterrupted() {
    let corpus = corpus();
    let whole = through(&corpus, ADAM, 1);
    // The last save before the kill, and the updates after it that are lost.
    for (saved, lost) in [(30, 5), (40, 40), (51, 1), (51, 60), (102, 200)] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("training_state.safetensors");
        sit(&mut start(&corpus, ADAM, folder.path(), 1), saved);
        let kept = fs::read(&state).unwrap();
        sit(&mut Trainer::resume(&corpus, options(folder.path(), 1)).unwrap(), lost);
        fs::write(&state, kept).unwrap();
        let metrics = folder.path().join("metrics.jsonl");
        let cut = fs::read_to_string(&metrics).unwrap() + r#"{"split":"train","epo"#;
        fs::write(&metrics, cut).unwrap();
        finish(Trainer::resume(&corpus, options(folder.path(), 1)).unwrap());
        assert_eq!(model(&folder), model(&whole), "saved at {saved}, {lost} lost");
        assert_eq!(events(&folder), events(&whole), "saved at {saved}, {lost} lost");
    }
}

#[test]
fn resuming_what_is_finished_changes_nothing() {
    let corpus = corpus();
    let folder = through(&corpus, SGD, 1);
    let before = (model(&folder), events(&folder));
    finish(Trainer::resume(&corpus, options(folder.path(), 1)).unwrap());
    assert_eq!((model(&folder), events(&folder)), before);
}

#[test]
fn other_data_and_taken_folders_are_refused() {
    let corpus = corpus();
    let folder = through(&corpus, &[("epochs", "1")], 1);
    let other = grammar::corpus(4, 6_000).unwrap();
    let message = |result: Result<Trainer, Error>| result.err().unwrap().to_string();
    let resumed = message(Trainer::resume(&other, options(folder.path(), 1)));
    assert!(resumed.contains("other data"), "{resumed}");
    let started = message(Trainer::start(&corpus, recipe(SGD), options(folder.path(), 1)));
    assert!(started.contains("holds a training already"), "{started}");
}

/// Mean negative log-likelihood of `text` by the frequencies of `train`, add-one smoothed.
fn unigram(train: &Split, text: &Split, types: usize) -> f64 {
    let mut counts = vec![1.0f64; types];
    train.ids.iter().for_each(|&id| counts[id as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    let nll = text.ids.iter().map(|&id| (total / counts[id as usize]).ln());
    nll.sum::<f64>() / text.ids.len() as f64
}

#[test]
fn learns_more_than_frequencies() {
    let corpus = corpus();
    let bound = unigram(&corpus.train, &corpus.valid, corpus.encoder.vocabulary().len());
    for settings in [SGD, ADAM] {
        let wide = [&[("hidden", "[32]"), ("embedding", "32"), ("epochs", "4")], settings];
        let folder = through(&corpus, &wide.concat(), 1);
        let last = validations(&folder).pop().unwrap()["loss"].as_f64().unwrap();
        assert!(last < bound - 0.1, "{settings:?}: {last}, frequencies {bound}");
    }
}

#[test]
fn divergence_is_reported_and_leaves_the_best_model() {
    let corpus = corpus();
    let folder = tempfile::tempdir().unwrap();
    // From recipes a rate so high is refused.
    let mut trainer = start(&corpus, &[("epochs", "3")], folder.path(), 1);
    trainer.config.recipe.train.schedule = Schedule::Exponential { after: 1, factor: 1e40 };
    let error = trainer.run(&|| false, &mut |_| ()).unwrap_err();
    let Error::Diverged { epoch: 2, update: 52.., .. } = error else { panic!("{error}") };
    assert!(error.to_string().contains("lower train.lr"), "{error}");
    assert!(error.to_string().contains("keeps the model of epoch 1"), "{error}");
    assert_eq!(model(&folder), model(&through(&corpus, &[("epochs", "1")], 1)));
    let best = Checkpoint::load(folder.path()).unwrap();
    let eos = best.encoder.vocabulary().eos();
    let valid = evaluate(&best.network, &best.parameters, &corpus.valid, eos).unwrap();
    assert_eq!(validations(&folder)[0]["loss"], valid.nll);
}

/// A model computes the same after it grew, and more units learn more.
#[test]
fn a_model_grows_without_a_change() {
    let corpus = corpus();
    let eos = corpus.encoder.vocabulary().eos();
    let valid = |model: &Checkpoint| {
        evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap().nll
    };
    let tied = [("tied", "true"), ("hidden", "[16, 12]"), ("epochs", "1")];
    for cell in ["lstm", "gru", "cifg"] {
        let folder = through(&corpus, &[&tied[..], &[("cell", cell)], ADAM].concat(), 1);
        let model = Checkpoint::load(folder.path()).unwrap();
        let before = valid(&model);
        for wider in [
            &[("hidden", "[20, 15]"), ("embedding", "15"), ("tied", "true")][..],
            &[("hidden", "[16, 21]"), ("embedding", "13"), ("tied", "false")],
            &[
                ("hidden", "[30, 24]"),
                ("cell_projection", "18"),
                ("embedding", "18"),
                ("tied", "true"),
            ],
        ] {
            if cell == "gru" && wider.iter().any(|(key, _)| *key == "cell_projection") {
                continue;
            }
            let shape = recipe(&[&[("cell", cell)], wider].concat()).model;
            let grown = grow(&model, &shape, 0.1, 7).unwrap();
            let after = valid(&grown);
            assert!((after - before).abs() < 1e-5, "{cell} {wider:?}: {before} became {after}");
        }
    }
    let lstm = through(&corpus, &[&tied[..], ADAM].concat(), 1);
    let model = Checkpoint::load(lstm.path()).unwrap();
    let wide =
        recipe(&[&[("hidden", "[32, 24]"), ("embedding", "24"), ("tied", "true")], ADAM].concat());
    let folder = tempfile::tempdir().unwrap();
    finish(Trainer::start_from(&corpus, &model, wide, options(folder.path(), 1)).unwrap());
    assert!(valid(&Checkpoint::load(folder.path()).unwrap()) < valid(&model) - 0.05);
    for narrower in [("hidden", "[16, 10]"), ("cell", "gru"), ("hidden", "[16]")] {
        let shape = recipe(&[("embedding", "12"), narrower]).model;
        let message = grow(&model, &shape, 0.1, 7).err().unwrap().to_string();
        assert!(message.contains("the model to start from"), "{message}");
    }
}

/// The shapes that the trainer and the runtime both know.
const SHAPES: [&[(&str, &str)]; 4] = [
    &[("cell", "lstm")],
    &[("cell", "gru")],
    &[("cell", "cifg"), ("cell_projection", "8")],
    &[("cell", "lstm"), ("projection", "12"), ("hidden", "[16, 20]"), ("tied", "true")],
];

/// A model with random numbers.
fn random(corpus: &Corpus, settings: &[(&str, &str)]) -> Checkpoint {
    let (encoder, recipe) = (corpus.encoder.clone(), recipe(settings));
    let (network, mut parameters) =
        Network::new(&recipe.model, encoder.vocabulary().len()).unwrap();
    initialise(&mut parameters, 0.5, 5);
    let (data_sha256, version) = (corpus.sha256(), "test".to_owned());
    let provenance =
        Provenance { data_sha256, train_tokens: 1, seed: 5, version, devices: Vec::new() };
    let config = Config::new(recipe, &encoder, provenance).unwrap();
    let (parametrization, _) = Parametrization::new(&config.forms, &parameters).unwrap();
    let leaves = parameters.clone();
    Checkpoint { config, encoder, network, parameters, leaves, parametrization }
}

/// The total negative log-likelihood in windows of `steps`.
fn total(model: &Checkpoint, split: &Split, steps: usize) -> f64 {
    let (network, weights) = (&model.network, &model.parameters);
    let mut state = network.zero_state(1);
    let streams = Streams::new(&split.ids, model.encoder.vocabulary().eos(), 1).unwrap();
    let window = |window: pocketlm_train::corpus::Window| {
        let mut buffers = network.window(window.steps, 1);
        network.forward(weights, &window.inputs, &mut state, &mut buffers, None);
        let losses = network.losses(weights, &window.targets, &buffers);
        losses.into_iter().map(f64::from).sum::<f64>()
    };
    streams.windows(steps).map(window).sum()
}

#[test]
fn evaluation_does_not_depend_on_windows() {
    let corpus = corpus();
    for settings in SHAPES {
        let model = random(&corpus, settings);
        let eos = model.encoder.vocabulary().eos();
        let whole = evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap();
        assert_eq!(whole.tokens as usize, corpus.valid.ids.len());
        for steps in [1, 7, 1000] {
            let nll = total(&model, &corpus.valid, steps) / whole.tokens as f64;
            assert!((nll / whole.nll - 1.0).abs() < 1e-6, "{settings:?} {nll} {}", whole.nll);
        }
    }
}

/// Evaluations of the test split by the trainer and by the runtime on the packed model, in f32.
fn both(model: &Checkpoint, corpus: &Corpus) -> (Evaluation, Score, Recall) {
    let vocabulary = model.encoder.vocabulary();
    let ours = evaluate(&model.network, &model.parameters, &corpus.test, vocabulary.eos()).unwrap();
    let packed = Model::from_bytes(pack_in_memory(model).unwrap()).unwrap();
    // The runtime sorts its vocabulary: ids are looked up by word.
    let id = |&id: &u32| packed.vocabulary().id(vocabulary.word(id).unwrap()).unwrap();
    let ids = corpus.test.ids.iter().map(id);
    let (score, recall) = Session::new(&packed).evaluate_with_recall(ids).unwrap();
    assert_eq!((score.tokens, recall.tokens), (ours.tokens, ours.tokens));
    (ours, score, recall)
}

fn recalls_agree(ours: &Evaluation, theirs: &Recall) {
    // Logits that differ in the last places may change places where they are as near as that: two tokens may.
    let tolerance = 2.5 / ours.tokens as f64;
    for (ours, theirs) in [(ours.recall_at_1, theirs.at(1)), (ours.recall_at_3, theirs.at(3))] {
        assert!((ours - theirs).abs() < tolerance, "{ours} {theirs}");
    }
}

#[test]
fn trainer_and_runtime_agree() {
    let corpus = corpus();
    for settings in SHAPES {
        let (ours, score, recall) = both(&random(&corpus, settings), &corpus);
        let ratio = score.perplexity() / ours.perplexity;
        assert!((ratio - 1.0).abs() < 1e-4, "{settings:?}: ratio of perplexities {ratio}");
        recalls_agree(&ours, &recall);
    }
}

#[test]
fn a_trained_model_recalls_as_much_on_the_runtime() {
    let corpus = corpus();
    let folder = through(&corpus, ADAM, 1);
    let (ours, _, recall) = both(&Checkpoint::load(folder.path()).unwrap(), &corpus);
    assert!(0.1 < ours.recall_at_1 && ours.recall_at_1 < ours.recall_at_3, "{ours:?}");
    recalls_agree(&ours, &recall);
}

/// One update of two windows: the parameters move by the mean of the two windows' gradients.
#[test]
fn accumulated_windows_make_the_mean_gradient() {
    let corpus = corpus();
    let settings = [("lr", "1.0"), ("dropout", "0.0"), ("clip", "0.0"), ("accumulate", "2")];
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&settings);
    let (model, train) = (recipe.model.clone(), recipe.train.clone());
    sit(&mut Trainer::start(&corpus, recipe, options(folder.path(), 1)).unwrap(), 1);
    let moved = Checkpoint::load(folder.path()).unwrap().parameters;

    let (network, mut parameters) =
        Network::new(&model, corpus.encoder.vocabulary().len()).unwrap();
    initialise(&mut parameters, train.init, 1);
    let eos = corpus.encoder.vocabulary().eos();
    let streams = Streams::new(&corpus.train.ids, eos, train.batch).unwrap();
    let mut state = network.zero_state(train.batch);
    let mut buffers = network.window(train.steps, train.batch);
    let mut expected = parameters.clone();
    for piece in streams.windows(train.steps).take(2) {
        let mut gradient = parameters.zeros_like();
        network.forward(&parameters, &piece.inputs, &mut state, &mut buffers, None);
        let (inputs, targets) = (&piece.inputs, &piece.targets);
        let scale = 1.0 / train.batch as f32;
        network.loss_and_gradients(
            &parameters,
            &mut gradient,
            inputs,
            targets,
            &mut buffers,
            scale,
        );
        expected.data.iter_mut().zip(&gradient.data).for_each(|(p, g)| *p -= 0.5 * g);
    }
    for (got, want) in moved.data.iter().zip(&expected.data) {
        assert!((got - want).abs() < 1e-5, "{got} {want}");
    }
}
