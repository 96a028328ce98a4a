//! What only Java's broker serves: our turn leaves it as it was, and Java goes on with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rmq_interop::PATIENCE;
use rmq_testkit::Flavor::{Java, Ours};
use rmq_testkit::wait;
use rmq_testkit::wire::Frame;

use crate::client::{Acknowledged, Client, Outgoing, now_ms, number};
use crate::house::{Exit, House};
use crate::ledger::Ledger;
use crate::traffic;

const TRANSACTIONS: &str = "TradeTransactions";
const TIMED: &str = "TradeTimed";
const REPLIES: &str = "DefaultCluster_REPLY_TOPIC";
const OPERATIONS: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const HALF: i32 = 1 << 2;
const COMMIT: &str = "8";
const ROLLBACK: &str = "12";
const ILLEGAL: i32 = 13;
const INVISIBLE_MS: &str = "4000";
/// The files that our broker owns; below the rest of the store nothing may change in its turn.
const OURS: [&str; 8] = [
    "commitlog/",
    "consumequeue/",
    "index/",
    "checkpoint",
    "abort",
    "lock",
    "queues",
    // With their copies.
    "config/",
];
const OUR_TABLES: [&str; 4] =
    ["topics.json", "subscriptionGroup.json", "consumerOffset.json", "delayOffset.json"];

/// Together they are longer than a record of the first version could name: their retry topic is.
fn popped_topic() -> String {
    format!("TradePopped-{}", "t".repeat(80))
}

fn popped_group() -> String {
    format!("TradePoppers-{}", "g".repeat(80))
}

fn half(unique: &str) -> Outgoing {
    Outgoing::new(TRANSACTIONS, 0, unique, unique)
        .with("KEYS", unique)
        .with("TRAN_MSG", true)
        .with("PGROUP", TRANSACTIONS)
        .sys_flag(HALF)
}

fn timed(unique: &str, due: i64) -> Outgoing {
    Outgoing::new(TIMED, 0, unique, unique).with("TIMER_DELIVER_MS", due)
}

#[track_caller]
fn end_transaction(client: &mut Client, half: &Acknowledged, how: &str) {
    let (queue_offset, physical) = (half.queue_offset.to_string(), half.physical_offset.to_string());
    let ext = [
        ("topic", TRANSACTIONS),
        ("producerGroup", TRANSACTIONS),
        ("tranStateTableOffset", queue_offset.as_str()),
        ("commitLogOffset", &physical),
        ("commitOrRollback", how),
        ("fromTransactionCheck", "false"),
        ("msgId", &half.unique),
        ("transactionId", &half.unique),
    ];
    client.ask(37, &ext, b"");
}

/// Java asks what became of a half message; the answer is that it is committed.
#[track_caller]
fn commit_when_checked(client: &mut Client, unique: &str) {
    let heartbeat = serde_json::json!({
        "clientID": "trade@1", "producerDataSet": [{"groupName": TRANSACTIONS}], "consumerDataSet": [],
    });
    client.ask(34, &[], heartbeat.to_string().as_bytes());
    let check = wait::value("the check of a transaction", PATIENCE, || {
        client.0.receive().ok().filter(|frame| frame.code == 39 && frame.ext["msgId"] == unique)
    });
    let half = Acknowledged {
        topic: TRANSACTIONS.to_owned(),
        queue: 0,
        queue_offset: number(&check, "tranStateTableOffset"),
        physical_offset: number(&check, "commitLogOffset"),
        unique: unique.to_owned(),
        body: Vec::new(),
    };
    end_transaction(client, &half, COMMIT);
}

#[track_caller]
fn pop(client: &mut Client, topic: &str, group: &str, order: bool) -> Frame {
    let (born, order) = (now_ms().to_string(), order.to_string());
    let ext = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("maxMsgNums", "8"),
        ("invisibleTime", INVISIBLE_MS),
        ("pollTime", "0"),
        ("bornTime", &born),
        ("initMode", "0"),
        ("expType", "TAG"),
        ("exp", "*"),
        ("order", &order),
    ];
    client.ask(200_050, &ext, b"")
}

#[track_caller]
fn ack_first(client: &mut Client, topic: &str, group: &str, popped: &Frame) {
    let field = |name: &str| popped.ext[name].clone();
    let receipt =
        format!("0 {} {} {} 0 broker-a 0 0", field("popTime"), field("invisibleTime"), field("reviveQid"));
    let ext = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("extraInfo", &receipt),
        ("offset", "0"),
    ];
    client.ask(200_051, &ext, b"");
}

