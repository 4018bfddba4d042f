//! Activations, gates, quantisation and softmax sums: elements per second.
//!
//! `cargo bench -p pocketlm-kernels --bench elementwise`

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use pocketlm_kernels::softmax::LogSumExp;
use pocketlm_kernels::topk::{Candidate, TopK};
use pocketlm_kernels::{activation, gates, quantise};

fn main() {
    divan::main();
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37) % 101) as f32 * 0.1 - 5.0).collect()
}

/// Times a map in place; each run starts from fresh values.
fn map(bencher: Bencher, n: usize, f: impl Fn(&mut [f32]) + Sync) {
    let fresh = values(n);
    let mut x = fresh.clone();
    bencher.counter(ItemsCount::new(n)).bench_local(|| {
        x.copy_from_slice(&fresh);
        f(black_box(&mut x));
    });
}

#[divan::bench(args = [650, 65_536])]
fn exp(bencher: Bencher, n: usize) {
    map(bencher, n, activation::exp);
}

#[divan::bench(args = [650, 65_536])]
fn sigmoid(bencher: Bencher, n: usize) {
    map(bencher, n, activation::sigmoid);
}

#[divan::bench(args = [650, 65_536])]
fn tanh(bencher: Bencher, n: usize) {
    map(bencher, n, activation::tanh);
}

#[divan::bench(args = [200, 650, 1500])]
fn lstm(bencher: Bencher, n: usize) {
    let (pre, mut c, mut h) = (values(4 * n), values(n), values(n));
    bencher
        .counter(ItemsCount::new(n))
        .bench_local(|| gates::lstm(black_box(&pre), &mut c, &mut h));
}

#[divan::bench(args = [200, 650, 1500])]
fn quantised(bencher: Bencher, n: usize) {
    let (x, mut q) = (values(n), vec![0; n]);
    bencher.counter(ItemsCount::new(n)).bench_local(|| quantise::quantise(black_box(&x), &mut q));
}

#[divan::bench(args = [10_000])]
fn log_sum_exp(bencher: Bencher, n: usize) {
    let x = values(n);
    bencher.counter(ItemsCount::new(n)).bench_local(|| {
        let mut lse = LogSumExp::new();
        black_box(&x).chunks(256).for_each(|block| lse.push(block));
        lse.value()
    });
}

#[divan::bench(args = [1, 5, 100])]
fn top_k_of_10000(bencher: Bencher, k: usize) {
    let x: Vec<f32> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32).collect();
    let mut places = vec![Candidate::default(); k];
    bencher.counter(ItemsCount::new(10_000usize)).bench_local(|| {
        let mut top = TopK::new(&mut places);
        top.push(black_box(&x), 0);
        top.best().len()
    });
}
