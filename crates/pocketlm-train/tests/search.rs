//! Searches from end to end: within their limits, the same when interrupted, refused before any work.

mod common;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use common::sit;
use pocketlm::{Model, Precision};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::compress::{Context, compress};
use pocketlm_train::corpus::Corpus;
use pocketlm_train::cuda::Device;
use pocketlm_train::error::{Error, Result};
use pocketlm_train::grammar;
use pocketlm_train::pack::{pack, pack_in_memory};
use pocketlm_train::recipe::{CompressionRecipe, Draft};
use pocketlm_train::search::{Found, Progress, Settings, search};
use pocketlm_train::train::{Options, Trainer};

/// A small model and its text.
fn trained() -> (Checkpoint, Corpus) {
    let corpus = grammar::corpus(3, 6_000).unwrap();
    let text = "[model]\nembedding = 16\nhidden = [16]\n\
                [train]\nbatch = 10\nsteps = 12\nepochs = 3\ndropout = 0.1\nlr = 1.0\n";
    let recipe =
        Draft::base("zaremba-small").unwrap().file("test", text).unwrap().finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_owned();
    let options = Options { out, seed: 1, save_every: Duration::MAX, device: Device::Cpu };
    let mut trainer = Trainer::start(&corpus, recipe, options).unwrap();
    assert!(sit(&mut trainer, usize::MAX));
    (Checkpoint::load(folder.path()).unwrap(), corpus)
}

fn settings(model: &Checkpoint, share: f64) -> Settings {
    let int8 = pack(model, Some(Precision::Int8), Vec::new()).unwrap().len();
    let budget = (share * int8 as f64) as usize;
    Settings { budget, latency: None, fine_tune: None, rounds: 2 }
}

