//! Texts from the command line, or else from standard input, a line each.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use pocketlm_train::corpus::Corpus;

/// A text to be answered.
pub struct Asked<'a> {
    /// The text.
    pub text: &'a str,
    /// How many came before it.
    number: usize,
    /// Whether its answer needs no heading.
    is_alone: bool,
}

impl Asked<'_> {
    /// Prints the text above its answer if there are others, with an empty line between two answers.
    pub fn head(&self) -> Result<()> {
        if self.is_alone {
            return Ok(());
        }
        if self.number > 0 {
            say!();
        }
        say!("{}", if self.text.is_empty() { "\"\"" } else { self.text });
        Ok(())
    }
}

/// Calls `each` on the given texts, or on each line of standard input when there are none, with a prompt on
/// a terminal.
pub fn each_text(given: &[String], mut each: impl FnMut(&Asked) -> Result<()>) -> Result<()> {
    if given.is_empty() {
        return each_line(each);
    }
    let is_alone = given.len() == 1;
    let mut texts = given.iter().enumerate();
    texts.try_for_each(|(number, text)| each(&Asked { text, number, is_alone }))
}

fn each_line(mut each: impl FnMut(&Asked) -> Result<()>) -> Result<()> {
    let prompt = std::io::stdin().is_terminal();
    let mut input = BufReader::new(std::io::stdin().lock());
    for number in 0.. {
        if prompt {
            let mut prompt = std::io::stderr().lock();
            let _ = write!(prompt, "> ").and_then(|()| prompt.flush());
        }
        let mut line = String::new();
        if input.read_line(&mut line).context("standard input is not UTF-8 text")? == 0 {
            break;
        }
        let mark = if number == 0 { line.strip_prefix('\u{feff}') } else { None };
        let line = mark.unwrap_or(&line);
        let line = line.strip_suffix('\n').unwrap_or(line);
        let text = line.strip_suffix('\r').unwrap_or(line);
        // Whoever writes a line and waits for its answer gets it: nothing waits here for a second line.
        let is_alone = prompt || (number == 0 && input.buffer().is_empty());
        each(&Asked { text, number, is_alone })?;
    }
    Ok(())
}

/// Tells what was taken for granted when a text was read.
pub fn show_notes(corpus: &Corpus) {
    corpus.notes.iter().for_each(|text| note!("note: {text}"));
}

/// A text file without a byte order mark.
pub fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
