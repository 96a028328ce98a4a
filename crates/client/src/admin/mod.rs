//! Administration: one typed call for each request that an operator's tools make.
//!
//! The calls are grouped by what they are about: [`names`], [`topics`], [`groups`], [`brokers`], [`messages`].

mod brokers;
mod groups;
pub mod messages;
mod names;
mod topics;

use std::time::Duration;

use rmq_proto::{
    body::{BrokerData, TopicRouteData},
    code::RequestCode,
    command::Command,
};
use serde::de::DeserializeOwned;

use crate::{
    error::{Error, Result},
    exchange,
    instance::{Instance, InstanceOptions},
};

/// Asks name servers and brokers what an administrator wants to know, and tells them what to change.
///
/// ```no_run
/// # async fn run() -> rmq_client::Result<()> {
/// use rmq_client::Admin;
/// let admin = Admin::connect("127.0.0.1:9876");
/// for topic in admin.topic_list().await?.topic_list {
///     println!("{topic}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    instance: Instance,
    timeout: Duration,
}

impl Admin {
    /// Name servers separated by `;`. Nothing is dialled until the first call. Without any, only those calls
    /// work that are told a broker's address.
    pub fn connect(name_servers: &str) -> Self {
        Self::new(Instance::without_check(InstanceOptions::new(name_servers)))
    }

    /// Uses an instance that is there already.
    pub fn new(instance: Instance) -> Self {
        // Java's administration waits 5 s, clients 3.
        Self { instance, timeout: Duration::from_secs(5) }
    }

    /// The instance that it runs in.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// `host:port` of each name server.
    pub fn name_server_addresses(&self) -> &[String] {
        self.instance.name_servers().addresses()
    }

    /// The route of a topic, asked for anew.
    pub async fn route(&self, topic: &str) -> Result<TopicRouteData> {
        let route = self.instance.refresh_route(topic).await?;
        route.map(|route| route.data.clone()).ok_or_else(|| Error::NoRoute {
            topic: topic.to_owned(),
            name_servers: self.instance.name_servers().list(),
        })
    }

    /// Closes all connections.
    pub fn shutdown(&self) {
        self.instance.shutdown();
    }

    /// Asks a broker, or one particular name server.
    async fn ask(&self, address: &str, request: Command) -> Result<Command> {
        exchange::invoke(self.instance.remoting(), address, request, self.timeout).await
    }

    /// Like [`ask`](Self::ask), for an answer whose body is JSON.
    async fn ask_for<T: DeserializeOwned>(&self, address: &str, request: Command) -> Result<T> {
        let code = request.request_code();
        let answer = self.ask(address, request).await?;
        exchange::parse_body(address, code, &answer)
    }

    /// Asks whichever name server answers, for an answer whose body is JSON.
    async fn ask_names_for<T: DeserializeOwned>(&self, request: Command) -> Result<T> {
        let code = request.request_code();
        let answer = self.instance.name_servers().ask(self.instance.remoting(), request).await?;
        exchange::parse_body("name server", code, &answer)
    }

    /// Tells all name servers, which share nothing. Stops at the first that fails.
    async fn tell_names(&self, request: Command) -> Result<()> {
        for address in self.name_server_addresses() {
            self.ask(address, request.clone()).await?;
        }
        Ok(())
    }
}

/// The address to ask a broker at: its master's, or that of any slave.
pub fn address_of(broker: &BrokerData) -> Option<&str> {
    broker.master_addr().or_else(|| broker.broker_addrs.values().next().map(String::as_str))
}

fn request(code: RequestCode) -> Command {
    Command::request(code)
}
