//! Suggestions of a model of byte pairs: text as a person reads it, not pieces.

use anyhow::Result;
use pocketlm::raw::Found;
use pocketlm::{Model, Session};
use pocketlm_train::corpus::Encoder;

/// Hypotheses that are followed at once.
const BEAM: usize = 16;
/// Pieces of the longest suggestion.
const MOST_PIECES: usize = 8;

struct Hypothesis {
    bytes: Vec<u8>,
    log_probability: f64,
    pieces: Vec<u32>,
}

/// The likeliest texts that come next and begin with `prefix`, each of one piece or of as many as its first character
/// has; found by a beam search, whose probabilities are those of the pieces found.
pub fn suggest(
    model: &Model,
    encoder: &Encoder,
    session: &mut Session<&Model>,
    prefix: &str,
    k: usize,
) -> Result<Vec<Found>> {
    let vocabulary = model.vocabulary();
    let mut buffer = Vec::new();
    let types = vocabulary.len() as u32;
    let special = |id| id == vocabulary.eos() || Some(id) == vocabulary.unk();
    let pieces: Vec<Vec<u8>> = (0..types)
        .map(|id| match vocabulary.word(id, &mut buffer) {
            Some(piece) if !special(id) => encoder.piece_bytes(piece),
            _ => Vec::new(),
        })
        .collect();
    let start = session.state().clone();
    let mut beam = vec![Hypothesis { bytes: Vec::new(), log_probability: 0.0, pieces: Vec::new() }];
    let mut found: Vec<Found> = Vec::new();
    let mut distribution = vec![0.0; vocabulary.len()];
    for _ in 0..MOST_PIECES {
        let mut longer = Vec::new();
        for hypothesis in &beam {
            session.set_state(&start)?;
            hypothesis.pieces.iter().try_for_each(|&id| session.feed(id))?;
            session.log_probabilities(&mut distribution)?;
            for (id, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
                let bytes = [&hypothesis.bytes[..], piece].concat();
                let shared = bytes.len().min(prefix.len());
                if bytes[..shared] != prefix.as_bytes()[..shared] {
                    continue;
                }
                let log_probability = hypothesis.log_probability + f64::from(distribution[id]);
                let pieces = [&hypothesis.pieces[..], &[id as u32]].concat();
                longer.push(Hypothesis { bytes, log_probability, pieces });
            }
        }
        longer.sort_by(|a, b| b.log_probability.total_cmp(&a.log_probability));
        let is_whole =
            |h: &Hypothesis| h.bytes.len() >= prefix.len() && std::str::from_utf8(&h.bytes).is_ok();
        let (whole, mut open): (Vec<_>, Vec<_>) = longer.into_iter().partition(is_whole);
        for hypothesis in whole.into_iter().take(k) {
            let text = String::from_utf8(hypothesis.bytes).expect("checked");
            let probability = hypothesis.log_probability.exp();
            match found.iter_mut().find(|other| other.text == text) {
                Some(other) => other.probability += probability,
                None => found.push(Found { text, probability }),
            }
        }
        open.truncate(BEAM);
        beam = open;
        if beam.is_empty() {
            break;
        }
    }
    found.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    found.truncate(k);
    Ok(found)
}
