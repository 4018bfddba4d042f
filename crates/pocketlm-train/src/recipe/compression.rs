//! Compression recipes: an ordered list of steps as TOML.
//!
//! ```toml
//! [[step]]
//! method = "prune"
//! matrices = ["softmax"]
//! sparsity = 0.9
//!
//! [[step]]
//! method = "fine-tune"
//! epochs = 3
//! lr = 0.1
//! ```

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::outline::Outline;
use super::step::Step;
use crate::corpus::Corpus;
use crate::error::{Error, Result};

/// The steps of a compression, in their order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionRecipe {
    /// The steps.
    pub step: Vec<Step>,
}

impl CompressionRecipe {
    /// Reads a recipe; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Recipe`] with the line, and the nearest spelling of an unknown key or method.
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        let parsed: std::result::Result<Table, _> = text.parse();
        let fault = |what: String| Error::Recipe { place: place.to_owned(), what };
        let table = parsed.map_err(|e| fault(e.to_string().trim_end().to_owned()))?;
        Self::from_table(place, text, &table)
    }

    /// The steps `[[step]]` of a table that was read from `text`; other keys are refused.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_table(place: &str, text: &str, table: &Table) -> Result<Self> {
        if let Some(key) = table.keys().find(|key| *key != "step") {
            let file = File { place, text, heading: "[[step]]" };
            return Err(Error::Recipe {
                place: file.at(key, 0),
                what: format!(
                    "{key:?} is no key of a compression recipe: it is a list of [[step]]"
                ),
            });
        }
        let none = Value::Array(Vec::new());
        let step = read_steps(place, text, "step", table.get("step").unwrap_or(&none))?;
        if step.is_empty() {
            let what = "has no [[step]]: there is nothing to do".to_owned();
            return Err(Error::Recipe { place: place.to_owned(), what });
        }
        Ok(Self { step })
    }

    /// Checks every step against the model that the ones before it leave.
    ///
    /// # Errors
    /// What the first step that does not fit says, with its number.
    pub fn check(&self, outline: &Outline, corpus: Option<&Corpus>) -> Result<Outline> {
        let mut outline = outline.clone();
        for (at, step) in self.step.iter().enumerate() {
            let place = |e: Error| match e {
                Error::Config { field, what } => {
                    Error::config(format!("step {} ({}): {field}", at + 1, step.name()), what)
                }
                other => other,
            };
            step.settings().declare(&mut outline).map_err(place)?;
            if !step.settings().needs_text() {
                continue;
            }
            match corpus {
                Some(corpus) => check_text(corpus).map_err(place)?,
                None => return Err(place(Error::config("text", "is needed: give --data"))),
            }
        }
        Ok(outline)
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is TOML")
    }
}

/// Refuses text from which nothing can be learnt about the model.
///
/// # Errors
/// When the training text has no word that the model knows.
pub(crate) fn check_text(corpus: &Corpus) -> Result<()> {
    let text = &corpus.train;
    let lines = text.ids.iter().filter(|&&id| id == corpus.encoder.vocabulary().eos()).count();
    if text.oov as usize + lines < text.ids.len() {
        return Ok(());
    }
    let what = "has no word that the model knows: give text like that it was trained on";
    Err(Error::config("the calibration text", what))
}

/// Reads the steps under `[[heading]]` of a file.
///
/// # Errors
/// [`Error::Recipe`] with the line, and the nearest spelling of an unknown key or method.
pub fn read_steps(place: &str, text: &str, heading: &str, steps: &Value) -> Result<Vec<Step>> {
    let file = File { place, text, heading: &format!("[[{heading}]]") };
    let Value::Array(steps) = steps else {
        let what = format!("{heading:?} is no list: write {}", file.heading);
        return Err(Error::Recipe { place: file.at(heading, 0), what });
    };
    steps.iter().enumerate().map(|(at, step)| read_step(&file, at, step)).collect()
}

/// A file with steps, for the places in messages.
struct File<'a> {
    place: &'a str,
    text: &'a str,
    heading: &'a str,
}

fn read_step(file: &File, at: usize, step: &Value) -> Result<Step> {
    let fault = |key: &str, what: String| Err(Error::Recipe { place: file.at(key, at + 1), what });
    let Value::Table(keys) = step else {
        return fault(file.heading, format!("step {} is no table", at + 1));
    };
    let mut keys = keys.clone();
    let name = match keys.remove("method") {
        Some(Value::String(name)) => name,
        _ => {
            return fault(
                file.heading,
                format!("step {} has no method, one of {}", at + 1, all_names()),
            );
        }
    };
    match Step::read(&name, keys) {
        None => {
            let near = nearest(&name, Step::NAMES.iter().copied());
            let all = all_names();
            fault(
                "method",
                format!("no method is called {name:?}: did you mean {near:?}? There are {all}"),
            )
        }
        Some(Ok(step)) => Ok(step),
        Some(Err(e)) => {
            let message = e.message().to_owned();
            let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
            match (&quoted[..], message.starts_with("unknown field")) {
                ([key, known @ ..], true) => {
                    let near = nearest(key, known.iter().copied());
                    let all = known.join(", ");
                    let what =
                        format!("{name} has no key {key:?}: did you mean {near:?}? It has {all}");
                    fault(key, what)
                }
                _ => fault(file.heading, format!("step {} ({name}): {message}", at + 1)),
            }
        }
    }
}

