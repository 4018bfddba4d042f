//! One teacher: a model that says how likely each type is at each place of a text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use pocketlm::pack::Notes;
use pocketlm::{Model, Session};
use rayon::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::corpus::{Corpus, Encoder, Split, Unit, Window};
use crate::error::{Error, Result};
use crate::linear::Parameters;
use crate::network::{Network, State, Window as Buffers};
use crate::ngram::{Settings, estimate};

/// A model that teaches.
pub(super) enum Teacher {
    /// A checkpoint, run by the trainer's own network.
    Network(Box<Checkpoint>, Ids),
    /// A packed file.
    Packed(Arc<Model>, Ids),
    /// N-grams of the training text itself, of this order: those of the last text, which groups of one part share.
    Counts(usize, RefCell<Option<(Text, Arc<Model>)>>),
}

/// For each of the student's ids that of the teacher; nothing where they are the same.
pub(super) type Ids = Option<Vec<u32>>;

/// Which text is to be predicted.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Text {
    /// One that no teacher has seen.
    Unseen,
    /// Of the training text the tokens from `start` to `end`, which n-grams are not to be counted in.
    Training { start: usize, end: usize },
}

impl Teacher {
    /// Opens a checkpoint or a packed file, which must know the same words as the student.
    pub(super) fn open(name: &str, corpus: &Corpus) -> Result<Self> {
        let (path, student) = (Path::new(name), &corpus.encoder);
        if path.is_dir() {
            let model = Box::new(Checkpoint::load(path)?);
            check_unit(name, model.config.unit, student)?;
            let ids = ids(name, model.encoder.vocabulary().words(), student)?;
            return Ok(Self::Network(model, ids));
        }
        let model = Model::open(path).map_err(|e| foreign(name, e.to_string()))?;
        if model.configuration().is_none() {
            let what = "is an n-gram model, which has seen the text: set train.distillation.ngram to its order, which \
                        counts anew and holds out what it predicts";
            return Err(foreign(name, what));
        }
        let own = Encoder::packed(&model, path)?;
        check_unit(name, own.unit(), student)?;
        let ids = ids(name, own.vocabulary().words(), student)?;
        Ok(Self::Packed(Arc::new(model), ids))
    }

    /// Begins to read `lanes` texts side by side.
    pub(super) fn reader(&self, corpus: &Corpus, text: Text, lanes: usize) -> Result<Reader<'_>> {
        match self {
            Self::Network(model, ids) => Ok(Reader::Network {
                network: &model.network,
                weights: &model.parameters,
                state: model.network.zero_state(lanes),
                buffers: None,
                ids: ids.as_deref(),
            }),
            Self::Packed(model, ids) => Ok(Reader::sessions(model, ids.clone(), lanes)),
            Self::Counts(order, last) => {
                let known = last.borrow().as_ref().filter(|(of, _)| *of == text).cloned();
                let (_, model) = match known {
                    Some(known) => known,
                    None => {
                        let counted = (text, Arc::new(count(*order, corpus, text)?));
                        last.replace(Some(counted.clone()));
                        counted
                    }
                };
                let ids = ids("the n-grams", model.vocabulary().words(), &corpus.encoder)?;
                Ok(Reader::sessions(&model, ids, lanes))
            }
        }
    }
}

/// A teacher at work on some texts side by side.
pub(super) enum Reader<'t> {
    Network {
        network: &'t Network,
        weights: &'t Parameters,
        state: State,
        buffers: Option<Box<Buffers>>,
        ids: Option<&'t [u32]>,
    },
    Sessions {
        sessions: Vec<Session<Arc<Model>>>,
        ids: Ids,
    },
}

