//! Mixing models: p(w | h) = Σ λ_m p_m(w | h), Σ λ_m = 1.

/// Rounds of expectation and maximisation at most, and the change of the weight that ends them.
const ROUNDS: usize = 200;
const STILL: f64 = 1e-7;

/// ln of the mixture's probability, with the weight `weight` of the second model, from the logarithms of both.
pub fn log_probability(first: f64, second: f64, weight: f64) -> f64 {
    log_sum([(first, 1.0 - weight), (second, weight)].into_iter())
}

/// ln Σ weight · exp(logarithm).
fn log_sum(terms: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let top = terms.clone().map(|(logarithm, _)| logarithm).fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + terms.map(|(logarithm, weight)| weight * (logarithm - top).exp()).sum::<f64>().ln()
}

/// The weight of the second model that makes a text likeliest: see [`weights`].
pub fn weight(first: &[f64], second: &[f64]) -> f64 {
    weights(&[first, second])[1]
}

/// The weights of several models that make a text likeliest, from the log-probabilities in nats that each gives to
/// every token, by expectation-maximisation (Jelinek and Mercer 1980).
///
/// # Panics
/// Where there is no model.
pub fn weights<S: AsRef<[f64]>>(models: &[S]) -> Vec<f64> {
    let tokens = models[0].as_ref().len();
    let mut weights = vec![1.0 / models.len() as f64; models.len()];
    for _ in 0..ROUNDS {
        let mut shares = vec![0.0; models.len()];
        for at in 0..tokens {
            let total = log_mixture(models, &weights, at);
            for ((share, model), weight) in shares.iter_mut().zip(models).zip(&weights) {
                *share += (weight * (model.as_ref()[at] - total).exp()).clamp(0.0, 1.0);
            }
        }
        let change = |(weight, share): (&f64, &f64)| (weight - share / tokens.max(1) as f64).abs();
        let change = weights.iter().zip(&shares).map(change).fold(0.0, f64::max);
        weights.iter_mut().zip(&shares).for_each(|(w, share)| *w = share / tokens.max(1) as f64);
        if change < STILL {
            break;
        }
    }
    weights
}

/// Mean over the tokens of the logarithm of the mixture's probability, in nats.
///
/// # Panics
/// Where there is no model.
pub fn mean_log_probability<S: AsRef<[f64]>>(models: &[S], weights: &[f64]) -> f64 {
    let tokens = models[0].as_ref().len();
    (0..tokens).map(|at| log_mixture(models, weights, at)).sum::<f64>() / tokens.max(1) as f64
}

/// ln of the mixture's probability of one token.
fn log_mixture<S: AsRef<[f64]>>(models: &[S], weights: &[f64], at: usize) -> f64 {
    log_sum(models.iter().map(|model| model.as_ref()[at]).zip(weights.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_where_the_likelihood_is_greatest() {
        let first: Vec<f64> = (0..500).map(|i| -1.0 - f64::from(i * 7 % 13)).collect();
        let second: Vec<f64> = (0..500).map(|i| -1.5 - f64::from(i * 5 % 11)).collect();
        let total = |weight: f64| -> f64 {
            first.iter().zip(&second).map(|(&a, &b)| log_probability(a, b, weight)).sum()
        };
        let best = weight(&first, &second);
        assert!(best > 0.01 && best < 0.99);
        assert!(total(best) >= total(best + 1e-3) && total(best) >= total(best - 1e-3));
    }

    #[test]
    fn three_models_share_as_their_likelihoods_ask() {
        let said =
            |k: i32| -> Vec<f64> { (0..600).map(|i| -1.0 - f64::from(i * k % 13)).collect() };
        let models = [said(7), said(5), said(3)];
        let best = weights(&models);
        assert!((best.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            let mut other = best.clone();
            other[from] -= 1e-3;
            other[to] += 1e-3;
            assert!(mean_log_probability(&models, &best) > mean_log_probability(&models, &other));
        }
    }

    #[test]
    fn a_mixture_lies_between_its_models() {
        assert!((log_probability(-1.0, -3.0, 0.0) + 1.0).abs() < 1e-12);
        assert!((log_probability(-1.0, -3.0, 1.0) + 3.0).abs() < 1e-12);
        let half = 0.5 * (f64::exp(-1.0) + f64::exp(-3.0));
        assert!((log_probability(-1.0, -3.0, 0.5) - half.ln()).abs() < 1e-12);
        assert_eq!(log_probability(f64::NEG_INFINITY, f64::NEG_INFINITY, 0.5), f64::NEG_INFINITY);
    }
}
