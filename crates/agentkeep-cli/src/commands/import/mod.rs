//! `import ...`.

mod take;
mod undo;

use agentkeep::{Error, Kind};

use super::Outcome;
use crate::args::Global;
use crate::args::import::Import;

/// Takes in, or takes back.
pub(super) async fn run(global: &Global, args: Import) -> Outcome {
    match (args.origin, args.undo) {
        (Some(origin), _) => take::run(global, &origin).await,
        (None, Some(import)) => undo::run(global, &import).await,
        (None, None) => Err(Error::new(Kind::InvalidInput, "there is nothing to import")
            .advice("name an origin, for example `agentkeep import agentx PATH`")),
    }
}
