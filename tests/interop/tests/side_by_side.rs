//! Our cluster and an official one, asked the same: the official mqadmin prints the same, and single requests get the
//! same answers, times and addresses aside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rmq_interop::{Fact, Java, Ongoing, PATIENCE, Request, bare_keys_quoted, masked, of_kind};
use rmq_testkit::wire::{Connection, Frame};
use rmq_testkit::{Cluster, Flavor, wait};
use serde_json::{Value, json};

/// One cluster under test and the official one beside it, with the same names in both.
struct Rig {
    tested: Cluster,
    official: Cluster,
    java: Java,
}

/// The tests run one after the other, so that both clusters always hold the same things.
fn rig() -> (&'static Rig, MutexGuard<'static, ()>) {
    static RIG: OnceLock<Rig> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = RIG.get_or_init(|| Rig {
        tested: Cluster::start(Flavor::under_test()),
        official: Cluster::start(Flavor::Java),
        java: Java::start(&[]),
    });
    (rig, turn)
}

impl Rig {
    fn sides(&self) -> [&Cluster; 2] {
        [&self.tested, &self.official]
    }

    /// Runs a command line on one cluster. `{broker}` stands for the broker's address.
    fn run(&self, cluster: &Cluster, line: &str) -> String {
        let mut words = line.split(' ').map(|word| word.replace("{broker}", &cluster.broker().addr()));
        let mut args = vec![words.next().unwrap_or_default(), "-n".to_owned(), cluster.namesrv().addr()];
        args.extend(words);
        self.java.mqadmin(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a command line on both clusters: the same lines must come out, in any order.
    #[track_caller]
    fn same(&self, line: &str) -> String {
        let [tested, official] = self.sides().map(|cluster| self.run(cluster, line));
        same_lines(line, &tested, &official);
        official
    }

    /// As [`same`](Rig::same), again and again until both say the same: for what a server does a little later.
    #[track_caller]
    fn same_at_last(&self, line: &str, settled: impl Fn(&str) -> bool) -> String {
        for cluster in self.sides() {
            wait::value(&format!("{line} to settle"), PATIENCE, || {
                let output = self.run(cluster, line);
                settled(&output).then_some(())
            });
        }
        self.same(line)
    }

    /// A call of the client driver for each cluster.
    fn requests(&self, command: &str, topic: &str) -> [Request<'_>; 2] {
        self.sides().map(|cluster| {
            self.java.request(command).arg("namesrv", cluster.namesrv().addr()).arg("topic", topic)
        })
    }

    /// The same messages into queue 0 of a topic in both clusters; returns what was sent, the cluster under test first.
    fn send(&self, topic: &str, count: usize) -> [Vec<Fact>; 2] {
        self.requests("send", topic).map(|request| {
            let request =
                request.arg("mode", "queue").arg("queue", 0).arg("count", count).arg("keys", "key-#");
            let sent = of_kind(&request.arg("tags", "TagA").run(PATIENCE), "sent");
            assert_eq!(sent.len(), count);
            sent
        })
    }

    fn create(&self, topic: &str) {
        let output = self.same(&format!("updateTopic -c DefaultCluster -t {topic} -r 4 -w 4"));
        assert!(output.contains("success"), "{output}");
        // The broker tells the name server of it in its own time.
        self.same_at_last(&format!("topicRoute -t {topic}"), |output| output.contains("brokerDatas"));
    }
}

#[track_caller]
fn same_lines(what: &str, tested: &str, official: &str) {
    let (tested_lines, official_lines) = (masked(tested), masked(official));
    let lines = |text: &str| -> BTreeMap<String, usize> {
        text.lines().fold(BTreeMap::new(), |mut all, line| {
            *all.entry(line.to_owned()).or_default() += 1;
            all
        })
    };
    if lines(&tested_lines) != lines(&official_lines) {
        panic!(
            "`mqadmin {what}` prints\n{tested_lines}\n--- where the official server makes it print\n{official_lines}\n---"
        );
    }
}

/// The output with the lines that `keep` says.
fn only(output: &str, keep: impl Fn(&str) -> bool) -> String {
    output.lines().filter(|line| keep(line)).collect::<Vec<_>>().join("\n")
}

/// `key = value` lines.
fn table(output: &str, separator: char) -> BTreeMap<String, String> {
    let rows = output.lines().filter_map(|line| line.split_once(separator));
    let rows = rows.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    rows.filter(|(key, _)| !key.is_empty()).collect()
}

#[test]
fn topics() {
    let (rig, _turn) = rig();
    rig.create("MqTopics");
    rig.same("updateTopic -b {broker} -t MqTopicsOne -r 2 -w 3 -p 6 -o false");
    rig.same_at_last("topicRoute -t MqTopicsOne", |output| output.contains("brokerDatas"));
    rig.same("updateTopic -b {broker} -t MqTopicsOne -r 8 -w 8");
    rig.same("topicList");
    rig.same("topicList -c");
    rig.same("topicClusterList -t MqTopics");
    rig.same("topicStatus -t MqTopics");
    rig.same("allocateMQ -t MqTopics -i 10.0.0.1,10.0.0.2,10.0.0.3");
    rig.same("updateTopicPerm -c DefaultCluster -t MqTopics -p 4");
    rig.same_at_last("topicRoute -t MqTopics", |output| output.contains("\"perm\":4"));

    rig.same("deleteTopic -c DefaultCluster -t MqTopics");
    rig.same_at_last("topicRoute -t MqTopics", |output| output.contains("No topic route info"));
    rig.same("topicStatus -t MqTopics");
    rig.same("updateTopic -b {broker} -t not/allowed");
    rig.same("updateTopic -b {broker} -t TBW102");
    rig.same("deleteTopic -c NoSuchCluster -t MqTopicsOne");
}

#[test]
fn messages() {
    let (rig, _turn) = rig();
    rig.create("MqMessages");
    let sent = rig.send("MqMessages", 5);
    rig.same("topicStatus -t MqMessages");
    rig.same("sendMessage -t MqMessages -p body -k tool-key -c TagT -b broker-a -i 1");

    rig.same_at_last("queryMsgByKey -t MqMessages -k key-3", |output| {
        output.contains("broker-a") || output.lines().count() > 1
    });
    rig.same_at_last("queryMsgByKey -t MqMessages -k tool-key", |output| output.lines().count() > 1);
    for id in ["offsetMsgId", "msgId"] {
        for command in ["queryMsgById -t MqMessages -i", "queryMsgByUniqueKey -t MqMessages -i"] {
            if command.contains("Unique") && id == "offsetMsgId" {
                continue;
            }
            let of = |side: usize| {
                let output = rig.run(rig.sides()[side], &format!("{command} {}", sent[side][3].text(id)));
                // The tool stores bodies in files and says where.
                only(&output, |line| !line.contains("Body Path"))
            };
            same_lines(&format!("{command} <{id}>"), &of(0), &of(1));
        }
    }
    rig.same("queryMsgByOffset -t MqMessages -b broker-a -i 0 -o 2");
    rig.same("consumeMessage -t MqMessages -b broker-a -i 0 -o 1 -c 3");
    rig.same("consumeMessage -t MqMessages -b broker-a -i 0");
    rig.same("printMsg -t MqMessages -d true");
    rig.same("queryMsgByKey -t MqMessages -k no-such-key");
    rig.same("queryMsgById -t MqMessages -i NoSuchId");
}

#[test]
fn groups_and_clients() {
    let (rig, _turn) = rig();
    rig.create("MqGroups");
    rig.same("updateSubGroup -c DefaultCluster -g MqGroup -s true -m false -d false -q 2 -r 5 -i 0 -w 1");
    rig.same("getConsumerConfig -g MqGroup");
    rig.same("consumerProgress -g MqGroup");
    rig.same("consumerConnection -g MqGroup");
    rig.same("producerConnection -g MqProducers -t MqGroups");

    let producers = rig.requests("send", "MqGroups").map(|request| {
        request
            .arg("keep", "MqProducer")
            .arg("group", "MqProducers")
            .arg("mode", "queue")
            .arg("queue", 0)
            .arg("count", 3)
    });
    // The driver keeps producers by name: one name for each cluster.
    let mut names = ["MqProducer-tested", "MqProducer-official"].into_iter();
    for producer in producers {
        producer.arg("keep", names.next().unwrap_or_default()).run(PATIENCE);
    }
    let mut names = ["MqConsumer-tested", "MqConsumer-official"].into_iter();
    let consumers: Vec<Ongoing<'_>> = rig
        .requests("push", "MqGroups")
        .into_iter()
        .map(|request| request.arg("name", names.next().unwrap_or_default()).arg("group", "MqGroup").begin())
        .collect();
    for consumer in &consumers {
        consumer.wait("received", 3, PATIENCE);
    }

    // Client ids hold the process id and a counter; the rest of each row counts.
    let connection = |line: &str| {
        let [tested, official] = rig.sides().map(|cluster| {
            let output = rig.run(cluster, line);
            output.lines().map(without_client_id).collect::<Vec<_>>().join("\n")
        });
        same_lines(line, &tested, &official);
        assert!(official.contains("JAVA"), "{official}");
    };
    connection("consumerConnection -g MqGroup");
    connection("producerConnection -g MqProducers -t MqGroups");

    rig.same_at_last("consumerProgress -g MqGroup", |output| {
        // The consumer commits every 5 s: broker-a, queue 0, broker offset 3, consumer offset 3.
        output.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.starts_with(&["MqGroups", "broker-a", "0"])
                && words.iter().filter(|word| **word == "3").count() == 2
        })
    });
    rig.same("consumerProgress");
    // Rates depend on the moment: topic, group, accumulation and the counts of the day are compared.
    let [tested, official] = rig.sides().map(|cluster| {
        let counted =
            |output: &str| output.lines().last().is_some_and(|line| line.trim_end().ends_with(" 3"));
        let output = wait::value("statsAll to count", PATIENCE, || {
            let output = rig.run(cluster, "statsAll -t MqGroups");
            counted(&output).then_some(output)
        });
        let rows = output.lines().map(|row| {
            let columns: Vec<_> = row.split_whitespace().collect();
            let rates = |(i, _): &(usize, &&str)| ![3, 4].contains(i);
            columns.iter().enumerate().filter(rates).map(|(_, column)| *column).collect::<Vec<_>>().join(" ")
        });
        rows.collect::<Vec<_>>().join("\n")
    });
    same_lines("statsAll -t MqGroups", &tested, &official);

