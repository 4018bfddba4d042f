//! `pocketlm-lab bench-train`

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use pocketlm_cli::{DeviceArgs, Machine, peak_bytes, say};
use pocketlm_kernels::probe::multiply_add;
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::corpus::{Corpus, Options as CorpusOptions, Text};
use pocketlm_train::cuda::Device;
use pocketlm_train::network::{Network, initialise};
use pocketlm_train::recipe::Recipe;
use pocketlm_train::settings::{CellKind, ModelConfig, OptimizerKind, TrainConfig};
use pocketlm_train::train::{Optimizer, clip_scale, norm};
use pocketlm_train::train::{Options, Trainer};
use serde::Serialize;

/// Measure the speed of training: one step, or the whole update of a recipe.
///
/// Example: pocketlm-lab bench-train --hidden 650 --layers 2 --steps 20
#[derive(clap::Args)]
pub struct Args {
    /// Base model whose recipe to time: its shape, batch, window, dropout, losses, clipping and optimiser.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["hidden", "layers", "batch", "window"])]
    model: Option<String>,
    /// Number of units of each layer, and width of the embedding.
    #[arg(long, default_value_t = 200)]
    hidden: usize,
    /// Number of layers.
    #[arg(long, default_value_t = 2)]
    layers: usize,
    #[command(flatten)]
    device: DeviceArgs,
    /// Number of words.
    #[arg(long, default_value_t = 10_000)]
    vocabulary: usize,
    /// Number of streams of text side by side.
    #[arg(long, default_value_t = 20)]
    batch: usize,
    /// Number of tokens of each stream.
    #[arg(long, default_value_t = 35)]
    window: usize,
    /// Number of steps to time, after two to warm up.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct RecipeReport<'a> {
    model: &'a str,
    parameters: usize,
    device: String,
    batch: usize,
    window: usize,
    threads: usize,
    median_ms: f64,
    min_ms: f64,
    tokens_per_second: f64,
    peak_bytes: Option<u64>,
    machine: Machine,
}

#[derive(Serialize)]
struct Report {
    hidden: usize,
    layers: usize,
    threads: usize,
    median_ms: f64,
    min_ms: f64,
    gflops: f64,
    peak_gflops: f64,
    peak_bytes: Option<u64>,
    machine: Machine,
}

impl Args {
    /// Times the steps.
    pub fn run(self) -> Result<()> {
        if let Some(name) = &self.model {
            return self.run_recipe(name);
        }
        if self.device.device != Device::Cpu {
            bail!("--device is for the recipes: name one by --model");
        }
        let config = ModelConfig {
            cell: CellKind::Lstm,
            embedding: self.hidden,
            hidden: vec![self.hidden; self.layers],
            ..Recipe::base("zaremba-small")?.model
        };
        let mut times = self.times(&config)?;
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let report = Report {
            hidden: self.hidden,
            layers: self.layers,
            threads: rayon::current_num_threads(),
            median_ms: median * 1e3,
            min_ms: times[0] * 1e3,
            gflops: self.flops() / median / 1e9,
            peak_gflops: peak_flops() / 1e9,
            peak_bytes: peak_bytes(),
            machine: Machine::here(),
        };
        if self.json {
            say!("{}", serde_json::to_string(&report)?);
        } else {
            say!(
                "{}x{}: {:.1} ms a step (best {:.1}), {:.0} GFLOP/s of {:.0}",
                self.layers,
                self.hidden,
                report.median_ms,
                report.min_ms,
                report.gflops,
                report.peak_gflops
            );
        }
        Ok(())
    }

    fn run_recipe(&self, name: &str) -> Result<()> {
        let mut recipe = Recipe::base(name)?;
        // Every window as long as the recipe says; that is their mean length.
        recipe.train.random_steps = false;
        let (batch, window) = (recipe.train.batch, recipe.train.steps);
        let folder = std::env::temp_dir().join(format!("pocketlm-bench-{}", std::process::id()));
        let timed = self.recipe_times(recipe, &folder);
        std::fs::remove_dir_all(&folder)?;
        let (parameters, mut times) = timed?;
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let report = RecipeReport {
            model: name,
            parameters,
            device: self.device.device.to_string(),
            batch,
            window,
            threads: rayon::current_num_threads(),
            median_ms: median * 1e3,
            min_ms: times[0] * 1e3,
            tokens_per_second: (batch * window) as f64 / median,
            peak_bytes: peak_bytes(),
            machine: Machine::here(),
        };
        if self.json {
            say!("{}", serde_json::to_string(&report)?);
        } else {
            say!(
                "{name}: {:.1} ms a step (best {:.1}), {:.0} tokens/s",
                report.median_ms,
                report.min_ms,
                report.tokens_per_second
            );
        }
        Ok(())
    }

