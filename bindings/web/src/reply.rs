//! The text that a call leaves for its caller.

use alloc::string::String;
use core::cell::UnsafeCell;
use core::fmt::{Display, Write};

/// What a call returns that failed: the [`reply`] says why.
pub const FAILED: i32 = -1;

struct Reply(UnsafeCell<String>);

// SAFETY: WebAssembly modules without shared memory have one thread; elsewhere the crate is compiled, never run.
unsafe impl Sync for Reply {}

static REPLY: Reply = Reply(UnsafeCell::new(String::new()));

/// Where the reply of the last call begins.
#[unsafe(no_mangle)]
pub extern "C" fn reply() -> *const u8 {
    // SAFETY: nothing else uses it: a reply is borrowed only within `write`.
    unsafe { &*REPLY.0.get() }.as_ptr()
}

/// Bytes of the reply.
#[unsafe(no_mangle)]
pub extern "C" fn reply_length() -> usize {
    // SAFETY: as in `reply`.
    unsafe { &*REPLY.0.get() }.len()
}

/// Writes a new reply.
pub(crate) fn write(work: impl FnOnce(&mut String)) {
    let mut text = String::new();
    work(&mut text);
    // SAFETY: the one borrow, for as long as the assignment takes.
    unsafe { *REPLY.0.get() = text }
}

/// Replies with one value.
pub(crate) fn tell(what: &dyn Display) {
    write(|text| {
        // A String takes everything.
        let _ = write!(text, "{what}");
    });
}

/// Ends a call: what it returns, or [`FAILED`] and the reason.
pub(crate) fn end(result: Result<i32, impl Display>) -> i32 {
    result.unwrap_or_else(|error| {
        tell(&error);
        FAILED
    })
}

/// Appends a line of fields, parted by tabs.
pub(crate) fn line(text: &mut String, fields: &[&dyn Display]) {
    for (at, field) in fields.iter().enumerate() {
        let _ = write!(text, "{}{field}", if at == 0 { "" } else { "\t" });
    }
    text.push('\n');
}
