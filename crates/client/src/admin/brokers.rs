//! Brokers: their settings and their figures.

use rmq_proto::{body::KvTable, code::RequestCode, properties_file::Properties};

use super::{Admin, names::one_property, request};
use crate::{error::Result, exchange};

impl Admin {
    /// A broker's figures, by Java's names.
    pub async fn broker_runtime(&self, broker: &str) -> Result<KvTable> {
        self.ask_for(broker, request(RequestCode::GET_BROKER_RUNTIME_INFO)).await
    }

    /// A broker's settings.
    pub async fn broker_config(&self, broker: &str) -> Result<Properties> {
        let code = RequestCode::GET_BROKER_CONFIG;
        let answer = self.ask(broker, request(code)).await?;
        let text = String::from_utf8_lossy(&answer.body.bytes()).into_owned();
        Properties::parse(&text).map_err(|error| exchange::unreadable(broker, code, error))
    }

    /// Changes a setting of a broker.
    pub async fn update_broker_config(&self, broker: &str, key: &str, value: &str) -> Result<()> {
        let body = one_property(key, value)?;
        self.ask(broker, request(RequestCode::UPDATE_BROKER_CONFIG).with_body(body)).await.map(drop)
    }
}
