//! Recipes: the base models by name, a TOML file over them, single settings over that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::matrix::Forms;
use crate::settings::{CellKind, ModelConfig, TrainConfig};

mod compression;
pub(crate) mod outline;
pub(crate) mod step;
pub(crate) mod units;

pub use compression::CompressionRecipe;
pub(crate) use compression::check_text;
pub use outline::Outline;
pub use step::*;

use compression::read_steps;
pub(crate) use step::prune::declare_sparsity;

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/", $name, ".toml")))),*]
    };
}

/// The base models: the files of `recipes/`.
const BASES: &[(&str, &str)] = recipes![
    "zaremba-small",
    "zaremba-medium",
    "zaremba-large",
    "melis-10m",
    "awd",
    "inan-small",
    "inan-small-averaged",
    "mogrifier",
    "keyboard",
    "urnn",
];

/// Everything that decides a training besides its data: written as TOML, kept in the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Shape of the network.
    pub model: ModelConfig,
    /// How it is trained.
    pub train: TrainConfig,
    /// Forms that matrices have from the start, as steps of a compression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<Step>,
}

impl Recipe {
    /// Names of the base models.
    pub fn base_names() -> impl Iterator<Item = &'static str> {
        BASES.iter().map(|(name, _)| *name)
    }

    /// The forms of the matrices at the start, for a vocabulary of so many types.
    ///
    /// # Errors
    /// When a form does not fit its matrix, or is only for trained models.
    pub fn forms(&self, vocabulary: usize) -> Result<Forms> {
        let (model, forms) = (self.model.clone(), Forms::default());
        let mut outline = Outline { model, vocabulary, forms };
        outline.make_unitary();
        self.form.iter().try_for_each(|step| step.settings().declare_untrained(&mut outline))?;
        declare_sparsity(&self.train, &mut outline)?;
        Ok(outline.forms)
    }

    /// The dotted keys in which two recipes differ, with the values of both.
    pub fn differences(&self, other: &Self) -> Vec<(String, Value, Value)> {
        let none = Value::from("nothing");
        let [own, theirs] = [self, other].map(|recipe| {
            let table = Table::try_from(recipe).expect("a recipe is TOML");
            settings(&Value::Table(table))
        });
        let keys: BTreeSet<&String> = own.keys().chain(theirs.keys()).collect();
        let value = |from: &BTreeMap<String, Value>, key| from.get(key).unwrap_or(&none).clone();
        let pairs =
            keys.into_iter().map(|key| (key.clone(), value(&own, key), value(&theirs, key)));
        pairs.filter(|(_, own, theirs)| own != theirs).collect()
    }

    /// Checks model and training, each for itself and both together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field and the mend.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.train.validate()?;
        let is_urnn = self.model.cell == CellKind::Urnn;
        if is_urnn && self.train.weight_drop > 0.0 {
            let what = "would take numbers out of a unitary matrix: set it to 0 for a urnn";
            return Err(Error::config("train.weight_drop", what));
        }
        if is_urnn && self.train.variational.state > 0.0 {
            let what = "scales up what is kept, at each step anew, and a unitary matrix does not shrink it: \
                        set it to 0 for a urnn";
            return Err(Error::config("train.variational.state", what));
        }
        Ok(())
    }

    /// The recipe of a base model.
    ///
    /// # Errors
    /// [`Error::Recipe`] listing the names when there is none of that name.
    pub fn base(name: &str) -> Result<Self> {
        Draft::base(name)?.finish()
    }
}

/// A recipe being put together: later layers win, nothing is checked before [`Draft::finish`].
#[derive(Clone, Debug)]
pub struct Draft {
    table: Table,
    /// Where the last layer came from, for messages.
    place: String,
}

impl Draft {
    /// Starts from a base model.
    ///
    /// # Errors
    /// [`Error::Recipe`] when there is none of that name.
    pub fn base(name: &str) -> Result<Self> {
        let found = BASES.iter().find(|(base, _)| *base == name);
        let text = found.map(|(_, text)| *text).ok_or_else(|| unknown_base(name))?;
        let table = text.parse().expect("the base recipes parse (tested)");
        Ok(Self { table, place: format!("base model {name}") })
    }

    /// Starts from a recipe at hand.
    pub fn of(recipe: &Recipe) -> Self {
        let table = Table::try_from(recipe).expect("a recipe is a table");
        Self { table, place: "the model's recipe".to_owned() }
    }

    /// Lays the text of a recipe file over it; its optional key `base` starts afresh from that base model.
    ///
    /// # Errors
    /// [`Error::Recipe`] with the place of what does not parse or is not a key of a recipe.
    pub fn file(self, place: &str, text: &str) -> Result<Self> {
        let parsed: std::result::Result<Table, _> = text.parse();
        let over = parsed.map_err(|e| recipe_error(place, e.to_string().trim_end()))?;
        self.over(over, place, text)
    }

