//! Bodies against what Java 5.5.0's classes wrote: each file of `testdata/fastjson` is read into its
//! type and written again, byte for byte.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use super::*;
use crate::fastjson;
use crate::message::crc::crc31;

macro_rules! bytes_of {
    ($file:literal) => {
        include_bytes!(concat!("../../testdata/fastjson/", $file)).as_slice()
    };
}

/// Reads the file, writes it again in the same form, and compares.
macro_rules! same_as_java {
    ($($test:ident: $type:ty = $file:literal,)*) => {
        $(#[test]
        fn $test() {
            let bytes = bytes_of!($file);
            let value: $type = fastjson::from_slice(bytes).unwrap();
            let written = if $file.ends_with(".standard.json") {
                fastjson::to_standard_vec(&value).unwrap()
            } else if $file.ends_with(".pretty.json") {
                fastjson::to_string_pretty(&value).unwrap().into_bytes()
            } else {
                fastjson::to_vec(&value).unwrap()
            };
            assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(bytes));
        })*
    };
}

same_as_java! {
    acl_info: AclInfo = "acl_info.json",
    assignment_request: AssignmentRequest = "assignment_request.json",
    assignments: Assignments = "assignments.json",
    batch_ack_request: BatchAckRequest = "batch_ack.json",
    broker_lite_info: BrokerLiteInfo = "broker_lite_info.json",
    broker_member_group: BrokerMemberGroup = "broker_member_group.json",
    broker_member_group_reply: BrokerMemberGroupReply = "broker_member_group_reply.json",
    broker_replicas: BrokerReplicas = "broker_replicas.json",
    broker_stats_data: BrokerStatsData = "broker_stats.json",
    check_client: CheckClient = "check_client.json",
    cluster_info: ClusterInfo = "cluster_info.json",
    consume_directly_result: ConsumeDirectlyResult = "consume_directly.json",
    consume_queue_reply: ConsumeQueueReply = "consume_queue.json",
    consume_stats_body: ConsumeStats = "consume_stats.json",
    consume_stats_list: ConsumeStatsList = "consume_stats_list.json",
    consume_time_spans: ConsumeTimeSpans = "consume_time_spans.json",
    consumer_connection: ConsumerConnection = "consumer_connection.json",
    consumer_filters: ConsumerFilters = "consumer_filters.json",
    consumer_filters_file: ConsumerFilters = "consumer_filters.pretty.json",
    consumer_list: ConsumerList = "consumer_list.json",
    consumer_offsets: ConsumerOffsets = "consumer_offsets.json",
    consumer_offsets_file: ConsumerOffsets = "consumer_offsets.pretty.json",
    consumer_offsets_of_a_slave: ConsumerOffsets = "consumer_offsets_wrapper.json",
    consumer_offsets_of_light_queues: ConsumerOffsets = "lmq_consumer_offsets.pretty.json",
    consumer_order_infos: ConsumerOrderInfos = "order_infos.json",
    consumer_order_infos_file: ConsumerOrderInfos = "order_infos.pretty.json",
    consumer_running_info: ConsumerRunningInfo = "running_info.json",
    consumer_status: ConsumerStatus = "consumer_status.json",
    correction_offsets: CorrectionOffsets = "correction_offsets.json",
    data_version_body: DataVersion = "data_version.json",
    delay_offsets: DelayOffsets = "delay_offsets.json",
    delay_offsets_file: DelayOffsets = "delay_offsets.pretty.json",
    elected_master: ElectedMaster = "elected_master.json",
    epoch_cache: EpochCache = "epoch_cache.json",
    group_forbidden: GroupForbidden = "group_forbidden.json",
    group_list: GroupList = "group_list.json",
    group_subscription: GroupSubscription = "group_subscription.json",
    ha_runtime_info: HaRuntimeInfo = "ha_runtime_info.json",
    ha_runtime_info_indented: HaRuntimeInfo = "ha_runtime_info.pretty.json",
    heartbeat_data: HeartbeatData = "heartbeat.json",
    kv_table: KvTable = "kv_table.json",
    lite_client_info: LiteClientInfo = "lite_client_info.json",
    lite_group_info: LiteGroupInfo = "lite_group_info.json",
    lite_subscriptions: LiteSubscriptions = "lite_subscriptions.json",
    lite_topic_info: LiteTopicInfo = "lite_topic_info.json",
    lock_request: LockRequest = "lock_request.json",
    locked_queues: LockedQueues = "locked_queues.json",
    message_queue_body: MessageQueue = "message_queue.json",
    offset_moved_event: OffsetMovedEvent = "offset_moved.json",
    parent_topic_info: ParentTopicInfo = "parent_topic_info.json",
    producer_connection: ProducerConnection = "producer_connection.json",
    producer_table: ProducerTableInfo = "producer_table.json",
    registration_body: BrokerRegistration = "registration.json",
    request_mode: RequestModeSetting = "request_mode.json",
    request_modes: RequestModes = "request_modes.json",
    request_modes_file: RequestModes = "request_modes.pretty.json",
    reset_offsets: ResetOffsets = "reset_offsets.json",
    reset_offsets_for_c: ResetOffsetsForC = "reset_offsets_for_c.json",
    rollback_stats: RollbackStats = "rollback_stats.json",
    route_data: TopicRouteData = "route.json",
    route_data_full: TopicRouteData = "route_full.json",
    route_data_full_standard: TopicRouteData = "route_full.standard.json",
    route_data_standard: TopicRouteData = "route.standard.json",
    subscription_data: SubscriptionData = "subscription.json",
    subscription_group_config: SubscriptionGroupConfig = "group_config.json",
    subscription_group_config_full: SubscriptionGroupConfig = "group_config_full.json",
    subscription_group_list: SubscriptionGroupList = "group_config_list.json",
    subscription_groups: SubscriptionGroups = "groups.json",
    subscription_groups_file: SubscriptionGroups = "groups.pretty.json",
    sync_state_set: SyncStateSet = "sync_state_set.json",
    timer_metrics: TimerMetrics = "timer_metrics.json",
    topic_config_and_mapping: TopicConfigAndMapping = "topic_config_and_mapping.json",
    topic_config_body: TopicConfig = "topic_config.json",
    topic_config_list: TopicConfigList = "topic_config_list.json",
    topic_configs: TopicConfigs = "topics.json",
    topic_configs_file: TopicConfigs = "topics.pretty.json",
    topic_configs_with_mappings: TopicConfigs = "topics_and_mapping.json",
    topic_configs_without_mappings: TopicConfigs = "topics_no_mapping.json",
    topic_list: TopicList = "topic_list.json",
    topic_list_with_broker: TopicList = "topic_list_broker.json",
    topic_queue_mappings: TopicQueueMappings = "topic_queue_mappings.json",
    topic_queue_mappings_file: TopicQueueMappings = "topic_queue_mappings.pretty.json",
    topic_stats_body: TopicStatsTable = "topic_stats.json",
    topic_stats_empty: TopicStatsTable = "topic_stats_empty.json",
    unlock_request: LockRequest = "unlock_request.json",
    user_info: UserInfo = "user_info.json",
    user_list: Vec<UserInfo> = "user_list.json",
}

