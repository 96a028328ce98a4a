//! Which brokers a command is meant for: the one at `-b`, or those of the cluster at `-c`.

use std::collections::BTreeSet;

use rmq_proto::body::{BrokerData, ClusterInfo};

use crate::call::{Call, Failure};

/// Java's hint.
pub(crate) const NO_CLUSTER: &str =
    "Make sure the specified clusterName exists or the name server connected to is correct.";

/// The brokers of a cluster, by name.
pub(crate) fn brokers_of<'i>(info: &'i ClusterInfo, cluster: &str) -> Result<Vec<&'i BrokerData>, Failure> {
    let names = info
        .cluster_addr_table
        .get(cluster)
        .ok_or_else(|| Failure::Other(format!("there is no cluster `{cluster}`. {NO_CLUSTER}")))?;
    Ok(names.iter().filter_map(|name| info.broker_addr_table.get(name)).collect())
}

/// The masters of a cluster.
pub(crate) async fn masters(call: &Call, cluster: &str) -> Result<BTreeSet<String>, Failure> {
    let info = call.admin.cluster_info().await?;
    let brokers = brokers_of(&info, cluster)?;
    Ok(brokers.into_iter().filter_map(|broker| broker.master_addr().map(str::to_owned)).collect())
}

/// The masters and slaves of a cluster.
pub(crate) async fn all(call: &Call, cluster: &str) -> Result<BTreeSet<String>, Failure> {
    let info = call.admin.cluster_info().await?;
    let brokers = brokers_of(&info, cluster)?;
    Ok(brokers.into_iter().flat_map(|broker| broker.broker_addrs.values().cloned()).collect())
}

/// The broker at `-b`, else the masters of the cluster at `-c`.
pub(crate) async fn given(call: &Call) -> Result<BTreeSet<String>, Failure> {
    match (call.args.get("brokerAddr"), call.args.get("clusterName")) {
        (Some(address), _) => Ok(BTreeSet::from([address.to_owned()])),
        (None, Some(cluster)) => masters(call, cluster).await,
        (None, None) => Err(Failure::Usage("give a broker with -b or a cluster with -c".to_owned())),
    }
}
