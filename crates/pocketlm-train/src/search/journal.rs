//! What a search has measured so far: a file of JSON lines, so that it goes on where it was stopped.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use pocketlm::pack::write_file_with;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const NAME: &str = "search.jsonl";

/// What one form of a matrix does to the model, beside the model that the round began from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The round, from 1.
    pub round: usize,
    /// The matrix.
    pub matrix: String,
    /// The form, in words.
    pub form: String,
    /// Bytes of the file more.
    pub bytes: i64,
    /// By how much the loss of a token should rise by the second-order estimate of the training text, in nats.
    pub estimate: f64,
    /// By how much it did at the start of the validation text; none where the estimate was so bad that it was not tried.
    pub rise: Option<f64>,
    /// Microseconds a word more; 0 where no latency was asked for.
    pub micros: f64,
}

/// A whole model that was made and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The round, from 1.
    pub round: usize,
    /// Its recipe, as TOML.
    pub recipe: String,
    /// Bytes of the file.
    pub bytes: usize,
    /// What the measured forms promised: loss of a token at the start of the validation text, in nats.
    pub predicted: f64,
    /// What it is.
    pub measured: f64,
    /// Loss of a token of the whole validation text, in nats, under the packed bytes.
    pub valid: f64,
    /// Microseconds a word, promised and measured; 0 where no latency was asked for.
    pub micros: [f64; 2],
}

/// One line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    /// The first: a hash of all that the search depends on.
    Search {
        of: String,
    },
    Form(Measured),
    Model(Tried),
}

/// The file of a search.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    lines: Vec<Line>,
}

impl Journal {
    /// Opens the journal in `folder` of the search with the hash `of`. One of another search is begun anew, and a last
    /// line that was cut off is dropped.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(folder: &Path, of: &str) -> Result<Self> {
        let path = folder.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io(&path)(e)),
        };
        // A line counts once it has its end.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut lines: Vec<Line> =
            whole.map_while(|line| serde_json::from_str(line).ok()).collect();
        if !matches!(lines.first(), Some(Line::Search { of: own }) if own == of) {
            lines = vec![Line::Search { of: of.to_owned() }];
        }
        let journal = Self { path, lines };
        write_file_with(&journal.path, |file| {
            journal.lines.iter().try_for_each(|line| file.write_all(as_text(line).as_bytes()))
        })
        .map_err(Error::io(&journal.path))?;
        Ok(journal)
    }

    fn add(&mut self, line: Line) -> Result<()> {
        let file = OpenOptions::new().append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(as_text(&line).as_bytes()))
            .map_err(Error::io(&self.path))?;
        self.lines.push(line);
        Ok(())
    }

    /// Notes a form that was measured.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_form(&mut self, measured: Measured) -> Result<()> {
        self.add(Line::Form(measured))
    }

    /// Notes a model that was made.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_model(&mut self, tried: Tried) -> Result<()> {
        self.add(Line::Model(tried))
    }

    /// All forms that were measured, in their order.
    pub fn forms(&self) -> impl Iterator<Item = &Measured> {
        self.lines.iter().filter_map(|line| match line {
            Line::Form(measured) => Some(measured),
            _ => None,
        })
    }

    /// What is known of a form of a matrix.
    pub fn form(&self, round: usize, matrix: &str, form: &str) -> Option<&Measured> {
        self.forms().find(|own| own.round == round && own.matrix == matrix && own.form == form)
    }

    /// All models that were made, in their order.
    pub fn models(&self) -> impl Iterator<Item = &Tried> {
        self.lines.iter().filter_map(|line| match line {
            Line::Model(tried) => Some(tried),
            _ => None,
        })
    }

    /// What is known of the model of a recipe.
    pub fn model(&self, recipe: &str) -> Option<&Tried> {
        self.models().find(|own| own.recipe == recipe)
    }
}

fn as_text(line: &Line) -> String {
    serde_json::to_string(line).expect("a line is JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(form: &str) -> Measured {
        Measured {
            round: 1,
            matrix: "embedding".into(),
            form: form.into(),
            bytes: -120,
            estimate: 0.1 + 0.2,
            rise: Some(1.0 / 3.0),
            micros: 0.0,
        }
    }

    #[test]
    fn a_journal_comes_back_and_a_torn_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), "a").unwrap();
        journal.add_form(measured("int8")).unwrap();
        journal.add_form(measured("int4")).unwrap();
        let path = folder.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(folder.path(), "a").unwrap();
            let ends = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            let found: Vec<_> = journal.forms().cloned().collect();
            assert_eq!(found.len(), ends.saturating_sub(1), "{cut}");
            assert!(found.iter().all(|own| *own == measured(&own.form)), "to the last bit");
            // What is added after it is whole again.
            journal.add_form(measured("int3")).unwrap();
            let journal = Journal::open(folder.path(), "a").unwrap();
            assert!(journal.form(1, "embedding", "int3").is_some(), "{cut}");
        }
    }

    #[test]
    fn a_journal_of_another_search_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), "a").unwrap();
        journal.add_form(measured("int8")).unwrap();
        let journal = Journal::open(folder.path(), "b").unwrap();
        assert_eq!(journal.forms().count(), 0);
        std::fs::write(folder.path().join(NAME), b"\xff\xfe nothing").unwrap();
        assert_eq!(Journal::open(folder.path(), "b").unwrap().forms().count(), 0);
    }
}
