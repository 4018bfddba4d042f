//! How fast random models of the literature's sizes run on this machine, one thread:
//! `cargo run --release -p pocketlm --example speed [UNITS [PRECISION]]`.

use std::error::Error;
use std::time::Instant;

use pocketlm::pack::{Packer, Precision, write_file};
use pocketlm::{CellKind, Configuration, Model, Random, Session, Unit};

const TYPES: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let units = std::env::args().nth(1).map_or(Ok(650), |units| units.parse())?;
    println!("2 x {units} units, {TYPES} words, {}", pocketlm_kernels::backend::chosen().name());
    println!("precision      MB  words/s  evaluated/s  batched/s  open+first ms");
    let only = std::env::args().nth(2);
    for precision in Precision::ALL {
        if only.as_ref().is_some_and(|only| only != precision.name()) {
            continue;
        }
        measure(units, precision)?;
    }
    Ok(())
}

fn measure(units: usize, precision: Precision) -> Result<(), Box<dyn Error>> {
    let bytes = random_model(units, precision)?;
    let path = std::env::temp_dir().join(format!("pocketlm-speed-{}.plm", std::process::id()));
    write_file(&path, &bytes)?;
    let start = Instant::now();
    let model = Model::open(&path)?;
    let mut session = Session::new(&model);
    let first = session.suggest(3).unwrap().len();
    let opening = start.elapsed().as_secs_f64() * 1e3;
    std::fs::remove_file(&path)?;
    assert_eq!(first, 3);
    let tokens: Vec<u32> = (0..600).map(|i| i * 7919 % TYPES as u32).collect();
    let words = rate(tokens.len(), || {
        for &token in &tokens {
            std::hint::black_box(session.log_probability_of(token))?;
            session.feed(token)?;
        }
        Ok(())
    })?;
    let evaluated = rate(tokens.len(), || session.evaluate(tokens.iter().copied()).map(|_| ()))?;
    let texts: Vec<String> = (0..64).map(|i| format!("w{i} w{} ", i * 3).repeat(10)).collect();
    let batched = rate(64 * 21, || model.score_batch(&texts).map(|_| ()))?;
    println!(
        "{:9} {:7.1} {words:8.0} {evaluated:12.0} {batched:10.0} {opening:14.2}",
        precision.name(),
        bytes.len() as f64 / 1e6,
    );
    Ok(())
}

/// The best of a few runs, in items a second.
fn rate(items: usize, mut work: impl FnMut() -> pocketlm::Result<()>) -> pocketlm::Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(items as f64 / best)
}

fn random_model(units: usize, precision: Precision) -> pocketlm::Result<Vec<u8>> {
    let configuration = Configuration {
        cell: CellKind::Lstm,
        embedding: units,
        hidden: vec![units; 2],
        cell_projection: 0,
        projection: 0,
        tied: false,
        unit: Unit::Word,
        layer_norm: false,
        mogrifier: 0,
    };
    let words: Vec<String> =
        (0..TYPES - 1).map(|i| format!("w{i}")).chain(["<eos>".into()]).collect();
    let mut packer = Packer::new(configuration.clone(), &words, "<eos>", None)?;
    let mut random = Random::new(1);
    for matrix in configuration.matrices(TYPES) {
        let count = matrix.rows * matrix.columns;
        let weights: Vec<f32> = (0..count).map(|_| random.unit() as f32 * 0.1 - 0.05).collect();
        packer.matrix(matrix.name, &weights, precision)?;
    }
    for bias in configuration.biases(TYPES) {
        packer.bias(bias.name, &vec![0.0; bias.rows])?;
    }
    packer.finish()
}