    /// The same with what was read from the text, or a part of it.
    pub(crate) fn over(mut self, mut over: Table, place: &str, text: &str) -> Result<Self> {
        if let Some(base) = over.remove("base") {
            let name = base.as_str().ok_or_else(|| recipe_error(place, "base is not a string"))?;
            self = Self::base(name)?;
        }
        if let Some(form) = over.remove("form") {
            read_steps(place, text, "form", &form)?;
            self.table.insert("form".to_owned(), form);
        }
        check_keys(&over, place, text)?;
        merge(&mut self.table, over);
        self.place = place.to_owned();
        Ok(self)
    }

    /// Sets one key, `model.hidden` or `hidden`, to a value written as in TOML (`[300, 300]`); text that is
    /// not TOML is taken as a string, so `cell=gru` needs no quotes.
    ///
    /// # Errors
    /// [`Error::Recipe`] when no table of a recipe has that key.
    pub fn set(self, key: &str, value: &str) -> Result<Self> {
        let parsed: std::result::Result<Table, _> = format!("value = {value}").parse();
        let parsed = parsed.ok().and_then(|mut t| t.remove("value"));
        self.value(key, parsed.unwrap_or_else(|| Value::String(value.to_owned())))
    }

    /// Sets one key to a value; one of an inner table, as `train.variational.state`, leaves the others there.
    ///
    /// # Errors
    /// [`Error::Recipe`] when no table of a recipe has that key.
    pub fn value(mut self, key: &str, value: Value) -> Result<Self> {
        let (table, field, inner) = locate(key)?;
        let before = self.table.get(&table).and_then(|fields| fields.get(&field));
        let value = nested(before, &inner, value);
        let over = Table::from_iter([(field, value)]);
        merge(&mut self.table, Table::from_iter([(table, Value::Table(over))]));
        self.place = format!("setting {key}");
        Ok(self)
    }

    /// The checked recipe.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a value of the wrong kind, [`Error::Config`] for one that cannot work.
    pub fn finish(self) -> Result<Recipe> {
        let recipe: std::result::Result<Recipe, _> = Value::Table(self.table).try_into();
        let recipe = recipe.map_err(|e| recipe_error(&self.place, e.to_string().trim_end()))?;
        recipe.validate()?;
        Ok(recipe)
    }
}

fn recipe_error(place: &str, what: impl Into<String>) -> Error {
    Error::Recipe { place: place.to_owned(), what: what.into() }
}

/// The values of a table and of those within by their dotted keys.
fn settings(value: &Value) -> BTreeMap<String, Value> {
    let Value::Table(table) = value else { return BTreeMap::new() };
    let mut all = BTreeMap::new();
    for (key, value) in table {
        if value.is_table() {
            all.extend(settings(value).into_iter().map(|(name, v)| (format!("{key}.{name}"), v)));
        } else {
            all.insert(key.clone(), value.clone());
        }
    }
    all
}

fn unknown_base(name: &str) -> Error {
    let names: Vec<_> = Recipe::base_names().collect();
    recipe_error(
        &format!("base model {name:?}"),
        format!("is not one of them: choose {}", names.join(", ")),
    )
}

/// The tables and keys that a recipe has, as those of a complete one.
fn known_keys() -> Table {
    let complete = Recipe::base(BASES[0].0).expect("the base recipes parse (tested)");
    let mut table = Table::try_from(complete).expect("a recipe is a table");
    if let Some(Value::Table(train)) = table.get_mut("train") {
        for optional in ["prune", "regrowth", "augmented", "average", "distillation"] {
            train.insert(optional.to_owned(), Value::Table(Table::new()));
        }
    }
    table
}

/// `before` with `value` at the end of `path`.
fn nested(before: Option<&Value>, path: &[&str], value: Value) -> Value {
    let Some((&key, rest)) = path.split_first() else { return value };
    let mut table = before.and_then(Value::as_table).cloned().unwrap_or_default();
    let inner = nested(table.get(key), rest, value);
    table.insert(key.to_owned(), inner);
    Value::Table(table)
}

/// Splits `train.lr` or finds the table that has `lr`; what follows the field is a path within it.
fn locate(key: &str) -> Result<(String, String, Vec<&str>)> {
    let known = known_keys();
    let mut parts: Vec<&str> = key.split('.').collect();
    let wanted = (parts.len() > 1 && known.contains_key(parts[0])).then(|| parts.remove(0));
    let field = parts.remove(0);
    let has = |inner: &Value| inner.as_table().is_some_and(|t| t.contains_key(field));
    let found = known.iter().find(|(t, inner)| wanted.is_none_or(|w| w == *t) && has(inner));
    let (table, _) = found.ok_or_else(|| {
        let all = known.iter().flat_map(|(t, inner)| dotted(t, inner)).collect::<Vec<_>>();
        let wrong = if wanted.is_some() { field } else { parts.last().unwrap_or(&field) };
        recipe_error(&format!("setting {key}"), unknown_key(wrong, &all))
    })?;
    Ok((table.clone(), field.to_owned(), parts))
}

