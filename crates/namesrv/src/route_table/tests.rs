//! One test per rule of registration, expiry and routes.

use std::time::Instant;

use super::*;

const NOW: i64 = 1_000;

fn identity(name: &str, id: i64, addr: &str) -> BrokerIdentity {
    BrokerIdentity {
        broker_name: name.into(),
        broker_addr: addr.into(),
        cluster_name: "C1".into(),
        broker_id: id,
    }
}

fn version(state_version: i64, counter: i64) -> DataVersion {
    DataVersion { state_version, counter, timestamp: 7 }
}

fn configs(names: &[&str], queues: i32) -> TopicConfigs {
    let config = |name: &&str| {
        let name = (*name).to_owned();
        (name.clone(), TopicConfig { topic_name: name, ..TopicConfig::new("", queues, queues, 6) })
    };
    TopicConfigs { topic_config_table: names.iter().map(config).collect(), ..TopicConfigs::default() }
}

/// A registration of topics A and B with four queues each.
fn broker(name: &str, id: i64, addr: &str) -> Registration {
    let mut topics = configs(&["A", "B"], 4);
    topics.data_version = version(0, 1);
    Registration {
        identity: identity(name, id, addr),
        ha_server_addr: format!("{addr}:ha"),
        zone: None,
        heartbeat_timeout_ms: None,
        acting_master: None,
        topics,
        filter_servers: Some(Vec::new()),
        connection: 1,
        forget_other_topics: false,
    }
}

impl Registration {
    fn with_topics(mut self, names: &[&str], queues: i32, counter: i64) -> Self {
        self.topics = configs(names, queues);
        self.topics.data_version = version(0, counter);
        self
    }

    fn acting_master(mut self, enabled: bool) -> Self {
        self.acting_master = Some(enabled);
        self
    }

    fn on(mut self, connection: u64) -> Self {
        self.connection = connection;
        self
    }
}

fn table(registrations: Vec<Registration>) -> RouteTable {
    let mut table = RouteTable::default();
    for registration in registrations {
        table.register(registration, NOW).unwrap();
    }
    table
}

/// `broker perm/queues` of each broker of a topic.
fn queues(table: &RouteTable, topic: &str) -> Vec<String> {
    let route = table.route(topic, false).unwrap_or_default();
    route
        .queue_datas
        .iter()
        .map(|data| format!("{} {}/{}", data.broker_name, data.perm, data.write_queue_nums))
        .collect()
}

fn members(table: &RouteTable, name: &str) -> Vec<(i64, String)> {
    table.member_group("C1", name).broker_addrs.into_iter().collect()
}

fn is_empty(table: &RouteTable) -> bool {
    table.topics.is_empty() && table.brokers.is_empty() && table.clusters.is_empty() && table.live.is_empty()
}

#[test]
fn one_topic_of_an_unknown_broker_is_refused_and_leaves_nothing() {
    let mut table = RouteTable::default();
    let one = || broker("a", 0, "h:1").with_topics(&["N"], 4, 2);
    assert_eq!(table.register(one(), NOW), Err(NotRegisteredYet));
    assert!(is_empty(&table));
    table.register(broker("a", 0, "h:1"), NOW).unwrap();
    table.register(one(), NOW).unwrap();
    assert_eq!(queues(&table, "N"), ["a 6/4"]);
    assert_eq!(queues(&table, "A"), ["a 6/4"], "topics that a registration does not name stay");
    assert_eq!(
        table.register(broker("a", 1, "h:2").with_topics(&["N"], 4, 2), NOW),
        Err(NotRegisteredYet),
        "another id of a known name is not known"
    );
}

#[test]
fn known_topics_change_only_with_the_data_version() {
    let mut table = table(vec![broker("a", 0, "h:1")]);
    table.register(broker("a", 0, "h:1").with_topics(&["A", "N"], 8, 1), NOW).unwrap();
    assert_eq!(queues(&table, "A"), ["a 6/4"], "same version: not touched");
    assert_eq!(queues(&table, "N"), ["a 6/8"], "same version: missing topics are added");
    table.register(broker("a", 0, "h:1").with_topics(&["A", "N"], 9, 2), NOW).unwrap();
    assert_eq!(queues(&table, "A"), ["a 6/9"]);
}

#[test]
fn topics_that_are_not_named_are_forgotten_if_so_configured() {
    let mut table = table(vec![broker("a", 0, "h:1"), broker("b", 0, "h:2")]);
    let mut registration = broker("a", 0, "h:1").with_topics(&["B", "N"], 4, 2);
    registration.forget_other_topics = true;
    table.register(registration, NOW).unwrap();
    assert_eq!(queues(&table, "A"), ["b 6/4"]);
    assert_eq!(queues(&table, "B"), ["a 6/4", "b 6/4"]);
}

