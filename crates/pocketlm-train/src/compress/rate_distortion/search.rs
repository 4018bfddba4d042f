//! The price of a bit at which the model is as small as it shall be, and the model at that price.

use std::f64::consts::LN_2;

use super::coder::{self, Coded};
use super::matrix::{Evidence, Matrix};
use crate::checkpoint::Checkpoint;
use crate::compress::leaves::{carry, put};
use crate::corpus::Corpus;
use crate::error::{Error, Result};
use crate::linear::{Entry, Parameters};
use crate::matrix::{Forms, Shape};
use crate::pack::pack_in_memory;
use crate::recipe::step::rate_distortion::{BITS, Target, structure};
use crate::recipe::{RateDistortion, Step};

/// Bytes of the header for perplexities that are measured later, and the rounding of its length.
pub const FIGURES: usize = 256;
/// Prices that are tried.
const TRIES: usize = 16;
/// The binary logarithm of the first, in nats; and of those beyond which none is sought.
const FIRST: f64 = -23.0;
const BOUNDS: [f64; 2] = [-60.0, 0.0];
/// How far below what is asked for a size may be.
const SLACK: f64 = 0.004;
/// Bits a weight beyond which more bytes are of no use.
const ENOUGH: f64 = 6.0;
/// How much less than by the second-order estimate the error of a bias may cost: found on validation text of the Penn
/// Treebank, where errors of all biases together cost more than one by one.
const BIAS_SHARE: f64 = 0.3;
/// Binary logarithms of the steps of biases.
const BIAS_STEPS: [f64; 2] = [-12.0, 0.0];

/// Codes the matrices that `settings` choose.
///
/// # Errors
/// When the size cannot be reached, which is found first, or the text gives numbers that are not finite.
pub fn run(
    settings: &RateDistortion,
    target: Target,
    model: &mut Checkpoint,
    corpus: &Corpus,
) -> Result<()> {
    check(settings, target, model)?;
    Rates::measure(&settings.matrices, model, corpus)?.reach(settings, target, model).map(drop)
}

/// Refuses a file that cannot be so small, before anything is measured.
///
/// # Errors
/// [`Error::Config`] with the smallest possible size.
pub fn check(settings: &RateDistortion, target: Target, model: &mut Checkpoint) -> Result<()> {
    let Target::Bytes(bytes) = target else { return Ok(()) };
    let chosen = model.outline().matrices(&settings.matrices)?;
    check_bytes(settings, model, bytes, &chosen)
}

/// Matrices of a model that can be coded at any price of a bit.
pub struct Rates {
    /// With what errors cost in each.
    pub matrices: Vec<Matrix>,
    evidence: Evidence,
    /// Of the model as it was.
    forms: Forms,
    leaves: Parameters,
}

impl Rates {
    /// Measures on the start of the training text what errors cost.
    ///
    /// # Errors
    /// When the text gives numbers that are not finite.
    pub fn measure(matrices: &[String], model: &Checkpoint, corpus: &Corpus) -> Result<Self> {
        let evidence = Evidence::measure(model, corpus)?;
        let coded = model.outline().matrices(matrices)?.into_iter().map(|(name, shape)| {
            let mut matrix = Matrix::new(model, &name, shape, &evidence)?;
            matrix.weigh(model, corpus, &evidence)?;
            Ok(matrix)
        });
        let matrices = coded.collect::<Result<_>>()?;
        let (forms, leaves) = (model.config.forms.clone(), model.leaves.clone());
        Ok(Self { matrices, evidence, forms, leaves })
    }

    /// Codes those of the matrices that `settings` choose to a size, and gives the binary logarithm of the price of a bit, in nats.
    ///
    /// # Errors
    /// When the size cannot be reached.
    pub fn reach(
        &self,
        settings: &RateDistortion,
        target: Target,
        model: &mut Checkpoint,
    ) -> Result<f64> {
        let chosen = model.outline().matrices(&settings.matrices)?;
        let is_chosen = |matrix: &&Matrix| chosen.iter().any(|(name, _)| *name == matrix.name);
        let mut matrices: Vec<Matrix> = self.matrices.iter().filter(is_chosen).cloned().collect();
        for matrix in &mut matrices {
            matrix.scale(settings.weights.get(&matrix.name).copied().unwrap_or(1.0));
        }
        Search { settings, matrices, rates: self }.run(target, model)
    }
}

