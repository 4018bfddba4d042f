//! Sessions: what is fed, suggested and scored.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, TryLockError};

use pocketlm::{Model, Score, Session, Token};

use crate::model::{POCKETLM_NO_ID, pocketlm_model};
use crate::status::{Fault, call, pocketlm_status};
use crate::text::{at, list, place, room, text};

type Inner = Session<Arc<Model>>;

/// A model in use: one text, from its beginning to where it has got.
#[derive(Debug)]
pub struct pocketlm_session {
    session: Mutex<Inner>,
}

/// Does the work of a call with a session.
///
/// # Safety
/// `session` is null or open.
unsafe fn with(
    session: *const pocketlm_session,
    work: impl FnOnce(&mut Inner) -> Result<(), Fault>,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let lock = unsafe { at(session, "session")? }.session.try_lock();
        match lock {
            Ok(mut session) => work(&mut session),
            Err(TryLockError::WouldBlock) => Err(Fault::Busy),
            Err(TryLockError::Poisoned(_)) => Err(Fault::Poisoned),
        }
    })
}

/// Makes a session of `model` at the beginning of a text, with all memory that it will need.
///
/// # Safety
/// `model` is null or open; `session` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_session_new(
    model: *const pocketlm_model,
    session: *mut *mut pocketlm_session,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let place = unsafe { place(session, "session")? };
        *place = ptr::null_mut();
        // SAFETY: as above.
        let model = unsafe { at(model, "model")? };
        let session = Mutex::new(Session::new(Arc::clone(&model.model)));
        *place = Box::into_raw(Box::new(pocketlm_session { session }));
        Ok(())
    })
}

/// Closes a session and sets the handle to null, so that what uses it again is told. A session that is null already
/// stays so; one that another thread is in a call of stays open, and the status is POCKETLM_BUSY.
///
/// # Safety
/// `session` is null or points to a handle that is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_session_close(
    session: *mut *mut pocketlm_session,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let handle = unsafe { place(session, "session")? };
        // SAFETY: an open handle points to a session.
        if let Some(open) = unsafe { handle.as_ref() } {
            if matches!(open.session.try_lock(), Err(TryLockError::WouldBlock)) {
                return Err(Fault::Busy);
            }
            // SAFETY: an open handle comes from `Box::into_raw`, and nobody uses it.
            drop(unsafe { Box::from_raw(std::mem::replace(handle, ptr::null_mut())) });
        }
        Ok(())
    })
}

/// Goes back to the beginning of a text.
///
/// # Safety
/// `session` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_reset(session: *mut pocketlm_session) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            session.reset();
            Ok(())
        })
    }
}

/// Feeds words by their ids. If one of them is none, nothing is fed.
///
/// # Safety
/// `session` is null or open; `ids` is null or points to `count` ids.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_feed(
    session: *mut pocketlm_session,
    ids: *const u32,
    count: usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let ids = list(ids, count, "ids")?;
            check(session, ids)?;
            Ok(ids.iter().try_for_each(|&id| session.feed(id))?)
        })
    }
}

/// Refuses ids that the vocabulary lacks.
fn check(session: &Inner, ids: &[u32]) -> Result<(), Fault> {
    let types = session.model().vocabulary().len();
    match ids.iter().find(|&&id| id as usize >= types) {
        Some(&token) => Err(pocketlm::Error::Token { token, types }.into()),
        None => Ok(()),
    }
}

/// Feeds a text; a line feed ends a sentence. `unknown`, unless it is null, becomes the number of its words that the
/// vocabulary lacks and that were fed as `<unk>`.
///
/// # Safety
/// `session` is null or open; `text` is null or points to `length` bytes, or to a text that ends in NUL if `length` is
/// POCKETLM_NUL; `unknown` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_feed_text(
    session: *mut pocketlm_session,
    text: *const c_char,
    length: usize,
    unknown: *mut u64,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let found = session.feed_text(crate::text::text(text, length)?)?;
            if let Some(unknown) = unknown.as_mut() {
                *unknown = found;
            }
            Ok(())
        })
    }
}

/// A suggested word.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pocketlm_suggestion {
    /// The word in the caller's memory, with a NUL at its end.
    pub word: *const c_char,
    /// Its bytes without the NUL.
    pub length: usize,
    /// Its probability: of all words, or of those that start with what is typed.
    pub probability: f64,
    /// Its id, or POCKETLM_NO_ID where no word of the vocabulary is written so.
    pub id: u32,
}

