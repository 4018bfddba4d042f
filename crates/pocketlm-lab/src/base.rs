//! The base models as `bases.toml` names them: how each is trained, where it is kept, whether it is a row of a table.

use serde::{Deserialize, Serialize};

/// A base model to be trained as its recipe says, and what was published of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Name of the base model.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Where its shape is from.
    pub paper: String,
    /// Test perplexity on the Penn Treebank as published, one model, no dynamic evaluation.
    pub published: Option<f64>,
    /// The base model whose trained weights it starts from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether its trained weights are in `assets/`, under its name.
    #[serde(default, skip_serializing)]
    pub asset: bool,
    /// Whether it is a row of the suite `bases`.
    #[serde(default, skip_serializing)]
    pub row: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    base: Vec<Base>,
}

/// All base models, in the order of the tables.
pub fn all() -> Vec<Base> {
    let file: File = toml::from_str(include_str!("../bases.toml")).expect("it parses (tested)");
    file.base
}

/// The rows of the suite `bases`.
pub fn rows() -> Vec<Base> {
    all().into_iter().filter(|base| base.row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use pocketlm_train::recipe::Outline;
    use pocketlm_train::recipe::Recipe;

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn every_recipe_is_in_the_table() {
        let names: BTreeSet<String> = all().into_iter().map(|base| base.name).collect();
        assert_eq!(names, Recipe::base_names().map(str::to_owned).collect());
        for base in all() {
            assert!(base.from.is_none_or(|from| names.contains(&from)), "{}", base.name);
        }
    }

    #[test]
    fn every_asset_is_in_the_table() {
        let kept = all().into_iter().filter(|base| base.asset).map(|base| base.name);
        let folders = fs::read_dir(root().join("assets")).unwrap().map(Result::unwrap);
        // The others hold packed files.
        let folders = folders.filter(|entry| entry.path().join("config.json").is_file());
        let names = folders.map(|entry| entry.file_name().into_string().unwrap());
        assert_eq!(names.collect::<BTreeSet<_>>(), kept.collect());
    }

    /// Its table is for people, in an order of its own; names and sizes are checked.
    #[test]
    fn the_guide_has_every_base_model_with_its_size() {
        let guide = fs::read_to_string(root().join("docs/guide.md")).unwrap();
        let table = guide.split("| base model | shape | parameters").nth(1).unwrap();
        let lines = table.split("\n\n").next().unwrap().lines().filter(|line| line.contains("| `"));
        let mut names = BTreeSet::new();
        for line in lines {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = cells[1].trim_matches('`');
            let recipe = Recipe::base(name).unwrap();
            let forms = recipe.forms(10_000).unwrap();
            let outline = Outline { model: recipe.model, vocabulary: 10_000, forms };
            let count = outline.parametrization().unwrap().1.data.len();
            assert_eq!(cells[3].replace(',', ""), count.to_string(), "{name}");
            names.insert(name.to_owned());
        }
        assert_eq!(names, all().into_iter().map(|base| base.name).collect());
    }
}
