//! Names of topics and groups: which are valid, which belong to the system, what their parts say.

use std::fmt;

/// Before a group's name: the topic of its messages that come again.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Before a group's name: the topic of its messages that came too often.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Before the name of a light queue.
pub const LMQ_PREFIX: &str = "%LMQ%";
/// Topics with this prefix belong to the system.
pub const SYSTEM_PREFIX: &str = "rmq_sys_";

const REVIVE_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
const SYNC_BROKER_MEMBER_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";
const REPLY_SUFFIX: &str = "_REPLY_TOPIC";

const TOPIC_MAX: usize = 127;
const RETRY_OR_DLQ_MAX: usize = 255;
/// So that the names made from a group's name are not too long either.
const GROUP_MAX: usize = 120;
const ALLOWED: &str = "^[%|a-zA-Z0-9_-]+$";

/// Names of the system's topics.
pub mod system {
    /// The model of topics that are created on first use.
    pub const AUTO_CREATE: &str = "TBW102";
    /// Messages that wait for a delay level.
    pub const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
    /// Messages that wait for a point in time.
    pub const TIMER: &str = "rmq_sys_wheel_timer";
    /// Messages of transactions that are not decided.
    pub const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
    /// Which messages of `HALF` are decided.
    pub const OP_HALF: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
    /// `HALF` when transactions are kept in RocksDB.
    pub const ROCKSDB_HALF: &str = "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC";
    /// `OP_HALF` when transactions are kept in RocksDB.
    pub const ROCKSDB_OP_HALF: &str = "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC";
    /// Messages of transactions that were asked about too often.
    pub const TRANS_CHECK_MAX_TIME: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
    /// What clients tell about their messages' ways.
    pub const TRACE: &str = "RMQ_SYS_TRACE_TOPIC";
    /// For the broker's own tests.
    pub const SELF_TEST: &str = "SELF_TEST_TOPIC";
    /// For measuring.
    pub const BENCHMARK: &str = "BenchmarkTest";
    /// Consumers that asked for offsets that are gone.
    pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
    /// Offsets kept in RocksDB.
    pub const ROCKSDB_OFFSET: &str = "CHECKPOINT_TOPIC";
}

const SYSTEM: [&str; 12] = [
    system::AUTO_CREATE,
    system::SCHEDULE,
    system::BENCHMARK,
    system::HALF,
    system::TRACE,
    system::OP_HALF,
    system::TRANS_CHECK_MAX_TIME,
    system::SELF_TEST,
    system::OFFSET_MOVED_EVENT,
    system::ROCKSDB_OFFSET,
    system::ROCKSDB_HALF,
    system::ROCKSDB_OP_HALF,
];

const FORBIDDEN_TO_SEND: [&str; 8] = [
    system::SCHEDULE,
    system::HALF,
    system::OP_HALF,
    system::TRANS_CHECK_MAX_TIME,
    system::SELF_TEST,
    system::OFFSET_MOVED_EVENT,
    system::ROCKSDB_HALF,
    system::ROCKSDB_OP_HALF,
];

/// Whether the name is a system topic of every broker. Brokers have more, by their own and their
/// cluster's name.
pub fn is_system(topic: &str) -> bool {
    SYSTEM.contains(&topic) || topic.starts_with(SYSTEM_PREFIX)
}

/// The system topics of every broker, except those with [`SYSTEM_PREFIX`].
pub fn system_topics() -> &'static [&'static str] {
    &SYSTEM
}

/// Whether clients must not send to the topic.
pub fn is_forbidden_to_send(topic: &str) -> bool {
    FORBIDDEN_TO_SEND.contains(&topic)
}

