//! The encoder of one plane.

use alloc::vec::Vec;

use super::{BITS, CODED, LANES, LOW, PLAIN, TOTAL};

/// Frequencies of the 256 symbols, which add up to 4096.
type Frequencies = [usize; 256];

/// The plane coded, or as it is where that takes no more bytes.
pub(crate) fn plane(symbols: &[u8]) -> Vec<u8> {
    if let Some(frequencies) = frequencies(symbols) {
        let mut coded = Vec::from([CODED]);
        table(&frequencies, &mut coded);
        encode(symbols, &frequencies, &mut coded);
        if coded.len() <= symbols.len() {
            return coded;
        }
    }
    [&[PLAIN], symbols].concat()
}

/// Frequencies in proportion to how often each symbol comes, at least one for those that do; none of no symbols.
fn frequencies(symbols: &[u8]) -> Option<Frequencies> {
    let mut counts = [0u64; 256];
    symbols.iter().for_each(|&symbol| counts[usize::from(symbol)] += 1);
    let all = symbols.len() as u64;
    let scaled = |count: u64| (count * TOTAL as u64).checked_div(all).unwrap_or(0) as usize;
    let mut frequencies = counts.map(|count| scaled(count).max(usize::from(count > 0)));
    let mut sum: usize = frequencies.iter().sum();
    // Rounding down leaves places, rare symbols take more than their share: what a symbol gains or loses by one
    // more place goes with its count over its frequency.
    while sum != TOTAL && all > 0 {
        let at = (0..256).filter(|&s| counts[s] > 0);
        if sum < TOTAL {
            let most = at.max_by(|&a, &b| {
                ratio([counts[a], counts[b]], [frequencies[a] + 1, frequencies[b] + 1])
            })?;
            frequencies[most] += 1;
            sum += 1;
        } else {
            let spare = at.filter(|&s| frequencies[s] > 1);
            let least = spare.min_by(|&a, &b| {
                ratio([counts[a], counts[b]], [frequencies[a] - 1, frequencies[b] - 1])
            })?;
            frequencies[least] -= 1;
            sum -= 1;
        }
    }
    (all > 0).then_some(frequencies)
}

/// Compares a count over a frequency with another.
fn ratio([a, b]: [u64; 2], [of_a, of_b]: [usize; 2]) -> core::cmp::Ordering {
    (a * of_b as u64).cmp(&(b * of_a as u64))
}

/// Writes the table.
fn table(frequencies: &Frequencies, coded: &mut Vec<u8>) {
    let last = frequencies.iter().rposition(|&frequency| frequency > 0).unwrap_or(0);
    let mut symbol = 0;
    while symbol <= last {
        let frequency = frequencies[symbol];
        symbol += 1;
        if frequency >= 128 {
            coded.extend([frequency as u8 | 128, (frequency >> 7) as u8]);
            continue;
        }
        coded.push(frequency as u8);
        if frequency == 0 {
            let more = frequencies[symbol..].iter().take_while(|&&next| next == 0).count();
            coded.push(more as u8);
            symbol += more;
        }
    }
}

/// Writes states and words: symbols go in from the last to the first, since the decoder undoes the last step first.
fn encode(symbols: &[u8], frequencies: &Frequencies, coded: &mut Vec<u8>) {
    let mut begins = [0; 256];
    for symbol in 1..256 {
        begins[symbol] = begins[symbol - 1] + frequencies[symbol - 1] as u32;
    }
    let mut states = [LOW; LANES];
    let mut words = Vec::new();
    for (at, &symbol) in symbols.iter().enumerate().rev() {
        let (state, symbol) = (&mut states[at % LANES], usize::from(symbol));
        let frequency = frequencies[symbol] as u32;
        if u64::from(*state) >= u64::from(frequency) << (32 - BITS) {
            words.push(*state as u16);
            *state >>= 16;
        }
        *state = (*state / frequency) << BITS | (*state % frequency + begins[symbol]);
    }
    coded.extend(states.iter().flat_map(|state| state.to_le_bytes()));
    coded.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::rans;
    use alloc::vec;
    use proptest::prelude::*;

    /// Bytes of every skewness: few symbols or many, long runs or none.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let mask = prop_oneof![Just(255u8), Just(7), Just(1), Just(0), any::<u8>()];
        let list = proptest::collection::vec(any::<u8>(), 0..3000);
        (list, mask, any::<u8>()).prop_map(|(list, mask, flip)| {
            list.into_iter().map(|byte| if byte < 16 { byte } else { byte & mask ^ flip }).collect()
        })
    }

    fn coded(symbols: &[u8]) -> Vec<u8> {
        let mut coded = Vec::from([CODED]);
        let frequencies = frequencies(symbols).unwrap();
        table(&frequencies, &mut coded);
        encode(symbols, &frequencies, &mut coded);
        coded
    }

    fn decoded(mut coded: &[u8], length: usize) -> Result<(Vec<u8>, &[u8]), &'static str> {
        let mut out = vec![0; length];
        rans::plane(&mut coded, &mut out)?;
        Ok((out, coded))
    }

    proptest! {
        #[test]
        fn any_plane_comes_back(symbols in bytes(), rest in proptest::collection::vec(any::<u8>(), 0..20)) {
            let plane = [plane(&symbols), rest.clone()].concat();
            prop_assert_eq!(decoded(&plane, symbols.len()), Ok((symbols.clone(), &rest[..])));
            if !symbols.is_empty() {
                let coded = [coded(&symbols), rest.clone()].concat();
                prop_assert_eq!(decoded(&coded, symbols.len()), Ok((symbols, &rest[..])));
            }
        }

        #[test]
        fn a_plane_cut_short_is_refused(symbols in bytes(), cut: prop::sample::Index) {
            let plane = plane(&symbols);
            prop_assert!(decoded(&plane[..cut.index(plane.len())], symbols.len()).is_err());
        }

        #[test]
        fn any_bytes_are_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..600), length in 0usize..3000) {
            let _ = decoded(&bytes, length);
            let _ = decoded(&[&[CODED], &bytes[..]].concat(), length);
        }

        #[test]
        fn a_flipped_bit_is_harmless(symbols in bytes(), at: prop::sample::Index, bit in 0..8) {
            let mut plane = coded(&[&symbols[..], &[3]].concat());
            let at = at.index(plane.len());
            plane[at] ^= 1u8 << bit;
            let _ = decoded(&plane, symbols.len() + 1);
        }

        #[test]
        fn frequencies_add_up(symbols in bytes()) {
            if let Some(frequencies) = frequencies(&symbols) {
                prop_assert_eq!(frequencies.iter().sum::<usize>(), TOTAL);
                prop_assert!(symbols.iter().all(|&symbol| frequencies[usize::from(symbol)] > 0));
            }
        }
    }

    #[test]
    fn coding_costs_little_more_than_the_entropy() {
        let mut random = crate::Random::new(1);
        // A sum of three uniform numbers: nearly the bell of trained weights.
        let mut draw = || ((random.unit() + random.unit() + random.unit()) * 40.0) as u8;
        let symbols: Vec<u8> = (0..200_000).map(|_| draw()).collect();
        let mut counts = [0f64; 256];
        symbols.iter().for_each(|&symbol| counts[usize::from(symbol)] += 1.0);
        let bits = |count: f64| if count > 0.0 { -count * (count / 200_000.0).log2() } else { 0.0 };
        let entropy = counts.into_iter().map(bits).sum::<f64>() / 8.0;
        let coded = plane(&symbols).len() as f64;
        assert!(coded >= entropy && coded < 1.003 * entropy + 400.0, "{coded} for {entropy}");
    }
}
