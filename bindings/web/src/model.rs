//! Models: opened, closed, described.

use alloc::boxed::Box;
use alloc::sync::Arc;

use pocketlm::Model;

use crate::reply::{end, line, tell, write};
use crate::taken;

/// An open model.
pub type Handle = Arc<Model>;

/// Opens the packed model in a room, which it takes over. 0 if it cannot be opened.
///
/// # Safety
/// `bytes` is what [`room`](crate::room) gave for `length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model_open(bytes: *mut u8, length: usize) -> *mut Handle {
    // SAFETY: the caller keeps the contract above.
    match Model::from_bytes(unsafe { taken(bytes, length) }) {
        Ok(model) => Box::into_raw(Box::new(Arc::new(model))),
        Err(error) => {
            tell(&error);
            core::ptr::null_mut()
        }
    }
}

/// Closes a model; its memory goes with the last of what uses it.
///
/// # Safety
/// `model` is open, and no call uses the handle again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model_close(model: *mut Handle) {
    // SAFETY: the caller keeps the contract above; the handle is of `model_open`.
    drop(unsafe { Box::from_raw(model) });
}

/// Replies with the number of types, the unit of text and the checksum.
///
/// # Safety
/// `model` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model_describe(model: *const Handle) {
    // SAFETY: the caller keeps the contract above.
    let model = unsafe { &*model };
    let vocabulary = model.vocabulary();
    write(|text| line(text, &[&vocabulary.len(), &vocabulary.unit().name(), &model.checksum()]));
}

/// Reads the whole model: whether its checksum is right and every weight a finite number.
///
/// # Safety
/// `model` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn model_verify(model: *const Handle) -> i32 {
    // SAFETY: the caller keeps the contract above.
    end(unsafe { &*model }.verify().map(|()| 0))
}
