//! JSON bodies as any peer may send them, read as every type that a server reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rmq_proto::body::{
    BrokerRegistration, ConsumerOffsets, HeartbeatData, LockRequest, SubscriptionGroupConfig, TopicConfigs,
    TopicRouteData, TopicStatsTable,
};
use rmq_proto::fastjson;

fuzz_target!(|input: &[u8]| {
    let _ = fastjson::from_slice::<HeartbeatData>(input);
    let _ = fastjson::from_slice::<LockRequest>(input);
    let _ = fastjson::from_slice::<SubscriptionGroupConfig>(input);
    let _ = fastjson::from_slice::<TopicRouteData>(input);
    let _ = fastjson::from_slice::<ConsumerOffsets>(input);
    let _ = fastjson::from_slice::<TopicConfigs>(input);
    if let Ok(stats) = fastjson::from_slice::<TopicStatsTable>(input) {
        let written = fastjson::to_vec(&stats).expect("we write what we read");
        let again: TopicStatsTable = fastjson::from_slice(&written).expect("we read what we write");
        assert_eq!(again.offset_table, stats.offset_table);
    }
    for compressed in [false, true] {
        let _ = BrokerRegistration::decode(input, compressed, rmq_proto::code::version::CURRENT);
    }
});
