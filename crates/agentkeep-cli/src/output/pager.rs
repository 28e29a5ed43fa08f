//! Long views for people: on a terminal through a pager, else straight to stdout.

use std::io::{IsTerminal as _, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use agentkeep::{Error, Kind, Result};
use anstream::{AutoStream, ColorChoice};

use super::{cannot_write, io_error};

/// True while a pager has the terminal: Ctrl-C is its own then.
static PAGING: AtomicBool = AtomicBool::new(false);

/// Where a long view goes.
#[derive(Debug)]
pub(crate) enum View {
    /// Stdout.
    Plain,
    /// A pager.
    Paged {
        child: Child,
        stdin: Option<ChildStdin>,
        /// Whether styles reach the terminal.
        styled: bool,
    },
}

/// Whether a pager has the terminal.
pub(crate) fn is_paging() -> bool {
    PAGING.load(Ordering::Acquire)
}

impl View {
    /// Through `$PAGER`, or `less -FRX`, when stdout is a terminal.
    pub(crate) fn paged() -> Result<Self> {
        if !std::io::stdout().is_terminal() {
            return Ok(Self::Plain);
        }
        let mut command = match std::env::var("PAGER") {
            Ok(pager) if matches!(pager.trim(), "" | "cat") => return Ok(Self::Plain),
            Ok(pager) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(pager);
                command
            }
            Err(_) => {
                let mut command = Command::new("less");
                command.arg("-FRX");
                command
            }
        };
        match command.stdin(Stdio::piped()).spawn() {
            // No pager is no failure.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::Plain),
            Err(error) => Err(io_error("the pager cannot be started", error)),
            Ok(mut child) => {
                PAGING.store(true, Ordering::Release);
                let stdin = child.stdin.take();
                let styled = AutoStream::choice(&std::io::stdout()) != ColorChoice::Never;
                Ok(Self::Paged { child, stdin, styled })
            }
        }
    }

    /// Writes some of the view.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        let written = match self {
            Self::Plain => return super::print(text),
            Self::Paged { stdin: Some(stdin), styled: true, .. } => {
                stdin.write_all(text.as_bytes())
            }
            Self::Paged { stdin: Some(stdin), .. } => {
                write!(stdin, "{}", anstream::adapter::strip_str(text))
            }
            Self::Paged { stdin: None, .. } => Ok(()),
        };
        written.or_else(|error| {
            // Whoever has seen enough takes no more; but so does a pager that never ran.
            self.end()?;
            Err(cannot_write(error))
        })
    }

    /// Waits until the reader has seen enough.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.end()
    }

    /// The pager gets no more, and ends.
    fn end(&mut self) -> Result<()> {
        let Self::Paged { child, stdin, .. } = self else { return Ok(()) };
        drop(stdin.take());
        let ended =
            child.wait().map_err(|error| io_error("the pager cannot be waited for", error))?;
        match ended.code() {
            Some(126 | 127) => Err(Error::new(Kind::InvalidInput, "the pager cannot be run")
                .advice("set PAGER to another one, or to cat")),
            _ => Ok(()),
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Self::Paged { child, stdin, .. } = self {
            drop(stdin.take());
            let _ = child.wait();
            PAGING.store(false, Ordering::Release);
        }
    }
}