fn run(
    (model, corpus): &(Checkpoint, Corpus),
    settings: &Settings,
    work: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Found> {
    let (corpus, device) = (Some(corpus), Device::Cpu);
    let context = Context { corpus, work, device, step: 0, stop, observe: &|_| () };
    search(model, settings, &context, &mut |_| ())
}

fn found(trained: &(Checkpoint, Corpus), settings: &Settings) -> Found {
    let work = tempfile::tempdir().unwrap();
    run(trained, settings, work.path(), &|| false).unwrap()
}

/// The loss of the best model within the budget.
fn best(found: &Found, budget: usize) -> f64 {
    let fits = found.models.iter().filter(|model| model.bytes <= budget);
    fits.map(|model| model.valid).fold(f64::INFINITY, f64::min)
}

#[test]
fn what_is_found_fits_and_is_the_best_that_was_tried() {
    let trained = trained();
    let settings = settings(&trained.0, 0.75);
    let found = found(&trained, &settings);
    let bytes = pack_in_memory(&found.model).unwrap();
    assert!(bytes.len() <= settings.budget, "{} {}", bytes.len(), settings.budget);
    // The first is the one of uniform rates.
    let least = best(&found, settings.budget);
    assert!(least <= found.models[0].valid);
    let recipe = found.recipe.to_toml();
    let own = found.models.iter().find(|model| model.recipe == recipe).unwrap();
    assert_eq!(own.valid, least);
    assert_eq!(found.explanations.len(), 4, "each matrix is explained");
    let ratio = bytes.len() as f64 / own.bytes as f64;
    assert!((0.95..=1.0).contains(&ratio), "{ratio}");
}

#[test]
fn the_recipe_makes_the_same_bytes_by_compress() {
    let trained = trained();
    let mut settings = settings(&trained.0, 0.7);
    settings.fine_tune = Some("epochs = 1\nlr = 0.1".parse().unwrap());
    let found = found(&trained, &settings);
    let recipe = CompressionRecipe::parse("found", &found.recipe.to_toml()).unwrap();
    let work = tempfile::tempdir().unwrap();
    let context = Context {
        corpus: Some(&trained.1),
        work: work.path(),
        device: Device::Cpu,
        step: 0,
        stop: &|| false,
        observe: &|_| (),
    };
    let (model, _) = compress(trained.0.clone(), &recipe, &context, &mut |_| ()).unwrap();
    assert!(pack_in_memory(&model).unwrap() == pack_in_memory(&found.model).unwrap());
}

#[test]
fn an_interrupted_search_ends_at_the_same_bytes() {
    let trained = trained();
    let mut settings = settings(&trained.0, 0.6);
    settings.fine_tune = Some("epochs = 2\nlr = 0.1".parse().unwrap());
    let whole = found(&trained, &settings);
    let work = tempfile::tempdir().unwrap();
    let mut sittings = 0;
    let pieces = loop {
        sittings += 1;
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 45
        };
        match run(&trained, &settings, work.path(), &stop) {
            Ok(found) => break found,
            Err(Error::Stopped { .. }) => {
                let best = std::fs::read(work.path().join("best.plm")).unwrap();
                Model::from_bytes(best).unwrap();
                // As if the power had failed in the middle of a line.
                let path = work.path().join("search.jsonl");
                let text = std::fs::read(&path).unwrap();
                std::fs::write(&path, &text[..text.len() - 7]).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
        assert!(sittings < 100, "it goes on");
    };
    assert!(sittings > 3, "{sittings}");
    assert_eq!(pieces.recipe, whole.recipe);
    assert!(pack_in_memory(&pieces.model).unwrap() == pack_in_memory(&whole.model).unwrap());
    assert_eq!(pieces.forms, whole.forms);
    assert_eq!(pieces.models, whole.models);
}

#[test]
fn a_budget_that_cannot_be_met_names_the_smallest_that_can() {
    let trained = trained();
    let refused = |budget| {
        let work = tempfile::tempdir().unwrap();
        let settings = Settings { budget, latency: None, fine_tune: None, rounds: 1 };
        let error = run(&trained, &settings, work.path(), &|| panic!("work was begun"));
        error.err().unwrap().to_string()
    };
    // Not even the vocabulary fits the first one.
    let message = refused(500);
    let least: usize = {
        let (_, rest) = message.split_once("the smallest possible is ").unwrap();
        rest.split_once(',').unwrap().0.parse().unwrap()
    };
    assert!(message.starts_with("--budget is 500") && message.contains("words"), "{message}");
    assert!(refused(least - 1).contains("the smallest possible"));
}

/// A time that every model keeps changes nothing but that times are told, and one that none keeps is refused.
#[test]
fn latency_is_predicted_measured_and_kept() {
    let trained = trained();
    let mut settings = settings(&trained.0, 0.75);
    (settings.latency, settings.rounds) = (Some(1e9), 1);
    let found = found(&trained, &settings);
    assert!(found.models.iter().all(|model| model.micros.iter().all(|&micros| micros > 0.0)));
    settings.latency = Some(1e-3);
    let work = tempfile::tempdir().unwrap();
    let message = run(&trained, &settings, work.path(), &|| false).err().unwrap().to_string();
    assert!(
        message.contains("--latency") && message.contains("the shortest is about"),
        "{message}"
    );
}

#[test]
fn progress_says_what_was_measured() {
    let trained = trained();
    let settings = Settings { rounds: 1, ..settings(&trained.0, 0.75) };
    let work = tempfile::tempdir().unwrap();
    let (corpus, device) = (Some(&trained.1), Device::Cpu);
    let (stop, observe) = (&|| false, &|_: &_| ());
    let context = Context { corpus, work: work.path(), device, step: 0, stop, observe };
    let (mut forms, mut models, mut frontiers) = (0, 0, Vec::new());
    let mut see = |progress: &Progress| match progress {
        Progress::Form(_, left) => forms += usize::from(*left >= 0.0),
        Progress::Model(..) => models += 1,
        Progress::Frontier(points) => frontiers = points.to_vec(),
    };
    let found = search(&trained.0, &settings, &context, &mut see).unwrap();
    // The forms that the matrices have at first are not told, and no model is made twice.
    assert_eq!([forms, models], [found.forms.len() - 4, found.models.len()]);
    assert!((2..=4).contains(&models), "{models}");
    // More bytes promise less loss.
    assert!(frontiers.len() > 3);
    assert!(frontiers.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 >= pair[1].1));
}
