//! What a keyboard does with a model: words to tap while a text is typed, slips mended, what was sent learnt.
//!
//! A [`Keyboard`] is given the text before the cursor at every key, however it has changed: typed on, taken back, pasted.
//! It reads only what is new. Around a [`PersonalSession`] it puts what a strip of suggestions asks for: words without
//! marks, completions in the case that is typed, nothing that the user blocked, and a correction only where it is sure.
//! Models of subwords and characters, with the feature `subword`, give whole words, but learn and mend nothing.
//!
//! ```no_run
//! use pocketlm::{Model, keyboard::Keyboard, personal::Personal};
//! let mut keyboard = Keyboard::new(Model::open("keyboard.plm")?, Personal::new())?;
//! let strip = keyboard.strip("see you tom", 3)?;
//! println!("{} {:?}", strip.typed, strip.words); // "tom", and what it may become
//! keyboard.learn("see you tomorrow")?; // when it is sent
//! # Ok::<(), pocketlm::Error>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;

use crate::correct::{Correction, Corrections, Lexicon, Speller, Typing};
use crate::error::Result;
use crate::model::Model;
use crate::personal::{Personal, PersonalSession, Position};
use crate::raw::{begins_sentence, is_capitalised};
#[cfg(feature = "subword")]
use crate::subword::words::{Place, WordSearch};
use crate::text::Token;
use crate::vocabulary::Vocabulary;

/// Probability above which a correction is made: that at which one right word of two hundred breaks
/// (`docs/correction.md`).
pub const SURE: f64 = 0.75;

/// Letters of the shortest form that is corrected: on shorter ones nothing was measured, and many words begin with them.
const SHORTEST: usize = 3;

/// Probability above which what may have been meant is a word to tap.
const LIKELY: f64 = 0.02;

/// The last 600 to 1,200 bytes of a text are read.
const WINDOW: usize = 600;

/// Suggestions that are looked at beyond those asked for: some are marks, or blocked.
const MORE: usize = 16;

/// A word to tap.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The word as it is written at this place.
    pub word: String,
    /// Its probability: of all words, or of those that begin with what is typed; of a correction, that it was meant.
    pub probability: f64,
    /// Whether it is a word of the user that the model lacks.
    pub is_own: bool,
}

/// What a keyboard shows above its keys.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Strip {
    /// The beginning of the word that is being typed: a tapped word takes its place.
    pub typed: String,
    /// Words to tap: the correction, completions, then what else may have been meant; of each the best first.
    pub words: Vec<Offer>,
    /// What a typed form of three letters or more was meant to be, where that is [sure](SURE): a space puts it in its place.
    pub correction: Option<Correction>,
}

/// A model, its user's words, and the text that is being typed.
#[derive(Debug)]
pub struct Keyboard<M> {
    session: PersonalSession<M>,
    typing: Typing,
    lexicon: Option<Lexicon>,
    learns: bool,
    #[cfg(feature = "subword")]
    search: Option<WordSearch>,
    /// The tokens that the session has been fed.
    read: Vec<Read>,
}

/// A token that was fed.
#[derive(Debug)]
struct Read {
    text: String,
    id: Option<u32>,
    after: Position,
}

impl<M: Borrow<Model>> Keyboard<M> {
    /// A keyboard with nothing typed.
    ///
    /// # Errors
    /// As [`WordSearch::new`](crate::subword::words::WordSearch::new), for models of parts of words.
    pub fn new(model: M, personal: Personal) -> Result<Self> {
        #[cfg(feature = "subword")]
        let search = {
            let model = model.borrow();
            let is_parts = !is_of_words(model.vocabulary().unit());
            is_parts.then(|| WordSearch::new(model)).transpose()?
        };
        let mut session = PersonalSession::new(model, personal);
        session.set_learning(false);
        Ok(Self {
            session,
            typing: Typing::default(),
            lexicon: None,
            learns: true,
            #[cfg(feature = "subword")]
            search,
            read: Vec::new(),
        })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.session.model()
    }

