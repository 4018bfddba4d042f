//! The file: a safetensors container whose metadata describe the model. `docs/format.md` is the
//! specification; these modules read it, and [`pack`](crate::pack) writes it.

pub(crate) mod checksum;
mod configuration;
pub(crate) mod container;
pub(crate) mod metadata;

pub use metadata::{Perplexity, Provenance};

/// The newest format version that this crate reads: that of files with coded arrays. It reads all before it too.
pub const VERSION: u32 = 2;

/// The version of files without coded arrays.
#[cfg(feature = "pack")]
pub(crate) const PLAIN_VERSION: u32 = 1;

/// The longest header that is read, in bytes: a model's header has a few thousand, and a hostile one
/// shall not cost memory.
pub const MAX_HEADER: usize = 4 << 20;

/// Names of padding arrays start like this; readers pass over them.
pub(crate) const PADDING: &str = "~pad.";