struct Search<'a> {
    settings: &'a RateDistortion,
    /// Each with its weight.
    matrices: Vec<Matrix>,
    rates: &'a Rates,
}

impl Search<'_> {
    fn run(&self, target: Target, model: &mut Checkpoint) -> Result<f64> {
        let count = self.matrices.iter().map(Matrix::len).sum::<usize>() as f64;
        let [mut low, mut high] = BOUNDS;
        let mut price = FIRST;
        let mut best: Option<(f64, f64, Vec<Coded>)> = None;
        for _ in 0..TRIES {
            let coded = self.code(price);
            let bits = coded.iter().map(|coded| coded.bits).sum::<f64>() / count;
            let (size, wanted, of_a_bit) = match target {
                Target::Bits(wanted) => (bits, wanted, 1.0),
                Target::Bytes(wanted) => {
                    let size = self.bytes(model, price, &coded)?;
                    (size as f64, wanted as f64, count / 8.0)
                }
            };
            // A bit more costs a quarter of the errors, and so of the price.
            let aim = (1.0 - SLACK / 2.0) * wanted;
            let next = price + 2.0 * (size - aim) / of_a_bit;
            let fits = size <= wanted;
            if fits {
                high = price
            } else {
                low = price
            }
            let is_near = fits && size >= (1.0 - SLACK) * wanted;
            if fits && best.as_ref().is_none_or(|(_, least, _)| size > *least) {
                best = Some((price, size, coded));
            }
            if is_near || high - low < 1e-3 || fits && bits > ENOUGH {
                break;
            }
            price = if low < next && next < high { next } else { f64::midpoint(low, high) };
        }
        let Some((price, _, coded)) = best else {
            let what = "cannot be kept by any price of a bit: give more";
            return Err(Error::config(
                if self.settings.bits.is_some() { "bits" } else { "bytes" },
                what,
            ));
        };
        self.install(model, price, &coded)?;
        Ok(price)
    }

    fn code(&self, price: f64) -> Vec<Coded> {
        self.matrices.iter().map(|matrix| matrix.source().code(price.exp2() as f32)).collect()
    }

    /// Bytes of the packed file.
    fn bytes(&self, model: &mut Checkpoint, price: f64, coded: &[Coded]) -> Result<usize> {
        self.install(model, price, coded)?;
        packed_bytes(self.settings, model)
    }

    fn install(&self, model: &mut Checkpoint, price: f64, coded: &[Coded]) -> Result<()> {
        let parts: Vec<_> = self.matrices.iter().map(|matrix| &*matrix.name).zip(coded).collect();
        let biases = |leaves: &mut Parameters| {
            for (matrix, coded) in self.matrices.iter().zip(coded) {
                matrix.shift(&coded.numbers(), leaves);
            }
            let all: Vec<Entry> =
                leaves.entries().iter().filter(|entry| entry.vector).cloned().collect();
            for bias in all {
                self.round_bias(&bias.name, price, &mut leaves.data[bias.range.clone()]);
            }
        };
        install(model, (&self.rates.forms, &self.rates.leaves), &parts, biases)
    }

    /// Rounds each number to a power of two at which its error costs as much as a bit does elsewhere. As floating-point
    /// numbers they then have few different bytes.
    fn round_bias(&self, name: &str, price: f64, numbers: &mut [f32]) {
        // Half the step's square over twelve is the rise of the loss for a word of frequency 1, and twice ln 2 of it what
        // a bit is worth.
        let slope = BIAS_SHARE * 24.0 * price.exp2() / (2.0 * LN_2);
        let [low, high] = BIAS_STEPS;
        let step =
            |weight: f64| (slope / weight).sqrt().log2().floor().clamp(low, high).exp2() as f32;
        let round = |x: &mut f32, step: f32| *x = (*x / step).round() * step;
        if name == "softmax.bias" {
            let pairs = numbers.iter_mut().zip(&self.rates.evidence.frequencies);
            pairs.for_each(|(x, &frequency)| round(x, step(frequency)));
            return;
        }
        let Some(information) = self.rates.evidence.information.get(name) else { return };
        let mean = information.iter().sum::<f64>() / information.len().max(1) as f64;
        let step = step(mean.max(f64::MIN_POSITIVE));
        numbers.iter_mut().for_each(|x| round(x, step));
    }
}