fn dotted(table: &str, inner: &Value) -> Vec<String> {
    let keys = inner.as_table().into_iter().flat_map(Table::keys);
    keys.map(|key| format!("{table}.{key}")).collect()
}

fn unknown_key(key: &str, known: &[String]) -> String {
    let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let near = known
        .iter()
        .max_by(|a, b| strsim::jaro(key, &short(a)).total_cmp(&strsim::jaro(key, &short(b))));
    let near = near.map(String::as_str).unwrap_or_default();
    format!(
        "no recipe has the key {key:?}: did you mean {near:?}? The keys are {}",
        known.join(", ")
    )
}

/// Refuses tables and keys that no recipe has, with the line of the file.
fn check_keys(over: &Table, place: &str, text: &str) -> Result<()> {
    let known = known_keys();
    let at = |key: &str| {
        let line =
            text.lines().position(|l| l.trim_start().trim_start_matches('[').starts_with(key));
        line.map_or(place.to_owned(), |n| format!("{place}:{}", n + 1))
    };
    for (table, inner) in over {
        let Some(fields) = known.get(table).and_then(Value::as_table) else {
            let tables: Vec<_> = known.keys().cloned().collect();
            return Err(recipe_error(&at(table), unknown_key(table, &tables)));
        };
        for key in inner.as_table().into_iter().flat_map(Table::keys) {
            if !fields.contains_key(key) {
                let names = dotted(table, &known[table]);
                return Err(recipe_error(&at(key), unknown_key(key, &names)));
            }
        }
    }
    Ok(())
}

/// Lays `over` on `table`, key by key within each of the two tables.
fn merge(table: &mut Table, over: Table) {
    for (name, value) in over {
        match (table.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(fields)) => inner.extend(fields),
            (_, value) => {
                table.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_base_model_and_a_valid_recipe() {
        for name in Recipe::base_names() {
            Recipe::base(name).unwrap();
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let names = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
        let known: BTreeSet<_> = Recipe::base_names().map(str::to_owned).collect();
        assert_eq!(names.collect::<BTreeSet<_>>(), known);
    }

    #[test]
    fn layers_win_in_order() {
        let draft = Draft::base("zaremba-small").unwrap();
        let draft = draft.file("my.toml", "[train]\nlr = 0.5\nepochs = 2\n").unwrap();
        let recipe = draft.set("lr", "0.25").unwrap().set("cell", "gru").unwrap().finish().unwrap();
        assert_eq!((recipe.train.lr, recipe.train.epochs), (0.25, 2));
        assert_eq!(recipe.model.cell, crate::settings::CellKind::Gru);
    }

    #[test]
    fn misspelt_key_gets_line_and_nearest_spelling() {
        let draft = Draft::base("zaremba-small").unwrap();
        let message = draft.file("my.toml", "[train]\nepoch = 2\n").unwrap_err().to_string();
        assert!(message.contains("my.toml:2") && message.contains("train.epochs"), "{message}");
    }

    #[test]
    fn a_setting_within_a_table_leaves_the_others() {
        let before = Recipe::base("inan-small").unwrap().train.variational;
        let draft = Draft::base("inan-small").unwrap();
        let draft = draft.set("train.variational.state", "0.5").unwrap();
        let after = draft.set("variational.word", "0.25").unwrap().finish().unwrap();
        let wanted = crate::settings::Variational { state: 0.5, word: 0.25, ..before };
        assert_eq!(after.train.variational, wanted);
        let draft = Draft::base("inan-small").unwrap().set("train.variational.sate", "0.5");
        assert!(draft.unwrap().finish().unwrap_err().to_string().contains("sate"));
    }

    #[test]
    fn misspelt_setting_gets_nearest_spelling() {
        let draft = Draft::base("zaremba-small").unwrap();
        let message = draft.set("model.hiden", "[3]").unwrap_err().to_string();
        assert!(message.contains("model.hidden"), "{message}");
    }

    #[test]
    fn value_of_wrong_kind_is_refused() {
        let draft = Draft::base("zaremba-small").unwrap();
        assert!(draft.set("lr", "fast").unwrap().finish().is_err());
    }

    #[test]
    fn unknown_base_lists_the_names() {
        let message = Recipe::base("zaremba-tiny").unwrap_err().to_string();
        assert!(message.contains("zaremba-small") && message.contains("keyboard"), "{message}");
    }

    #[test]
    fn a_recipe_survives_its_own_toml() {
        let recipe = Recipe::base("keyboard").unwrap();
        let text = toml::to_string(&recipe).unwrap();
        let again =
            Draft::base("zaremba-small").unwrap().file("x", &text).unwrap().finish().unwrap();
        assert_eq!(again, recipe);
    }
}
