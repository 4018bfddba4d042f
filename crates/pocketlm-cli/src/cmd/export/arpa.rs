//! Packed n-gram models as ARPA files.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use pocketlm::Model;
use pocketlm_train::ngram::arpa;
use serde_json::json;

use crate::ngram_file::counts;
use crate::output::Output;

/// An n-gram model to write.
pub struct Arpa {
    /// Where it was read.
    pub path: PathBuf,
    pub model: Model,
    pub output: PathBuf,
    pub force: bool,
    pub json: bool,
}

impl Arpa {
    /// Checks and writes.
    pub fn run(self) -> Result<()> {
        let output = Output::new(&self.output, self.force)?;
        output.check_json(self.json)?;
        output.check_inputs(&[Some(&self.path)])?;
        let table = self.model.ngrams().ok_or_else(|| {
            anyhow!("{} is no n-gram model; only such have an ARPA form", self.path.display())
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
