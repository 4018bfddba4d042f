//! How long a word takes on this machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pocketlm::{Model, Session};

use crate::error::{Error, Result};

/// Time to measure a model for.
const SPAN: Duration = Duration::from_millis(150);
/// Words of a stretch; the quickest stretch counts, since all that others have to do with the machine only adds.
const STRETCH: u32 = 16;

/// Microseconds that a packed model takes for a word and the probabilities of all words after it, one stream on this
/// thread.
///
/// # Errors
/// When the file cannot be run.
pub fn micros_a_word(bytes: Vec<u8>) -> Result<f64> {
    let fault = |e: pocketlm::Error| Error::config("the packed model", e.to_string());
    let model = Model::from_bytes(bytes).map_err(fault)?;
    let mut session = Session::new(&model);
    let types = model.vocabulary().len() as u32;
    // Words from all over the vocabulary.
    let word = |at: u32| at.wrapping_mul(7919) % types;
    let end = Instant::now() + SPAN;
    let (mut least, mut at) = (f64::INFINITY, 0);
    loop {
        let begun = Instant::now();
        for _ in 0..STRETCH {
            session.feed(word(at)).map_err(fault)?;
            at = at.wrapping_add(1);
            black_box(session.log_probability_of(word(at)).map_err(fault)?);
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(STRETCH);
        least = least.min(micros);
        if Instant::now() >= end {
            return Ok(least);
        }
    }
}
