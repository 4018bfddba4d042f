//! `pocketlm rescore`

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;
use pocketlm_train::rescoring::{
    Candidate, Counts, Format, Lists, Normalisation, PARTS, Places, Rates, References, Scores,
    Utterance, tune, tune_bagged,
};
use serde_json::{Map, Value, json};

use super::eval::share;
use crate::machine::Machine;
use crate::model::{ModelArg, check_exists};
use crate::numbers;
use crate::output::Output;
use crate::rescorer::{Evidence, Rescorer, Weighing};
use crate::unknown::{Penalty, penalty};

/// Weight of the language model where none is given or fitted.
const SCALE: f64 = 0.5;
/// Shares of the second model that are tried.
const SHARES: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Choose anew among the hypotheses of a recogniser, by what a language model says of them.
///
/// NBEST is a list in JSON lines, tab-separated, or Kaldi's text. A hypothesis's new score is the recogniser's +
/// lm-scale · ln p(text) − insertion-penalty · words + length-bonus · letters (+ first-lm-scale · the score of the
/// recogniser's own language model). --tune fits the weights that are not given. Where the references are known, word error
/// rates are printed to standard error.
///
/// Example: pocketlm rescore test.jsonl -m keyboard.plm --tune dev.jsonl
///
/// Example: pocketlm rescore nbest.txt --am-cost ac_cost --lm-cost lm_cost --ref text -m small.plm --mix five.plm
#[derive(clap::Args)]
#[command(override_usage = "pocketlm rescore -m <MODEL> [OPTIONS] <NBEST>")]
pub struct Args {
    /// List of hypotheses; - for standard input.
    #[arg(value_name = "NBEST")]
    list: PathBuf,
    #[command(flatten)]
    model: ModelArg,
    /// Mix the model with this one, which must have the same words.
    #[arg(long, value_name = "MODEL")]
    mix: Option<PathBuf>,
    /// Share of the second model in the mixture, from 0 to 1 (default: 0.5).
    #[arg(long, requires = "mix", value_parser = share)]
    weight: Option<f64>,
    /// Weight of the language model (default: 0.5).
    #[arg(long, value_name = "X", value_parser = scale)]
    lm_scale: Option<f64>,
    /// What is taken off for each word (default: 0).
    #[arg(long, value_name = "X", value_parser = number, allow_negative_numbers = true)]
    insertion_penalty: Option<f64>,
    /// What is added for each letter (default: 0).
    #[arg(long, value_name = "X", value_parser = number, allow_negative_numbers = true)]
    length_bonus: Option<f64>,
    /// Weight of the score of the recogniser's own language model, beside the total score if there is one (default: 0
    /// beside a total, otherwise 1).
    #[arg(long, value_name = "X", value_parser = number, allow_negative_numbers = true)]
    first_lm_scale: Option<f64>,
    /// Fit the weights that are not given on this list, whose references are known, for the fewest word errors.
    #[arg(long, value_name = "NBEST")]
    tune: Option<PathBuf>,
    /// References of the list, if it has none: a name and the words on each line.
    #[arg(long = "ref", value_name = "FILE")]
    references: Option<PathBuf>,
    /// References of the list of --tune, if it has none.
    #[arg(long, value_name = "FILE", requires = "tune")]
    tune_ref: Option<PathBuf>,
    /// How the lists are written (default: seen from the first line).
    #[arg(long)]
    format: Option<Written>,
    /// Kaldi's acoustic costs of the list, one `UTTERANCE-N cost` a line.
    #[arg(long, value_name = "FILE", requires = "lm_cost")]
    am_cost: Option<PathBuf>,
    /// Kaldi's costs of the language model.
    #[arg(long, value_name = "FILE", requires = "am_cost")]
    lm_cost: Option<PathBuf>,
    /// Kaldi's acoustic costs of the list of --tune.
    #[arg(long, value_name = "FILE", requires_all = ["tune", "tune_lm_cost"])]
    tune_am_cost: Option<PathBuf>,
    /// Kaldi's costs of the language model of the list of --tune.
    #[arg(long, value_name = "FILE", requires_all = ["tune", "tune_am_cost"])]
    tune_lm_cost: Option<PathBuf>,
    /// Capitals of hypotheses and references: fold (made small) or keep.
    #[arg(long, default_value = "fold")]
    case: Case,
    /// Punctuation of hypotheses and references: drop or keep.
    #[arg(long, default_value = "drop")]
    punctuation: Punctuation,
    /// What is taken off ln p for each unknown word: auto (its spelling, by a model of characters made from the
    /// vocabulary), a number of nats, or none.
    #[arg(long, value_name = "NATS", default_value = "auto", value_parser = penalty, allow_negative_numbers = true)]
    unk_penalty: Penalty,
    /// What to write: best (name and text), ranked (the list, best first, as JSON lines), scores (of every hypothesis, in
    /// the order of the list, as JSON lines) or none.
    #[arg(long, value_name = "WHAT", default_value = "best")]
    write: What,
    /// File to write; - for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// Sets of utterances that the intervals of word error rates are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = numbers::texts)]
    samples: usize,
    /// Seed of these sets.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a report as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Written {
    Json,
    Tabs,
    Kaldi,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Case {
    Fold,
    Keep,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Punctuation {
    Drop,
    Keep,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    Best,
    Ranked,
    Scores,
    None,
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.abs() <= 1e6);
    number.ok_or_else(|| "give a number from -1000000 to 1000000".to_owned())
}

fn scale(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1e6).contains(number));
    number.ok_or_else(|| "give a number from 0 to 1000000".to_owned())
}

