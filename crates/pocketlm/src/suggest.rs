//! Suggestions: the likeliest next words, of all or of those that start with a typed prefix.

use core::borrow::Borrow;
use core::ops::Range;

use pocketlm_kernels::softmax::LogSumExp;
use pocketlm_kernels::topk::{Candidate, TopK};

use crate::error::Result;
use crate::exponential::exp;
use crate::model::Model;
use crate::session::{SUGGESTIONS, Session};
use crate::stream::Stream;
use crate::vocabulary::Vocabulary;

/// One suggested word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion<'s> {
    /// The word.
    pub word: &'s str,
    /// Its id.
    pub id: u32,
    /// Its probability: of all tokens, or of those that start with the prefix.
    pub probability: f64,
}

/// Suggested words, best first, held by their session until it is used again.
#[derive(Debug, Clone, Copy)]
pub struct Suggestions<'s> {
    candidates: &'s [Candidate],
    text: &'s [u8],
    /// Where each word ends in `text`.
    ends: &'s [usize],
    normaliser: f64,
}

impl<'s> Suggestions<'s> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The suggestions, best first; of equal ones, that with the smaller id.
    pub fn iter(&self) -> impl Iterator<Item = Suggestion<'s>> + use<'s> {
        let Self { candidates, text, ends, normaliser } = *self;
        let starts = [0].into_iter().chain(ends.iter().copied());
        let words = starts.zip(ends).map(|(start, &end)| &text[start..end]);
        words.zip(candidates).map(move |(word, candidate)| Suggestion {
            word: core::str::from_utf8(word).unwrap_or_default(),
            id: candidate.id,
            probability: exp(f64::from(candidate.score) - normaliser),
        })
    }
}

impl<M: Borrow<Model>> Session<M> {
    /// The `k` likeliest next words with their probabilities, fewer if the vocabulary has fewer.
    ///
    /// [Hidden](Self::hide) words are left out, but keep their share of the probability.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn suggest(&mut self, k: usize) -> Result<Suggestions<'_>> {
        let model = self.model.borrow();
        let all = 0..model.vocabulary().len();
        let sum = self.stream.find(model, [all].into_iter(), k)?;
        let normaliser = self.stream.set_normaliser(sum);
        // Nothing normalises what the file of an n-gram model calls logarithms of probabilities.
        let best = self.stream.candidates.first().map_or(0.0, |best| f64::from(best.score));
        self.stream.finite(model, exp(best - normaliser))?;
        Ok(self.stream.suggestions(model, normaliser))
    }

    /// The `k` likeliest of the words that start with `prefix`, with their probabilities among these
    /// words: `p(word) / Σ p(words with the prefix)`, exactly. Only these words' logits are computed.
    ///
    /// [Hidden](Self::hide) words are left out, but keep their share of the probability.
    ///
    /// # Errors
    /// As [`suggest`](Self::suggest).
    pub fn suggest_prefix(&mut self, prefix: &str, k: usize) -> Result<Suggestions<'_>> {
        self.suggest_prefixes(&[prefix], k)
    }

    /// The `k` likeliest of the words that start with any of `prefixes`, as [`suggest_prefix`](Self::suggest_prefix):
    /// for a typed `pa` that may become `Paris`. A prefix that starts with another one of them adds nothing.
    ///
    /// # Errors
    /// As [`suggest`](Self::suggest).
    pub fn suggest_prefixes(&mut self, prefixes: &[&str], k: usize) -> Result<Suggestions<'_>> {
        let model = self.model.borrow();
        let ranges = ranges(model.vocabulary(), prefixes);
        let normaliser = self.stream.find(model, ranges, k)?;
        Ok(self.stream.suggestions(model, normaliser))
    }

    /// Completes a text from its beginning, whose last word is being typed; a text that ends in a space asks for the
    /// next word. Goes back to the beginning, feeds the text up to that word, and calls `each` with the `k` likeliest
    /// words that start with what is typed and their probabilities, best first, as [`suggest_prefix`](Self::suggest_prefix) gives them. Words of
    /// raw text come as they are written at this place: `pa` may become `Paris`, and what begins a sentence has a
    /// capital. A model of subwords or characters is searched for whole words
    /// ([`WordSearch`](crate::subword::words::WordSearch), which is made anew for each call; keep one to be faster).
    ///
    /// # Errors
    /// As [`feed_text`](Self::feed_text) and [`suggest`](Self::suggest).
    pub fn complete(
        &mut self,
        text: &str,
        k: usize,
        mut each: impl FnMut(&str, f64),
    ) -> Result<()> {
        let vocabulary = self.model.borrow().vocabulary();
        #[cfg(feature = "subword")]
        if matches!(vocabulary.unit(), crate::Unit::Subword | crate::Unit::Character) {
            let (model, stream) = (self.model.borrow(), &mut self.stream);
            let words = crate::subword::words::WordSearch::complete(model, stream, text, k)?;
            words.found.iter().for_each(|found| each(&found.word, found.probability));
            return Ok(());
        }
        #[cfg(feature = "raw")]
        let case = vocabulary.unit().case();
        let (context, typed) = vocabulary.split_typed(text);
        self.reset();
        self.feed_text(context)?;
        #[cfg(feature = "raw")]
        if let Some(case) = case {
            let starts = crate::raw::begins_sentence(context);
            let found = crate::raw::suggest(self, case, starts, typed, k)?;
            found.iter().for_each(|found| each(&found.text, found.probability));
            return Ok(());
        }
        let found =
            if typed.is_empty() { self.suggest(k)? } else { self.suggest_prefix(typed, k)? };
        found.iter().for_each(|found| each(found.word, found.probability));
        Ok(())
    }

    /// Says which tokens are never suggested, instead of `<eos>`, `<unk>`, `<s>` and `</s>`: an empty list hides
    /// nothing. Scores, probabilities and samples do not change.
    pub fn hide(&mut self, tokens: &[u32]) {
        self.stream.hidden.clear();
        self.stream.hidden.extend_from_slice(tokens);
        self.stream.hidden.sort_unstable();
    }
}

