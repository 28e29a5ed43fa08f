//! Lineages: a conversation as a list of segments of message streams.
//!
//! Fork, truncate, delete and edit write a new list and leave the entries alone. Only the last
//! segment can be open, which means that it goes on to the end of its stream; what closes it
//! makes the next message begin another stream.

use std::sync::Arc;

use crate::driver::{Record, Stretch};
use crate::error::{Error, Kind, Result};
use crate::json::{Json, ObjectEditor};
use crate::repo::space::Space;
use crate::schema::{Key, LINEAGES, Stream};

/// A stretch of one stream; both ends belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) stream: Stream,
    pub(crate) from: u64,
    /// `None` while it is open.
    pub(crate) to: Option<u64>,
}

/// The segments of one conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) segments: Vec<Segment>,
    /// So many messages from the start may also belong to other sessions: forks share a prefix.
    pub(crate) shared: u64,
    /// The session that this one was forked from, and how many messages it took along.
    pub(crate) fork_of: Option<(String, u64)>,
}

impl Segment {
    /// How many messages; an open one counts none, for its end is in the stream's head.
    fn closed_len(&self) -> u64 {
        self.to.map_or(0, |to| to + 1 - self.from)
    }
}

impl Lineage {
    /// A new conversation, its first stream named.
    pub(crate) fn fresh() -> Self {
        let segment = Segment { stream: Stream::unique("messages"), from: 1, to: None };
        Self { segments: vec![segment], ..Self::default() }
    }

    /// The lineage of a session with its version, as it is now; `None` when there is no session.
    pub(crate) async fn load(space: &Space, session: &str) -> Result<Option<(Arc<Self>, u64)>> {
        Self::load_by(space, &Self::key(session)?).await
    }

    async fn load_by(space: &Space, key: &Key) -> Result<Option<(Arc<Self>, u64)>> {
        let Some(record) = space.get(key).await? else {
            space.forget(key);
            return Ok(None);
        };
        let (lineage, version) = Self::of_record(&record)?;
        let lineage = Arc::new(lineage);
        space.remember(key.clone(), Arc::clone(&lineage), version);
        Ok(Some((lineage, version)))
    }

    pub(crate) fn key(session: &str) -> Result<Key> {
        Key::new(&LINEAGES, [session])
    }

    /// As [`load`](Self::load), from memory if it is there: the commit must check the version.
    pub(crate) async fn cached(space: &Space, key: &Key) -> Result<Option<(Arc<Self>, u64)>> {
        match space.remembered(key) {
            Some(remembered) => Ok(Some(remembered)),
            None => Box::pin(Self::load_by(space, key)).await,
        }
    }

    pub(crate) fn of_record(record: &Record) -> Result<(Self, u64)> {
        let lineage = Self::from_json(&record.body).map_err(|e| e.at(record.key.to_string()))?;
        Ok((lineage, record.version))
    }

    pub(crate) fn to_json(&self) -> Json {
        let segment = |segment: &Segment| {
            let to = segment.to.map_or_else(Json::null, integer);
            Json::array(&[Json::string(segment.stream.as_str()), integer(segment.from), to])
        };
        let segments: Vec<Json> = self.segments.iter().map(segment).collect();
        let streams: Vec<Json> =
            self.streams().iter().map(|stream| Json::string(stream.as_str())).collect();
        let mut editor = ObjectEditor::default();
        editor.set("segments", &Json::array(&segments));
        editor.set("streams", &Json::array(&streams));
        editor.set("shared", &integer(self.shared));
        if let Some((session, messages)) = &self.fork_of {
            let mut fork = ObjectEditor::default();
            fork.set("sessionId", &Json::string(session)).set("messages", &integer(*messages));
            editor.set("forkOf", &fork.finish());
        }
        editor.finish()
    }

    pub(crate) fn from_json(json: &Json) -> Result<Self> {
        let parsed = || {
            let segments = json
                .member("segments")?
                .elements()
                .map(|s| parse_segment(&s))
                .collect::<Option<_>>()?;
            let shared = unsigned(&json.member("shared")?)?;
            let fork_of = match json.member("forkOf") {
                None => None,
                Some(f) => {
                    Some((f.member("sessionId")?.to_text()?, unsigned(&f.member("messages")?)?))
                }
            };
            Some(Self { segments, shared, fork_of })
        };
        parsed().ok_or_else(|| Error::new(Kind::Corrupt, "a stored lineage is damaged"))
    }

