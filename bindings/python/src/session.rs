//! Sessions: one stream of text through a model.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::raise;
use crate::model::Model;

type Inner = pocketlm::Session<Arc<pocketlm::Model>>;

/// How likely a text is.
#[pyclass(frozen, eq, get_all, module = "pocketlm")]
#[derive(PartialEq)]
pub struct Score {
    /// Negative log-likelihood of all tokens, in nats.
    nll: f64,
    /// Tokens, each `<eos>` included.
    tokens: u64,
    /// Of these, how many the vocabulary lacks.
    unknown: u64,
}

impl From<pocketlm::Score> for Score {
    fn from(score: pocketlm::Score) -> Self {
        Self { nll: score.nll, tokens: score.tokens, unknown: score.oov }
    }
}

#[pymethods]
impl Score {
    #[getter]
    fn perplexity(&self) -> f64 {
        let Self { nll, tokens, unknown } = *self;
        pocketlm::Score { nll, tokens, oov: unknown }.perplexity()
    }

    fn __repr__(&self) -> String {
        let Self { nll, tokens, unknown } = self;
        format!("Score(nll={nll}, tokens={tokens}, unknown={unknown})")
    }
}

/// A model in use.
#[pyclass(frozen, module = "pocketlm")]
pub struct Session {
    model: Py<Model>,
    session: Mutex<Inner>,
}

/// What can be fed: a text, or the ids of words.
#[derive(FromPyObject)]
enum Fed<'py> {
    Text(String),
    Ids(PyReadonlyArray1<'py, u32>),
    Integers(PyReadonlyArray1<'py, i64>),
    List(Vec<u32>),
}

impl Fed<'_> {
    /// The ids, or a text.
    fn ids(self) -> PyResult<Result<Vec<u32>, String>> {
        Ok(Ok(match self {
            Self::Text(text) => return Ok(Err(text)),
            Self::List(ids) => ids,
            Self::Ids(ids) => ids.as_array().to_vec(),
            Self::Integers(ids) => {
                let ids: Result<Vec<u32>, _> =
                    ids.as_array().iter().map(|&id| u32::try_from(id)).collect();
                ids.map_err(|_| raise("an id is negative or above 4294967295"))?
            }
        }))
    }
}

impl Session {
    /// Does work without Python's lock. A second thread waits for the first.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Send + FnOnce(&mut Inner) -> pocketlm::Result<T>,
    ) -> PyResult<T> {
        let locked = || work(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner));
        py.detach(locked).map_err(raise)
    }
}

#[pymethods]
impl Session {
    #[new]
    fn new(py: Python<'_>, model: Py<Model>) -> Self {
        let session = pocketlm::Session::new(Arc::clone(&model.bind(py).get().model));
        Self { model, session: Mutex::new(session) }
    }

    #[getter]
    fn model(&self, py: Python<'_>) -> Py<Model> {
        self.model.clone_ref(py)
    }

    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |session| {
            session.reset();
            Ok(())
        })
    }

    /// Unknown words among what was fed.
    fn feed(&self, py: Python<'_>, text: Fed<'_>) -> PyResult<u64> {
        let ids = match text.ids()? {
            Ok(ids) => ids,
            Err(text) => return self.with(py, |session| session.feed_text(&text)),
        };
        self.with(py, |session| {
            let types = session.model().vocabulary().len();
            if let Some(&token) = ids.iter().find(|&&id| id as usize >= types) {
                return Err(pocketlm::Error::Token { token, types });
            }
            ids.iter().try_for_each(|&id| session.feed(id))?;
            Ok(0)
        })
    }

    #[pyo3(signature = (k = 3, prefix = ""))]
    fn suggest(&self, py: Python<'_>, k: usize, prefix: &str) -> PyResult<Vec<(String, f64)>> {
        self.with(py, |session| {
            let found = if prefix.is_empty() {
                session.suggest(k)?
            } else {
                session.suggest_prefix(prefix, k)?
            };
            Ok(found.iter().map(|one| (one.word.to_owned(), one.probability)).collect())
        })
    }

    #[pyo3(signature = (text, k = 3))]
    fn complete(&self, py: Python<'_>, text: &str, k: usize) -> PyResult<Vec<(String, f64)>> {
        self.with(py, |session| {
            let mut all = Vec::new();
            session.complete(text, k, |word, p| all.push((word.to_owned(), p)))?;
            Ok(all)
        })
    }

    fn log_probability(&self, py: Python<'_>, word: &Bound<'_, PyAny>) -> PyResult<f64> {
        if let Ok(word) = word.extract::<String>() {
            return self.with(py, |session| session.log_probability(&word));
        }
        let fault = |_| PyTypeError::new_err("give a word or its id");
        let id: u32 = word.extract().map_err(fault)?;
        self.with(py, |session| session.log_probability_of(id))
    }

    fn log_probabilities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let all = self.with(py, |session| {
            let mut all = vec![0.0; session.model().vocabulary().len()];
            session.log_probabilities(&mut all)?;
            Ok(all)
        })?;
        Ok(all.into_pyarray(py))
    }

    fn score(&self, py: Python<'_>, text: &str) -> PyResult<Score> {
        self.with(py, |session| Ok(session.score(text)?.into()))
    }

    fn score_next(&self, py: Python<'_>, text: &str) -> PyResult<Score> {
        self.with(py, |session| Ok(session.score_next(text)?.into()))
    }

    fn hide(&self, py: Python<'_>, ids: Fed<'_>) -> PyResult<()> {
        let fault = || PyTypeError::new_err("give the ids of words");
        let ids = ids.ids()?.map_err(|_| fault())?;
        self.with(py, |session| {
            session.hide(&ids);
            Ok(())
        })
    }

    #[getter]
    fn get_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.with(py, |session| {
            let mut state = vec![0; session.model().saved_size()];
            session.save(&mut state)?;
            Ok(state)
        })?;
        Ok(PyBytes::new(py, &state))
    }

    #[setter]
    fn set_state(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        self.with(py, |session| session.restore(state))
    }
}
