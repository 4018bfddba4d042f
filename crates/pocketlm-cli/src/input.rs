//! Texts from the command line, or else from standard input, a line each.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, Result};

/// Calls `each` on the given texts, or on each line of standard input when there are none, with a prompt on
/// a terminal.
pub fn each_text(given: &[String], mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    if !given.is_empty() {
        return given.iter().try_for_each(|text| each(text));
    }
    let prompt = std::io::stdin().is_terminal();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if prompt {
            eprint!("> ");
            std::io::stderr().flush()?;
        }
        let Some(line) = lines.next() else { return Ok(()) };
        each(&line.context("standard input is not UTF-8 text")?)?;
    }
}
