//! Training, compressing and packing, by the trainer itself.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pocketlm::pack::{Precision, create_file_with, write_file};
use pocketlm::raw::Case;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::compress::{Context, compress as compress_model};
use pocketlm_train::corpus::{Corpus, Encoder, Options as TextOptions};
use pocketlm_train::cuda::Device;
use pocketlm_train::error::{Error, Result};
use pocketlm_train::recipe::{CompressionRecipe, Draft, Recipe};
use pocketlm_train::train::{Event, Options, Outcome, Trainer, evaluate};
use pyo3::exceptions::{PyFileExistsError, PyKeyboardInterrupt};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::error::{check_exists, raise};

/// Time between two saves of a training within an epoch.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// What Python is told while work goes on without its lock, and what it says to that.
struct Watch {
    progress: Option<Py<PyAny>>,
    /// An interrupt, or what the callback raised: the work stops and this is raised.
    raised: RefCell<Option<PyErr>>,
}

impl Watch {
    fn new(progress: Option<Py<PyAny>>) -> Self {
        Self { progress, raised: RefCell::new(None) }
    }

    /// Whether to stop.
    fn stop(&self) -> bool {
        if self.raised.borrow().is_none()
            && let Err(error) = Python::attach(|py| py.check_signals())
        {
            *self.raised.borrow_mut() = Some(error);
        }
        self.raised.borrow().is_some()
    }

    /// Calls the callback with an event, as JSON.
    fn tell(&self, event: &impl serde::Serialize) {
        let Some(progress) = &self.progress else { return };
        if self.raised.borrow().is_some() {
            return;
        }
        let text = serde_json::to_string(event).unwrap_or_default();
        if let Err(error) = Python::attach(|py| progress.call1(py, (text,))) {
            *self.raised.borrow_mut() = Some(error);
        }
    }

    /// The end of the work: what was raised comes first.
    fn end<T>(self, done: Result<T>) -> PyResult<T> {
        match self.raised.into_inner() {
            Some(error) => Err(error),
            None => done.map_err(raise),
        }
    }
}

/// A number or a name as TOML has it.
fn setting(value: Value, key: &str) -> Result<toml::Value> {
    toml::Value::try_from(value).map_err(|e| Error::config(key, format!("is no setting: {e}")))
}

/// Puts the recipe of a training together: a base model, a file of settings, single settings.
fn recipe(base: &str, file: Option<&Path>, settings: &str) -> Result<Recipe> {
    let mut draft = Draft::base(base)?;
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        draft = draft.file(&path.display().to_string(), &text)?;
    }
    let settings: serde_json::Map<String, Value> = serde_json::from_str(settings)
        .map_err(|e| Error::config("settings", format!("are no settings: {e}")))?;
    for (key, value) in settings {
        draft = draft.value(&key, setting(value, &key)?)?;
    }
    draft.finish()
}

/// How text becomes tokens.
fn text_options(text: &Value) -> PyResult<TextOptions> {
    let name = |key: &str| text[key].as_str().unwrap_or_default().to_owned();
    let case = name("case");
    Ok(TextOptions {
        unit: name("unit").parse().map_err(raise)?,
        text: name("text").parse().map_err(raise)?,
        case: Case::from_name(&case)
            .ok_or_else(|| raise(format!("case {case:?} is none of true, keep, fold")))?,
        max_vocab: text["max_vocab"].as_u64().map(|n| n as usize),
        min_count: text["min_count"].as_u64(),
        unk: text["unk"].as_str().map(str::to_owned),
        tokenizer: text["tokenizer"].as_str().map(PathBuf::from),
    })
}

/// Trains; returns a report as JSON. `settings` and `text` are JSON too: see `__init__.py`.
#[pyfunction]
#[pyo3(signature = (data, out, *, model, recipe_file, settings, text, seed, resume, device, progress))]
#[expect(clippy::too_many_arguments, reason = "keywords, which the Python side documents")]
pub(crate) fn train(
    py: Python<'_>,
    data: PathBuf,
    out: PathBuf,
    model: &str,
    recipe_file: Option<PathBuf>,
    settings: &str,
    text: &str,
    seed: u64,
    resume: bool,
    device: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    check_exists(&data)?;
    let device: Device = device.parse().map_err(raise)?;
    let text: Value = serde_json::from_str(text).map_err(raise)?;
    let text = text_options(&text)?;
    py.detach(|| {
        let recipe = recipe(model, recipe_file.as_deref(), settings).map_err(raise)?;
        let corpus = if resume {
            Encoder::load(&out, text.unit).and_then(|encoder| Corpus::open_with(&data, encoder))
        } else {
            Corpus::open(&data, &text)
        };
        let corpus = corpus.map_err(raise)?;
        let options = Options { out: out.clone(), seed, save_every: SAVE_EVERY, device };
        let watch = Watch::new(progress);
        let done = run(&corpus, recipe, options, resume, &watch);
        let outcome = watch.end(done)?;
        if outcome == Outcome::Stopped {
            return Err(PyKeyboardInterrupt::new_err("stopped and saved; resume=True goes on"));
        }
        report(&corpus, &out).map_err(raise)
    })
}

