//! Codes of a matrix at a given price of a bit: the step of each row, and the codes of its columns one after the other.
//!
//! The cost of a row w with weight ω whose codes are q and whose step is Δ is ω dᵀ H d + λ R, with d = w − Δ q, the
//! second moment H of its inputs and R the bits of q and Δ under the frequencies of all codes and steps of the matrix.
//! Columns are rounded in turn, and what one loses is made up for by those to come
//! ([`compensate`](super::super::compensate)); the cost then is a sum over the columns, and each takes the cheaper of the
//! nearest code and its neighbour towards zero. The step is the cheapest of those around.

use pocketlm_kernels::half;
use rayon::prelude::*;

use crate::compress::compensate::spread_and_gain;
use crate::error::Result;
use crate::recipe::step::rate_distortion::NARROW;

/// Steps of the grid in an octave. Three bits of a half-precision number's fraction: its low byte is one of two.
const STEPS: i32 = 8;
/// Exponents of the smallest and the largest step: those of normal numbers of half precision.
const OCTAVES: [i32; 2] = [-14, 15];
/// Highest code of int8.
pub const WIDE: i32 = 127;
const CODES: usize = 2 * WIDE as usize + 1;
/// How often codes and their frequencies are found from each other.
const ROUNDS: usize = 4;

/// The step of this number on the grid.
pub fn step(at: i32) -> f32 {
    (1.0 + at.rem_euclid(STEPS) as f32 / STEPS as f32) * 2f32.powi(at.div_euclid(STEPS))
}

/// The number of the step nearest to `size`, of those that there are.
pub fn nearest_step(size: f32) -> i32 {
    let [low, high] = OCTAVES;
    let exact =
        if size > 0.0 { size.log2().clamp(low as f32, (high + 1) as f32) } else { low as f32 };
    let octave = exact.floor();
    let within = ((exact - octave).exp2() - 1.0) * STEPS as f32;
    (octave as i32 * STEPS + within.round() as i32).min(high * STEPS + STEPS - 1)
}

/// What errors cost in the rows of a matrix.
#[derive(Clone)]
pub struct Metric {
    columns: usize,
    /// As in [`compensate`](super::super::compensate): what each column hands on to those after it.
    spread: Vec<f32>,
    /// What a unit of a column's squared error costs.
    gain: Vec<f32>,
}

impl Metric {
    /// Of inputs with this second moment.
    ///
    /// # Errors
    /// When it is not finite.
    pub fn new(moment: &[f64], columns: usize) -> Result<Self> {
        let (spread, gain) = spread_and_gain(moment, columns)?;
        Ok(Self { columns, spread, gain })
    }

    fn mean_gain(&self) -> f32 {
        self.gain.iter().sum::<f32>() / self.columns as f32
    }
}

/// A matrix to be coded.
pub struct Source<'a> {
    /// Row-major.
    pub weights: &'a [f32],
    /// What errors cost.
    pub metric: &'a Metric,
    /// How much an error in each row counts.
    pub rows: &'a [f32],
}

/// Bits of codes and steps, from how often they came.
#[derive(Clone)]
struct Prices {
    codes: [f32; CODES],
    /// By the high and the low byte of half precision: the file has a table for each.
    high: [f32; 256],
    low: [f32; 256],
}

fn bits<const N: usize>(counts: &[u32; N]) -> [f32; N] {
    let total: f32 = counts.iter().map(|&count| count as f32).sum::<f32>().max(1.0);
    // What never came can come all the same, at a price.
    counts.map(|count| (total / (count as f32).max(0.5)).log2())
}

fn entropy<const N: usize>(counts: &[u32; N]) -> f64 {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let own = |&count: &u32| match f64::from(count) {
        0.0 => 0.0,
        count => count * (total / count).log2(),
    };
    counts.iter().map(own).sum()
}

struct Counts {
    codes: [u32; CODES],
    high: [u32; 256],
    low: [u32; 256],
}

impl Counts {
    fn of(codes: &[i8], steps: &[i32]) -> Self {
        let mut counts = Self { codes: [0; CODES], high: [0; 256], low: [0; 256] };
        codes.iter().for_each(|&code| counts.codes[(i32::from(code) + WIDE) as usize] += 1);
        for &at in steps {
            let [low, high] = half::from_f32(step(at)).to_le_bytes();
            counts.low[usize::from(low)] += 1;
            counts.high[usize::from(high)] += 1;
        }
        counts
    }

