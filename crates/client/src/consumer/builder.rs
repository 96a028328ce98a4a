//! How a push consumer is set up, and what is checked before it starts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rmq_proto::{
    body::{CheckClient, SubscriptionData},
    code::RequestCode,
    command::Command,
    topic,
};

use super::{
    Listener, StartFrom,
    process_queue::Limits,
    push::{PushConsumer, Settings},
};
use crate::{
    error::{Error, Result},
    exchange,
    instance::{Instance, InstanceOptions, now_ms},
};

/// Settings of a push consumer; made by [`PushConsumer::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct PushConsumerBuilder {
    group: String,
    instance: Option<Instance>,
    options: InstanceOptions,
    settings: Settings,
    /// Topic, expression, type of expression.
    subscriptions: Vec<(String, String, &'static str)>,
}

impl PushConsumerBuilder {
    pub(super) fn new(group: String) -> Self {
        Self {
            group,
            instance: None,
            options: InstanceOptions::new(""),
            settings: Settings {
                start_from: StartFrom::default(),
                concurrency: 20,
                batch_size: 1,
                pull_batch_size: 32,
                consume_timeout: Duration::from_secs(15 * 60),
                max_reconsume_times: 16,
                limits: Limits { messages: 1000, bytes: 100 * 1024 * 1024, span: 2000 },
                drain_timeout: Duration::from_secs(30),
            },
            subscriptions: Vec::new(),
        }
    }

    /// Name servers separated by `;`.
    pub fn name_servers(mut self, addresses: &str) -> Self {
        self.options.name_servers = InstanceOptions::new(addresses).name_servers;
        self
    }

    /// All settings of the instance that the consumer makes for itself.
    pub fn options(mut self, options: InstanceOptions) -> Self {
        self.options = options;
        self
    }

    /// Uses this instance instead of one of its own.
    pub fn instance(mut self, instance: &Instance) -> Self {
        self.instance = Some(instance.clone());
        self
    }

    /// Subscribes to messages of a topic that carry one of the tags: `*` for all, or `A || B`.
    /// All members of a group must have the same subscriptions.
    pub fn subscribe(mut self, topic: impl Into<String>, tags: impl Into<String>) -> Self {
        self.subscriptions.push((topic.into(), tags.into(), SubscriptionData::TAG));
        self
    }

    /// Subscribes to messages of a topic whose properties fulfil an SQL92 condition. The broker must have
    /// `enablePropertyFilter=true`.
    pub fn subscribe_sql(mut self, topic: impl Into<String>, condition: impl Into<String>) -> Self {
        self.subscriptions.push((topic.into(), condition.into(), SubscriptionData::SQL92));
        self
    }

    /// Where to start in queues that the group never consumed. At the end by default.
    pub fn start_from(mut self, rule: StartFrom) -> Self {
        self.settings.start_from = rule;
        self
    }

    /// Calls of the listener that may run at the same time. 20 by default.
    pub fn concurrency(mut self, calls: u32) -> Self {
        self.settings.concurrency = calls;
        self
    }

    /// Most messages in one call of the listener. 1 by default.
    pub fn batch_size(mut self, messages: usize) -> Self {
        self.settings.batch_size = messages;
        self
    }

    /// Most messages in one pull. 32 by default.
    pub fn pull_batch_size(mut self, messages: i32) -> Self {
        self.settings.pull_batch_size = messages;
        self
    }

    /// Messages whose listener takes longer are given back. 15 minutes by default.
    pub fn consume_timeout(mut self, timeout: Duration) -> Self {
        self.settings.consume_timeout = timeout;
        self
    }

    /// Attempts before a message becomes a dead letter. 16 by default.
    pub fn max_reconsume_times(mut self, times: i32) -> Self {
        self.settings.max_reconsume_times = times;
        self
    }

    /// Most messages that may wait per queue. 1000 by default.
    pub fn max_waiting_messages(mut self, messages: usize) -> Self {
        self.settings.limits.messages = messages;
        self
    }

