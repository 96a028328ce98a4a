//! The one table of commands: name, group, options, what it does, and the function that does it. Help texts and
//! the documentation are made from it.

mod broker;
mod cluster;
mod consumer;
mod group;
mod message;
mod namesrv;
mod producer;
mod target;
mod topic;

use std::{future::Future, pin::Pin};

use crate::{
    args::{Arg, Args, flag, required, value},
    call::{Call, Outcome},
};

type Run = for<'a> fn(&'a mut Call) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// What a command is about; the sections of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Topics,
    Groups,
    Messages,
    Clients,
    Brokers,
    NameServers,
}

impl Group {
    pub(crate) const ALL: [Self; 6] =
        [Self::Topics, Self::Groups, Self::Messages, Self::Clients, Self::Brokers, Self::NameServers];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Topics => "Topics",
            Self::Groups => "Groups",
            Self::Messages => "Messages",
            Self::Clients => "Clients",
            Self::Brokers => "Brokers and clusters",
            Self::NameServers => "Name servers",
        }
    }
}

/// One row of the table.
pub(crate) struct Command {
    /// Java's name.
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// Java's sentence about it.
    pub(crate) doc: &'static str,
    pub(crate) args: &'static [Arg],
    /// Long names of options of which exactly one must be given.
    pub(crate) one_of: &'static [&'static str],
    /// Prints while it goes on, perhaps for ever.
    pub(crate) streams: bool,
    pub(crate) run: Run,
}

impl Command {
    /// A command that was told a broker's address can do without name servers.
    pub(crate) fn needs_name_server(&self, args: &Args) -> bool {
        !(self.args.iter().any(|arg| arg.long == "brokerAddr") && args.has("brokerAddr"))
    }
}

/// The command of that name; like Java's tool, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    TABLE.iter().find(|command| command.name.eq_ignore_ascii_case(name))
}

/// A row without choices that prints at its end.
const fn row(name: &'static str, group: Group, doc: &'static str, args: &'static [Arg], run: Run) -> Command {
    Command { name, group, doc, args, one_of: &[], streams: false, run }
}

const BROKER_OR_CLUSTER: &[&str] = &["brokerAddr", "clusterName"];
const CLUSTER_OR_LMQ: Arg =
    value("c", "cluster", "Cluster name or lmq parent topic, lmq is used to find the route.");

macro_rules! run {
    ($($path:tt)*) => { |call| Box::pin($($path)*(call)) };
}

