//! `pocketlm export`

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use pocketlm::Model;
use pocketlm_train::ngram::arpa;
use serde_json::json;

use crate::model::check_exists;
use crate::ngram_file::counts;
use crate::output::Output;

/// Write a packed n-gram model as an ARPA file, for other programs.
///
/// Example: pocketlm export model.plm -o model.arpa
#[derive(clap::Args)]
pub struct Args {
    /// N-gram model: a .plm file.
    model: PathBuf,
    /// File to write; - for standard output.
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
        let output = Output::new(&self.output, self.force)?;
        output.check_json(self.json)?;
        output.check_inputs(&[Some(&self.model)])?;
        check_exists(&self.model)?;
        if self.model.is_dir() {
            bail!("{} is a checkpoint; only n-gram models have an ARPA form", self.model.display());
        }
        let model = Model::open(&self.model)?;
        model.verify()?;
        let table = model.ngrams().ok_or_else(|| {
            anyhow!("{} is no n-gram model; only such have an ARPA form", self.model.display())
        })?;
        if table.unit.case().is_some() {
            note!(
                "note: an ARPA file does not say that its words are those of raw text: whoever reads it, `import` too, \
                 takes what white space separates"
            );
        }
        arpa::check(&table, &self.output)?;
        let mut bytes = 0;
        output.write(|file| {
            let mut counted = Counted { file, bytes: 0 };
            arpa::write(&table, &mut counted)?;
            bytes = counted.bytes;
            Ok(())
        })?;
        if self.json {
            let object = json!({ "output": self.output.to_string_lossy(), "bytes": bytes, "ngrams": counts(&table) });
            say!("{}", serde_json::to_string_pretty(&object)?);
        } else {
            output.tell(&format!("{bytes} bytes"))?;
        }
        Ok(())
    }
}

/// Counts what goes through it.
struct Counted<W> {
    file: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = self.file.write(piece)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
