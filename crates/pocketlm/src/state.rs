//! The state of a model between two tokens: a plain value.

use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::error::{Error, Result};
use crate::mixture::Part;
use crate::model::{Kind, Model};
use crate::ngram;
use crate::session::Session;

/// Everything a model remembers of what it was fed.
///
/// It can be copied, compared, stored and restored, so hypotheses branch: [`Session::state`] and
/// [`Session::set_state`]. It holds for each layer `h` and, but for the GRU and the uRNN, `c`, from the input up; for an
/// n-gram model the last tokens as numbers, as far back as the model knows them, and −1 for those before; for a mixture
/// what its parts remember, one after another.
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
        if !model.parts().is_empty() {
            let parts = model.parts().iter().flat_map(|part| Self::zero(&part.model).values);
            return Self { values: parts.collect() };
        }
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
        Ok(Self { values: numbers(model, bytes)?.collect() })
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

/// The numbers of a state of `model`, once all of them are known to be good.
fn numbers<'b>(model: &Model, bytes: &'b [u8]) -> Result<impl Iterator<Item = f32> + use<'b>> {
    let (values, rest) = bytes.as_chunks::<4>();
    if values.len() != model.state_len() || !rest.is_empty() {
        return Err(Error::State { problem: "it has another size than this model's states" });
    }
    let mut first = 0;
    for Part { model, .. } in model.parts() {
        let own = &bytes[4 * first..][..4 * model.state_len()];
        numbers(model, own).map(drop)?;
        first += model.state_len();
    }
    let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes));
    if !values.clone().all(f32::is_finite) {
        return Err(Error::State { problem: "it holds a number that is not finite" });
    }
    let is_token = |value: f32| value == ngram::NONE || model.check(value as u32).is_ok();
    if matches!(model.kind, Kind::Ngram(_)) && !values.clone().all(is_token) {
        return Err(Error::State { problem: "it holds a token that the vocabulary lacks" });
    }
    Ok(values)
}

/// What a saved state begins with, before the checksum of its model.
const MARK: [u8; 4] = *b"plms";

/// Bytes before the numbers of a saved state.
const HEAD: usize = 8;

impl Model {
    /// Bytes of a state that [`Session::save`] writes: `plms`, the [`checksum`](Self::checksum) of the model in four
    /// bytes, and [`State::to_bytes`]; all of it little-endian.
    #[must_use]
    pub fn saved_size(&self) -> usize {
        HEAD + 4 * self.state_len()
    }
}

impl<M: Borrow<Model>> Session<M> {
    /// Writes the present state into `out`, to be [restored](Self::restore) later or elsewhere, without allocating.
    ///
    /// # Errors
    /// [`Error::Length`] if `out` is not [`Model::saved_size`] bytes long.
    pub fn save(&self, out: &mut [u8]) -> Result<()> {
        let model = self.model.borrow();
        if out.len() != model.saved_size() {
            return Err(Error::Length { given: out.len(), needed: model.saved_size() });
        }
        let (head, numbers) = out.split_at_mut(HEAD);
        head[..4].copy_from_slice(&MARK);
        head[4..].copy_from_slice(&model.checksum().to_le_bytes());
        let places = numbers.as_chunks_mut::<4>().0.iter_mut();
        places.zip(self.state().values()).for_each(|(to, value)| *to = value.to_le_bytes());
        Ok(())
    }

    /// Goes on from a state that [`save`](Self::save) wrote, without allocating. On an error the session stays where it
    /// was.
    ///
    /// # Errors
    /// [`Error::State`] if `bytes` are no saved state, or one of another model, or damaged.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let model = self.model.borrow();
        let Some(rest) = bytes.strip_prefix(&MARK) else {
            return Err(Error::State { problem: "these bytes are none" });
        };
        let Some(numbers_of) = rest.strip_prefix(&model.checksum().to_le_bytes()) else {
            return Err(Error::State { problem: "it is of another model" });
        };
        let values = numbers(model, numbers_of)?;
        self.stream.state.values.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        self.stream.forget();
        Ok(())
    }
}
