//! Where the long values of an envelope stand in its row.

use std::sync::Arc;

use crate::json::Json;

/// A shorter value stands in the record of the envelope, a longer one outside of it.
pub(crate) const INLINE: usize = 1024;
/// Objects of which the members are looked at one by one, for some of them change in every turn.
/// Keys as they stand in the text.
pub(crate) const OPENED: [&[&str]; 3] = [&[], &["\"runtime\""], &["\"runtime\"", "\"link\""]];

/// The members of an object as they stand in canonical text.
pub(super) type Members<'a> = Vec<(&'a str, &'a str)>;

/// Where long values begin in the text of a row, and how long they are. What is not among them may
/// be long all the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Long(Option<Arc<[(usize, usize)]>>);

impl Long {
    /// The members of a row, and the long values of its envelope: both in one pass, for most of the
    /// text of a row is its envelope.
    pub(super) fn of_row(row: &str) -> (Members<'_>, Self) {
        let mut find = Find { whole: row.len(), path: Vec::new(), found: Vec::new() };
        let mut members = Vec::with_capacity(8);
        each_member(row, |key, value| {
            let length = match key {
                "\"envelope\"" => find.value(value),
                _ => Json::length_of_first(value),
            };
            members.push((key, &value[..length]));
            length
        });
        (members, Self(Some(find.found.into())))
    }

    /// The length of the value that begins there, if it is one of them.
    pub(crate) fn length(&self, at: usize) -> Option<usize> {
        let known = self.0.as_ref()?.iter().find(|(start, _)| *start == at);
        known.map(|(_, length)| *length)
    }
}

struct Find<'a> {
    /// The length of the row.
    whole: usize,
    /// Where in the envelope it is.
    path: Vec<&'a str>,
    found: Vec<(usize, usize)>,
}

impl<'a> Find<'a> {
    /// Looks into the value that the rest of the row begins with; answers its length.
    fn value(&mut self, text: &'a str) -> usize {
        if text.starts_with('{') && OPENED.contains(&self.path.as_slice()) {
            return each_member(text, |key, value| {
                self.path.push(key);
                let length = self.value(value);
                self.path.pop();
                length
            });
        }
        let length = Json::length_of_first(text);
        if length > INLINE {
            self.found.push((self.whole - text.len(), length));
        }
        length
    }
}

/// Shows each member of the object that `text` begins with to `visit`, its key and all text from its
/// value on, and is told the value's length; answers the object's. So the whole of a long text is
/// gone over only once, whatever is opened in it.
pub(crate) fn each_member<'a>(
    text: &'a str,
    mut visit: impl FnMut(&'a str, &'a str) -> usize,
) -> usize {
    let mut at = 1;
    while at < text.len() && !text[at..].starts_with('}') {
        at += usize::from(at > 1);
        let key = &text[at..at + Json::length_of_first(&text[at..])];
        at += key.len() + 1;
        at += visit(key, &text[at..]);
    }
    at + 1
}
