//! The way to a cluster: the client knows which node has which slot. All nodes are looked at when
//! the store is opened, and again after a connection broke or a slot moved: another one may have taken
//! over.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Cmd, Value};

use super::connect::{certificates, info, tcp};
use super::errors::{map, strange};
use super::options::Options;
use super::settings;
use crate::error::{Error, Kind, Result};

/// Who sends again what was not answered.
#[derive(Clone, Copy)]
pub(super) enum Again {
    /// The client, by itself: for what may be repeated. It also follows a slot that moves.
    Client,
    /// Nobody but who asks. The client tells of the last attempt alone, and an earlier one may have happened.
    Caller,
}

/// How often the client sends, by `Again`.
const RETRIES: [u32; 2] = [2, 0];

pub(super) struct Cluster {
    clients: [ClusterClient; 2],
    connections: tokio::sync::Mutex<[Option<ClusterConnection>; 2]>,
    /// True while the nodes that a connection knows are as they were looked at.
    looked_at: [AtomicBool; 2],
}

impl Cluster {
    pub(super) fn new(options: &Options) -> Result<Self> {
        if options.database != 0 {
            return Err(Error::new(Kind::InvalidInput, "a cluster has no database but 0")
                .advice("leave the database out"));
        }
        let seeds = options.hosts.iter().map(|host| info(options, host));
        let seeds = seeds.collect::<Result<Vec<_>>>()?;
        let client = |retries| {
            let mut builder = ClusterClient::builder(seeds.clone())
                .retries(retries)
                .connection_timeout(options.timeout.min(std::time::Duration::from_secs(5)))
                .response_timeout(std::time::Duration::from_hours(2))
                .overall_response_timeout(None)
                .tcp_settings(tcp(options));
            if let Some(certificates) = certificates(options)? {
                builder = builder.certs(certificates);
            }
            builder.build().map_err(|error| map(&error))
        };
        let [by_itself, once] = RETRIES.map(client);
        Ok(Self {
            clients: [by_itself?, once?],
            connections: tokio::sync::Mutex::default(),
            looked_at: Default::default(),
        })
    }

    pub(super) async fn get(&self, again: Again, options: &Options) -> Result<ClusterConnection> {
        let mut held = self.connections.lock().await;
        let [by_itself, once] = &mut *held;
        let [client, caller] = &self.clients;
        let [for_client, for_caller] = &self.looked_at;
        let (client, held, looked_at) = match again {
            Again::Client => (client, by_itself, for_client),
            Again::Caller => (caller, once, for_caller),
        };
        let connection = if let Some(connection) = &*held {
            connection.clone()
        } else {
            let connection = client.get_async_connection().await;
            let connection = connection.map_err(|error| map(&error))?;
            self.look_again();
            connection
        };
        if !looked_at.swap(true, Ordering::AcqRel)
            && let Err(error) = look(&connection, options).await
        {
            looked_at.store(false, Ordering::Release);
            return Err(error);
        }
        *held = Some(connection.clone());
        Ok(connection)
    }

    pub(super) fn look_again(&self) {
        self.looked_at.iter().for_each(|looked_at| looked_at.store(false, Ordering::Release));
    }

    pub(super) async fn forget(&self) {
        *self.connections.lock().await = [None, None];
    }
}

/// Looks at all nodes, also at replicas: any of them may become a master.
async fn look(connection: &ClusterConnection, options: &Options) -> Result<()> {
    let all = |cmd: Cmd| {
        let mut connection = connection.clone();
        async move {
            let routing = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllNodes, None));
            connection.route_command(cmd, routing).await
        }
    };
    let mut cmd = redis::cmd("CLUSTER");
    cmd.arg("MYID");
    let nodes = all(cmd).await.map_err(|error| map(&error))?;
    let Value::Map(nodes) = nodes else { return Err(strange("the nodes of the cluster")) };
    for (address, _) in nodes {
        let address: String =
            redis::from_redis_value(address).map_err(|_| strange("the nodes of the cluster"))?;
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(strange("the nodes of the cluster"));
        };
        let port = port.parse().map_err(|_| strange("the nodes of the cluster"))?;
        let one = |cmd: Cmd| {
            let (mut connection, host) = (connection.clone(), host.to_owned());
            async move {
                let node = redis::cluster_routing::SingleNodeRoutingInfo::ByAddress { host, port };
                connection.route_command(cmd, RoutingInfo::SingleNode(node)).await
            }
        };
        settings::look(one).await?.verify_node(options, &address)?;
    }
    Ok(())
}