/// All commands, in the order in which help lists them.
pub(crate) static TABLE: &[Command] = &[
    Command {
        one_of: BROKER_OR_CLUSTER,
        ..row(
            "updateTopic",
            Group::Topics,
            "Update or create topic.",
            &[
                value("b", "brokerAddr", "create topic to which broker"),
                value("c", "clusterName", "create topic to which cluster"),
                value("a", "attributes", "attribute(+a=b,+c=d,-e)"),
                required("t", "topic", "topic name"),
                value("r", "readQueueNums", "set read queue nums"),
                value("w", "writeQueueNums", "set write queue nums"),
                value("p", "perm", "set topic's permission(2|4|6), intro[2:W 4:R; 6:RW]"),
                value("o", "order", "set topic's order(true|false)"),
                value("u", "unit", "is unit topic (true|false)"),
                value("s", "hasUnitSub", "has unit sub (true|false)"),
            ],
            run!(topic::update),
        )
    },
    row(
        "deleteTopic",
        Group::Topics,
        "Delete topic from broker and NameServer.",
        &[
            required("t", "topic", "topic name"),
            required("c", "clusterName", "delete topic from which cluster"),
        ],
        run!(topic::delete),
    ),
    row(
        "updateTopicPerm",
        Group::Topics,
        "Update topic perm.",
        &[
            value("b", "brokerAddr", "create topic to which broker"),
            value("c", "clusterName", "create topic to which cluster"),
            required("t", "topic", "topic name"),
            required("p", "perm", "set topic's permission(2|4|6), intro[2:W; 4:R; 6:RW]"),
        ],
        run!(topic::update_perm),
    ),
    row(
        "topicRoute",
        Group::Topics,
        "Examine topic route info.",
        &[required("t", "topic", "topic name"), flag("l", "list", "Use list format to print data")],
        run!(topic::route),
    ),
    row(
        "topicStatus",
        Group::Topics,
        "Examine topic Status info.",
        &[
            required("t", "topic", "topic name"),
            value("c", "cluster", "cluster name or lmq parent topic, lmq is used to find the route."),
        ],
        run!(topic::status),
    ),
    row(
        "topicClusterList",
        Group::Topics,
        "Get cluster info for topic.",
        &[required("t", "topic", "topic name")],
        run!(topic::clusters),
    ),
    row(
        "topicList",
        Group::Topics,
        "Fetch all topic list from name server.",
        &[flag("c", "clusterModel", "clusterModel")],
        run!(topic::list),
    ),
    row(
        "updateSubGroup",
        Group::Groups,
        "Update or create subscription group.",
        &[
            value("b", "brokerAddr", "create subscription group to which broker"),
            value("c", "clusterName", "create subscription group to which cluster"),
            required("g", "groupName", "consumer group name"),
            value("s", "consumeEnable", "consume enable"),
            value("m", "consumeFromMinEnable", "from min offset"),
            value("d", "consumeBroadcastEnable", "broadcast"),
            value("o", "consumeMessageOrderly", "consume message orderly"),
            value("q", "retryQueueNums", "retry queue nums"),
            value("r", "retryMaxTimes", "retry max times"),
            value(
                "p",
                "groupRetryPolicy",
                "the json string of retry policy ( exp: {\"type\":\"EXPONENTIAL\",\"exponentialRetryPolicy\":{\"initial\":5000,\"max\":7200000,\"multiplier\":2}} {\"type\":\"CUSTOMIZED\",\"customizedRetryPolicy\":{\"next\":[1000,5000,10000]}} )",
            ),
            value("i", "brokerId", "consumer from which broker id"),
            value("w", "whichBrokerWhenConsumeSlowly", "which broker id when consume slowly"),
            value("a", "notifyConsumerIdsChanged", "notify consumerId changed"),
            value("", "attributes", "attribute(+a=b,+c=d,-e)"),
        ],
        run!(group::update),
    ),
    row(
        "deleteSubGroup",
        Group::Groups,
        "Delete subscription group from broker.",
        &[
            value("b", "brokerAddr", "delete subscription group from which broker"),
            value("c", "clusterName", "delete subscription group from which cluster"),
            required("g", "groupName", "subscription group name"),
            value("r", "removeOffset", "remove offset"),
        ],
        run!(group::delete),
    ),
    row(
        "getConsumerConfig",
        Group::Groups,
        "Get consumer config by subscription group name.",
        &[required("g", "groupName", "subscription group name")],
        run!(group::config),
    ),
    row(
        "consumerProgress",
        Group::Groups,
        "Query consumer's progress, speed.",
        &[
            value("g", "groupName", "consumer group name"),
            value("t", "topicName", "topic name"),
            value("s", "showClientIP", "Show Client IP per Queue"),
            CLUSTER_OR_LMQ,
        ],
        run!(consumer::progress),
    ),
    row(
        "queryMsgById",
        Group::Messages,
        "Query Message by Id.",
        &[
            required("t", "topic", "topic name"),
            required("i", "msgId", "Message Id"),
            value("g", "consumerGroup", "consumer group name"),
            value("d", "clientId", "The consumer's client id"),
            value("s", "sendMessage", "resend message"),
            value("u", "unitName", "unit name"),
            value("f", "bodyFormat", "print message body by the specified format"),
            CLUSTER_OR_LMQ,
        ],
        run!(message::by_id),
    ),
    row(
        "queryMsgByKey",
        Group::Messages,
        "Query Message by Key.",
        &[
            required("t", "topic", "Topic name"),
            required("k", "msgKey", "Message Key"),
            value("b", "beginTimestamp", "Begin timestamp(ms). default:0, eg:1676730526212"),
            value("e", "endTimestamp", "End timestamp(ms). default:Long.MAX_VALUE, eg:1676730526212"),
            value("m", "maxNum", "The maximum number of messages returned by the query, default:64"),
            CLUSTER_OR_LMQ,
            value(
                "p",
                "keyType",
                "Index key type, default index key type is K, you can use K for keys OR T for tags",
            ),
            value("l", "lastKey", "Last Key"),
        ],
        run!(message::by_key),
    ),
    row(
        "queryMsgByUniqueKey",
        Group::Messages,
        "Query Message by Unique key.",
        &[required("i", "msgId", "Message Id"), required("t", "topic", "The topic of msg"), CLUSTER_OR_LMQ],
        run!(message::by_id),
    ),
    row(
        "sendMessage",
        Group::Messages,
        "Send a message.",
        &[
            required("t", "topic", "Topic name"),
            required("p", "body", "UTF-8 string format of the message body"),
            value("k", "key", "Message keys"),
            value("c", "tags", "Message tags"),
            value("b", "broker", "Send message to target broker"),
            value("i", "qid", "Send message to target queue"),
            value("m", "msgTraceEnable", "Message Trace Enable, Default: false"),
        ],
        run!(message::send),
    ),
    Command {
        streams: true,
        ..row(
            "consumeMessage",
            Group::Messages,
            "Consume message.",
            &[
                required("t", "topic", "Topic name"),
                value("b", "brokerName", "Broker name"),
                value("i", "queueId", "Queue Id"),
                value("o", "offset", "Queue offset"),
                value("g", "consumerGroup", "Consumer group name"),
                value("s", "beginTimestamp", "Begin timestamp[currentTimeMillis|yyyy-MM-dd#HH:mm:ss:SSS]"),
                value("e", "endTimestamp", "End timestamp[currentTimeMillis|yyyy-MM-dd#HH:mm:ss:SSS]"),
                value("c", "MessageNumber", "Number of message to be consumed"),
            ],
            run!(message::consume),
        )
    },
    row(
        "consumerConnection",
        Group::Clients,
        "Query consumer's socket connection, client version and subscription.",
        &[required("g", "consumerGroup", "consumer group name"), value("b", "brokerAddr", "broker address")],
        run!(consumer::connection),
    ),
    row(
        "producerConnection",
        Group::Clients,
        "Query producer's socket connection and client version.",
        &[required("g", "producerGroup", "producer group name"), required("t", "topic", "topic name")],
        run!(producer::connection),
    ),
    row(
        "producer",
        Group::Clients,
        "Query producer's instances, connection, status, etc.",
        &[required("b", "broker", "broker address")],
        run!(producer::all),
    ),
    Command {
        streams: true,
        ..row(
            "clusterList",
            Group::Brokers,
            "List cluster infos.",
            &[
                flag("m", "moreStats", "Print more stats"),
                value("i", "interval", "specify intervals numbers, it is in seconds"),
                value("c", "clusterName", "which cluster"),
            ],
            run!(cluster::list),
        )
    },
    Command {
        one_of: BROKER_OR_CLUSTER,
        ..row(
            "brokerStatus",
            Group::Brokers,
            "Fetch broker runtime status data.",
            &[value("b", "brokerAddr", "Broker address"), value("c", "clusterName", "which cluster")],
            run!(broker::status),
        )
    },
    Command {
        one_of: BROKER_OR_CLUSTER,
        ..row(
            "getBrokerConfig",
            Group::Brokers,
            "Get broker config by cluster or special broker.",
            &[value("b", "brokerAddr", "get which broker"), value("c", "clusterName", "get which cluster")],
            run!(broker::config),
        )
    },
    row(
        "updateBrokerConfig",
        Group::Brokers,
        "Update broker's config.",
        &[
            value("b", "brokerAddr", "update which broker"),
            value("c", "clusterName", "update which cluster"),
            value("a", "updateAllBroker", "update all brokers include slave"),
            required("k", "key", "config key"),
            required("v", "value", "config value"),
        ],
        run!(broker::update_config),
    ),
    row(
        "wipeWritePerm",
        Group::Brokers,
        "Wipe write perm of broker in all name server you defined in the -n param.",
        &[required("b", "brokerName", "broker name")],
        run!(namesrv::wipe_write_perm),
    ),
    row(
        "addWritePerm",
        Group::Brokers,
        "Add write perm of broker in all name server you defined in the -n param.",
        &[required("b", "brokerName", "broker name")],
        run!(namesrv::add_write_perm),
    ),
    row("getNamesrvConfig", Group::NameServers, "Get configs of name server.", &[], run!(namesrv::config)),
    row(
        "updateNamesrvConfig",
        Group::NameServers,
        "Update configs of name server.",
        &[required("k", "key", "config key"), required("v", "value", "config value")],
        run!(namesrv::update_config),
    ),
    row(
        "updateKvConfig",
        Group::NameServers,
        "Create or update KV config.",
        &[
            required("s", "namespace", "set the namespace"),
            required("k", "key", "set the key name"),
            required("v", "value", "set the key value"),
        ],
        run!(namesrv::put_kv),
    ),
    row(
        "deleteKvConfig",
        Group::NameServers,
        "Delete KV config.",
        &[required("s", "namespace", "set the namespace"), required("k", "key", "set the key name")],
        run!(namesrv::delete_kv),
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::args::COMMON;

    #[test]
    fn every_option_of_a_command_has_a_name_of_its_own() {
        for command in TABLE {
            let all: Vec<_> = COMMON.iter().chain(command.args).collect();
            let long: BTreeSet<_> = all.iter().map(|arg| arg.long).collect();
            assert_eq!(long.len(), all.len(), "{}", command.name);
            let with_short: Vec<_> = all.iter().filter(|arg| !arg.short.is_empty()).collect();
            let short: BTreeSet<_> = with_short.iter().map(|arg| arg.short).collect();
            assert_eq!(short.len(), with_short.len(), "{}", command.name);
            for choice in command.one_of {
                assert!(long.contains(choice), "{}", command.name);
            }
        }
    }

    #[test]
    fn commands_are_found_in_any_case() {
        assert_eq!(find("TOPICLIST").map(|command| command.name), Some("topicList"));
        assert!(find("noSuchCommand").is_none());
    }
}
