//! How long who follows waits for a server that is away.

use std::time::{Duration, Instant};

use super::space::Space;
use crate::error::{Kind, Result};

/// So long: a server that restarts may have to read all that it keeps.
const AWAY: Duration = Duration::from_mins(1);
/// Between two looks, beside the attempts that the driver makes each time.
const PAUSE: Duration = Duration::from_millis(500);

/// Since when each read has failed.
#[derive(Debug, Default)]
pub(crate) struct Patience(Option<Instant>);

impl Patience {
    /// What was read; `None`, a moment later, if it may be read soon.
    ///
    /// # Errors
    /// What trying again would not help, or has not for a minute.
    pub(crate) async fn hear<T>(&mut self, space: &Space, read: Result<T>) -> Result<Option<T>> {
        let error = match read {
            Ok(read) => {
                self.0 = None;
                return Ok(Some(read));
            }
            Err(error) => error,
        };
        let away = matches!(error.kind(), Kind::Unavailable | Kind::Timeout);
        if !away || !error.is_retryable() {
            return Err(error);
        }
        if self.0.get_or_insert_with(Instant::now).elapsed() >= AWAY {
            self.0 = None;
            return Err(error);
        }
        space.ages().sleep(PAUSE).await;
        Ok(None)
    }
}