    /// The distinct streams, in order of appearance.
    pub(crate) fn streams(&self) -> Vec<&Stream> {
        let mut streams: Vec<&Stream> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for segment in &self.segments {
            if seen.insert(&segment.stream) {
                streams.push(&segment.stream);
            }
        }
        streams
    }

    /// The open segment, if the last one is.
    pub(crate) fn open(&self) -> Option<&Segment> {
        self.segments.last().filter(|segment| segment.to.is_none())
    }

    /// How many messages the closed segments hold.
    pub(crate) fn closed_len(&self) -> u64 {
        self.segments.iter().map(Segment::closed_len).sum()
    }

    /// The same with the open segment ending at `last`, the stream's last number.
    pub(crate) fn closed_at(mut self, last: u64) -> Self {
        if let Some(segment) = self.segments.last_mut().filter(|segment| segment.to.is_none()) {
            if last < segment.from {
                self.segments.pop();
            } else {
                segment.to = Some(last);
            }
        }
        self
    }

    /// Where message `index` is; only within closed segments, or the open one without checking
    /// its end.
    pub(crate) fn locate(&self, index: u64) -> Option<(&Stream, u64)> {
        let mut before = 0;
        for segment in &self.segments {
            let len = segment.to.map_or(u64::MAX, |to| to + 1 - segment.from);
            if index - before < len {
                return Some((&segment.stream, segment.from + (index - before)));
            }
            before += len;
        }
        None
    }

    /// The index of an entry, if it belongs to the conversation.
    pub(crate) fn index_of(&self, stream: &Stream, number: u64) -> Option<u64> {
        let mut before = 0;
        for segment in &self.segments {
            let within = segment.from..=segment.to.unwrap_or(u64::MAX);
            if segment.stream == *stream && within.contains(&number) {
                return Some(before + number - segment.from);
            }
            before += segment.closed_len();
        }
        None
    }

    /// Segments of the messages `from..to`; all must be closed.
    fn slice(&self, from: u64, to: u64) -> Vec<Segment> {
        let mut before = 0;
        let mut slice = Vec::new();
        for segment in &self.segments {
            let len = segment.closed_len();
            let (start, end) = (from.max(before), to.min(before + len));
            if start < end {
                slice.push(Segment {
                    stream: segment.stream.clone(),
                    from: segment.from + (start - before),
                    to: Some(segment.from + (end - before) - 1),
                });
            }
            before += len;
        }
        slice
    }

    /// The first `count` messages of a closed lineage.
    pub(crate) fn prefix(&self, count: u64) -> Self {
        Self {
            segments: self.slice(0, count),
            shared: self.shared.min(count),
            fork_of: self.fork_of.clone(),
        }
    }

    /// A closed lineage without message `index`.
    pub(crate) fn without(&self, index: u64) -> Self {
        let mut segments = self.slice(0, index);
        segments.extend(self.slice(index + 1, u64::MAX));
        let shared = self.shared - u64::from(index < self.shared);
        Self { segments, shared, fork_of: self.fork_of.clone() }
    }

    /// A closed lineage with message `index` taken from another stream, where it is number 1.
    pub(crate) fn with_replaced(&self, index: u64, stream: &Stream) -> Self {
        let mut segments = self.slice(0, index);
        segments.push(Segment { stream: stream.clone(), from: 1, to: Some(1) });
        segments.extend(self.slice(index + 1, u64::MAX));
        Self { segments, shared: self.shared, fork_of: self.fork_of.clone() }
    }

    /// The stretches of the messages `from..to` (`u64::MAX`: to the end, the open segment too).
    pub(crate) fn stretches(&self, from: u64, to: u64) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = self
            .slice(from, to)
            .into_iter()
            .map(|s| Stretch { stream: s.stream, from: s.from, to: s.to.unwrap_or(u64::MAX) })
            .collect();
        let before = self.closed_len();
        if let Some(open) = self.open().filter(|_| to > before) {
            stretches.push(Stretch {
                stream: open.stream.clone(),
                from: open.from + from.saturating_sub(before),
                to: if to == u64::MAX { to } else { open.from + (to - before) - 1 },
            });
        }
        stretches
    }
}

fn integer(value: u64) -> Json {
    Json::assembled(value.to_string())
}