impl Reader<'_> {
    fn sessions(model: &Arc<Model>, ids: Ids, lanes: usize) -> Self {
        let sessions = (0..lanes).map(|_| Session::new(model.clone())).collect();
        Self::Sessions { sessions, ids }
    }

    /// Feeds the window's inputs and adds `weight` times the probability of every type after each of them to
    /// `mixture` `[lanes, steps, types]`.
    pub(super) fn read(&mut self, window: &Window, weight: f32, mixture: &mut [f32]) -> Result<()> {
        let (steps, lanes) = (window.steps, window.inputs.len() / window.steps);
        let lane = mixture.len() / lanes;
        let types = lane / steps;
        match self {
            Self::Network { network, weights, state, buffers, ids } => {
                if buffers.as_ref().is_none_or(|buffers| buffers.steps != steps) {
                    *buffers = Some(Box::new(network.window(steps, lanes)));
                }
                let buffers = buffers.as_mut().expect("just made");
                network.forward(weights, &mapped(&window.inputs, *ids), state, buffers, None);
                let logits = network.logits(weights, buffers);
                mixture.par_chunks_mut(lane).enumerate().for_each(|(at, mixture)| {
                    let mut row = vec![0.0; types];
                    for (step, mixture) in mixture.chunks_mut(types).enumerate() {
                        row.copy_from_slice(&logits[(step * lanes + at) * types..][..types]);
                        normalise(&mut row);
                        add(mixture, weight, &row, *ids);
                    }
                });
                Ok(())
            }
            Self::Sessions { sessions, ids } => {
                let ids = ids.as_deref();
                let work = mixture.par_chunks_mut(lane).zip(sessions).enumerate();
                work.map(|(at, (mixture, session))| {
                    let mut row = vec![0.0; types];
                    for (step, mixture) in mixture.chunks_mut(types).enumerate() {
                        let input = window.inputs[step * lanes + at];
                        session.feed(ids.map_or(input, |ids| ids[input as usize]))?;
                        session.log_probabilities(&mut row)?;
                        pocketlm_kernels::activation::exp(&mut row);
                        add(mixture, weight, &row, ids);
                    }
                    Ok(())
                })
                .collect::<std::result::Result<(), pocketlm::Error>>()
                .map_err(|e| Error::config("train.distillation.teachers", e.to_string()))
            }
        }
    }
}

/// Logits become probabilities.
fn normalise(row: &mut [f32]) {
    let mut sum = pocketlm_kernels::softmax::LogSumExp::new();
    sum.push(row);
    pocketlm_kernels::softmax::probabilities(row, sum.value() as f32, 1.0);
}

fn add(mixture: &mut [f32], weight: f32, row: &[f32], ids: Option<&[u32]>) {
    match ids {
        None => mixture.iter_mut().zip(row).for_each(|(sum, p)| *sum += weight * p),
        Some(ids) => {
            mixture.iter_mut().zip(ids).for_each(|(sum, &id)| *sum += weight * row[id as usize]);
        }
    }
}

fn mapped(tokens: &[u32], ids: Option<&[u32]>) -> Vec<u32> {
    let map = |&token: &u32| ids.map_or(token, |ids| ids[token as usize]);
    tokens.iter().map(map).collect()
}

/// N-grams of the training text but for what is to be predicted.
fn count(order: usize, corpus: &Corpus, text: Text) -> Result<Model> {
    let all = &corpus.train.ids;
    let ids = match text {
        Text::Unseen => all.clone(),
        Text::Training { start, end } => [&all[..start], &all[end..]].concat(),
    };
    if ids.is_empty() {
        let what = "has no text to count: the training text is too short to hold parts of it out";
        return Err(Error::config("train.distillation.ngram", what));
    }
    let settings = Settings { order, cutoffs: Vec::new(), prune: 0.0, discounts: None };
    let counted = estimate(&corpus.encoder, &Split { ids, ..Split::default() }, &settings)?;
    let bytes = counted.table.pack(&Notes::default());
    let made = bytes.and_then(Model::from_bytes);
    made.map_err(|e| Error::config("train.distillation.ngram", e.to_string()))
}

fn foreign(name: &str, what: impl Into<String>) -> Error {
    Error::config(format!("train.distillation.teachers: {name}"), what)
}

fn check_unit(name: &str, unit: Unit, student: &Encoder) -> Result<()> {
    if unit == student.unit() {
        return Ok(());
    }
    let what = format!(
        "is of the unit {unit}, the text of {}: a teacher cuts text as the student does",
        student.unit()
    );
    Err(foreign(name, what))
}

/// The teacher's ids in the order of the student's.
fn ids<W: Into<String>>(
    name: &str,
    words: impl Iterator<Item = W>,
    student: &Encoder,
) -> Result<Ids> {
    let theirs: HashMap<String, u32> = words.map(Into::into).zip(0..).collect();
    let own = student.vocabulary();
    let lacks = |word: &str| {
        let what = format!(
            "has no {word:?}, which the student knows: train it on the same text with the same vocabulary"
        );
        foreign(name, what)
    };
    let id = |word: &str| theirs.get(word).copied().ok_or_else(|| lacks(word));
    let ids: Vec<u32> = own.words().map(id).collect::<Result<_>>()?;
    if theirs.len() != own.len() {
        let what = format!(
            "knows {} types, the student {}: train it on the same text with the same vocabulary",
            theirs.len(),
            own.len()
        );
        return Err(foreign(name, what));
    }
    let is_same = ids.iter().zip(0..).all(|(&id, own)| id == own);
    Ok((!is_same).then_some(ids))
}
