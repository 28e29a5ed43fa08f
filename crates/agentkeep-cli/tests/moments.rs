//! Commands that read one moment of a store on Redis, which is a copy there, and are interrupted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test states what must hold")]
#![cfg(feature = "redis")]

mod support;

use std::process::{Command, Stdio};

use support::{Home, Ran, filled};

/// The URL of a store that nobody else has, and its base; `None` where there is no server.
fn store(test: &str) -> Option<(String, String)> {
    let server = std::env::var("AGENTKEEP_TEST_REDIS").ok().filter(|url| !url.is_empty());
    let required = std::env::var_os("AGENTKEEP_TEST_SERVERS").is_some();
    assert!(server.is_some() || !required, "{test}: there is no redis, and it was required");
    if server.is_none() {
        eprintln!("SKIPPED {test}: no redis; eval \"$(scripts/services start redis)\"");
    }
    let base = format!("moments_{}", std::process::id());
    Some((format!("{}?base={base}", server?), base))
}

fn connection(url: &str) -> redis::Connection {
    let server = url.split('?').next().unwrap();
    redis::Client::open(server).unwrap().get_connection().unwrap()
}

fn keys(client: &mut redis::Connection, pattern: &str) -> Vec<Vec<u8>> {
    let mut cmd = redis::cmd("SCAN");
    cmd.cursor_arg(0).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
    cmd.iter(client).unwrap().map(Result::unwrap).collect()
}

#[test]
fn who_is_interrupted_leaves_no_copy() {
    let Some((url, base)) = store("who_is_interrupted_leaves_no_copy") else { return };
    let mut client = connection(&url);
    let mut messages = 10_000;
    let home = Home::new();
    loop {
        filled(&home, &[("default", messages)]);
        home.ok(&["copy", &url]);
        let out = home.file("out.json");
        let other = format!("sqlite:{}", home.file("other.db").display());
        let mut interrupted = 0;
        for args in [vec!["export", out.to_str().unwrap()], vec!["copy", &other], vec!["check"]] {
            let mut command = home.command(&[&["--store", &url], &args[..]].concat());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let copies = format!("{base}:*:snapshot:*:alive");
            while keys(&mut client, &copies).is_empty() && child.try_wait().unwrap().is_none() {}
            let pid = child.id().to_string();
            // It may be over by then.
            let _ = Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status();
            let ran = Ran::of(child.wait_with_output().unwrap());
            interrupted += i32::from(ran.stderr.contains("interrupted"));
            assert_eq!(keys(&mut client, &format!("{base}:*:snapshot:*")).len(), 0, "{args:?}");
        }
        for key in keys(&mut client, &format!("{base}:*")) {
            redis::cmd("UNLINK").arg(key).exec(&mut client).unwrap();
        }
        if interrupted == 3 {
            return;
        }
        messages *= 2;
        for name in ["data", "other.db", "out.json"] {
            let path = home.file(name);
            let _ = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
        }
    }
}
