//! From a source into a store, all or none.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use agentkeep::{Container, Error, Image, Kind, Load, Result, Session, Store};

use super::records::{self, Placed};
use super::source::Source;
use super::{messages, source};
use crate::import::progress::Progress;
use crate::import::report::{Note, Notes, Origin, Report};
use crate::output::text;

/// Takes everything in, or with `dry_run` says what would come in.
pub(crate) async fn take(
    store: &Store,
    source: &dyn Source,
    path: &Path,
    dry_run: bool,
) -> Result<Report> {
    let mut notes = Notes { not_taken: source.others(), ..Notes::default() };
    let containers = records::read::<Container>(source, &mut notes)?;
    let images = records::read::<Image>(source, &mut notes)?;
    let sessions = records::read::<Session>(source, &mut notes)?;
    note_missing_parents(store, &containers, &images, &sessions, &mut notes).await?;

    let mut load = if dry_run { store.load().dry_run() } else { store.load() };
    for container in containers {
        load.container(container.record).await?;
    }
    for image in images {
        load.image(image.record).await?;
    }
    load_sessions(&mut load, source, sessions, &mut notes).await?;
    let loaded = load.finish().await.map_err(too_much)?;
    let origin = Origin { form: source.form(), path: path.display().to_string() };
    Ok(Report::new(origin, dry_run, loaded, notes))
}

/// All of it comes in with one commit, and that has a limit.
fn too_much(error: Error) -> Error {
    if error.kind() != Kind::TooLarge {
        return error;
    }
    let message = format!("the source is too large to come in at once: {}", error.message());
    Error::new(Kind::TooLarge, message).advice("nothing was taken in").caused_by(error)
}

async fn load_sessions(
    load: &mut Load,
    source: &dyn Source,
    sessions: Vec<Placed<Session>>,
    notes: &mut Notes,
) -> Result<()> {
    let owners = owners(source, &sessions);
    let mut progress = Progress::new(sessions.len() as u64, "sessions");
    let mut claimed = HashSet::new();
    for (i, session) in sessions.into_iter().enumerate() {
        let place = source.place_of_messages(session.record.id());
        claimed.insert(place.clone());
        let found = if owners.get(&place) == Some(&i) { source.messages(&place)? } else { None };
        let messages = found.map(|value| messages::read(value, notes)).unwrap_or_default();
        load.session(session.record, messages).await?;
        progress.step();
    }
    for place in source.all_messages().into_iter().filter(|place| !claimed.contains(place)) {
        if let Some(value) = source.messages(&place)? {
            notes.orphans.push(orphan(place, &value));
        }
    }
    Ok(())
}

/// Whose each message list is. Where sessions share a list, it belongs to the one whose record
/// stands where AgentX would look for it; else to the first.
fn owners(source: &dyn Source, sessions: &[Placed<Session>]) -> HashMap<String, usize> {
    let mut owners = HashMap::new();
    for (i, session) in sessions.iter().enumerate() {
        let id = session.record.id();
        let home = source.place_of(source::Sort::Session, id);
        let list = source.place_of_messages(id);
        if home.is_some_and(|home| home == session.place) || !owners.contains_key(&list) {
            owners.insert(list, i);
        }
    }
    owners
}

fn orphan(place: String, value: &source::Value) -> Note {
    let reason = match messages::count(value) {
        Ok(count) => format!("{} of no session", text::counted(count as u64, "message")),
        Err(reason) => reason,
    };
    Note::new(place, reason)
}

async fn note_missing_parents(
    store: &Store,
    containers: &[Placed<Container>],
    images: &[Placed<Image>],
    sessions: &[Placed<Session>],
    notes: &mut Notes,
) -> Result<()> {
    let mut known: HashSet<_> =
        containers.iter().map(|placed| container(placed.record.id())).collect();
    known.extend(images.iter().map(|placed| image(placed.record.id())));
    let mut wanted = Vec::new();
    for placed in images {
        wanted.push((&placed.place, container(&placed.record.container_id())));
    }
    for placed in sessions {
        wanted.push((&placed.place, image(&placed.record.image_id())));
        wanted.push((&placed.place, container(&placed.record.container_id())));
    }
    for (place, parent) in wanted {
        if known.contains(&parent) {
            continue;
        }
        let (what, id) = &parent;
        let exists = match *what {
            "container" => store.containers().exists(id).await?,
            _ => store.images().exists(id).await?,
        };
        if exists {
            known.insert(parent);
        } else {
            notes.missing_parents.push(Note::new(place, format!("there is no {what} {id:?}")));
        }
    }
    Ok(())
}

fn container(id: &str) -> (&'static str, String) {
    ("container", id.to_owned())
}

fn image(id: &str) -> (&'static str, String) {
    ("image", id.to_owned())
}
