//! The rows of tables, published or our own, as recipes: a base model, how it is trained, and the steps that compress it.

use pocketlm_train::error::{Error, Result};
use pocketlm_train::recipe::{CompressionRecipe, Outline};
use pocketlm_train::recipe::{Draft, Recipe};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Types of the Penn Treebank.
pub const TYPES: usize = 10_000;

/// A named list of rows.
struct Suite {
    name: &'static str,
    rows: &'static [(&'static str, &'static str)],
}

macro_rules! rows {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../recipes/", $folder, "/", $name, ".toml")))),*]
    };
}

/// The suite of every method, which can be made on any base model.
pub const FIELD: &str = "field";

/// What can be reproduced.
const SUITES: &[Suite] = &[
    Suite {
        name: "paper",
        rows: rows!("paper":
            "original", "pruned", "pruned-retrained", "int8", "lstm-650", "lstm-1500",
            "low-rank-650", "tensor-train-600", "low-rank-1500",
        ),
    },
    Suite { name: "frontier", rows: rows!("frontier": "0.25mb", "0.5mb", "1mb") },
    Suite {
        name: FIELD,
        rows: rows!("methods":
            "f16", "int8", "int5", "int4", "codebook", "int3", "int2", "ternary",
            "low-rank-softmax-100", "low-rank-100", "low-rank-100-weighted", "shared-low-rank-100", "tensor-train", "prune-50", "prune-80",
            "panels-50", "low-rank-100-fisher", "block-low-rank", "kronecker", "block-circulant-4", "toeplitz-like-25",
            "binary3", "binary2", "int4-compensated", "int3-compensated", "int2-compensated", "product4", "product8",
            "int4-entropy", "ternary-entropy", "prune-80-entropy",
            "rate-distortion-3.5", "rate-distortion-3.2", "rate-distortion-2.8", "rate-distortion-2.6", "rate-distortion-2.25",
            "remove-units-36", "int3-learned", "int2-learned", "urnn", "variational-dropout", "sparse-from-scratch",
        ),
    },
];

/// The base model of most rows of [`FIELD`]; a row of another base is of that model alone.
pub const FIELD_BASE: &str = "zaremba-small";

/// A figure that was published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Bytes, as the publication counts them.
    pub bytes: u64,
    /// Test perplexity.
    pub perplexity: f64,
}

/// A row: a model to train, steps to compress it, and what was published of the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Number of the publication's table.
    pub table: u32,
    /// What the publication reached, if the row is from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<Published>,
    /// Bytes that its packed file may have at most, where that is what it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_bytes: Option<u64>,
    /// What is published of its method elsewhere, and why the row differs from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// The base model.
    pub base: String,
    /// The trained base model that the training starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The row whose trained model it compresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_by: Option<String>,
    /// Whether the base model's recipe is changed by the row.
    pub own_training: bool,
    /// Seed of the training.
    pub seed: u64,
    /// How the model is trained.
    pub training: Recipe,
    /// How it is compressed.
    pub compression: CompressionRecipe,
}

/// Names of the suites.
pub fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|suite| suite.name)
}

fn find(suite: &str) -> Result<&'static Suite> {
    let found = SUITES.iter().find(|known| known.name == suite);
    found.ok_or_else(|| Error::Recipe {
        place: format!("suite {suite:?}"),
        what: format!("is not one of {}", suites().collect::<Vec<_>>().join(", ")),
    })
}

/// The rows of a suite.
///
/// # Errors
/// [`Error::Recipe`] listing the suites when there is none of that name.
pub fn rows(suite: &str) -> Result<Vec<Row>> {
    let rows = find(suite)?.rows.iter().map(|(name, text)| Row::parse(name, text));
    let mut rows: Vec<Row> = rows.collect::<Result<_>>()?;
    for at in 0..rows.len() {
        let Some(other) = rows[at].trained_by.clone() else { continue };
        let found = rows.iter().find(|row| row.name == other);
        let found = found.ok_or_else(|| Error::Recipe {
            place: format!("row {}", rows[at].name),
            what: format!("trained_by is {other:?}, which is no row"),
        })?;
        let (training, from) = (found.training.clone(), found.from.clone());
        (rows[at].training, rows[at].from, rows[at].own_training) = (training, from, true);
    }
    Ok(rows)
}

/// The rows of [`FIELD`] on another base model, trained with seed 1, as far as they fit it: where embedding and
/// softmax are one matrix, steps for either change that one.
///
/// # Errors
/// [`Error::Recipe`] when there is no base model of that name.
pub fn rows_on(base: &str) -> Result<Vec<Row>> {
    let tied = Recipe::base(base)?.model.tied;
    let row = |(name, text): &(&str, &str)| {
        let mut table = parse_table(name, text)?;
        if table["base"].as_str() != Some(FIELD_BASE) {
            return Ok(None);
        }
        table.insert("base".into(), base.into());
        table.insert("seed".into(), 1.into());
        if tied {
            let steps = table.get_mut("step").and_then(Value::as_array_mut);
            steps.into_iter().flatten().for_each(tie);
        }
        let text = toml::to_string(&table).expect("a table is TOML");
        // A training of its own may contradict what the base model is trained with.
        Ok(Row::parse(name, &text).ok())
    };
    let all: Result<Vec<Option<Row>>> = find(FIELD)?.rows.iter().map(row).collect();
    Ok(all?.into_iter().flatten().filter(Row::fits).collect())
}