#[test]
fn an_old_slave_brings_no_topics_and_learns_its_master() {
    let mut table = table(vec![broker("a", 1, "h:2").with_topics(&["S", "T"], 4, 1)]);
    assert_eq!(table.route("S", false), None);
    table.register(broker("a", 0, "h:1"), NOW).unwrap();
    let answer = table.register(broker("a", 1, "h:2"), NOW).unwrap();
    assert_eq!(answer.master_addr.as_deref(), Some("h:1"));
    assert_eq!(answer.ha_server_addr.as_deref(), Some("h:1:ha"));
    assert_eq!(members(&table, "a"), [(0, "h:1".to_owned()), (1, "h:2".to_owned())]);
}

#[test]
fn the_first_slave_of_a_new_kind_brings_topics_without_its_master() {
    for (enabled, expected) in [(false, "a 6/4"), (true, "a 4/4")] {
        let mut table = table(vec![broker("a", 1, "h:2").acting_master(enabled)]);
        assert_eq!(queues(&table, "A"), [expected], "acting masters are read-only");
        let second = broker("a", 2, "h:3").acting_master(enabled).with_topics(&["S", "T"], 4, 1);
        table.register(second, NOW).unwrap();
        assert_eq!(table.route("S", false), None, "only the first one counts");
    }
}

#[test]
fn an_address_has_one_id() {
    let mut table = table(vec![broker("a", 0, "h:1"), broker("a", 1, "h:2")]);
    table.register(broker("a", 0, "h:2"), NOW).unwrap();
    assert_eq!(members(&table, "a"), [(0, "h:2".to_owned())]);
}

#[test]
fn a_newer_state_holds_its_id_against_an_older_one() {
    let with_state = |addr: &str, state_version| {
        let mut registration = broker("a", 0, addr).on(9);
        registration.topics.data_version = version(state_version, 1);
        registration
    };
    let mut table = table(vec![with_state("h:1", 5)]);
    table.register(broker("a", 2, "h:2"), NOW).unwrap();
    assert_eq!(table.register(with_state("h:2", 4), NOW), Ok(Registered::default()));
    assert_eq!(members(&table, "a"), [(0, "h:1".to_owned())], "the loser is out, under any id");
    assert_eq!(table.version_of("C1", "h:2"), None);
    table.register(with_state("h:2", 5), NOW).unwrap();
    assert_eq!(members(&table, "a"), [(0, "h:2".to_owned())], "an equal state replaces");
}

#[test]
fn a_broker_that_changes_its_name_leaves_the_old_one() {
    let mut table = table(vec![broker("a", 0, "h:1")]);
    table.register(broker("b", 0, "h:1"), NOW).unwrap();
    assert_eq!(queues(&table, "A"), ["b 6/4"]);
    assert!(members(&table, "a").is_empty());
}

#[test]
fn the_last_address_takes_name_cluster_and_topics_along() {
    let mut table = table(vec![broker("a", 0, "h:1"), broker("a", 1, "h:2"), broker("b", 0, "h:3")]);
    table.unregister(&[identity("a", 0, "h:1")]);
    assert_eq!(queues(&table, "A"), ["a 6/4", "b 6/4"], "a slave still serves it");
    table.unregister(&[identity("a", 1, "h:2")]);
    assert_eq!(queues(&table, "A"), ["b 6/4"]);
    assert_eq!(table.cluster_info().cluster_addr_table["C1"], BTreeSet::from(["b".to_owned()]));
    table.unregister(&[identity("b", 0, "h:3"), identity("nobody", 0, "h:9")]);
    assert!(is_empty(&table));
}

#[test]
fn a_group_without_master_is_read_only_if_slaves_may_act() {
    for (enabled, expected) in [(true, "a 4/4"), (false, "a 6/4")] {
        let mut table = table(vec![
            broker("a", 0, "h:1").acting_master(enabled),
            broker("a", 1, "h:2").acting_master(enabled),
        ]);
        table.unregister(&[identity("a", 0, "h:1")]);
        assert_eq!(queues(&table, "A"), [expected]);
    }
}

