//! The forms that a matrix may get, and the recipe of a form for each.

use std::collections::BTreeMap;

use pocketlm::pack::{Precision, Sparsity};

use crate::matrix::Structure;
use crate::recipe::{
    BlockLowRank, Entropy, LowRank, Outline, Prune, Quantise, RateDistortion, Step,
};
use crate::settings::Scope;

/// A form of one matrix.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Codes at the price of a bit that all matrices of this form share, errors counting so many times as much.
    Rate(f64),
    /// What these steps make of it.
    Steps(Vec<Step>),
    /// What it has already.
    Kept,
}

/// Weights of errors that are tried, over the one that the round began with: powers of two at these exponents.
const OCTAVES: [f64; 9] = [0.0, -0.5, 0.5, -1.0, 1.0, -2.0, 2.0, -4.0, 4.0];
/// Shares of the numbers that factors have.
const RATIOS: [f64; 2] = [0.5, 0.25];
/// Shares of zeros.
const SPARSITIES: [f64; 2] = [0.5, 0.8];

impl Form {
    /// In words.
    pub fn name(&self) -> String {
        match self {
            Self::Rate(weight) => format!("rate-distortion, errors times {weight}"),
            Self::Steps(steps) => steps.iter().map(step_name).collect::<Vec<_>>().join(", "),
            Self::Kept => "as it is".to_owned(),
        }
    }

    /// Whether its errors are coded at the common price.
    pub fn is_rate(&self) -> bool {
        matches!(self, Self::Rate(_))
    }
}

fn step_name(step: &Step) -> String {
    match step {
        Step::Quantise(step) => step.precision.name().to_owned(),
        Step::LowRank(step) => format!("low-rank {}", step.ratio.unwrap_or_default()),
        Step::BlockLowRank(step) => format!("block-low-rank {}", step.ratio),
        Step::Prune(step) => format!("{} {}", step.pattern.name(), step.sparsity),
        other => other.name().to_owned(),
    }
}

/// The form of a matrix in the model that a search begins from.
pub fn first(matrix: &str, outline: &Outline) -> Form {
    match outline.forms.structures.get(matrix) {
        None if outline.forms.leaf(matrix).is_free() => Form::Rate(1.0),
        _ => alternatives(matrix, outline).into_iter().next().unwrap_or(Form::Kept),
    }
}

/// The forms to try for a matrix that now has the form `own`, which is the first of them.
pub fn all(matrix: &str, outline: &Outline, own: &Form) -> Vec<Form> {
    let is_dense = !outline.forms.structures.contains_key(matrix);
    let centre = if let Form::Rate(weight) = own { *weight } else { 1.0 };
    let rates = OCTAVES.iter().filter(|_| is_dense && outline.forms.leaf(matrix).is_free());
    let rates = rates.map(|octave| Form::Rate(three_digits(centre * octave.exp2())));
    let mut found = vec![own.clone()];
    for form in rates.chain(alternatives(matrix, outline)) {
        if !found.contains(&form) {
            found.push(form);
        }
    }
    found
}

/// Forms by steps of their own.
fn alternatives(matrix: &str, outline: &Outline) -> Vec<Form> {
    let leaf = outline.forms.leaf(matrix);
    let forms: Vec<Vec<Step>> = match outline.forms.structures.get(matrix) {
        Some(Structure::LowRank(_)) => {
            [Precision::Int8, Precision::Int4].map(|to| vec![quantised(matrix, to, true)]).into()
        }
        Some(Structure::BlockLowRank(_) | Structure::DiagonalLowRank(_)) => {
            [Precision::Int8, Precision::Int4].map(|to| vec![quantised(matrix, to, false)]).into()
        }
        Some(_) => Vec::new(),
        None if leaf.is_free() => of_dense(matrix),
        None if matches!(leaf.precision, Precision::F32 | Precision::F16) => {
            vec![vec![quantised(matrix, Precision::Int8, false)]]
        }
        None => Vec::new(),
    };
    // What does not fit the matrix, such as factors of one that is too small, is none of its forms.
    let fits = |steps: &Vec<Step>| {
        let mut outline = outline.clone();
        steps.iter().all(|step| step.settings().declare(&mut outline).is_ok())
    };
    forms.into_iter().filter(fits).map(Form::Steps).collect()
}

