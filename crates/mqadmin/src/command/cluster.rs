//! Clusters.

use std::{collections::BTreeMap, time::Duration};

use rmq_proto::body::ClusterInfo;
use serde_json::Value;

use crate::{
    call::{Call, Failure, Outcome},
    table::Table,
    time,
};

type Figures = BTreeMap<String, String>;

pub(super) async fn list(call: &mut Call) -> Outcome {
    let interval = match call.args.get("interval") {
        Some(_) => Some(Duration::from_secs(call.number("interval", 1)?)),
        None => None,
    };
    loop {
        let info = call.admin.cluster_info().await?;
        let table =
            if call.args.has("moreStats") { totals(call, &info).await } else { rates(call, &info).await }?;
        call.table(&table)?;
        match interval {
            Some(interval) => tokio::time::sleep(interval).await,
            None => return Ok(()),
        }
    }
}

/// One broker address of the listed clusters, with its figures; a silent one has none.
struct Member {
    cluster: String,
    broker: String,
    id: i64,
    address: String,
    figures: Figures,
}

async fn members(call: &Call, info: &ClusterInfo) -> Result<Vec<Member>, Failure> {
    let wanted = call.args.get("clusterName");
    let mut members = Vec::new();
    for (cluster, names) in &info.cluster_addr_table {
        if wanted.is_some_and(|wanted| wanted != cluster) {
            continue;
        }
        for broker in names.iter().filter_map(|name| info.broker_addr_table.get(name)) {
            for (id, address) in &broker.broker_addrs {
                let figures = match call.admin.broker_runtime(address).await {
                    Ok(figures) => figures.table,
                    Err(error) => {
                        eprintln!("mqadmin: {error}");
                        Figures::new()
                    }
                };
                members.push(Member {
                    cluster: cluster.clone(),
                    broker: broker.broker_name.clone(),
                    id: *id,
                    address: address.clone(),
                    figures: figures.into_iter().collect(),
                });
            }
        }
    }
    if members.is_empty()
        && let Some(wanted) = wanted
    {
        return Err(Failure::Other(format!("there is no cluster `{wanted}`. {}", super::target::NO_CLUSTER)));
    }
    Ok(members)
}

async fn rates(call: &Call, info: &ClusterInfo) -> Result<Table, Failure> {
    let mut table = Table::new(
        &[
            ("#Cluster Name", "cluster"),
            ("#Broker Name", "brokerName"),
            ("#BID", "brokerId"),
            ("#Addr", "address"),
            ("#Version", "version"),
            ("#InTPS(LOAD)", "inTps"),
            ("#OutTPS(LOAD)", "outTps"),
            ("#Timer(Progress)", "timer"),
            ("#PCWait(ms)", "pageCacheWaitMs"),
            ("#Hour", "hours"),
            ("#SPACE", "diskRatio"),
            ("#ACTIVATED", "activated"),
        ],
        "%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %-11s  %-12s  %-8s  %-10s",
        "%-22s  %-22s  %-4s  %-22s %-16s  %16s  %30s  %-22s  %11s  %-12s  %-8s  %10s",
    );
    for member in members(call, info).await? {
        let Member { cluster, broker, id, address, figures } = member;
        let text = |key: &str| figures.get(key).cloned().unwrap_or_default();
        table.row([
            Value::from(cluster),
            Value::from(broker),
            Value::from(id),
            Value::from(address),
            Value::from(text("brokerVersionDesc")),
            Value::from(in_rate(&figures)),
            Value::from(out_rate(&figures)),
            Value::from(timer(&figures)),
            Value::from(text("pageCacheLockTimeMills")),
            Value::from(format!("{:2.2}", hours(&figures))),
            Value::from(format!("{:.4}", number(&figures, "commitLogDiskRatio"))),
            Value::from(text("brokerActive").eq_ignore_ascii_case("true")),
        ]);
    }
    Ok(table)
}

/// A figure as a number; 0 if it is not there.
fn number(figures: &Figures, key: &str) -> f64 {
    figures.get(key).and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// The first of several rates in one figure: that of the last 10 seconds.
fn first_rate(figures: &Figures, key: &str) -> f64 {
    figures.get(key).and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0)
}

fn in_rate(figures: &Figures) -> String {
    let text = |key: &str| figures.get(key).cloned().unwrap_or_default();
    let (size, wait) = (text("sendThreadPoolQueueSize"), text("sendThreadPoolQueueHeadWaitTimeMills"));
    format!("{:9.2}({size},{wait}ms)", first_rate(figures, "putTps"))
}

fn out_rate(figures: &Figures) -> String {
    let text = |key: &str, default: &str| figures.get(key).cloned().unwrap_or_else(|| default.to_owned());
    // Brokers before 5.0 do not acknowledge: N stands for that.
    let missing = if figures.is_empty() { "" } else { "N" };
    format!(
        "{:9.2}({},{}ms|{},{}ms)",
        first_rate(figures, "getTransferredTps"),
        text("pullThreadPoolQueueSize", ""),
        text("pullThreadPoolQueueHeadWaitTimeMills", ""),
        text("ackThreadPoolQueueSize", missing),
        text("ackThreadPoolQueueHeadWaitTimeMills", missing),
    )
}

fn timer(figures: &Figures) -> String {
    let number = |key| number(figures, key);
    format!(
        "{}-{}({:.1}w, {:.1}, {:.1})",
        number("timerReadBehind"),
        number("timerOffsetBehind"),
        number("timerCongestNum") / 10_000.0,
        number("timerEnqueueTps"),
        number("timerDequeueTps"),
    )
}

/// How far back the oldest message goes.
fn hours(figures: &Figures) -> f64 {
    match figures.get("earliestMessageTimeStamp").and_then(|text| text.parse::<i64>().ok()) {
        Some(earliest_ms) => (time::now_ms() - earliest_ms) as f64 / 3_600_000.0,
        None => 0.0,
    }
}

async fn totals(call: &Call, info: &ClusterInfo) -> Result<Table, Failure> {
    let mut table = Table::new(
        &[
            ("#Cluster Name", "cluster"),
            ("#Broker Name", "brokerName"),
            ("#InTotalYest", "inYesterday"),
            ("#OutTotalYest", "outYesterday"),
            ("#InTotalToday", "inToday"),
            ("#OutTotalToday", "outToday"),
        ],
        "%-16s  %-32s %14s %14s %14s %14s",
        "%-16s  %-32s %14s %14s %14s %14s",
    );
    for member in members(call, info).await? {
        let between = |from: &str, to: &str| {
            let number =
                |key: &str| member.figures.get(key).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
            Value::from(number(to) - number(from))
        };
        table.row([
            Value::from(member.cluster.as_str()),
            Value::from(member.broker.as_str()),
            between("msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning"),
            between("msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning"),
            between("msgPutTotalTodayMorning", "msgPutTotalTodayNow"),
            between("msgGetTotalTodayMorning", "msgGetTotalTodayNow"),
        ]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_written_as_in_java() {
        let figures: Figures = [
            ("putTps", "12.345 9.0 8.0"),
            ("sendThreadPoolQueueSize", "3"),
            ("sendThreadPoolQueueHeadWaitTimeMills", "7"),
            ("timerReadBehind", "2"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        assert_eq!(in_rate(&figures), "    12.35(3,7ms)");
        assert_eq!(out_rate(&figures), "     0.00(,ms|N,Nms)");
        assert_eq!(timer(&figures), "2-0(0.0w, 0.0, 0.0)");
    }
}