fn run(
    corpus: &Corpus,
    recipe: Recipe,
    options: Options,
    resume: bool,
    watch: &Watch,
) -> Result<Outcome> {
    let mut trainer = if resume {
        Trainer::resume_with(corpus, &recipe, options)?
    } else {
        Trainer::start(corpus, recipe, options)?
    };
    // The first event of each tenth of an epoch, and every validation.
    let mut last = (0, 0);
    trainer.run(&|| watch.stop(), &mut |event: &Event| {
        let now = (event.epoch, (event.fraction * 10.0) as u64);
        if event.best.is_some() || now != last {
            last = now;
            watch.tell(event);
        }
    })
}

/// The trained model in figures, as JSON.
fn report(corpus: &Corpus, out: &Path) -> Result<String> {
    let model = Checkpoint::load(out)?;
    let eos = corpus.encoder.vocabulary().eos();
    let on = |split: &_| evaluate(&model.network, &model.parameters, split, eos);
    let test = if corpus.test.ids.is_empty() { Value::Null } else { json!(on(&corpus.test)?) };
    let report = json!({
        "parameters": model.parameters.data.len(),
        "vocabulary": model.config.vocabulary,
        "valid": on(&corpus.valid)?,
        "test": test,
        "notes": corpus.notes,
    });
    Ok(report.to_string())
}

/// Compresses a checkpoint into a packed file; returns the reports of the steps as JSON. `steps` is JSON too.
#[pyfunction]
#[pyo3(signature = (checkpoint, output, *, steps, recipe_file, data, work, checkpoint_out, force, device, progress))]
#[expect(clippy::too_many_arguments, reason = "keywords, which the Python side documents")]
pub(crate) fn compress(
    py: Python<'_>,
    checkpoint: PathBuf,
    output: PathBuf,
    steps: Option<&str>,
    recipe_file: Option<PathBuf>,
    data: Option<PathBuf>,
    work: Option<PathBuf>,
    checkpoint_out: Option<PathBuf>,
    force: bool,
    device: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    check_exists(&checkpoint)?;
    check_output(&output, force)?;
    let device: Device = device.parse().map_err(raise)?;
    py.detach(|| {
        let recipe = compression(steps, recipe_file.as_deref()).map_err(raise)?;
        let model = Checkpoint::load(&checkpoint).map_err(raise)?;
        let open = |data: &PathBuf| Corpus::open_with(data, model.encoder.clone());
        let corpus = data.as_ref().map(open).transpose().map_err(raise)?;
        let beside = output.with_extension("compress");
        let watch = Watch::new(progress);
        let context = Context {
            corpus: corpus.as_ref(),
            work: work.as_ref().unwrap_or(&beside),
            device,
            step: 0,
            stop: &|| watch.stop(),
            observe: &|event| watch.tell(event),
        };
        let done = compress_model(model, &recipe, &context, &mut |report| watch.tell(report));
        let (compressed, reports) = watch.end(done)?;
        if let Some(folder) = &checkpoint_out {
            compressed.save(folder).map_err(raise)?;
        }
        let bytes = pocketlm_train::pack::pack(&compressed, None, Vec::new()).map_err(raise)?;
        write(&output, &bytes, force)?;
        if work.is_none() && beside.is_dir() {
            std::fs::remove_dir_all(&beside)?;
        }
        Ok(json!(reports).to_string())
    })
}

fn compression(steps: Option<&str>, file: Option<&Path>) -> Result<CompressionRecipe> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        return CompressionRecipe::parse(&path.display().to_string(), &text);
    }
    let steps: Value = serde_json::from_str(steps.unwrap_or("[]"))
        .map_err(|e| Error::config("steps", format!("are no steps: {e}")))?;
    let fault = |e: toml::ser::Error| Error::config("steps", format!("are no steps: {e}"));
    let text = toml::to_string(&json!({ "step": steps })).map_err(fault)?;
    CompressionRecipe::parse("steps", &text)
}

/// Packs a checkpoint; returns the bytes of the file.
#[pyfunction]
#[pyo3(signature = (checkpoint, output, *, precision, entropy, force))]
pub(crate) fn pack(
    py: Python<'_>,
    checkpoint: PathBuf,
    output: PathBuf,
    precision: Option<&str>,
    entropy: bool,
    force: bool,
) -> PyResult<usize> {
    check_exists(&checkpoint)?;
    check_output(&output, force)?;
    let names = || Precision::ALL.map(Precision::name).join(", ");
    let unknown = |name: &str| raise(format!("{name:?} is no precision: choose {}", names()));
    let named = |name: &str| Precision::from_name(name).ok_or_else(|| unknown(name));
    let precision = precision.map(named).transpose()?;
    py.detach(|| {
        let mut model = Checkpoint::load(&checkpoint).map_err(raise)?;
        model.config.forms.entropy |= entropy;
        // As the command does: int8, but for a compressed model, whose recipe says what it is stored in.
        let precision = precision.or(model.config.forms.is_plain().then_some(Precision::Int8));
        let bytes = pocketlm_train::pack::pack(&model, precision, Vec::new()).map_err(raise)?;
        write(&output, &bytes, force)?;
        Ok(bytes.len())
    })
}

/// Refuses, before any work, a file that is there.
fn check_output(path: &Path, force: bool) -> PyResult<()> {
    if path.exists() && !force {
        let what = format!("{} exists: give force=True to replace it", path.display());
        return Err(PyFileExistsError::new_err(what));
    }
    Ok(())
}

/// Writes a file that is there whole or not at all.
fn write(path: &Path, bytes: &[u8], force: bool) -> PyResult<()> {
    if force {
        return write_file(path, bytes).map_err(raise);
    }
    Ok(create_file_with(path, |file| file.write_all(bytes))?)
}
