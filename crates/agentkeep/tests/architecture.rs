//! The four rules of the layout, kept by reading the imports.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test states what must hold by unwrapping it"
)]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What follows `crate::` in a file, outside comments.
fn imports(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn refuse(files: &[PathBuf], allowed: impl Fn(&str) -> bool, rule: &str) {
    assert!(!files.is_empty(), "{rule}: no files");
    for file in files {
        for import in imports(file) {
            assert!(allowed(&import), "{rule}: {} imports crate::{import}", file.display());
        }
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn drivers_import_only_the_seam_and_never_each_other() {
    for name in ["memory", "redis", "sql"] {
        let files = sources(&src().join("drivers").join(name));
        let own = format!("drivers::{name}");
        // The kernel is shared by those without a database of their own.
        let seam = [
            "drivers::kernel",
            "drivers::durable",
            "drivers::io_error",
            "drivers::network_fs",
            "drivers::server",
            "drivers::{",
            "driver::",
            "schema::",
            "error::",
            "json::",
            "Error",
            "Json",
            "Result",
        ];
        let allowed = |import: &str| {
            import.starts_with(&own) || seam.iter().any(|part| import.starts_with(part))
        };
        refuse(&files, allowed, "drivers know only the seam");
    }
}

#[test]
fn repositories_and_models_never_name_a_driver() {
    for folder in ["repo", "model"] {
        let files = sources(&src().join(folder));
        refuse(&files, |import| !import.starts_with("drivers"), "repositories name no driver");
    }
}

#[test]
fn the_seam_stands_on_the_schema_alone() {
    for folder in ["driver", "schema", "json"] {
        let files = sources(&src().join(folder));
        let below = ["driver", "schema", "error", "json", "Error", "Json", "Result"];
        let allowed = |import: &str| {
            below.iter().any(|part| import.starts_with(part)) && !import.starts_with("drivers")
        };
        refuse(&files, allowed, "the seam knows nothing above it");
    }
}

#[test]
fn the_command_uses_only_the_public_api() {
    let command = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agentkeep-cli/src");
    for file in sources(&command) {
        let text = fs::read_to_string(&file).unwrap();
        // The conformance suite and single drivers are for authors of drivers.
        for part in ["agentkeep::drivers", "agentkeep::conformance"] {
            assert!(!text.contains(part), "{} uses {part}", file.display());
        }
    }
}

#[test]
fn files_stay_small() {
    for folder in [src(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../agentkeep-cli/src")] {
        for file in sources(&folder) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.lines().map(str::trim_start);
            let lines = code.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
            assert!(lines <= 400, "{} has {lines} lines of code", file.display());
        }
    }
}
