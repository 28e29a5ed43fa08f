//! `completions`, `man`: made from the arguments themselves.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Outcome;
use crate::args::Args;
use crate::output;

/// Prints a shell's completions.
pub(crate) fn completions(shell: Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "agentkeep", &mut text);
    output::print_raw(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page, every command in it.
pub(crate) fn man() -> Outcome {
    let mut text = Vec::new();
    let page = |error| output::io_error("the manual page cannot be made", error);
    let command = Args::command();
    clap_mangen::Man::new(command.clone()).render(&mut text).map_err(page)?;
    let mut built = command;
    built.build();
    for sub in visible(&built) {
        let man = clap_mangen::Man::new(sub.clone());
        let name = sub.get_bin_name().unwrap_or_default().to_uppercase();
        text.extend_from_slice(format!(".SH \"{name}\"\n").as_bytes());
        man.render_description_section(&mut text).map_err(page)?;
        man.render_options_section(&mut text).map_err(page)?;
    }
    let text = String::from_utf8_lossy(&text).replace(".SH DESCRIPTION\n", "");
    output::print_raw(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The commands that can be written, groups first taken apart.
fn visible(command: &clap::Command) -> Vec<&clap::Command> {
    let mut found = Vec::new();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        if sub.get_name() == "help" {
            continue;
        }
        let below = visible(sub);
        if below.is_empty() {
            found.push(sub);
        }
        found.extend(below);
    }
    found
}
