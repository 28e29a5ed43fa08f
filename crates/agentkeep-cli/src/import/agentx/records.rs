//! Records of the source as ours: which can be taken, and what is remarkable about them.

use agentkeep::driver::{Put, Save};
use agentkeep::schema::{CONTAINERS, IMAGES, Key, SESSIONS, Table};
use agentkeep::{Container, Error, Image, Json, Session};

use super::secrets;
use super::source::Sort;
use crate::import::bytes::{check_size, reason_of, to_json};
use crate::import::ids::{self, Named};
use crate::import::report::List;

/// A record of one of the sorts.
#[derive(Debug)]
pub(super) enum Record {
    Container(Container),
    Image(Image),
    Session(Session),
    /// Its kind, id and body.
    Definition(&'static str, String, Json),
}

/// A record, its id in the source, and what is to be told about it.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) record: Record,
    pub(super) original: String,
    pub(super) notes: Vec<(List, String)>,
}

/// What a sort is called.
pub(super) fn what(sort: Sort) -> &'static str {
    match sort {
        Sort::Container => "container",
        Sort::Image => "image",
        Sort::Session => "session",
        Sort::Prototype => "prototype",
        Sort::Provider => "llm-provider",
        Sort::Messages => "message list",
    }
}

impl Record {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Container(container) => container.id(),
            Self::Image(image) => image.id(),
            Self::Session(session) => session.id(),
            Self::Definition(_, id, _) => id,
        }
    }

    pub(super) fn body(&self) -> &Json {
        match self {
            Self::Container(container) => container.json(),
            Self::Image(image) => image.json(),
            Self::Session(session) => session.json(),
            Self::Definition(_, _, body) => body,
        }
    }

    /// The containers and images that it names.
    pub(super) fn parents(&self) -> Vec<(Sort, String)> {
        match self {
            Self::Image(image) => vec![(Sort::Container, image.container_id())],
            Self::Session(session) => {
                vec![(Sort::Image, session.image_id()), (Sort::Container, session.container_id())]
            }
            _ => Vec::new(),
        }
    }
}

/// Reads a record; an error says why it cannot be taken.
pub(super) fn read(sort: Sort, text: &str) -> Result<Parsed, String> {
    let (json, replaced) = to_json(text)?;
    if !json.is_object() {
        return Err(format!("the {} is no JSON object", what(sort)));
    }
    let mut parsed = of_sort(sort, json)?;
    parsed.notes.extend(replaced.map(|told| (List::Altered, told)));
    check_size(parsed.record.body())?;
    Ok(parsed)
}

fn of_sort(sort: Sort, json: Json) -> Result<Parsed, String> {
    let refused = |error: Error| reason_of(&error);
    let (named, record) = match sort {
        Sort::Container => {
            let named = ids::usable(json, "containerId", &[], &[])?;
            let container = Container::from_json(named.json.clone()).map_err(refused)?;
            (named, Record::Container(container))
        }
        Sort::Image => {
            let optional = ["sessionId", "parentImageId", "prototypeId"];
            let named = ids::usable(json, "imageId", &["containerId"], &optional)?;
            let image = Image::from_json(named.json.clone()).map_err(refused)?;
            (named, Record::Image(image))
        }
        Sort::Session => {
            let named = ids::usable(json, "sessionId", &["imageId", "containerId"], &[])?;
            let session = Session::from_json(named.json.clone()).map_err(refused)?;
            (named, Record::Session(session))
        }
        _ => return definition(sort, &json),
    };
    let table = match sort {
        Sort::Container => &CONTAINERS,
        Sort::Image => &IMAGES,
        _ => &SESSIONS,
    };
    check_indexed(table, &record)?;
    let Named { original, notes, .. } = named;
    Ok(Parsed { record, original, notes })
}

/// A prototype or provider. The field of its id has had several names.
fn definition(sort: Sort, json: &Json) -> Result<Parsed, String> {
    let fields: &[&str] = match sort {
        Sort::Prototype => &["prototypeId", "id"],
        _ => &["id", "providerId", "llmProviderId"],
    };
    let field = fields.iter().find(|field| json.raw_member(field).is_some());
    let field = field.ok_or_else(|| format!("it has no {}", fields[0]))?;
    let mut left = Vec::new();
    let json = match sort {
        Sort::Provider => secrets::without(json, "", &mut left),
        _ => json.clone(),
    };
    let mut named = ids::usable(json, field, &[], &["containerId"])?;
    let told =
        left.into_iter().map(|place| (List::LeftBehind, format!("its {place} was not taken")));
    named.notes.extend(told);
    let id = ids::escaped(&named.original).unwrap_or_else(|| named.original.clone());
    let record = Record::Definition(what(sort), id, named.json);
    Ok(Parsed { record, original: named.original, notes: named.notes })
}

/// An indexed text beyond the store's limit would stop the whole import.
fn check_indexed(table: &'static Table, record: &Record) -> Result<(), String> {
    let key = Key::new(table, [record.id()]).map_err(|error| reason_of(&error))?;
    let put = Put::new(key, record.body().clone(), Save::Any);
    put.map(|_| ()).map_err(|error| reason_of(&error))
}