    for (consumer, name) in consumers.iter().zip(["MqConsumer-tested", "MqConsumer-official"]) {
        rig.java.request("stop").arg("name", name).run(PATIENCE);
        consumer.end(PATIENCE);
    }
    for name in ["MqProducer-tested", "MqProducer-official"] {
        rig.java.request("close-producer").arg("name", name).run(PATIENCE);
    }
    rig.same("consumerConnection -g MqGroup");
    rig.same("deleteSubGroup -c DefaultCluster -g MqGroup");
    // Java makes the group again, with defaults, while it deletes it; gone is what was configured.
    for cluster in rig.sides() {
        let left = table(&rig.run(cluster, "getConsumerConfig -g MqGroup"), '=');
        assert_ne!(left.get("retryQueueNums").map(String::as_str), Some("2"), "{left:?}");
    }
}

fn without_client_id(line: &str) -> String {
    let words = line.split_whitespace().map(|word| if word.contains('@') { "<client>" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn name_server() {
    let (rig, _turn) = rig();
    rig.create("MqPerm");
    rig.same("updateKvConfig -s MqSpace -k MqKey -v MqValue");
    rig.same("deleteKvConfig -s MqSpace -k MqKey");
    rig.same("wipeWritePerm -b broker-a");
    rig.same("topicRoute -t MqPerm");
    rig.same("addWritePerm -b broker-a");
    rig.same("topicRoute -t MqPerm");
    rig.same("wipeWritePerm -b nobody");

    let [tested, official] = rig.sides().map(|cluster| table(&rig.run(cluster, "getNamesrvConfig"), '='));
    same_values("getNamesrvConfig", &tested, &official);
    rig.same("updateNamesrvConfig -k orderMessageEnable -v true");
    for cluster in rig.sides() {
        let changed = table(&rig.run(cluster, "getNamesrvConfig"), '=');
        assert_eq!(changed["orderMessageEnable"], "true");
    }
    rig.same("updateNamesrvConfig -k kvConfigPath -v /tmp/elsewhere");
    rig.same("updateNamesrvConfig -k orderMessageEnable -v false");
}

#[test]
fn broker_and_cluster() {
    let (rig, _turn) = rig();
    let [tested, official] = rig.sides().map(|cluster| {
        // Rates and the like differ from second to second: the names of the columns and the first five values count.
        let rows = rig.run(cluster, "clusterList");
        rows.lines()
            .map(|row| row.split_whitespace().take(5).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("\n")
    });
    same_lines("clusterList", &tested, &official);

    let [tested, official] = rig.sides().map(|cluster| {
        let rows = rig.run(cluster, "brokerStatus -b {broker}");
        table(&rows.replace(&cluster.broker().dir().display().to_string(), "<dir>"), ':')
    });
    let missing: Vec<_> = keys(&official).difference(&keys(&tested)).cloned().collect();
    assert!(missing.is_empty(), "brokerStatus lacks {missing:?}");

    let [tested, official] =
        rig.sides().map(|cluster| table(&rig.run(cluster, "getBrokerConfig -b {broker}"), '='));
    same_values("getBrokerConfig", &tested, &official);

    rig.same("updateBrokerConfig -b {broker} -k defaultTopicQueueNums -v 5");
    for cluster in rig.sides() {
        let changed = table(&rig.run(cluster, "getBrokerConfig -b {broker}"), '=');
        assert_eq!(changed["defaultTopicQueueNums"], "5");
    }
    rig.same("updateBrokerConfig -b {broker} -k defaultTopicQueueNums -v 8");
}

fn keys(table: &BTreeMap<String, String>) -> BTreeSet<String> {
    table.keys().cloned().collect()
}

/// Keys that are told apart by where and on what machine a server runs.
fn depends_on_the_machine(key: &str) -> bool {
    ["Path", "path", "Home", "listenPort", "haListenPort", "Thread", "Num", "brokerIP", "namesrvAddr", "Dir"]
        .iter()
        .any(|part| key.contains(part))
}

/// Defaults that differ on purpose.
const DELIBERATE: [&str; 2] = [
    // An asynchronous flush takes what there is: Java may leave up to 3 pages unflushed for 10 s.
    "flushCommitLogLeastPages",
    // A checkpoint each 10 s bounds what a start after a crash has to look at.
    "flushConsumeQueueThoroughInterval",
];

/// What a server has a config key for, it has with Java's value; which keys it lacks is for the documentation.
#[track_caller]
fn same_values(what: &str, tested: &BTreeMap<String, String>, official: &BTreeMap<String, String>) {
    let differing: Vec<String> = tested
        .iter()
        .filter(|(key, _)| !depends_on_the_machine(key) && !DELIBERATE.contains(&key.as_str()))
        .filter_map(|(key, value)| {
            let expected = official.get(key)?;
            (value != expected).then(|| format!("{key}: {value:?}, officially {expected:?}"))
        })
        .collect();
    let common = keys(tested).intersection(&keys(official)).count();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
    assert!(common >= 10, "{what} has only {common} of the official keys: {tested:?}");
}

/// What of an answer is compared.
#[derive(Clone, Copy)]
enum Compared {
    /// Code, remark, header fields and body.
    All,
    /// Code, remark and the names of the header fields: what is said differs from run to run.
    Shape,
    /// The code: Java's remark tells of its own insides.
    Code,
}
use Compared::{All, Code, Shape};

struct Question {
    code: i32,
    ext: Vec<(&'static str, &'static str)>,
    body: String,
    compared: Compared,
}

fn ask(code: i32, compared: Compared, ext: &[(&'static str, &'static str)]) -> Question {
    Question { code, ext: ext.to_vec(), body: String::new(), compared }
}

fn ask_with(code: i32, compared: Compared, ext: &[(&'static str, &'static str)], body: &Value) -> Question {
    Question { body: body.to_string(), ..ask(code, compared, ext) }
}

/// The comparable part of an answer.
fn essence(question: &Question, answer: &Frame) -> String {
    // With a success Java leaves now and then the remark that it began with.
    let remark = answer.remark.as_deref().map(masked).filter(|_| answer.code != 0);
    let text = String::from_utf8_lossy(&answer.body);
    match question.compared {
        Code => answer.code.to_string(),
        Shape => format!("{} {remark:?} {:?}", answer.code, answer.ext.keys().collect::<Vec<_>>()),
        All => {
            let mut ext = answer.ext.clone();
            ext.remove("version");
            let body = serde_json::from_str(&bare_keys_quoted(&text)).map_or_else(
                |_| text.to_string(),
                |mut body: Value| {
                    // How often a table was changed depends on how it was.
                    if let Some(body) = body.as_object_mut() {
                        body.remove("dataVersion");
                    }
                    body.to_string()
                },
            );
            masked(&format!("{} {remark:?} {ext:?} {body}", answer.code))
        }
    }
}

/// Asks both brokers all questions in turn and shows every difference.
#[track_caller]
fn same_answers(rig: &Rig, questions: &[Question]) {
    let mut connections = rig.sides().map(|cluster| Connection::open(&cluster.broker().addr()));
    let mut different = Vec::new();
    for (i, question) in questions.iter().enumerate() {
        let [tested, official] = connections.each_mut().map(|connection| {
            let answer = connection.call(question.code, &question.ext, question.body.as_bytes());
            essence(question, &answer)
        });
        if tested != official {
            let (code, ext, body) = (question.code, &question.ext, &question.body);
            different
                .push(format!("{i}: request {code} {ext:?} {body}\n  ours: {tested}\n  java: {official}"));
        }
    }
    assert!(different.is_empty(), "{} answers differ\n{}", different.len(), different.join("\n"));
}

/// A topic of one queue with five messages, and a group that has consumed two of them.
fn prepare(rig: &Rig, topic: &'static str, group: &'static str) {
    rig.same(&format!("updateTopic -b {{broker}} -t {topic} -r 1 -w 1"));
    rig.same(&format!("updateSubGroup -b {{broker}} -g {group} -q 1 -r 16"));
    rig.send(topic, 5);
    let offset = [("consumerGroup", group), ("topic", topic), ("queueId", "0"), ("commitOffset", "2")];
    same_answers(rig, &[ask(15, All, &offset)]);
    for cluster in rig.sides() {
        let mut connection = Connection::open(&cluster.broker().addr());
        wait::until("the messages to be readable", PATIENCE, || {
            let answer = connection.call(30, &[("topic", topic), ("queueId", "0")], b"");
            answer.ext.get("offset").is_some_and(|offset| offset == "5")
        });
    }
}

#[test]
fn offsets_and_lookups() {
    let (rig, _turn) = rig();
    prepare(rig, "RawOffsets", "RawOffsetsGroup");
    let queue = |queue: &'static str| [("topic", "RawOffsets"), ("queueId", queue)];
    let group = |group: &'static str, topic: &'static str, queue: &'static str| {
        [("consumerGroup", group), ("topic", topic), ("queueId", queue)]
    };
    let known = group("RawOffsetsGroup", "RawOffsets", "0");
    let at = |time: &'static str, boundary: &'static str| {
        [("topic", "RawOffsets"), ("queueId", "0"), ("timestamp", time), ("boundaryType", boundary)]
    };
    let query = |topic: &'static str, key: &'static str| {
        [
            ("topic", topic),
            ("key", key),
            ("maxNum", "10"),
            ("beginTimestamp", "0"),
            ("endTimestamp", "9999999999999"),
        ]
    };
    same_answers(
        rig,
        &[
            ask(14, All, &known),
            ask(14, All, &group("RawNobody", "RawOffsets", "0")),
            ask(
                14,
                All,
                &[&group("RawNobody", "RawOffsets", "0")[..], &[("setZeroIfNotFound", "false")]].concat(),
            ),
            ask(14, All, &group("RawNobody", "RawNowhere", "0")),
            ask(14, All, &group("RawOffsetsGroup", "RawOffsets", "7")),
            ask(14, Code, &known[..1]),
            ask(
                15,
                All,
                &[&group("RawOffsetsGroup", "RawNowhere", "0")[..], &[("commitOffset", "1")]].concat(),
            ),
            ask(15, All, &[&group("RawNobody", "RawOffsets", "0")[..], &[("commitOffset", "1")]].concat()),
            ask(
                15,
                All,
                &[&group("RawOffsetsGroup", "RawOffsets", "9")[..], &[("commitOffset", "1")]].concat(),
            ),
            ask(30, All, &queue("0")),
            ask(30, All, &queue("5")),
            ask(30, All, &[("topic", "RawNowhere"), ("queueId", "0")]),
            ask(31, All, &queue("0")),
            ask(31, All, &queue("5")),
            ask(31, All, &[("topic", "RawNowhere"), ("queueId", "0")]),
            ask(32, All, &queue("0")),
            ask(32, All, &queue("5")),
            ask(29, All, &at("0", "lower")),
            ask(29, All, &at("0", "upper")),
            ask(29, All, &at("9999999999999", "lower")),
            ask(29, All, &at("9999999999999", "upper")),
            ask(29, All, &at("9999999999999", "LOWER")),
            ask(29, All, &at("0", "lower")[..3]),
            ask(29, All, &[("topic", "RawNowhere"), ("queueId", "0"), ("timestamp", "0")]),
            ask(12, Shape, &query("RawOffsets", "key-3")),
            ask(12, Shape, &query("RawOffsets", "no-such-key")),
            ask(12, Shape, &query("RawNowhere", "key-3")),
            ask(33, Shape, &[("offset", "0")]),
            ask(33, All, &[("offset", "99999999999")]),
            ask(33, All, &[("offset", "-1")]),
        ],
    );
}

#[test]
fn clients_groups_and_locks() {
    let (rig, _turn) = rig();
    prepare(rig, "RawClients", "RawClientsGroup");
    let subscription = json!({"classFilterMode": false, "codeSet": [], "expressionType": "TAG", "subString": "*",
        "subVersion": 1, "tagsSet": [], "topic": "RawClients"});
    let heartbeat = json!({"clientID": "raw@1", "heartbeatFingerprint": 0, "withoutSub": false,
        "producerDataSet": [{"groupName": "RawProducers"}],
        "consumerDataSet": [{"consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "consumeType": "CONSUME_PASSIVELY",
            "groupName": "RawClientsGroup", "messageModel": "CLUSTERING", "subscriptionDataSet": [subscription],
            "unitMode": false}]});
    let lock = |client: &str| {
        json!({"clientId": client, "consumerGroup": "RawClientsGroup", "onlyThisBroker": false,
            "mqSet": [{"brokerName": "broker-a", "queueId": 0, "topic": "RawClients"}]})
    };
    let group = [("consumerGroup", "RawClientsGroup")];
    let nobody = [("consumerGroup", "RawNobody")];
    let unregister =
        [("clientID", "raw@1"), ("producerGroup", "RawProducers"), ("consumerGroup", "RawClientsGroup")];
    same_answers(
        rig,
        &[
            ask(38, All, &group),
            ask(203, All, &group),
            ask(204, All, &[("producerGroup", "RawProducers")]),
            ask_with(34, All, &[], &heartbeat),
            ask_with(34, All, &[], &heartbeat),
            ask(38, All, &group),
            ask(38, All, &nobody),
            ask(203, All, &group),
            ask(203, All, &nobody),
            ask(204, All, &[("producerGroup", "RawProducers")]),
            ask(204, All, &[("producerGroup", "RawNobody")]),
            ask(300, All, &[("topic", "RawClients")]),
            ask(300, All, &[("topic", "RawNowhere")]),
            ask_with(41, All, &[], &lock("raw@1")),
            ask_with(41, All, &[], &lock("raw@2")),
            ask_with(42, All, &[], &lock("raw@2")),
            ask_with(41, All, &[], &lock("raw@2")),
            ask_with(42, All, &[], &lock("raw@1")),
            ask_with(41, All, &[], &lock("raw@2")),
            ask_with(42, All, &[], &lock("raw@2")),
            ask(208, All, &group),
            ask(208, All, &[group[0], ("topic", "RawClients")]),
            ask(208, All, &nobody),
            ask(352, All, &[("group", "RawClientsGroup")]),
            ask(35, All, &unregister),
            ask(35, All, &unregister[..1]),
            ask(38, All, &group),
            ask(203, All, &group),
            ask(207, All, &[("groupName", "RawClientsGroup"), ("cleanOffset", "true")]),
            ask(207, All, &[("groupName", "RawNobody"), ("cleanOffset", "true")]),
        ],
    );
}

#[test]
fn topics_and_pulls() {
    let (rig, _turn) = rig();
    prepare(rig, "RawTopics", "RawTopicsGroup");
    let pull = |topic: &'static str,
                queue: &'static str,
                offset: &'static str,
                group: &'static str,
                sub: &'static str| {
        ask(
            11,
            Compared::Shape,
            &[
                ("consumerGroup", group),
                ("topic", topic),
                ("queueId", queue),
                ("queueOffset", offset),
                ("maxMsgNums", "32"),
                ("sysFlag", "4"),
                ("commitOffset", "0"),
                ("suspendTimeoutMillis", "1000"),
                ("subscription", sub),
                ("subVersion", "1"),
                ("expressionType", "TAG"),
            ],
        )
    };
    let create = |topic: &'static str, reads: &'static str, filter: &'static str| {
        [
            ("topic", topic),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", reads),
            ("writeQueueNums", "4"),
            ("perm", "6"),
            ("topicFilterType", filter),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ]
    };
    let v2 = |topic: &'static str, queue: &'static str| {
        [
            ("a", "raw"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", queue),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}0A0A0A0A00000000000000000000ABCD\u{2}"),
            ("j", "0"),
            ("k", "false"),
        ]
    };
    same_answers(
        rig,
        &[
            pull("RawTopics", "0", "0", "RawTopicsGroup", "*"),
            pull("RawTopics", "0", "5", "RawTopicsGroup", "*"),
            pull("RawTopics", "0", "6", "RawTopicsGroup", "*"),
            pull("RawTopics", "0", "-1", "RawTopicsGroup", "*"),
            pull("RawTopics", "0", "0", "RawTopicsGroup", "NoSuchTag"),
            pull("RawTopics", "1", "0", "RawTopicsGroup", "*"),
            pull("RawTopics", "-1", "0", "RawTopicsGroup", "*"),
            pull("RawNowhere", "0", "0", "RawTopicsGroup", "*"),
            pull("RawTopics", "0", "0", "bad group!", "*"),
            ask_with(310, Shape, &v2("RawTopics", "0"), &json!("a body")),
            ask_with(310, Code, &v2("RawTopics", "0")[..7], &json!("a body")),
            ask_with(310, Code, &v2("RawTopics", "3"), &json!("a body")),
            ask_with(310, All, &v2("bad topic!", "0"), &json!("a body")),
            ask_with(310, All, &v2("RMQ_SYS_TRANS_HALF_TOPIC", "0"), &json!("a body")),
            ask_with(310, All, &v2("", "0"), &json!("a body")),
            ask(351, All, &[("topic", "RawTopics")]),
            ask(351, All, &[("topic", "RawNowhere")]),
            ask(202, All, &[("topic", "RawNowhere")]),
            ask(17, All, &create("RawCreated", "4", "SINGLE_TAG")),
            ask(17, All, &create("RawCreated", "4", "SINGLE_TAG")),
            ask(17, All, &create("RawCreated", "8", "SINGLE_TAG")),
            ask(17, All, &create("bad topic!", "4", "SINGLE_TAG")),
            ask(17, All, &create("SCHEDULE_TOPIC_XXXX", "4", "SINGLE_TAG")),
            ask(17, Code, &create("RawCreated", "4", "NO_SUCH_TYPE")),
            ask(17, Code, &create("RawCreated", "four", "SINGLE_TAG")),
            ask(215, All, &[("topic", "RawCreated")]),
            ask(215, All, &[("topic", "RawNowhere")]),
            ask(215, All, &[("topic", "SCHEDULE_TOPIC_XXXX")]),
            ask(215, All, &[("topic", "")]),
            ask(305, Shape, &[]),
            ask(315, Shape, &[("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "RawTopics")]),
            ask(315, All, &[("statsName", "TOPIC_PUT_NUMS"), ("statsKey", "RawNowhere")]),
            ask(315, All, &[("statsName", "NO_SUCH_STATS"), ("statsKey", "RawTopics")]),
            ask(206, All, &[]),
            ask(9999, All, &[]),
        ],
    );
}
