//! Several models over the same words as one: p(w | h) = Σ λ_m p_m(w | h), Σ λ_m = 1 (Jelinek and Mercer, *Interpolated
//! estimation of Markov source parameters from sparse data*, 1980).
//!
//! `docs/format.md`, section 17, says how they lie in one file.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use pocketlm_kernels::activation;
use pocketlm_kernels::softmax::ln;

use crate::error::{Error, Result};
use crate::exponential::{exp, ln_all};
use crate::format::container::Header;
use crate::format::metadata;
use crate::model::Model;
use crate::stream::Stream;

#[cfg(feature = "pack")]
pub(crate) mod write;

/// The most models that one file may mix.
pub const MAX_PARTS: usize = 8;

/// How far the sum of all weights may be from 1.
const SLACK: f64 = 1e-6;

/// A model of a mixture.
#[derive(Debug)]
pub struct Part {
    /// Its share of the probability, 0 to 1.
    pub weight: f64,
    /// The model, over the same words as all others.
    pub model: Model,
}

/// The models of a mixture, two at least.
#[derive(Debug)]
pub(crate) struct Mixture {
    pub(crate) parts: Vec<Part>,
}

/// What all names of a part's arrays and metadata begin with in the file.
pub(crate) fn prefix(part: usize) -> String {
    format!("{part}.")
}

impl Mixture {
    /// The weights that the metadata give, if the file is a mixture.
    pub(crate) fn weights(header: &Header) -> Result<Option<Vec<f64>>> {
        if !header.metadata.contains_key("mixture") {
            return Ok(None);
        }
        let fault = |problem: &str| Error::metadata("mixture", problem);
        let value = metadata::value(&header.metadata, "mixture")?;
        let list = value.array().unwrap_or_default();
        let weights: Option<Vec<f64>> = list.iter().map(crate::json::Value::float).collect();
        let weights = weights.filter(|weights| (2..=MAX_PARTS).contains(&weights.len()));
        let weights = weights.ok_or_else(|| fault("is not a list of 2 to 8 weights"))?;
        let sum: f64 = weights.iter().sum();
        if !weights.iter().all(|weight| (0.0..=1.0).contains(weight)) || (sum - 1.0).abs() > SLACK {
            return Err(fault("has weights that are no shares of 1"));
        }
        if ["configuration", "matrices", "ngram"]
            .iter()
            .any(|key| header.metadata.contains_key(*key))
        {
            return Err(fault("stands beside another model"));
        }
        Ok(Some(weights))
    }

    /// What the header says of one part, in the words of a file of its own.
    pub(crate) fn part_header(header: &Header, part: usize) -> Result<Header> {
        let prefix = prefix(part);
        let own = |name: &String| name.strip_prefix(&prefix).map(String::from);
        let metadata: BTreeMap<_, _> = header
            .metadata
            .iter()
            .filter_map(|(key, value)| Some((own(key)?, value.clone())))
            .collect();
        if metadata.contains_key("mixture") {
            return Err(Error::metadata(format!("{prefix}mixture"), "is a mixture in a mixture"));
        }
        let arrays =
            header.arrays.iter().filter_map(|(name, array)| Some((own(name)?, array.clone())));
        Ok(Header { metadata, arrays: arrays.collect(), data: header.data })
    }

    /// Numbers of a state: those of all parts, one after another.
    pub(crate) fn state_len(&self) -> usize {
        self.parts.iter().map(|part| part.model.state_len()).sum()
    }

    /// ln of the mixture's probability, from what each part says in nats.
    pub(crate) fn log_sum(&self, said: impl Iterator<Item = f64> + Clone) -> f64 {
        let top = said.clone().fold(f64::NEG_INFINITY, f64::max);
        if !top.is_finite() {
            return top;
        }
        let terms = said.zip(&self.parts).map(|(value, part)| part.weight * exp(value - top));
        top + ln(terms.sum())
    }

    /// The same of lists: what each part says of each of several tokens.
    pub(crate) fn log_sums(&self, said: &[Vec<f64>]) -> Vec<f64> {
        let tokens = said.iter().map(Vec::len).min().unwrap_or(0);
        (0..tokens).map(|at| self.log_sum(said.iter().map(|own| own[at]))).collect()
    }
}