/// Whether the topic holds messages that come again.
pub fn is_retry(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// Whether the topic holds messages that came too often.
pub fn is_dlq(topic: &str) -> bool {
    topic.starts_with(DLQ_PREFIX)
}

/// Whether the name is of a light queue.
pub fn is_lmq(name: &str) -> bool {
    name.starts_with(LMQ_PREFIX)
}

/// The topic of a group's messages that come again.
pub fn retry(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The topic of a group's messages that came too often.
pub fn dlq(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// The topic of answers to messages that ask for one.
pub fn reply(cluster: &str) -> String {
    format!("{cluster}{REPLY_SUFFIX}")
}

/// The topic of acknowledgements and checkpoints of popped messages.
pub fn revive(cluster: &str) -> String {
    format!("{REVIVE_PREFIX}{cluster}")
}

/// The topic by which brokers of one name find each other.
pub fn sync_broker_member(broker: &str) -> String {
    format!("{SYNC_BROKER_MEMBER_PREFIX}{broker}")
}

/// The topic of a topic's popped messages that come again to a group.
pub fn pop_retry(topic: &str, group: &str) -> String {
    format!("{RETRY_PREFIX}{group}_{topic}")
}

/// [`pop_retry`] in the newer naming, which can be taken apart.
pub fn pop_retry_v2(topic: &str, group: &str) -> String {
    format!("{RETRY_PREFIX}{group}+{topic}")
}

/// Whether the name is one of [`pop_retry_v2`].
pub fn is_pop_retry_v2(topic: &str) -> bool {
    is_retry(topic) && topic.contains('+')
}

/// The topic that a [`pop_retry`] topic of `group`, in either naming, was made from; any other topic
/// is its own origin.
pub fn pop_retry_origin<'a>(topic: &'a str, group: &str) -> &'a str {
    let rest = topic.strip_prefix(RETRY_PREFIX).and_then(|rest| rest.strip_prefix(group));
    rest.and_then(|rest| rest.strip_prefix(['+', '_'])).unwrap_or(topic)
}

/// Why a name cannot be a topic's or a group's. Its text is the remark that Java's broker gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    kind: Kind,
    problem: Problem,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Topic,
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Blank,
    Letters,
    TooLong(usize),
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == Self::Topic { "topic" } else { "group" })
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, problem, name } = self;
        match problem {
            Problem::Blank => write!(out, "The specified {kind} is blank."),
            Problem::Letters => {
                write!(
                    out,
                    "The specified {kind}: {name}, contains illegal characters, allowing only {ALLOWED}"
                )
            }
            Problem::TooLong(RETRY_OR_DLQ_MAX) => write!(
                out,
                "The specified topic is DLQ or Retry topic: {name}, and it's longer than topic max length: \
                 {RETRY_OR_DLQ_MAX}"
            ),
            Problem::TooLong(max) => {
                write!(out, "The specified {kind}: {name}, is longer than {kind} max length: {max}")
            }
        }
    }
}

impl std::error::Error for InvalidName {}

fn check_name(kind: Kind, name: &str, max: usize) -> Result<(), InvalidName> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    let problem = if name.chars().all(char::is_whitespace) {
        Problem::Blank
    } else if !name.bytes().all(allowed) {
        Problem::Letters
    } else if name.len() > max {
        Problem::TooLong(max)
    } else {
        return Ok(());
    };
    Err(InvalidName { kind, problem, name: name.into() })
}

/// Whether a broker may have a topic of that name.
pub fn check(topic: &str) -> Result<(), InvalidName> {
    let max = if is_retry(topic) || is_dlq(topic) { RETRY_OR_DLQ_MAX } else { TOPIC_MAX };
    check_name(Kind::Topic, topic, max)
}

/// Whether a broker may have a group of that name.
pub fn check_group(group: &str) -> Result<(), InvalidName> {
    check_name(Kind::Group, group, GROUP_MAX)
}

/// The same checks as Java's clients make, in their words.
pub mod client {
    use super::{ALLOWED, GROUP_MAX, TOPIC_MAX, is_forbidden_to_send};
    use super::{InvalidName, Kind, Problem, check_name};

    /// Whether a client may send to or consume a topic of that name. Retry topics are no exception
    /// here.
    pub fn check_topic(topic: &str) -> Result<(), String> {
        check_name(Kind::Topic, topic, TOPIC_MAX).map_err(words)
    }