#[test]
fn an_acting_master_is_shown_as_master_where_that_is_wanted() {
    let names = ["A", "rmq_sys_SYNC_BROKER_MEMBER_a"];
    let slave = || broker("a", 1, "h:2").acting_master(true).with_topics(&names, 4, 1);
    let table = table(vec![slave(), broker("b", 0, "h:3")]);
    let shown = |topic, wanted| {
        let route: rmq_proto::body::TopicRouteData = table.route(topic, wanted).unwrap();
        route.broker_datas[0].broker_addrs.clone().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(shown("A", true), [(0, "h:2".to_owned())]);
    assert_eq!(shown("A", false), [(1, "h:2".to_owned())]);
    assert_eq!(shown(names[1], true), [(1, "h:2".to_owned())], "members see each other as they are");
}

#[test]
fn a_change_of_the_first_member_is_told_to_the_others() {
    let group = |id, addr| broker("a", id, addr).acting_master(true);
    let mut table = table(vec![group(1, "h:1"), group(2, "h:2")]);
    let change = table.register(group(0, "h:0"), NOW).unwrap().change.unwrap();
    assert_eq!(
        change,
        FirstChange {
            first_id: 0,
            first_addr: "h:0".into(),
            offline_addr: None,
            ha_addr: Some("h:0:ha".into()),
            tell: vec!["h:1".into(), "h:2".into()],
        }
    );
    assert_eq!(table.unregister(&[identity("a", 2, "h:2")]), [], "not the first");
    assert_eq!(
        table.unregister(&[identity("a", 0, "h:0")]),
        [FirstChange {
            first_id: 1,
            first_addr: "h:1".into(),
            offline_addr: Some("h:0".into()),
            ha_addr: None,
            tell: vec!["h:1".into()],
        }]
    );
}

#[test]
fn silence_expires_a_broker_and_any_sign_of_life_does_not() {
    let mut patient = broker("b", 0, "h:2").on(2);
    patient.heartbeat_timeout_ms = Some(500);
    let mut table = table(vec![broker("a", 0, "h:1"), patient]);
    let late = |table: &RouteTable, now_ms| -> Vec<u64> {
        table.expired(now_ms).into_iter().map(|(_, connection)| connection).collect()
    };
    assert_eq!(late(&table, NOW + 500), [0; 0]);
    assert_eq!(late(&table, NOW + 501), [2]);
    table.heard("C1", "h:2", NOW + 300);
    assert_eq!(late(&table, NOW + 501), [0; 0]);
    table.heard("C2", "h:2", NOW + 9_000);
    assert_eq!(late(&table, NOW + 801), [2], "the cluster is part of who a broker is");
    table.forgive(10);
    assert_eq!(late(&table, NOW + 801), [0; 0]);
    assert_eq!(late(&table, NOW + DEFAULT_HEARTBEAT_TIMEOUT_MS + 11).len(), 2);
}

#[test]
fn a_connection_stands_for_the_brokers_that_registered_on_it_last() {
    let mut table = table(vec![broker("a", 0, "h:1"), broker("b", 0, "h:2").on(2)]);
    assert_eq!(table.on_connection(2), [identity("b", 0, "h:2")]);
    table.register(broker("b", 0, "h:2").on(3), NOW).unwrap();
    assert_eq!(table.on_connection(2), [], "it came back on another connection before the old one ended");
}

#[test]
fn permissions_are_wiped_until_the_next_version() {
    let mut table = table(vec![broker("a", 0, "h:1"), broker("b", 0, "h:2")]);
    assert_eq!(table.wipe_write_perm("a"), 2);
    assert_eq!(queues(&table, "A"), ["a 4/4", "b 6/4"]);
    table.register(broker("a", 0, "h:1"), NOW).unwrap();
    assert_eq!(queues(&table, "A"), ["a 4/4", "b 6/4"]);
    assert_eq!(table.add_write_perm("a"), 2);
    assert_eq!(queues(&table, "A"), ["a 6/4", "b 6/4"]);
    table.wipe_write_perm("a");
    table.register(broker("a", 0, "h:1").with_topics(&["A", "B"], 4, 2), NOW).unwrap();
    assert_eq!(queues(&table, "A"), ["a 6/4", "b 6/4"]);
    assert_eq!(table.wipe_write_perm("nobody"), 0);
}

#[test]
fn operators_put_and_delete_topics() {
    let mut table = table(vec![broker("a", 0, "h:1"), broker("b", 0, "h:2")]);
    let on = |broker: &str, perm| QueueData {
        broker_name: broker.into(),
        perm,
        read_queue_nums: 3,
        write_queue_nums: 3,
        topic_sys_flag: 0,
    };
    table.put_topic("N", &[on("a", 6), on("nobody", 6)]);
    assert_eq!(table.route("N", false), None, "a new topic has known brokers only");
    table.put_topic("N", &[on("b", 6), on("a", 6)]);
    assert_eq!(queues(&table, "N"), ["a 6/3", "b 6/3"]);
    table.put_topic("N", &[on("a", 4), on("nobody", 4), on("b", 4)]);
    assert_eq!(queues(&table, "N"), ["a 4/3", "b 6/3"], "as Java: up to the unknown broker");
    table.put_topic("E", &[]);
    assert_eq!(table.route("E", false), None);

    table.delete_topic_in_cluster("N", "C9");
    assert_eq!(queues(&table, "N").len(), 2);
    table.delete_topic_in_cluster("N", "C1");
    assert_eq!(table.route("N", false), None);
    table.delete_topic("A");
    assert_eq!(table.route("A", false), None);
}

#[test]
fn a_static_topics_mapping_lives_as_long_as_the_topic() {
    let mapping = TopicQueueMappingInfo { bname: "a".into(), topic: "A".into(), ..Default::default() };
    let mut registration = broker("a", 0, "h:1");
    registration.topics.topic_queue_mapping_info_map =
        Some(BTreeMap::from([("A".to_owned(), mapping.clone())]));
    let mut table = table(vec![registration]);
    let shown = table.route("A", false).unwrap().topic_queue_mapping_by_broker;
    assert_eq!(shown, Some(BTreeMap::from([("a".to_owned(), mapping)])));
    assert_eq!(table.route("B", false).unwrap().topic_queue_mapping_by_broker, None);
    table.delete_topic("A");
    table.register(broker("a", 0, "h:1"), NOW).unwrap();
    assert_eq!(table.route("A", false).unwrap().topic_queue_mapping_by_broker, None);
}

#[test]
fn lists_are_what_their_names_say() {
    let mut flagged = broker("b", 0, "h:2");
    for (name, flag) in [("A", 1), ("B", 2)] {
        flagged.topics.topic_config_table.get_mut(name).unwrap().topic_sys_flag = flag;
    }
    flagged.identity.cluster_name = "C2".into();
    let table = table(vec![flagged, broker("c", 0, "h:3").with_topics(&["X", "Y"], 1, 1)]);
    let names = |list: rmq_proto::body::TopicList| list.topic_list.into_iter().collect::<Vec<_>>();
    assert_eq!(names(table.all_topics()), ["A", "B", "X", "Y"]);
    assert_eq!(names(table.topics_of_cluster("C2")), ["A", "B"]);
    assert_eq!(names(table.topics_of_cluster("C9")), [""; 0]);
    assert_eq!(names(table.unit_topics(UnitTopics::Unit)), ["A"]);
    assert_eq!(names(table.unit_topics(UnitTopics::Subscribed)), ["B"]);
    assert_eq!(names(table.unit_topics(UnitTopics::SubscribedNotUnit)), ["B"]);
    let system = table.system_topics();
    assert_eq!(system.broker_addr.as_deref(), Some("h:2"));
    assert_eq!(names(system), ["C1", "C2", "b", "c"]);
}

#[test]
fn filter_servers_are_part_of_the_route() {
    let with = |servers: Option<Vec<String>>| {
        let mut registration = broker("a", 0, "h:1");
        registration.filter_servers = servers;
        registration
    };
    let mut table = table(vec![with(Some(vec!["f:1".into()]))]);
    let shown = |table: &RouteTable| table.route("A", false).unwrap().filter_server_table;
    assert_eq!(shown(&table), BTreeMap::from([("h:1".to_owned(), vec!["f:1".to_owned()])]));
    table.register(with(None), NOW).unwrap();
    assert_eq!(shown(&table).len(), 1, "an old registration does not speak of them");
    table.register(with(Some(Vec::new())), NOW).unwrap();
    assert!(shown(&table).is_empty());
}

#[test]
fn a_hundred_thousand_topics_register_quickly() {
    let names: Vec<_> = (0..100_000).map(|n| format!("topic-{n:06}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut table = RouteTable::default();
    for counter in 1..=3 {
        let registration = broker("a", 0, "h:1").with_topics(&names, 8, counter);
        let start = Instant::now();
        table.register(registration, NOW).unwrap();
        let took = start.elapsed();
        assert!(took.as_millis() < 1_000, "registration {counter} took {took:?}");
    }
    let start = Instant::now();
    table.unregister(&[identity("a", 0, "h:1")]);
    assert!(start.elapsed().as_millis() < 1_000, "took {:?}", start.elapsed());
    assert!(is_empty(&table));
}
