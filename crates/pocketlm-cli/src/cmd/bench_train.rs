//! `pocketlm bench-train`

use std::time::Instant;

use anyhow::Result;
use pocketlm_kernels::probe::multiply_add;
use pocketlm_train::config::{CellKind, ModelConfig, OptimizerKind, TrainConfig};
use pocketlm_train::network::{Network, initialise};
use pocketlm_train::optimizer::{Optimizer, clip_scale, norm};
use pocketlm_train::recipe::Recipe;
use serde::Serialize;

use crate::machine::{Machine, peak_bytes};

/// Time one training step: forward, backward, gradient-norm clipping, SGD.
///
/// Example: pocketlm bench-train --hidden 650 --layers 2 --steps 20
#[derive(clap::Args)]
pub struct Args {
    /// Units of each layer and width of the embedding.
    #[arg(long, default_value_t = 200)]
    hidden: usize,
    /// Recurrent layers.
    #[arg(long, default_value_t = 2)]
    layers: usize,
    /// Types.
    #[arg(long, default_value_t = 10_000)]
    vocabulary: usize,
    /// Parallel streams.
    #[arg(long, default_value_t = 20)]
    batch: usize,
    /// Tokens of each stream.
    #[arg(long, default_value_t = 35)]
    window: usize,
    /// Training steps to time, after two to warm up.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
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
