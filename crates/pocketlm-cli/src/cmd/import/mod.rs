//! `pocketlm import`

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use pocketlm::CellKind;
use pocketlm_train::corpus::Unit;
use pocketlm_train::import::{LAYOUTS, Options, Words};

use crate::ending::Usage;
use crate::model::check_exists;
use crate::ngram_file::Packing;

mod arpa;
mod tensors;

use arpa::Arpa;
use tensors::Source;

/// Take a model that another program trained: a recurrent one, or n-grams from an ARPA file.
///
/// A safetensors file of an LSTM, a GRU or a CIFG, by the names of PyTorch, becomes a checkpoint, which every command
/// takes. The names of its tensors say whose layout it is, their shapes what the model is; every tensor is listed as
/// read, passed over or missing. docs/import.md says how a .pt file is converted.
///
/// An ARPA file becomes a packed model. The numbers are those of the file, rounded to --bits. N-grams that no sentence
/// can reach are left out, and contexts that the file lacks are added, as KenLM does; a note says how many.
///
/// Example: pocketlm import model.safetensors --vocab vocab.txt -o runs/imported
///
/// Example: pocketlm import model.arpa -o model.plm
#[derive(clap::Args)]
pub struct Args {
    /// A safetensors file, a folder that `export` wrote, or an ARPA file, which may be compressed by gzip.
    model: PathBuf,
    /// Folder of the new checkpoint; of an ARPA file the packed file to write, - for standard output.
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    #[arg(long, default_value = "auto", value_parser = layout, help = layouts())]
    layout: String,
    /// Replace what exists.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Word of the model that stands for unknown words (default: <unk>, <UNK>, [UNK] or <unknown>; to an ARPA file without
    /// one, <unk> is added).
    #[arg(long, value_name = "WORD", conflicts_with = "closed")]
    unk: Option<String>,
    #[command(flatten)]
    tensors: TensorArgs,
    #[command(flatten)]
    arpa: ArpaArgs,
}

/// What there is to say of a recurrent model.
#[derive(clap::Args)]
#[command(next_help_heading = "Recurrent models")]
struct TensorArgs {
    /// Words of the model in the order of its ids: one a line, `WORD ID` lines, JSON, a tokenizer.json or a SentencePiece
    /// model.
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,
    /// What its cells are: lstm, gru or cifg (default: by the number of gates; three are a gru's, or with a projection a
    /// cifg's).
    #[arg(long, value_parser = cell)]
    cell: Option<CellKind>,
    /// What a word is: word, raw, raw-keep, raw-fold or char (default: word, or what a tokenizer says).
    #[arg(long, value_parser = unit)]
    unit: Option<Unit>,
    /// Word that ends a line (default: <eos>, </s>, <sos/eos> or the like).
    #[arg(long, value_name = "WORD")]
    eos: Option<String>,
    /// Pass over tensors of this name, or whose names begin so, that have no part in the model.
    #[arg(long, value_name = "NAME")]
    pass_over: Vec<String>,
}

/// What there is to say of an ARPA file.
#[derive(clap::Args)]
#[command(next_help_heading = "ARPA files")]
struct ArpaArgs {
    /// Measure the packed model on this text and store the figures in the file.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Bits of each probability and back-off weight, 1 to 16; 32 keeps every f32 (default: 8).
    #[arg(long)]
    bits: Option<u32>,
    /// Add no <unk> to a file without one; a text with an unknown word then has no score.
    #[arg(long)]
    closed: bool,
    /// Replace the back-off weights so that each distribution sums to one.
    #[arg(long)]
    renormalise: bool,
}

/// The name of n-grams among the layouts.
const ARPA: &str = "arpa";

/// All names of layouts, and what they are.
fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    let tensors = LAYOUTS.iter().map(|layout| (layout.name(), layout.about()));
    [("auto", "by the file")].into_iter().chain(tensors).chain([(ARPA, "n-grams as text")])
}

fn layouts() -> String {
    let list: Vec<_> = known().map(|(name, about)| format!("{name} ({about})")).collect();
    format!("Whose names the file has: {}", list.join("; "))
}

fn layout(name: &str) -> Result<String, String> {
    let names: Vec<_> = known().map(|(name, _)| name).collect();
    match names.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("choose {}", names.join(", "))),
    }
}

fn cell(name: &str) -> Result<CellKind, String> {
    let found = CellKind::from_name(name).filter(|&kind| kind != CellKind::Urnn);
    found.ok_or_else(|| "choose lstm, gru or cifg".to_owned())
}

fn unit(name: &str) -> Result<Unit, String> {
    let found = name.parse().ok().filter(|unit: &Unit| !unit.is_subword());
    found.ok_or_else(|| {
        "choose word, raw, raw-keep, raw-fold or char; subwords come from a tokenizer's file, --vocab tokenizer.json"
            .to_owned()
    })
}

impl Args {
    /// Reads whatever it is and writes what it becomes.
    pub fn run(self) -> Result<()> {
        check_exists(&self.model)?;
        if self.layout == ARPA || self.layout == "auto" && !holds_tensors(&self.model) {
            self.refuse(self.tensors.given(), "is for recurrent models")?;
            return self.ngrams().run();
        }
        self.refuse(self.arpa.given(), "is for ARPA files")?;
        let TensorArgs { vocab, cell, unit, eos, pass_over } = self.tensors;
        let layout = Some(self.layout).filter(|layout| layout != "auto");
        let words = Words { unit: unit.unwrap_or_default(), eos, unk: self.unk };
        let options = Options { layout, cell, pass_over, words };
        let (output, force, json) = (self.output, self.force, self.json);
        Source { model: self.model, vocab, options, output, force, json }.run()
    }

    /// Refuses a flag that means nothing for this file.
    fn refuse(&self, flag: Option<&str>, what: &str) -> Result<()> {
        match flag {
            Some(flag) => {
                Err(Usage(format!("{flag} {what}, which {} is not", self.model.display())).into())
            }
            None => Ok(()),
        }
    }

    fn ngrams(&self) -> Arpa<'_> {
        let ArpaArgs { data, bits, closed, renormalise } = &self.arpa;
        Arpa {
            file: &self.model,
            data: data.clone(),
            unk: self.unk.clone(),
            closed: *closed,
            renormalise: *renormalise,
            packing: Packing {
                output: self.output.clone(),
                bits: bits.unwrap_or(8),
                force: self.force,
                json: self.json,
            },
        }
    }
}

impl TensorArgs {
    /// A flag that was given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.vocab.is_some(), "--vocab"),
            (self.cell.is_some(), "--cell"),
            (self.unit.is_some(), "--unit"),
            (self.eos.is_some(), "--eos"),
            (!self.pass_over.is_empty(), "--pass-over"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

impl ArpaArgs {
    /// A flag that was given.
    fn given(&self) -> Option<&'static str> {
        let flags = [
            (self.data.is_some(), "--data"),
            (self.bits.is_some(), "--bits"),
            (self.closed, "--closed"),
            (self.renormalise, "--renormalise"),
        ];
        flags.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}

/// Whether a path is a folder, is named a file of tensors, or begins like one: safetensors (a length, then JSON), or what
/// PyTorch pickles.
fn holds_tensors(path: &Path) -> bool {
    const ENDINGS: [&str; 6] = ["safetensors", "pt", "pth", "ckpt", "bin", "pkl"];
    if path.is_dir() || path.extension().is_some_and(|end| ENDINGS.iter().any(|e| end == *e)) {
        return true;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(9).read_to_end(&mut head));
    read.is_ok() && (head.starts_with(b"PK\x03\x04") || head.get(8) == Some(&b'{'))
}
