//! Keyboards: a model beside its user's words.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use pocketlm::Model;
use pocketlm::correct::{Layout, Typing};
use pocketlm::keyboard::{Keyboard, Strip};
use pocketlm::personal::Personal;

use crate::model::Handle;
use crate::reply::{end, line, tell, write};
use crate::text;

type Inner = Keyboard<Arc<Model>>;

/// A keyboard with nothing typed, of a user without words. 0 if the model cannot be used so.
///
/// # Safety
/// `model` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_open(model: *const Handle) -> *mut Inner {
    // SAFETY: the caller keeps the contract above.
    match Keyboard::new(Arc::clone(unsafe { &*model }), Personal::new()) {
        Ok(keyboard) => Box::into_raw(Box::new(keyboard)),
        Err(error) => {
            tell(&error);
            core::ptr::null_mut()
        }
    }
}

/// Closes a keyboard.
///
/// # Safety
/// `keyboard` is open, and no call uses the handle again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_close(keyboard: *mut Inner) {
    // SAFETY: the caller keeps the contract above; the handle is of `keyboard_open`.
    drop(unsafe { Box::from_raw(keyboard) });
}

/// Does a call with a text.
///
/// # Safety
/// `keyboard` is open; the text is in a room.
unsafe fn with(
    keyboard: *mut Inner,
    start: *const u8,
    length: usize,
    work: impl FnOnce(&mut Inner, &str) -> pocketlm::Result<i32>,
) -> i32 {
    // SAFETY: the caller keeps the contract above.
    let (keyboard, text) = unsafe { (&mut *keyboard, text(start, length)) };
    let text = text.map_err(|error| error.to_string());
    end(text.and_then(|text| work(keyboard, text).map_err(|error| error.to_string())))
}

/// Replies with the strip of `k` words after a text: what is typed of the last word; the correction's probability and
/// word, empty where there is none; then probability, 1 for a word of the user's own, and word of each offer.
///
/// # Safety
/// `keyboard` is open; the text is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_strip(
    keyboard: *mut Inner,
    start: *const u8,
    length: usize,
    k: usize,
) -> i32 {
    let strip = |keyboard: &mut Inner, text: &str| {
        let strip = keyboard.strip(text, k)?;
        write(|reply| write_strip(&strip, reply));
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(keyboard, start, length, strip) }
}

fn write_strip(strip: &Strip, reply: &mut String) {
    line(reply, &[&strip.typed]);
    match &strip.correction {
        Some(correction) => line(reply, &[&correction.probability, &correction.word]),
        None => line(reply, &[]),
    }
    for offer in &strip.words {
        line(reply, &[&offer.probability, &u8::from(offer.is_own), &offer.word]);
    }
}

/// Learns a text that is done, unless the keyboard is private.
///
/// # Safety
/// `keyboard` is open; the text is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_learn(
    keyboard: *mut Inner,
    start: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: the caller keeps the contract above.
    unsafe { with(keyboard, start, length, |keyboard, text| keyboard.learn(text).map(|()| 0)) }
}

/// A change to the user's words: 1 if it was made. `what` is 0 to add a word, 1 to forget, 2 to block, 3 to unblock it.
///
/// # Safety
/// `keyboard` is open; the word is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_change(
    keyboard: *mut Inner,
    what: u32,
    start: *const u8,
    length: usize,
) -> i32 {
    let change = |keyboard: &mut Inner, word: &str| {
        let is_done = match what {
            0 => keyboard.personal_mut().add(word),
            1 => keyboard.forget(word),
            2 => keyboard.block(word),
            _ => keyboard.personal_mut().unblock(word),
        };
        Ok(i32::from(is_done))
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(keyboard, start, length, change) }
}

/// Forgets all words of the user, blocked ones too.
///
/// # Safety
/// `keyboard` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_erase(keyboard: *mut Inner) {
    // SAFETY: the caller keeps the contract above.
    unsafe { &mut *keyboard }.personal_mut().erase();
}

/// Replies with the user's words, one a line: those that the model lacks, or those that are blocked.
///
/// # Safety
/// `keyboard` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_words(keyboard: *const Inner, blocked: bool) {
    // SAFETY: the caller keeps the contract above.
    let keyboard = unsafe { &*keyboard };
    write(|reply| {
        if blocked {
            keyboard.personal().blocked_words().for_each(|word| line(reply, &[&word]));
        } else {
            keyboard.own_words().for_each(|word| line(reply, &[&word]));
        }
    });
}

/// Replies with the user's words as JSON lines, to be kept.
///
/// # Safety
/// `keyboard` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_export(keyboard: *const Inner) {
    // SAFETY: the caller keeps the contract above.
    let lines = unsafe { &*keyboard }.personal().export();
    write(|reply| *reply = lines);
}

/// Takes the user's words from what [`keyboard_export`] replied; if that is damaged, those that there are stay.
///
/// # Safety
/// `keyboard` is open; the text is in a room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_import(
    keyboard: *mut Inner,
    start: *const u8,
    length: usize,
) -> i32 {
    let import = |keyboard: &mut Inner, lines: &str| {
        *keyboard.personal_mut() = Personal::import(lines)?;
        Ok(0)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { with(keyboard, start, length, import) }
}

/// Says whether texts are private: none of them is learnt.
///
/// # Safety
/// `keyboard` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_private(keyboard: *mut Inner, is_private: bool) {
    // SAFETY: the caller keeps the contract above.
    unsafe { &mut *keyboard }.set_learning(!is_private);
}

/// Says where the keys are: 0 QWERTY, 1 QWERTZ, 2 AZERTY.
///
/// # Safety
/// `keyboard` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keyboard_layout(keyboard: *mut Inner, layout: u32) {
    let layout = match layout {
        1 => Layout::Qwertz,
        2 => Layout::Azerty,
        _ => Layout::Qwerty,
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { &mut *keyboard }.set_typing(Typing { layout, ..Typing::default() });
}
