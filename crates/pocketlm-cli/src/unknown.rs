//! What words cost that a model does not know.

use anyhow::Result;

use crate::model::Loaded;

/// What an unknown word costs beside its probability as one.
#[derive(Clone, Copy, Debug)]
pub enum Penalty {
    /// Its spelling.
    Spelling,
    /// So many nats.
    Nats(f64),
}

/// A penalty as the command line has it.
pub fn penalty(text: &str) -> Result<Penalty, String> {
    match text {
        "auto" => Ok(Penalty::Spelling),
        "none" => Ok(Penalty::Nats(0.0)),
        _ => {
            let nats = text.parse().ok().filter(|nats| (0.0..=1e6).contains(nats));
            nats.map(Penalty::Nats)
                .ok_or_else(|| "give auto, none, or a number of nats from 0 to 1000000".to_owned())
        }
    }
}

impl Penalty {
    /// Nats for all unknown words of a text.
    pub fn of(self, loaded: &Loaded, text: &str, oov: u64) -> Result<f64> {
        match self {
            _ if oov == 0 => Ok(0.0),
            Self::Spelling => loaded.spelling(text),
            Self::Nats(nats) => Ok(oov as f64 * nats),
        }
    }
}
