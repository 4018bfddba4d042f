//! Writing an n-gram model's file: what `ngram` and `import` share.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use pocketlm::ngram::Table;
use pocketlm::pack::{Notes, write_file};
use pocketlm::{Model, Perplexity, Provenance};
use serde::Serialize;

use crate::cmd::pack::measure;

/// Where and how small to write.
#[derive(clap::Args)]
pub struct Packing {
    /// The file to write.
    #[arg(short, long, value_name = "NAME.plm")]
    output: PathBuf,
    /// Bits of each probability and back-off weight, 1 to 16; 32 keeps every f32.
    #[arg(long, default_value_t = 8)]
    pub bits: u32,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What was written, and how good it is.
#[derive(Serialize)]
pub struct Written {
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
    /// Refuses what cannot be written before anything is worked out.
    pub fn check(&self) -> Result<()> {
        if self.output.exists() && !self.force {
            bail!("{} exists: give --force to replace it", self.output.display());
        }
        if !matches!(self.bits, 1..=16 | 32) {
            bail!("--bits is {}: give 1 to 16, or 32", self.bits);
        }
        Ok(())
    }

    /// Packs, measures on `data` if there is any, and writes.
    pub fn write(
        &self,
        table: &Table,
        recipe: String,
        provenance: Provenance,
        data: Option<&Path>,
    ) -> Result<Written> {
        let mut notes = Notes { recipe, provenance, perplexity: Vec::new() };
        let model = Model::from_bytes(table.pack(&notes)?)?;
        if let Some(data) = data {
            let measure = |split| measure(&model, data, split);
            notes.perplexity = ["valid", "test"].into_iter().map(measure).collect::<Result<_>>()?;
        }
        let bytes = table.pack(&notes)?;
        write_file(&self.output, &bytes)
            .map_err(|e| anyhow!("{e}; check the folder, its permissions and the free space"))?;
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
    /// Prints it for people.
    pub fn print(&self, ngrams: &[usize]) -> Result<()> {
        let ngrams: Vec<_> = ngrams.iter().map(usize::to_string).collect();
        let (output, bytes) = (self.output.display(), self.bytes);
        say!("{output}: {bytes} bytes; n-grams of each length: {}", ngrams.join(", "));
        for Measured { data, tokens, value } in &self.perplexity {
            say!("{data}: perplexity {value:.2} over {tokens} tokens");
        }
        Ok(())
    }
}
