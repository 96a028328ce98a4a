//! Sending: the producer and its settings. How a message travels is in [`send`](self::send).

mod avoid_faulty;
mod batch;
mod select;
mod send;

use std::{fmt, sync::Arc, time::Duration};

use rmq_proto::{body::MessageQueue, topic};

pub use self::send::{SendResult, SendStatus};
use self::{avoid_faulty::AvoidFaulty, select::Rotations};
use crate::{
    error::{Error, Result},
    instance::{Instance, InstanceOptions},
    message::Message,
};

/// Sends messages. Cheap to clone; all its methods may run at the same time, so that many sends in flight
/// need nothing but many futures.
#[derive(Clone)]
pub struct Producer(Arc<Shared>);

struct Shared {
    group: String,
    instance: Instance,
    owns_instance: bool,
    settings: Settings,
    rotations: Rotations,
    faults: AvoidFaulty,
}

#[derive(Debug, Clone)]
struct Settings {
    timeout: Duration,
    retries: u32,
    compress_above_bytes: usize,
    max_body_bytes: usize,
    avoid_faulty: bool,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("group", &self.0.group).finish_non_exhaustive()
    }
}

/// Settings of a producer; made by [`Producer::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct ProducerBuilder {
    group: String,
    instance: Option<Instance>,
    options: InstanceOptions,
    settings: Settings,
}

impl ProducerBuilder {
    /// Name servers separated by `;`.
    pub fn name_servers(mut self, addresses: &str) -> Self {
        self.options.name_servers = InstanceOptions::new(addresses).name_servers;
        self
    }

    /// All settings of the instance that the producer makes for itself.
    pub fn options(mut self, options: InstanceOptions) -> Self {
        self.options = options;
        self
    }

    /// Uses this instance instead of one of its own.
    pub fn instance(mut self, instance: &Instance) -> Self {
        self.instance = Some(instance.clone());
        self
    }

    /// Longest time that one send takes, retries included. 3 s by default.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How often a failed send is tried again, on another broker if there is one. 2 by default.
    pub fn retries(mut self, retries: u32) -> Self {
        self.settings.retries = retries;
        self
    }

    /// Bodies of at least that many bytes are compressed. 4096 by default.
    pub fn compress_above_bytes(mut self, bytes: usize) -> Self {
        self.settings.compress_above_bytes = bytes;
        self
    }

    /// Longest body in bytes. 4 MiB by default, which is also what brokers take by default.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_body_bytes = bytes;
        self
    }

    /// Leaves a slow or failing broker alone for some seconds. Off by default, as in Java.
    pub fn avoid_faulty(mut self, avoid: bool) -> Self {
        self.settings.avoid_faulty = avoid;
        self
    }

    /// Checks the settings and makes the producer. Brokers are dialled when the first message needs them.
    pub async fn start(self) -> Result<Producer> {
        topic::client::check_group(&self.group).map_err(|invalid| Error::Setting(invalid.to_string()))?;
        let owns_instance = self.instance.is_none();
        let instance = match &self.instance {
            Some(instance) => instance.clone(),
            None => Instance::new(self.options.clone())?,
        };
        instance.join_producer(&self.group)?;
        Ok(self.make(instance, owns_instance))
    }

    fn make(self, instance: Instance, owns_instance: bool) -> Producer {
        Producer(Arc::new(Shared {
            group: self.group,
            instance,
            owns_instance,
            rotations: Rotations::default(),
            faults: AvoidFaulty::new(self.settings.avoid_faulty),
            settings: self.settings,
        }))
    }
}

impl Producer {
    /// Begins a producer of that group. The name servers must be given, too.
    pub fn builder(group: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder {
            group: group.into(),
            instance: None,
            options: InstanceOptions::new(""),
            settings: Settings {
                timeout: Duration::from_secs(3),
                retries: 2,
                compress_above_bytes: 4096,
                max_body_bytes: 4 * 1024 * 1024,
                avoid_faulty: false,
            },
        }
    }

    /// The producer with which an instance speaks for itself. Brokers need not know it.
    pub(crate) fn inner(instance: &Instance) -> Self {
        let builder = Self::builder("CLIENT_INNER_PRODUCER");
        builder.make(instance.clone(), false)
    }

    /// Its group.
    pub fn group(&self) -> &str {
        &self.0.group
    }

    /// The instance that it runs in.
    pub fn instance(&self) -> &Instance {
        &self.0.instance
    }

    /// The queues that a topic's messages can go to.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        Ok(self.0.instance.publish_route(topic).await?.publish.clone())
    }

    /// Sends to the next queue in turn; a failed attempt is repeated on another broker.
    pub async fn send(&self, message: Message) -> Result<SendResult> {
        self.0.send(message).await
    }

    /// Sends to one queue, once.
    pub async fn send_to(&self, queue: &MessageQueue, message: Message) -> Result<SendResult> {
        self.0.send_to(queue, message).await
    }

    /// Sends to the queue whose index `choose` returns for the topic's queues, once.
    /// An index beyond the last queue starts again at the first.
    pub async fn send_with(
        &self,
        message: Message,
        choose: impl FnOnce(&[MessageQueue]) -> usize,
    ) -> Result<SendResult> {
        let queues = self.queues(&message.topic).await?;
        let queue = select::chosen(&message.topic, &queues, choose)?;
        self.0.send_to(queue, message).await
    }

    /// Sends messages of equal keys to the same queue while the number of queues stays the same,
    /// so that they are consumed in order.
    pub async fn send_by_key(&self, message: Message, key: &str) -> Result<SendResult> {
        self.send_with(message, |queues| select::by_hash(key, queues.len())).await
    }

    /// Sends without asking for an answer: fast, and nobody learns whether it was stored.
    pub async fn send_oneway(&self, message: Message) -> Result<()> {
        self.0.send_oneway(message).await
    }

    /// Sends messages of one topic as one request; they are stored one behind the other in one queue, all or none.
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<SendResult> {
        self.0.send_batch(messages).await
    }

    /// Tells the brokers that this producer leaves, and closes its connections. Sends that are still running fail.
    pub async fn shutdown(&self) {
        self.0.instance.leave_producer(&self.0.group).await;
        if self.0.owns_instance {
            self.0.instance.shutdown();
        }
    }
}
