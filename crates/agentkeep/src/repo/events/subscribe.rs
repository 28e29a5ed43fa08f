//! Subscriptions: history, then live, in order, each event once.
//!
//! A subscription asks for hints first and reads the store then; a hint only says that there is
//! something to read. So there is no seam between history and live, no buffer that could overflow,
//! and a publisher waits for nobody.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::consumers::{State, To, not_registered, place};
use super::cursor::{Issuer, unknown};
use super::look::{NONE, Seen, look};
use super::position::Position;
use super::topic::{Topic, ahead, event, lost, trimmed};
use super::topics::{Topics, Which as WhichTopics};
use crate::driver::{Entry, Head, Read, Stretch, Watch, Which};
use crate::error::{Error, Kind, Result};
use crate::model::StoredEvent;
use crate::repo::patience::Patience;
use crate::repo::space::Space;
use crate::schema::{EVENTS, Stream as LogStream};

/// Events read in one call.
const PAGE: usize = 1_000;
/// Topics read in one call.
const TOGETHER: usize = 200;
/// How often a consumer that only listens is noted as seen.
const TOUCH: Duration = Duration::from_hours(1);

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At the first event that is kept.
    Beginning,
    /// After the newest event.
    Now,
    /// After the event with this cursor.
    After(String),
    /// After what this consumer has acknowledged; a new consumer begins at the first event that is
    /// kept, and is registered: what it has not acknowledged is kept for it.
    Consumer(String),
    /// Where another subscription was, by [`Subscription::position`].
    Position(String),
}

/// Events as they come: a [`Stream`]. It waits for new ones without end, and ends when the store is
/// closed. A server that is away is waited for, up to a minute. After an error (`Trimmed` when what comes next
/// is there no more) it ends, too. Dropping it unsubscribes.
pub struct Subscription {
    stream: Pin<Box<dyn Stream<Item = Result<StoredEvent>> + Send>>,
    position: Arc<Mutex<Position>>,
}

impl Subscription {
    /// The next event; waits until there is one. Can be given up at any time and asked again.
    pub async fn next(&mut self) -> Option<Result<StoredEvent>> {
        self.stream.next().await
    }

    /// Where it is: after the last event that it gave, of each topic. For [`Start::Position`], with
    /// the same topics.
    pub fn position(&self) -> String {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).to_text()
    }
}

impl Stream for Subscription {
    type Item = Result<StoredEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position()).finish_non_exhaustive()
    }
}

/// Subscribes.
pub(super) async fn subscribe(space: &Space, topics: Topics, start: Start) -> Result<Subscription> {
    topics.check()?;
    let stream = match &topics.0 {
        WhichTopics::One(topic) => Some(LogStream::new(topic)?),
        _ => None,
    };
    // Hints first: what is published from here on is either read below or hinted at.
    let watch = space.driver().watch(space.namespace(), &EVENTS, stream.as_ref()).await?;
    let mut follower = Follower {
        space: space.clone(),
        topics,
        start,
        places: BTreeMap::new(),
        watch,
        ready: VecDeque::new(),
        turn: 0,
        touched: Instant::now(),
        dry: false,
        ended: false,
        patience: Patience::default(),
        position: Arc::default(),
    };
    follower.begin().await?;
    let position = Arc::clone(&follower.position);
    let stream = stream::unfold(follower, async |mut follower| {
        let next = follower.next().await?;
        Some((next, follower))
    });
    Ok(Subscription { stream: Box::pin(stream), position })
}

struct Follower {
    space: Space,
    topics: Topics,
    start: Start,
    places: BTreeMap<String, Place>,
    watch: Watch,
    ready: VecDeque<StoredEvent>,
    /// Which topic is read first: another one each time.
    turn: usize,
    touched: Instant,
    /// True when the last reading met the end of everything. It began after the last hint was
    /// taken, so whatever it did not see brings another one.
    dry: bool,
    ended: bool,
    patience: Patience,
    position: Arc<Mutex<Position>>,
}

