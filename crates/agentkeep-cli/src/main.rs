//! The `agentkeep` command: import, look at and check what an AI agent must not lose.
//!
//! stdout is data, stderr is talk. Exit codes: 0 done, 1 failed (or `check` found damage), 2 wrong
//! usage.

mod args;
mod commands;
mod import;
mod opened;
mod output;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::args::Args;

/// What is not over so long after Ctrl-C is ended.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let args = Args::parse();
    let global = args.global.clone();
    let interruption = args.command.after_interruption();
    let holds = args.command.holds_a_moment();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let error = output::io_error("the command cannot start its threads", error);
                output::fail(&error, &global);
                return ExitCode::FAILURE;
            }
        };
    runtime.spawn(async move {
        interrupted().await;
        tokio::time::sleep(PATIENCE).await;
        std::process::exit(told(interruption));
    });
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = commands::run(args) => Some(outcome),
            () = interrupted() => None,
        }
    });
    if holds && !matches!(outcome, Some(Ok(_))) {
        runtime.block_on(global.opened.close());
    }
    // What a driver has under way is a commit: it happens or not, as in a crash.
    runtime.shutdown_background();
    match outcome {
        None => ExitCode::from(u8::try_from(told(interruption)).unwrap_or(1)),
        Some(Ok(code)) => code,
        Some(Err(error)) if output::reader_is_gone(&error) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            output::fail(&error, &global);
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C. A pager's Ctrl-C is the pager's.
async fn interrupted() {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        if !output::pager::is_paging() {
            return;
        }
    }
}

/// Says what an interruption leaves; answers the exit code.
fn told(interruption: Option<&str>) -> i32 {
    let Some(interruption) = interruption else { return 0 };
    output::tell(&format!("agentkeep: interrupted: {interruption}"));
    1
}
