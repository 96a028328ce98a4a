//! The official mqadmin on our cluster prints what it prints on an official one, times and addresses aside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rmq_interop::{Fact, Java, Ongoing, PATIENCE, Request, masked, of_kind};
use rmq_testkit::{Cluster, Flavor, wait};

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
const DELIBERATE: [&str; 1] = [
    // An asynchronous flush takes what there is: Java may leave up to 3 pages unflushed for 10 s.
    "flushCommitLogLeastPages",
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
