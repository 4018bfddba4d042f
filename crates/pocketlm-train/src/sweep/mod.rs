//! Sweeps: many trainings or compressions that differ in some settings, from one specification.
//!
//! ```toml
//! base = "inan-small"            # as in a recipe; with [model] and [train] over it, for all trials
//! seed = 1                       # of the draws, and of every training
//!
//! [train]
//! epochs = 5
//!
//! [grid]                         # every combination
//! "train.lr" = [0.001, 0.003]
//! "train.variational.state" = [0.0, 0.2]
//! ```
//!
//! or, in place of `[grid]`:
//!
//! ```toml
//! trials = 20
//!
//! [random]
//! "train.lr" = { log-uniform = [1e-4, 1e-2] }
//! "train.dropout" = { uniform = [0.0, 0.6] }
//! "model.cell" = { choice = ["lstm", "cifg"] }
//! ```
//!
//! A trial can be a compression instead: the specification then names a trained model and has the steps of a recipe of
//! compression, whose keys vary by the step's number, from 1.
//!
//! ```toml
//! checkpoint = "runs/small"      # from the specification's folder on
//!
//! [[step]]
//! method = "low-rank"
//! matrices = ["softmax"]
//! rank = 64
//!
//! [[step]]
//! method = "quantise"
//! matrices = ["*"]
//! precision = "int8"
//!
//! [grid]
//! "step.1.rank" = [16, 32, 64]
//! "step.2.precision" = ["int8", "int4"]
//! ```
//!
//! Bounds written as whole numbers draw whole numbers, both bounds included; others are rounded to four digits, so
//! that what a table shows is what was trained. Random search: Bergstra & Bengio 2012.

mod compressions;
mod draw;

use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::recipe::{CompressionRecipe, Draft, Recipe};
use draw::Draw;

/// Most trials of a sweep.
const MOST_TRIALS: usize = 10_000;

/// Keys of a specification, those of a recipe among them.
const KEYS: [&str; 11] = [
    "base",
    "recipe",
    "seed",
    "trials",
    "grid",
    "random",
    "model",
    "train",
    "form",
    "checkpoint",
    "step",
];

/// The trials of a specification.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Seed of the draws and of every training.
    pub seed: u64,
    /// Dotted names of the settings that vary, in their order in [`Trial::settings`].
    pub keys: Vec<String>,
    /// The folder of the model that all trials compress, if they do.
    pub checkpoint: Option<PathBuf>,
    /// In the order in which they are run. More draws, or another last value of a grid's first setting, add to
    /// the end.
    pub trials: Vec<Trial>,
}

/// One training or compression of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 1.
    pub number: usize,
    /// The values of the settings that vary.
    pub settings: Vec<Value>,
    /// What is done.
    pub work: Work,
}

/// What a trial does: its whole recipe, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Trains a model.
    Training(Box<Recipe>),
    /// Compresses the model of the sweep.
    Compression(CompressionRecipe),
}

impl Sweep {
    /// Reads a specification file. Its key `recipe` names a recipe file, from the specification's folder on.
    ///
    /// # Errors
    /// [`Error::Recipe`] naming file, line and mend; [`Error::Io`] for a file that cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::io(path));
        let text = read(path)?;
        let include = |name: &str| {
            let path = path.parent().unwrap_or(Path::new("")).join(name);
            Ok((path.display().to_string(), read(&path)?))
        };
        Self::parse(&path.display().to_string(), &text, &include)
    }

    /// Reads the text of a specification; `place` names it in messages, `include` gives place and text of a
    /// recipe that it names.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(
        place: &str,
        text: &str,
        include: &dyn Fn(&str) -> Result<(String, String)>,
    ) -> Result<Self> {
        let spec = Spec { place, text };
        let parsed: std::result::Result<Table, _> = text.parse();
        let mut table = parsed.map_err(|e| spec.whole(e.to_string().trim_end()))?;
        spec.check_keys(&table)?;
        let seed = spec.whole_number(&mut table, "seed")?.unwrap_or(1);
        let trials = spec.whole_number(&mut table, "trials")?;
        let search = match (table.remove("grid"), table.remove("random"), trials) {
            (Some(grid), None, None) => spec.grid(&grid)?,
            (None, Some(random), Some(trials)) => spec.random(&random, trials, seed)?,
            (Some(_), None, Some(_)) => {
                return Err(spec.at("trials", "is for [random]: a [grid] has as many as it has"));
            }
            (None, Some(_), None) => {
                return Err(spec.at("[random]", "needs to know how many: give trials = 20, say"));
            }
            (Some(_), Some(_), _) => {
                return Err(spec.at("[random]", "stands beside [grid]: leave one of them out"));
            }
            (None, None, _) => {
                return Err(spec.whole("varies nothing: give [grid] or [random]"));
            }
        };
        let (checkpoint, trials) = match table.contains_key("checkpoint") {
            true => {
                let (checkpoint, steps) = spec.compression(&table)?;
                (Some(checkpoint), spec.compressions(&steps, &search)?)
            }
            false => (None, spec.trials(&spec.base(table, include)?, &search)?),
        };
        Ok(Self { seed, keys: search.keys, checkpoint, trials })
    }
}

