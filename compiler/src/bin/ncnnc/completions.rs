//! `ncnnc completions`: lets a shell complete the command line.

use crate::console::{Console, Done, print};
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// Writes a script that lets a shell complete the command line
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ncnnc completions bash > ~/.local/share/bash-completion/completions/ncnnc
  ncnnc completions zsh > \"${fpath[1]}/_ncnnc\"
  ncnnc completions fish > ~/.config/fish/completions/ncnnc.fish")]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

pub fn run(arguments: &Arguments, _: &Console) -> Done {
    let mut script = Vec::new();
    generate(arguments.shell, &mut crate::Arguments::command(), "ncnnc", &mut script);
    print(&script)
}
