//! Runs the command on a pseudo-terminal.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::Home;

/// A test that waits so long has failed.
const DEADLINE: Duration = Duration::from_mins(1);

/// The command with a terminal.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    shown: Receiver<Vec<u8>>,
    seen: String,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    pub(crate) fn run(home: &Home, args: &[&str], env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 24, cols: 100, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_agentkeep"));
        command.args(args);
        for name in ["AGENTKEEP_STORE", "CLICOLOR_FORCE", "NO_COLOR", "PAGER"] {
            command.env_remove(name);
        }
        command.env("AGENTKEEP_DIR", home.path());
        command.env("TERM", "xterm-256color");
        for (name, value) in env {
            command.env(name, value);
        }
        command.cwd(home.path());
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let keys = pty.master.take_writer().unwrap();
        let mut reader = pty.master.try_clone_reader().unwrap();
        let (tell, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if tell.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, shown, seen: String::new(), _master: pty.master }
    }

    /// Waits until this text has been shown; answers all that was shown so far.
    pub(crate) fn wait_for(&mut self, text: &str) -> &str {
        let end = Instant::now() + DEADLINE;
        while !self.seen.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(more) = self.shown.recv_timeout(left) else {
                panic!("{text:?} was not shown, but {:?}", self.seen)
            };
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        &self.seen
    }

    /// Sends a signal, as `kill -s` names it.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.child.process_id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args(["-s", signal, &process]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for the end: the exit code, and all that was shown.
    pub(crate) fn end(mut self) -> (u32, String) {
        let code = self.child.wait().unwrap().exit_code();
        while let Ok(more) = self.shown.recv_timeout(DEADLINE) {
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        (code, self.seen)
    }
}
