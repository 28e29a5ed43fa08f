//! `events ...`.

use clap::{Args, Subcommand};

use super::ListArgs;
use crate::commands::events::amounts::{age, bytes, count};

/// `events ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Publish an event, or all that stdin holds; answers the cursors.
    #[command(after_help = "What comes on stdin is published as it comes, one JSON value after \
                            another.\n\nExample:\n  agentkeep events publish chat/17 \
                            '{\"type\":\"text_delta\",\"text\":\"Hel\"}'\n  echo '\"done\"' | \
                            agentkeep events publish chat/17 -")]
    Publish(Publish),
    /// Show the events of topics, in order; with --follow also those to come.
    #[command(after_help = "With --json one event a line.\n\nExample:\n  agentkeep events tail \
                            chat/17\n  agentkeep events tail --below chat --consumer laptop --ack")]
    Tail(Tail),
    /// List topics, by name.
    #[command(after_help = "Example:\n  agentkeep events topics")]
    Topics {
        #[command(flatten)]
        list: ListArgs,
    },
    /// List a topic's consumers, by name, and how far behind they are.
    #[command(after_help = "Example:\n  agentkeep events consumers chat/17")]
    Consumers {
        /// The topic.
        topic: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Note that a consumer is done with everything up to an event; only forward.
    #[command(after_help = "Example:\n  agentkeep events ack laptop chat/17 CURSOR")]
    Ack {
        /// The consumer; registered if it is not yet.
        consumer: String,
        /// The topic.
        topic: String,
        /// The event's cursor.
        cursor: String,
    },
    /// Put a consumer elsewhere in a topic, also back.
    #[command(after_help = "Example:\n  agentkeep events seek laptop chat/17 beginning")]
    Seek {
        /// The consumer; registered if it is not yet.
        consumer: String,
        /// The topic.
        topic: String,
        /// beginning, now, or the cursor after which it goes on.
        to: String,
    },
    /// Take a consumer off every topic: what it has not read is kept for it no more.
    #[command(after_help = "Says what it would do, unless --yes is given.\n\nExample:\n  \
                            agentkeep events forget laptop --yes")]
    Forget {
        /// The consumer.
        consumer: String,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
    /// How long events are kept: 24 hours, unless this says otherwise.
    #[command(
        subcommand,
        after_help = "What is older goes once every registered consumer and group is \
                      done with it; a bound that is hard does not wait for them.\n\nExample:\n  agentkeep events retention show chat/17"
    )]
    Retention(Retention),
}

/// `events publish`.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The topic; made by its first event.
    pub(crate) topic: String,
    /// The event, any JSON; `-` for all that stdin holds.
    #[arg(value_name = "JSON", default_value = "-", hide_default_value = true)]
    pub(crate) event: String,
    /// An idempotency key: publishing again under it changes nothing.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
}

/// `events tail`.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The topics.
    #[arg(value_name = "TOPIC", required_unless_present = "below")]
    pub(crate) topics: Vec<String>,
    /// All topics of this name and below it (`chat`, `chat/17`), also those to come; "" for all.
    #[arg(long, value_name = "PREFIX", conflicts_with = "topics")]
    pub(crate) below: Option<String>,
    /// beginning, now, or, of one topic, the cursor after which to begin [default: beginning]
    #[arg(long, value_name = "WHERE", conflicts_with = "consumer")]
    pub(crate) from: Option<String>,
    /// Begin after what this consumer has acknowledged; a new one is registered.
    #[arg(long, value_name = "NAME")]
    pub(crate) consumer: Option<String>,
    /// Acknowledge for the consumer what has been shown.
    #[arg(long, requires = "consumer")]
    pub(crate) ack: bool,
    /// Go on with new events as they come, also from other processes.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Exact times, cursors, and events in full.
    #[arg(long)]
    pub(crate) long: bool,
}

/// `events retention ...`.
#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    /// The rule of a topic, or, without one, of topics that have none of their own.
    #[command(after_help = "Example:\n  agentkeep events retention show")]
    Show {
        /// The topic.
        topic: Option<String>,
    },
    /// Change the rule of a topic; what is not named stays.
    #[command(after_help = "Example:\n  agentkeep events retention set chat/17 --age 7d \
                            --hard-count 1000000")]
    Set {
        /// The topic.
        topic: String,
        #[command(flatten)]
        bounds: BoundArgs,
        /// Take the topic's own rule away.
        #[arg(long, conflicts_with = "BoundArgs")]
        inherit: bool,
    },
    /// Change the rule of topics that have none of their own; what is not named stays.
    #[command(after_help = "Example:\n  agentkeep events retention default --age 24h \
                            --forget-after never")]
    Default {
        #[command(flatten)]
        bounds: BoundArgs,
    },
}

/// What a rule can say; `none` takes a bound away.
#[derive(Debug, Clone, Args)]
pub(crate) struct BoundArgs {
    /// Events older than this go (24h, 7d, none), once every consumer is done with them.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) age: Option<Bound>,
    /// Events beyond so many go, once every consumer is done with them.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<Bound>,
    /// Events beyond so many bytes (5000, 10MiB) go, once every consumer is done with them.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) bytes: Option<Bound>,
    /// Events older than this go even if somebody has not read them.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) hard_age: Option<Bound>,
    /// Events beyond so many go even if somebody has not read them.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) hard_count: Option<Bound>,
    /// Events beyond so many bytes go even if somebody has not read them.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) hard_bytes: Option<Bound>,
    /// A consumer not seen for so long is forgotten (7d, never).
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) forget_after: Option<Bound>,
}

/// A bound; none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound(pub(crate) Option<u64>);
