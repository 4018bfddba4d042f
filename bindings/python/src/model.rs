//! Open models.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use numpy::{IntoPyArray, PyArray1};
use pocketlm::{Session, State};
use pocketlm_train::checkpoint::Checkpoint;
use pocketlm_train::pack::pack_in_memory;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;

use crate::error::{check_exists, raise};

/// An open model.
#[pyclass(frozen, module = "pocketlm")]
pub struct Model {
    pub(crate) model: Arc<pocketlm::Model>,
    path: Option<PathBuf>,
    /// A session for scores, which one thread at a time has.
    scorer: Mutex<Session<Arc<pocketlm::Model>>>,
}

/// Opens a packed file, or packs a checkpoint in memory.
fn open(path: &Path) -> PyResult<pocketlm::Model> {
    if !path.is_dir() {
        return pocketlm::Model::open(path).map_err(raise);
    }
    let checkpoint = Checkpoint::load(path).map_err(raise)?;
    let packed = pack_in_memory(&checkpoint).map_err(raise)?;
    pocketlm::Model::from_bytes(packed).map_err(raise)
}

/// `log10(e)`: what makes nats the unit of KenLM.
const TO_LOG10: f64 = std::f64::consts::LOG10_E;

/// The log10-probability of a token, its text, and whether the vocabulary lacks it.
type TokenScore = (f64, String, bool);

impl Model {
    fn new(model: pocketlm::Model, path: Option<PathBuf>) -> Self {
        let model = Arc::new(model);
        Self { scorer: Mutex::new(Session::new(Arc::clone(&model))), model, path }
    }

    /// Scores a sentence; `each` sees the nats of every token.
    fn scored(
        &self,
        sentence: &str,
        (bos, eos): (bool, bool),
        each: impl FnMut(pocketlm::Token<'_>, f64),
    ) -> pocketlm::Result<pocketlm::Score> {
        let work = |session: &mut Session<Arc<pocketlm::Model>>| {
            if bos && eos {
                return session.score_each(sentence, each);
            }
            session.reset();
            if !bos {
                session.set_state(&State::zero(&self.model))?;
            }
            let is_closed = !eos || sentence.ends_with('\n');
            let text = if is_closed { Cow::from(sentence) } else { format!("{sentence}\n").into() };
            session.score_next_each(&text, each)
        };
        match self.scorer.try_lock() {
            Ok(mut session) => work(&mut session),
            Err(_) => work(&mut Session::new(Arc::clone(&self.model))),
        }
    }
}

#[pymethods]
impl Model {
    #[staticmethod]
    #[pyo3(name = "open")]
    fn py_open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        check_exists(&path)?;
        let model = py.detach(|| open(&path))?;
        Ok(Self::new(model, Some(path.canonicalize().unwrap_or(path))))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let model = py.detach(|| pocketlm::Model::from_bytes(data.to_vec())).map_err(raise)?;
        Ok(Self::new(model, None))
    }

    /// A worker opens the file again, which costs it a mapping.
    fn __reduce__(slf: Bound<'_, Self>) -> PyResult<(Py<PyAny>, (PathBuf,))> {
        let Some(path) = &slf.get().path else {
            let what =
                "a model from bytes cannot be pickled: open it from a file, whose path is pickled";
            return Err(PyTypeError::new_err(what));
        };
        Ok((slf.get_type().getattr("open")?.unbind(), (path.clone(),)))
    }

    fn __repr__(&self) -> String {
        let path = self.path.as_ref().map_or("bytes".into(), |path| format!("{path:?}"));
        format!("<pocketlm.Model {path}: {} words>", self.model.vocabulary().len())
    }

    fn __len__(&self) -> usize {
        self.model.vocabulary().len()
    }

    fn __contains__(&self, word: &str) -> bool {
        self.model.vocabulary().id(word).is_some()
    }

    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    #[getter]
    fn eos(&self) -> u32 {
        self.model.vocabulary().eos()
    }

    #[getter]
    fn unk(&self) -> Option<u32> {
        self.model.vocabulary().unk()
    }

    #[getter]
    fn unit(&self) -> &'static str {
        self.model.vocabulary().unit().name()
    }

    #[getter]
    fn recipe(&self) -> &str {
        self.model.recipe()
    }

    #[getter]
    fn checksum(&self) -> u32 {
        self.model.checksum()
    }

    fn words(&self) -> Vec<String> {
        self.model.vocabulary().words().collect()
    }

    fn id(&self, word: &str) -> Option<u32> {
        self.model.vocabulary().id(word)
    }

    fn word(&self, id: u32) -> PyResult<String> {
        let vocabulary = self.model.vocabulary();
        let mut buffer = Vec::new();
        let word = vocabulary.word(id, &mut buffer);
        let fault = || PyIndexError::new_err(format!("there are {} words", vocabulary.len()));
        word.map(str::to_owned).ok_or_else(fault)
    }

    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.model.verify()).map_err(raise)
    }

    #[pyo3(signature = (sentence, bos = true, eos = true))]
    fn score(&self, py: Python<'_>, sentence: &str, bos: bool, eos: bool) -> PyResult<f64> {
        let score = py.detach(|| self.scored(sentence, (bos, eos), |_, _| ())).map_err(raise)?;
        Ok(-score.nll * TO_LOG10)
    }

    #[pyo3(signature = (sentence, bos = true, eos = true))]
    fn full_scores(
        &self,
        py: Python<'_>,
        sentence: &str,
        bos: bool,
        eos: bool,
    ) -> PyResult<Vec<TokenScore>> {
        let mut all = Vec::new();
        let each = |token: pocketlm::Token<'_>, value| {
            all.push((value * TO_LOG10, token.text.to_owned(), token.id.is_none()));
        };
        py.detach(|| self.scored(sentence, (bos, eos), each)).map_err(raise)?;
        Ok(all)
    }

    fn perplexity(&self, py: Python<'_>, sentence: &str) -> PyResult<f64> {
        let score = py.detach(|| self.scored(sentence, (true, true), |_, _| ())).map_err(raise)?;
        Ok(score.perplexity())
    }

    /// Nats, tokens and unknown words of each text.
    #[expect(clippy::type_complexity, reason = "three arrays, as Python gets them")]
    fn score_batch<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>)>
    {
        let scores = py.detach(|| self.model.score_batch(&texts)).map_err(raise)?;
        let nats: Vec<f64> = scores.iter().map(|score| score.nll).collect();
        let tokens: Vec<u64> = scores.iter().map(|score| score.tokens).collect();
        let unknown: Vec<u64> = scores.iter().map(|score| score.oov).collect();
        Ok((nats.into_pyarray(py), tokens.into_pyarray(py), unknown.into_pyarray(py)))
    }
}
