//! A uRNN as a whole: its recurrent matrices are unitary and stay so, it learns, is resumed, packed, compressed and
//! run like any other, and what it cannot be is refused.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::sit;
use pocketlm::Model;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::compress::{Context, compress, packed_loss};
use pocketlm_train::corpus::Corpus;
use pocketlm_train::cuda::Device;
use pocketlm_train::error::Error;
use pocketlm_train::grammar;
use pocketlm_train::matrix::Parametrization;
use pocketlm_train::network::Network;
use pocketlm_train::pack::pack;
use pocketlm_train::recipe::CompressionRecipe;
use pocketlm_train::recipe::{Draft, Recipe};
use pocketlm_train::train::evaluate;
use pocketlm_train::train::{Options, Trainer};
use tempfile::TempDir;

/// An epoch is 51 updates.
const SMALL: &str = "[model]\nembedding = 12\nhidden = [32, 16]\nprojection = 12\ntied = true\n\
    [train]\nbatch = 10\nsteps = 12\nepochs = 2\nlr = 0.003\ndropout = 0.1\n";

fn corpus() -> Corpus {
    grammar::corpus(3, 6_000).unwrap()
}

fn draft() -> Draft {
    Draft::base("urnn").unwrap().file("test", SMALL).unwrap()
}

fn options(folder: &Path) -> Options {
    Options { out: folder.to_owned(), seed: 1, save_every: Duration::MAX, device: Device::Cpu }
}

fn trained(corpus: &Corpus, recipe: Recipe) -> (TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::start(corpus, recipe, options(folder.path())).unwrap();
    assert!(sit(&mut trainer, usize::MAX));
    let model = Checkpoint::load(folder.path()).unwrap();
    (folder, model)
}

/// The Euclidean norm of `UᵀU − I` for each recurrent matrix U.
fn distances_from_unitary(model: &Checkpoint) -> Vec<f64> {
    let entries = model.parameters.entries().iter();
    let recurrent = entries.filter(|entry| entry.name.ends_with("recurrent"));
    let distance = |entry: &pocketlm_train::linear::Entry| {
        let (u, size) = (&model.parameters.data[entry.range.clone()], entry.columns);
        let element = |at: usize| {
            let columns = (0..size).map(|k| [u[k * size + at / size], u[k * size + at % size]]);
            let sum: f64 = columns.map(|[a, b]| f64::from(a) * f64::from(b)).sum();
            sum - f64::from(u8::from(at / size == at % size))
        };
        (0..size * size).map(|at| element(at).powi(2)).sum::<f64>().sqrt()
    };
    recurrent.map(distance).collect()
}

#[test]
fn recurrent_matrices_stay_unitary_through_a_thousand_updates() {
    let corpus = corpus();
    let (_folder, start) = trained(&corpus, draft().set("epochs", "1").unwrap().finish().unwrap());
    let (_folder, model) = trained(&corpus, draft().set("epochs", "20").unwrap().finish().unwrap());
    assert_eq!(model.config.forms.structures.len(), 2);
    for (now, then) in model.leaves.entries().iter().zip(start.leaves.entries()) {
        let [now, then] =
            [&model.leaves.data[now.range.clone()], &start.leaves.data[then.range.clone()]];
        assert!(now.iter().zip(then).any(|(a, b)| (a - b).abs() > 0.003), "has moved");
    }
    let distances = distances_from_unitary(&model);
    assert!(distances.len() == 2 && distances.iter().all(|&far| far < 1e-5), "{distances:?}");
}

/// Section 4.3.
#[test]
fn it_starts_as_the_paper_has_it() {
    let recipe = draft().finish().unwrap();
    let (network, dense) = Network::new(&recipe.model, 50).unwrap();
    let (parametrization, mut leaves) =
        Parametrization::new(&recipe.forms(50).unwrap(), &dense).unwrap();
    parametrization.initialise(&mut leaves, recipe.train.init, 1);
    network.offset(&mut leaves, 1.0);
    let numbers = |name: &str| &leaves.data[leaves.find(name).unwrap().range.clone()];
    let most = |name: &str| numbers(name).iter().fold(0.0f32, |most, x| most.max(x.abs()));
    assert!(numbers("cell.0.bias").len() == 16 && most("cell.0.bias") == 0.0);
    assert!((2.5..std::f32::consts::PI).contains(&most("cell.0.recurrent.phases")));
    assert!((0.8..1.0).contains(&most("cell.0.recurrent.reflections")));
    assert!((0.08..0.09).contains(&most("cell.0.input")));
}

/// It takes more text than the other tests have: until the biases have fallen, nothing is ever forgotten.
#[test]
fn it_learns_as_well_as_an_lstm() {
    let corpus = grammar::corpus(3, 60_000).unwrap();
    let eos = corpus.encoder.vocabulary().eos();
    let perplexity = |cell: &str, hidden: &str| {
        let draft = draft().set("cell", cell).unwrap().set("hidden", hidden).unwrap();
        let draft = draft.set("epochs", "3").unwrap().set("lr", "0.01").unwrap();
        let (_folder, model) =
            trained(&corpus, draft.set("dropout", "0.0").unwrap().finish().unwrap());
        evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap().perplexity
    };
    let (urnn, lstm) = (perplexity("urnn", "[64]"), perplexity("lstm", "[16]"));
    assert!(urnn < 1.2 * lstm, "{urnn} {lstm}");
}