/// Lets a step name the embedding where it named the softmax.
fn tie(step: &mut Value) {
    let Some(matrices) = step.get_mut("matrices").and_then(Value::as_array_mut) else { return };
    for matrix in matrices.iter_mut().filter(|matrix| matrix.as_str() == Some("softmax")) {
        *matrix = "embedding".into();
    }
    matrices.dedup();
}

fn parse_table(name: &str, text: &str) -> Result<Table> {
    let fault = |what: String| Error::Recipe { place: format!("row {name}"), what };
    text.parse().map_err(|e: toml::de::Error| fault(e.to_string().trim_end().to_owned()))
}

#[derive(Deserialize)]
struct Head {
    title: String,
    table: u32,
    paper: Option<Published>,
    budget_bytes: Option<u64>,
    published: Option<String>,
    base: String,
    from: Option<String>,
    trained_by: Option<String>,
    #[serde(default = "one")]
    seed: u64,
}

/// The keys of [`Head`].
const HEAD: [&str; 9] =
    ["title", "table", "paper", "budget_bytes", "published", "base", "from", "trained_by", "seed"];

fn one() -> u64 {
    1
}

impl Row {
    /// Reads a row: the keys of [`Row`], tables of a training recipe over the base's, and `[[step]]`.
    ///
    /// # Errors
    /// [`Error::Recipe`] for what does not parse.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let fault = |what: String| Error::Recipe { place: format!("row {name}"), what };
        let mut table = parse_table(name, text)?;
        let head: Head = table.clone().try_into().map_err(|e| fault(e.to_string()))?;
        let steps = table.remove("step");
        for key in HEAD {
            table.remove(key);
        }
        let own_training = !table.is_empty();
        let training = toml::to_string(&table).expect("a table is TOML");
        let training = Draft::base(&head.base)?.file(name, &training)?.finish()?;
        let steps = Table::from_iter(steps.map(|steps| ("step".to_owned(), steps)));
        let compression = CompressionRecipe::from_table(name, text, &steps)?;
        let Head { title, table, paper, budget_bytes, published, base, from, trained_by, seed } =
            head;
        let name = name.to_owned();
        Ok(Self {
            name,
            title,
            table,
            paper,
            budget_bytes,
            published,
            base,
            from,
            trained_by,
            own_training,
            seed,
            training,
            compression,
        })
    }

    /// Whether its steps fit a model of the Penn Treebank.
    fn fits(&self) -> bool {
        self.outline().is_ok()
    }

    /// What its model will look like.
    fn outline(&self) -> Result<Outline> {
        let forms = self.training.forms(TYPES)?;
        let model = self.training.model.clone();
        let mut outline = Outline { model, vocabulary: TYPES, forms };
        let mut steps = self.compression.step.iter();
        steps.try_for_each(|step| step.settings().declare(&mut outline))?;
        Ok(outline)
    }

    /// Name of the folder of its training, which rows with the same training share.
    pub fn training_name(&self) -> String {
        if self.own_training {
            self.trained_by.as_ref().unwrap_or(&self.name).clone()
        } else {
            format!("{}-seed{}", self.base, self.seed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_fits_its_model() {
        for suite in suites() {
            for row in rows(suite).unwrap() {
                assert!(row.fits(), "{}", row.name);
            }
        }
    }

    #[test]
    fn most_methods_fit_the_tied_models() {
        for base in crate::base::all().iter().filter(|base| base.asset) {
            let base = &*base.name;
            let fitting = rows_on(base).unwrap();
            assert!(3 * fitting.len() > 2 * rows(FIELD).unwrap().len(), "{base}");
            let names: Vec<&str> = fitting.iter().map(|row| &*row.name).collect();
            assert!(names.contains(&"low-rank-100") == (base != "keyboard"), "{names:?}");
        }
    }

    /// The packed files of the frontier are those that were measured.
    #[test]
    fn the_files_of_the_frontier_fit_their_size() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for row in rows("frontier").unwrap() {
            let name = &row.name;
            let text = std::fs::read(root.join(format!("results/frontier/{name}.json"))).unwrap();
            let stored: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let file = std::fs::read(root.join(format!("assets/frontier/{name}.plm"))).unwrap();
            assert_eq!(stored["bytes"], file.len(), "{name}");
            assert!(file.len() as u64 <= row.budget_bytes.unwrap(), "{name}");
            let model = pocketlm::Model::from_bytes(file).unwrap();
            let test =
                model.perplexity().iter().find(|figure| figure.data.ends_with("test")).unwrap();
            let want = stored["test_perplexity"].as_f64().unwrap();
            assert!((test.value - want).abs() < 1e-6, "{name}: {} {want}", test.value);
        }
    }

    #[test]
    fn the_factored_models_are_as_large_as_published() {
        let count = |name: &str| {
            let row = rows("paper").unwrap().into_iter().find(|row| row.name == name).unwrap();
            row.outline().unwrap().parametrization().unwrap().1.data.len()
        };
        for (name, published) in
            [("low-rank-650", 4.2e6), ("tensor-train-600", 12.6e6), ("low-rank-1500", 23.72e6)]
        {
            assert!(count(name) as f64 <= published, "{name}: {}", count(name));
        }
    }
}
