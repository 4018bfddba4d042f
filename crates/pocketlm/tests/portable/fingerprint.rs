//! What a packed model of integers gives, as one number that is the same on every machine.

use pocketlm::{Model, Session};

const TEXT: &str = "the under a then Zug\nthem été an unknown";

/// The number of no model.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, going on from `hash`, over what is the same everywhere: scores to the last bit, suggested ids, states.
pub fn add(hash: u64, model: &Model) -> u64 {
    let mut hash = hash;
    let mut add = |bits: u64| hash = (hash ^ bits).wrapping_mul(0x0000_0100_0000_01b3);
    let mut session = Session::new(model);
    add(session.score(TEXT).unwrap().nll.to_bits());
    session.feed_text(TEXT).unwrap();
    session.suggest(5).unwrap().iter().for_each(|found| add(found.id.into()));
    session
        .suggest_prefix("un", 5)
        .unwrap()
        .iter()
        .for_each(|found| add(found.probability.to_bits()));
    session.state().to_bytes().iter().for_each(|&byte| add(byte.into()));
    for score in model.score_batch(&[TEXT, "a", "the"]).unwrap() {
        add(score.nll.to_bits());
    }
    hash
}
