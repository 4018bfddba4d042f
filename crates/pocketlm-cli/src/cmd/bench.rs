//! `pocketlm bench`

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use comfy_table::Table;
use memmap2::MmapMut;
use pocketlm::{Model, Random, Sampler, Sampling, Session};
use pocketlm_kernels::backend::{self, Backend};
use pocketlm_kernels::bytes::{as_i32, sum_words};
use pocketlm_train::corpus::Source;
use rayon::prelude::*;
use serde::Serialize;

use crate::evaluation::packed_split;
use crate::machine::{Machine, peak_bytes};
use crate::model::Loaded;
use crate::numbers::{seconds, texts};
use crate::table::table;

/// Measure the speed of models: one word after the other, each with the whole distribution.
///
/// On one thread unless --threads says otherwise. Models are measured one after the other, a row for each. The bound is
/// the speed at which this machine can read the model's weights.
///
/// Example: pocketlm bench small.plm smaller.plm
///
/// Example: pocketlm bench ngram.plm --data data/ptb
#[derive(clap::Args)]
pub struct Args {
    /// Models: .plm files, or folders of checkpoints, which are packed in memory in f32.
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Seconds to measure each model for.
    #[arg(long, default_value = "3", value_parser = seconds)]
    seconds: Duration,
    /// Score batches of N texts instead.
    #[arg(long, value_name = "N", value_parser = texts)]
    batch: Option<usize>,
    /// Score this text again and again instead: a file, or the test.txt of a folder.
    #[arg(long, value_name = "PATH", conflicts_with = "batch")]
    data: Option<PathBuf>,
    /// Use this instruction set, not the best of this machine: avx512, avx-vnni, avx2, neon, portable …
    #[arg(long, value_name = "NAME", value_parser = instruction_set)]
    backend: Option<Backend>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A version of the kernels that this machine can run, by its name.
fn instruction_set(text: &str) -> Result<Backend, String> {
    let here = || Backend::available().map(Backend::name).collect::<Vec<_>>().join(", ");
    let found = Backend::available().find(|backend| backend.name() == text);
    found.ok_or_else(|| format!("this machine has {}", here()))
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::output::lossy")]
    model: PathBuf,
    threads: usize,
    batch: usize,
    /// The instruction set of the kernels.
    backend: &'static str,
    tokens_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    open_ms: f64,
    /// None for the models after the first, whose memory cannot be told from what was there before.
    peak_bytes: Option<u64>,
    /// Bytes of weights that one word reads: all but the embedding, of which it reads a row. None for an n-gram
    /// model, which reads here and there.
    bytes_per_token: Option<usize>,
    /// Measured speed of reading a buffer of that size, in bytes a second.
    bandwidth: Option<f64>,
    bound_tokens_per_second: Option<f64>,
    machine: Machine,
}

impl Args {
    /// Measures and prints.
    pub fn run(self) -> Result<()> {
        if let Some(backend) = self.backend {
            backend::force(backend);
        }
        let mut reports = Vec::new();
        for path in &self.models {
            let mut report = self.measure(path)?;
            report.peak_bytes = report.peak_bytes.filter(|_| reports.is_empty());
            reports.push(report);
        }
        match (self.json, &reports[..]) {
            (true, [report]) => say!("{}", serde_json::to_string_pretty(report)?),
            (true, reports) => {
                let object = serde_json::json!({ "results": reports });
                say!("{}", serde_json::to_string_pretty(&object)?);
            }
            (false, reports) => say!("{}", as_table(reports)),
        }
        Ok(())
    }

    fn measure(&self, path: &Path) -> Result<Report> {
        let start = Instant::now();
        let model = Loaded::open(path)?.model;
        let mut session = Session::new(&model);
        black_box(session.suggest(3)?.len());
        let open_ms = start.elapsed().as_secs_f64() * 1e3;
        let peak = peak_bytes();
        let (mut times, tokens) = match (self.batch, &self.data) {
            (Some(n), _) => (self.batches(&model, n)?, n * BATCH_TEXT),
            (None, Some(data)) => self.passes(&mut session, data)?,
            (None, None) => (words(&mut session, self.seconds)?, 1),
        };
        let tokens_per_second = tokens as f64 * rate(&times);
        times.sort_by(f64::total_cmp);
        let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] * 1e6;
        let bytes = bytes_per_token(&model);
        let bandwidth = bytes.map(bandwidth).transpose()?;
        let bound = bandwidth.zip(bytes).map(|(bandwidth, bytes)| bandwidth / bytes as f64);
        Ok(Report {
            model: path.to_owned(),
            // Products with several vectors are not shared out.
            threads: if self.batch.is_some() { 1 } else { rayon::current_num_threads() },
            batch: self.batch.unwrap_or(1),
            backend: backend::chosen().name(),
            tokens_per_second,
            p50_us: at(0.5),
            p99_us: at(0.99),
            open_ms,
            peak_bytes: peak,
            bytes_per_token: bytes,
            bandwidth,
            bound_tokens_per_second: bound,
            machine: Machine::here(),
        })
    }

