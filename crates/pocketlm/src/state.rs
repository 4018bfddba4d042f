//! The state of a model between two tokens: a plain value.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::ngram;

/// Everything a model remembers of what it was fed.
///
/// It can be copied, compared, stored and restored, so hypotheses branch: [`Session::state`] and
/// [`Session::set_state`]. It holds for each layer `h` and, but for the GRU and the uRNN, `c`, from the input up; for an
/// n-gram model the last tokens as numbers, as far back as the model knows them, and −1 for those before.
///
/// [`Session::state`]: crate::Session::state
/// [`Session::set_state`]: crate::Session::set_state
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    values: Vec<f32>,
}

impl State {
    /// The state in which nothing has been fed, not even the `<eos>` from which the first token of anything
    /// is predicted: all zeros, or no tokens.
    #[must_use]
    pub fn zero(model: &Model) -> Self {
        let nothing = if model.recurrent().is_some() { 0.0 } else { ngram::NONE };
        Self { values: vec![nothing; model.state_len()] }
    }

    /// Bytes of [`to_bytes`](Self::to_bytes): four for each number.
    #[must_use]
    pub fn size(&self) -> usize {
        4 * self.values.len()
    }

    /// The state as bytes: its numbers as little-endian f32.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// The state that [`to_bytes`](Self::to_bytes) of a state of the same model gave.
    ///
    /// # Errors
    /// [`Error::State`] if `bytes` is not as long as states of `model` are, or holds a number that is not
    /// finite, or no token where it should. A state of another model of equal size is not told apart.
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Result<Self> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        if numbers.len() != model.state_len() || !rest.is_empty() {
            return Err(Error::State { problem: "it has another size than this model's states" });
        }
        let values: Vec<_> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::State { problem: "it holds a number that is not finite" });
        }
        let is_token = |&value: &f32| value == ngram::NONE || model.check(value as u32).is_ok();
        if model.recurrent().is_none() && !values.iter().all(is_token) {
            return Err(Error::State { problem: "it holds a token that the vocabulary lacks" });
        }
        Ok(Self { values })
    }

    /// Takes the values of `other`, a state of the same model, without allocating.
    ///
    /// # Errors
    /// [`Error::State`] if `other` has another size.
    pub fn copy_from(&mut self, other: &State) -> Result<()> {
        if self.values.len() != other.values.len() {
            return Err(Error::State { problem: "it has another size than this model's states" });
        }
        self.values.copy_from_slice(&other.values);
        Ok(())
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}