impl Trial {
    /// The recipe of a training.
    #[must_use]
    pub fn training(&self) -> Option<&Recipe> {
        match &self.work {
            Work::Training(recipe) => Some(recipe),
            Work::Compression(_) => None,
        }
    }

    /// The recipe as a file.
    ///
    /// # Errors
    /// [`Error::Recipe`] if it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        match &self.work {
            Work::Training(recipe) => toml::to_string(recipe).map_err(|e| Error::Recipe {
                place: format!("trial {}", self.number),
                what: e.to_string(),
            }),
            Work::Compression(recipe) => Ok(recipe.to_toml()),
        }
    }

    /// Whether `text` is its recipe, as [`to_toml`](Self::to_toml) writes it or as people do.
    #[must_use]
    pub fn is_of(&self, text: &str) -> bool {
        match &self.work {
            Work::Training(recipe) => toml::from_str::<Recipe>(text).ok().as_ref() == Some(recipe),
            Work::Compression(recipe) => {
                CompressionRecipe::parse("", text).ok().as_ref() == Some(recipe)
            }
        }
    }

    /// `train.lr = 0.003, model.cell = "gru"`
    pub fn describe(&self, keys: &[String]) -> String {
        let pairs = keys.iter().zip(&self.settings);
        pairs.map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
    }
}

/// What varies: the settings' names and each trial's values.
struct Search {
    keys: Vec<String>,
    values: Vec<Vec<Value>>,
}

/// A specification's text, for the places in messages.
struct Spec<'a> {
    place: &'a str,
    text: &'a str,
}

