//! A mean of the parameters along a training: often better than the last ones, and free at run time.

use rayon::prelude::*;

use crate::settings::Average;

/// Numbers handled by one thread at a time.
const CHUNK: usize = 1 << 16;

/// Whether the mean takes in the parameters of an epoch (from 1), given the validation losses of all epochs
/// before it.
pub fn begins(average: Average, epoch: usize, validations: &[f64]) -> bool {
    match average {
        Average::Ema { .. } => true,
        Average::Swa { from } => epoch >= from,
        Average::NtAsgd { patience } => {
            let worse = |at: usize| {
                let earlier = &validations[..at.saturating_sub(patience)];
                !earlier.is_empty()
                    && validations[at] > earlier.iter().copied().fold(f64::INFINITY, f64::min)
            };
            (0..validations.len()).any(worse)
        }
    }
}

/// Takes `parameters` into the mean of the `taken` before them.
pub fn take(average: Average, taken: u64, mean: &mut [f32], parameters: &[f32]) {
    let n = taken as f64;
    let share = match average {
        _ if taken == 0 => 1.0,
        Average::Ema { decay } => 1.0 - decay.min((1.0 + n) / (10.0 + n)),
        Average::Swa { .. } | Average::NtAsgd { .. } => 1.0 / (n + 1.0),
    } as f32;
    let chunks = mean.par_chunks_mut(CHUNK).zip(parameters.par_chunks(CHUNK));
    chunks.for_each(|(mean, parameters)| {
        mean.iter_mut().zip(parameters).for_each(|(m, p)| *m += share * (p - *m));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NT: Average = Average::NtAsgd { patience: 2 };

    proptest! {
        #[test]
        fn averaged_sgd_is_the_direct_mean(
            iterates in prop::collection::vec(prop::array::uniform4(-3.0f32..3.0), 1..50),
        ) {
            let mut mean = [7.0; 4];
            for (taken, iterate) in iterates.iter().enumerate() {
                take(NT, taken as u64, &mut mean, iterate);
            }
            for at in 0..4 {
                let sum: f64 = iterates.iter().map(|iterate| f64::from(iterate[at])).sum();
                let direct = sum / iterates.len() as f64;
                prop_assert!((f64::from(mean[at]) - direct).abs() < 1e-5, "{} {direct}", mean[at]);
            }
        }
    }

    #[test]
    fn non_monotone_trigger_waits_and_stays() {
        assert!(!begins(NT, 5, &[5.0, 4.0, 3.0, 2.0]));
        // Worse than the last two, but not than what was before them.
        assert!(!begins(NT, 5, &[5.0, 4.0, 3.0, 3.5]));
        assert!(!begins(NT, 5, &[5.0, 3.0, 3.2, 3.1]));
        assert!(begins(NT, 6, &[5.0, 3.0, 3.2, 3.1, 3.05]));
        assert!(begins(NT, 9, &[5.0, 3.0, 3.2, 3.1, 3.05, 1.0, 0.5]));
    }

    #[test]
    fn exponential_average_forgets_the_start() {
        let mut mean = [0.0];
        (0..2000).for_each(|n| take(Average::Ema { decay: 0.99 }, n, &mut mean, &[n as f32]));
        assert!((mean[0] - 1900.0).abs() < 2.0, "{}", mean[0]);
    }
}