/// Where the subscription is in one topic.
#[derive(Debug)]
struct Place {
    /// Known once the topic is there.
    topic: Option<(Arc<Topic>, Issuer)>,
    /// The number to go on with; 0 for the first that is kept.
    next: u64,
    /// The birth of the stream, once seen.
    birth: Option<u64>,
}

impl Follower {
    async fn begin(&mut self) -> Result<()> {
        let position = match &self.start {
            Start::Position(text) => Position::of_text(text)?,
            Start::After(cursor) if !matches!(self.topics.0, WhichTopics::One(_)) => {
                let message = format!("the cursor {cursor:?} is of one topic, not of several");
                return Err(Error::new(Kind::InvalidInput, message)
                    .advice("begin where a subscription was, by its position"));
            }
            _ => Position::default(),
        };
        for name in self.topics.names(&self.space).await? {
            let place = self.place(&name, Some(&position)).await?;
            self.join(name, place);
        }
        Ok(())
    }

    fn join(&mut self, name: String, place: Place) {
        if let Some((topic, _)) = &place.topic {
            self.note(&name, topic, place.next.saturating_sub(1));
        }
        self.places.insert(name, place);
    }

    fn note(&self, name: &str, topic: &Topic, number: u64) {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        match position.0.get_mut(name) {
            Some(place) => place.1 = number,
            None => drop(position.0.insert(name.to_owned(), (topic.epochs().named(), number))),
        }
    }

    /// Where to begin in a topic; without `position` in one that has come later.
    async fn place(&self, name: &str, position: Option<&Position>) -> Result<Place> {
        let consumer = match &self.start {
            Start::Consumer(consumer) => {
                place(&self.space, consumer, name, To::Registered).await?;
                Some(consumer.as_str())
            }
            _ => None,
        };
        let Some(seen) = look(&self.space, name, NONE, consumer).await? else {
            return match &self.start {
                Start::After(cursor) => Err(unknown(cursor)),
                _ => Ok(Place { topic: None, next: 0, birth: None }),
            };
        };
        let next = self.first(name, &seen, position)?;
        Ok(Place {
            birth: seen.head.as_ref().map(|head| head.birth),
            topic: Some((seen.topic, seen.issuer)),
            next,
        })
    }

    fn first(&self, name: &str, seen: &Seen, position: Option<&Position>) -> Result<u64> {
        let (first, last) = seen.ends();
        let after = match (&self.start, position) {
            (Start::Now, Some(_)) => return Ok(last + 1),
            (Start::After(cursor), Some(_)) => seen.issuer.number(name, cursor)?,
            (Start::Position(text), Some(position)) => match position.0.get(name) {
                Some((epoch, number)) => {
                    let agreed = seen.topic.epochs().agrees(epoch).ok_or_else(|| unknown(text))?;
                    if *number > agreed {
                        return Err(lost(name, agreed));
                    }
                    *number
                }
                None => return Ok(first),
            },
            (Start::Consumer(consumer), _) => {
                let record = seen.consumer.as_ref();
                let record = record.ok_or_else(|| not_registered(consumer, name))?;
                State::of_record(record)?.acked
            }
            _ => return Ok(first),
        };
        if after > last {
            return Err(ahead(name, last));
        }
        if after + 1 < first {
            return Err(trimmed(name, first, after + 1));
        }
        Ok(after + 1)
    }