    fn prices(&self) -> Prices {
        Prices { codes: bits(&self.codes), high: bits(&self.high), low: bits(&self.low) }
    }

    fn bits(&self) -> f64 {
        entropy(&self.codes) + entropy(&self.high) + entropy(&self.low)
    }
}

impl Prices {
    fn step(&self, at: i32) -> f32 {
        let [low, high] = half::from_f32(step(at)).to_le_bytes();
        self.high[usize::from(high)] + self.low[usize::from(low)]
    }
}

/// A matrix in codes.
#[derive(Clone)]
pub struct Coded {
    /// Row-major.
    pub codes: Vec<i8>,
    /// The number of each row's step on the grid.
    pub steps: Vec<i32>,
    /// The highest code that was allowed.
    pub limit: i32,
    /// What the errors cost: Σ ω dᵀ H d.
    pub distortion: f64,
    /// Entropy of codes and steps.
    pub bits: f64,
}

impl Coded {
    /// The numbers that the codes stand for.
    pub fn numbers(&self) -> Vec<f32> {
        let columns = self.codes.len() / self.steps.len().max(1);
        let rows = self.codes.chunks(columns.max(1)).zip(&self.steps);
        rows.flat_map(|(row, &at)| row.iter().map(move |&code| f32::from(code) * step(at)))
            .collect()
    }
}

/// Codes from −7 to 7 of steps of so many standard deviations of each row, nothing made up for: what a file would have,
/// without what it takes to choose well.
pub fn plain(weights: &[f32], columns: usize, share: f32) -> Coded {
    let steps: Vec<i32> =
        weights.chunks(columns).map(|row| nearest_step(share * deviation(row))).collect();
    let rows = weights.chunks(columns).zip(&steps);
    let limit = NARROW as f32;
    let code = |(row, &at): (&[f32], &i32)| {
        let codes = row.iter().map(|w| (w / step(at)).round().clamp(-limit, limit) as i8);
        codes.collect::<Vec<i8>>()
    };
    let codes: Vec<i8> = rows.flat_map(code).collect();
    let bits = Counts::of(&codes, &steps).bits();
    Coded { codes, steps, limit: NARROW, distortion: 0.0, bits }
}

/// The root of the mean square.
pub fn deviation(row: &[f32]) -> f32 {
    (row.iter().map(|x| x * x).sum::<f32>() / row.len().max(1) as f32).sqrt()
}

/// A row in codes, and its cost.
struct Row {
    at: i32,
    codes: Vec<i8>,
    distortion: f32,
    cost: f32,
}

