//! A server of one test's own.

use std::path::Path;
use std::process::Command;

/// Started by the project's script; ends with this.
pub(crate) struct Server {
    service: &'static str,
    name: String,
    pub(crate) url: String,
}

fn script(name: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let output =
        Command::new(script).args(arguments).env("AGENTKEEP_SERVERS", name).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Server {
    pub(crate) fn start(service: &'static str, name: &str) -> Self {
        let name = format!("{service}-{name}-{}", std::process::id());
        let exports = script(&name, &["start", service]);
        let value = |variable: &str| {
            let line = exports.lines().find_map(|line| {
                line.strip_prefix("export ")?.strip_prefix(variable)?.strip_prefix('=')
            });
            line.unwrap().to_owned()
        };
        let variable = format!("AGENTKEEP_TEST_{}", service.to_uppercase().replace('-', "_"));
        let url = value(&variable);
        Self { service, name, url }
    }

    /// At once, as a crash would: nothing is written any more.
    pub(crate) fn kill(&self) {
        script(&self.name, &["kill", self.service]);
    }

    pub(crate) fn restart(&self) {
        script(&self.name, &["restart", self.service]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        script(&self.name, &["stop"]);
    }
}
