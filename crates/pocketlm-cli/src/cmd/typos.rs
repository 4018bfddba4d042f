//! `pocketlm typos`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use pocketlm::correct::{MAX_LETTERS, Typing};

use super::correct::{Keys, read_typing};
use crate::model::check_exists;
use crate::output::Output;

/// Fit the slips of a typist from pairs of what was typed and what was meant.
///
/// Each line of the file is a pair: what was typed, a tab, what was meant. Pairs of two equal words say how often slips
/// come; without any, the pairs only say which slips come. What is written is for --typing of correct and keyboard.
///
/// Example: pocketlm typos pairs.tsv -o me.typing
#[derive(clap::Args)]
pub struct Args {
    /// File of pairs: typed, tab, meant, one a line; lines that begin with # are passed over.
    #[arg(value_name = "FILE")]
    pairs: PathBuf,
    /// Where to write the typist (- for standard output).
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Begin with this typist rather than the one by default.
    #[arg(long, value_name = "FILE")]
    typing: Option<PathBuf>,
    /// Where the keys of the keyboard are (default: as the typist says, else qwerty).
    #[arg(long, value_enum)]
    layout: Option<Keys>,
    /// Write over an existing file.
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Fits and writes.
    pub fn run(self) -> Result<()> {
        let output = Output::new(&self.out, self.force)?;
        output.check_inputs(&[Some(&self.pairs), self.typing.as_deref()])?;
        let mut typing = match &self.typing {
            Some(path) => read_typing(path)?,
            None => Typing::default(),
        };
        if let Some(layout) = self.layout {
            typing.layout = layout.into();
        }
        check_exists(&self.pairs)?;
        let path = self.pairs.display();
        let text = std::fs::read_to_string(&self.pairs)
            .with_context(|| format!("{path} cannot be read as text"))?;
        let mut pairs = Vec::new();
        for (at, line) in (1..).zip(text.lines()).filter(|(_, line)| !is_idle(line)) {
            pairs.push(pair(line).with_context(|| format!("{path}, line {at}"))?);
        }
        if pairs.is_empty() {
            bail!("{path} has no pairs; a line is what was typed, a tab, and what was meant");
        }
        let slips = pairs.iter().filter(|(typed, meant)| typed != meant).count();
        let fitted = typing.fit(pairs.iter().copied());
        let head = format!("# Fitted to {} pairs, {slips} of them slips.", pairs.len());
        output.write(|file| write!(file, "{head}\n{fitted}"))?;
        Ok(())
    }
}

fn is_idle(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

fn pair(line: &str) -> Result<(&str, &str)> {
    let parts: Vec<&str> = line.split('\t').map(str::trim).collect();
    let [typed, meant] = parts[..] else {
        bail!("{} tabs; a line is what was typed, one tab, and what was meant", parts.len() - 1);
    };
    if typed.is_empty() || meant.is_empty() {
        bail!("nothing on one side of the tab");
    }
    if typed.contains(char::is_whitespace) {
        bail!("what was typed is a single word, without a space");
    }
    if typed.chars().count().max(meant.chars().count()) > MAX_LETTERS {
        bail!("a word has more than {MAX_LETTERS} letters");
    }
    Ok((typed, meant))
}
