//! A proxy that counts what goes through, and cuts the connection after so many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What has gone through, and what may still go.
#[derive(Default)]
pub(crate) struct Counts {
    bytes: [AtomicU64; 2],
    trips: AtomicU64,
    /// 1 when the last bytes went to the server.
    asking: AtomicU64,
    /// Bytes left before the cut, by way; negative for no cut.
    left: [AtomicI64; 2],
    pub(crate) cuts: AtomicU64,
}

impl Counts {
    pub(crate) fn bytes(&self, way: Way) -> u64 {
        self.bytes[way as usize].load(Ordering::SeqCst)
    }

    /// How often something was asked and then answered.
    pub(crate) fn trips(&self) -> u64 {
        self.trips.load(Ordering::SeqCst)
    }

    /// Cuts every connection once so many more bytes have gone this way.
    pub(crate) fn cut_after(&self, way: Way, bytes: i64) {
        self.left[way as usize].store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn no_cut(&self) {
        self.left.iter().for_each(|left| left.store(-1, Ordering::SeqCst));
    }

    /// How many of so many bytes may go; the cut is made when that is fewer.
    fn allowed(&self, way: Way, bytes: usize) -> usize {
        let left = &self.left[way as usize];
        let now = left.load(Ordering::SeqCst);
        if now < 0 {
            return bytes;
        }
        let allowed = bytes.min(usize::try_from(now).unwrap());
        left.store(now - i64::try_from(allowed).unwrap(), Ordering::SeqCst);
        allowed
    }
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) counts: Arc<Counts>,
}

impl Proxy {
    /// Before the server at this address.
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        counts.no_cut();
        let shared = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (counts, server) = (Arc::clone(&shared), server.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(&server).await {
                        client.set_nodelay(true).unwrap();
                        server.set_nodelay(true).unwrap();
                        both(client, server, counts).await;
                    }
                });
            }
        });
        Self { port, counts }
    }
}

async fn both(client: TcpStream, server: TcpStream, counts: Arc<Counts>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // When one way ends, both do: the sockets are closed.
    tokio::select! {
        () = one(from_client, to_server, Way::ToServer, &counts) => {}
        () = one(from_server, to_client, Way::ToClient, &counts) => {}
    }
}

async fn one(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: Way,
    counts: &Counts,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(bytes @ 1..) = from.read(&mut buffer).await else { return };
        let asking = u64::from(way == Way::ToServer);
        if counts.asking.swap(asking, Ordering::SeqCst) == 1 && asking == 0 {
            counts.trips.fetch_add(1, Ordering::SeqCst);
        }
        let allowed = counts.allowed(way, bytes);
        counts.bytes[way as usize].fetch_add(allowed as u64, Ordering::SeqCst);
        let sent = to.write_all(&buffer[..allowed]).await;
        if allowed < bytes {
            counts.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if sent.is_err() {
            return;
        }
    }
}
