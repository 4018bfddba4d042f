//! What one or two models say of the hypotheses of a recogniser, a batch of utterances at a time.

use std::path::Path;

use anyhow::{Result, bail};
use pocketlm_train::ngram::mix;
use pocketlm_train::rescoring::{Candidate, Heard, Lists, Normalisation, Utterance, word_errors};

use crate::evaluation::open_alike;
use crate::model::Loaded;
use crate::unknown::Penalty;

/// Hypotheses that are scored together: enough for every core, few enough for any memory.
const BATCH: usize = 4096;

/// One or two models, and what they are shown.
pub struct Rescorer {
    first: Loaded,
    second: Option<Loaded>,
    normalisation: Normalisation,
    unk_penalty: Penalty,
}

/// What there is to weigh in a hypothesis.
pub struct Evidence {
    heard: Heard,
    /// The normalised text.
    text: String,
    /// Words that the model does not know.
    pub oov: u64,
    /// What they cost in nats.
    penalty: f64,
    /// What the models say of each token, the end included.
    first: Vec<f64>,
    second: Vec<f64>,
}

/// How it is weighed.
#[derive(Clone, Copy)]
pub struct Weighing {
    /// Share of the second model in the mixture.
    pub mix: f64,
    /// The weights, in the order of [`PARTS`](pocketlm_train::rescoring::PARTS).
    pub weights: [f64; 4],
}

impl Rescorer {
    /// Opens the models.
    pub fn open(
        first: &Path,
        second: Option<&Path>,
        normalisation: Normalisation,
        unk_penalty: Penalty,
    ) -> Result<Self> {
        let paths: Vec<&Path> = [first].into_iter().chain(second).collect();
        let mut models = open_alike(&paths)?.into_iter();
        let (Some(first), second) = (models.next(), models.next()) else { bail!("no model") };
        Ok(Self { first, second, normalisation, unk_penalty })
    }

    /// Takes utterances from `lists` until there are enough for a batch, which is empty at the end, with the evidence of
    /// every hypothesis.
    pub fn batch(&self, lists: &mut Lists) -> Result<Vec<(Utterance, Vec<Evidence>)>> {
        let (mut batch, mut count) = (Vec::new(), 0);
        while count < BATCH
            && let Some(utterance) = lists.next()?
        {
            count += utterance.hypotheses.len();
            batch.push(utterance);
        }
        let mut evidence = self.evidence(&batch)?.into_iter();
        let of = |utterance: Utterance| {
            let own = evidence.by_ref().take(utterance.hypotheses.len()).collect();
            (utterance, own)
        };
        Ok(batch.into_iter().map(of).collect())
    }

    /// The evidence of all hypotheses of some utterances, one after another.
    fn evidence(&self, batch: &[Utterance]) -> Result<Vec<Evidence>> {
        let (mut all, mut ids) = (Vec::new(), Vec::new());
        for heard in batch.iter().flat_map(|utterance| &utterance.hypotheses) {
            let text = self.normalise(&heard.text);
            let (mut own, oov) = self.first.tokens(&text)?;
            own.push(self.first.model.vocabulary().eos());
            let penalty = self.unk_penalty.of(&self.first, &text, oov)?;
            let heard = heard.clone();
            all.push(Evidence { heard, text, oov, penalty, first: vec![], second: vec![] });
            ids.push(own);
        }
        let scores = self.first.model.score_hypotheses(&ids)?;
        all.iter_mut().zip(scores).for_each(|(evidence, scores)| evidence.first = scores);
        // The same words have the same ids.
        if let Some(second) = &self.second {
            let scores = second.model.score_hypotheses(&ids)?;
            all.iter_mut().zip(scores).for_each(|(evidence, scores)| evidence.second = scores);
        }
        Ok(all)
    }

    /// Whether there is a second model.
    pub fn is_mixture(&self) -> bool {
        self.second.is_some()
    }

    /// A text as words are compared.
    pub fn normalise(&self, text: &str) -> String {
        self.normalisation.apply(text)
    }
}

impl Evidence {
    /// ln p of the text under the mixture, unknown words spelt.
    pub fn log_probability(&self, mix: f64) -> f64 {
        let sum: f64 = match self.second.is_empty() {
            true => self.first.iter().sum(),
            false => {
                let both = self.first.iter().zip(&self.second);
                both.map(|(&a, &b)| mix::log_probability(a, b, mix)).sum()
            }
        };
        sum - self.penalty
    }

    /// What the weights are for, with the errors against a normalised reference.
    pub fn candidate(&self, mix: f64, reference: Option<&str>) -> Candidate {
        let words = self.text.split_whitespace();
        let letters: usize = words.clone().map(|word| word.chars().count()).sum();
        let lm = self.log_probability(mix);
        Candidate {
            score: self.heard.score,
            parts: [self.heard.first_lm, lm, -(words.count() as f64), letters as f64],
            errors: reference.map_or(0, |reference| word_errors(reference, &self.text)),
        }
    }
}
