//! Which topics a subscription follows.

use std::ops::Bound;

use crate::driver::Find;
use crate::error::{Error, Kind, Result};
use crate::repo::conversations::pending::Pending;
use crate::repo::space::Space;
use crate::schema::{TOPICS, Value, check_id};

/// One topic, a list, or all below a prefix.
///
/// ```
/// use agentkeep::Topics;
/// let one: Topics = "chat/17".into();
/// let some = Topics::list(["chat/17", "chat/18"]);
/// let below = Topics::below("chat"); // chat, chat/17, chat/17/tools, but not chatter
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics(pub(super) Which);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    One(String),
    List(Vec<String>),
    Below(String),
}

impl From<&str> for Topics {
    fn from(topic: &str) -> Self {
        Self(Which::One(topic.to_owned()))
    }
}

impl From<&String> for Topics {
    fn from(topic: &String) -> Self {
        Self(Which::One(topic.clone()))
    }
}

impl From<String> for Topics {
    fn from(topic: String) -> Self {
        Self(Which::One(topic))
    }
}

impl Topics {
    /// These topics.
    pub fn list<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        let mut topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        topics.sort();
        topics.dedup();
        Self(Which::List(topics))
    }

    /// The topic of this name and all whose names go on with `/`, also those that come later; all
    /// topics for an empty prefix.
    pub fn below(prefix: &str) -> Self {
        Self(Which::Below(prefix.trim_end_matches('/').to_owned()))
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.0 {
            Which::One(topic) => check_id("topic", topic),
            Which::List(topics) if topics.is_empty() => {
                Err(Error::new(Kind::InvalidInput, "the list of topics is empty")
                    .advice("name at least one topic"))
            }
            Which::List(topics) => topics.iter().try_for_each(|topic| check_id("topic", topic)),
            Which::Below(prefix) if prefix.is_empty() => Ok(()),
            Which::Below(prefix) => check_id("topic", prefix),
        }
    }

    /// The names of those that are followed now.
    pub(super) async fn names(&self, space: &Space) -> Result<Vec<String>> {
        match &self.0 {
            Which::One(topic) => Ok(vec![topic.clone()]),
            Which::List(topics) => Ok(topics.clone()),
            Which::Below(prefix) => below(space, prefix).await,
        }
    }
}

async fn below(space: &Space, prefix: &str) -> Result<Vec<String>> {
    if Pending::load(space).await?.hides_all() {
        return Ok(Vec::new());
    }
    let mut find = Find::by(&TOPICS, "by_name")?;
    if !prefix.is_empty() {
        // "0" is the character after "/".
        let end = Bound::Excluded(Value::text(&format!("{prefix}0")));
        find.range = (Bound::Included(Value::text(prefix)), end);
    }
    let records = space.find_all(find).await?;
    let names = records.iter().map(|record| record.key.first().to_owned());
    let is_below = |name: &String| {
        let rest = name.strip_prefix(prefix);
        prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    Ok(names.filter(is_below).collect())
}