    /// The user's words.
    #[must_use]
    pub fn personal(&self) -> &Personal {
        self.session.personal()
    }

    /// The user's words, to add some, let them be suggested again, or replace all.
    pub fn personal_mut(&mut self) -> &mut Personal {
        self.session.personal_mut()
    }

    /// The words of the user that may be suggested and that the model lacks, by their bytes.
    pub fn own_words(&self) -> impl Iterator<Item = &str> {
        let vocabulary = self.model().vocabulary();
        self.personal().own_words().filter(|word| vocabulary.id(word).is_none())
    }

    /// Says what slips this typist makes, and on which keys.
    pub fn set_typing(&mut self, typing: Typing) {
        self.typing = typing;
    }

    /// Gives words beside those of the model, made for it: they are right, and slips are mended to them.
    pub fn set_lexicon(&mut self, lexicon: Lexicon) {
        self.lexicon = Some(lexicon);
    }

    /// Whether [`learn`](Self::learn) learns: not in a private text.
    pub fn set_learning(&mut self, learns: bool) {
        self.learns = learns;
    }

    /// The strip of up to `k` words after `text`, which is all that stands before the cursor.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) if the model's numbers overflow.
    pub fn strip(&mut self, text: &str, k: usize) -> Result<Strip> {
        let text = window(text);
        #[cfg(feature = "subword")]
        if self.search.is_some() {
            return self.strip_by_search(text, k);
        }
        let (context, typed) = self.model().vocabulary().split_typed(text);
        self.read(context)?;
        let meant = self.meant(typed, k)?;
        let mut words = self.completions(context, typed, k)?;
        let is_sure = meant.confidence() > SURE && typed.chars().count() >= SHORTEST;
        let correction = meant.words.first().filter(|_| is_sure).cloned();
        if let Some(Correction { word, probability }) = &correction {
            words.retain(|offer| offer.word != *word);
            let is_own = self.is_own(word);
            words.insert(0, Offer { word: word.clone(), probability: *probability, is_own });
        }
        for Correction { word, probability } in meant.words {
            if probability > LIKELY && words.iter().all(|offer| offer.word != word) {
                words.push(Offer { is_own: self.is_own(&word), word, probability });
            }
        }
        words.truncate(k);
        Ok(Strip { typed: typed.into(), words, correction })
    }

    /// Learns a text that is done, unless learning is off, and begins a new one.
    ///
    /// # Errors
    /// As [`strip`](Self::strip).
    pub fn learn(&mut self, text: &str) -> Result<()> {
        self.read.clear();
        self.session.reset();
        if !self.learns {
            return Ok(());
        }
        self.session.set_learning(true);
        let line = alloc::format!("{}\n", text.trim_end());
        let fed = self.tokens(&line).into_iter().try_for_each(|token| self.session.feed(token));
        self.session.set_learning(false);
        self.session.reset();
        fed
    }

    /// Never offers a word from now on, as it is shown or as the model has it within a sentence. Returns whether it can be
    /// a word.
    pub fn block(&mut self, word: &str) -> bool {
        let small = small(word).filter(|small| self.model().vocabulary().id(small).is_some());
        let word = small.unwrap_or_else(|| word.into());
        self.personal_mut().block(&word)
    }

    /// Forgets a word of the user, as it is shown or without the capital of a sentence's beginning. Returns whether it was
    /// known.
    pub fn forget(&mut self, word: &str) -> bool {
        let small = small(word);
        let personal = self.personal_mut();
        personal.forget(word) || small.is_some_and(|small| personal.forget(&small))
    }

