//! Texts from the command line, or else from standard input, a line each.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Calls `each` on the given texts, or on each line of standard input when there are none, with a prompt on
/// a terminal.
pub fn each_text(given: &[String], mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    if !given.is_empty() {
        return given.iter().try_for_each(|text| each(text));
    }
    let prompt = std::io::stdin().is_terminal();
    let mut is_first = true;
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if prompt {
            let mut prompt = std::io::stderr().lock();
            let _ = write!(prompt, "> ").and_then(|()| prompt.flush());
        }
        let Some(line) = lines.next() else { return Ok(()) };
        let line = line.context("standard input is not UTF-8 text")?;
        let mark = if is_first { line.strip_prefix('\u{feff}') } else { None };
        is_first = false;
        let line = mark.unwrap_or(&line);
        each(line.strip_suffix('\r').unwrap_or(line))?;
    }
}

/// A text file without a byte order mark.
pub fn read_text(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
