//! Why each matrix has its form.

use serde::Serialize;

use super::form::Form;
use super::journal::Measured;
use super::round::Round;

/// The form of a matrix, and those that it was preferred to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The matrix.
    pub matrix: String,
    /// Its form, in words.
    pub form: String,
    /// The form that gains most loss for each byte that it has more.
    pub larger: Option<Alternative>,
    /// The form that loses least for each byte that it saves.
    pub smaller: Option<Alternative>,
    /// The best of another kind: not codes at the common price where the matrix has such, else these.
    pub other: Option<Alternative>,
    /// How many forms were made.
    pub forms: usize,
}

/// A form that was not taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// In words.
    pub form: String,
    /// Bytes more.
    pub bytes: i64,
    /// Loss of a token more, in nats.
    pub rise: f64,
}

impl std::fmt::Display for Alternative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_cent = 100.0 * (self.rise.exp() - 1.0);
        write!(f, "{}: {:+} bytes, {per_cent:+.2} % of perplexity", self.form, self.bytes)
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}, of {} forms", self.matrix, self.form, self.forms)?;
        let all = [
            ("larger", &self.larger),
            ("smaller", &self.smaller),
            ("of another kind", &self.other),
        ];
        for (name, alternative) in all {
            match alternative {
                Some(alternative) => write!(f, "\n  {name}: {alternative}")?,
                None => write!(f, "\n  {name}: none that was worth a trial")?,
            }
        }
        Ok(())
    }
}

/// Explains a choice by the forms of the round that it was measured in.
pub fn explain(round: &Round, chosen: &[usize]) -> Vec<Explanation> {
    let tables = round.tables.iter().zip(chosen).zip(&round.forms);
    tables.map(|((table, &at), forms)| of_matrix(table, at, *forms)).collect()
}

fn of_matrix(table: &[(Form, Measured)], at: usize, forms: usize) -> Explanation {
    let (form, own) = &table[at];
    let rise = |measured: &Measured| measured.rise.unwrap_or(f64::INFINITY);
    let others: Vec<(bool, Alternative)> = table
        .iter()
        .filter(|(other, _)| other != form)
        .map(|(other, measured)| {
            let (bytes, rise) = (measured.bytes - own.bytes, rise(measured) - rise(own));
            let alternative = Alternative { form: measured.form.clone(), bytes, rise };
            (other.is_rate() == form.is_rate(), alternative)
        })
        .collect();
    let each = |other: &Alternative| other.rise / other.bytes.unsigned_abs().max(1) as f64;
    let best = |fits: &dyn Fn(&(bool, Alternative)) -> bool| {
        let fitting = others.iter().filter(|other| fits(other)).map(|(_, other)| other);
        fitting.min_by(|a, b| each(a).total_cmp(&each(b))).cloned()
    };
    Explanation {
        matrix: own.matrix.clone(),
        form: own.form.clone(),
        larger: best(&|(_, other)| other.bytes > 0),
        smaller: best(&|(_, other)| other.bytes < 0),
        other: best(&|(is_alike, _)| !is_alike),
        forms,
    }
}