impl Source<'_> {
    /// What the errors of these numbers cost: Σ ω dᵀ H d. With the factors of H⁻¹ that the rounding has, H is a sum of
    /// squares: column j, off by d and with all that earlier columns hand on to it, costs its gain times the square.
    pub fn cost(&self, numbers: &[f32]) -> f64 {
        let Metric { columns, ref spread, ref gain } = *self.metric;
        let rows = self.weights.par_chunks(columns).zip(numbers.par_chunks(columns));
        let costs = rows.zip(self.rows).map(|((was, is), &weight)| {
            let mut left: Vec<f32> = was.iter().zip(is).map(|(was, is)| was - is).collect();
            let mut cost = 0.0;
            for j in 0..columns {
                let lost = left[j];
                cost += f64::from(gain[j] * lost * lost);
                let later =
                    left[j + 1..].iter_mut().zip(&spread[j * columns + j + 1..(j + 1) * columns]);
                later.for_each(|(w, share)| *w -= lost * share);
            }
            f64::from(weight) * cost
        });
        // In order, so that the sum is the same whatever the threads.
        costs.collect::<Vec<f64>>().into_iter().sum()
    }

    /// Rounds to given steps, whatever that takes in bits.
    pub fn round(&self, steps: Vec<i32>) -> Coded {
        let free = Prices { codes: [0.0; CODES], high: [0.0; 256], low: [0.0; 256] };
        self.with(
            WIDE,
            self.rows(|at, row, weight| self.row(row, steps[at], weight, 0.0, WIDE, &free)),
        )
    }

    /// Codes at `price` for each bit.
    ///
    /// It always begins with the same steps, since codes and prices that fit one another can stay where they are: from
    /// the codes of another price it would go on to others than from these.
    pub fn code(&self, price: f32) -> Coded {
        let wide = self.search(price, WIDE, self.start(price));
        let beyond =
            wide.codes.iter().filter(|code| i32::from(code.unsigned_abs()) > NARROW).count();
        if 50 * beyond > wide.codes.len() {
            return wide;
        }
        let narrow = self.search(price, NARROW, wide.clone());
        let cost = |coded: &Coded| coded.distortion + f64::from(price) * coded.bits;
        // A little is lost for codes that take half the memory.
        if cost(&narrow) <= 1.01 * cost(&wide) { narrow } else { wide }
    }

    fn start(&self, price: f32) -> Coded {
        // Of fine uniform steps the error is Δ²/12, and a quarter of it costs a bit.
        let size = |weight: &f32| {
            let slope = weight * self.metric.mean_gain();
            nearest_step((price * 12.0 / (2.0 * std::f32::consts::LN_2 * slope)).sqrt())
        };
        self.round(self.rows.iter().map(size).collect())
    }

    fn search(&self, price: f32, limit: i32, mut coded: Coded) -> Coded {
        for _ in 0..ROUNDS {
            let prices = Counts::of(&coded.codes, &coded.steps).prices();
            let steps = &coded.steps;
            let rows = self.rows(|at, row, weight| {
                self.cheapest(row, steps[at], weight, price, limit, &prices)
            });
            coded = self.with(limit, rows);
        }
        coded
    }

    fn rows(&self, code: impl Fn(usize, &[f32], f32) -> Row + Sync) -> Vec<Row> {
        let rows = self.weights.par_chunks(self.metric.columns).zip(self.rows).enumerate();
        rows.map(|(at, (row, &weight))| code(at, row, weight)).collect()
    }

    fn with(&self, limit: i32, rows: Vec<Row>) -> Coded {
        let distortion = rows.iter().map(|row| f64::from(row.distortion)).sum();
        let steps: Vec<i32> = rows.iter().map(|row| row.at).collect();
        let codes: Vec<i8> = rows.into_iter().flat_map(|row| row.codes).collect();
        let bits = Counts::of(&codes, &steps).bits();
        Coded { codes, steps, limit, distortion, bits }
    }

    /// The row with the cheapest step that lies downhill from `at`.
    fn cheapest(
        &self,
        row: &[f32],
        at: i32,
        weight: f32,
        price: f32,
        limit: i32,
        prices: &Prices,
    ) -> Row {
        let code = |at: i32| self.row(row, at, weight, price, limit, prices);
        let [low, high] = OCTAVES.map(|octave| octave * STEPS);
        let mut best = code(at);
        for direction in [1, -1] {
            let begun = best.at;
            while (low..high + STEPS).contains(&(best.at + direction)) {
                let next = code(best.at + direction);
                if next.cost >= best.cost {
                    break;
                }
                best = next;
            }
            if best.at != begun {
                break;
            }
        }
        best
    }

    fn row(
        &self,
        row: &[f32],
        at: i32,
        weight: f32,
        price: f32,
        limit: i32,
        prices: &Prices,
    ) -> Row {
        let Metric { columns, ref spread, ref gain } = *self.metric;
        let (step, limit) = (step(at), limit as f32);
        let inverse = 1.0 / step;
        let mut left = row.to_vec();
        let mut codes = Vec::with_capacity(columns);
        let (mut distortion, mut bits) = (0.0, prices.step(at));
        for j in 0..columns {
            let x = left[j] * inverse;
            let cost = |code: f32| {
                let error = (x - code) * step;
                let bits = prices.codes[(code as i32 + WIDE) as usize];
                (weight * gain[j] * error * error + price * bits, bits)
            };
            let mut code = x.round().clamp(-limit, limit);
            let mut own = cost(code);
            if code != 0.0 {
                let lower = code - code.signum();
                let other = cost(lower);
                if other.0 < own.0 {
                    (code, own) = (lower, other);
                }
            }
            let lost = left[j] - code * step;
            distortion += gain[j] * lost * lost;
            bits += own.1;
            codes.push(code as i8);
            let later =
                left[j + 1..].iter_mut().zip(&spread[j * columns + j + 1..(j + 1) * columns]);
            later.for_each(|(w, share)| *w -= lost * share);
        }
        let distortion = weight * distortion;
        Row { at, codes, distortion, cost: distortion + price * bits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::testing::noise;
    use crate::matrix::{LearnedScales, Shape, Structured};
    use pocketlm::pack::{Packer, Precision, entropy_coded};
    use pocketlm::{CellKind, Configuration, Model, Unit};
    use proptest::prelude::*;

    /// Sums of uniform numbers, nearly the bell of trained weights, of a size for each row.
    fn weights(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        let draws: Vec<Vec<f32>> = (0..4).map(|k| noise(rows * columns, seed + k)).collect();
        let size = noise(rows, seed + 9);
        let number = |at: usize| draws.iter().map(|draw| draw[at]).sum::<f32>();
        (0..rows * columns).map(|at| number(at) * (1.2 + size[at / columns])).collect()
    }

    /// Second moment of inputs that go together.
    fn moment(columns: usize, seed: u64) -> Vec<f64> {
        let inputs = noise(3 * columns * columns, seed);
        let mut sum = vec![0.0; columns * columns];
        for x in inputs.chunks(columns) {
            let common = x[0] + x[columns / 2];
            let x: Vec<f64> = x.iter().map(|x| f64::from(x + common)).collect();
            (0..sum.len()).for_each(|at| sum[at] += x[at / columns] * x[at % columns]);
        }
        sum
    }

    /// `Σ ω dᵀ H d`, without the ridge that is added to H.
    fn loss(source: &Source, moment: &[f64], coded: &Coded) -> f64 {
        let n = source.metric.columns;
        let numbers = coded.numbers();
        let rows = source.weights.chunks(n).zip(numbers.chunks(n)).zip(source.rows);
        let row = |((a, b), weight): ((&[f32], &[f32]), &f32)| {
            let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| f64::from(a - b)).collect();
            let sum: f64 = (0..n * n).map(|at| d[at / n] * d[at % n] * moment[at]).sum();
            f64::from(*weight) * sum
        };
        rows.map(row).sum()
    }

    #[test]
    fn steps_are_numbers_of_half_precision_with_few_low_bytes() {
        for at in OCTAVES[0] * STEPS..(OCTAVES[1] + 1) * STEPS {
            let size = step(at);
            assert_eq!(half::to_f32(half::from_f32(size)), size);
            assert!([0, 128].contains(&half::from_f32(size).to_le_bytes()[0]));
            assert_eq!(nearest_step(size), at);
        }
        assert_eq!(step(nearest_step(0.0)), step(OCTAVES[0] * STEPS));
        assert_eq!(nearest_step(f32::INFINITY), (OCTAVES[1] + 1) * STEPS - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        /// More bits never lose more, but for what the search for steps leaves to chance.
        #[test]
        fn a_higher_rate_loses_less(columns in 8usize..70, seed in 0u64..1 << 40) {
            let (weights, rows) = (weights(150, columns, seed), noise(150, seed + 20));
            let rows: Vec<f32> = rows.iter().map(|x| 1.1 + x).collect();
            let moment = moment(columns, seed + 30);
            let metric = Metric::new(&moment, columns).unwrap();
            let source = Source { weights: &weights, metric: &metric, rows: &rows };
            let scale = moment.iter().step_by(columns + 1).sum::<f64>() / columns as f64;
            let found: Vec<Coded> = [1e-3, 8e-3, 6e-2, 0.5]
                .iter()
                .map(|price| source.code((price * scale) as f32))
                .collect();
            for pair in found.windows(2) {
                let [fine, coarse] = [&pair[0], &pair[1]];
                prop_assert!(coarse.bits < fine.bits, "{} {}", coarse.bits, fine.bits);
                let [a, b] = [fine, coarse].map(|coded| loss(&source, &moment, coded));
                prop_assert!(a <= 1.02 * b, "{a} at {} bits, {b} at {}", fine.bits, coarse.bits);
                // What any numbers cost is for codes what was summed as they were chosen.
                let again = source.cost(&coarse.numbers());
                prop_assert!((again / coarse.distortion - 1.0).abs() < 1e-3, "{again}");
                // The estimate that the choice is made by, which has the ridge.
                prop_assert!(b <= 1.01 * coarse.distortion, "{b} {}", coarse.distortion);
            }
        }

        /// Codes are codes of their steps: another rounding to these finds them again.
        #[test]
        fn the_numbers_are_those_of_the_structure(columns in 1usize..90, seed in 0u64..1 << 40) {
            let (weights, rows) = (weights(20, columns, seed), vec![1.0; 20]);
            let metric = Metric::new(&moment(columns, seed + 30), columns).unwrap();
            let source = Source { weights: &weights, metric: &metric, rows: &rows };
            for price in [1e-3, 0.3] {
                let coded = source.code(price);
                let precision = if coded.limit == NARROW { Precision::Int4 } else { Precision::Int8 };
                let form = LearnedScales { precision, whole_rows: true };
                let steps: Vec<f32> = coded.steps.iter().map(|&at| step(at)).collect();
                let mut dense = vec![0.0; weights.len()];
                let shape = Shape { rows: 20, columns };
                form.materialise(&[&coded.numbers(), &steps], shape, &mut dense);
                prop_assert_eq!(dense, coded.numbers());
            }
        }
    }

    /// Of as many bits, codes chosen by their price lose less than the nearest ones of equal steps.
    #[test]
    fn it_is_better_than_rounding() {
        let columns = 64;
        let (weights, moment) = (weights(400, columns, 3), moment(columns, 4));
        let metric = Metric::new(&moment, columns).unwrap();
        let rows: Vec<f32> = noise(400, 5).iter().map(|x| (4.0 * x).exp2()).collect();
        let source = Source { weights: &weights, metric: &metric, rows: &rows };
        let plain = plain(&weights, columns, 0.8);
        let (mut low, mut high) = (1e-6f32, 1e6f32);
        let mut coded = source.code(low);
        for _ in 0..24 {
            let price = (low * high).sqrt();
            coded = source.code(price);
            if coded.bits > plain.bits { low = price } else { high = price }
        }
        assert!((coded.bits / plain.bits - 1.0).abs() < 0.02, "{} {}", coded.bits, plain.bits);
        let [ours, theirs] = [&coded, &plain].map(|coded| loss(&source, &moment, coded));
        assert!(ours < 0.5 * theirs, "{ours} {theirs}");
    }

    /// The entropy that prices are made of is what the file takes.
    #[test]
    fn the_file_takes_the_bits_that_were_counted() {
        let (types, columns) = (4000, 96);
        let configuration = Configuration {
            cell: CellKind::Gru,
            embedding: columns,
            hidden: vec![columns],
            cell_projection: 0,
            projection: 0,
            tied: true,
            unit: Unit::Word,
            layer_norm: false,
            mogrifier: 0,
        };
        let words: Vec<String> = (0..types).map(|at| format!("w{at:05}")).collect();
        let numbers = weights(types, columns, 7);
        let metric = Metric::new(&moment(columns, 8), columns).unwrap();
        let rows: Vec<f32> = (0..types).map(|at| 1.0 / (1.0 + at as f32)).collect();
        let source = Source { weights: &numbers, metric: &metric, rows: &rows };
        for price in [1e-5, 3e-3] {
            let coded = source.code(price);
            let mut packer = Packer::new(configuration.clone(), &words, "w00000", None).unwrap();
            for matrix in configuration.matrices(types) {
                let zeros = vec![0.0; matrix.rows * matrix.columns];
                packer.matrix(matrix.name, &zeros, Precision::Int4).unwrap();
            }
            for bias in configuration.biases(types) {
                packer.bias(bias.name, &vec![0.0; bias.rows]).unwrap();
            }
            let precision = if coded.limit == NARROW { Precision::Int4 } else { Precision::Int8 };
            let sparsity = pocketlm::pack::Sparsity::None;
            let weights = &coded.numbers();
            let factor =
                pocketlm::pack::Factor { rows: types, columns, weights, sparsity, precision };
            let scales: Vec<f32> = coded.steps.iter().map(|&at| step(at)).collect();
            let form = pocketlm::pack::Form::Scaled { factor, scales: &scales };
            packer.form("embedding", &form).unwrap();
            let model =
                Model::from_bytes(entropy_coded(&packer.finish().unwrap()).unwrap()).unwrap();
            let infos = model.matrices();
            let found = infos.iter().find(|info| info.name == "embedding").unwrap().file_bytes;
            let counted = coded.bits / 8.0;
            let off = found as f64 / counted - 1.0;
            assert!(off.abs() < 0.02, "{found} bytes, {counted} counted, limit {}", coded.limit);
            let mut row = vec![0.0; columns];
            for at in 0..types {
                model.row("embedding", at, &mut row).unwrap();
                assert_eq!(row, coded.numbers()[at * columns..][..columns]);
            }
        }
    }
}