    fn batches(&self, model: &Model, n: usize) -> Result<Vec<f64>> {
        let types = model.vocabulary().len();
        let words: Vec<String> = model.vocabulary().words().collect();
        let text = |i: usize| {
            let word = |j: usize| words[(i * 7919 + j * 104_729) % types].as_str();
            // The end of the text adds the last token.
            (0..BATCH_TEXT - 1).map(word).collect::<Vec<_>>().join(" ")
        };
        let texts: Vec<String> = (0..n).map(text).collect();
        let end = Instant::now() + self.seconds;
        let mut times = Vec::new();
        loop {
            let start = Instant::now();
            black_box(model.score_batch(&texts)?);
            times.push(start.elapsed().as_secs_f64());
            if Instant::now() >= end {
                return Ok(times);
            }
        }
    }

    /// Seconds of each pass over the test split of `data`, and its tokens.
    fn passes(&self, session: &mut Session<&Model>, data: &Path) -> Result<(Vec<f64>, usize)> {
        let ids = packed_split(session.model(), &Source::measured(data, "test")?)?.ids;
        let end = Instant::now() + self.seconds;
        let mut times = Vec::new();
        loop {
            session.reset();
            let start = Instant::now();
            black_box(session.evaluate(ids.iter().copied())?);
            times.push(start.elapsed().as_secs_f64());
            if Instant::now() >= end {
                return Ok((times, ids.len()));
            }
        }
    }
}

fn as_table(reports: &[Report]) -> Table {
    let header = ["model", "tokens/s", "bound", "p50 us", "p99 us", "open ms"];
    let mut table = table(&header, 1);
    for report in reports {
        let bound = report.bound_tokens_per_second.map(|bound| format!("{bound:.0}"));
        table.add_row([
            report.model.display().to_string(),
            format!("{:.0}", report.tokens_per_second),
            bound.unwrap_or_else(|| "–".to_owned()),
            format!("{:.1}", report.p50_us),
            format!("{:.1}", report.p99_us),
            format!("{:.2}", report.open_ms),
        ]);
    }
    table
}

/// Seconds of each of as many words as `seconds` have room for: fed, then one probability, which takes the sum
/// over the whole vocabulary.
pub fn words(session: &mut Session<&Model>, seconds: Duration) -> Result<Vec<f64>> {
    let text = text(session)?;
    let mut tokens = text.iter().copied().cycle();
    let mut next = tokens.next().unwrap_or(0);
    let end = Instant::now() + seconds;
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end && !times.is_empty() {
            return Ok(times);
        }
        session.feed(next)?;
        next = tokens.next().unwrap_or(0);
        black_box(session.log_probability_of(next)?);
        times.push(start.elapsed().as_secs_f64());
    }
}

/// How many a second, of what took so many seconds each.
pub fn rate(times: &[f64]) -> f64 {
    times.len() as f64 / times.iter().sum::<f64>()
}

/// What to feed: words from all over the vocabulary, or for an n-gram model, which makes short work of what it has
/// never seen, a text that it drew itself.
fn text(session: &mut Session<&Model>) -> Result<Vec<u32>> {
    const TOKENS: u32 = 4096;
    let model = session.model();
    let types = model.vocabulary().len() as u32;
    if model.configuration().is_some() {
        return Ok((0..TOKENS).map(|i| i * 7919 % types).collect());
    }
    let mut sampler = Sampler::new(model, Sampling { unknown: true, ..Sampling::default() })?;
    let mut random = Random::new(1);
    let mut drawn = Session::new(model);
    let draw = |_| {
        let token = drawn.sample(&mut sampler, &mut random)?;
        drawn.feed(token)?;
        Ok(token)
    };
    (0..TOKENS).map(draw).collect()
}

/// Tokens of each text of a batch.
const BATCH_TEXT: usize = 20;

fn bytes_per_token(model: &Model) -> Option<usize> {
    let tied = model.configuration()?.tied;
    let read = |name: &str| name != "embedding" || tied;
    Some(model.matrices().iter().filter(|m| read(&m.name)).map(|m| m.bytes).sum())
}

/// Bytes a second of reading `bytes` of memory again and again, each thread its share: the best of several passes.
fn bandwidth(bytes: usize) -> Result<f64> {
    let mut memory = MmapMut::map_anon(bytes.next_multiple_of(4).max(64))?;
    // The same pages as a mapped model's, if it can be.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    memory.fill(1);
    let words = as_i32(&memory).context("mapped memory is aligned")?;
    let share = words.len().div_ceil(rayon::current_num_threads());
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(300) {
        let start = Instant::now();
        words.par_chunks(share).for_each(|share| {
            black_box(sum_words(black_box(share)));
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(memory.len() as f64 / best)
}