/// Suggested words, best first, and the memory that they are written into.
#[repr(C)]
#[derive(Debug)]
pub struct pocketlm_suggestions {
    /// Room for the suggestions.
    pub items: *mut pocketlm_suggestion,
    /// How many are asked for: no more than `items` has room for.
    pub capacity: usize,
    /// Room for the words.
    pub text: *mut c_char,
    /// Bytes of that room. `capacity` times `word_bytes` of the limits is always enough.
    pub text_size: usize,
    /// Written: how many suggestions there are.
    pub count: usize,
    /// Written: bytes that the words take.
    pub text_used: usize,
}

/// Writes suggestions.
struct Writer<'a> {
    items: &'a mut [pocketlm_suggestion],
    text: &'a mut [u8],
    count: usize,
    used: usize,
}

impl<'a> Writer<'a> {
    /// # Safety
    /// The memory that `to` speaks of is there.
    unsafe fn new(to: &pocketlm_suggestions) -> Result<Self, Fault> {
        // SAFETY: the caller vouches for it.
        let (items, text) = unsafe {
            (
                room(to.items, to.capacity, "the room for suggestions")?,
                room(to.text.cast::<u8>(), to.text_size, "the room for words")?,
            )
        };
        Ok(Self { items, text, count: 0, used: 0 })
    }

    fn push(&mut self, word: &str, probability: f64, id: Option<u32>) {
        let Some(item) = self.items.get_mut(self.count) else { return };
        self.count += 1;
        let start = self.used;
        self.used += word.len() + 1;
        if let Some(place) = self.text.get_mut(start..self.used) {
            place[..word.len()].copy_from_slice(word.as_bytes());
            place[word.len()] = 0;
            *item = pocketlm_suggestion {
                word: place.as_ptr().cast(),
                length: word.len(),
                probability,
                id: id.unwrap_or(POCKETLM_NO_ID),
            };
        }
    }

    /// Looks up the ids of the words that were written.
    fn identify(&mut self, model: &Model) {
        let mut at = 0;
        let words = if self.used > self.text.len() { 0 } else { self.count };
        for item in &mut self.items[..words] {
            let word = std::str::from_utf8(&self.text[at..][..item.length]).unwrap_or_default();
            item.id = model.vocabulary().id(word).unwrap_or(POCKETLM_NO_ID);
            at += item.length + 1;
        }
    }

    /// Tells how many there are; an error if the words did not fit.
    fn end(self, found: &mut pocketlm_suggestions) -> Result<(), Fault> {
        let (given, needed) = (self.text.len(), self.used);
        (found.count, found.text_used) = (self.count, needed);
        if needed > given { Err(Fault::Space { given, needed }) } else { Ok(()) }
    }
}

/// The likeliest words to come after what was fed: of all, or of those that start with `prefix` if it is not empty. Words
/// are spelt as the vocabulary has them.
///
/// # Safety
/// `session` is null or open; `prefix` is null or points to `length` bytes, or to a text that ends in NUL if `length` is
/// POCKETLM_NUL; `found` is null or speaks of memory that is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_suggest(
    session: *mut pocketlm_session,
    prefix: *const c_char,
    length: usize,
    found: *mut pocketlm_suggestions,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let found = place(found, "found")?;
            let mut writer = Writer::new(found)?;
            let prefix = text(prefix, length)?;
            let all = if prefix.is_empty() {
                session.suggest(found.capacity)?
            } else {
                session.suggest_prefix(prefix, found.capacity)?
            };
            all.iter().for_each(|one| writer.push(one.word, one.probability, Some(one.id)));
            writer.end(found)
        })
    }
}

/// Completes a text from its beginning, whose last word is being typed; a text that ends in a space asks for the next
/// word. The session goes back to the beginning and is fed the text up to that word. Words of raw text come as they are
/// written at this place: a typed `pa` may become `Paris`, and what begins a sentence has a capital.
///
/// # Safety
/// As `pocketlm_suggest`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_complete(
    session: *mut pocketlm_session,
    text: *const c_char,
    length: usize,
    found: *mut pocketlm_suggestions,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let found = place(found, "found")?;
            let mut writer = Writer::new(found)?;
            let text = crate::text::text(text, length)?;
            session.complete(text, found.capacity, |word, p| writer.push(word, p, None))?;
            writer.identify(session.model());
            writer.end(found)
        })
    }
}