/// All files that our broker has no business with.
fn strange_files(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![store.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(store).unwrap().to_str().unwrap().to_owned();
            let is_table = OUR_TABLES.iter().any(|table| name.contains(table));
            if path.is_dir() {
                dirs.push(path);
            } else if !OURS.iter().any(|own| name.starts_with(own))
                || name.starts_with("config/") && !is_table
            {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// As if a newer broker had written the tables.
fn add_members_of_the_future(store: &Path) {
    for (table, before) in [("topics.json", "\"perm\":"), ("subscriptionGroup.json", "\"retryMaxTimes\":")] {
        let path = store.join("config").join(table);
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace(before, &format!("\"future\":{{\"a\":[1,2]}},{before}"));
        fs::write(&path, text.replacen('{', "{\"newTable\":{\"x\":\"y\"},", 1)).unwrap();
    }
    fs::write(store.join("config/future.json"), "{}").unwrap();
}

#[track_caller]
fn assert_members_of_the_future(store: &Path) {
    for (table, entries) in
        [("topics.json", "topicConfigTable"), ("subscriptionGroup.json", "subscriptionGroupTable")]
    {
        let text = fs::read_to_string(store.join("config").join(table)).unwrap();
        let text = rmq_interop::bare_keys_quoted(&text);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["newTable"]["x"], "y", "{table}");
        let known = json[entries].as_object().unwrap().values();
        assert!(known.filter(|entry| entry["future"]["a"][1] == 2).count() > 5, "{table}: {text}");
    }
}

#[test]
fn transactions_timers_and_pops_of_java_wait_for_java() {
    let mut house = House::new(&[
        ("transactionTimeOut", "2000"),
        ("transactionCheckInterval", "2000"),
        ("transactionOpBatchInterval", "100"),
    ]);
    let mut ledger = Ledger::default();
    let (topic, group) = (popped_topic(), popped_group());

    let mut client = house.enter(Java);
    for topic in [TRANSACTIONS, TIMED, &topic, "TradeOrderly"] {
        client.create_topic(topic, 1, "");
    }
    for (unique, how) in [("committed", COMMIT), ("rolled-back", ROLLBACK)] {
        let half = client.send(&half(unique));
        end_transaction(&mut client, &half, how);
    }
    client.send(&half("open"));
    wait::until("the ends of transactions to be stored", PATIENCE, || client.range(OPERATIONS, 0).1 > 0);
    let due = [("soon", now_ms() + 5_000), ("late", now_ms() + 25_000)];
    for (unique, due) in due {
        client.send(&timed(unique, due));
    }
    for number in 0..3 {
        for topic in [topic.as_str(), "TradeOrderly"] {
            ledger.sent([client.send(&Outgoing::new(topic, 0, &format!("popped-{number}"), "p"))]);
        }
    }
    for topic in [topic.as_str(), "TradeOrderly"] {
        wait::until("the messages to be in their queue", PATIENCE, || client.range(topic, 0).1 == 3);
    }
    let popped = pop(&mut client, &topic, &group, false);
    ack_first(&mut client, &topic, &group, &popped);
    pop(&mut client, "TradeOrderly", &group, true);
    let reply = Outgoing::new(REPLIES, 0, "reply", "reply").with("REPLY_TO_CLIENT", "nobody");
    client.reply(&reply.with("CORRELATION_ID", "1").with("MSG_TYPE", "reply"));
    wait::until("the reply to be stored", PATIENCE, || client.range(REPLIES, 0).1 == 1);
    ledger.check(&mut client, &house.store());
    house.leave(Exit::Stopped);
    for system in ["RMQ_SYS_TRANS_HALF_TOPIC", OPERATIONS, "rmq_sys_wheel_timer", REPLIES] {
        assert!(!ledger.topic(system).is_empty(), "{system}");
    }

    add_members_of_the_future(&house.store());
    let strange = strange_files(&house.store());
    for name in ["timerwheel", "timerlog", "consumerOrderInfo.json", "timercheck", "future.json"] {
        assert!(
            strange.keys().any(|path| path.to_str().unwrap().contains(name)),
            "{name}: {:?}",
            strange.keys()
        );
    }
    for exit in [Exit::Killed, Exit::Stopped] {
        let mut client = house.enter(Ours);
        ledger.check(&mut client, &house.store());
        for refused in [half("refused"), timed("refused", now_ms() + 60_000)] {
            let answer = client.try_send(&refused);
            assert_eq!(answer.code, ILLEGAL, "{:?}", answer.remark);
        }
        traffic::fill(&mut client, &mut ledger, &format!("ours{exit:?}"));
        ledger.check(&mut client, &house.store());
        house.leave(exit);
        if exit == Exit::Killed {
            ledger.offsets_as_written(&house.store());
        }
        assert!(strange == strange_files(&house.store()), "files that are not ours have changed");
        assert_members_of_the_future(&house.store());
    }

    let mut client = house.enter(Java);
    ledger.check(&mut client, &house.store());
    commit_when_checked(&mut client, "open");
    let unique_ids = |client: &mut Client, topic: &str| {
        let records = client.pull_all(topic, 0, 0, "*");
        records.iter().map(|record| record.property("UNIQ_KEY").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    wait::equal("both transactions", &of(&["committed", "open"]), PATIENCE, || {
        unique_ids(&mut client, TRANSACTIONS)
    });
    wait::equal("both timed messages", &of(&["soon", "late"]), PATIENCE, || unique_ids(&mut client, TIMED));
    for (record, (_, due)) in client.pull_all(TIMED, 0, 0, "*").iter().zip(due) {
        // The timer's wheel moves once a second.
        assert!(record.stored_at() >= due - 1_000, "early: {record:?}");
    }
    let retried = format!("%RETRY%{group}_{topic}");
    wait::equal("the messages that were not acknowledged", &of(&["popped-1", "popped-2"]), PATIENCE, || {
        if client.range(&retried, 0).1 > 0 { unique_ids(&mut client, &retried) } else { Vec::new() }
    });
    ledger.check(&mut client, &house.store());
    house.leave(Exit::Stopped);

    let mut client = house.enter(Ours);
    ledger.check(&mut client, &house.store());
    assert!(
        ledger.records(&retried, 0).iter().all(|record| record.is_v2()),
        "topics this long need two bytes"
    );
}