#[test]
fn stopped_and_resumed_is_uninterrupted() {
    let corpus = corpus();
    let recipe = draft().set("state_reset", "0.1").unwrap().finish().unwrap();
    let (whole, _) = trained(&corpus, recipe.clone());
    let folder = tempfile::tempdir().unwrap();
    let start = Trainer::start(&corpus, recipe, options(folder.path()));
    let mut finished = sit(&mut start.unwrap(), 10);
    for updates in [41, 500] {
        assert!(!finished);
        let mut trainer = Trainer::resume(&corpus, options(folder.path())).unwrap();
        finished = sit(&mut trainer, updates);
    }
    assert!(finished);
    let bytes = |folder: &TempDir| fs::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(bytes(&folder), bytes(&whole));
}

fn run(model: Checkpoint, corpus: &Corpus, steps: &str) -> Result<Checkpoint, Error> {
    let work = tempfile::tempdir().unwrap();
    let recipe = CompressionRecipe::parse("test", steps).unwrap();
    let (stop, work) = (&|| false, work.path());
    let (corpus, device) = (Some(corpus), Device::Cpu);
    let context = Context { corpus, work, device, step: 0, stop, observe: &|_| () };
    compress(model, &recipe, &context, &mut |_| ()).map(|(model, _)| model)
}

#[test]
fn packed_it_is_the_model_that_was_trained() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, draft().finish().unwrap());
    let int8 = "[[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int8\"\n";
    let tuned = int8.to_owned() + "[[step]]\nmethod = \"fine-tune\"\nepochs = 1\nlr = 0.001\n";
    let low_rank = "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"*.input\"]\nrank = 6\n";
    let eos = corpus.encoder.vocabulary().eos();
    for (steps, tolerance) in [(low_rank, 1e-5), (int8, 0.02), (&tuned, 0.02)] {
        let model = run(Checkpoint::load(folder.path()).unwrap(), &corpus, steps).unwrap();
        assert!(distances_from_unitary(&model).iter().all(|&far| far < 1e-5), "{steps}");
        let bytes = pack(&model, None, Vec::new()).unwrap();
        let packed = Model::from_bytes(bytes.clone()).unwrap();
        packed.verify().unwrap();
        recurrences_agree(&model, &packed);
        let ours = evaluate(&model.network, &model.parameters, &corpus.valid, eos).unwrap();
        let theirs = packed_loss(bytes, &model, &corpus.valid).unwrap();
        assert!((ours.nll / theirs - 1.0).abs() < tolerance, "{steps}: {} {theirs}", ours.nll);
    }
}

fn recurrences_agree(model: &Checkpoint, packed: &Model) {
    for name in ["cell.0.recurrent", "cell.1.recurrent"] {
        let entry = model.parameters.find(name).unwrap();
        let (numbers, mut row) =
            (&model.parameters.data[entry.range.clone()], vec![0.0; entry.columns]);
        for (at, ours) in numbers.chunks_exact(entry.columns).enumerate() {
            packed.row(name, at, &mut row).unwrap();
            assert!(ours.iter().zip(&row).all(|(a, b)| (a - b).abs() < 2e-6), "{name} {at}");
        }
    }
}

#[test]
fn what_it_cannot_be_is_refused_with_the_key() {
    for (key, value, says) in [
        ("hidden", "[32, 24]", "model.hidden has 24"),
        ("cell_projection", "8", "model.cell_projection"),
        ("layer_norm", "true", "model.layer_norm"),
        ("mogrifier", "2", "model.mogrifier"),
        ("weight_drop", "0.2", "train.weight_drop"),
        ("variational.state", "0.2", "train.variational.state"),
    ] {
        let message = draft().set(key, value).unwrap().finish().unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
    let text = "[[form]]\nmethod = \"low-rank\"\nmatrices = [\"*.recurrent\"]\nrank = 4\n";
    let recipe = draft().file("test", text).unwrap().finish().unwrap();
    let message = recipe.forms(50).unwrap_err().to_string();
    assert!(message.contains("cell.0.recurrent"), "{message}");
}

#[test]
fn steps_that_would_take_it_apart_are_refused() {
    let corpus = corpus();
    let (folder, _) = trained(&corpus, draft().set("epochs", "1").unwrap().finish().unwrap());
    for (steps, says) in [
        ("method = \"remove-units\"\nfraction = 0.5\n", "cell.0.recurrent"),
        ("method = \"shared-low-rank\"\nrank = 4\n", "urnn"),
        (
            "method = \"block-circulant\"\nmatrices = [\"*.recurrent\"]\nblock = 4\n",
            "cell.0.recurrent",
        ),
    ] {
        let model = Checkpoint::load(folder.path()).unwrap();
        let found = run(model, &corpus, &format!("[[step]]\n{steps}"));
        let message = found.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains(says), "{steps}: {message}");
    }
}
