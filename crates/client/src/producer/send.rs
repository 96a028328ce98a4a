//! The way of one message: check, compress, choose a queue, ask its broker, and try another one if that fails.

use std::{
    fmt,
    time::{Duration, Instant},
};

use rmq_proto::{
    body::MessageQueue,
    code::{RequestCode, ResponseCode},
    command::{Body, Command},
    header::send::{SendRequest, SendResponse},
    message::{flags, property},
    topic,
};

use super::{Settings, Shared, batch};
use crate::{
    compression,
    error::{Error, Result},
    exchange,
    instance::now_ms,
    message::Message,
    route::Route,
};

/// Java asks brokers for that many queues when a send creates its topic.
const DEFAULT_TOPIC_QUEUES: i32 = 4;

/// If there is no other broker to try, the same one gets this time to recover. Java does not wait.
const SAME_BROKER_PAUSE: Duration = Duration::from_millis(100);

/// How durable a sent message is. In all cases it is stored on the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As durable as the broker is configured to make it.
    Ok,
    /// The broker could not flush it to disk in time.
    FlushDiskTimeout,
    /// The slaves did not confirm it in time.
    FlushSlaveTimeout,
    /// There is no slave to confirm it.
    SlaveNotAvailable,
}

/// Java's names.
impl fmt::Display for SendStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "SEND_OK",
            Self::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            Self::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            Self::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
        })
    }
}

/// What became of a sent message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the status says whether the message is as durable as wanted"]
pub struct SendResult {
    /// How durable it is.
    pub status: SendStatus,
    /// The message's unique key; of a batch all of them, separated by commas.
    pub msg_id: String,
    /// The id of its place in the broker's log; of a batch all of them, separated by commas.
    pub offset_msg_id: String,
    /// Where it went.
    pub queue: MessageQueue,
    /// Its place in the queue; of a batch that of the first message.
    pub queue_offset: i64,
    /// Id of its transaction.
    pub transaction_id: Option<String>,
    /// Handle with which a timed message can be called back.
    pub recall_handle: Option<String>,
}

/// Java's `SendResult.toString`, which its examples print.
impl fmt::Display for SendResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, msg_id, offset_msg_id, queue, queue_offset, recall_handle, .. } = self;
        let recall_handle = recall_handle.as_deref().unwrap_or("null");
        write!(
            f,
            "SendResult [sendStatus={status}, msgId={msg_id}, offsetMsgId={offset_msg_id}, messageQueue={queue}, \
             queueOffset={queue_offset}, recallHandle={recall_handle}]"
        )
    }
}

/// A message ready to travel, the same for all attempts.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) body: Body,
    pub(crate) flag: i32,
    pub(crate) sys_flag: i32,
    pub(crate) properties: String,
    pub(crate) msg_id: String,
    pub(crate) is_batch: bool,
    pub(crate) reconsume_times: i32,
    pub(crate) max_reconsume_times: Option<i32>,
}

impl Shared {
    pub(crate) async fn send(&self, message: Message) -> Result<SendResult> {
        let outgoing = self.prepare(message)?;
        self.send_retrying(&outgoing).await
    }

    pub(crate) async fn send_batch(&self, messages: Vec<Message>) -> Result<SendResult> {
        let outgoing = batch::pack(messages, &self.settings, || self.instance.unique_id())?;
        self.send_retrying(&outgoing).await
    }

    /// Java does not retry a send whose queue was chosen by the caller.
    pub(crate) async fn send_to(&self, queue: &MessageQueue, message: Message) -> Result<SendResult> {
        if queue.topic != message.topic {
            return Err(Error::Message(format!(
                "it is for topic `{}`, the queue is one of `{}`",
                message.topic, queue.topic
            )));
        }
        let outgoing = self.prepare(message)?;
        self.instance.publish_route(&outgoing.topic).await?;
        self.attempt(&outgoing, queue, self.settings.timeout).await
    }

    pub(crate) async fn send_oneway(&self, message: Message) -> Result<()> {
        let outgoing = self.prepare(message)?;
        let route = self.instance.publish_route(&outgoing.topic).await?;
        let queue = self.choose(&outgoing.topic, &route, None)?;
        let address = self.instance.master_of(&queue.broker_name)?;
        let (code, request) = self.request(&outgoing, queue);
        self.instance
            .remoting()
            .oneway(&address, request, self.settings.timeout)
            .await
            .map_err(|source| Error::Unanswered { address, request: code, source })
    }

