//! Evaluation of a model of any form on a split of any text.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use pocketlm::{Model, Session};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Encoder, Source, Split, Unit, Vocabulary};
use pocketlm_train::evaluate::{Evaluation, evaluate};
use serde::Serialize;

/// One row of `pocketlm eval`.
#[derive(Serialize)]
pub struct Row {
    /// The model's path.
    pub model: PathBuf,
    /// The data's path.
    pub data: PathBuf,
    /// `train`, `valid` or `test`.
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

/// Evaluates a checkpoint or a packed file on some splits of `data`: a checkpoint by the trainer's own network,
/// a packed file by the runtime on its bytes.
pub fn rows(path: &Path, data: &Path, splits: &[&'static str]) -> Result<Vec<Row>> {
    if path.is_dir() {
        let model = Checkpoint::load(path)?;
        let eos = model.encoder.vocabulary().eos();
        let read = |source: &Source| Ok(model.encoder.read(source)?);
        let run = |text: &Split| Ok(evaluate(&model.network, &model.parameters, text, eos)?);
        return each_split(path, data, splits, read, run);
    }
    let model = Model::open(path)?;
    let read = |source: &Source| packed_split(&model, source);
    let run = |text: &Split| {
        let (score, recall) =
            Session::new(&model).evaluate_with_recall(text.ids.iter().copied())?;
        Ok(Evaluation::new(score.nll, recall, text))
    };
    each_split(path, data, splits, read, run)
}

/// A text as the token ids of a packed model.
pub fn packed_split(model: &Model, source: &Source) -> Result<Split> {
    let vocabulary = model.vocabulary();
    let unit = match vocabulary.unit() {
        pocketlm::Unit::Character => Unit::Char,
        _ => Unit::Word,
    };
    let types = Vocabulary::from_words(vocabulary.words(), source.path())?;
    Ok(Encoder::closed(unit, types).read(source)?)
}

fn each_split(
    path: &Path,
    data: &Path,
    splits: &[&'static str],
    read: impl Fn(&Source) -> Result<Split>,
    run: impl Fn(&Split) -> Result<Evaluation>,
) -> Result<Vec<Row>> {
    let row = |split: &&'static str| -> Result<Row> {
        let text = read(&Source::split(data, split)?)?;
        let start = Instant::now();
        let evaluation = run(&text)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Row {
            model: path.to_owned(),
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