fn of_dense(matrix: &str) -> Vec<Vec<Step>> {
    let matrices = vec![matrix.to_owned()];
    let precisions = [Precision::Int8, Precision::Int5, Precision::Int4, Precision::Int3];
    let quantised_alone = precisions.map(|to| vec![quantised(matrix, to, true)]);
    let pruned = [Sparsity::Unstructured, Sparsity::Panels].into_iter().flat_map(|pattern| {
        SPARSITIES.map(|sparsity| {
            let (matrices, scope) = (matrices.clone(), Scope::Matrix);
            let prune = Step::Prune(Prune { matrices, sparsity, scope, pattern });
            vec![prune, quantised(matrix, Precision::Int8, false)]
        })
    });
    let factored = RATIOS.into_iter().flat_map(|ratio| {
        let (rank, energy, bytes) = (None, None, None);
        let (matrices, groups) = (matrices.clone(), 5);
        let low_rank = Step::LowRank(LowRank {
            matrices: matrices.clone(),
            rank,
            energy,
            ratio: Some(ratio),
            bytes,
            weighted: true,
            fisher: false,
        });
        let block = Step::BlockLowRank(BlockLowRank { matrices, ratio, groups });
        [Precision::Int8, Precision::Int4].into_iter().flat_map(move |to| {
            let (low_rank, block) = (low_rank.clone(), block.clone());
            [vec![low_rank, quantised(matrix, to, true)], vec![block, quantised(matrix, to, false)]]
        })
    });
    quantised_alone.into_iter().chain(pruned).chain(factored).collect()
}

fn quantised(matrix: &str, precision: Precision, compensate: bool) -> Step {
    Step::Quantise(Quantise { matrices: vec![matrix.to_owned()], precision, compensate })
}

/// The steps that give each matrix its form: structures and zeros first, then precisions, and at last the codes at a
/// common price, of which the file has so many `bytes`.
pub fn recipe(forms: &[(&str, &Form)], largest: &str, bytes: usize) -> Vec<Step> {
    let mut steps = structures(forms);
    steps.extend(own_steps(forms).filter(|step| matches!(step, Step::Quantise(_))).cloned());
    let rates: Vec<(&str, f64)> = forms
        .iter()
        .filter_map(|(name, form)| match form {
            Form::Rate(weight) => Some((*name, *weight)),
            _ => None,
        })
        .collect();
    if rates.is_empty() {
        steps.push(Step::Entropy(Entropy {}));
        return steps;
    }
    // Only their proportions count.
    let unit = rates.iter().find(|(name, _)| *name == largest).unwrap_or(&rates[0]).1;
    let weights: BTreeMap<String, f64> = rates
        .iter()
        .map(|(name, weight)| ((*name).to_owned(), three_digits(weight / unit)))
        .filter(|(_, weight)| *weight != 1.0)
        .collect();
    let matrices = match rates.len() == forms.len() {
        true => vec!["*".to_owned()],
        false => rates.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    let (bits, bytes) = (None, Some(bytes));
    steps.push(Step::RateDistortion(RateDistortion { matrices, bits, bytes, weights }));
    steps
}

/// The steps among them after which a training can mend what they lost.
pub fn structures(forms: &[(&str, &Form)]) -> Vec<Step> {
    own_steps(forms).filter(|step| !matches!(step, Step::Quantise(_))).cloned().collect()
}

fn own_steps<'a>(forms: &'a [(&str, &Form)]) -> impl Iterator<Item = &'a Step> {
    forms.iter().flat_map(|(_, form)| match form {
        Form::Steps(steps) => &steps[..],
        _ => &[],
    })
}

/// So that a person can read it.
fn three_digits(x: f64) -> f64 {
    let unit = 10f64.powf(x.abs().log10().floor() - 2.0);
    let rounded = (x / unit).round() * unit;
    format!("{rounded:.12}").parse().unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Forms;
    use crate::recipe::{CompressionRecipe, Recipe};

    fn outline() -> Outline {
        let model = Recipe::base("keyboard").unwrap().model;
        Outline { model, vocabulary: 300, forms: Forms::default() }
    }

    #[test]
    fn every_form_makes_a_recipe_that_fits_and_can_be_read_back() {
        let outline = outline();
        for (name, _) in outline.matrices(&["*".into()]).unwrap() {
            let forms = all(&name, &outline, &first(&name, &outline));
            assert!(forms.len() > 15, "{name}: {}", forms.len());
            for form in &forms {
                let step = recipe(&[(&name, form)], &name, 100_000);
                let found = CompressionRecipe { step };
                assert_eq!(CompressionRecipe::parse("a", &found.to_toml()).unwrap(), found);
                let mut after = outline.clone();
                for step in &found.step {
                    step.settings().declare(&mut after).unwrap();
                }
            }
            let names: std::collections::BTreeSet<_> = forms.iter().map(Form::name).collect();
            assert_eq!(names.len(), forms.len(), "each has a name of its own");
        }
    }

    #[test]
    fn only_the_proportions_of_weights_are_written() {
        let (same, more, kept) = (Form::Rate(2.0), Form::Rate(2.83), Form::Kept);
        let forms = [("embedding", &same), ("cell.0.input", &more), ("softmax", &kept)];
        let steps = recipe(&forms, "embedding", 9);
        let [Step::RateDistortion(step)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(step.matrices, ["embedding", "cell.0.input"]);
        assert_eq!(step.weights, BTreeMap::from([("cell.0.input".to_owned(), 1.42)]));
    }

    #[test]
    fn weights_have_three_digits() {
        assert_eq!(three_digits(std::f64::consts::SQRT_2), 1.41);
        assert_eq!(three_digits(0.062_549), 0.0625);
        assert_eq!(three_digits(16.0), 16.0);
    }
}
