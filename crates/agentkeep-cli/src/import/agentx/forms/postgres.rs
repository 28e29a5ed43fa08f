//! A live PostgreSQL database: one table of keys and values.

use agentkeep::Result;
use agentkeep::foreign::Postgres;

use super::live::Copying;
use super::not_agentx;
use crate::import::agentx::Data;

/// The table that AgentX makes in the role's default schema.
const TABLE: &str = "unstorage";

/// Copies the table, as it is at one moment, by a transaction that can only read.
pub(super) async fn open(url: &str) -> Result<(Data, String)> {
    let database = Postgres::open(url).await?;
    let place = database.location();
    let copied = copy(&database).await.map_err(|error| error.at(place.clone()))?;
    Ok((copied, place))
}

async fn copy(database: &Postgres) -> Result<Data> {
    if !database.has(TABLE).await? {
        return Err(not_agentx("a PostgreSQL database without the table unstorage"));
    }
    let mut copying = Copying::new()?;
    let columns = ["key", "value"];
    // The key is never null: it is the primary one.
    database.pairs(TABLE, columns, |key, value| copying.value(key.unwrap_or(&[]), value)).await?;
    Ok(Data::Values(Box::new(copying.finish("AgentX PostgreSQL database")?)))
}
