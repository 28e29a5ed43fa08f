//! Whether a pooler stands between us and the server.
//!
//! A statement prepared by name may, behind a pooler, be another client's of the same name: that is
//! to be known before the first one is used, not from an error. A pooler makes up the key with which
//! a client may cancel; the server's own key has the number of the server's process. The client
//! library shows the key to nobody but the server, so it is told to cancel on a stream of ours.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Bytes of a request to cancel: its length, its code, the process, the secret.
const REQUEST: usize = 16;

/// The number of the process in the key that the connection was given.
pub(super) async fn process_of(token: CancelToken) -> Option<i32> {
    let (mut near, far) = tokio::io::duplex(256);
    // Where encryption is asked for first, this is the consent.
    near.write_all(b"S").await.ok()?;
    token.cancel_query_raw(far, AsItIs).await.ok()?;
    let mut sent = Vec::new();
    near.read_to_end(&mut sent).await.ok()?;
    let request = sent.get(sent.len().checked_sub(REQUEST)?..)?;
    Some(i32::from_be_bytes(request.get(8..12)?.try_into().ok()?))
}

/// Encrypts nothing: what it is given never leaves the process.
struct AsItIs;

/// The stream of [`AsItIs`].
struct Plain(DuplexStream);

impl TlsConnect<DuplexStream> for AsItIs {
    type Stream = Plain;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Plain>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        std::future::ready(Ok(Plain(stream)))
    }
}

impl TlsStream for Plain {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