/// Bodies without optional members are what Java writes for a new object with a name.
#[test]
fn defaults_are_those_of_java() {
    let group = SubscriptionGroupConfig::new("g");
    assert_eq!(fastjson::to_vec(&group).unwrap(), bytes_of!("group_config.json"));
    assert_eq!(fastjson::to_vec(&TopicStatsTable::default()).unwrap(), bytes_of!("topic_stats_empty.json"));
    assert_eq!(
        fastjson::to_string_pretty(&HeartbeatData::default()).unwrap(),
        "{\n\t\"clientID\":\"\",\n\t\"consumerDataSet\":[\n\t\t\n\t],\n\t\"heartbeatFingerprint\":0,\n\t\
         \"producerDataSet\":[\n\t\t\n\t],\n\t\"withoutSub\":false\n}"
    );
    let topic: TopicConfig = fastjson::from_slice(b"{}").unwrap();
    assert_eq!((topic.read_queue_nums, topic.write_queue_nums, topic.perm), (16, 16, 6));
    let item: LogicQueueMappingItem = fastjson::from_slice(b"{}").unwrap();
    assert_eq!((item.end_offset, item.time_of_start, item.time_of_end), (-1, -1, -1));
}

/// A consumer of the C++ client: numbers as text, enums as ordinals.
#[test]
fn a_heartbeat_in_other_words() {
    let text = br#"{"clientID":"10.0.0.1@DEFAULT","consumerDataSet":[{"consumeFromWhere":0,"consumeType":1,
        "groupName":"g","messageModel":1,"subscriptionDataSet":[{"codeSet":["2598919"],"subString":"TagA",
        "subVersion":"1700000000001","tagsSet":["TagA"],"topic":"T"}]}],"producerDataSet":null}"#;
    let heartbeat: HeartbeatData = fastjson::from_slice(text).unwrap();
    let [consumer] = &heartbeat.consumer_data_set[..] else { panic!("{heartbeat:?}") };
    assert_eq!(
        (consumer.consume_type, consumer.message_model),
        (ConsumeType::Passively, MessageModel::Clustering)
    );
    let wanted = SubscriptionData::tags("T", "TagA", 1700000000001).unwrap();
    assert_eq!(consumer.subscription_data_set, [wanted]);
}

