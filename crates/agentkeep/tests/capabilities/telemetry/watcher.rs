//! A subscriber that writes down every span and event with all that they are told.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// A span or an event.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) name: String,
    /// The span that it is in: its place among the spans.
    pub(super) parent: Option<usize>,
    pub(super) values: BTreeMap<String, String>,
}

impl Told {
    pub(super) fn names(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }

    pub(super) fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) spans: Vec<Told>,
    pub(super) events: Vec<Told>,
    entered: Vec<usize>,
    metadata: Vec<&'static Metadata<'static>>,
}

impl Seen {
    pub(super) fn spans(&self, name: &str) -> Vec<&Told> {
        self.spans.iter().filter(|span| span.name == name).collect()
    }

    pub(super) fn events(&self, name: &str) -> Vec<&Told> {
        self.events.iter().filter(|event| event.name == name).collect()
    }

    /// The name of the span that something is in.
    pub(super) fn parent(&self, told: &Told) -> &str {
        told.parent.map_or("", |parent| &self.spans[parent].name)
    }
}

#[derive(Clone, Default)]
pub(super) struct Watcher(pub(super) Arc<Mutex<Seen>>);

struct Values<'a>(&'a mut Told);

impl Values<'_> {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.0.name = value,
            name => drop(self.0.values.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Values<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
}

fn place(id: &Id) -> usize {
    usize::try_from(id.into_u64()).unwrap() - 1
}

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("agentkeep")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut seen = self.0.lock().unwrap();
        let name = attributes.metadata().name().to_owned();
        let mut told = Told { name, parent: seen.entered.last().copied(), ..Told::default() };
        attributes.record(&mut Values(&mut told));
        seen.spans.push(told);
        seen.metadata.push(attributes.metadata());
        Id::from_u64(seen.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        values.record(&mut Values(&mut self.0.lock().unwrap().spans[place(span)]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut seen = self.0.lock().unwrap();
        let mut told = Told { parent: seen.entered.last().copied(), ..Told::default() };
        event.record(&mut Values(&mut told));
        seen.events.push(told);
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(place(span));
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }

    fn current_span(&self) -> Current {
        let seen = self.0.lock().unwrap();
        match seen.entered.last() {
            Some(place) => Current::new(Id::from_u64(*place as u64 + 1), seen.metadata[*place]),
            None => Current::none(),
        }
    }
}
