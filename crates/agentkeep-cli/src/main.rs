//! The `agentkeep` command: import, look at and check what an AI agent must not lose.
//!
//! stdout is data, stderr is talk. Exit codes: 0 done, 1 failed (or `check` found damage), 2 wrong
//! usage.

mod args;
mod commands;
mod import;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    let verbose = args.global.verbose;
    let outcome =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime.block_on(commands::run(args)),
            Err(error) => Err(output::io_error("the command cannot start its threads", error)),
        };
    match outcome {
        Ok(code) => code,
        Err(error) if output::reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::fail(&error, verbose);
            ExitCode::FAILURE
        }
    }
}
