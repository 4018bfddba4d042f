//! Lessons from teachers for each window of a training.
//!
//! The teachers read the training text once, before the first update, in pieces that begin some words early, so that
//! the pieces are independent of each other: many are read at once, and a work that was stopped goes on. What they say
//! is kept in a file ([`cache`]).

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::corpus::{Corpus, Streams, Window};
use crate::error::{Error, Result};
use crate::network::Lesson;
use crate::network::distillation::temper;
use crate::ngram::mix;
use crate::settings::Distillation;

mod cache;
mod teacher;

use cache::{Cache, Layout};
use teacher::{Reader, Teacher, Text};

/// Pieces of the text that are read side by side.
const LANES: usize = 16;
/// Tokens of a piece at most.
const PIECE: usize = 2048;
/// Tokens before a piece from which a teacher takes its state.
const WARM: usize = 64;
/// Steps at a time.
const STEPS: usize = 32;

/// The teachers of a training and what they say.
pub(super) struct Lessons {
    settings: Distillation,
    origin: String,
    path: PathBuf,
    teachers: Vec<Teacher>,
    types: usize,
    cache: Option<Cache>,
}

/// What is known of the teachers once they have been asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Taught {
    /// Each teacher and its weight.
    pub weights: Vec<(String, f64)>,
    /// Perplexity of their mixture on the validation text.
    pub perplexity: f64,
    /// The file of their answers.
    pub file: PathBuf,
    /// Bytes that are still to be written to it.
    pub bytes: u64,
}

impl Lessons {
    /// Opens the teachers, which must know the words of `corpus`; `out` is the training's folder.
    ///
    /// # Errors
    /// When one is missing, damaged or of other words.
    pub(super) fn open(settings: &Distillation, corpus: &Corpus, out: &Path) -> Result<Self> {
        let open = |name: &String| Teacher::open(name, corpus);
        let mut teachers: Vec<Teacher> =
            settings.teachers.iter().map(open).collect::<Result<_>>()?;
        if settings.ngram > 0 {
            teachers.push(Teacher::Counts(settings.ngram, Default::default()));
        }
        let path = settings.cache.as_ref().map_or_else(|| out.join("teachers.bin"), PathBuf::from);
        Ok(Self {
            settings: settings.clone(),
            origin: origin(settings, corpus)?,
            path,
            teachers,
            types: corpus.encoder.vocabulary().len(),
            cache: None,
        })
    }

    fn layout(&self, corpus: &Corpus, weights: &[f64]) -> Layout {
        let tokens = corpus.train.ids.len();
        let mut digest = Sha256::new();
        digest.update(&self.origin);
        weights.iter().for_each(|weight| digest.update(weight.to_le_bytes()));
        let keep = self.settings.keep.min(self.types);
        // A text of which parts are held out has a group for each at least.
        let parts = if self.settings.ngram > 0 { self.settings.parts } else { 1 };
        let group = LANES * tokens.div_ceil(LANES * parts).min(PIECE);
        Layout { origin: digest.finalize().into(), tokens, keep, group, types: self.types }
    }

    /// Asks the teachers what has not been asked yet. `begin` hears of them before the long part, `stop` is asked often
    /// and `observe` hears which share is done. Returns whether all is done.
    ///
    /// # Errors
    /// When the file cannot be written or is another's.
    pub(super) fn prepare(
        &mut self,
        corpus: &Corpus,
        stop: &dyn Fn() -> bool,
        begin: &mut dyn FnMut(&Taught),
        observe: &mut dyn FnMut(f64),
    ) -> Result<bool> {
        if self.cache.is_some() {
            return Ok(true);
        }
        let (weights, perplexity) = self.weights(corpus)?;
        let layout = self.layout(corpus, &weights);
        let mut cache = Cache::open(&self.path, layout)?;
        let names = self.settings.teachers.iter().cloned();
        let names = names
            .chain((self.settings.ngram > 0).then(|| format!("{}-grams", self.settings.ngram)));
        let weights_of = names.zip(weights.iter().copied()).collect();
        let (file, bytes) = (self.path.clone(), cache.missing());
        begin(&Taught { weights: weights_of, perplexity, file, bytes });
        for group in cache.done()..layout.groups() {
            if stop() {
                return Ok(false);
            }
            let (ids, probabilities) = self.ask(corpus, &weights, layout, group)?;
            cache.add(&ids, &probabilities)?;
            observe((group + 1) as f64 / layout.groups() as f64);
        }
        self.cache = Some(cache);
        Ok(true)
    }