/// Refuses a file smaller than what is beside the codes, and the fewest bits that these can be asked to have.
fn check_bytes(
    settings: &RateDistortion,
    model: &mut Checkpoint,
    bytes: usize,
    chosen: &[(String, Shape)],
) -> Result<()> {
    let (forms, leaves) = (model.config.forms.clone(), model.leaves.clone());
    let coded = chosen.iter().map(|(name, shape)| {
        let entry = model.parameters.find(name).expect("the outline's names are the network's");
        coder::plain(&model.parameters.data[entry.range.clone()], shape.columns, 1.0)
    });
    let coded: Vec<Coded> = coded.collect();
    let parts: Vec<_> = chosen.iter().map(|(name, _)| &**name).zip(&coded).collect();
    let quarters = |leaves: &mut Parameters| {
        let all: Vec<Entry> =
            leaves.entries().iter().filter(|entry| entry.vector).cloned().collect();
        let numbers = all.into_iter().flat_map(|entry| entry.range);
        numbers.for_each(|at| leaves.data[at] = (4.0 * leaves.data[at]).round() / 4.0);
    };
    install(model, (&forms, &leaves), &parts, quarters)?;
    let beside = packed_bytes(settings, model)? as f64
        - coded.iter().map(|coded| coded.bits).sum::<f64>() / 8.0;
    model.reform(forms, leaves)?;
    let count: usize = coded.iter().map(|coded| coded.codes.len()).sum();
    let least = (beside + BITS.start() * count as f64 / 8.0).ceil();
    if bytes as f64 >= least {
        return Ok(());
    }
    let what = format!(
        "is {bytes}: the smallest possible is {least}, with {} bits a weight; words, header and all else that is not \
         coded take {beside:.0} of them",
        BITS.start()
    );
    Err(Error::config("bytes", what))
}

/// Gives a model these codes, and whatever `biases` does to its biases.
fn install(
    model: &mut Checkpoint,
    (forms, leaves): (&Forms, &Parameters),
    parts: &[(&str, &Coded)],
    biases: impl Fn(&mut Parameters),
) -> Result<()> {
    let mut outline = model.outline();
    outline.forms = forms.clone();
    outline.forms.entropy = true;
    for (name, coded) in parts {
        outline.forms.restructure((*name).to_owned(), structure(coded.limit));
    }
    let (_, mut own) = outline.parametrization()?;
    carry(leaves, &mut own);
    biases(&mut own);
    for (name, coded) in parts {
        put(&mut own, &format!("{name}.weights"), &coded.numbers());
        let steps: Vec<f32> = coded.steps.iter().map(|&at| coder::step(at)).collect();
        put(&mut own, &format!("{name}.scales"), &steps);
    }
    model.reform(outline.forms, own)
}

/// Bytes that the file will have, its recipe with this step and figures included.
fn packed_bytes(settings: &RateDistortion, model: &mut Checkpoint) -> Result<usize> {
    model.config.compression.push(Step::RateDistortion(settings.clone()));
    let packed = pack_in_memory(model);
    model.config.compression.pop();
    let packed = packed.map_err(|e| Error::config("the packed model", e.to_string()))?;
    Ok(packed.len() + FIGURES)
}
