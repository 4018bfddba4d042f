//! Mixing two models: p(w | h) = (1 − λ) p_A(w | h) + λ p_B(w | h).

/// Rounds of expectation and maximisation at most, and the change of the weight that ends them.
const ROUNDS: usize = 200;
const STILL: f64 = 1e-7;

/// ln of the mixture's probability, with the weight `weight` of the second model, from the logarithms of both.
pub fn log_probability(first: f64, second: f64, weight: f64) -> f64 {
    let top = first.max(second);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + ((1.0 - weight) * (first - top).exp() + weight * (second - top).exp()).ln()
}

/// The weight of the second model that makes a text likeliest, from what both models say of each token, by
/// expectation-maximisation (Jelinek and Mercer 1980).
pub fn weight(first: &[f64], second: &[f64]) -> f64 {
    let mut weight = 0.5;
    for _ in 0..ROUNDS {
        let share = |(&first, &second): (&f64, &f64)| {
            (weight * (second - log_probability(first, second, weight)).exp()).clamp(0.0, 1.0)
        };
        let shares: f64 = first.iter().zip(second).map(share).sum();
        let next = shares / first.len().max(1) as f64;
        let change = (next - weight).abs();
        weight = next;
        if change < STILL {
            break;
        }
    }
    weight
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
    fn a_mixture_lies_between_its_models() {
        assert!((log_probability(-1.0, -3.0, 0.0) + 1.0).abs() < 1e-12);
        assert!((log_probability(-1.0, -3.0, 1.0) + 3.0).abs() < 1e-12);
        let half = 0.5 * (f64::exp(-1.0) + f64::exp(-3.0));
        assert!((log_probability(-1.0, -3.0, 0.5) - half.ln()).abs() < 1e-12);
        assert_eq!(log_probability(f64::NEG_INFINITY, f64::NEG_INFINITY, 0.5), f64::NEG_INFINITY);
    }
}