    /// What the teachers say of the tokens of a group.
    fn ask(
        &self,
        corpus: &Corpus,
        weights: &[f64],
        layout: Layout,
        group: usize,
    ) -> Result<(Vec<u32>, Vec<f32>)> {
        let (all, keep, types) = (&corpus.train.ids, layout.keep, self.types);
        let text = self.held_out(layout, group);
        let pieces = Pieces::new(all, corpus.encoder.vocabulary().eos(), layout.group, group);
        let mut ids = vec![0; layout.group * keep];
        let mut probabilities = vec![0.0; layout.group * keep];
        self.read(corpus, text, weights, &pieces, |first, steps, mixture| {
            let lane = mixture.len() / LANES;
            let rows = ids.par_chunks_mut(pieces.length * keep);
            let rows = rows.zip(probabilities.par_chunks_mut(pieces.length * keep));
            rows.zip(mixture.par_chunks(lane)).for_each(|((ids, probabilities), mixture)| {
                let rows = mixture.chunks(types).zip(ids.chunks_mut(keep).skip(first));
                let rows = rows.zip(probabilities.chunks_mut(keep).skip(first));
                rows.take(steps).for_each(|((row, ids), q)| likeliest(row, ids, q));
            });
        })?;
        Ok((ids, probabilities))
    }

    /// The part of the training text that a group lies in.
    fn held_out(&self, layout: Layout, group: usize) -> Text {
        let (groups, parts) = (layout.groups(), self.settings.parts.max(1));
        // A text of few groups has as many parts.
        let parts = parts.min(groups);
        let part = group * parts / groups;
        let start = (part * groups).div_ceil(parts) * layout.group;
        let end = ((part + 1) * groups).div_ceil(parts) * layout.group;
        Text::Training { start, end: end.min(layout.tokens) }
    }

    /// Reads some pieces with all teachers; `each` gets the first of some steps, how many they are, and the mixture
    /// `[lanes, steps, types]`.
    fn read(
        &self,
        corpus: &Corpus,
        text: Text,
        weights: &[f64],
        pieces: &Pieces,
        mut each: impl FnMut(usize, usize, &[f32]),
    ) -> Result<()> {
        let used = self.teachers.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
        let readers = used
            .map(|(teacher, &weight)| Ok((teacher.reader(corpus, text, LANES)?, weight as f32)));
        let mut readers: Vec<(Reader, f32)> = readers.collect::<Result<_>>()?;
        let mut mixture = Vec::new();
        let mut windows = vec![(pieces.window(-(WARM as isize), WARM), None)];
        let starts = (0..pieces.length).step_by(STEPS);
        windows.extend(starts.map(|start| {
            let steps = STEPS.min(pieces.length - start);
            (pieces.window(start as isize, steps), Some(start))
        }));
        for (window, start) in windows {
            mixture.clear();
            mixture.resize(window.inputs.len() * self.types, 0.0);
            for (reader, weight) in &mut readers {
                reader.read(&window, *weight, &mut mixture)?;
            }
            if let Some(start) = start {
                each(start, window.steps, &mixture);
            }
        }
        Ok(())
    }

    /// The weights that make the validation text likeliest, unless they are given, and its perplexity.
    fn weights(&self, corpus: &Corpus) -> Result<(Vec<f64>, f64)> {
        let count = self.teachers.len();
        let alone = |at: usize| (0..count).map(|i| f64::from(u8::from(i == at))).collect();
        let said: Vec<Vec<f64>> = (0..count)
            .map(|at| self.log_probabilities(corpus, alone(at)))
            .collect::<Result<_>>()?;
        let weights = match &self.settings.weights {
            given if !given.is_empty() => given.clone(),
            _ => mix::weights(&said),
        };
        let nll = -mix::mean_log_probability(&said, &weights);
        Ok((weights, nll.exp()))
    }

    /// What a mixture says of each token of the validation text, in nats.
    fn log_probabilities(&self, corpus: &Corpus, weights: Vec<f64>) -> Result<Vec<f64>> {
        let (ids, eos) = (&corpus.valid.ids, corpus.encoder.vocabulary().eos());
        let group = LANES * ids.len().div_ceil(LANES);
        let pieces = Pieces::new(ids, eos, group, 0);
        let mut said = vec![0.0; group];
        self.read(corpus, Text::Unseen, &weights, &pieces, |first, steps, mixture| {
            for (lane, mixture) in mixture.chunks(steps * self.types).enumerate() {
                for (step, row) in mixture.chunks(self.types).enumerate() {
                    let at = lane * pieces.length + first + step;
                    if let Some(&id) = ids.get(at) {
                        said[at] = f64::from(row[id as usize]).ln();
                    }
                }
            }
        })?;
        said.truncate(ids.len());
        Ok(said)
    }