    /// Whether a client may use a group of that name.
    pub fn check_group(group: &str) -> Result<(), String> {
        check_name(Kind::Group, group, GROUP_MAX).map_err(words)
    }

    /// Whether a client may send to the topic.
    pub fn check_sendable(topic: &str) -> Result<(), String> {
        if is_forbidden_to_send(topic) {
            return Err(format!("Sending message to topic[{topic}] is forbidden."));
        }
        Ok(())
    }

    fn words(InvalidName { kind, problem, name }: InvalidName) -> String {
        let the = if kind == Kind::Topic { "The" } else { "the" };
        match problem {
            Problem::Blank => format!("{the} specified {kind} is blank"),
            Problem::Letters => {
                format!("{the} specified {kind}[{name}] contains illegal characters, allowing only {ALLOWED}")
            }
            Problem::TooLong(max) if kind == Kind::Topic => {
                format!("The specified topic is longer than topic max length {max}.")
            }
            Problem::TooLong(max) => {
                format!("the specified group[{name}] is longer than group max length: {max}.")
            }
        }
    }
}

/// What may be done with a topic: bits of an `i32`.
pub mod perm {
    /// Topics that are created on first use take this one as a model.
    pub const INHERIT: i32 = 1;
    /// Producers may send.
    pub const WRITE: i32 = 2;
    /// Consumers may pull.
    pub const READ: i32 = 4;
    /// Reserved by Java.
    pub const PRIORITY: i32 = 8;

    /// Whether consumers may pull.
    pub fn is_readable(perm: i32) -> bool {
        perm & READ != 0
    }

    /// Whether producers may send.
    pub fn is_writable(perm: i32) -> bool {
        perm & WRITE != 0
    }

    /// Whether the topic is a model for others.
    pub fn is_inherited(perm: i32) -> bool {
        perm & INHERIT != 0
    }

    /// Whether the reserved bit is set.
    pub fn is_priority(perm: i32) -> bool {
        perm & PRIORITY != 0
    }

    /// Whether the bits make sense.
    pub fn is_valid(perm: i32) -> bool {
        (0..PRIORITY).contains(&perm)
    }

    /// The bits as three letters, `RWX` or dashes; X is inheritance.
    pub fn text(perm: i32) -> String {
        let letter = |bit, letter| if perm & bit != 0 { letter } else { '-' };
        [letter(READ, 'R'), letter(WRITE, 'W'), letter(INHERIT, 'X')].iter().collect()
    }
}

/// Names of consumer and producer groups that the system knows.
pub mod group {
    #![allow(missing_docs)]

    pub const DEFAULT_PRODUCER: &str = "DEFAULT_PRODUCER";
    pub const DEFAULT_CONSUMER: &str = "DEFAULT_CONSUMER";
    pub const TOOLS_CONSUMER: &str = "TOOLS_CONSUMER";
    pub const SCHEDULE_CONSUMER: &str = "SCHEDULE_CONSUMER";
    pub const FILTERSRV_CONSUMER: &str = "FILTERSRV_CONSUMER";
    pub const MONITOR_CONSUMER: &str = "__MONITOR_CONSUMER";
    pub const CLIENT_INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";
    pub const SELF_TEST_PRODUCER: &str = "SELF_TEST_P_GROUP";
    pub const SELF_TEST_CONSUMER: &str = "SELF_TEST_C_GROUP";
    pub const ONS_HTTP_PROXY: &str = "CID_ONS-HTTP-PROXY";
    pub const ONSAPI_PERMISSION: &str = "CID_ONSAPI_PERMISSION";
    pub const ONSAPI_OWNER: &str = "CID_ONSAPI_OWNER";
    pub const ONSAPI_PULL: &str = "CID_ONSAPI_PULL";
    /// Under which the broker keeps its progress on half messages.
    pub const TRANS: &str = "CID_RMQ_SYS_TRANS";
    /// Under which the broker keeps its progress on revive topics.
    pub const REVIVE: &str = "CID_RMQ_SYS_REVIVE_GROUP";
    /// Groups with this prefix belong to the system.
    pub const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

