//! `init`.

use std::process::ExitCode;

use agentkeep::Kind;
use serde::Serialize;

use super::{Outcome, open, open_existing};
use crate::args::Global;
use crate::output::{self, text};

#[derive(Debug, Serialize)]
struct Document<'a> {
    made: bool,
    store: &'a agentkeep::driver::Description,
}

/// Makes the store, unless it is there.
pub(crate) async fn run(global: &Global) -> Outcome {
    let (store, made) = match open_existing(global).await {
        Ok(store) => (store, false),
        Err(error) if error.kind() == Kind::NotFound => (open(global).await?, true),
        Err(error) => return Err(error),
    };
    let description = store.describe().clone();
    store.close().await?;
    if global.json {
        output::print_json(&Document { made, store: &description })?;
    } else {
        let place = text::one_line(&format!("{}:{}", description.driver, description.location));
        output::tell(&if made {
            format!("Made the store {place}. Next: agentkeep import, or your agent.")
        } else {
            format!("The store {place} is there already.")
        });
    }
    Ok(ExitCode::SUCCESS)
}
