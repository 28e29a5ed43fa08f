//! Runs in a load.

use super::met::Found;
use super::{Load, Met, Mode, STEP_BYTES};
use crate::error::Result;
use crate::model::RunSnapshot;
use crate::repo::runs::imports;
use crate::schema::Turn;

impl Load {
    /// Takes in a run as another program left it.
    ///
    /// # Errors
    /// `TooLarge` for one that no commit could hold; what the driver says.
    pub async fn run(&mut self, snapshot: RunSnapshot) -> Result<Met> {
        let weight = imports::weigh(&snapshot)?;
        let found = self.compare_run(&snapshot).await?;
        self.tally(|loaded| &mut loaded.runs, found);
        if found == Found::Missing {
            let (operations, bytes) = weight;
            if self.mode == Mode::Many && self.bytes.saturating_add(bytes) > STEP_BYTES {
                self.flush().await?;
            }
            self.weigh(operations, bytes);
            if self.writes() {
                self.unit.push(imports::take_in(snapshot));
                self.step().await?;
            }
        }
        Ok(found.into())
    }

    async fn compare_run(&self, snapshot: &RunSnapshot) -> Result<Found> {
        if self.blank {
            return Ok(Found::Missing);
        }
        let record = self.space.get(&imports::key(snapshot)?).await?;
        Ok(match record {
            None => Found::Missing,
            Some(record) if !imports::is_as(&record, snapshot)? => Found::Other,
            Some(record) if self.is_mine(record.turn.as_ref().map(Turn::as_str)) => Found::Mine,
            Some(_) => Found::Same,
        })
    }
}
