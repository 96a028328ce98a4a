//! Taking a broker out of writing before maintenance, and back: codes 205 and 327.

use std::sync::Arc;

use parking_lot::RwLock;
use rmq_proto::command::Command;
use rmq_proto::header::register::{AddCount, BrokerName, WipeCount};
use tracing::info;

use super::Answer;
use crate::route_table::RouteTable;

/// Changes the permissions of a broker's topics.
#[derive(Debug)]
pub(crate) struct WritePermHandler {
    pub(crate) table: Arc<RwLock<RouteTable>>,
}

impl WritePermHandler {
    /// WIPE_WRITE_PERM_OF_BROKER.
    pub(crate) fn wipe(&self, request: &Command) -> Answer {
        let BrokerName { broker_name } = request.header()?;
        let wipe_topic_count = self.table.write().wipe_write_perm(&broker_name);
        info!(broker = broker_name, topics = wipe_topic_count, "write permission wiped");
        Ok(Command::success().with_header(&WipeCount { wipe_topic_count }))
    }

    /// ADD_WRITE_PERM_OF_BROKER.
    pub(crate) fn add(&self, request: &Command) -> Answer {
        let BrokerName { broker_name } = request.header()?;
        let add_topic_count = self.table.write().add_write_perm(&broker_name);
        info!(broker = broker_name, topics = add_topic_count, "write permission added");
        Ok(Command::success().with_header(&AddCount { add_topic_count }))
    }
}
