//! Models: opened, closed, and their words.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use pocketlm::{Model, SUGGESTIONS};

use crate::status::{Fault, call, pocketlm_status};
use crate::text::{at, list, place, room, text};

/// Instead of an id: there is none.
pub const POCKETLM_NO_ID: u32 = u32::MAX;

/// An open model.
#[derive(Debug)]
pub struct pocketlm_model {
    pub(crate) model: Arc<Model>,
}

/// How much room a model takes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct pocketlm_limits {
    /// Words in the vocabulary, `<eos>` and `<unk>` included; ids are below it.
    pub words: usize,
    /// Bytes that hold any one word or suggestion, with its NUL.
    pub word_bytes: usize,
    /// Bytes of a saved state.
    pub state_bytes: usize,
    /// Suggestions up to which a call allocates nothing; a session grows once for more.
    pub suggestions: usize,
    /// The id of what ends a line, and from which the first word of anything is predicted.
    pub eos: u32,
    /// The id of what stands for unknown words, or POCKETLM_NO_ID.
    pub unk: u32,
    /// Whether the model takes raw text, of words and marks: then give whole texts, from the beginning of a line.
    pub is_raw: bool,
}

/// The version of this library, `MAJOR.MINOR.PATCH`.
#[unsafe(no_mangle)]
pub extern "C" fn pocketlm_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Opens the packed model in the file `path`, which ends in NUL, by mapping it into memory. The file must not be
/// shortened or rewritten in place while it is open; replace it by renaming.
///
/// # Safety
/// `path` is null or a text that ends in NUL; `model` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_open(
    path: *const c_char,
    model: *mut *mut pocketlm_model,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let (model, path) = unsafe { (place(model, "model")?, at(path, "path")?) };
        *model = ptr::null_mut();
        // SAFETY: as above.
        let path = os_path(unsafe { CStr::from_ptr(path) })?;
        give(model, Model::open(path)?);
        Ok(())
    })
}

#[cfg(unix)]
fn os_path(path: &CStr) -> Result<&OsStr, Fault> {
    Ok(std::os::unix::ffi::OsStrExt::from_bytes(path.to_bytes()))
}

#[cfg(not(unix))]
fn os_path(path: &CStr) -> Result<&OsStr, Fault> {
    path.to_str().map(OsStr::new).map_err(|error| Fault::Utf8(error.valid_up_to()))
}

/// Opens the packed model in these bytes, which are copied: they may go or change afterwards.
///
/// # Safety
/// `bytes` is null or points to `length` bytes; `model` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_open_copied(
    bytes: *const c_void,
    length: usize,
    model: *mut *mut pocketlm_model,
) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    unsafe { open(bytes, length, model, |bytes| Model::from_bytes(bytes.to_vec())) }
}

/// Opens the packed model in these bytes and uses them where they are, if their address is a multiple of 64; elsewhere
/// they are copied. They must neither go nor change before the model and all of its sessions are closed: for an asset of
/// an app, or an array of the program.
///
/// # Safety
/// `bytes` is null or points to `length` bytes that outlive the model and its sessions; `model` is null or a place to
/// write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_open_borrowed(
    bytes: *const c_void,
    length: usize,
    model: *mut *mut pocketlm_model,
) -> pocketlm_status {
    let in_place = |bytes: &[u8]| {
        // SAFETY: the caller vouches that the bytes live and stay as they are for as long as anything that uses them.
        let bytes: &'static [u8] = unsafe { slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
        Model::from_bytes(bytes)
    };
    // SAFETY: the caller keeps the contract above.
    unsafe { open(bytes, length, model, in_place) }
}

/// Opens the model in these bytes by `open`.
///
/// # Safety
/// `bytes` is null or points to `length` bytes; `model` is null or a place to write to.
unsafe fn open(
    bytes: *const c_void,
    length: usize,
    model: *mut *mut pocketlm_model,
    open: impl FnOnce(&[u8]) -> pocketlm::Result<Model>,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let (model, bytes) =
            unsafe { (place(model, "model")?, list(bytes.cast::<u8>(), length, "the bytes")?) };
        *model = ptr::null_mut();
        give(model, open(bytes)?);
        Ok(())
    })
}

