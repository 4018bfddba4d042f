//! Word error rates, and how far chance may have moved them.

use pocketlm::Random;
use serde::Serialize;

/// The least number of words that must be put in, left out or exchanged to make `reference` of `hypothesis`
/// (Levenshtein 1966).
pub fn word_errors(reference: &str, hypothesis: &str) -> u32 {
    let reference: Vec<&str> = reference.split_whitespace().collect();
    // Errors between what was read of the hypothesis and each beginning of the reference.
    let mut row: Vec<u32> = (0..=reference.len() as u32).collect();
    for word in hypothesis.split_whitespace() {
        let mut corner = row[0];
        row[0] += 1;
        for (at, own) in reference.iter().enumerate() {
            let exchanged = corner + u32::from(*own != word);
            corner = row[at + 1];
            row[at + 1] = exchanged.min(corner + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Word errors of one utterance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Words of the reference.
    pub words: u32,
    /// Errors of the hypothesis that came first.
    pub before: u32,
    /// Errors of the one that is first now.
    pub after: u32,
    /// Errors of the best one.
    pub oracle: u32,
}

/// A figure and the interval that holds 95 of 100 figures of resampled utterances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The figure.
    pub value: f64,
    /// Its 2.5th percentile.
    pub low: f64,
    /// Its 97.5th percentile.
    pub high: f64,
}

/// Word error rates of many utterances, as shares of the words of the references.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rates {
    /// Utterances.
    pub utterances: usize,
    /// Words of the references.
    pub words: u64,
    /// Of the first hypothesis.
    pub before: Interval,
    /// Of the one that rescoring chooses.
    pub after: Interval,
    /// Of the best one of each list: none can be below.
    pub oracle: Interval,
    /// How much lower `after` is than `before`, as a share of it.
    pub reduction: Interval,
    /// Share of the resampled sets in which there are fewer errors after than before.
    pub improved: f64,
}

impl Rates {
    /// The rates, with intervals from `samples` sets of as many utterances drawn with replacement (Bisani and Ney 2004,
    /// *Bootstrap estimates for confidence intervals in ASR performance evaluation*); nothing if the references have no
    /// word. The same seed draws the same sets.
    pub fn new(counts: &[Counts], samples: usize, seed: u64) -> Option<Self> {
        let all = Sums::of(counts.iter());
        if all.words == 0 {
            return None;
        }
        let mut random = Random::new(seed);
        let mut draw = || &counts[(random.unit() * counts.len() as f64) as usize];
        let drawn = (0..samples).map(|_| Sums::of((0..counts.len()).map(|_| draw())));
        let drawn: Vec<Sums> = drawn.filter(|sums| sums.words > 0).collect();
        let interval = |figure: fn(&Sums) -> f64| {
            let mut figures: Vec<f64> = drawn.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let last = figures.len().saturating_sub(1);
                figures.get((share * last as f64).round() as usize).copied()
            };
            let value = figure(&all);
            Interval { value, low: at(0.025).unwrap_or(value), high: at(0.975).unwrap_or(value) }
        };
        let improved = drawn.iter().filter(|sums| sums.after < sums.before).count();
        Some(Self {
            utterances: counts.len(),
            words: all.words,
            before: interval(|sums| sums.rate(sums.before)),
            after: interval(|sums| sums.rate(sums.after)),
            oracle: interval(|sums| sums.rate(sums.oracle)),
            reduction: interval(Sums::reduction),
            improved: improved as f64 / drawn.len().max(1) as f64,
        })
    }
}

#[derive(Default)]
struct Sums {
    words: u64,
    before: u64,
    after: u64,
    oracle: u64,
}

impl Sums {
    fn of<'c>(counts: impl Iterator<Item = &'c Counts>) -> Self {
        counts.fold(Self::default(), |sums, counts| Self {
            words: sums.words + u64::from(counts.words),
            before: sums.before + u64::from(counts.before),
            after: sums.after + u64::from(counts.after),
            oracle: sums.oracle + u64::from(counts.oracle),
        })
    }

    fn rate(&self, errors: u64) -> f64 {
        errors as f64 / self.words as f64
    }

    fn reduction(&self) -> f64 {
        if self.before == 0 { 0.0 } else { 1.0 - self.after as f64 / self.before as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(words: u32, before: u32, after: u32, oracle: u32) -> Counts {
        Counts { words, before, after, oracle }
    }

    #[test]
    fn errors_of_known_pairs() {
        assert_eq!(word_errors("the cat sat", "the cat sat"), 0);
        assert_eq!(word_errors("the cat sat", "cat sat down"), 2);
        assert_eq!(word_errors("the cat sat", ""), 3);
        assert_eq!(word_errors("", "a b"), 2);
        assert_eq!(word_errors("kitten sitting", "sitting kitten"), 2);
    }

    #[test]
    fn rates_are_of_all_words_together() {
        let rates = Rates::new(&[counts(10, 2, 1, 0), counts(30, 6, 3, 1)], 200, 1).unwrap();
        assert_eq!((rates.utterances, rates.words), (2, 40));
        assert_eq!((rates.before.value, rates.after.value), (0.2, 0.1));
        assert_eq!((rates.oracle.value, rates.reduction.value), (0.025, 0.5));
        // Both utterances have the same rates before and after, so every sample has them too.
        assert_eq!((rates.before.low, rates.before.high, rates.improved), (0.2, 0.2, 1.0));
        assert!(rates.oracle.low < 0.025 && rates.oracle.high > 0.025);
        assert_eq!(Rates::new(&[counts(0, 0, 0, 0)], 10, 1), None);
        assert_eq!(Rates::new(&[], 10, 1), None);
    }

    #[test]
    fn the_interval_is_that_of_the_binomial_distribution() {
        // One word each, wrong in every fifth: the deviation of the rate is √(0.2 · 0.8 / 1000) = 0.01265.
        let all: Vec<_> = (0..1000).map(|i| counts(1, u32::from(i % 5 == 0), 0, 0)).collect();
        let rates = Rates::new(&all, 2000, 7).unwrap();
        let half = (rates.before.high - rates.before.low) / 2.0;
        assert!((half / (1.96 * 0.012_65) - 1.0).abs() < 0.1, "{half}");
        assert_eq!(Rates::new(&all, 2000, 7).unwrap(), rates);
    }

    /// The definition itself: exchange, leave out, put in.
    fn slow(reference: &[&str], hypothesis: &[&str]) -> u32 {
        match (reference, hypothesis) {
            ([], rest) | (rest, []) => rest.len() as u32,
            ([a, own @ ..], [b, other @ ..]) => (slow(own, other) + u32::from(a != b))
                .min(slow(own, hypothesis) + 1)
                .min(slow(reference, other) + 1),
        }
    }

    proptest! {
        #[test]
        fn errors_are_a_distance(a in "[ab ]{0,8}", b in "[ab ]{0,8}", c in "[ab ]{0,8}") {
            let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let (own, other) = (split(&a), split(&b));
            let [own, other] = [&own, &other].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(word_errors(&a, &b), slow(&own, &other));
            prop_assert_eq!(word_errors(&a, &b), word_errors(&b, &a));
            prop_assert!(word_errors(&a, &c) <= word_errors(&a, &b) + word_errors(&b, &c));
        }
    }
}
