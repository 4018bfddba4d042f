//! `pocketlm ngram`

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use pocketlm::Provenance;
use pocketlm_train::corpus::Corpus;
use pocketlm_train::ngram::{Estimate, Settings, arpa, estimate, quantise};
use serde_json::json;

use crate::cmd::train::TextArgs;
use crate::input::show_notes;
use crate::machine::Machine;
use crate::ngram_file::{Packing, Text, counts};
use crate::output::Output;

/// Make an n-gram model of a text, with modified Kneser-Ney smoothing.
///
/// Example: pocketlm ngram --data data/ptb --order 5 --prune 1e-7 -o small.plm
#[derive(clap::Args)]
pub struct Args {
    /// Text: a folder with train.txt, valid.txt and test.txt, or one file, which is cut in three.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Length of the longest n-grams, 1 to 6.
    #[arg(long, default_value_t = 5)]
    order: usize,
    /// Leave out n-grams whose loss raises the training perplexity by less than this share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    prune: f64,
    /// Leave out n-grams that occur at most N times, order by order; 0,0,1 leaves out 3-grams and longer that occur once.
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    cutoffs: Vec<u32>,
    #[command(flatten)]
    text: TextArgs,
    /// Also write the model as an ARPA file, before its numbers are rounded.
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
        output.check_inputs(&[Some(&self.data)])?;
        if let Some(arpa) = &arpa {
            arpa.check_inputs(&[Some(&self.data)])?;
            arpa.check_apart(&output)?;
            arpa.check_json(self.packing.json)?;
        }
        let is_quiet = output.is_standard() || arpa.as_ref().is_some_and(Output::is_standard);
        let Self { order, prune, ref cutoffs, .. } = self;
        let settings = Settings { order, cutoffs: cutoffs.clone(), prune, discounts: None };
        settings.check()?;
        let start = Instant::now();
        let corpus = Corpus::open(&self.data, &self.text.options())?;
        show_notes(&corpus);
        let Estimate { mut table, discounts, counted } =
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
        if self.packing.bits < 32 {
            quantise(&mut table, self.packing.bits);
        }
        let text = Some(Text::Cut(&self.data, &corpus.sources[1..]));
        let written = self.packing.write(&output, &table, recipe, provenance, text)?;
        if discounts.iter().any(|discounts| discounts.is_fallback) {
            note!("note: too little text to estimate every discount; took 0.5, 1 and 1.5 there");
        }
        if !self.packing.json {
            return written.print(is_quiet, &kept);
        }
        let object = json!({ "written": written, "settings": settings, "ngrams": kept,
            "counted": counted, "discounts": discounts, "data_sha256": corpus.sha256(),
            "seconds": start.elapsed().as_secs_f64(), "machine": Machine::here() });
        say!("{}", serde_json::to_string_pretty(&object)?);
        Ok(())
    }
}
