//! Lists of hypotheses from a recogniser: read, normalised, judged by word errors, and the weights of their scores fitted.
//!
//! What a language model says of a hypothesis is the runtime's business
//! ([`Model::score_hypotheses`](pocketlm::Model::score_hypotheses)); here is what goes on around that.

mod list;
mod normalise;
mod reference;
mod tune;
mod word_errors;

pub use list::{Format, Heard, Lists, Places, Scores, Utterance};
pub use normalise::Normalisation;
pub use reference::References;
pub use tune::{Candidate, Fitted, PARTS, tune, tune_bagged};
pub use word_errors::{Counts, Interval, Rates, word_errors};
