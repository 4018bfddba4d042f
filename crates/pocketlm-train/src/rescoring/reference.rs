//! What was really said, by utterance.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::list::{Lines, split_id};
use crate::error::{Error, Result};

/// A file of references: on each line an utterance's name, then white space, then its words. Held in memory.
pub struct References {
    path: PathBuf,
    texts: HashMap<String, String>,
}

impl References {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Line`] for a name that comes twice or text that is not UTF-8.
    pub fn read(path: &Path) -> Result<Self> {
        let mut lines = Lines::open(path)?;
        let mut texts = HashMap::new();
        while let Some(line) = lines.next()? {
            let (id, text) = split_id(&line);
            if texts.insert(id.to_owned(), text.to_owned()).is_some() {
                return lines.fault(format!(
                    "the utterance {id:?} has a reference already: give each line a name of its own, then its words"
                ));
            }
        }
        Ok(Self { path: path.to_owned(), texts })
    }

    /// The reference of an utterance.
    ///
    /// # Errors
    /// [`Error::Line`] if there is none.
    pub fn of(&self, id: &str) -> Result<&str> {
        let what = || {
            format!(
                "no reference for the utterance {id:?}: a line begins with the utterance's name, then its words"
            )
        };
        let missing = || Error::Line { path: self.path.clone(), line: 0, what: what() };
        self.texts.get(id).map(String::as_str).ok_or_else(missing)
    }
}
