//! Following on a server that goes away and comes back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};

use agentkeep::{Container, Image, Session, Store};

use crate::own::Server;
use crate::support::{Home, said};

/// What a server says as long as it reads its file; to each command of a new connection.
const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";
/// So often the command has asked in vain before the server is there.
const IN_VAIN: usize = 4;

/// Ended with the test, however it ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes the server's place, and is not ready.
fn is_loading(address: &str, following: &mut Child) {
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut calls = Vec::new();
    while calls.len() < IN_VAIN {
        if let Ok((mut call, _)) = listener.accept() {
            call.write_all(LOADING.repeat(8).as_bytes()).unwrap();
            calls.push(call);
        }
        assert_eq!(following.try_wait().unwrap(), None, "it ended after {} calls", calls.len());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn goes_on_when_the_server_is_back() {
    if super::server("AGENTKEEP_TEST_REDIS", "redis", "follow").is_none() {
        return;
    }
    let server = Server::start("redis", "follow");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = || async { Store::open(&server.url).await.unwrap() };
    runtime.block_on(async {
        let store = open().await;
        store.containers().save(Container::new("c").unwrap()).await.unwrap();
        store.images().save(Image::new("i", "c", "x").unwrap()).await.unwrap();
        store.sessions().save(Session::new("s", "i", "c").unwrap()).await.unwrap();
        store.messages("s").add(said("before", "x")).await.unwrap();
        store.close().await.unwrap();
    });
    let home = Home::new();
    let mut command = home.command(&["sessions", "show", "s", "--follow", "--json"]);
    let child = command.env("AGENTKEEP_STORE", &server.url).stdout(Stdio::piped()).spawn().unwrap();
    let mut following = Ended(child);
    let mut lines = BufReader::new(following.0.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"before\""));
    server.kill();
    let (_, address) = server.url.rsplit_once('@').unwrap();
    is_loading(address, &mut following.0);
    server.restart();
    runtime.block_on(async {
        let store = open().await;
        store.messages("s").add(said("after", "x")).await.unwrap();
        store.close().await.unwrap();
    });
    assert!(lines.next().unwrap().unwrap().contains("\"after\""));
}
