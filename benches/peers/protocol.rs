//! What every peer does, whatever runs the model: the Rust half of `protocol.py`, which describes it.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

/// Words whose log-probabilities are compared with PyTorch's.
const CHECKED: usize = 64;
const WARM_UP: usize = 20;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A model with its state, fed one word at a time.
pub trait Peer {
    /// Zero state.
    fn reset(&mut self) -> Result<()>;
    /// Log-probabilities of all words after `word`.
    fn feed(&mut self, word: u32) -> Result<Vec<f32>>;
}

/// Runs `MODEL --words FILE (--check FILE | --seconds S)` on the model that `open` opens.
pub fn run<P: Peer>(arguments: &[String], open: impl FnOnce(&str) -> Result<P>) -> Result<()> {
    let [model, flag, words, mode, value] = arguments else {
        return Err("usage: MODEL --words FILE (--check FILE | --seconds S)".into());
    };
    let mut peer = open(model)?;
    let words = match flag.as_str() {
        "--words" => read_words(words)?,
        _ => return Err(format!("{flag} stands where --words should").into()),
    };
    peer.reset()?;
    peer.feed(words[0])?;
    println!("first");
    std::io::stdout().flush()?;
    match mode.as_str() {
        "--check" => check(&mut peer, &words, value),
        "--seconds" => measure(&mut peer, &words, Duration::from_secs_f64(value.parse()?)),
        _ => Err(format!("{mode} is neither --check nor --seconds").into()),
    }
}

fn read_words(path: &str) -> Result<Vec<u32>> {
    let bytes = fs::read(path)?;
    let ids = bytes.as_chunks::<8>().0.iter().map(|&id| i64::from_le_bytes(id) as u32);
    Ok(ids.collect())
}

fn check<P: Peer>(peer: &mut P, words: &[u32], path: &str) -> Result<()> {
    peer.reset()?;
    let mut bytes = Vec::new();
    for &word in &words[..CHECKED] {
        bytes.extend(peer.feed(word)?.into_iter().flat_map(f32::to_le_bytes));
    }
    fs::write(path, bytes)?;
    println!("{{\"checked\": {CHECKED}}}");
    Ok(())
}

fn measure<P: Peer>(peer: &mut P, words: &[u32], time: Duration) -> Result<()> {
    peer.reset()?;
    for &word in &words[..WARM_UP] {
        peer.feed(word)?;
    }
    let mut times = Vec::new();
    let begin = Instant::now();
    let mut last = begin;
    for &word in words.iter().cycle() {
        std::hint::black_box(peer.feed(word)?);
        let now = Instant::now();
        times.push((now - last).as_secs_f64() * 1e6);
        last = now;
        if now - begin > time {
            break;
        }
    }
    let speed = times.len() as f64 / (last - begin).as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (p50, p99) = (at(0.5), at(0.99));
    println!("{{\"words_per_second\": {speed}, \"p50_us\": {p50}, \"p99_us\": {p99}}}");
    Ok(())
}
