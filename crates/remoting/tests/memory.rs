//! What an idle connection costs. Alone in its file: other tests would disturb the measurement.

mod common;

use common::*;
use rmq_remoting::Limits;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn idle_connections_are_cheap_even_after_a_burst() {
    // Both ends are in this process: two descriptors each. 450 fit the usual limit of 1024.
    const COUNT: usize = 450;
    let lab = Lab::new();
    let server = serve(&lab, Limits::default());
    let mut peers = Vec::new();
    let burst = |opaque| request(ECHO, opaque).with_body(vec![1; 60_000]);
    let mut before = 0;
    for at in 0..COUNT + 20 {
        let mut raw = Raw::connect(&server).await;
        for opaque in 0..3 {
            raw.send(&burst(opaque)).await;
            raw.receive().await;
        }
        // Only the socket is kept of this end.
        peers.push(raw.stream);
        if at == 20 {
            before = resident();
        }
    }
    let each = resident().saturating_sub(before) / COUNT;
    assert_eq!(server.connections(), COUNT + 20);
    assert!(each < 20 * 1024, "{each} bytes for each connection");
}
