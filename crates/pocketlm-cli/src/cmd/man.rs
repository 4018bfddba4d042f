//! `pocketlm man`

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use pocketlm::pack::write_file;

use crate::ending::Usage;
use crate::help;

/// Print the manual page of a command, or write all of them.
///
/// Example: pocketlm man suggest | man -l -
///
/// Example: pocketlm man --out ~/.local/share/man/man1
#[derive(clap::Args)]
pub struct Args {
    /// Command to print the page of (default: pocketlm itself).
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,
    /// Folder to write the pages of all commands into.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    /// Prints or writes.
    pub fn run(self) -> Result<()> {
        // Until it is built, a command does not know its subcommands' full names.
        let mut command = help::command().disable_help_subcommand(true);
        command.build();
        if let Some(folder) = &self.out {
            return write_all(command, folder);
        }
        let command = match self.command {
            None => command,
            Some(name) => {
                let found = command.find_subcommand(&name).cloned();
                found.ok_or_else(|| {
                    Usage(format!("there is no command {name}: see pocketlm help"))
                })?
            }
        };
        say!("{}", String::from_utf8(rendered(&page(command))?)?.trim_end());
        Ok(())
    }
}

fn write_all(command: Command, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let commands: Vec<Command> = command.get_subcommands().cloned().collect();
    let pages: Vec<Man> = [command].into_iter().chain(commands).map(page).collect();
    for page in &pages {
        write_file(folder.join(page.get_filename()), &rendered(page)?)?;
    }
    say!("{}: {} pages", folder.display(), pages.len());
    Ok(())
}

fn page(command: Command) -> Man {
    Man::new(command).source(concat!("pocketlm ", env!("CARGO_PKG_VERSION")))
}

fn rendered(page: &Man) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok(text)
}
