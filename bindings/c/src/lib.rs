//! pocketlm for C and C++. What the functions do stands in their comments, which are those of the header
//! `include/pocketlm.h`; see `README.md`.
#![allow(non_camel_case_types)]

mod model;
mod session;
mod status;
mod text;

pub use model::*;
pub use session::*;
pub use status::{pocketlm_message, pocketlm_status};
pub use text::POCKETLM_NUL;
