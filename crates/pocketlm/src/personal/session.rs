//! A model and its user's words, at work together.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;

use pocketlm_kernels::topk::{Candidate, TopK};

use super::{Kind, Personal};
#[cfg(feature = "correct")]
use crate::correct::{Corrections, Speller};
use crate::error::Result;
use crate::model::Model;
use crate::session::Session;
use crate::state::State;
use crate::suggest::{mask, ranges};
use crate::text::Token;

/// A word that is suggested.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The word.
    pub word: String,
    /// Its probability: of all words, or of those that begin with what is typed.
    pub probability: f64,
    /// Whether it is a word of the user that the model lacks.
    pub is_own: bool,
}

/// Where a session is in a text.
#[derive(Debug, Clone)]
pub struct Position {
    state: State,
    last: Option<String>,
}

/// A [`Session`] that also learns from and suggests what its user types.
#[derive(Debug)]
pub struct PersonalSession<M> {
    pub(crate) session: Session<M>,
    personal: Personal,
    /// The last word, if it is one of the user's.
    last: Option<String>,
    learns: bool,
    probabilities: Vec<f32>,
    /// The model's ids of the user's words, of as many as were asked for since the words last changed their places.
    ids: Vec<Option<u32>>,
    moves: u64,
}

impl<M: Borrow<Model>> PersonalSession<M> {
    /// At the beginning of a text.
    #[must_use]
    pub fn new(model: M, personal: Personal) -> Self {
        let types = model.borrow().vocabulary().len();
        Self {
            session: Session::new(model),
            personal,
            last: None,
            learns: true,
            probabilities: alloc::vec![0.0; types],
            ids: Vec::new(),
            moves: 0,
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.session.model()
    }

    /// Where it is, to [come back](Self::set_position).
    #[must_use]
    pub fn position(&self) -> Position {
        Position { state: self.session.state().clone(), last: self.last.clone() }
    }

    /// Goes to where a session of the same model has been. What was learnt since stays learnt.
    ///
    /// # Errors
    /// As [`Session::set_state`].
    pub fn set_position(&mut self, position: &Position) -> Result<()> {
        self.session.set_state(&position.state)?;
        self.last.clone_from(&position.last);
        Ok(())
    }

    /// Whether what is fed is learnt, as it is unless this says no: a private session reads the user's words and adds
    /// nothing to them.
    pub fn set_learning(&mut self, learns: bool) {
        self.learns = learns;
    }

    /// The user's words.
    #[must_use]
    pub fn personal(&self) -> &Personal {
        &self.personal
    }

    /// The user's words, to add, block or forget some.
    pub fn personal_mut(&mut self) -> &mut Personal {
        self.ids.clear();
        &mut self.personal
    }

    /// Ends the session; the user's words remain.
    #[must_use]
    pub fn into_personal(self) -> Personal {
        self.personal
    }

    /// Goes back to the beginning of a text.
    pub fn reset(&mut self) {
        self.session.reset();
        self.last = None;
    }

    /// Feeds a text, as [`Session::feed_text`] does, and learns its words. Returns how many of them the model lacks.
    ///
    /// # Errors
    /// As [`Session::feed_text`]; [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn feed_text(&mut self, text: &str) -> Result<u64> {
        let mut unknown = 0;
        // Kept apart, so that the session may be fed between two tokens.
        let tokens: Vec<Token<'_>> = self.session.model().vocabulary().tokens(text).collect();
        for token in tokens {
            unknown += u64::from(token.id.is_none());
            self.feed(token)?;
        }
        Ok(unknown)
    }

    /// Feeds a token of a text and learns it, if it is a word.
    ///
    /// # Errors
    /// As [`feed_text`](Self::feed_text).
    pub fn feed(&mut self, token: Token<'_>) -> Result<()> {
        let id = self.session.model().vocabulary().resolve(token)?;
        self.learn(&self.text_of(token.text, token.id), token.id)?;
        self.session.feed(id)
    }

    /// A token as the user's words have it: without a capital that only the start of a sentence gave.
    fn text_of(&self, text: &str, id: Option<u32>) -> String {
        let mut word = Vec::new();
        let vocabulary = self.session.model().vocabulary();
        let is_raw = vocabulary.unit().case().is_some() && !text.is_empty();
        let known = id.filter(|_| is_raw).and_then(|id| vocabulary.word(id, &mut word));
        known.unwrap_or(text).into()
    }

