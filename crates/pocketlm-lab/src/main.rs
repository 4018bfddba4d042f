//! The program `pocketlm-lab`: the trainings and measurements behind the tables of `docs/results.md`.

#![deny(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "take note! and say!, which do not panic"
)]

mod base;
mod bases;
mod begun;
mod bench_train;
mod queue;
mod reproduce;
mod rows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pocketlm_cli::numbers;

/// Make the tables of docs/results.md again, and time training.
#[derive(Parser)]
#[command(name = "pocketlm-lab", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Number of threads (default: one per core).
    #[arg(long, global = true, value_name = "N", value_parser = numbers::threads)]
    threads: Option<usize>,
}

#[derive(Subcommand)]
enum Command {
    Reproduce(reproduce::Args),
    BenchTrain(bench_train::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    pocketlm_cli::run_on(cli.threads.unwrap_or(0), || match cli.command {
        Command::Reproduce(args) => args.run(),
        Command::BenchTrain(args) => args.run(),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