fn all_names() -> String {
    Step::NAMES.join(", ")
}

fn nearest<'a>(key: &str, all: impl Iterator<Item = &'a str>) -> &'a str {
    let likeness = |name: &&str| strsim::jaro(key, name);
    all.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

impl File<'_> {
    /// `place:line` of the first line that starts with `key`, from the `step`-th heading on.
    fn at(&self, key: &str, step: usize) -> String {
        let mut seen = 0;
        for (at, line) in self.text.lines().enumerate() {
            let line = line.trim_start();
            seen += usize::from(line.starts_with(self.heading));
            if seen >= step && line.trim_start_matches('[').starts_with(key.trim_start_matches('['))
            {
                return format!("{}:{}", self.place, at + 1);
            }
        }
        self.place.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Forms;
    use crate::recipe::Recipe;

    fn outline() -> Outline {
        let model = Recipe::base("zaremba-small").unwrap().model;
        Outline { model, vocabulary: 300, forms: Forms::default() }
    }

    fn error(text: &str) -> String {
        let recipe = CompressionRecipe::parse("my.toml", text);
        recipe.and_then(|r| r.check(&outline(), None)).unwrap_err().to_string()
    }

    #[test]
    fn a_recipe_survives_its_own_toml() {
        let text = "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 20\n\
                    [[step]]\nmethod = \"prune\"\nmatrices = [\"softmax.left\"]\nsparsity = 0.5\n\
                    [[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int8\"\n";
        let recipe = CompressionRecipe::parse("a", text).unwrap();
        recipe.check(&outline(), None).unwrap();
        assert_eq!(CompressionRecipe::parse("b", &recipe.to_toml()).unwrap(), recipe);
    }

    #[test]
    fn unknown_keys_and_methods_get_line_and_nearest_spelling() {
        let step = "[[step]]\nmethod = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int8\"\n";
        let message = error(&format!(
            "{step}[[step]]\nmethod = \"prune\"\nmatrices = [\"*\"]\nsparsty = 0.5\n"
        ));
        assert!(message.contains("my.toml:8") && message.contains("\"sparsity\""), "{message}");
        let message = error("[[step]]\nmethod = \"prun\"\n");
        assert!(message.contains("my.toml:2") && message.contains("\"prune\""), "{message}");
    }

    #[test]
    fn settings_that_cannot_work_are_found_before_any_work() {
        let step = |rest: &str| format!("[[step]]\n{rest}\n");
        for (text, expected) in [
            ("method = \"prune\"\nmatrices = [\"*\"]\nsparsity = 1.5", "sparsity is 1.5"),
            ("method = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 201", "from 1 to 200"),
            ("method = \"low-rank\"\nmatrices = [\"softmax\"]", "rank is missing"),
            (
                "method = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 3\nratio = 0.5",
                "given twice",
            ),
            ("method = \"prune\"\nmatrices = [\"sofmax\"]\nsparsity = 0.5", "cell.0.input"),
            ("method = \"fine-tune\"\nepoch = 2", "train.epochs"),
            ("method = \"fine-tune\"\nepochs = 2", "give --data"),
            ("method = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int9\"", "int8"),
            ("method = \"tensor-train\"\nmatrices = [\"softmax\"]\nrank = 0", "rank is 0"),
            ("method = \"shared-low-rank\"\nrank = 500", "from 1 to 200"),
            ("method = \"block-low-rank\"\nmatrices = [\"cell.*\"]\nratio = 0.5", "no words"),
            ("method = \"block-low-rank\"\nmatrices = [\"softmax\"]\nratio = 1.5", "ratio is 1.5"),
            (
                "method = \"block-low-rank\"\nmatrices = [\"softmax\"]\nratio = 0.5\ngroups = 17",
                "groups is 17",
            ),
            ("method = \"block-low-rank\"\nmatrices = [\"softmax\"]\nratio = 0.01", "no room"),
            (
                "method = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 5\nfisher = true",
                "give --data",
            ),
            (
                "method = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"codebook\"\ncompensate = true",
                "cannot be compensated",
            ),
            (
                "method = \"tensor-train\"\nmatrices = [\"softmax\"]\nrank = 3\n[[step]]\n\
                 method = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int4\"\ncompensate = true",
                "inputs are not known",
            ),
            ("method = \"kronecker\"\nmatrices = [\"softmax\"]\nterms = 0", "makes 0 in softmax"),
            (
                "method = \"kronecker\"\nmatrices = [\"softmax\"]\nterms = 3\nleft = [0, 2]",
                "left is 0 x 2",
            ),
            ("method = \"block-circulant\"\nmatrices = [\"softmax\"]\nblock = 0", "block is 0"),
            ("method = \"block-circulant\"\nmatrices = [\"softmax\"]\nblock = 5000", "cannot have"),
            ("method = \"toeplitz-like\"\nmatrices = [\"softmax\"]\nrank = 201", "with rank 201"),
            (
                "method = \"learned-scales\"\nmatrices = [\"*\"]\nprecision = \"int8\"",
                "precision is int8",
            ),
            (
                "method = \"learned-scales\"\nmatrices = [\"softmax\"]\nprecision = \"int3\"\n[[step]]\n\
                 method = \"quantise\"\nmatrices = [\"*\"]\nprecision = \"int8\"",
                "softmax, which has learned scales",
            ),
            (
                "method = \"prune\"\nmatrices = [\"softmax\"]\nsparsity = 0.5\n[[step]]\n\
                 method = \"learned-scales\"\nmatrices = [\"*\"]\nprecision = \"int3\"",
                "has rounded or pruned",
            ),
            ("method = \"remove-units\"", "fraction is missing"),
            ("method = \"remove-units\"\nfraction = 1.0", "fraction is 1"),
            ("method = \"remove-units\"\nfraction = 0.5\nbelow = 0.1", "both given"),
            ("method = \"remove-units\"\nbelow = -1", "below is -1"),
            ("method = \"remove-units\"\nbelow = 0.1\nsaliency = \"taylor\"", "leave saliency"),
            ("method = \"remove-units\"\nfraction = 0.5\nsaliency = \"taylor\"", "give --data"),
            (
                "method = \"remove-units\"\nfraction = 0.5\nunits = [\"cell.7\"]",
                "none of cell.0, cell.1, embedding",
            ),
            (
                "method = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 3\n[[step]]\n\
                 method = \"remove-units\"\nfraction = 0.5",
                "weights in softmax, which has a structure",
            ),
            (
                "method = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 3\n[[step]]\n\
                 method = \"fine-tune\"\ngroup_lasso = 0.1",
                "weights in softmax, which has a structure",
            ),
            ("method = \"fine-tune\"\ngroup_lasso = -1", "train.group_lasso is -1"),
            (
                "method = \"fine-tune\"\nregrowth = { matrices = [\"*\"], sparsity = 1.5 }",
                "train.regrowth.sparsity is 1.5",
            ),
            (
                "method = \"fine-tune\"\nregrowth = { matrices = [\"*\"], sparsity = 0.5, every = 0 }",
                "train.regrowth.every is 0",
            ),
            (
                "method = \"fine-tune\"\naverage = { kind = \"ema\", decay = 0.9 }\n\
                 regrowth = { matrices = [\"*\"], sparsity = 0.5 }",
                "train.average would bring back",
            ),
            (
                "method = \"fine-tune\"\nregrowth = { matrices = [\"nothing\"], sparsity = 0.5 }",
                "nothing",
            ),
            ("method = \"variational-dropout\"\nmatrices = [\"*\"]", "give --data"),
            (
                "method = \"variational-dropout\"\nmatrices = [\"*\"]\ntreshold = 2",
                "no recipe has the key \"treshold\"",
            ),
            ("method = \"variational-dropout\"\nmatrices = [\"*\"]\nwarm_up = -1", "warm_up is -1"),
            (
                "method = \"rate-distortion\"\nmatrices = [\"*\"]",
                "give the mean bits of a weight, or bytes",
            ),
            (
                "method = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 5",
                "bits is 5: give 0.5 to 4.5",
            ),
            (
                "method = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 2\nbytes = 9",
                "both given: give one",
            ),
            ("method = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 2", "give --data"),
            (
                "method = \"rate-distortion\"\nmatrices = [\"softmax\"]\nbits = 2\nweights = { embedding = 2 }",
                "which is none of softmax",
            ),
            (
                "method = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 2\nweights = { embedding = 0 }",
                "gives embedding 0: give a number above 0",
            ),
            (
                "method = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 3\n[[step]]\n\
                 method = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 2",
                "factors take quantise with compensate",
            ),
            (
                "method = \"prune\"\nmatrices = [\"softmax\"]\nsparsity = 0.5\n[[step]]\n\
                 method = \"rate-distortion\"\nmatrices = [\"*\"]\nbits = 2",
                "has softmax, which an earlier step has rounded or pruned: leave that step out",
            ),
            (
                "method = \"prune\"\nmatrices = [\"softmax\"]\nsparsity = 0.5\n[[step]]\n\
                 method = \"variational-dropout\"\nmatrices = [\"*\"]",
                "has rounded or pruned",
            ),
            (
                "method = \"variational-dropout\"\nmatrices = [\"softmax\"]\n\
                 prune = { matrices = [\"softmax\"], sparsity = 0.5 }",
                "in variational dropout",
            ),
        ] {
            let message = error(&step(text));
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_step_sees_what_the_ones_before_it_made() {
        let text = "[[step]]\nmethod = \"low-rank\"\nmatrices = [\"softmax\"]\nrank = 20\n";
        let message = error(&format!("{text}{text}"));
        assert!(message.contains("step 2") && message.contains("decomposed already"), "{message}");
    }
}
