//! The subcommands.

pub mod bench_train;
pub mod eval;
pub mod train;