    async fn next(&mut self) -> Option<Result<StoredEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                let place = self.places.get(&event.topic).and_then(|place| place.topic.as_ref());
                if let Some((topic, _)) = place {
                    self.note(&event.topic, topic, event.number);
                }
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if self.dry {
                self.wait().await;
                self.dry = false;
                continue;
            }
            let filled = self.fill().await;
            if let Err(error) = self.patience.hear(&self.space, filled).await {
                self.ended = true;
                return (error.kind() != Kind::Closed).then_some(Err(error));
            }
        }
    }

    /// Waits for a hint; a consumer is noted as seen now and then.
    async fn wait(&mut self) {
        loop {
            let hinted = {
                let hint = pin!(self.watch.changed());
                match select(hint, pin!(self.space.ages().sleep(TOUCH))).await {
                    Either::Left((open, _)) => Some(open),
                    Either::Right(_) => None,
                }
            };
            match hinted {
                Some(open) => {
                    self.ended = !open;
                    return;
                }
                None => self.touch().await,
            }
        }
    }

    async fn touch(&mut self) {
        let Start::Consumer(consumer) = &self.start else { return };
        self.touched = Instant::now();
        for name in self.places.keys() {
            // Being noted as seen can wait for the next time.
            let _ = place(&self.space, consumer, name, To::Touched).await;
        }
    }

    /// Reads what is there, and notes whether that was all.
    async fn fill(&mut self) -> Result<()> {
        if self.touched.elapsed() > TOUCH {
            self.touch().await;
        }
        if matches!(self.topics.0, WhichTopics::Below(_)) {
            for name in self.topics.names(&self.space).await? {
                if !self.places.contains_key(&name) {
                    let place = self.place(&name, None).await?;
                    self.join(name, place);
                }
            }
        }
        let mut names: Vec<String> = self.places.keys().cloned().collect();
        let turn = self.turn % names.len().max(1);
        names.rotate_left(turn);
        self.turn = self.turn.wrapping_add(1);
        let mut dry = true;
        for some in names.chunks(TOGETHER) {
            dry &= !self.read(some).await?;
        }
        self.dry = dry;
        Ok(())
    }

    /// True when there is more to read.
    async fn read(&mut self, names: &[String]) -> Result<bool> {
        let mut stretches = Vec::new();
        for name in names {
            let from = self.places.get(name).map_or(1, |place| place.next.max(1));
            stretches.push(Stretch { stream: LogStream::new(name)?, from, to: u64::MAX });
        }
        let which = Which::Stretches(stretches);
        let read = Read { log: &EVENTS, which, reverse: false, limit: PAGE };
        let found = self.space.read(&read).await?;
        for (name, head) in names.iter().zip(&found.heads) {
            self.meet(name, head.as_ref()).await?;
        }
        for entry in found.entries {
            self.take(entry);
        }
        Ok(found.more)
    }

    /// Looks whether the topic still is what it was, and goes on where the subscription is.
    async fn meet(&mut self, name: &str, head: Option<&Head>) -> Result<()> {
        let Some(place) = self.places.get_mut(name) else { return Ok(()) };
        let Some(head) = head else {
            return if place.birth.is_some() { Err(gone(name)) } else { Ok(()) };
        };
        if place.birth.is_some_and(|birth| birth != head.birth) {
            return Err(gone(name));
        }
        place.birth = Some(head.birth);
        if place.topic.is_none() {
            let topic = Topic::load(&self.space, name).await?;
            let (topic, _) = topic.ok_or_else(|| gone(name))?;
            let issuer = topic.issuer(&self.space);
            place.topic = Some((topic, issuer));
        }
        if place.next == 0 {
            place.next = head.first;
        }
        if place.next < head.first {
            return Err(trimmed(name, head.first, place.next));
        }
        Ok(())
    }

    fn take(&mut self, entry: Entry) {
        let Some(place) = self.places.get_mut(entry.stream.as_str()) else { return };
        let Some((_, issuer)) = &place.topic else { return };
        if entry.number >= place.next {
            place.next = entry.number + 1;
            self.ready.push_back(event(issuer, entry));
        }
    }
}

fn gone(topic: &str) -> Error {
    Error::new(Kind::NotFound, "the topic was deleted while it was followed")
        .at(format!("topic {topic:?}"))
        .advice("subscribe again")
}