    async fn send_retrying(&self, outgoing: &Outgoing) -> Result<SendResult> {
        let started = Instant::now();
        let route = self.instance.publish_route(&outgoing.topic).await?;
        let mut tried: Vec<&str> = Vec::new();
        loop {
            let left = self.settings.timeout.saturating_sub(started.elapsed());
            let queue = self.choose(&outgoing.topic, &route, tried.last().copied())?;
            if tried.last().is_some_and(|last| *last == queue.broker_name) {
                tokio::time::sleep(SAME_BROKER_PAUSE.min(left)).await;
            }
            tried.push(&queue.broker_name);
            let error = match self.attempt(outgoing, queue, left).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let attempts = tried.len() as u32;
            let out_of_time = started.elapsed() >= self.settings.timeout;
            if attempts > self.settings.retries || out_of_time || !may_be_retried(&error) {
                return Err(Error::SendFailed {
                    topic: outgoing.topic.clone(),
                    attempts,
                    elapsed_ms: started.elapsed().as_millis() as u64,
                    brokers: tried.join(", "),
                    source: Box::new(error),
                });
            }
            tracing::warn!(topic = outgoing.topic, %error, "sending failed, trying again");
        }
    }

    /// Java: an available broker other than the last one; else any other than the last one; else any.
    fn choose<'r>(&self, topic: &str, route: &'r Route, last: Option<&str>) -> Result<&'r MessageQueue> {
        let now = Instant::now();
        let other = |queue: &MessageQueue| Some(queue.broker_name.as_str()) != last;
        let available = |queue: &MessageQueue| self.faults.is_available(&queue.broker_name, now);
        let both = |queue: &MessageQueue| other(queue) && available(queue);
        let wishes: &[&dyn Fn(&MessageQueue) -> bool] = match (self.faults.is_enabled(), last) {
            (true, _) => &[&both, &other],
            (false, Some(_)) => &[&other],
            (false, None) => &[],
        };
        let queue = self.rotations.next(topic, &route.publish, wishes);
        queue.ok_or_else(|| Error::NoQueue { topic: topic.to_owned(), wanted: "written" })
    }

    async fn attempt(
        &self,
        outgoing: &Outgoing,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<SendResult> {
        let address = self.instance.master_of(&queue.broker_name)?;
        let (code, request) = self.request(outgoing, queue);
        let started = Instant::now();
        let answer = exchange::invoke_any(self.instance.remoting(), &address, request, timeout).await;
        let result = answer.and_then(|answer| read_answer(&address, code, &answer, outgoing, queue));
        match &result {
            Ok(_) => self.faults.answered(&queue.broker_name, started.elapsed(), Instant::now()),
            Err(_) => self.faults.failed(&queue.broker_name, Instant::now()),
        }
        result
    }

    fn request(&self, outgoing: &Outgoing, queue: &MessageQueue) -> (RequestCode, Command) {
        let code =
            if outgoing.is_batch { RequestCode::SEND_BATCH_MESSAGE } else { RequestCode::SEND_MESSAGE_V2 };
        let header = SendRequest {
            producer_group: self.group.clone(),
            topic: outgoing.topic.clone(),
            default_topic: topic::system::AUTO_CREATE.to_owned(),
            default_topic_queue_nums: DEFAULT_TOPIC_QUEUES,
            queue_id: queue.queue_id,
            sys_flag: outgoing.sys_flag,
            born_timestamp: now_ms(),
            flag: outgoing.flag,
            properties: Some(outgoing.properties.clone()),
            reconsume_times: Some(outgoing.reconsume_times),
            unit_mode: Some(false),
            max_reconsume_times: outgoing.max_reconsume_times,
            batch: Some(outgoing.is_batch),
            broker_name: Some(queue.broker_name.clone()),
        };
        let mut request = Command::request(code).with_body(outgoing.body.clone());
        header.encode_short(&mut request.ext);
        (code, request)
    }

    fn prepare(&self, message: Message) -> Result<Outgoing> {
        check_message(&message, &self.settings)?;
        let Message { topic, body, flag, mut properties } = message;
        if !properties.contains(property::UNIQ_KEY) {
            properties.set(property::UNIQ_KEY, self.instance.unique_id());
        }
        let mut sys_flag = 0;
        let mut body = body;
        if body.len() >= self.settings.compress_above_bytes
            && let Ok(smaller) = compression::deflate(&body)
            && smaller.len() < body.len()
        {
            body = smaller;
            sys_flag |= compression::sys_flag();
        }
        if properties.get(property::TRANSACTION_PREPARED) == Some("true") {
            sys_flag |= flags::TRANSACTION_PREPARED;
        }
        let retried = topic::is_retry(&topic);
        let retry_number = |name| properties.number(name).filter(|_| retried);
        Ok(Outgoing {
            flag,
            sys_flag,
            reconsume_times: retry_number(property::RECONSUME_TIME).unwrap_or(0),
            max_reconsume_times: retry_number(property::MAX_RECONSUME_TIMES),
            msg_id: properties.unique_key().unwrap_or_default().to_owned(),
            properties: properties.encode(),
            topic,
            body: body.into(),
            is_batch: false,
        })
    }
}