    fn learn(&mut self, text: &str, id: Option<u32>) -> Result<()> {
        if !text.chars().any(char::is_alphanumeric) {
            // What has no text says how the words beside it are written; a mark, or the end of a line, parts them.
            if !text.is_empty() || id == Some(self.session.model().vocabulary().eos()) {
                self.last = None;
            }
            return Ok(());
        }
        if self.learns {
            let known = id.filter(|&id| !self.session.model().vocabulary().is_special(id));
            let by_model = match known {
                Some(id) => crate::exponential::exp(self.session.log_probability_of(id)?),
                None => 0.0,
            };
            let last = self.last_place();
            self.personal.follow(last, text, by_model as f32);
            self.personal.count(last, text);
        }
        self.last = Some(text.into());
        Ok(())
    }

    /// Finds the ids of words that have come since.
    fn find_ids(&mut self) {
        if self.moves != self.personal.moves {
            self.moves = self.personal.moves;
            self.ids.clear();
        }
        let vocabulary = self.session.model.borrow().vocabulary();
        let new = self.personal.words.iter().skip(self.ids.len());
        self.ids.extend(new.map(|word| vocabulary.id(&word.text)));
    }

    fn last_place(&self) -> Option<u32> {
        let at = self.personal.search(self.last.as_deref()?).ok()?;
        Some(self.personal.order[at])
    }

    /// The `k` likeliest next words that begin with any of `prefixes`, or of all where there is none, best first, with
    /// their probabilities among these.
    ///
    /// What the session [hides](Session::hide) and what the user blocked is left out, but keeps its share.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn suggest(&mut self, prefixes: &[&str], k: usize) -> Result<Vec<Found>> {
        self.session.log_probabilities(&mut self.probabilities)?;
        pocketlm_kernels::activation::exp(&mut self.probabilities);
        self.find_ids();
        let last = self.last_place();
        let mixture = self.personal.mixture(last);
        self.probabilities.iter_mut().for_each(|p| *p *= mixture.weights[0]);
        let prefixes = if prefixes.is_empty() { &[""] } else { prefixes };
        let model = self.session.model.borrow();
        let ranges = ranges(model.vocabulary(), prefixes);
        // The user's words have the first numbers, by their places; those of the model follow, by their ids.
        let own = self.personal.words.len();
        let mut candidates = vec![Candidate::default(); k.min(own + self.probabilities.len())];
        let mut top = TopK::new(&mut candidates);
        let mut all = 0.0;
        let mut hidden: Vec<u32> = self.session.stream.hidden.clone();
        let begins = |text: &str| prefixes.iter().any(|prefix| text.starts_with(prefix));
        for (place, word) in self.personal.words.iter().enumerate() {
            if !begins(&word.text) {
                continue;
            }
            let [words, pairs] = self.personal.shares(&mixture, last, place as u32);
            let share = mixture.weights[1] * words + mixture.weights[2] * pairs;
            if let Some(id) = self.ids[place] {
                self.probabilities[id as usize] += share;
                hidden.extend((word.kind == Kind::Blocked).then_some(id));
            } else {
                all += f64::from(share);
                if word.may_be_suggested() {
                    top.push_one(Candidate { score: share, id: place as u32 });
                }
            }
        }
        hidden.sort_unstable();
        for range in ranges {
            let block = &mut self.probabilities[range.clone()];
            all += block.iter().map(|&p| f64::from(p)).sum::<f64>();
            mask(block, range.start, &hidden);
            top.push(block, (own + range.start) as u32);
        }
        let mut buffer = Vec::new();
        let found = top.best().iter().map(|best| {
            let place = best.id as usize;
            let known = place.checked_sub(own);
            Found {
                word: match known {
                    None => (*self.personal.words[place].text).into(),
                    Some(id) => {
                        model.vocabulary().word(id as u32, &mut buffer).unwrap_or_default().into()
                    }
                },
                probability: f64::from(best.score) / all,
                is_own: known.is_none(),
            }
        });
        Ok(found.collect())
    }
}

#[cfg(feature = "correct")]
impl<M: Borrow<Model>> PersonalSession<M> {
    /// What `typed` was meant to be, as [`Session::correct_with`]: the words of the user that the model lacks may be, too.
    /// What `speller` gives as [`own`](Speller::own) is not taken.
    ///
    /// # Errors
    /// As [`Session::correct_with`].
    pub fn correct_with(
        &mut self,
        speller: &Speller<'_>,
        typed: &str,
        k: usize,
    ) -> Result<Corrections> {
        self.find_ids();
        let last = self.last_place();
        let mixture = self.personal.mixture(last);
        let words = self.personal.words.iter().enumerate();
        let own =
            words.filter(|(place, word)| self.ids[*place].is_none() && word.may_be_suggested());
        // The model's words keep their probabilities: those of the user are measured against them.
        let probability = |place: usize| {
            let [words, pairs] = self.personal.shares(&mixture, last, place as u32);
            let share = mixture.weights[1] * words + mixture.weights[2] * pairs;
            f64::from(share / mixture.weights[0])
        };
        let own: Vec<(&str, f64)> =
            own.map(|(place, word)| (&*word.text, probability(place))).collect();
        self.session.correct_with(&Speller { own: &own, ..*speller }, typed, k)
    }
}

