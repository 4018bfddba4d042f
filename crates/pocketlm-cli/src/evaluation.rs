//! Evaluation of a model of any form on a split of any text.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use pocketlm::pack::Notes;
use pocketlm::{Model, Session};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Encoder, Source, Split};
use pocketlm_train::cuda::{Device, Twin};
use pocketlm_train::ngram::mix;
use pocketlm_train::train::{Evaluation, Sums, evaluate_on};
use serde::Serialize;

use crate::model::{Loaded, check_exists};

/// Stands for a split where a single file is measured whole.
pub const WHOLE: &str = "all";

/// One row of `pocketlm eval`.
#[derive(Serialize)]
pub struct Row {
    /// The model's path.
    #[serde(serialize_with = "crate::output::lossy")]
    pub model: PathBuf,
    /// The data's path.
    #[serde(serialize_with = "crate::output::lossy")]
    pub data: PathBuf,
    /// The model that it is mixed with, and that one's weight.
    #[serde(flatten)]
    pub mix: Option<Mixture>,
    /// `train`, `valid` or `test`; `all` of a single file.
    pub split: &'static str,
    /// SHA-256 of the split's text.
    pub sha256: String,
    /// Quality.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Seconds of the evaluation, reading not included.
    pub seconds: f64,
    /// Tokens over seconds.
    pub tokens_per_second: f64,
}

impl Row {
    /// What was evaluated, for people.
    pub fn name(&self) -> String {
        let model = self.model.display();
        match &self.mix {
            None => model.to_string(),
            Some(Mixture { mix, weight }) => format!("{model} + {weight:.3} {}", mix.display()),
        }
    }
}

/// The second model of a mixture.
#[derive(Clone, Serialize)]
pub struct Mixture {
    /// Its path.
    #[serde(serialize_with = "crate::output::lossy")]
    mix: PathBuf,
    /// Its share of the probability.
    weight: f64,
}

