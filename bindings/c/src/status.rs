//! How a call ended: a status, and a message for the thread that made it.

use std::cell::Cell;
use std::ffi::c_char;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pocketlm::Error;

/// How a call ended. `pocketlm_message` says more of what went wrong.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum pocketlm_status {
    /// It did what it should.
    POCKETLM_OK = 0,
    /// A pointer is null that must not be: a handle that is closed or was never opened, or a buffer of some length.
    POCKETLM_NULL = 1,
    /// A file cannot be read.
    POCKETLM_FILE = 2,
    /// The bytes are no packed model, or a damaged one, or one that this version does not know.
    POCKETLM_MODEL = 3,
    /// A text is not UTF-8.
    POCKETLM_UTF8 = 4,
    /// An id is not below the number of words.
    POCKETLM_ID = 5,
    /// A word is not in the vocabulary, and nothing stands for it.
    POCKETLM_UNKNOWN_WORD = 6,
    /// A buffer is too small. The room that is needed was written where the call counts it.
    POCKETLM_SPACE = 7,
    /// The bytes are no state of this model.
    POCKETLM_STATE = 8,
    /// What the model computes is infinite or not a number.
    POCKETLM_NOT_FINITE = 9,
    /// Another thread is in a call of this session.
    POCKETLM_BUSY = 10,
    /// A fault of this library. A session that it happened in can only be closed.
    POCKETLM_FAULT = 11,
}

use pocketlm_status::*;

/// Bytes of a thread's message with the NUL at its end; what is longer is cut.
const ROOM: usize = 512;

thread_local! {
    static MESSAGE: Cell<[u8; ROOM]> = const { Cell::new([0; ROOM]) };
}

/// What the last call that failed on this thread said, in English: valid until the next one fails, empty if none has.
#[unsafe(no_mangle)]
pub extern "C" fn pocketlm_message() -> *const c_char {
    MESSAGE.with(|message| message.as_ptr().cast())
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What the library said.
    Library(Error),
    /// What was null.
    Null(&'static str),
    /// A word is looked up that the vocabulary lacks.
    NoWord,
    /// Byte offset of what is not UTF-8.
    Utf8(usize),
    /// Places that there are, and that are needed.
    Space { given: usize, needed: usize },
    /// Another thread uses the session.
    Busy,
    /// An earlier call of this session panicked.
    Poisoned,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Length { given, needed } => Self::Space { given, needed },
            error => Self::Library(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Null(what) => write!(f, "{what} is null"),
            Self::NoWord => f.write_str("the word is not in the vocabulary"),
            Self::Utf8(at) => write!(f, "the text is not UTF-8: see its byte {at}"),
            Self::Space { given, needed } => {
                write!(f, "the buffer has {given} places, but {needed} are needed")
            }
            Self::Busy => f.write_str(
                "another thread is in a call of this session: give each thread one of its own",
            ),
            Self::Poisoned => {
                f.write_str("an earlier call of this session failed within the library: close it")
            }
        }
    }
}

impl Fault {
    fn status(&self) -> pocketlm_status {
        match self {
            Self::Null(_) => POCKETLM_NULL,
            Self::NoWord => POCKETLM_UNKNOWN_WORD,
            Self::Utf8(_) => POCKETLM_UTF8,
            Self::Space { .. } => POCKETLM_SPACE,
            Self::Busy => POCKETLM_BUSY,
            Self::Poisoned => POCKETLM_FAULT,
            Self::Library(error) => match error {
                Error::File { .. } => POCKETLM_FILE,
                Error::Token { .. } => POCKETLM_ID,
                Error::UnknownWord { .. } => POCKETLM_UNKNOWN_WORD,
                Error::State { .. } => POCKETLM_STATE,
                Error::NotFinite { .. } => POCKETLM_NOT_FINITE,
                _ => POCKETLM_MODEL,
            },
        }
    }
}

/// Does the work of a call. A panic goes no further than here; built with `panic = "abort"`, it ends the program.
pub(crate) fn call(work: impl FnOnce() -> Result<(), Fault>) -> pocketlm_status {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => POCKETLM_OK,
        Ok(Err(fault)) => {
            tell(&fault);
            fault.status()
        }
        Err(_) => {
            tell(&"a fault of pocketlm: please report it with the model and the text");
            POCKETLM_FAULT
        }
    }
}

fn tell(what: &dyn fmt::Display) {
    let mut message = Message { bytes: [0; ROOM], length: 0 };
    let _ = write!(message, "{what}");
    MESSAGE.set(message.bytes);
}

/// A message on the stack, always with a NUL at its end.
struct Message {
    bytes: [u8; ROOM],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.floor_char_boundary(ROOM - 1 - self.length);
        self.bytes[self.length..][..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn message() -> String {
        // SAFETY: the message is this thread's, ends in NUL, and no call is made while it is read.
        unsafe { CStr::from_ptr(pocketlm_message()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(call(|| panic!("a test of panics")), POCKETLM_FAULT);
        assert!(message().contains("a fault of pocketlm"));
        assert_eq!(call(|| Ok(())), POCKETLM_OK);
    }

    #[test]
    fn a_message_is_the_threads_and_is_cut_between_characters() {
        let word = "é".repeat(ROOM);
        call(|| Err(Error::UnknownWord { word }.into()));
        assert!(message().starts_with("the word \"éé") && message().len() >= ROOM - 2);
        std::thread::spawn(|| assert_eq!(message(), "")).join().unwrap();
    }
}