#[cfg(feature = "raw")]
impl<M: Borrow<Model>> crate::raw::Suggesting for PersonalSession<M> {
    fn find(&mut self, prefixes: &[&str], k: usize) -> Result<Vec<crate::raw::Found>> {
        let found = self.suggest(prefixes, k)?.into_iter();
        let text = |f: Found| crate::raw::Found { text: f.word, probability: f.probability };
        Ok(found.map(text).collect())
    }
}

#[cfg(all(test, feature = "pack"))]
mod tests {
    use super::*;
    use crate::pack::Packer;
    use crate::{CellKind, Configuration, Precision, Unit};

    const WORDS: [&str; 6] = ["<eos>", "<unk>", "the", "then", "see", "we"];

    fn model() -> Model {
        let configuration = Configuration {
            cell: CellKind::Gru,
            embedding: 3,
            hidden: alloc::vec![4],
            cell_projection: 0,
            projection: 0,
            tied: false,
            unit: Unit::Word,
            layer_norm: false,
            mogrifier: 0,
        };
        let types = WORDS.len();
        let mut packer =
            Packer::new(configuration.clone(), &WORDS, "<eos>", Some("<unk>")).unwrap();
        for matrix in configuration.matrices(types) {
            let count = matrix.rows * matrix.columns;
            let weights: Vec<f32> = (0..count).map(|i| (i % 7) as f32 * 0.1 - 0.3).collect();
            packer.matrix(matrix.name, &weights, Precision::F32).unwrap();
        }
        for bias in configuration.biases(types) {
            packer.bias(bias.name, &alloc::vec![0.1; bias.rows]).unwrap();
        }
        Model::from_bytes(packer.finish().unwrap()).unwrap()
    }

    /// Without `<unk>`, which is hidden, and what is seen once: all words there are.
    #[test]
    fn probabilities_of_all_words_sum_to_one() {
        let model = model();
        let mut session = PersonalSession::new(&model, Personal::new());
        session.feed_text("we see Zsuzsi\nwe see Zsuzsi\nwe see").unwrap();
        session.session.hide(&[]);
        let all = session.suggest(&[], 100).unwrap();
        assert_eq!(all.len(), WORDS.len() + 1);
        let sum: f64 = all.iter().map(|found| found.probability).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!(all.iter().any(|found| found.word == "Zsuzsi" && found.is_own));
        let some = session.suggest(&["Zs", "the"], 100).unwrap();
        assert_eq!(some.len(), 3);
        let sum: f64 = some.iter().map(|found| found.probability).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn without_words_of_its_own_it_is_the_model() {
        let model = model();
        let mut session = PersonalSession::new(&model, Personal::new());
        session.set_learning(false);
        session.feed_text("we see the").unwrap();
        let mut plain = Session::new(&model);
        plain.feed_text("we see the").unwrap();
        let found = session.suggest(&[], 3).unwrap();
        for (own, want) in found.iter().zip(plain.suggest(3).unwrap().iter()) {
            assert_eq!(own.word, want.word);
            assert!((own.probability - want.probability).abs() < 1e-6);
        }
        assert_eq!(session.into_personal(), Personal::new());
    }

    #[test]
    fn blocked_words_never_come_and_private_sessions_learn_nothing() {
        let model = model();
        let mut session = PersonalSession::new(&model, Personal::new());
        session.feed_text("Zsuzsi Zsuzsi Zsuzsi").unwrap();
        let before = session.personal().clone();
        session.set_learning(false);
        session.feed_text("secret secret secret").unwrap();
        assert_eq!(*session.personal(), before);
        for word in ["Zsuzsi", "then"] {
            session.personal_mut().block(word);
        }
        for prefixes in [&[][..], &["th"], &["Zs"]] {
            let found = session.suggest(prefixes, 100).unwrap();
            assert!(found.iter().all(|found| found.word != "Zsuzsi" && found.word != "then"));
        }
    }

    #[test]
    fn the_words_of_another_user_may_take_their_place() {
        let model = model();
        let mut session = PersonalSession::new(&model, Personal::new());
        session.feed_text("a b c d e f g a b c d e f g").unwrap();
        session.suggest(&[], 3).unwrap();
        let mut other = Personal::with_capacity(400);
        other.add("the");
        *session.personal_mut() = other;
        for round in 0..100 {
            session.feed_text(["x y the", "z w x", "the the"][round % 3]).unwrap();
            let all = session.suggest(&[], 100).unwrap();
            assert!(all.iter().map(|found| found.probability).sum::<f64>() < 1.0 + 1e-5);
        }
        assert!(session.personal().bytes() <= 400);
    }
}