fn unsigned(json: &Json) -> Option<u64> {
    json.as_str().parse().ok()
}

fn parse_segment(json: &Json) -> Option<Segment> {
    let parts: Vec<Json> = json.elements().collect();
    let [stream, from, to] = parts.as_slice() else { return None };
    let (from, to) = (unsigned(from)?, if to.is_null() { None } else { Some(unsigned(to)?) });
    if from == 0 || to.is_some_and(|to| to < from) {
        return None;
    }
    Some(Segment { stream: Stream::new(&stream.to_text()?).ok()?, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(text: &str) -> Lineage {
        Lineage::from_json(&Json::parse(text).unwrap()).unwrap()
    }

    fn segments(lineage: &Lineage) -> String {
        lineage.to_json().raw_member("segments").unwrap().to_owned()
    }

    /// 3 messages of a, 2 of b, 1 of a again, then c is open.
    fn sample() -> Lineage {
        lineage(
            r#"{"segments":[["a",1,3],["b",5,6],["a",9,9],["c",1,null]],"streams":[],"shared":4}"#,
        )
    }

    #[test]
    fn comes_back_from_json() {
        let mut fork = sample();
        fork.fork_of = Some(("chat".into(), 4));
        assert_eq!(Lineage::from_json(&fork.to_json()).unwrap(), fork);
        assert_eq!(fork.to_json().raw_member("streams"), Some(r#"["a","b","c"]"#));
        for damaged in [
            r#"{"segments":[["a",0,3]],"shared":0}"#,
            r#"{"segments":[["a",3,2]],"shared":0}"#,
            r#"{"segments":[["a",1]],"shared":0}"#,
            r#"{"segments":[]}"#,
            "[]",
        ] {
            let error = Lineage::from_json(&Json::parse(damaged).unwrap()).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{damaged}");
        }
    }

    #[test]
    fn finds_messages_by_index_and_back() {
        let sample = sample();
        let places =
            [("a", 1), ("a", 2), ("a", 3), ("b", 5), ("b", 6), ("a", 9), ("c", 1), ("c", 2)];
        for (index, (stream, number)) in (0..).zip(places) {
            let stream = Stream::new(stream).unwrap();
            assert_eq!(sample.locate(index), Some((&stream, number)));
            assert_eq!(sample.index_of(&stream, number), Some(index));
        }
        assert_eq!(sample.index_of(&Stream::new("a").unwrap(), 4), None);
        assert_eq!(sample.clone().closed_at(2).locate(8), None);
    }

    #[test]
    fn closing_ends_the_open_segment_or_drops_an_empty_one() {
        assert_eq!(
            segments(&sample().closed_at(7)),
            r#"[["a",1,3],["b",5,6],["a",9,9],["c",1,7]]"#
        );
        assert_eq!(segments(&sample().closed_at(0)), r#"[["a",1,3],["b",5,6],["a",9,9]]"#);
    }

    #[test]
    fn cuts_keep_the_rest_in_order() {
        let closed = sample().closed_at(2);
        assert_eq!(segments(&closed.prefix(4)), r#"[["a",1,3],["b",5,5]]"#);
        assert_eq!(closed.prefix(2).shared, 2);
        assert_eq!(segments(&closed.prefix(0)), "[]");
        let without = closed.without(1);
        assert_eq!(segments(&without), r#"[["a",1,1],["a",3,3],["b",5,6],["a",9,9],["c",1,2]]"#);
        assert_eq!((without.shared, closed.without(7).shared), (3, 4));
        let stream = Stream::new("x").unwrap();
        assert_eq!(
            segments(&closed.with_replaced(4, &stream)),
            r#"[["a",1,3],["b",5,5],["x",1,1],["a",9,9],["c",1,2]]"#
        );
    }

    #[test]
    fn stretches_cover_exactly_the_range() {
        let text = |from, to| {
            let stretches = sample().stretches(from, to);
            let texts = stretches.iter().map(|s| format!("{}{}-{}", s.stream, s.from, s.to));
            texts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(0, 3), "a1-3");
        assert_eq!(text(2, 7), "a3-3 b5-6 a9-9 c1-1");
        assert_eq!(text(6, 8), "c1-2");
        assert_eq!(text(7, u64::MAX), format!("c2-{}", u64::MAX));
        assert_eq!(text(3, 3), "");
    }
}
