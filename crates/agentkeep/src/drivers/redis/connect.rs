//! New connections to single servers.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo, TlsCertificates,
};

use super::errors::map;
use super::link::look;
use super::options::Options;
use super::settings::Server;
use crate::error::{Error, Kind, Result};

/// Most time for one connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to the first of the hosts that will do, and what the server says of itself.
pub(super) async fn first(options: &Options) -> Result<(MultiplexedConnection, Server)> {
    let mut refused: Option<Error> = None;
    for host in &options.hosts {
        match one(options, host).await {
            Ok(found) => return Ok(found),
            // What can be mended by waiting says more than what cannot.
            Err(error) => {
                if refused.as_ref().is_none_or(|before| !before.is_retryable()) {
                    refused = Some(error);
                }
            }
        }
    }
    Err(refused.unwrap_or_else(|| Error::new(Kind::InvalidInput, "no host is named")))
}

/// A connection to the first of the hosts that answers, whatever it is, and which host.
pub(super) async fn any(options: &Options) -> Result<(MultiplexedConnection, (String, u16))> {
    let mut refused: Option<Error> = None;
    for host in &options.hosts {
        match plain(options, host).await {
            Ok(connection) => return Ok((connection, host.clone())),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| Error::new(Kind::InvalidInput, "no host is named")))
}

/// A connection, nothing asked yet.
pub(super) async fn plain(
    options: &Options,
    host: &(String, u16),
) -> Result<MultiplexedConnection> {
    let client = client(options, host)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT.min(options.timeout)))
        .set_response_timeout(Some(options.timeout));
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    connected.map_err(|error| map(&error))
}

async fn one(options: &Options, host: &(String, u16)) -> Result<(MultiplexedConnection, Server)> {
    let mut connection = plain(options, host).await?;
    let server = look(&connection).await?;
    if !server.clustered {
        server.verify(options, &format!("{}:{}", host.0, host.1))?;
    }
    // From here on each call has its own deadline.
    connection.set_response_timeout(Duration::from_hours(2));
    Ok((connection, server))
}

/// The client for one host.
pub(super) fn client(options: &Options, host: &(String, u16)) -> Result<Client> {
    let info = info(options, host)?;
    let client = match certificates(options)? {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    client.map_err(|error| map(&error))
}

/// The certificates to trust instead of the system's.
pub(super) fn certificates(options: &Options) -> Result<Option<TlsCertificates>> {
    if options.tls && rustls::crypto::CryptoProvider::get_default().is_none() {
        // The client takes the process's; where another one was installed, that stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let Some(path) = options.root_certificates.as_deref().filter(|_| options.tls) else {
        return Ok(None);
    };
    let read = std::fs::read(path)
        .map_err(|error| crate::drivers::io_error(&error, "tls_ca= cannot be read", path))?;
    Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(read) }))
}

/// Where and as whom to connect.
pub(super) fn info(options: &Options, (host, port): &(String, u16)) -> Result<ConnectionInfo> {
    let (host, port) = (host.clone(), *port);
    let address = if options.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut login = RedisConnectionInfo::default().set_db(i64::from(options.database));
    if let Some(user) = &options.user {
        login = login.set_username(user);
    }
    if let Some(password) = &options.password {
        login = login.set_password(password);
    }
    let info = address.into_connection_info().map_err(|error| map(&error))?;
    Ok(info.set_redis_settings(login).set_tcp_settings(tcp(options)))
}

pub(super) fn tcp(options: &Options) -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(options.timeout);
    let _ = options;
    settings
}
