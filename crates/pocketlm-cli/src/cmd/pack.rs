//! `pocketlm pack`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use pocketlm::pack::{Precision, write_file};
use pocketlm::{Model, Perplexity, Session};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::Source;
use pocketlm_train::pack::pack;

/// Pack a checkpoint into one file for the device.
///
/// Example: pocketlm pack runs/small -o small.plm --precision int8 --data data/ptb
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint.
    checkpoint: PathBuf,
    /// The file to write.
    #[arg(short, long, value_name = "NAME.plm")]
    output: PathBuf,
    /// Precision of every matrix (default: int8; for a compressed checkpoint what its recipe says).
    #[arg(long, value_parser = precision, help = help())]
    precision: Option<Precision>,
    /// Entropy-code the file: fewer bytes to send and to keep, the same model to the bit, decoded into memory when
    /// it is opened.
    #[arg(long)]
    entropy: bool,
    /// Measure the packed model on the valid and test splits of this text, and remember it in the file.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
}

/// The precision of this name, as flags take it.
pub fn precision(name: &str) -> Result<Precision, String> {
    Precision::from_name(name).ok_or_else(|| format!("choose {}", names()))
}

/// `f32, f16, … or ternary`.
fn names() -> String {
    let names = Precision::ALL.map(Precision::name);
    let (last, others) = names.split_last().expect("there are precisions");
    format!("{} or {last}", others.join(", "))
}

fn help() -> String {
    format!(
        "{}, for every matrix (default: int8, or what the recipe of a compressed one says)",
        names()
    )
}

impl Args {
    /// Packs and writes.
    pub fn run(self) -> Result<()> {
        if self.output.exists() && !self.force {
            bail!("{} exists: give --force to replace it", self.output.display());
        }
        let mut checkpoint = Checkpoint::load(&self.checkpoint)?;
        checkpoint.config.forms.entropy |= self.entropy;
        let plain = checkpoint.config.forms.is_plain();
        let precision = self.precision.or_else(|| plain.then_some(Precision::Int8));
        let figures = measured(&checkpoint, precision, self.data.as_deref())?;
        let bytes = pack(&checkpoint, precision, figures)?;
        write_file(&self.output, &bytes)
            .map_err(|e| anyhow!("{e}; check the folder, its permissions and the free space"))?;
        let forms = precision.map_or("in the forms of its recipe", Precision::name);
        let coded = if checkpoint.config.forms.entropy { ", entropy-coded" } else { "" };
        say!("{}: {} bytes, {forms}{coded}", self.output.display(), bytes.len());
        Ok(())
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
    ["valid", "test"].iter().map(|split| measure(&model, data, split)).collect()
}

/// The perplexity of a packed model on a split of `data`.
pub fn measure(model: &Model, data: &Path, split: &'static str) -> Result<Perplexity> {
    let text = crate::evaluation::packed_split(model, &Source::split(data, split)?)?;
    let score = Session::new(model).evaluate(text.ids)?;
    let name = data.file_name().ok_or_else(|| anyhow!("{} has no name", data.display()))?;
    Ok(Perplexity {
        data: format!("{}/{split}", name.to_string_lossy()),
        tokens: score.tokens,
        value: score.perplexity(),
    })
}