    /// What was said of the tokens of a window of `streams`, for a training of which `done` is over.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn lesson(
        &mut self,
        streams: &Streams,
        (start, steps): (usize, usize),
        done: f64,
        lesson: &mut Lesson,
    ) -> Result<()> {
        let cache = self.cache.as_mut().expect("prepared before the first window");
        let (batch, keep) = (streams.batch(), self.settings.keep.min(self.types));
        // The file has a stream's tokens one after another, a window those of a step.
        let (mut ids, mut probabilities) = (Vec::new(), Vec::new());
        for stream in 0..batch {
            let place = stream * streams.len() + start;
            cache.read(place, steps, &mut ids, &mut probabilities)?;
        }
        let is_known = |&id: &u32| (id as usize) < self.types;
        if !ids.iter().all(is_known) {
            let what = "has words that there are not: remove it";
            return Err(Error::checkpoint(&self.path, what));
        }
        lesson.keep = keep;
        lesson.share = self.settings.share_at(done) as f32;
        lesson.temperature = self.settings.temperature as f32;
        lesson.ids.clear();
        lesson.probabilities.clear();
        for step in 0..steps {
            for stream in 0..batch {
                let row = (stream * steps + step) * keep;
                lesson.ids.extend_from_slice(&ids[row..row + keep]);
                lesson.probabilities.extend_from_slice(&probabilities[row..row + keep]);
            }
        }
        for row in lesson.probabilities.chunks_mut(keep) {
            temper(row, self.types, self.settings.temperature);
        }
        Ok(())
    }
}

/// Pieces of a text side by side, each with what stands before it.
struct Pieces<'a> {
    ids: &'a [u32],
    eos: u32,
    /// Where the first begins.
    start: usize,
    /// Tokens of each.
    length: usize,
}

impl<'a> Pieces<'a> {
    /// The pieces of the group `group` of `size` tokens.
    fn new(ids: &'a [u32], eos: u32, size: usize, group: usize) -> Self {
        Self { ids, eos, start: group * size, length: size / LANES }
    }

    /// Some steps from `first` on, which is negative before the pieces' beginnings; `<eos>` stands for what is beyond
    /// the text. The targets are what is fed next.
    fn window(&self, first: isize, steps: usize) -> Window {
        let token = |at: isize| {
            usize::try_from(at).ok().and_then(|at| self.ids.get(at)).copied().unwrap_or(self.eos)
        };
        let places = (0..steps as isize).flat_map(|step| {
            (0..LANES).map(move |lane| (self.start + lane * self.length) as isize + first + step)
        });
        let (inputs, targets) = places.map(|at| (token(at - 1), token(at))).unzip();
        Window { steps, inputs, targets }
    }
}

/// The likeliest types of a row and their probabilities, by rising id; of equals the first.
fn likeliest(row: &[f32], ids: &mut [u32], probabilities: &mut [f32]) {
    let keep = ids.len();
    let mut order: Vec<u32> = (0..row.len() as u32).collect();
    let by = |a: &u32, b: &u32| row[*b as usize].total_cmp(&row[*a as usize]).then(a.cmp(b));
    if keep < order.len() {
        order.select_nth_unstable_by(keep, by);
    }
    order.truncate(keep);
    order.sort_unstable();
    for ((id, q), found) in ids.iter_mut().zip(probabilities).zip(order) {
        (*id, *q) = (found, row[found as usize]);
    }
}

/// What the lessons depend on: the teachers' files, how they are asked, the text.
fn origin(settings: &Distillation, corpus: &Corpus) -> Result<String> {
    let mut digest = Sha256::new();
    for name in &settings.teachers {
        let path = Path::new(name);
        let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        digest.update(std::fs::read(&file).map_err(Error::io(&file))?);
    }
    digest.update(format!("{} {} {LANES} {PIECE} {WARM}", settings.ngram, settings.parts));
    digest.update(corpus.sha256());
    Ok(crate::corpus::hex(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar;

    #[test]
    fn the_likeliest_types_come_by_rising_id() {
        let (mut ids, mut q) = ([0; 3], [0.0; 3]);
        likeliest(&[0.1, 0.3, 0.1, 0.4, 0.1], &mut ids, &mut q);
        assert_eq!((ids, q), ([0, 1, 3], [0.1, 0.3, 0.4]));
    }

    /// N-grams that had seen what they predict would be sure of it.
    #[test]
    fn n_grams_predict_what_they_have_not_seen() {
        let corpus = grammar::corpus(3, 6_000).unwrap();
        let types = corpus.encoder.vocabulary().len();
        let settings = format!("ngram = 3\nparts = 5\nkeep = {types}");
        let settings: Distillation = toml::from_str(&settings).unwrap();
        let lessons = Lessons::open(&settings, &corpus, Path::new("nowhere")).unwrap();
        let layout = lessons.layout(&corpus, &[1.0]);
        let ids = &corpus.train.ids;
        let mut nll = 0.0;
        for group in 0..layout.groups() {
            let (_, q) = lessons.ask(&corpus, &[1.0], layout, group).unwrap();
            let own = ids.iter().skip(group * layout.group).take(layout.group);
            for (row, &id) in q.chunks(types).zip(own) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-3);
                nll -= f64::from(row[id as usize]).ln();
            }
        }
        let (_, unseen) = lessons.weights(&corpus).unwrap();
        let seen = (nll / ids.len() as f64).exp();
        assert!((0.85..1.3).contains(&(seen / unseen)), "{seen} {unseen}");
    }
}