    /// The number of parameters, and the seconds of each update of a training on a made-up text.
    fn recipe_times(&self, recipe: Recipe, folder: &Path) -> Result<(usize, Vec<f64>)> {
        let (text, out) = (folder.join("text"), folder.join("model"));
        let updates = self.steps.max(1) + 2;
        let train = &recipe.train;
        let tokens = (updates + 2) * train.accumulate * train.batch * train.steps;
        write_text(&text, self.vocabulary, tokens)?;
        let corpus = Corpus::open(
            &text,
            &CorpusOptions { text: Text::Tokenised, ..CorpusOptions::default() },
        )?;
        let (save_every, device) = (Duration::MAX, self.device.device);
        let options = Options { out: out.clone(), seed: 1, save_every, device };
        let mut trainer = Trainer::start(&corpus, recipe, options)?;
        let times = RefCell::new(Vec::new());
        let last = Cell::new(Instant::now());
        let stop = || {
            times.borrow_mut().push(last.replace(Instant::now()).elapsed().as_secs_f64());
            times.borrow().len() == updates
        };
        trainer.run(&stop, &mut |_| ())?;
        let parameters = Checkpoint::load(&out)?.leaves.data.len();
        Ok((parameters, times.into_inner().split_off(2)))
    }

    fn times(&self, config: &ModelConfig) -> Result<Vec<f64>> {
        let (network, mut parameters) = Network::new(config, self.vocabulary)?;
        initialise(&mut parameters, 0.05, 1);
        let train =
            TrainConfig { optimizer: OptimizerKind::Sgd, ..Recipe::base("zaremba-medium")?.train };
        let mut rule = Optimizer::new(&train, &parameters);
        let mut gradient = parameters.zeros_like();
        let mut window = network.window(self.window, self.batch);
        let mut state = network.zero_state(self.batch);
        let tokens = self.batch * self.window;
        let token = |i: usize, shift: usize| ((i * 7919 + shift) % self.vocabulary) as u32;
        let inputs: Vec<u32> = (0..tokens).map(|i| token(i, 0)).collect();
        let targets: Vec<u32> = (0..tokens).map(|i| token(i, 13)).collect();
        let scale = 1.0 / tokens as f32;
        let mut times = Vec::new();
        for _ in 0..self.steps.max(1) + 2 {
            let start = Instant::now();
            network.forward(&parameters, &inputs, &mut state, &mut window, None);
            network.loss_and_gradients(
                &parameters,
                &mut gradient,
                &inputs,
                &targets,
                &mut window,
                scale,
            );
            let shrink = clip_scale(norm(&gradient), train.clip);
            rule.update(&mut parameters, &gradient, shrink, 1.0);
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(times.split_off(2))
    }

    /// Floating-point operations of a step's products: two a weight and token, forward once, backward twice.
    fn flops(&self) -> f64 {
        let weights = self.layers * 8 * self.hidden * self.hidden + self.vocabulary * self.hidden;
        6.0 * (weights * self.batch * self.window) as f64
    }
}

/// Splits of a text with so many types, `<eos>` among them: at least as many tokens for training, one line of
/// words for each of the others.
fn write_text(folder: &Path, types: usize, tokens: usize) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let words = types.saturating_sub(1).max(1);
    let line = |number: usize| -> String {
        let word = |at: usize| format!("w{} ", (number * 100 + at) * 7919 % words);
        (0..100).map(word).chain(["\n".to_owned()]).collect()
    };
    // 7919 is a prime: every word comes once in so many tokens.
    let train: String = (0..tokens.max(words).div_ceil(100)).map(line).collect();
    std::fs::write(folder.join("train.txt"), train)?;
    std::fs::write(folder.join("valid.txt"), line(0))?;
    Ok(std::fs::write(folder.join("test.txt"), line(1))?)
}

/// Fused multiply-adds on registers by all threads at once: the best of several tries, operations a second.
fn peak_flops() -> f64 {
    const ROUNDS: u64 = 2_000_000;
    let once = |_| {
        let start = Instant::now();
        let flops = rayon::broadcast(|_| std::hint::black_box(multiply_add(ROUNDS)).0);
        flops.iter().sum::<u64>() as f64 / start.elapsed().as_secs_f64()
    };
    (0..10).map(once).fold(0.0, f64::max)
}