/// Says which words are never suggested, in place of `<eos>`, `<unk>`, `<s>` and `</s>`, which have to be in the list to
/// stay hidden. They keep their share of the probability. Allocates.
///
/// # Safety
/// `session` is null or open; `ids` is null or points to `count` ids.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_hide(
    session: *mut pocketlm_session,
    ids: *const u32,
    count: usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let ids = list(ids, count, "ids")?;
            check(session, ids)?;
            session.hide(ids);
            Ok(())
        })
    }
}

/// The log-probability in nats that the word `id` comes next.
///
/// # Safety
/// `session` is null or open; `log_probability` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_log_probability(
    session: *mut pocketlm_session,
    id: u32,
    log_probability: *mut f64,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            *place(log_probability, "log_probability")? = session.log_probability_of(id)?;
            Ok(())
        })
    }
}

/// The log-probabilities in nats that each word comes next, in the order of their ids. `count` is the room at `out` and
/// becomes the number of words.
///
/// # Safety
/// `session` is null or open; `out` is null or has room for `*count` numbers; `count` is null or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_log_probabilities(
    session: *mut pocketlm_session,
    out: *mut f32,
    count: *mut usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let out = fitting(out, count, session.model().vocabulary().len())?;
            Ok(session.log_probabilities(out)?)
        })
    }
}

/// Room for `needed` items at `out`, of which `count` are there. `count` becomes `needed`.
///
/// # Safety
/// `count` is null or points to a number; `out` is null or has room for so many items.
unsafe fn fitting<'a, T>(
    out: *mut T,
    count: *mut usize,
    needed: usize,
) -> Result<&'a mut [T], Fault> {
    // SAFETY: the caller vouches for both.
    let given = std::mem::replace(unsafe { place(count, "the count")? }, needed);
    // SAFETY: as above.
    let room = unsafe { room(out, given, "the buffer")? };
    room.get_mut(..needed).ok_or(Fault::Space { given, needed })
}

/// How likely a text is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pocketlm_text_score {
    /// Log-probability of the whole text, in nats.
    pub log_probability: f64,
    /// exp of the mean negative log-probability of a token; NaN if there is none.
    pub perplexity: f64,
    /// Tokens, each `<eos>` included.
    pub tokens: u64,
    /// Of these, how many the vocabulary lacks; they were scored as `<unk>`.
    pub unknown: u64,
}

/// How likely one token of a text is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pocketlm_token_score {
    /// Its log-probability in nats.
    pub log_probability: f64,
    /// Where it begins in the text, in bytes.
    pub start: usize,
    /// Its bytes there; 0 for an `<eos>`, and for what raw text only implies.
    pub length: usize,
    /// Its id, or POCKETLM_NO_ID if the vocabulary lacks it.
    pub id: u32,
}

/// The log-probability of a text from its beginning, with the `<eos>` at its end, whatever the session was fed; it stays
/// where it is. If `tokens` is not null, it gets the scores of the tokens: `count` is the room there and becomes the
/// number of tokens.
///
/// # Safety
/// `session` is null or open; `text` is null or points to `length` bytes, or to a text that ends in NUL if `length` is
/// POCKETLM_NUL; `score` is null or a place to write to; `tokens` is null or has room for `*count` scores.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_score(
    session: *mut pocketlm_session,
    text: *const c_char,
    length: usize,
    score: *mut pocketlm_text_score,
    tokens: *mut pocketlm_token_score,
    count: *mut usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            scored(text, length, (score, tokens, count), |text, each| {
                session.score_each(text, each)
            })
        })
    }
}

/// The same of a text that comes after what the session was fed, without an `<eos>` at its end. The session stays where
/// it is: feed the text to go on after it.
///
/// # Safety
/// As `pocketlm_score`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_score_next(
    session: *mut pocketlm_session,
    text: *const c_char,
    length: usize,
    score: *mut pocketlm_text_score,
    tokens: *mut pocketlm_token_score,
    count: *mut usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            scored(text, length, (score, tokens, count), |text, each| {
                session.score_next_each(text, each)
            })
        })
    }
}