#[test]
fn a_fingerprint_is_that_of_java() {
    let mut heartbeat: HeartbeatData = fastjson::from_slice(bytes_of!("heartbeat.json")).unwrap();
    assert_eq!(heartbeat.fingerprint(), 1655521064);
    heartbeat.client_id = "another".into();
    heartbeat.consumer_data_set[0].subscription_data_set[0].sub_version = 9;
    assert_eq!(heartbeat.fingerprint(), 1655521064);
}

#[test]
fn an_info_is_made_from_a_mapping() {
    let mut both: TopicConfigs = fastjson::from_slice(bytes_of!("topics_and_mapping.json")).unwrap();
    let details = both.topic_queue_mapping_detail_map.take().unwrap();
    let infos = both.topic_queue_mapping_info_map.take().unwrap();
    assert_eq!(details["T"].info(), infos["T"]);
}

#[test]
fn a_compressed_registration_is_read_and_written() {
    let plain = BrokerRegistration::decode(bytes_of!("registration.json"), false, 513).unwrap();
    let compressed = bytes_of!("registration.z");
    assert_eq!(crc31(compressed).to_string().as_bytes(), bytes_of!("registration.crc"));
    assert_eq!(body_crc32(compressed), 1610293753);

    // The compressed form carries neither details nor the mappings' version.
    let mut expected = plain.clone();
    expected.topic_config_serialize_wrapper.topic_queue_mapping_detail_map = None;
    expected.topic_config_serialize_wrapper.mapping_data_version = None;
    assert_eq!(BrokerRegistration::decode(compressed, true, 513).unwrap(), expected);
    let ours = plain.encode(true).unwrap();
    assert_eq!(BrokerRegistration::decode(&ours, true, 513).unwrap(), expected);

    // Brokers before 5.0 end after the filter servers.
    expected.topic_config_serialize_wrapper.topic_queue_mapping_info_map = None;
    assert_eq!(BrokerRegistration::decode(compressed, true, 407).unwrap(), expected);
}

#[test]
fn a_damaged_compressed_registration_is_an_error() {
    let whole = bytes_of!("registration.z");
    for len in 0..whole.len() / 2 {
        assert!(BrokerRegistration::decode(&whole[..len], true, 513).is_err(), "{len} bytes");
    }
    for claimed in [i32::MAX, i32::MIN, -1] {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&claimed.to_be_bytes()).unwrap();
        assert!(BrokerRegistration::decode(&zlib.finish().unwrap(), true, 513).is_err(), "{claimed}");
    }
}
