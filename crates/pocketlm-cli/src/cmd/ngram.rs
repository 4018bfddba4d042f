//! `pocketlm ngram`

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use pocketlm::Provenance;
use pocketlm::ngram::Table;
use pocketlm_train::corpus::{Corpus, Options, Unit};
use pocketlm_train::ngram::{Estimate, Settings, arpa, estimate};
use serde_json::json;

use crate::machine::Machine;
use crate::ngram_file::{Packing, Text, counts};
use crate::output::Output;

/// Make an n-gram model of a text: modified Kneser-Ney smoothing, packed into one file.
///
/// Example: pocketlm ngram --data data/ptb --order 5 --prune 1e-7 -o small.plm
#[derive(clap::Args)]
pub struct Args {
    /// Text: a folder with train.txt, valid.txt and test.txt, or one file (cut in three).
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Tokens of the longest n-grams, 1 to 6.
    #[arg(long, default_value_t = 5)]
    order: usize,
    /// Leave out n-grams whose loss raises the training perplexity by less than this share; 1e-7 leaves two fifths of the file.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    prune: f64,
    /// Leave out n-grams that come so often or less, order by order; 0,0,1: 3-grams and longer that come once.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    cutoffs: Vec<u32>,
    /// What a token is: word or char.
    #[arg(long, default_value_t = Unit::Word)]
    unit: Unit,
    /// Keep at most so many types, <eos> and <unk> included.
    #[arg(long, value_name = "N")]
    max_vocab: Option<usize>,
    /// Keep only types that come at least so often.
    #[arg(long, value_name = "N")]
    min_count: Option<u64>,
    /// How the text writes its unknown words, if not as <unk>, <UNK>, [UNK] or <unknown>.
    #[arg(long, value_name = "WORD")]
    unk: Option<String>,
    /// Write the model as an ARPA file too, before its numbers are rounded.
    #[arg(long, value_name = "FILE")]
    arpa: Option<PathBuf>,
    #[command(flatten)]
    packing: Packing,
}

impl Args {
    /// Estimates, packs and measures.
    pub fn run(self) -> Result<()> {
        let output = self.packing.check()?;
        let arpa =
            self.arpa.as_ref().map(|path| Output::new(path, self.packing.force)).transpose()?;
        let Self { order, prune, ref cutoffs, .. } = self;
        let settings = Settings { order, cutoffs: cutoffs.clone(), prune, discounts: None };
        settings.check()?;
        let start = Instant::now();
        let Self { unit, max_vocab, min_count, .. } = self;
        let options = Options { unit, max_vocab, min_count, unk: self.unk.clone() };
        let corpus = Corpus::open(&self.data, &options)?;
        corpus.require_test(&self.data)?;
        corpus.notes.iter().for_each(|text| note!("note: {text}"));
        let Estimate { table, discounts, counted } =
            estimate(&corpus.encoder, &corpus.train, &settings)?;
        if let (Some(file), Some(path)) = (&arpa, &self.arpa) {
            arpa::check(&table, path)?;
            file.write(|file| arpa::write(&table, file))?;
        }
        let recipe = format!("[ngram]\n{}", toml::to_string(&settings)?);
        let provenance = Provenance {
            training_data: format!("sha256:{}", corpus.sha256()),
            tool: format!("pocketlm {}", env!("CARGO_PKG_VERSION")),
            ..Provenance::default()
        };
        let kept = counts(&table);
        let written =
            self.packing.write(&output, table, recipe, provenance, Some(Text::Cut(&self.data)))?;
        if discounts.iter().any(|discounts| discounts.is_fallback) {
            note!("note: too little text to estimate every discount; took 0.5, 1 and 1.5 there");
        }
        if !self.packing.json {
            return written.print(&output, &kept);
        }
        let object = json!({ "written": written, "settings": settings, "ngrams": kept,
            "counted": counted, "discounts": discounts, "data_sha256": corpus.sha256(),
            "seconds": start.elapsed().as_secs_f64(), "machine": Machine::here() });
        say!("{}", serde_json::to_string_pretty(&object)?);
        Ok(())
    }
}

/// Pack an n-gram model from an ARPA file, whichever program made it.
///
/// Example: pocketlm import model.arpa -o model.plm
#[derive(clap::Args)]
pub struct ImportArgs {
    /// The ARPA file.
    arpa: PathBuf,
    /// Measure the packed model on the valid and test splits of this text, and remember it in the file.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    #[command(flatten)]
    packing: Packing,
}

impl ImportArgs {
    /// Reads, packs and measures.
    pub fn run(self) -> Result<()> {
        let output = self.packing.check()?;
        let table: Table = arpa::read(&self.arpa)?;
        let kept = counts(&table);
        let written = self.packing.write(
            &output,
            table,
            String::new(),
            Provenance::default(),
            self.data.as_deref().map(Text::Measured),
        )?;
        if !self.packing.json {
            return written.print(&output, &kept);
        }
        let object = json!({ "written": written, "ngrams": kept });
        say!("{}", serde_json::to_string_pretty(&object)?);
        Ok(())
    }
}
