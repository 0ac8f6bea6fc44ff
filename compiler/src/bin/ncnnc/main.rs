//! `ncnnc`: the compiler as a command.
//!
//! One file for each subcommand; what they share is in `console` (messages, exit codes), `model` (reading models) and
//! `output` (writing files). Owns what users type and see; all knowledge of networks is the library's.

mod accept;
mod bench;
mod bias;
mod check;
mod compile;
mod completions;
mod console;
mod explain;
mod history;
mod import;
mod inspect;
mod instruction_set;
mod lives;
mod loaded;
mod lock;
mod machine;
mod model;
mod npy;
mod output;
mod picture;
mod processors;
mod progress;
mod run;
mod samples;
mod table;
mod targets;
mod timing;
mod unfinished;
mod verify;

use clap::Parser;
use console::{Colour, Console, Format, not_printed};
use ncnnc_compiler::diagnostic::Diagnostic;
use std::io::Write;
use std::process::ExitCode;

/// Compiles neural networks in ncnn's format to specialised code, with the same bits on every machine.
#[derive(Parser)]
#[command(name = "ncnnc", version, arg_required_else_help = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    /// How messages are written: for people, or a JSON object on each line
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Messages")]
    message_format: Format,
    /// Whether to use colours: `auto` where a terminal reads along and NO_COLOR isn't set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", help_heading = "Messages")]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

/// What the exit codes are for; they don't change.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 the model or an input is refused; 2 the command line can't be understood or \
asks for what isn't there; 3 a file can't be read or written; 4 the precision isn't what was asked for or recorded; 101 a defect in the compiler. Ctrl-C and SIGTERM end it as they end any program (in shells 130 and 143).";

/// The subcommands.
#[derive(clap::Subcommand)]
enum Command {
    Compile(compile::Arguments),
    Run(run::Arguments),
    Inspect(inspect::Arguments),
    Check(check::Arguments),
    Bench(bench::Arguments),
    Verify(verify::Arguments),
    Accept(accept::Arguments),
    History(history::Arguments),
    Import(import::Arguments),
    Explain(explain::Arguments),
    Targets(targets::Arguments),
    Completions(completions::Arguments),
}

/// Says why a command line can't be understood, or gives the help that was asked for.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let json = words.iter().any(|word| word == "--message-format=json")
        || words.windows(2).any(|pair| pair == ["--message-format", "json"]);
    if !error.use_stderr() {
        let printed = error.print().and_then(|()| std::io::stdout().flush()).map_err(|error| not_printed(&error));
        return Console::new(if json { Format::Json } else { Format::Human }, Colour::Auto).finish(printed);
    }
    if !json {
        error.exit();
    }
    // clap's own text, which begins with `error: ` and goes on with the usage and what it takes for a remedy.
    let text = error.to_string();
    let (message, rest) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
    let problem = Diagnostic::error(message.strip_prefix("error: ").unwrap_or(message)).hint(rest.trim_start());
    Console::new(Format::Json, Colour::Never).finish(Err(problem.into()))
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    let console = Console::new(arguments.message_format, arguments.color);
    console.take_panics();
    let done = match arguments.command {
        Command::Compile(arguments) => compile::run(&arguments, &console),
        Command::Run(arguments) => run::run(&arguments, &console),
        Command::Bench(arguments) => bench::run(&arguments, &console),
        Command::Verify(arguments) => verify::run(&arguments, &console),
        Command::Accept(arguments) => accept::run(&arguments, &console),
        Command::History(arguments) => history::run(&arguments, &console),
        Command::Import(arguments) => import::run(&arguments, &console),
        Command::Inspect(arguments) => inspect::run(&arguments, &console),
        Command::Check(arguments) => check::run(&arguments, &console),
        Command::Explain(arguments) => explain::run(&arguments, &console),
        Command::Targets(arguments) => targets::run(&arguments, &console),
        Command::Completions(arguments) => completions::run(&arguments, &console),
    };
    console.finish(done)
}