/// One stream of tokens through all parts of a mixture.
#[derive(Debug)]
pub(crate) struct Blend {
    streams: Vec<Stream>,
    /// ln p of all tokens `[types]`, once it is known, and room for a part's.
    table: Vec<f32>,
    room: Vec<f32>,
    is_filled: bool,
}

impl Blend {
    /// A stream that must be [loaded](Self::load) before use.
    pub(crate) fn new(mixture: &Mixture) -> Self {
        let types = mixture.parts.first().map_or(0, |part| part.model.vocabulary().len());
        Self {
            streams: mixture.parts.iter().map(|part| Stream::new(&part.model)).collect(),
            table: vec![0.0; types],
            room: vec![0.0; types],
            is_filled: false,
        }
    }

    /// Goes where `state` is.
    pub(crate) fn load(&mut self, mut state: &[f32]) {
        self.is_filled = false;
        for stream in &mut self.streams {
            let own = stream.state.values_mut();
            let (this, rest) = state.split_at(own.len());
            own.copy_from_slice(this);
            stream.forget();
            state = rest;
        }
    }

    /// Writes where it is into `state`.
    fn save(&mut self, mut state: &mut [f32]) {
        self.is_filled = false;
        for stream in &self.streams {
            let own = stream.state.values();
            let (this, rest) = state.split_at_mut(own.len());
            this.copy_from_slice(own);
            state = rest;
        }
    }

    /// Each stream with the model that it runs.
    fn each<'a>(
        &'a mut self,
        mixture: &'a Mixture,
    ) -> impl Iterator<Item = (&'a mut Stream, &'a Part)> {
        self.streams.iter_mut().zip(&mixture.parts)
    }

    /// Feeds a token, and leaves the new state in `state`.
    pub(crate) fn feed(&mut self, mixture: &Mixture, token: u32, state: &mut [f32]) {
        self.each(mixture).for_each(|(stream, part)| stream.feed(&part.model, token));
        self.save(state);
    }

    /// ln p of `token` coming next.
    pub(crate) fn log_probability(&mut self, mixture: &Mixture, token: u32) -> Result<f64> {
        let mut said = [0.0; MAX_PARTS];
        for ((stream, part), said) in self.each(mixture).zip(&mut said) {
            *said = stream.log_probability(&part.model, token)?;
        }
        Ok(mixture.log_sum(said[..mixture.parts.len()].iter().copied()))
    }

    /// Feeds a token, and leaves the new state in `state`; returns its ln p before that.
    pub(crate) fn advance(
        &mut self,
        mixture: &Mixture,
        token: u32,
        state: &mut [f32],
    ) -> Result<f64> {
        let value = self.log_probability(mixture, token)?;
        self.feed(mixture, token, state);
        Ok(value)
    }

    /// ln p of several tokens in turn, which `advance` gives for each part and feeds it; the new state is left in
    /// `state`.
    pub(crate) fn advance_all(
        &mut self,
        mixture: &Mixture,
        mut advance: impl FnMut(usize, &Model, &mut Stream) -> Result<Vec<f64>>,
        state: &mut [f32],
    ) -> Result<Vec<f64>> {
        let parts = self.each(mixture).enumerate();
        let said = parts.map(|(at, (stream, part))| advance(at, &part.model, stream));
        let said: Vec<Vec<f64>> = said.collect::<Result<_>>()?;
        self.save(state);
        Ok(mixture.log_sums(&said))
    }

    /// ln p of the tokens `rows`, in a buffer of the stream's own; at least −87.3. NaN
    /// where a part's numbers overflow.
    pub(crate) fn block(&mut self, mixture: &Mixture, rows: Range<usize>) -> &mut [f32] {
        if !self.is_filled {
            self.fill(mixture).unwrap_or_else(|_| self.table.fill(f32::NAN));
            self.is_filled = true;
        }
        let block = &mut self.room[..rows.len()];
        block.copy_from_slice(&self.table[rows]);
        block
    }

    fn fill(&mut self, mixture: &Mixture) -> Result<()> {
        let Self { streams, table, room, .. } = self;
        table.fill(0.0);
        for (stream, part) in streams.iter_mut().zip(&mixture.parts) {
            stream.log_probabilities(&part.model, room)?;
            activation::exp(room);
            let weight = part.weight as f32;
            table.iter_mut().zip(&*room).for_each(|(sum, p)| *sum += weight * p);
        }
        ln_all(table);
        Ok(())
    }
}