/// A list whose references may lie apart.
struct Source {
    lists: Lists,
    references: Option<References>,
}

impl Source {
    /// The normalised reference of an utterance, if there is one.
    fn reference(&self, rescorer: &Rescorer, utterance: &Utterance) -> Result<Option<String>> {
        let text = match &self.references {
            Some(references) => Some(references.of(&utterance.id)?),
            None => utterance.reference.as_deref(),
        };
        Ok(text.map(|text| rescorer.normalise(text)))
    }
}

/// What comes of a list.
#[derive(Default)]
struct Tally {
    utterances: usize,
    hypotheses: usize,
    oov: u64,
    /// Of the utterances with a reference.
    counts: Vec<Counts>,
}

impl Args {
    /// Fits the weights where that is asked for, then rescores the list.
    pub fn run(self) -> Result<()> {
        let output = Output::new(&self.output, self.force)?;
        if self.write != What::None {
            output.check_json(self.json)?;
        }
        let read = [&self.tune, &self.references, &self.tune_ref, &self.mix].map(Option::as_deref);
        output.check_inputs(&read)?;
        output.check_inputs(&[Some(&self.list)])?;
        let normalisation = Normalisation {
            folds_case: self.case == Case::Fold,
            drops_punctuation: self.punctuation == Punctuation::Drop,
        };
        let list = self.list.to_string_lossy().into_owned();
        let model = self.model.path(&[list])?;
        let rescorer = Rescorer::open(model, self.mix.as_deref(), normalisation, self.unk_penalty)?;
        note!("hypotheses and references: {}", normalisation.describe());
        let fitted = self.tune.as_ref().map(|list| self.fit(&rescorer, list)).transpose()?;
        let source = self.source(&self.list, [&self.references, &self.am_cost, &self.lm_cost])?;
        let start = Instant::now();
        let (tally, weighing) = match self.write {
            What::None => self.rescore(&rescorer, source, fitted.as_ref(), &mut io::sink())?,
            _ => self.write(&rescorer, source, fitted.as_ref(), &output)?,
        };
        self.report(&tally, weighing, fitted, start.elapsed().as_secs_f64())
    }

    fn source(&self, list: &Path, beside: [&Option<PathBuf>; 3]) -> Result<Source> {
        let [references, acoustic, lm] = beside.map(Clone::clone);
        if list != Path::new("-") {
            check_exists(list)?;
        }
        let format = self.format.map(|format| match format {
            Written::Json => Format::Json,
            Written::Tabs => Format::Tabs,
            Written::Kaldi => Format::Kaldi,
        });
        let list = list.to_owned();
        let places = Places { list, format, acoustic_costs: acoustic, lm_costs: lm };
        Ok(Source {
            lists: Lists::open(&places)?,
            references: references.as_deref().map(References::read).transpose()?,
        })
    }

    /// The weights that are given, with the defaults of the others.
    fn given(&self, scores: Scores) -> [f64; 4] {
        let first_lm = if scores == Scores::Parts { 1.0 } else { 0.0 };
        [
            self.first_lm_scale.unwrap_or(first_lm),
            self.lm_scale.unwrap_or(SCALE),
            self.insertion_penalty.unwrap_or(0.0),
            self.length_bonus.unwrap_or(0.0),
        ]
    }

