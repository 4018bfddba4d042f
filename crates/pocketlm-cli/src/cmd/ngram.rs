//! `pocketlm ngram`

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use pocketlm::Provenance;
use pocketlm::ngram::Table;
use pocketlm_train::corpus::Corpus;
use pocketlm_train::ngram::arpa::{FLOOR, Import, Options as Reading, Unknown};
use pocketlm_train::ngram::{
    Estimate, Off, Settings, arpa, estimate, quantise, renormalise, round_each,
};
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

/// Pack an n-gram model from an ARPA file of any program.
///
/// The numbers are those of the file, rounded to --bits. N-grams that no sentence can reach are left out, and contexts
/// that the file lacks are added, as KenLM does; a note says how many.
///
/// Example: pocketlm import model.arpa -o model.plm
#[derive(clap::Args)]
pub struct ImportArgs {
    /// ARPA file, which may be compressed by gzip.
    arpa: PathBuf,
    /// Measure the packed model on this text and store the figures in the file.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Word of the file that stands for unknown words (default: <unk>, <UNK>, [UNK] or <unknown>; without one, <unk> is
    /// added).
    #[arg(long, value_name = "WORD", conflicts_with = "closed")]
    unk: Option<String>,
    /// Add no <unk> to a file without one; a text with an unknown word then has no score.
    #[arg(long)]
    closed: bool,
    /// Replace the back-off weights so that each distribution sums to one.
    #[arg(long)]
    renormalise: bool,
    #[command(flatten)]
    packing: Packing,
}

impl ImportArgs {
    /// Reads, packs and measures.
    pub fn run(self) -> Result<()> {
        let output = self.packing.check()?;
        output.check_inputs(&[Some(&self.arpa)])?;
        let options = Reading { unknown: self.unk.as_deref(), closed: self.closed };
        let import = arpa::read(&self.arpa, options)?;
        notes(&import);
        let Import { mut table, unknown, left_out, added } = import;
        let off = self.numbers(&mut table);
        let kept = counts(&table);
        let written = self.packing.write(
            &output,
            &table,
            String::new(),
            Provenance::default(),
            self.data.as_deref().map(Text::Measured),
        )?;
        if !self.packing.json {
            return written.print(output.is_standard(), &kept);
        }
        let object = json!({ "written": written, "ngrams": kept, "left_out": left_out, "added": added,
            "unknown": table.unk.map(|id| &table.words[id as usize]), "unknown_added": unknown == Unknown::Added,
            "sums": off.map(|off| json!({ "contexts": off.contexts, "off": off.off, "worst": off.worst })) });
        say!("{}", serde_json::to_string_pretty(&object)?);
        Ok(())
    }

    /// Makes distributions sum to one if that was asked for, and rounds. Returns how far the sums were off.
    fn numbers(&self, table: &mut Table) -> Option<Off> {
        let bits = self.packing.bits;
        let off = self.renormalise.then(|| renormalise(table));
        match off {
            Some(_) if bits < 32 => quantise(table, bits),
            None if bits < 32 => round_each(table, bits),
            _ => {}
        }
        if let Some(Off { contexts, off, worst }) = off {
            note!(
                "note: renormalised: {off} of {contexts} distributions were off by more than 0.001; the farthest summed \
                 to {worst:.4}"
            );
        }
        off
    }
}

/// What was filled in or left out of an ARPA file.
fn notes(import: &Import) {
    match &import.unknown {
        Unknown::Given => {}
        Unknown::Spelled(word) => {
            note!("note: took {word:?} for the unknown word; --unk WORD names another");
        }
        Unknown::Added => note!(
            "note: the file has no unknown word: added <unk> with log10 p = {FLOOR}, which every word that it lacks \
             gets; --unk WORD names one, --closed adds none"
        ),
        Unknown::None => {
            note!(
                "note: the file has no unknown word: a text with a word that it lacks has no score"
            );
        }
    }
    let Import { left_out, added, .. } = import;
    if *left_out > 0 {
        note!(
            "note: left out {left_out} n-grams with <s> or </s> inside, which no sentence reaches"
        );
    }
    if *added > 0 {
        note!(
            "note: added {added} n-grams that longer ones continue, with the probability of backing off"
        );
    }
}
