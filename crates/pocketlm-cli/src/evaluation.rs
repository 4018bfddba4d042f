//! Evaluation of a model of any form on a split of any text.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::Source;
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

/// Evaluates a checkpoint on some splits of `data`.
pub fn rows(path: &Path, data: &Path, splits: &[&'static str]) -> Result<Vec<Row>> {
    let model = Checkpoint::load(path)?;
    let eos = model.encoder.vocabulary().eos();
    let row = |split: &&'static str| -> Result<Row> {
        let text = model.encoder.read(&Source::split(data, split)?)?;
        let start = Instant::now();
        let evaluation = evaluate(&model.network, &model.parameters, &text, eos)?;
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
