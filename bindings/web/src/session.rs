//! Sessions: what is fed, suggested, corrected and scored.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt::Display;

use pocketlm::{Model, Session};

use crate::model::Handle;
use crate::reply::{end, line, write};
use crate::text;

type Inner = Session<Arc<Model>>;

/// A session at the beginning of a text.
///
/// # Safety
/// `model` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_open(model: *const Handle) -> *mut Inner {
    // SAFETY: the caller keeps the contract above.
    Box::into_raw(Box::new(Session::new(Arc::clone(unsafe { &*model }))))
}

/// Closes a session.
///
/// # Safety
/// `session` is open, and no call uses the handle again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_close(session: *mut Inner) {
    // SAFETY: the caller keeps the contract above; the handle is of `session_open`.
    drop(unsafe { Box::from_raw(session) });
}

/// Goes back to the beginning of a text.
///
/// # Safety
/// `session` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_reset(session: *mut Inner) {
    // SAFETY: the caller keeps the contract above.
    unsafe { &mut *session }.reset();
}

/// Does a call with a text.
///
/// # Safety
/// `session` is open; the text is in a room.
unsafe fn with(
    session: *mut Inner,
    start: *const u8,
    length: usize,
    work: impl FnOnce(&mut Inner, &str) -> pocketlm::Result<i32>,
) -> i32 {
    // SAFETY: the caller keeps the contract above.
    let (session, text) = unsafe { (&mut *session, text(start, length)) };
    let message = |error: &dyn Display| error.to_string();
    end(text
        .map_err(|error| message(&error))
        .and_then(|text| work(session, text).map_err(|error| message(&error))))
}

/// Feeds a text; returns how many of its words the model lacks.
///
/// # Safety
/// `session` is open; the text is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_feed(session: *mut Inner, start: *const u8, length: usize) -> i32 {
    let count = |unknown: u64| i32::try_from(unknown).unwrap_or(i32::MAX);
    // SAFETY: the caller keeps the contract above.
    unsafe { with(session, start, length, |session, text| session.feed_text(text).map(count)) }
}

/// Replies with the `k` likeliest words that begin with a prefix: probability and word.
///
/// # Safety
/// `session` is open; the prefix is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_suggest(
    session: *mut Inner,
    start: *const u8,
    length: usize,
    k: usize,
) -> i32 {
    let suggest = |session: &mut Inner, prefix: &str| {
        let found = if prefix.is_empty() {
            session.suggest(k)?
        } else {
            session.suggest_prefix(prefix, k)?
        };
        write(|reply| found.iter().for_each(|f| line(reply, &[&f.probability, &f.word])));
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(session, start, length, suggest) }
}

/// Completes a text from its beginning; replies as [`session_suggest`].
///
/// # Safety
/// `session` is open; the text is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_complete(
    session: *mut Inner,
    start: *const u8,
    length: usize,
    k: usize,
) -> i32 {
    let complete = |session: &mut Inner, text: &str| {
        let mut lines = String::new();
        session.complete(text, k, |word, p| line(&mut lines, &[&p, &word]))?;
        write(|reply| *reply = lines);
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(session, start, length, complete) }
}

/// Replies with what a typed word may have been meant to be: the probability that it was meant as it is, then
/// probability and word of `k` others.
///
/// # Safety
/// `session` is open; the word is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_correct(
    session: *mut Inner,
    start: *const u8,
    length: usize,
    k: usize,
) -> i32 {
    let correct = |session: &mut Inner, typed: &str| {
        let found = session.correct(typed, k)?;
        write(|reply| {
            line(reply, &[&found.as_typed]);
            found.words.iter().for_each(|c| line(reply, &[&c.probability, &c.word]));
        });
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(session, start, length, correct) }
}

/// Replies with tokens, unknown tokens and negative log-likelihood in nats of a whole text.
///
/// # Safety
/// `session` is open; the text is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_score(
    session: *mut Inner,
    start: *const u8,
    length: usize,
) -> i32 {
    let score = |session: &mut Inner, text: &str| {
        let score = session.score(text)?;
        write(|reply| line(reply, &[&score.tokens, &score.oov, &score.nll]));
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(session, start, length, score) }
}

/// Replies with the log-probability in nats that a word comes next.
///
/// # Safety
/// `session` is open; the word is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn session_log_probability(
    session: *mut Inner,
    start: *const u8,
    length: usize,
) -> i32 {
    let look = |session: &mut Inner, word: &str| {
        let value = session.log_probability(word)?;
        write(|reply| *reply = format!("{value}"));
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(session, start, length, look) }
}