    const PREDEFINED: [&str; 14] = [
        DEFAULT_CONSUMER,
        DEFAULT_PRODUCER,
        TOOLS_CONSUMER,
        SCHEDULE_CONSUMER,
        FILTERSRV_CONSUMER,
        MONITOR_CONSUMER,
        CLIENT_INNER_PRODUCER,
        SELF_TEST_PRODUCER,
        SELF_TEST_CONSUMER,
        ONS_HTTP_PROXY,
        ONSAPI_PERMISSION,
        ONSAPI_OWNER,
        ONSAPI_PULL,
        TRANS,
    ];

    /// Whether the group belongs to the system.
    pub fn is_system(group: &str) -> bool {
        group.starts_with(SYSTEM_PREFIX)
    }

    /// Whether the group comes with every broker.
    pub fn is_predefined(group: &str) -> bool {
        PREDEFINED.contains(&group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_in_the_words_of_java() {
        let remark = |name: &str| check(name).map_err(|why| why.to_string());
        assert_eq!(remark("orders_%1-|"), Ok(()));
        assert_eq!(remark(" \t"), Err("The specified topic is blank.".into()));
        assert_eq!(
            remark("a b"),
            Err("The specified topic: a b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
                .into())
        );
        assert!(remark("é").is_err());
        let long = "x".repeat(128);
        let too_long = format!("The specified topic: {long}, is longer than topic max length: 127");
        assert_eq!(remark(&long), Err(too_long));
        assert_eq!(remark(&retry(&long)), Ok(()));
        let longer = dlq(&long.repeat(2));
        let too_long = format!(
            "The specified topic is DLQ or Retry topic: {longer}, and it's longer than topic max length: 255"
        );
        assert_eq!(remark(&longer), Err(too_long));
        assert_eq!(
            check_group(&long[..121]).unwrap_err().to_string(),
            format!("The specified group: {}, is longer than group max length: 120", &long[..121])
        );
    }

    #[test]
    fn clients_use_other_words() {
        assert_eq!(client::check_topic(""), Err("The specified topic is blank".into()));
        assert_eq!(
            client::check_topic(&"x".repeat(128)),
            Err("The specified topic is longer than topic max length 127.".into())
        );
        assert_eq!(
            client::check_group("a+b"),
            Err("the specified group[a+b] contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
                .into())
        );
        assert_eq!(
            client::check_sendable(system::HALF),
            Err("Sending message to topic[RMQ_SYS_TRANS_HALF_TOPIC] is forbidden.".into())
        );
    }

    #[test]
    fn pop_retry_topics_lead_back() {
        assert_eq!(pop_retry("t", "g"), "%RETRY%g_t");
        for topic in [pop_retry("t", "g"), pop_retry_v2("t", "g")] {
            assert_eq!(pop_retry_origin(&topic, "g"), "t");
        }
        assert_eq!(pop_retry_origin("t", "g"), "t");
        assert_eq!(pop_retry_origin("%RETRY%g", "g"), "%RETRY%g");
        assert!(is_pop_retry_v2(&pop_retry_v2("t", "g")) && !is_pop_retry_v2("a+b"));
    }

    #[test]
    fn system_topics_and_permissions() {
        assert!(is_system("TBW102") && is_system("rmq_sys_any") && !is_system("orders"));
        assert!(is_forbidden_to_send(system::SCHEDULE) && !is_forbidden_to_send(system::BENCHMARK));
        assert_eq!([0, 2, 4, 6, 7].map(perm::text), ["---", "-W-", "R--", "RW-", "RWX"]);
        assert!(perm::is_valid(7) && !perm::is_valid(8) && !perm::is_valid(-1));
        assert!(group::is_predefined("TOOLS_CONSUMER") && group::is_system("CID_RMQ_SYS_X"));
    }
}