fn give(place: &mut *mut pocketlm_model, model: Model) {
    *place = Box::into_raw(Box::new(pocketlm_model { model: Arc::new(model) }));
}

/// Closes a model and sets the handle to null, so that what uses it again is told. A model that is null already stays
/// so. Its memory goes with the last of its sessions.
///
/// # Safety
/// `model` is null or points to a handle that is null or open; no other call uses the model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_close(model: *mut *mut pocketlm_model) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let handle = std::mem::replace(unsafe { place(model, "model")? }, ptr::null_mut());
        if !handle.is_null() {
            // SAFETY: an open handle comes from `Box::into_raw`, and this call has the only copy of it.
            drop(unsafe { Box::from_raw(handle) });
        }
        Ok(())
    })
}

/// Reads the whole file: whether its checksum is right and every weight a finite number, which opening does not look at.
///
/// # Safety
/// `model` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_verify(model: *const pocketlm_model) -> pocketlm_status {
    // SAFETY: the caller keeps the contract above.
    call(|| Ok(unsafe { at(model, "model")? }.model.verify()?))
}

/// How much room the model takes.
///
/// # Safety
/// `model` is null or open; `limits` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_model_limits(
    model: *const pocketlm_model,
    limits: *mut pocketlm_limits,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let (model, limits) = unsafe { (&at(model, "model")?.model, place(limits, "limits")?) };
        let vocabulary = model.vocabulary();
        let is_raw = vocabulary.unit().case().is_some();
        // A capital may take more bytes than its small letter, as U+0390 does: two become six.
        let capital = if is_raw { 4 } else { 0 };
        *limits = pocketlm_limits {
            words: vocabulary.len(),
            word_bytes: vocabulary.longest() + capital + 1,
            state_bytes: model.saved_size(),
            suggestions: SUGGESTIONS,
            eos: vocabulary.eos(),
            unk: vocabulary.unk().unwrap_or(POCKETLM_NO_ID),
            is_raw,
        };
        Ok(())
    })
}

/// The id of a word; POCKETLM_UNKNOWN_WORD if the vocabulary lacks it.
///
/// # Safety
/// `model` is null or open; `word` is null or points to `length` bytes, or a text that ends in NUL if `length` is
/// POCKETLM_NUL; `id` is null or a place to write to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_word_id(
    model: *const pocketlm_model,
    word: *const c_char,
    length: usize,
    id: *mut u32,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let (model, word, id) =
            unsafe { (&at(model, "model")?.model, text(word, length)?, place(id, "id")?) };
        match model.vocabulary().id(word) {
            Some(found) => *id = found,
            None => return Err(Fault::NoWord),
        }
        Ok(())
    })
}

/// Writes the word of an id into `word`, with a NUL at its end. `size` is the room there and becomes the bytes that the
/// word takes with its NUL.
///
/// # Safety
/// `model` is null or open; `word` is null or has room for `*size` bytes; `size` is null or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pocketlm_word(
    model: *const pocketlm_model,
    id: u32,
    word: *mut c_char,
    size: *mut usize,
) -> pocketlm_status {
    call(|| {
        // SAFETY: the caller keeps the contract above.
        let (model, size) = unsafe { (&at(model, "model")?.model, place(size, "size")?) };
        let given = *size;
        // SAFETY: as above.
        let word = unsafe { room(word.cast::<u8>(), given, "the room for the word")? };
        let types = model.vocabulary().len();
        let length = model.vocabulary().copy_word(id, word);
        let length = length.ok_or(pocketlm::Error::Token { token: id, types })?;
        *size = length + 1;
        let Some(end) = word.get_mut(length) else {
            return Err(Fault::Space { given, needed: length + 1 });
        };
        *end = 0;
        Ok(())
    })
}