    /// Most bytes of messages that may wait per queue. 100 MiB by default.
    pub fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.bytes = bytes;
        self
    }

    /// Largest distance between the offsets of the messages that wait in a queue. 2000 by default.
    pub fn max_waiting_span(mut self, offsets: i64) -> Self {
        self.settings.limits.span = offsets;
        self
    }

    /// How long a shutdown waits for running calls of the listener. 30 s by default.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
        self
    }

    /// Checks the settings, registers with the brokers and begins to consume.
    pub async fn start(self, listener: impl Listener) -> Result<PushConsumer> {
        self.check()?;
        let subscriptions = self.parse_subscriptions()?;
        let owns_instance = self.instance.is_none();
        let instance = match self.instance {
            Some(instance) => instance,
            None => Instance::new(self.options)?,
        };
        learn_routes(&instance, &subscriptions).await?;
        check_conditions(&instance, &self.group, &subscriptions).await?;
        PushConsumer::run(
            self.group,
            instance,
            owns_instance,
            self.settings,
            subscriptions,
            Arc::new(listener),
        )
        .await
    }

    fn check(&self) -> Result<()> {
        topic::client::check_group(&self.group).map_err(|invalid| Error::Setting(invalid.to_string()))?;
        let settings = &self.settings;
        let wrong = if self.subscriptions.is_empty() {
            "the consumer subscribes to nothing; call `subscribe` before `start`"
        } else if settings.concurrency == 0 {
            "the concurrency must be at least 1"
        } else if !(1..=1024).contains(&settings.batch_size) {
            "the batch size must be between 1 and 1024"
        } else if !(1..=1024).contains(&settings.pull_batch_size) {
            "the pull batch size must be between 1 and 1024"
        } else {
            return Ok(());
        };
        Err(Error::Setting(wrong.to_owned()))
    }

    /// Java also subscribes a clustered group to its own retries.
    fn parse_subscriptions(&self) -> Result<BTreeMap<String, SubscriptionData>> {
        let retry = (topic::retry(&self.group), SubscriptionData::ALL.to_owned(), SubscriptionData::TAG);
        let version = now_ms();
        let mut parsed = BTreeMap::new();
        for (topic, expression, kind) in self.subscriptions.iter().chain([&retry]) {
            let data = SubscriptionData::expression(topic, expression, Some(kind), version)
                .map_err(|error| Error::Setting(format!("the subscription to `{topic}`: {error}")))?;
            parsed.insert(topic.clone(), data);
        }
        Ok(parsed)
    }
}

/// A topic that does not exist yet is waited for; name servers that do not answer are an error.
async fn learn_routes(instance: &Instance, subscriptions: &BTreeMap<String, SubscriptionData>) -> Result<()> {
    for topic in subscriptions.keys() {
        match instance.route(topic).await {
            Ok(_) => {}
            Err(error @ Error::NoRoute { .. }) if topic::is_retry(topic) => tracing::debug!(topic, %error),
            Err(error @ Error::NoRoute { .. }) => tracing::warn!(topic, %error, "waiting for the topic"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Java has a broker compile conditions before it starts; tags need no check.
async fn check_conditions(
    instance: &Instance,
    group: &str,
    subscriptions: &BTreeMap<String, SubscriptionData>,
) -> Result<()> {
    for (topic, subscription) in subscriptions.iter().filter(|(_, subscription)| !subscription.is_tag()) {
        let Ok(route) = instance.route(topic).await else { continue };
        let check = CheckClient {
            client_id: instance.client_id().to_owned(),
            group: group.to_owned(),
            namespace: None,
            subscription_data: subscription.clone(),
        };
        let body = exchange::json(&check)?;
        for address in route.brokers().filter_map(|(_, addresses)| addresses.get(&0)) {
            let request = Command::request(RequestCode::CHECK_CLIENT_CONFIG).with_body(body.clone());
            instance.invoke(address, request).await?;
        }
    }
    Ok(())
}