/// What brokers would refuse, refused here with a reason.
pub(crate) fn check_message(message: &Message, settings: &Settings) -> Result<()> {
    topic::client::check_topic(&message.topic).map_err(|invalid| Error::Message(invalid.to_string()))?;
    if topic::is_forbidden_to_send(&message.topic) {
        return Err(Error::Message(format!("topic `{}` belongs to the brokers", message.topic)));
    }
    if message.body.is_empty() {
        return Err(Error::Message("its body is empty".into()));
    }
    let (len, limit) = (message.body.len(), settings.max_body_bytes);
    if len > limit {
        return Err(Error::Message(format!("its body has {len} bytes, the limit is {limit}")));
    }
    Ok(())
}

/// Java's `retryResponseCodes`, and everything that did not come to an answer.
fn may_be_retried(error: &Error) -> bool {
    const CODES: [ResponseCode; 8] = [
        ResponseCode::TOPIC_NOT_EXIST,
        ResponseCode::SERVICE_NOT_AVAILABLE,
        ResponseCode::SYSTEM_ERROR,
        ResponseCode::SYSTEM_BUSY,
        ResponseCode::NO_PERMISSION,
        ResponseCode::NO_BUYER_ID,
        ResponseCode::NOT_IN_CURRENT_UNIT,
        ResponseCode::GO_AWAY,
    ];
    match error {
        Error::Refused { code, .. } => CODES.contains(code),
        Error::Unanswered { source, .. } => !matches!(
            source,
            rmq_remoting::InvokeError::TooLong { .. } | rmq_remoting::InvokeError::Shutdown { .. }
        ),
        Error::NoBroker { .. } => true,
        _ => false,
    }
}

fn read_answer(
    address: &str,
    request: RequestCode,
    answer: &Command,
    outgoing: &Outgoing,
    queue: &MessageQueue,
) -> Result<SendResult> {
    let status = match answer.response_code() {
        ResponseCode::SUCCESS => SendStatus::Ok,
        ResponseCode::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
        ResponseCode::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
        ResponseCode::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
        _ => return Err(exchange::refused(address, request, answer)),
    };
    let header: SendResponse = exchange::parse_header(address, request, answer)?;
    Ok(SendResult {
        status,
        msg_id: outgoing.msg_id.clone(),
        offset_msg_id: header.msg_id,
        queue: MessageQueue::new(&*outgoing.topic, &*queue.broker_name, header.queue_id),
        queue_offset: header.queue_offset,
        transaction_id: header.transaction_id,
        recall_handle: header.recall_handle,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::Producer;

    fn refused(code: i32) -> Error {
        Error::Refused {
            address: "a:1".into(),
            request: RequestCode::SEND_MESSAGE_V2,
            code: ResponseCode(code),
            remark: String::new(),
        }
    }

    #[test]
    fn retries_happen_for_the_codes_of_java() {
        for code in [17, 14, 1, 2, 16, 204, 205, 1500] {
            assert!(may_be_retried(&refused(code)), "{code}");
        }
        for code in [13, 29, 3, 4] {
            assert!(!may_be_retried(&refused(code)), "{code}");
        }
    }

    #[test]
    fn bad_messages_are_refused_with_a_reason() {
        let settings = Producer::builder("g").settings;
        let text = |message| check_message(&message, &settings).unwrap_err().to_string();
        let big = Message::new("T", vec![0; 5_000_000]);
        assert_eq!(text(big), "the message cannot be sent: its body has 5000000 bytes, the limit is 4194304");
        assert!(text(Message::new("T", "")).contains("empty"));
        assert!(text(Message::new("a b", "x")).contains("a b"));
        assert!(text(Message::new("SCHEDULE_TOPIC_XXXX", "x")).contains("belongs to the brokers"));
    }

    #[test]
    fn a_result_prints_as_in_java() {
        let result = SendResult {
            status: SendStatus::Ok,
            msg_id: "AA".into(),
            offset_msg_id: "BB".into(),
            queue: MessageQueue::new("TopicTest", "broker-a", 2),
            queue_offset: 7,
            transaction_id: None,
            recall_handle: None,
        };
        assert_eq!(
            result.to_string(),
            "SendResult [sendStatus=SEND_OK, msgId=AA, offsetMsgId=BB, messageQueue=MessageQueue \
             [topic=TopicTest, brokerName=broker-a, queueId=2], queueOffset=7, recallHandle=null]"
        );
    }
}
