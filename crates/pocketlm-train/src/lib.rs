//! Training and compression.
//!
//! Data flows one way: [`corpus`] reads text, [`recipe`] says what a model is and how it is made, [`train`] makes it,
//! [`checkpoint`] keeps it, [`compress`] makes it small, [`search`] finds how, [`pack`] writes it for the runtime.

pub mod checkpoint;
pub mod compress;
pub mod corpus;
pub mod cuda;
pub mod error;
pub mod export;
pub mod grammar;
pub mod import;
pub mod linear;
pub mod lock;
pub mod matrix;
mod memory;
pub mod network;
pub mod ngram;
pub mod pack;
pub mod recipe;
pub mod rescoring;
pub mod search;
pub mod settings;
pub mod sweep;
pub mod torch;
pub mod train;
