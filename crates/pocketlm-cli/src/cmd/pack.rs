//! `pocketlm pack`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use pocketlm::pack::Precision;
use pocketlm::{Model, Perplexity, Session};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::Source;
use pocketlm_train::pack::pack;

use crate::model::check_exists;
use crate::output::Output;

/// Pack a trained model into one file for the device.
///
/// Example: pocketlm pack runs/small -o small.plm --precision int8 --data data/ptb
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the checkpoint.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// File to write; - for standard output.
    #[arg(short, long, value_name = "NAME.plm")]
    output: PathBuf,
    /// Precision of every matrix (default: int8; for a compressed checkpoint what its recipe says).
    #[arg(long, value_parser = precision, help = help())]
    precision: Option<Precision>,
    /// Entropy-code the file: smaller, slower to open, the same model to the bit.
    #[arg(long)]
    entropy: bool,
    /// Measure the packed model on this text and store the figures in the file: the valid and test splits of a folder,
    /// or the whole of a file.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

/// The precision of this name, as flags take it.
pub fn precision(name: &str) -> Result<Precision, String> {
    Precision::from_name(name).ok_or_else(|| format!("choose {}", Precision::list(|_| true)))
}

fn help() -> String {
    format!(
        "Precision of every matrix: {} (default: int8; of a compressed model what its recipe says)",
        Precision::list(|_| true)
    )
}

/// A checkpoint to pack or to compress; says what else was given.
pub fn trainable(path: &Path) -> Result<Checkpoint> {
    check_exists(path)?;
    if path.is_file() {
        bail!(
            "{} is a file: give the folder of a checkpoint, from which packed files are made",
            path.display()
        );
    }
    Ok(Checkpoint::load(path)?)
}

impl Args {
    /// Packs and writes.
    pub fn run(self) -> Result<()> {
        let output = Output::new(&self.output, self.force)?;
        output.check_inputs(&[Some(&self.checkpoint), self.data.as_deref()])?;
        let mut checkpoint = trainable(&self.checkpoint)?;
        checkpoint.config.forms.entropy |= self.entropy;
        let plain = checkpoint.config.forms.is_plain();
        let precision = self.precision.or_else(|| plain.then_some(Precision::Int8));
        let figures = measured(&checkpoint, precision, self.data.as_deref())?;
        let bytes = pack(&checkpoint, precision, figures)?;
        output.write(|file| file.write_all(&bytes))?;
        let forms = precision.map_or("in the forms of its recipe", Precision::name);
        let coded = if checkpoint.config.forms.entropy { ", entropy-coded" } else { "" };
        output.tell(&format!("{} bytes, {forms}{coded}", bytes.len()))
    }
}

/// The perplexities of the packed model on the valid and test splits of `data`, if there is any.
pub fn measured(
    checkpoint: &Checkpoint,
    precision: Option<Precision>,
    data: Option<&Path>,
) -> Result<Vec<Perplexity>> {
    let Some(data) = data else { return Ok(Vec::new()) };
    let model = Model::from_bytes(pack(checkpoint, precision, Vec::new())?)?;
    measure_all(&model, data)
}

/// The perplexities of a packed model on the valid and test splits of a folder, or on the whole of a single file.
pub fn measure_all(model: &Model, data: &Path) -> Result<Vec<Perplexity>> {
    if !data.is_dir() {
        return Ok(vec![measure(model, &Source::whole(data)?, name(data)?)?]);
    }
    let sources = Source::splits(data)?;
    measure_splits(model, data, &sources[1..])
}

/// The same on the validation and test text that a training read from `data`.
pub fn measure_splits(model: &Model, data: &Path, splits: &[Source]) -> Result<Vec<Perplexity>> {
    let of = |(source, split)| measure(model, source, format!("{}/{split}", name(data)?));
    splits.iter().zip(["valid", "test"]).map(of).collect()
}

fn name(data: &Path) -> Result<String> {
    let name = data.file_name().ok_or_else(|| anyhow!("{} has no name", data.display()))?;
    Ok(name.to_string_lossy().into_owned())
}

fn measure(model: &Model, source: &Source, data: String) -> Result<Perplexity> {
    let text = crate::evaluation::packed_split(model, source)?;
    let score = Session::new(model).evaluate(text.ids)?;
    Ok(Perplexity { data, tokens: score.tokens, value: score.perplexity() })
}