/// Evaluates a checkpoint or a packed file on some splits of `data`: a checkpoint by the trainer's own network on the
/// device, a packed file by the runtime on its bytes.
pub fn rows(path: &Path, data: &Path, splits: &[&'static str], device: Device) -> Result<Vec<Row>> {
    check_exists(path)?;
    if path.is_dir() {
        let model = Checkpoint::load(path)?;
        let eos = model.encoder.vocabulary().eos();
        let read = |source: &Source| Ok(model.encoder.read(source)?);
        let (network, weights) = (&model.network, &model.parameters);
        let twin = RefCell::new(Twin::open(device, network, weights)?);
        let run = |text: &Split| {
            Ok(evaluate_on(twin.borrow_mut().as_mut(), network, weights, text, eos)?)
        };
        return each_split((path, None), data, splits, read, run);
    }
    if device != Device::Cpu {
        bail!("{}: a packed file runs on the processor: leave out --device", path.display());
    }
    packed_rows(path, &Model::open(path)?, data, splits)
}

/// The same of a packed model that is open already; `path` stands for it.
pub fn packed_rows(
    path: &Path,
    model: &Model,
    data: &Path,
    splits: &[&'static str],
) -> Result<Vec<Row>> {
    run_rows((path, None), model, data, splits)
}

fn run_rows(
    name: (&Path, Option<Mixture>),
    model: &Model,
    data: &Path,
    splits: &[&'static str],
) -> Result<Vec<Row>> {
    let read = |source: &Source| packed_split(model, source);
    let run = |text: &Split| {
        let (mut sums, mut tokens) = (Sums::default(), text.ids.iter());
        Session::new(model).evaluate_ranks(text.ids.iter().copied(), |log_probability, rank| {
            if let Some(&token) = tokens.next() {
                sums.add(text, token, -log_probability, rank);
            }
        })?;
        Ok(Evaluation::new(&sums, text))
    };
    each_split(name, data, splits, read, run)
}

/// Refuses a checkpoint or a packed file that cannot be measured on a split of `data`, without measuring it.
pub fn check_measurable(path: &Path, data: &Path, split: &'static str) -> Result<()> {
    check_exists(path)?;
    let source = source(data, split)?;
    let read = || -> Result<Split> {
        if path.is_dir() {
            return Ok(Checkpoint::load(path)?.encoder.read(&source)?);
        }
        packed_split(&Model::open(path)?, &source)
    };
    read().map(drop)
}

/// A split of `data`, or the whole of a single file.
pub fn source(data: &Path, split: &'static str) -> Result<Source> {
    Ok(if split == WHOLE { Source::whole(data)? } else { Source::split(data, split)? })
}

/// Evaluates the mixture of two models, each by the runtime. Without a weight it is the one that makes the valid split
/// of `data` likeliest.
pub fn mixed_rows(
    path: &Path,
    second: &Path,
    weight: Option<f64>,
    data: &Path,
    splits: &[&'static str],
) -> Result<Vec<Row>> {
    let models = open_alike(&[path, second])?;
    let weight = match weight {
        Some(weight) => weight,
        None => fitted(&models, data)?[1],
    };
    let name = (path, Some(Mixture { mix: second.to_owned(), weight }));
    run_rows(name, &mixed(&models, &[1.0 - weight, weight])?, data, splits)
}

/// Opens models that must have the same words.
pub fn open_alike(paths: &[&Path]) -> Result<Vec<Loaded>> {
    let models: Vec<Loaded> = paths.iter().map(|path| Loaded::open(path)).collect::<Result<_>>()?;
    for (at, other) in models.iter().enumerate().skip(1) {
        check_alike((paths[0], &models[0]), (paths[at], other))?;
    }
    Ok(models)
}

/// Refuses two models that do not have the same words.
fn check_alike(first: (&Path, &Loaded), second: (&Path, &Loaded)) -> Result<()> {
    let [own, other] = [first.1, second.1].map(|loaded| loaded.model.vocabulary().unit());
    if own != other {
        bail!(
            "only models that cut text alike can be mixed: {} is of the unit {own}, {} of {other}; make both from \
             the same training text with the same --text and --case",
            first.0.display(),
            second.0.display()
        );
    }
    let [own, other] = [first.1, second.1]
        .map(|loaded| -> BTreeSet<Vec<u8>> { loaded.model.vocabulary().all_bytes().collect() });
    if let Some(word) = own.symmetric_difference(&other).next() {
        let (has, lacks) =
            if own.contains(word) { (first.0, second.0) } else { (second.0, first.0) };
        bail!(
            "only models over the same words can be mixed: {} has {:?}, {} does not; make both from the same \
             training text",
            has.display(),
            String::from_utf8_lossy(word),
            lacks.display()
        );
    }
    Ok(())
}

/// The weights that make the validation split of `data` likeliest.
pub fn fitted(models: &[Loaded], data: &Path) -> Result<Vec<f64>> {
    let text = packed_split(&models[0].model, &Source::split(data, "valid")?)?;
    // The same words have the same ids, which are ranks.
    let say = |loaded: &Loaded| -> Result<Vec<f64>> {
        let mut all = Vec::with_capacity(text.ids.len());
        Session::new(&loaded.model)
            .evaluate_each(text.ids.iter().copied(), |each| all.push(each))?;
        Ok(all)
    };
    Ok(mix::weights(&models.iter().map(say).collect::<Result<Vec<_>>>()?))
}

/// The mixture of models in memory.
pub fn mixed(models: &[Loaded], weights: &[f64]) -> Result<Model> {
    Ok(Model::from_bytes(packed_mixture(models, weights, &Notes::default())?)?)
}

/// The mixture of models as a packed file.
pub fn packed_mixture(models: &[Loaded], weights: &[f64], notes: &Notes) -> Result<Vec<u8>> {
    let parts = weights.iter().copied().zip(models.iter().map(|loaded| &loaded.model));
    Ok(pocketlm::pack::mixture(&parts.collect::<Vec<_>>(), notes)?)
}

/// A text as the token ids of a packed model.
pub fn packed_split(model: &Model, source: &Source) -> Result<Split> {
    Ok(Encoder::packed(model, source.path())?.read(source)?)
}

fn each_split(
    (path, mix): (&Path, Option<Mixture>),
    data: &Path,
    splits: &[&'static str],
    read: impl Fn(&Source) -> Result<Split>,
    run: impl Fn(&Split) -> Result<Evaluation>,
) -> Result<Vec<Row>> {
    let row = |split: &&'static str| -> Result<Row> {
        let text = read(&source(data, split)?)?;
        let start = Instant::now();
        let evaluation = run(&text)?;
        if !evaluation.nll.is_finite() {
            bail!("{}: the model's output is not finite: its numbers overflow", path.display());
        }
        let seconds = start.elapsed().as_secs_f64();
        if !evaluation.nll.is_finite() {
            let (path, data) = (path.display(), data.display());
            bail!("{path}: its output is not finite on {data}: the numbers of the model overflow");
        }
        Ok(Row {
            model: path.to_owned(),
            mix: mix.clone(),
            data: data.to_owned(),
            split,
            sha256: text.sha256,
            evaluation,
            seconds,
            tokens_per_second: evaluation.tokens as f64 / seconds,
        })
    };
    splits.iter().map(row).collect()
}