    /// Fits the weights that are not given; the whole list is held in memory.
    fn fit(&self, rescorer: &Rescorer, list: &Path) -> Result<Fit> {
        let beside = [&self.tune_ref, &self.tune_am_cost, &self.tune_lm_cost];
        let mut source = self.source(list, beside)?;
        let mut all: Vec<(String, Vec<Evidence>)> = Vec::new();
        loop {
            let batch = rescorer.batch(&mut source.lists)?;
            if batch.is_empty() {
                break;
            }
            for (utterance, evidence) in batch {
                let Some(reference) = source.reference(rescorer, &utterance)? else {
                    let (list, id) = (list.display(), &utterance.id);
                    bail!(
                        "{list}: the utterance {id:?} has no reference to fit the weights to: add \"ref\", or give \
                         --tune-ref FILE"
                    );
                };
                all.push((reference, evidence));
            }
        }
        let scores = source.lists.scores();
        let (start, is_mixed) = (self.given(scores), rescorer.is_mixture());
        let free = [
            self.first_lm_scale.is_none() && scores.has_parts(),
            self.lm_scale.is_none(),
            self.insertion_penalty.is_none(),
            self.length_bonus.is_none(),
        ];
        let mut shares = SHARES.to_vec();
        // Of equals the one that is nearest to the middle.
        shares.sort_by(|a, b| (a - 0.5).abs().total_cmp(&(b - 0.5).abs()));
        let given = self.weight.or((!is_mixed).then_some(0.0)).map(|share| vec![share]);
        let tried = given.unwrap_or(shares).into_iter().map(|mix| {
            let candidates = |(reference, evidence): &(String, Vec<Evidence>)| -> Vec<Candidate> {
                evidence.iter().map(|own| own.candidate(mix, Some(reference))).collect()
            };
            let lists: Vec<_> = all.iter().map(candidates).collect();
            let views: Vec<&[Candidate]> = lists.iter().map(Vec::as_slice).collect();
            (tune(&views, start, free).errors, mix, lists)
        });
        let best = tried.reduce(|best, next| if next.0 < best.0 { next } else { best });
        let Some((_, mix, lists)) = best else { bail!("{}: no utterance", list.display()) };
        let views: Vec<&[Candidate]> = lists.iter().map(Vec::as_slice).collect();
        let weighing = Weighing { mix, weights: tune_bagged(&views, start, free).weights };
        let words = all.iter().map(|(reference, _)| reference.split_whitespace().count() as u32);
        let counts: Vec<_> = lists
            .iter()
            .zip(words)
            .map(|(list, words)| counts(list, words, Candidate::best(list, &weighing.weights)))
            .collect();
        let Some(rates) = Rates::new(&counts, self.samples, self.seed) else {
            bail!("{}: its references have no words: there is nothing to fit to", list.display());
        };
        note!("fitted on {}: {}", list.display(), describe(&rates));
        Ok(Fit { weighing, rates })
    }

    /// Rescores into the output, whole or not at all.
    fn write(
        &self,
        rescorer: &Rescorer,
        source: Source,
        fitted: Option<&Fit>,
        output: &Output,
    ) -> Result<(Tally, Weighing)> {
        let mut done = None;
        let written = output.write(|file| {
            let result = self.rescore(rescorer, source, fitted, file);
            let fault = result.as_ref().err().map(|_| io::Error::other("rescoring failed"));
            done = Some(result);
            fault.map_or(Ok(()), Err)
        });
        match (done, written) {
            // A reader that went away is no fault of the list.
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => unreachable!("what is written comes from rescoring"),
        }
    }

    fn rescore(
        &self,
        rescorer: &Rescorer,
        mut source: Source,
        fitted: Option<&Fit>,
        out: &mut dyn Write,
    ) -> Result<(Tally, Weighing)> {
        let mut tally = Tally::default();
        let mix = self.weight.unwrap_or(if rescorer.is_mixture() { 0.5 } else { 0.0 });
        let mut weighing = Weighing { mix, weights: self.given(Scores::Total) };
        loop {
            let batch = rescorer.batch(&mut source.lists)?;
            if batch.is_empty() {
                return Ok((tally, weighing));
            }
            let scores = source.lists.scores();
            if tally.utterances == 0 {
                weighing.weights = self.given(scores);
                weighing = fitted.map_or(weighing, |fit| fit.weighing);
                if scores == Scores::Order {
                    note!("the list has no scores: -ln of a hypothesis's place stands for one");
                }
            }
            for (utterance, evidence) in batch {
                let reference = source.reference(rescorer, &utterance)?;
                let candidate = |own: &Evidence| own.candidate(weighing.mix, reference.as_deref());
                let candidates: Vec<_> = evidence.iter().map(candidate).collect();
                let best = Candidate::best(&candidates, &weighing.weights);
                if let Some(reference) = &reference {
                    let words = reference.split_whitespace().count() as u32;
                    tally.counts.push(counts(&candidates, words, best));
                }
                tally.utterances += 1;
                tally.hypotheses += candidates.len();
                tally.oov += evidence.iter().map(|own| own.oov).sum::<u64>();
                let totals: Vec<_> =
                    candidates.iter().map(|c| c.total(&weighing.weights)).collect();
                self.print(out, &utterance, &evidence, &totals, weighing.mix, best)?;
            }
        }
    }

