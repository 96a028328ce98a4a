//! What name servers keep: clusters, key-value configuration, their own settings.

use rmq_proto::{
    body::{ClusterInfo, KvTable},
    code::RequestCode,
    header::{
        kv::{KvKey, KvNamespace, KvValue, PutKv},
        register::{AddCount, BrokerName, WipeCount},
    },
    properties_file::Properties,
};

use super::{Admin, request};
use crate::{
    error::{Error, Result},
    exchange,
};

impl Admin {
    /// All clusters and their brokers.
    pub async fn cluster_info(&self) -> Result<ClusterInfo> {
        self.ask_names_for(request(RequestCode::GET_BROKER_CLUSTER_INFO)).await
    }

    /// Sets a value at all name servers.
    pub async fn put_kv(&self, namespace: &str, key: &str, value: &str) -> Result<()> {
        let header = PutKv { namespace: namespace.into(), key: key.into(), value: value.into() };
        self.tell_names(request(RequestCode::PUT_KV_CONFIG).with_header(&header)).await
    }

    /// A value; fails with QUERY_NOT_FOUND if there is none.
    pub async fn get_kv(&self, namespace: &str, key: &str) -> Result<String> {
        let header = KvKey { namespace: namespace.into(), key: key.into() };
        let code = RequestCode::GET_KV_CONFIG;
        let names = self.instance.name_servers();
        let answer = names.ask(self.instance.remoting(), request(code).with_header(&header)).await?;
        let value: KvValue = exchange::parse_header("name server", code, &answer)?;
        value.value.ok_or_else(|| exchange::unreadable("name server", code, "there is no value in it"))
    }

    /// Removes a value at all name servers.
    pub async fn delete_kv(&self, namespace: &str, key: &str) -> Result<()> {
        let header = KvKey { namespace: namespace.into(), key: key.into() };
        self.tell_names(request(RequestCode::DELETE_KV_CONFIG).with_header(&header)).await
    }

    /// All values of a namespace.
    pub async fn kv_list(&self, namespace: &str) -> Result<KvTable> {
        let header = KvNamespace { namespace: namespace.into() };
        self.ask_names_for(request(RequestCode::GET_KVLIST_BY_NAMESPACE).with_header(&header)).await
    }

    /// Takes the write permission from all of a broker's topics at one name server; returns how many there are.
    pub async fn wipe_write_perm(&self, name_server: &str, broker: &str) -> Result<i32> {
        let code = RequestCode::WIPE_WRITE_PERM_OF_BROKER;
        let header = BrokerName { broker_name: broker.into() };
        let answer = self.ask(name_server, request(code).with_header(&header)).await?;
        Ok(exchange::parse_header::<WipeCount>(name_server, code, &answer)?.wipe_topic_count)
    }

    /// Gives the write permission back to all of a broker's topics at one name server; returns how many there are.
    pub async fn add_write_perm(&self, name_server: &str, broker: &str) -> Result<i32> {
        let code = RequestCode::ADD_WRITE_PERM_OF_BROKER;
        let header = BrokerName { broker_name: broker.into() };
        let answer = self.ask(name_server, request(code).with_header(&header)).await?;
        Ok(exchange::parse_header::<AddCount>(name_server, code, &answer)?.add_topic_count)
    }

    /// The settings of one name server.
    pub async fn name_server_config(&self, name_server: &str) -> Result<Properties> {
        let code = RequestCode::GET_NAMESRV_CONFIG;
        let answer = self.ask(name_server, request(code)).await?;
        let text = String::from_utf8_lossy(&answer.body.bytes()).into_owned();
        Properties::parse(&text).map_err(|error| exchange::unreadable(name_server, code, error))
    }

    /// Changes a setting of all name servers.
    pub async fn update_name_server_config(&self, key: &str, value: &str) -> Result<()> {
        let body = one_property(key, value)?;
        self.tell_names(request(RequestCode::UPDATE_NAMESRV_CONFIG).with_body(body)).await
    }
}

/// Java sends the plain form, not the escaped one of a file.
pub(super) fn one_property(key: &str, value: &str) -> Result<String> {
    if key.is_empty() || key.contains(['=', '\n']) || value.contains('\n') {
        return Err(Error::Setting(format!("`{key}` cannot be set to `{value}`: it must be one line")));
    }
    Ok(format!("{key}={value}\n"))
}
