//! The `pocketlm` command: one file per subcommand, each with its `Args` and `run`.
//!
//! What is public is what a second program, the laboratory of the repository, shares with it: how it ends, what it
//! prints, how it is interrupted, and how models are measured. It follows no version.

#![deny(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "take note! and say!, which do not panic"
)]

/// `println!` that hands back what goes wrong, such as a full disk.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        writeln!(std::io::stdout().lock(), $($text)*)?
    }};
}

/// `eprintln!` that does not mind a standard error that cannot be written: no note is worth a run.
#[macro_export]
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}

mod cmd;
mod ending;
mod evaluation;
mod help;
mod input;
mod machine;
mod model;
mod ngram_file;
pub mod numbers;
mod output;
mod plot;
mod progress;
mod rescorer;
mod shell;
mod table;
mod trial;
mod typing;
mod unknown;

use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};
use ending::Usage;
use pocketlm_train::error::Error;

pub use cmd::bench::words;
pub use cmd::pack::measured;
pub use cmd::train::{DeviceArgs, interruptible, show_teachers};
pub use ending::Interrupted;
pub use evaluation::{Row as Evaluated, rows as evaluate};
pub use machine::{Machine, peak_bytes};
pub use progress::{epoch_line, show_epoch};

/// Language models that fit on a phone: train them on your own text, compress them, use them.
#[derive(Parser)]
#[command(name = "pocketlm", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Number of threads (default: 1 to use a model or to measure its speed, otherwise one per core).
    #[arg(long, global = true, value_name = "N", value_parser = numbers::threads)]
    threads: Option<usize>,
}

#[derive(Subcommand)]
enum Command {
    Demo(cmd::demo::Args),
    Train(cmd::train::Args),
    Sweep(cmd::sweep::Args),
    Search(cmd::search::Args),
    Eval(cmd::eval::Args),
    Compare(cmd::compare::Args),
    Compress(cmd::compress::Args),
    Pack(cmd::pack::Args),
    Mix(cmd::mix::Args),
    Ngram(cmd::ngram::Args),
    Import(cmd::import::Args),
    Export(cmd::export::Args),
    Inspect(cmd::inspect::Args),
    Suggest(cmd::suggest::Args),
    Complete(cmd::suggest::CompleteArgs),
    Correct(cmd::correct::Args),
    Typos(cmd::typos::Args),
    Keyboard(cmd::keyboard::Args),
    Score(cmd::score::Args),
    Rescore(cmd::rescore::Args),
    Generate(cmd::generate::Args),
    Bench(cmd::bench::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
}

/// The whole program.
pub fn main() -> ExitCode {
    let parsed = help::command().try_get_matches();
    if let Some(usage) = parsed.as_ref().err().and_then(help::of_the_laboratory) {
        return report(&usage.into());
    }
    let matches = parsed.unwrap_or_else(|error| error.exit());
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let threads = cli.threads.unwrap_or_else(|| cli.command.threads());
    run_on(threads, || cli.command.run())
}

/// Runs a command on so many threads, or on one per core (0), and says how it ended.
///
/// The exit code is 130 for what was interrupted, 2 for a wrong request, 1 for what failed.
pub fn run_on(threads: usize, command: impl FnOnce() -> anyhow::Result<()> + Send) -> ExitCode {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    // The command itself runs on one of the threads, so that no product waits for another to wake up.
    let result = pool.map_err(Into::into).and_then(|pool| pool.install(command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

impl Command {
    /// Threads where none are asked for: one for what a device does with a model, one per core (0) for all else.
    fn threads(&self) -> usize {
        match self {
            Self::Suggest(_) | Self::Complete(_) | Self::Score(_) | Self::Generate(_) => 1,
            Self::Bench(_) | Self::Correct(_) | Self::Keyboard(_) => 1,
            _ => 0,
        }
    }

    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Demo(args) => args.run(),
            Self::Train(args) => args.run(),
            Self::Sweep(args) => args.run(),
            Self::Search(args) => args.run(),
            Self::Eval(args) => args.run(),
            Self::Compare(args) => args.run(),
            Self::Compress(args) => args.run(),
            Self::Pack(args) => args.run(),
            Self::Mix(args) => args.run(),
            Self::Ngram(args) => args.run(),
            Self::Import(args) => args.run(),
            Self::Export(args) => args.run(),
            Self::Inspect(args) => args.run(),
            Self::Suggest(args) => args.run(),
            Self::Complete(args) => args.run(),
            Self::Correct(args) => args.run(),
            Self::Typos(args) => args.run(),
            Self::Keyboard(args) => args.run(),
            Self::Score(args) => args.run(),
            Self::Rescore(args) => args.run(),
            Self::Generate(args) => args.run(),
            Self::Bench(args) => args.run(),
            Self::Completions(args) => args.run(),
            Self::Man(args) => args.run(),
        }
    }
}

/// Prints what went wrong, and its exit code; a reader that went away is no failure.
fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    if let Some(Interrupted(how)) = error.downcast_ref() {
        note!("{how}");
        return ExitCode::from(130);
    }
    note!("error: {}", message(error));
    if matches!(error.downcast_ref(), Some(Error::Stopped { .. })) {
        return ExitCode::from(130);
    }
    let recipe =
        matches!(error.downcast_ref::<Error>(), Some(Error::Config { .. } | Error::Recipe { .. }));
    let sampling = matches!(error.downcast_ref(), Some(pocketlm::Error::Sampling { .. }));
    let usage = error.is::<Usage>();
    ExitCode::from(if recipe || sampling || usage { 2 } else { 1 })
}

/// An error with its causes, but for those that it quotes itself.
fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.is_empty() {
            true => cause,
            false if text.contains(&cause) => text,
            false => format!("{text}: {cause}"),
        }
    })
}
