//! Writing an n-gram model's file: what `ngram` and `import` share.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pocketlm::ngram::Table;
use pocketlm::pack::Notes;
use pocketlm::{Model, Perplexity, Provenance};
use pocketlm_train::corpus::Source;
use serde::Serialize;

use crate::cmd::pack::{measure_all, measure_splits};
use crate::output::Output;

/// Where and how small to write.
#[derive(clap::Args)]
pub struct Packing {
    /// File to write; - for standard output.
    #[arg(short, long, value_name = "NAME.plm")]
    pub output: PathBuf,
    /// Bits of each probability and back-off weight, 1 to 16; 32 keeps every f32.
    #[arg(long, default_value_t = 8)]
    pub bits: u32,
    /// Replace an existing file.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A text to measure on.
pub enum Text<'a> {
    /// One that a model was made of, and what was not for training.
    Cut(&'a Path, &'a [Source]),
    /// Any other, which is measured whole.
    Measured(&'a Path),
}

/// What was written, and how good it is.
#[derive(Serialize)]
pub struct Written {
    #[serde(serialize_with = "crate::output::lossy")]
    output: PathBuf,
    bytes: usize,
    bytes_without_vocabulary: usize,
    bits: u32,
    perplexity: Vec<Measured>,
}

#[derive(Serialize)]
struct Measured {
    data: String,
    tokens: u64,
    value: f64,
}

/// N-grams of each order.
pub fn counts(table: &Table) -> Vec<usize> {
    table.orders.iter().map(pocketlm::ngram::Order::len).collect()
}

impl Packing {
    /// Where to write; refuses what cannot be written before anything is worked out.
    pub fn check(&self) -> Result<Output> {
        let output = Output::new(&self.output, self.force)?;
        output.check_json(self.json)?;
        if !matches!(self.bits, 1..=16 | 32) {
            bail!("--bits is {}: give 1 to 16, or 32", self.bits);
        }
        Ok(output)
    }

    /// Packs, measures on `data` if there is any, and writes.
    pub fn write(
        &self,
        output: &Output,
        table: &Table,
        recipe: String,
        provenance: Provenance,
        data: Option<Text>,
    ) -> Result<Written> {
        let mut notes = Notes { recipe, provenance, perplexity: Vec::new() };
        let model = Model::from_bytes(table.pack(&notes)?)?;
        notes.perplexity = match data {
            Some(Text::Cut(data, splits)) => measure_splits(&model, data, splits)?,
            Some(Text::Measured(data)) => measure_all(&model, data)?,
            None => Vec::new(),
        };
        let bytes = table.pack(&notes)?;
        output.write(|file| file.write_all(&bytes))?;
        let measured = notes.perplexity.into_iter();
        Ok(Written {
            output: self.output.clone(),
            bytes: bytes.len(),
            bytes_without_vocabulary: bytes.len() - model.vocabulary_bytes(),
            bits: self.bits,
            perplexity: measured
                .map(|Perplexity { data, tokens, value }| Measured { data, tokens, value })
                .collect(),
        })
    }
}

impl Written {
    /// Prints it for people: to standard error where standard output is a file that was written (`is_quiet`).
    pub fn print(&self, is_quiet: bool, ngrams: &[usize]) -> Result<()> {
        let ngrams: Vec<_> = ngrams.iter().map(usize::to_string).collect();
        let (output, bytes, ngrams) = (self.output.display(), self.bytes, ngrams.join(", "));
        let first = format!("{output}: {bytes} bytes; n-grams of each length: {ngrams}");
        let figures = self.perplexity.iter().map(|Measured { data, tokens, value }| {
            format!("{data}: perplexity {value:.2} over {tokens} tokens")
        });
        for line in [first].into_iter().chain(figures) {
            if is_quiet { note!("{line}") } else { say!("{line}") }
        }
        Ok(())
    }
}
