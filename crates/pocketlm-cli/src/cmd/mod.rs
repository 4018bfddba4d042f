//! The subcommands.

pub mod bench;
pub mod compare;
pub mod completions;
pub mod compress;
pub mod demo;
pub mod eval;
pub mod export;
pub mod generate;
pub mod inspect;
pub mod man;
pub mod ngram;
pub mod pack;
pub mod score;
pub mod suggest;
pub mod sweep;
pub mod train;