    /// The tokens of a text that can be fed: not words without an id, where nothing stands for them.
    fn tokens<'t>(&self, text: &'t str) -> Vec<Token<'t>> {
        let vocabulary = self.model().vocabulary();
        vocabulary.tokens(text).filter(|&token| vocabulary.resolve(token).is_ok()).collect()
    }

    /// Has the session be after `context`: goes back to where this parts from what was read, and reads on.
    fn read(&mut self, context: &str) -> Result<()> {
        let tokens = self.tokens(context);
        let both = self.read.iter().zip(&tokens);
        let common = both.take_while(|(read, token)| read.is(token)).count();
        if common < self.read.len() {
            self.read.truncate(common);
            match self.read.last() {
                Some(last) => self.session.set_position(&last.after)?,
                None => self.session.reset(),
            }
        }
        for token in &tokens[common..] {
            self.session.feed(*token)?;
            let after = self.session.position();
            self.read.push(Read { text: token.text.into(), id: token.id, after });
        }
        Ok(())
    }

    fn completions(&mut self, context: &str, typed: &str, k: usize) -> Result<Vec<Offer>> {
        let most = k.saturating_add(MORE);
        let found: Vec<(String, f64)> = match self.model().vocabulary().unit().case() {
            Some(case) => {
                let starts = begins_sentence(context);
                let found = crate::raw::suggest(&mut self.session, case, starts, typed, most)?;
                found.into_iter().map(|found| (found.text, found.probability)).collect()
            }
            None => {
                let found = self.session.suggest(&[typed], most)?;
                found.into_iter().map(|found| (found.word, found.probability)).collect()
            }
        };
        Ok(self.offers(found.into_iter(), typed, k))
    }

    /// The first `k` words that may be offered.
    fn offers(
        &self,
        found: impl Iterator<Item = (String, f64)>,
        typed: &str,
        k: usize,
    ) -> Vec<Offer> {
        let is_word = |word: &str| word != typed && word.chars().any(char::is_alphanumeric);
        found
            .filter(|(word, _)| is_word(word) && !self.is_blocked(word))
            .take(k)
            .map(|(word, probability)| Offer { is_own: self.is_own(&word), word, probability })
            .collect()
    }

    /// What the typed form may have been meant to be; only itself if it is a word of the user.
    fn meant(&mut self, typed: &str, k: usize) -> Result<Corrections> {
        let is_word = |char: char| char.is_alphabetic() || matches!(char, '\'' | '’');
        let is_typed = typed.chars().any(char::is_alphabetic) && typed.chars().all(is_word);
        if !is_typed || self.is_own(typed) || self.is_blocked(typed) {
            return Ok(Corrections { words: Vec::new(), as_typed: 1.0 });
        }
        let (typing, lexicon) = (&self.typing, self.lexicon.as_ref());
        let speller = Speller { typing, lexicon, own: &[] };
        let mut found = self.session.correct_with(&speller, typed, k.max(1))?;
        found.words.retain(|meant| !self.is_blocked(&meant.word));
        Ok(found)
    }

    fn is_blocked(&self, word: &str) -> bool {
        let personal = self.personal();
        personal.is_blocked(word) || small(word).is_some_and(|small| personal.is_blocked(&small))
    }

    /// Whether the user has the word, and the model lacks it.
    fn is_own(&self, word: &str) -> bool {
        let has = |vocabulary: &Vocabulary, word: &str| vocabulary.id(word).is_some();
        let is_own = |word: &str| {
            self.personal().may_be_suggested(word) && !has(self.model().vocabulary(), word)
        };
        is_own(word) || small(word).is_some_and(|small| is_own(&small))
    }
}

#[cfg(feature = "subword")]
impl<M: Borrow<Model>> Keyboard<M> {
    /// The strip of a model of subwords or characters: whole words by a search, without corrections.
    fn strip_by_search(&mut self, text: &str, k: usize) -> Result<Strip> {
        let (context, place) = Place::within(self.model().vocabulary(), text);
        self.read(context)?;
        let Some(search) = &mut self.search else { return Ok(Strip::default()) };
        let found =
            search.suggest(&mut self.session.session, &place, k.saturating_add(MORE / 4))?;
        let typed = place.typed.trim_start();
        let found = found.found.into_iter().map(|found| (found.word, found.probability));
        let words = self.offers(found, typed, k);
        Ok(Strip { typed: typed.into(), words, correction: None })
    }
}

impl Read {
    fn is(&self, token: &Token<'_>) -> bool {
        self.id == token.id && self.text == token.text
    }
}