    fn print(
        &self,
        out: &mut dyn Write,
        utterance: &Utterance,
        evidence: &[Evidence],
        totals: &[f64],
        mix: f64,
        best: usize,
    ) -> Result<()> {
        let Utterance { id, reference, hypotheses } = utterance;
        let texts: Vec<&str> = hypotheses.iter().map(|heard| heard.text.as_str()).collect();
        match self.write {
            What::None => {}
            What::Best => writeln!(out, "{id}\t{}", texts[best])?,
            What::Scores => {
                let lm: Vec<f64> = evidence.iter().map(|own| own.log_probability(mix)).collect();
                let oov: Vec<u64> = evidence.iter().map(|own| own.oov).collect();
                let object = json!({ "id": id, "hyps": texts, "score": totals,
                    "log_probability": lm, "oov": oov });
                writeln!(out, "{object}")?;
            }
            What::Ranked => {
                let mut order: Vec<usize> = (0..totals.len()).collect();
                order.sort_by(|&a, &b| totals[b].total_cmp(&totals[a]));
                let hyps: Vec<_> = order.iter().map(|&at| texts[at]).collect();
                let score: Vec<_> = order.iter().map(|&at| totals[at]).collect();
                let mut object = json!({ "id": id, "hyps": hyps, "score": score });
                if let Some(reference) = reference {
                    object["ref"] = json!(reference);
                }
                writeln!(out, "{object}")?;
            }
        }
        Ok(())
    }

    fn report(
        &self,
        tally: &Tally,
        weighing: Weighing,
        fitted: Option<Fit>,
        seconds: f64,
    ) -> Result<()> {
        let rates = Rates::new(&tally.counts, self.samples, self.seed);
        let rate = tally.hypotheses as f64 / seconds;
        if !self.json {
            note!("weights: {}", weighing.flags(self.mix.is_some()));
            note!(
                "{} hypotheses of {} utterances, {rate:.0} hypotheses/s",
                tally.hypotheses,
                tally.utterances
            );
            rates.iter().for_each(|rates| note!("{}", describe(rates)));
            return Ok(());
        }
        let mut weights: Map<String, Value> =
            PARTS.iter().zip(weighing.weights).map(|(&name, w)| (name.into(), w.into())).collect();
        if self.mix.is_some() {
            weights.insert("weight".into(), weighing.mix.into());
        }
        let tuned = fitted.map(|fit| json!({ "list": self.tune, "rates": fit.rates }));
        let object = json!({ "list": self.list, "utterances": tally.utterances,
            "hypotheses": tally.hypotheses, "oov": tally.oov, "weights": weights, "tuned": tuned, "rates": rates,
            "seconds": seconds, "hypotheses_per_second": rate, "machine": Machine::here() });
        say!("{}", serde_json::to_string_pretty(&object)?);
        Ok(())
    }
}

/// Fitted weights, and what they make of the list that they were fitted on.
struct Fit {
    weighing: Weighing,
    rates: Rates,
}

impl Weighing {
    /// As flags, to be given again.
    fn flags(&self, is_mixture: bool) -> String {
        let names = PARTS.iter().zip(self.weights);
        let flags = names.map(|(name, weight)| format!("--{} {weight:.4}", name.replace('_', "-")));
        let mix = is_mixture.then(|| format!("--weight {:.1}", self.mix));
        flags.chain(mix).collect::<Vec<_>>().join(" ")
    }
}

/// Errors of one utterance, of which the hypothesis `best` is chosen.
fn counts(candidates: &[Candidate], words: u32, best: usize) -> Counts {
    let errors = candidates.iter().map(|candidate| candidate.errors);
    Counts {
        words,
        before: candidates[0].errors,
        after: candidates[best].errors,
        oracle: errors.min().unwrap_or(0),
    }
}

fn describe(rates: &Rates) -> String {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let Rates { before, after, oracle, reduction, improved, .. } = rates;
    format!(
        "word error rate {} % before, {} % after ({} to {}), {} % at best; {} % fewer errors ({} to {}), fewer in {} % of \
         resampled sets",
        percent(before.value),
        percent(after.value),
        percent(after.low),
        percent(after.high),
        percent(oracle.value),
        percent(reduction.value),
        percent(reduction.low),
        percent(reduction.high),
        percent(*improved)
    )
}
