//! ARPA files, which become packed n-gram models.

use std::path::{Path, PathBuf};

use anyhow::Result;
use pocketlm::Provenance;
use pocketlm::ngram::Table;
use pocketlm_train::ngram::arpa::{self, FLOOR, Import, Options as Reading, Unknown};
use pocketlm_train::ngram::{Off, quantise, renormalise, round_each};
use serde_json::json;

use crate::ngram_file::{Packing, Text, counts};

/// An ARPA file to read, and what to make of it.
pub struct Arpa<'a> {
    /// The file.
    pub file: &'a Path,
    /// A text to measure on.
    pub data: Option<PathBuf>,
    /// The word for unknown ones.
    pub unk: Option<String>,
    /// Whether a file without one gets none.
    pub closed: bool,
    /// Whether distributions are made to sum to one.
    pub renormalise: bool,
    /// Where and how small to write.
    pub packing: Packing,
}

impl Arpa<'_> {
    /// Reads, packs and measures.
    pub fn run(self) -> Result<()> {
        let output = self.packing.check()?;
        output.check_inputs(&[Some(self.file)])?;
        let options = Reading { unknown: self.unk.as_deref(), closed: self.closed };
        let import = arpa::read(self.file, options)?;
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
