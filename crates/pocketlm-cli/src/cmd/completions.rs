//! `pocketlm completions`

use anyhow::Result;
use clap_complete::Shell;

use crate::help;

/// Print the completions of a shell.
///
/// Example: pocketlm completions bash > ~/.local/share/bash-completion/completions/pocketlm
///
/// Example: pocketlm completions fish > ~/.config/fish/completions/pocketlm.fish
#[derive(clap::Args)]
pub struct Args {
    /// Shell that they are for.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    /// Prints the script.
    pub fn run(self) -> Result<()> {
        // A generator that writes into memory cannot fail; one that writes to a closed pipe panics.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut help::command(), "pocketlm", &mut script);
        say!("{}", String::from_utf8(script)?.trim_end());
        Ok(())
    }
}
