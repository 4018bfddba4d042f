//! What is known of a step before it runs.

use crate::error::{Error, Result};
use crate::matrix::{Shape, Structure};
use crate::recipe::outline::Outline;

/// The settings of a step: what the model will look like after it.
pub trait Declare {
    /// What the model will look like after it. Everything that can be wrong is found here, before any work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key and the fix.
    fn declare(&self, outline: &mut Outline) -> Result<()>;

    /// The same for a model that is not trained yet.
    ///
    /// # Errors
    /// When the method needs a trained model, or as [`declare`](Self::declare).
    fn declare_untrained(&self, outline: &mut Outline) -> Result<()> {
        self.declare(outline)
    }

    /// Whether it cannot do without the training text.
    fn needs_text(&self) -> bool {
        false
    }
}

/// A step that gives matrices a structure and does nothing else: the leaves are those that come nearest.
pub trait Structural {
    /// The matrices; `*` stands for any text.
    fn matrices(&self) -> &[String];

    /// The structure of one of them.
    ///
    /// # Errors
    /// When the settings do not fit the matrix.
    fn form(&self, name: &str, shape: Shape) -> Result<Structure>;
}

/// Notes the structure that `form` has for each matrix that `patterns` match.
///
/// # Errors
/// When a pattern matches none, a matrix has a structure already, or the one of `form` does not fit.
pub(crate) fn restructure(
    outline: &mut Outline,
    patterns: &[String],
    form: impl Fn(&str, Shape) -> Result<Structure>,
) -> Result<()> {
    for (name, shape) in outline.matrices(patterns)? {
        must_be_dense(outline, &name)?;
        let structure = form(&name, shape)?;
        outline.forms.restructure(name, structure);
    }
    outline.parametrization().map(drop)
}

/// Refuses a matrix that has a structure already.
///
/// # Errors
/// [`Error::Config`] naming the matrix.
pub(crate) fn must_be_dense(outline: &Outline, matrix: &str) -> Result<()> {
    if outline.forms.structures.contains_key(matrix) {
        let what = format!("has {matrix}, which an earlier step has decomposed already");
        return Err(Error::config("matrices", what));
    }
    Ok(())
}

/// Refuses a matrix whose numbers an earlier step has rounded or pruned; `advice` ends the message.
///
/// # Errors
/// [`Error::Config`] naming the matrix.
pub(crate) fn must_be_free(outline: &Outline, matrix: &str, advice: &str) -> Result<()> {
    if outline.forms.leaf(matrix).is_free() {
        return Ok(());
    }
    let what = format!("has {matrix}, which an earlier step has rounded or pruned{advice}");
    Err(Error::config("matrices", what))
}

/// How large a decomposition is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Size {
    /// By its rank.
    Rank(usize),
    /// By the share of energy that it keeps.
    Energy(f64),
    /// By its numbers over the matrix's.
    Ratio(f64),
    /// By its numbers.
    Numbers(usize),
}

impl Size {
    /// The one that is given.
    ///
    /// # Errors
    /// When none is or several are.
    pub(crate) fn one_of(all: &[Option<Self>]) -> Result<Self> {
        let mut given = all.iter().flatten();
        match (given.next(), given.next()) {
            (Some(&Self::Ratio(ratio)), None) if !(ratio > 0.0 && ratio.is_finite()) => {
                Err(Error::config("ratio", format!("is {ratio}: give a number above 0")))
            }
            (Some(&size), None) => Ok(size),
            (None, _) => {
                Err(Error::config("rank", "is missing: give the rank, or a ratio, or another size"))
            }
            _ => Err(Error::config(
                "rank",
                "is given twice: give one of rank, energy, ratio and bytes",
            )),
        }
    }
}
