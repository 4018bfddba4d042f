//! The shapes and forms of a model without its numbers: what can be said of a compression before it runs.

use pocketlm::pack::factor_bytes;

use crate::error::{Error, Result};
use crate::linear::{Entry, Parameters};
use crate::matrix::{Forms, Parametrization, Shape, Structure, Unitary};
use crate::network::Network;
use crate::settings::{CellKind, ModelConfig};

/// What a model will look like.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Shape of the network.
    pub model: ModelConfig,
    /// Number of types.
    pub vocabulary: usize,
    /// Forms of its matrices.
    pub forms: Forms,
}

impl Outline {
    /// Its leaves, all zero, and how they make its matrices.
    ///
    /// # Errors
    /// When a form does not fit its matrix.
    pub fn parametrization(&self) -> Result<(Parametrization, Parameters)> {
        Parametrization::new(&self.forms, &self.dense()?)
    }

    /// Its matrices as the network has them, all zero.
    ///
    /// # Errors
    /// When the shape makes no network.
    pub fn dense(&self) -> Result<Parameters> {
        Ok(Network::new(&self.model, self.vocabulary)?.1)
    }

    /// Notes that the recurrent matrices of a uRNN, which is not trained yet, are unitary.
    pub fn make_unitary(&mut self) {
        let layers = 0..self.model.hidden.len();
        for k in layers.filter(|_| self.model.cell == CellKind::Urnn) {
            let name = format!("cell.{k}.recurrent");
            self.forms.structures.insert(name, Structure::Unitary(Unitary {}));
        }
    }

    /// Names and shapes of the matrices that `patterns` match.
    ///
    /// # Errors
    /// [`Error::Config`] with all names when a pattern matches none.
    pub fn matrices(&self, patterns: &[String]) -> Result<Vec<(String, Shape)>> {
        let dense = self.dense()?;
        let chosen = select(&dense, patterns, |_, _| false)?;
        let shape = |entry: &Entry| Shape { rows: entry.rows, columns: entry.columns };
        Ok(chosen.into_iter().map(|entry| (entry.name.clone(), shape(entry))).collect())
    }

    /// The leaves that `patterns` match by their own name or by their matrix's.
    ///
    /// # Errors
    /// [`Error::Config`] with all names when a pattern matches none, or when one matches a matrix
    /// with learned scales or in variational dropout.
    pub fn leaves(&self, patterns: &[String]) -> Result<Vec<Entry>> {
        let (_, leaves) = self.parametrization()?;
        let owner = |pattern: &str, leaf: &str| {
            let mut matrices = self.forms.structures.keys();
            matrices.any(|matrix| {
                leaf.strip_prefix(matrix.as_str()).is_some_and(|rest| rest.starts_with('.'))
                    && matches(pattern, matrix)
            })
        };
        let chosen = select(&leaves, patterns, owner)?;
        chosen.iter().try_for_each(|leaf| self.must_be_free(&leaf.name))?;
        Ok(chosen.into_iter().cloned().collect())
    }

    /// Refuses a leaf of a matrix whose precision is a part of its structure.
    fn must_be_free(&self, leaf: &str) -> Result<()> {
        let owner = leaf.rsplit_once('.').map_or("", |(matrix, _)| matrix);
        match self.forms.structures.get(owner) {
            Some(Structure::LearnedScales(_)) => {
                let what = format!("has {owner}, which has learned scales: name the others");
                Err(Error::config("matrices", what))
            }
            Some(Structure::VariationalDropout(_)) => {
                let what = format!("has {owner}, which is in variational dropout: prune others");
                Err(Error::config("matrices", what))
            }
            _ => Ok(()),
        }
    }

    /// Bytes of all leaves and biases, if `kept` says how many numbers of a leaf are kept.
    ///
    /// # Errors
    /// When a form does not fit its matrix.
    pub fn bytes(&self, kept: impl Fn(&Entry) -> usize) -> Result<usize> {
        let (_, leaves) = self.parametrization()?;
        let bytes = |entry: &Entry| {
            if entry.vector {
                return 4 * entry.columns;
            }
            let form = self.forms.leaf(&entry.name);
            factor_bytes(entry.rows, entry.columns, kept(entry), form.sparsity, form.precision)
        };
        Ok(leaves.entries().iter().map(bytes).sum())
    }
}

/// The matrices among `entries` that `patterns` match, in their order.
fn select<'a>(
    entries: &'a Parameters,
    patterns: &[String],
    also: impl Fn(&str, &str) -> bool,
) -> Result<Vec<&'a Entry>> {
    let all: Vec<&Entry> = entries.entries().iter().filter(|entry| !entry.vector).collect();
    let fits = |pattern: &str, name: &str| matches(pattern, name) || also(pattern, name);
    for pattern in patterns {
        if !all.iter().any(|entry| fits(pattern, &entry.name)) {
            let names: Vec<&str> = all.iter().map(|entry| &*entry.name).collect();
            let what = format!("has {pattern:?}, which matches none of {}", names.join(", "));
            return Err(Error::config("matrices", what));
        }
    }
    if patterns.is_empty() {
        return Err(Error::config("matrices", "is empty: name some, or give [\"*\"] for all"));
    }
    let chosen = |entry: &&Entry| patterns.iter().any(|pattern| fits(pattern, &entry.name));
    Ok(all.into_iter().filter(chosen).collect())
}

/// Whether `name` is `pattern`, in which each `*` stands for any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(head) else { return false };
    (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))
}

#[cfg(test)]
mod tests {
    use pocketlm::pack::Precision;

    use super::*;
    use crate::matrix::{LeafForm, LowRank};
    use crate::recipe::Recipe;
    use crate::recipe::step::declare::restructure;

    fn outline() -> Outline {
        let model = Recipe::base("zaremba-small").unwrap().model;
        Outline { model, vocabulary: 50, forms: Forms::default() }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("cell.*.input", "cell.0.input") && matches("*", "softmax"));
        assert!(!matches("cell.*.input", "cell.0.recurrent") && !matches("soft", "softmax"));
    }

    #[test]
    fn a_pattern_that_matches_nothing_lists_the_names() {
        let message = outline().matrices(&["sofmax".into()]).unwrap_err().to_string();
        assert!(message.contains("sofmax") && message.contains("cell.1.recurrent"), "{message}");
    }

    #[test]
    fn the_name_of_a_matrix_stands_for_its_leaves() {
        let mut outline = outline();
        // As in the models that come with the repository.
        let half = LeafForm { precision: Precision::F16, ..LeafForm::default() };
        outline.forms.leaves.insert("softmax".into(), half);
        let low_rank = |_: &str, _| Ok(Structure::LowRank(LowRank { rank: 4 }));
        restructure(&mut outline, &["softmax".into()], low_rank).unwrap();
        let leaves = outline.leaves(&["softmax".into()]).unwrap();
        let names: Vec<_> = leaves.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["softmax.left", "softmax.right"]);
    }
}
