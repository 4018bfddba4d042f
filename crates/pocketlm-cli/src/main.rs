//! The `pocketlm` command: one file per subcommand, each with its `Args` and `run`.

mod cmd;
mod evaluation;
mod input;
mod machine;
mod model;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pocketlm_train::error::Error;

/// Language models that fit on a phone: train, evaluate, use.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads to compute with (default: one per core).
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Subcommand)]
enum Command {
    Demo(cmd::demo::Args),
    Train(cmd::train::Args),
    Eval(cmd::eval::Args),
    Pack(cmd::pack::Args),
    Inspect(cmd::inspect::Args),
    Suggest(cmd::suggest::Args),
    Complete(cmd::suggest::CompleteArgs),
    Score(cmd::score::Args),
    Generate(cmd::generate::Args),
    Bench(cmd::bench::Args),
    BenchTrain(cmd::bench_train::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cli.threads.unwrap_or(0)).build_global();
    let result = pool.map_err(Into::into).and_then(|()| match cli.command {
        Command::Demo(args) => args.run(),
        Command::Train(args) => args.run(),
        Command::Eval(args) => args.run(),
        Command::Pack(args) => args.run(),
        Command::Inspect(args) => args.run(),
        Command::Suggest(args) => args.run(),
        Command::Complete(args) => args.run(),
        Command::Score(args) => args.run(),
        Command::Generate(args) => args.run(),
        Command::Bench(args) => args.run(),
        Command::BenchTrain(args) => args.run(),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// Exit code 2 for a wrong request, 1 for what failed; a reader that went away is no failure.
fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    match error.downcast_ref::<Error>() {
        Some(Error::Config { .. } | Error::Recipe { .. }) => ExitCode::from(2),
        _ => ExitCode::from(1),
    }
}