impl Spec<'_> {
    fn whole(&self, what: &str) -> Error {
        Error::Recipe { place: self.place.to_owned(), what: what.to_owned() }
    }

    /// An error at the line of `key`, which may be dotted.
    fn at(&self, key: &str, what: impl std::fmt::Display) -> Error {
        Error::Recipe { place: self.line_of(key), what: format!("{key} {what}") }
    }

    /// `FILE:LINE`, of the first line that begins with the key or with its last part.
    fn line_of(&self, key: &str) -> String {
        let begins = |key: &str| {
            self.text.lines().position(|line| {
                let line = line.trim_start().trim_start_matches('"');
                line.strip_prefix(key).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            })
        };
        let short = key.rsplit('.').next().unwrap_or(key);
        let line = begins(key).or_else(|| begins(short));
        line.map_or(self.place.to_owned(), |n| format!("{}:{}", self.place, n + 1))
    }

    fn check_keys(&self, table: &Table) -> Result<()> {
        let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) else {
            return Ok(());
        };
        let near = nearest(key, &KEYS);
        let what =
            format!("is no key of a sweep: did you mean {near:?}? There are {}", KEYS.join(", "));
        let shown = if table[key].is_table() { format!("[{key}]") } else { key.clone() };
        Err(self.at(&shown, what))
    }

    fn whole_number<T: TryFrom<i64>>(&self, table: &mut Table, key: &str) -> Result<Option<T>> {
        let Some(value) = table.remove(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.at(key, format!("is {value}: give a whole number")))
    }

    /// The recipe that all trials start from.
    fn base(
        &self,
        mut table: Table,
        include: &dyn Fn(&str) -> Result<(String, String)>,
    ) -> Result<Draft> {
        if table.contains_key("step") {
            return Err(self.at("[[step]]", "compresses a trained model: name it by checkpoint"));
        }
        let mut draft = Draft::base("zaremba-small")?;
        let file = table.remove("recipe");
        if let Some(base) = table.remove("base") {
            let name = base.as_str().ok_or_else(|| self.at("base", "is not a string"))?;
            draft = Draft::base(name).map_err(|e| self.at("base", format!("= {e}")))?;
        }
        if let Some(file) = file {
            let name = file.as_str().ok_or_else(|| self.at("recipe", "is not a string"))?;
            let (place, text) = include(name)?;
            draft = draft.file(&place, &text)?;
        }
        draft.over(table, self.place, self.text)
    }

    /// Every combination of the settings, in alphabetical order, the values of the last one changing fastest.
    fn grid(&self, grid: &Value) -> Result<Search> {
        let mut keys = Vec::new();
        let mut values = vec![Vec::new()];
        for (key, choices) in leaves(grid, &|_| false) {
            let choices = match choices {
                Value::Array(choices) if !choices.is_empty() => choices,
                _ => {
                    return Err(self.at(&key, "needs a list of values: [0.1, 0.2], say"));
                }
            };
            if values.len() * choices.len() > MOST_TRIALS {
                return Err(self.at(&key, format!("makes more than {MOST_TRIALS} trials")));
            }
            let longer = |(before, choice): (&Vec<Value>, &Value)| {
                [&before[..], std::slice::from_ref(choice)].concat()
            };
            values = values
                .iter()
                .flat_map(|before| choices.iter().map(move |c| (before, c)))
                .map(longer)
                .collect();
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(self.at("[grid]", "is empty: name a setting and its values"));
        }
        Ok(Search { keys, values })
    }

    /// So many draws, each from a stream of its own: more trials begin with the same ones.
    fn random(&self, random: &Value, trials: usize, seed: u64) -> Result<Search> {
        if !(1..=MOST_TRIALS).contains(&trials) {
            return Err(self.at("trials", format!("is {trials}: give 1 to {MOST_TRIALS}")));
        }
        let settings = leaves(random, &|table| {
            let is_kind = |key: &String| draw::KINDS.contains(&key.as_str());
            table.keys().any(is_kind) || table.values().any(Value::is_array)
        });
        if settings.is_empty() {
            return Err(self.at("[random]", "is empty: name a setting and how it is drawn"));
        }
        let mut draws = Vec::new();
        for (key, value) in &settings {
            draws.push(Draw::read(value).map_err(|what| self.at(key, what))?);
        }
        let values = (0..trials).map(|trial| {
            let mut numbers = ChaCha8Rng::seed_from_u64(seed);
            numbers.set_stream(trial as u64 + 1);
            draws.iter().map(|draw| draw.value(&mut numbers)).collect()
        });
        let values = values.collect();
        Ok(Search { keys: settings.into_iter().map(|(key, _)| key).collect(), values })
    }

    fn trials(&self, base: &Draft, search: &Search) -> Result<Vec<Trial>> {
        let trial = |(settings, number): (&Vec<Value>, usize)| {
            let mut draft = base.clone();
            for (key, value) in search.keys.iter().zip(settings) {
                draft = draft.value(key, value.clone()).map_err(|e| self.of_setting(key, e))?;
            }
            let trial = |recipe| Trial {
                number,
                settings: settings.clone(),
                work: Work::Training(Box::new(recipe)),
            };
            draft.finish().map(trial).map_err(|e| self.of_trial(number, &search.keys, settings, e))
        };
        search.values.iter().zip(1..).map(trial).collect()
    }

    /// An unknown setting, at its line.
    fn of_setting(&self, key: &str, error: Error) -> Error {
        match error {
            Error::Recipe { what, .. } => Error::Recipe { place: self.line_of(key), what },
            other => other,
        }
    }

    /// A recipe that cannot work, at the line of the setting that is at fault, if one is named.
    fn of_trial(&self, number: usize, keys: &[String], settings: &[Value], error: Error) -> Error {
        let message = error.to_string();
        let guilty = keys.iter().find(|key| {
            let short = key.rsplit('.').next().unwrap_or(key);
            message.contains(key.as_str()) || message.contains(&format!("`{short}`"))
        });
        let place = guilty.map_or(self.place.to_owned(), |key| self.line_of(key));
        let pairs: Vec<_> =
            keys.iter().zip(settings).map(|(key, value)| format!("{key} = {value}")).collect();
        Error::Recipe { place, what: format!("trial {number} ({}): {message}", pairs.join(", ")) }
    }
}

/// The keys of a table and of the tables within, dotted; a table that `is_leaf` is a value. Sorted by key.
fn leaves(value: &Value, is_leaf: &dyn Fn(&Table) -> bool) -> Vec<(String, Value)> {
    let Value::Table(table) = value else { return Vec::new() };
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) if !is_leaf(inner) && !inner.is_empty() => {
                let within = leaves(value, is_leaf).into_iter();
                all.extend(within.map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => all.push((key.clone(), value.clone())),
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> &'a str {
    let by = |a: &&&str, b: &&&str| strsim::jaro(word, a).total_cmp(&strsim::jaro(word, b));
    known.iter().max_by(by).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
