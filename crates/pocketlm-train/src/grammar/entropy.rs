//! Expectations over the derivations of a grammar.

use super::{Alternative, Rule, Symbol};

/// Sweeps after which expectations that still grow are taken for infinite.
const SWEEPS: usize = 100_000;

/// For each rule the expectation of a sum over its derivations, to which each alternative taken
/// adds `own(alternative)`; `None` where derivations do not end on average.
///
/// The least solution of `x[A] = Σ p · (own + Σ x[B])`, by Gauss-Seidel sweeps from zero: where
/// the solution is finite they grow towards it, and since rules mostly name later rules, a
/// few backward sweeps suffice.
pub(super) fn expectations(rules: &[Rule], own: impl Fn(&Alternative) -> f64) -> Option<Vec<f64>> {
    let mut values = vec![0.0; rules.len()];
    for _ in 0..SWEEPS {
        let mut moved = false;
        for (place, rule) in rules.iter().enumerate().rev() {
            let value = expectation(rule, &values, &own);
            moved |= value - values[place] > 1e-15 * value;
            values[place] = value;
        }
        if !moved {
            return values.iter().all(|value| value.is_finite()).then_some(values);
        }
    }
    None
}

fn expectation(rule: &Rule, values: &[f64], own: impl Fn(&Alternative) -> f64) -> f64 {
    let part = |symbol: &Symbol| match symbol {
        Symbol::Word(_) => 0.0,
        Symbol::Rule(rule) => values[*rule],
    };
    let sum = |taken: &Alternative| own(taken) + taken.body.iter().map(part).sum::<f64>();
    rule.alternatives.iter().map(|taken| taken.probability * sum(taken)).sum()
}

/// The nats of taking an alternative.
pub(super) fn nats(taken: &Alternative) -> f64 {
    -taken.probability.ln()
}

/// The words that an alternative holds itself.
pub(super) fn words(taken: &Alternative) -> f64 {
    taken.body.iter().filter(|symbol| matches!(symbol, Symbol::Word(_))).count() as f64
}

/// Any alternative taken counts one: finite only where derivations end.
pub(super) fn steps(_: &Alternative) -> f64 {
    1.0
}