/// Scores a text by `work` and writes the score, and those of the tokens where they are asked for.
///
/// # Safety
/// As `pocketlm_score`.
unsafe fn scored(
    text: *const c_char,
    length: usize,
    (score, tokens, count): (*mut pocketlm_text_score, *mut pocketlm_token_score, *mut usize),
    work: impl FnOnce(&str, &mut dyn FnMut(Token<'_>, f64)) -> pocketlm::Result<Score>,
) -> Result<(), Fault> {
    // SAFETY: the caller vouches for all of them.
    let (text, score) = unsafe { (crate::text::text(text, length)?, place(score, "score")?) };
    let mut out: &mut [pocketlm_token_score] = &mut [];
    let mut counted = None;
    if !tokens.is_null() {
        // SAFETY: as above.
        unsafe {
            let count = place(count, "count")?;
            out = room(tokens, *count, "tokens")?;
            counted = Some(count);
        }
    }
    let (mut at, mut end) = (0, 0);
    let found = work(text, &mut |token, log_probability| {
        // What no stretch of the text stands for is where the last one ended.
        let start = token.text.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        let start = if token.text.is_empty() { end } else { start };
        end = start + token.text.len();
        if let Some(place) = out.get_mut(at) {
            let (id, length) = (token.id.unwrap_or(POCKETLM_NO_ID), token.text.len());
            *place = pocketlm_token_score { log_probability, start, length, id };
        }
        at += 1;
    })?;
    *score = pocketlm_text_score {
        log_probability: -found.nll,
        perplexity: found.perplexity(),
        tokens: found.tokens,
        unknown: found.oov,
    };
    match counted {
        Some(count) => {
            let given = std::mem::replace(count, at);
            if given < at { Err(Fault::Space { given, needed: at }) } else { Ok(()) }
        }
        None => Ok(()),
    }
}

/// Writes where the session has got into `state`, to be restored later or elsewhere. `size` is the room there and becomes
/// the bytes that a state of this model takes.
///
/// # Safety
/// `session` is null or open; `state` is null or has room for `*size` bytes; `size` is null or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_state_save(
    session: *mut pocketlm_session,
    state: *mut c_void,
    size: *mut usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| {
            let out = fitting(state.cast::<u8>(), size, session.model().saved_size())?;
            Ok(session.save(out)?)
        })
    }
}

/// Goes on from a saved state. POCKETLM_STATE if these bytes are none, or one of another model, and the session stays
/// where it was.
///
/// # Safety
/// `session` is null or open; `state` is null or points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_state_restore(
    session: *mut pocketlm_session,
    state: *const c_void,
    size: usize,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe {
        with(session, |session| Ok(session.restore(list(state.cast::<u8>(), size, "state")?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{pocketlm_close, pocketlm_open};
    use crate::status::pocketlm_status::*;

    #[test]
    fn a_session_that_panicked_can_only_be_closed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/open/lstm-int8.plm\0");
        let (mut model, mut session) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: all pointers are to live variables, and each handle is open or null.
        unsafe {
            assert_eq!(pocketlm_open(path.as_ptr().cast(), &mut model), POCKETLM_OK);
            assert_eq!(pocketlm_session_new(model, &mut session), POCKETLM_OK);
            assert_eq!(with(session, |_| panic!("a test of panics")), POCKETLM_FAULT);
            assert_eq!(pocketlm_reset(session), POCKETLM_FAULT);
            assert_eq!(pocketlm_session_close(&mut session), POCKETLM_OK);
            assert_eq!(pocketlm_close(&mut model), POCKETLM_OK);
        }
    }

    #[test]
    fn a_second_thread_is_told() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/open/lstm-int8.plm\0");
        let (mut model, mut session) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as above.
        unsafe {
            assert_eq!(pocketlm_open(path.as_ptr().cast(), &mut model), POCKETLM_OK);
            assert_eq!(pocketlm_session_new(model, &mut session), POCKETLM_OK);
            let held = (*session).session.lock().unwrap();
            assert_eq!(pocketlm_reset(session), POCKETLM_BUSY);
            assert_eq!(pocketlm_session_close(&mut session), POCKETLM_BUSY);
            assert!(!session.is_null());
            drop(held);
            assert_eq!(pocketlm_reset(session), POCKETLM_OK);
            assert_eq!(pocketlm_session_close(&mut session), POCKETLM_OK);
            assert_eq!(pocketlm_close(&mut model), POCKETLM_OK);
        }
    }
}