#[cfg(feature = "subword")]
fn is_of_words(unit: crate::Unit) -> bool {
    unit == crate::Unit::Word || unit.case().is_some()
}

/// A word without its only capital, the first letter.
fn small(word: &str) -> Option<String> {
    is_capitalised(word).then(|| word.to_lowercase())
}

/// The end of a text, from a word's beginning that stays the same for many keys.
fn window(text: &str) -> &str {
    let start = (text.len() / WINDOW).saturating_sub(1) * WINDOW;
    let tail = &text[text.ceil_char_boundary(start)..];
    let space = if start == 0 { None } else { tail.find(char::is_whitespace) };
    space.map_or(tail, |space| tail[space..].trim_start())
}

#[cfg(all(test, feature = "pack"))]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;
    use crate::pack::Packer;
    use crate::{CellKind, Configuration, Precision, Unit};

    /// Words of the model; `<eos>` and the other marks of raw text before them.
    const WORDS: [&str; 13] = [
        "<eos>", "<join>", "<lower>", "<unk>", ",", ".", "I", "Paris", "see", "the", "then", "we",
        "you",
    ];

    fn model(unit: Unit) -> Model {
        let configuration = Configuration {
            cell: CellKind::Gru,
            embedding: 3,
            hidden: alloc::vec![4],
            cell_projection: 0,
            projection: 0,
            tied: false,
            unit,
            layer_norm: false,
            mogrifier: 0,
        };
        let types = WORDS.len();
        let mut packer =
            Packer::new(configuration.clone(), &WORDS, "<eos>", Some("<unk>")).unwrap();
        for matrix in configuration.matrices(types) {
            let count = matrix.rows * matrix.columns;
            let weights: Vec<f32> = (0..count).map(|i| (i * i % 11) as f32 * 0.2 - 1.0).collect();
            packer.matrix(matrix.name, &weights, Precision::Int8).unwrap();
        }
        for bias in configuration.biases(types) {
            let mut values = alloc::vec![0.1; bias.rows];
            if bias.rows == types {
                // Unknown words are rare, or no slip would be one.
                values[3] = -6.0;
            }
            packer.bias(bias.name, &values).unwrap();
        }
        Model::from_bytes(packer.finish().unwrap()).unwrap()
    }

    fn keyboard(unit: Unit) -> Keyboard<Model> {
        Keyboard::new(model(unit), Personal::new()).unwrap()
    }

    fn words(keyboard: &mut Keyboard<Model>, text: &str) -> Vec<String> {
        keyboard.strip(text, 20).unwrap().words.into_iter().map(|offer| offer.word).collect()
    }

    fn has(keyboard: &mut Keyboard<Model>, text: &str, word: &str) -> bool {
        words(keyboard, text).iter().any(|found| found == word)
    }

    #[test]
    fn words_are_offered_as_they_are_written_there() {
        let mut raw = keyboard(Unit::Raw);
        assert_eq!(words(&mut raw, "We see pa"), ["Paris"]);
        assert!(has(&mut raw, "", "The") && has(&mut raw, "See ", "the"));
        let all = words(&mut raw, "we ");
        assert!(all.iter().all(|word| word.chars().any(char::is_alphabetic)), "{all:?}");
        let strip = raw.strip("we see the", 3).unwrap();
        assert_eq!((&*strip.typed, &*strip.words[0].word), ("the", "then"));
    }

    #[test]
    fn what_was_sent_twice_is_offered_until_it_is_forgotten() {
        for unit in [Unit::Raw, Unit::Word] {
            let mut keyboard = keyboard(unit);
            keyboard.set_learning(false);
            keyboard.learn("see Zsuzsi , see Zsuzsi").unwrap();
            assert!(!has(&mut keyboard, "see Zs", "Zsuzsi"));
            keyboard.set_learning(true);
            keyboard.learn("see Zsuzsi , see Zsuzsi").unwrap();
            let strip = keyboard.strip("see Zs", 3).unwrap();
            assert!(strip.words[0].word == "Zsuzsi" && strip.words[0].is_own);
            assert_eq!(keyboard.own_words().collect::<Vec<_>>(), ["Zsuzsi"]);
            assert!(keyboard.forget("Zsuzsi") && !has(&mut keyboard, "see Zs", "Zsuzsi"));
        }
    }

    #[test]
    fn blocked_words_are_offered_in_no_case() {
        let mut keyboard = keyboard(Unit::Raw);
        assert!(has(&mut keyboard, "", "The") && keyboard.block("The"));
        assert!(!has(&mut keyboard, "", "The") && !has(&mut keyboard, "see ", "the"));
        assert!(keyboard.personal_mut().unblock("the") && has(&mut keyboard, "", "The"));
    }

    #[test]
    fn slips_are_mended_but_not_the_users_words() {
        let mut keyboard = keyboard(Unit::Raw);
        let correction = |keyboard: &mut Keyboard<Model>, text: &str| {
            keyboard.strip(text, 3).unwrap().correction.map(|found| found.word)
        };
        assert_eq!(correction(&mut keyboard, "we see teh").as_deref(), Some("the"));
        assert_eq!(correction(&mut keyboard, "Teh").as_deref(), Some("The"));
        assert_eq!(correction(&mut keyboard, "we see the"), None);
        assert_eq!(correction(&mut keyboard, "we see 10"), None);
        assert!(keyboard.personal_mut().add("teh"));
        assert_eq!(correction(&mut keyboard, "we see teh"), None);
        assert!(keyboard.forget("teh") && keyboard.block("the"));
        assert_eq!(correction(&mut keyboard, "we see teh"), None);
    }

    #[test]
    fn slips_are_mended_to_the_users_words() {
        let mut keyboard = keyboard(Unit::Raw);
        let correction = |keyboard: &mut Keyboard<Model>, text: &str| {
            keyboard.strip(text, 3).unwrap().correction.map(|found| found.word)
        };
        assert_eq!(correction(&mut keyboard, "we see Gergo"), None);
        for word in ["Gergő", "Zsuzsi"] {
            assert!(keyboard.personal_mut().add(word));
        }
        assert_eq!(correction(&mut keyboard, "we see Gergo").as_deref(), Some("Gergő"));
        assert_eq!(correction(&mut keyboard, "we see Zsuzis").as_deref(), Some("Zsuzsi"));
        assert_eq!(correction(&mut keyboard, "we see teh").as_deref(), Some("the"));
        assert_eq!(correction(&mut keyboard, "we see Gergő"), None);
        let strip = keyboard.strip("we see Gergo", 3).unwrap();
        assert!(strip.words[0].word == "Gergő" && strip.words[0].is_own);
        assert!(keyboard.personal_mut().block("Gergő"));
        assert_eq!(correction(&mut keyboard, "we see Gergo"), None);
    }

    #[test]
    fn a_long_text_is_read_from_a_word_on() {
        let text = "the then ".repeat(400);
        let end = window(&text);
        assert!(text.ends_with(end) && (WINDOW / 2..=2 * WINDOW).contains(&end.len()));
        assert!(end.starts_with("the"));
        assert_eq!(window(&"é".repeat(900)).len(), WINDOW);
        let mut keyboard = keyboard(Unit::Word);
        keyboard.strip(&text, 3).unwrap();
        assert!(keyboard.read.len() < WINDOW);
    }

    proptest! {
        /// However a text came about, its strip is that of the text alone.
        #[test]
        fn only_the_text_counts(edits in prop::collection::vec(("[a-z ,.\n]{0,6}|the |Paris", 0..9usize), 1..12)) {
            let (mut used, mut text) = (keyboard(Unit::Raw), String::new());
            for (more, back) in edits {
                text.truncate(text.len().saturating_sub(back));
                text.push_str(&more);
                let fresh = keyboard(Unit::Raw).strip(&text, 5).unwrap();
                prop_assert_eq!(used.strip(&text, 5).unwrap(), fresh, "{}", format!("{text:?}"));
            }
        }
    }
}
