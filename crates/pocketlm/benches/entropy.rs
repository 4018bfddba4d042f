//! How long opening decodes: a packed model of about 2 MB, entropy-coded and plain.
//!
//! `cargo bench -p pocketlm --bench entropy [-- --json]`: for each precision the bytes of both files, the least time of
//! opening each, measured in alternation, and the rate of decoding that their difference makes.

use std::time::Instant;

use pocketlm::pack::{Packer, Precision, entropy_coded};
use pocketlm::{CellKind, Configuration, Model, Random, Unit};

/// A model over `types` words whose weights are distributed like trained ones: nearly a bell.
fn packed(types: usize, precision: Precision) -> Vec<u8> {
    let mut random = Random::new(1);
    let words: Vec<String> = (0..types - 2)
        .map(|at| format!("word{at}"))
        .chain(["<eos>".into(), "<unk>".into()])
        .collect();
    let configuration = Configuration {
        cell: CellKind::Lstm,
        embedding: 200,
        hidden: vec![200],
        cell_projection: 0,
        projection: 0,
        tied: true,
        unit: Unit::Word,
        layer_norm: false,
        mogrifier: 0,
    };
    let mut draw = |count: usize| -> Vec<f32> {
        let mut bell = || (0..4).map(|_| random.unit() as f32 - 0.5).sum::<f32>();
        (0..count).map(|_| bell()).collect()
    };
    let mut packer = Packer::new(configuration.clone(), &words, "<eos>", Some("<unk>")).unwrap();
    for matrix in configuration.matrices(types) {
        packer.matrix(matrix.name, &draw(matrix.rows * matrix.columns), precision).unwrap();
    }
    for bias in configuration.biases(types) {
        packer.bias(bias.name, &draw(bias.rows)).unwrap();
    }
    packer.finish().unwrap()
}

/// Seconds of opening a copy of `bytes`; making the copy is not counted.
fn time(bytes: &[u8]) -> f64 {
    let copy = bytes.to_vec();
    let start = Instant::now();
    let model = Model::from_bytes(copy).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    drop(std::hint::black_box(model));
    seconds
}

/// One precision: bytes and least seconds of opening, plain and coded, and the bytes that were decoded.
struct Row {
    precision: &'static str,
    bytes: [usize; 2],
    seconds: [f64; 2],
    decoded: u64,
}

impl Row {
    fn measure(precision: Precision, types: usize) -> Self {
        let plain = packed(types, precision);
        let coded = entropy_coded(&plain).unwrap();
        let mut seconds = [f64::INFINITY; 2];
        for _ in 0..30 {
            seconds[0] = seconds[0].min(time(&plain));
            seconds[1] = seconds[1].min(time(&coded));
        }
        let bytes = [plain.len(), coded.len()];
        let decoded = Model::from_bytes(coded).unwrap().coded_bytes().plain as u64;
        Self { precision: precision.name(), bytes, seconds, decoded }
    }

    fn print(&self) {
        let Self { precision, bytes: [plain, coded], seconds: [open, decode], decoded } = self;
        println!(
            "{precision:<10} {plain:>10} {coded:>10} {:>6.3} {:>9.2} {:>9.2} {:>14.0}",
            *coded as f64 / *plain as f64,
            open * 1e3,
            decode * 1e3,
            *decoded as f64 / (decode - open) / 1e6
        );
    }

    fn json(&self) -> String {
        let Self { precision, bytes: [plain, coded], seconds: [open, decode], decoded } = self;
        format!(
            "{{\"precision\":\"{precision}\",\"plain_bytes\":{plain},\"coded_bytes\":{coded},\
             \"open_plain_ms\":{},\"open_coded_ms\":{},\"decoded_bytes\":{decoded}}}",
            open * 1e3,
            decode * 1e3
        )
    }
}

fn main() {
    let sizes = [
        (Precision::Int8, 8500),
        (Precision::Int4, 16_000),
        (Precision::Int3, 19_000),
        (Precision::Ternary, 30_000),
        (Precision::F16, 4000),
    ];
    let rows = sizes.map(|(precision, types)| Row::measure(precision, types));
    if std::env::args().any(|argument| argument == "--json") {
        return println!("{{\"rows\":[{}]}}", rows.each_ref().map(Row::json).join(","));
    }
    println!(
        "{:<10} {:>10} {:>10} {:>6} {:>9} {:>9} {:>14}",
        "precision", "plain", "coded", "ratio", "plain ms", "coded ms", "decoding MB/s"
    );
    rows.iter().for_each(Row::print);
}