/// The ids of the words that start with any of `prefixes`, each once.
pub(crate) fn ranges(
    vocabulary: &Vocabulary,
    prefixes: &[&str],
) -> impl Iterator<Item = Range<usize>> + Clone {
    let is_new = |at: usize| {
        let covers = |other: usize| {
            prefixes[at].starts_with(prefixes[other])
                && (prefixes[at] != prefixes[other] || other < at)
        };
        !(0..prefixes.len()).any(|other| other != at && covers(other))
    };
    (0..prefixes.len()).filter(move |&at| is_new(at)).map(|at| {
        let Range { start, end } = vocabulary.prefix(prefixes[at]);
        start as usize..end as usize
    })
}

impl Stream {
    /// Leaves the `k` best of the tokens of `ranges`, which do not overlap, in `candidates` and returns the log-sum-exp
    /// of all of them, as far as the output layer is computed in one pass.
    fn find(
        &mut self,
        model: &Model,
        ranges: impl Iterator<Item = Range<usize>> + Clone,
        k: usize,
    ) -> Result<f64> {
        let all: usize = ranges.clone().map(|range| range.len()).sum();
        let k = k.min(all);
        let mut candidates = core::mem::take(&mut self.candidates);
        candidates.resize(k.max(SUGGESTIONS), Candidate::default());
        let hidden = core::mem::take(&mut self.hidden);
        let mut top = TopK::new(&mut candidates[..k]);
        let mut sum = LogSumExp::new();
        for range in ranges.filter(|range| !range.is_empty()) {
            self.logits(model, range.clone(), |first, block| {
                let start = range.start.max(first);
                let block = &mut block[start - first..];
                sum.push(block);
                mask(block, start, &hidden);
                top.push(block, start as u32);
            });
        }
        let found = top.best().len();
        candidates.truncate(found);
        self.candidates = candidates;
        self.hidden = hidden;
        // Nothing has no sum, and no word either.
        if all == 0 { Ok(0.0) } else { self.finite(model, sum.value()) }
    }

    /// The candidates as words.
    fn suggestions<'s>(&'s mut self, model: &Model, normaliser: f64) -> Suggestions<'s> {
        self.text.clear();
        self.ends.clear();
        for candidate in &self.candidates {
            model.vocabulary().append_word(candidate.id, &mut self.text);
            self.ends.push(self.text.len());
        }
        let Self { candidates, text, ends, .. } = self;
        Suggestions { candidates, text, ends, normaliser }
    }
}

/// Takes the logits of the tokens `hidden`, ascending, out of a block that starts at token `start`.
pub(crate) fn mask(block: &mut [f32], start: usize, hidden: &[u32]) {
    let from = hidden.partition_point(|&token| (token as usize) < start);
    for &token in &hidden[from..] {
        match block.get_mut(token as usize - start) {
            Some(logit) => *logit = f32::NEG_INFINITY,
            None => break,
        }
    }
}
