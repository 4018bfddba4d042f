//! The command line as a whole: its help lists the commands by what they are for.

use std::fmt::Write;

use clap::builder::styling::Styles;
use clap::error::{ContextKind, ContextValue};
use clap::{Command, CommandFactory};

use crate::ending::Usage;
use crate::{Cli, shell};

/// The commands in groups, in the order of the help.
const GROUPS: [(&str, &[&str]); 5] = [
    ("Start here", &["demo"]),
    (
        "Use a model",
        &["suggest", "complete", "correct", "typos", "keyboard", "score", "rescore", "generate"],
    ),
    (
        "Make a model",
        &["train", "sweep", "search", "compress", "pack", "mix", "ngram", "import", "export"],
    ),
    ("Measure a model", &["eval", "compare", "bench", "inspect"]),
    ("Set up", &["completions", "man", "help"]),
];

/// The command line, with its commands in groups.
pub fn command() -> Command {
    let command = Cli::command();
    let groups = groups(&command);
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{}\n{{options}}\n\nFor more about a command: \
         pocketlm help COMMAND\n",
        heading("Options")
    );
    command.help_template(template)
}

/// Commands of the laboratory, which are typed here by habit.
const LABORATORY: [&str; 2] = ["reproduce", "bench-train"];

/// What to type instead, where a command line fails since it is one of the laboratory.
pub fn of_the_laboratory(error: &clap::Error) -> Option<Usage> {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let words = shell::arguments();
    LABORATORY.contains(&name.as_str()).then(|| {
        Usage(format!(
            "{name} is a command of pocketlm-lab: pocketlm-lab {words}, or from a clone of the repository: cargo run \
             --release -p pocketlm-lab -- {words}"
        ))
    })
}

fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (name, commands) in GROUPS {
        let _ = writeln!(text, "{}", heading(name));
        for name in commands {
            let _ = writeln!(text, "  {name:<12} {}", about(command, name));
        }
        text.push('\n');
    }
    text
}

fn heading(name: &str) -> String {
    let style = Styles::styled();
    let style = style.get_header();
    format!("{style}{name}:{style:#}")
}

/// What a command does, in a line.
fn about(command: &Command, name: &str) -> String {
    let found = command.find_subcommand(name).and_then(Command::get_about);
    // The command `help` is clap's own, made later.
    found.map_or_else(|| "Show the help of a command".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let command = command();
        let names = command.get_subcommands().filter(|command| !command.is_hide_set());
        let names: BTreeSet<_> = names.map(Command::get_name).chain(["help"]).collect();
        let grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        assert_eq!(grouped.len(), names.len());
        assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_and_argument_is_explained() {
        for command in command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = (command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some() || argument.is_hide_set(), "{name:?}");
            }
        }
    }
}
