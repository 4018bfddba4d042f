//! `pocketlm export`

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use pocketlm::Model;
use pocketlm_train::ngram::arpa;
use serde_json::json;

use crate::ngram_file::counts;

/// Write a packed n-gram model as an ARPA file, which other programs read.
///
/// Example: pocketlm export model.plm -o model.arpa
#[derive(clap::Args)]
pub struct Args {
    /// A .plm file with an n-gram model.
    model: PathBuf,
    /// The file to write.
    #[arg(short, long, value_name = "FILE.arpa")]
    output: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Opens, checks and writes.
    pub fn run(self) -> Result<()> {
        if self.output.exists() && !self.force {
            bail!("{} exists: give --force to replace it", self.output.display());
        }
        if self.model.is_dir() {
            bail!("{} is a checkpoint; only n-gram models have an ARPA form", self.model.display());
        }
        let model = Model::open(&self.model)?;
        model.verify()?;
        let table = model.ngrams().ok_or_else(|| {
            anyhow!("{} is no n-gram model; only such have an ARPA form", self.model.display())
        })?;
        arpa::save(&table, &self.output)?;
        let bytes = std::fs::metadata(&self.output)?.len();
        if self.json {
            let object = json!({ "output": self.output, "bytes": bytes, "ngrams": counts(&table) });
            say!("{}", serde_json::to_string_pretty(&object)?);
        } else {
            say!("{}: {bytes} bytes", self.output.display());
        }
        Ok(())
    }
}
