//! A session: one stream of tokens through a model.

use core::borrow::Borrow;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::state::State;
use crate::stream::Stream;
use crate::text::Token;

/// Suggestions that a session has room for from the start.
pub const SUGGESTIONS: usize = 64;

/// A model in use: its state, and every buffer that using it takes.
///
/// `M` is anything that lends a [`Model`]: `&Model`, `Arc<Model>`, or the model itself. A new session has
/// been fed the `<eos>` from which the first token of anything is predicted.
///
/// After construction nothing allocates but [`evaluate`](Self::evaluate), [`hide`](Self::hide), and
/// [`suggest`](Self::suggest) the first time that more than [`SUGGESTIONS`] are asked for.
#[derive(Debug)]
pub struct Session<M> {
    pub(crate) model: M,
    pub(crate) stream: Stream,
}

impl<M: Borrow<Model>> Session<M> {
    /// A session at the beginning of a text. `<eos>`, `<unk>`, `<s>` and `</s>` are [hidden](Self::hide).
    #[must_use]
    pub fn new(model: M) -> Self {
        Self { stream: Stream::new(model.borrow()), model }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.model.borrow()
    }

    /// Goes back to the beginning of a text.
    pub fn reset(&mut self) {
        self.stream.reset();
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.stream.state
    }

    /// Goes on from `state`, a state of the same model.
    ///
    /// # Errors
    /// [`Error::State`] if it has another size.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        self.stream.state.copy_from(state)?;
        self.stream.forget();
        Ok(())
    }

    /// Feeds the token `token`.
    ///
    /// # Errors
    /// [`Error::Token`] if the vocabulary does not have it.
    pub fn feed(&mut self, token: u32) -> Result<()> {
        let model = self.model.borrow();
        model.check(token)?;
        self.stream.feed(model, token);
        Ok(())
    }

    /// Feeds the tokens of `text`, a line feed as `<eos>`; adds no `<eos>` at the end. Returns how many of
    /// them are not in the vocabulary and were fed as `<unk>`.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] if one is not and there is no `<unk>`; what stands before it has been fed.
    pub fn feed_text(&mut self, text: &str) -> Result<u64> {
        self.stream.feed_text(self.model.borrow(), text)
    }

    /// The log-probability in nats that `word` comes next; that of `<unk>` if it is not in the
    /// vocabulary.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] if it is not and there is no `<unk>`; [`Error::NotFinite`] if the model's numbers
    /// overflow.
    pub fn log_probability(&mut self, word: &str) -> Result<f64> {
        let model = self.model.borrow();
        let token = Token { text: word, id: model.vocabulary().id(word) };
        let token = model.vocabulary().resolve(token)?;
        self.stream.log_probability(model, token)
    }

    /// The log-probability in nats that the token `token` comes next.
    ///
    /// # Errors
    /// [`Error::Token`] if the vocabulary does not have it; [`Error::NotFinite`] if the model's numbers overflow.
    pub fn log_probability_of(&mut self, token: u32) -> Result<f64> {
        let model = self.model.borrow();
        model.check(token)?;
        self.stream.log_probability(model, token)
    }

    /// Writes the log-probabilities in nats of all tokens into `out` `[types]`, in the order of ids.
    ///
    /// # Errors
    /// [`Error::Length`] if `out` is not as long as the vocabulary; [`Error::NotFinite`] if the model's numbers
    /// overflow.
    pub fn log_probabilities(&mut self, out: &mut [f32]) -> Result<()> {
        let model = self.model.borrow();
        let types = model.vocabulary().len();
        if out.len() != types {
            return Err(Error::Length { given: out.len(), needed: types });
        }
        self.stream.log_probabilities(model, out)
    }
}
