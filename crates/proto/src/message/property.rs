//! Names of the properties that the system itself reads or writes.

/// Search keys, separated by spaces.
pub const KEYS: &str = "KEYS";
/// The tag that consumers filter by.
pub const TAGS: &str = "TAGS";
/// `false`: the sender does not wait for flush and replicas.
pub const WAIT: &str = "WAIT";
/// Delay level, 1 to 18.
pub const DELAY: &str = "DELAY";
/// The topic that a retried message came from.
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
/// The group whose retry topic a message came from.
pub const ORIGIN_GROUP: &str = "ORIGIN_GROUP";
/// Where a diverted message finally goes.
pub const REAL_TOPIC: &str = "REAL_TOPIC";
/// The queue that a diverted message finally goes to.
pub const REAL_QUEUE_ID: &str = "REAL_QID";
/// `true` on half messages.
pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
/// The producer group of a transaction.
pub const PRODUCER_GROUP: &str = "PGROUP";
/// Smallest offset of the queue, added on the consumer's side.
pub const MIN_OFFSET: &str = "MIN_OFFSET";
/// Next offset of the queue, added on the consumer's side.
pub const MAX_OFFSET: &str = "MAX_OFFSET";
/// Reserved by Java.
pub const BUYER_ID: &str = "BUYER_ID";
/// Offset id of the first storage of a retried message.
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
/// Reserved by Java.
pub const TRANSFER_FLAG: &str = "TRANSFER_FLAG";
/// Reserved by Java.
pub const CORRECTION_FLAG: &str = "CORRECTION_FLAG";
/// Reserved by Java.
pub const MQ2_FLAG: &str = "MQ2_FLAG";
/// How often a message was sent back, on its way through the client.
pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
/// Region of the broker.
pub const MSG_REGION: &str = "MSG_REGION";
/// Whether the broker wants traces.
pub const TRACE_ON: &str = "TRACE_ON";
/// The client's unique id of the message.
pub const UNIQ_KEY: &str = "UNIQ_KEY";
/// Reserved by Java.
pub const EXTEND_UNIQ_INFO: &str = "EXTEND_UNIQ_INFO";
/// Retries before the dead-letter topic.
pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
/// When the consumer started to consume, ms.
pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
/// Priority of the message.
pub const PRIORITY: &str = "_SYS_MSG_PRIORITY_";
/// Messages in an inner batch.
pub const INNER_NUM: &str = "INNER_NUM";
/// Queue offset of the first message of an inner batch.
pub const INNER_BASE: &str = "INNER_BASE";
/// Used for deduplication between masters.
pub const DUP_INFO: &str = "DUP_INFO";
/// Seconds before the first transaction check.
pub const CHECK_IMMUNITY_TIME_IN_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// Queue offset of the half message.
pub const TRANSACTION_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
/// The client's transaction id.
pub const TRANSACTION_ID: &str = "__transactionId__";
/// How often a half message was checked.
pub const TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// Namespace of the client.
pub const INSTANCE_ID: &str = "INSTANCE_ID";
/// Pairs a reply with its request.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Client id that waits for the reply.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// Milliseconds that the requester waits for the reply.
pub const TTL: &str = "TTL";
/// When the reply arrived at the broker, ms.
pub const ARRIVE_TIME: &str = "ARRIVE_TIME";
/// When the broker pushed the reply, ms.
pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
/// Name of the cluster.
pub const CLUSTER: &str = "CLUSTER";
/// `reply` on reply messages.
pub const MSG_TYPE: &str = "MSG_TYPE";
/// Receipt handle of a popped message.
pub const POP_CK: &str = "POP_CK";
/// Offset of the pop checkpoint.
pub const POP_CK_OFFSET: &str = "POP_CK_OFFSET";
/// When a message was popped for the first time, ms.
pub const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// Messages with the same key stay in order.
pub const SHARDING_KEY: &str = "__SHARDINGKEY";
/// The lite topic below the topic.
pub const LITE_TOPIC: &str = "__LITE_TOPIC";
/// Light queues that the message also goes to, separated by commas.
pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
/// Its offsets in those queues, separated by commas.
pub const INNER_MULTI_QUEUE_OFFSET: &str = "INNER_MULTI_QUEUE_OFFSET";
/// Trace context of the sender.
pub const TRACE_CONTEXT: &str = "TRACE_CONTEXT";
/// Deliver that many seconds later.
pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
/// Deliver that many milliseconds later.
pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
/// Deliver at this time, ms.
pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
/// When the timer is due, ms.
pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
/// When the timer took the message, ms.
pub const TIMER_ENQUEUE_MS: &str = "TIMER_ENQUEUE_MS";
/// When the timer gave the message back, ms.
pub const TIMER_DEQUEUE_MS: &str = "TIMER_DEQUEUE_MS";
/// How often the message went round the wheel.
pub const TIMER_ROLL_TIMES: &str = "TIMER_ROLL_TIMES";
/// Unique key of the timed message to delete.
pub const TIMER_DEL_UNIQKEY: &str = "TIMER_DEL_UNIQKEY";
/// Delay level that was turned into a timer.
pub const TIMER_DELAY_LEVEL: &str = "TIMER_DELAY_LEVEL";
/// Where the message really came from.
pub const BORN_HOST: &str = "__BORNHOST";
/// When the message was really born, ms.
pub const BORN_TIMESTAMP: &str = "BORN_TIMESTAMP";
/// Topic that a dead letter came from.
pub const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
/// Offset id that a dead letter had.
pub const DLQ_ORIGIN_MESSAGE_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
/// CRC of the whole record, see [`super::record::seal`].
pub const CRC32: &str = "__CRC32#";

/// Properties whose name starts so are for the broker's own use and are never stored.
pub const TRANSIENT_PREFIX: &str = "__RMQ.TRANSIENT.";
