//! The one table of what the broker speaks: request code → handler, where it runs, what it takes to be allowed.
//!
//! Requests that wait for nothing but other tasks run where they arrived, on their connection's task: no thread hop for
//! a send or a pull. Those that may walk large tables or wait for the disk run on blocking threads, a few at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::Command;
use rmq_remoting::{Peer, Service};
use tokio::sync::Semaphore;
use tracing::debug;

use crate::clients::consumers::Consumers;
use crate::clients::producers::Producers;
use crate::error::{Outcome, Rejection};
use crate::handler::client::ClientHandler;
use crate::handler::config::ConfigHandler;
use crate::handler::connection::ConnectionHandler;
use crate::handler::delay::DelayHandler;
use crate::handler::group::GroupHandler;
use crate::handler::lock::LockHandler;
use crate::handler::offset::OffsetHandler;
use crate::handler::progress::ProgressHandler;
use crate::handler::pull::PullHandler;
use crate::handler::query::QueryHandler;
use crate::handler::runtime::RuntimeHandler;
use crate::handler::send::SendHandler;
use crate::handler::topic::TopicHandler;
use crate::limits::{MAX_ADMIN_REQUESTS, MAX_WAITING_ADMIN_REQUESTS};

/// Where a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// On the task of its connection.
    Connection,
    /// On a blocking thread.
    Blocking,
}

/// What an asker must be allowed to do, as Java's request headers declare it. Any one of a row's actions is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "Java's names")]
pub enum Action {
    Pub,
    Sub,
    Create,
    Update,
    Delete,
    Get,
    List,
}

/// One row of the table, for people and tests.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What is asked.
    pub code: RequestCode,
    /// Where it runs.
    pub worker: Worker,
    /// Who may ask.
    pub actions: &'static [Action],
}

/// All handlers, named as their files.
#[derive(Debug)]
#[allow(missing_docs, reason = "the types say it")]
pub struct Handlers {
    pub send: SendHandler,
    pub pull: PullHandler,
    pub query: QueryHandler,
    pub offset: OffsetHandler,
    pub client: ClientHandler,
    pub lock: LockHandler,
    pub delay: DelayHandler,
    pub topic: TopicHandler,
    pub group: GroupHandler,
    pub config: ConfigHandler,
    pub runtime: RuntimeHandler,
    pub progress: ProgressHandler,
    pub connection: ConnectionHandler,
}

/// Hands each request to its handler and makes wire answers of what comes back.
#[derive(Debug)]
pub struct Dispatch {
    handlers: Arc<Handlers>,
    producers: Arc<Producers>,
    consumers: Arc<Consumers>,
    blocking: Blocking,
}

macro_rules! run {
    (Connection, $self:ident, $peer:ident, $request:ident, $handler:ident, $method:ident) => {
        $self.handlers.$handler.$method($peer, $request).await.map(Outcome::from)
    };
    (Blocking, $self:ident, $peer:ident, $request:ident, $handler:ident, $method:ident) => {{
        let handlers = $self.handlers.clone();
        $self.blocking.run(move || handlers.$handler.$method(&$request)).await.map(Outcome::from)
    }};
}

macro_rules! table {
    ($($code:ident => $worker:ident $handler:ident.$method:ident [$($action:ident),+];)*) => {
        /// What is served.
        pub const ROUTES: &[Route] = &[$(
            Route { code: RequestCode::$code, worker: Worker::$worker, actions: &[$(Action::$action),+] },
        )*];

        impl Dispatch {
            async fn handle(&self, peer: &Arc<Peer>, request: Command) -> Result<Outcome, Rejection> {
                match request.request_code() {
                    $(RequestCode::$code => run!($worker, self, peer, request, $handler, $method),)*
                    code => Err(unknown(code)),
                }
            }
        }
    };
}

table! {
    // Sending.
    SEND_MESSAGE => Connection send.send [Pub];
    SEND_MESSAGE_V2 => Connection send.send [Pub];
    SEND_BATCH_MESSAGE => Connection send.send [Pub];
    CONSUMER_SEND_MSG_BACK => Connection send.send_back [Sub];
    // Consuming.
    PULL_MESSAGE => Connection pull.pull [Sub];
    LITE_PULL_MESSAGE => Connection pull.pull [Sub];
    QUERY_CONSUMER_OFFSET => Connection offset.query [Get];
    UPDATE_CONSUMER_OFFSET => Connection offset.update [Sub];
    SEARCH_OFFSET_BY_TIMESTAMP => Connection offset.search [Get];
    GET_MAX_OFFSET => Connection offset.max [Get];
    GET_MIN_OFFSET => Connection offset.min [Get];
    GET_EARLIEST_MSG_STORETIME => Connection offset.earliest_time [Get];
    LOCK_BATCH_MQ => Connection lock.lock [Sub];
    UNLOCK_BATCH_MQ => Connection lock.unlock [Sub];
    // Finding messages.
    QUERY_MESSAGE => Connection query.by_key [Sub, Get];
    VIEW_MESSAGE_BY_ID => Connection query.by_id [Get];
    // Clients.
    HEART_BEAT => Connection client.heartbeat [Pub, Sub];
    UNREGISTER_CLIENT => Connection client.unregister [Pub, Sub];
    CHECK_CLIENT_CONFIG => Connection client.check [Pub, Sub];
    GET_CONSUMER_LIST_BY_GROUP => Connection client.consumer_list [Sub];
    GET_CONSUMER_CONNECTION_LIST => Blocking connection.consumers [Get];
    GET_PRODUCER_CONNECTION_LIST => Blocking connection.producers [Get];
    GET_ALL_PRODUCER_INFO => Blocking connection.all_producers [Get];
    QUERY_SUBSCRIPTION_BY_CONSUMER => Blocking connection.subscription [Get];
    GET_CONSUMER_RUNNING_INFO => Connection connection.running_info [Get];
    CONSUME_MESSAGE_DIRECTLY => Connection connection.consume_directly [Sub];
    INVOKE_BROKER_TO_GET_CONSUMER_STATUS => Connection connection.status [Get];
    // Topics.
    UPDATE_AND_CREATE_TOPIC => Connection topic.update [Create];
    UPDATE_AND_CREATE_TOPIC_LIST => Connection topic.update_list [Create];
    DELETE_TOPIC_IN_BROKER => Connection topic.delete [Delete];
    GET_ALL_TOPIC_CONFIG => Blocking topic.all [List];
    GET_TOPIC_CONFIG => Blocking topic.one [Get];
    GET_TOPIC_STATS_INFO => Blocking topic.stats [Get];
    GET_SYSTEM_TOPIC_LIST_FROM_BROKER => Blocking topic.system [List];
    QUERY_TOPIC_CONSUME_BY_WHO => Blocking topic.consumed_by [Get];
    // Groups.
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => Connection group.update [Create];
    UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => Connection group.update_list [Create];
    DELETE_SUBSCRIPTIONGROUP => Connection group.delete [Delete];
    GET_ALL_SUBSCRIPTIONGROUP_CONFIG => Blocking group.all [List];
    GET_SUBSCRIPTIONGROUP_CONFIG => Connection group.one [Get];
    UPDATE_AND_GET_GROUP_FORBIDDEN => Connection group.forbidden [Update];
    // How far groups are.
    GET_ALL_CONSUMER_OFFSET => Blocking progress.all_offsets [List];
    QUERY_TOPICS_BY_CONSUMER => Blocking progress.topics_of_group [Get];
    GET_CONSUME_STATS => Blocking progress.of_group [Get];
    GET_BROKER_CONSUME_STATS => Blocking progress.of_all_groups [Get];
    QUERY_CONSUME_TIME_SPAN => Blocking progress.time_spans [Get];
    QUERY_CORRECTION_OFFSET => Blocking progress.correction [Get];
    CLONE_GROUP_OFFSET => Blocking progress.copy [Update];
    INVOKE_BROKER_TO_RESET_OFFSET => Blocking progress.reset [Update];
    GET_ALL_DELAY_OFFSET => Blocking delay.all_offsets [List];
    // The broker itself.
    UPDATE_BROKER_CONFIG => Connection config.update [Update];
    GET_BROKER_CONFIG => Blocking config.all [Get];
    GET_BROKER_RUNTIME_INFO => Blocking runtime.info [Get];
    VIEW_BROKER_STATS_DATA => Blocking runtime.stats [Get];
    QUERY_CONSUME_QUEUE => Blocking runtime.consume_queue [Get];
    CLEAN_EXPIRED_CONSUMEQUEUE => Blocking runtime.clean [Update];
    DELETE_EXPIRED_COMMITLOG => Blocking runtime.clean [Update];
}

/// What is known but not served, and why.
pub const NOT_SERVED: &[(&[RequestCode], &str)] = &[
    (
        &[
            RequestCode::PUT_KV_CONFIG,
            RequestCode::GET_KV_CONFIG,
            RequestCode::DELETE_KV_CONFIG,
            RequestCode::GET_KVLIST_BY_NAMESPACE,
            RequestCode::REGISTER_BROKER,
            RequestCode::UNREGISTER_BROKER,
            RequestCode::QUERY_DATA_VERSION,
            RequestCode::BROKER_HEARTBEAT,
            RequestCode::GET_BROKER_MEMBER_GROUP,
            RequestCode::GET_ROUTEINFO_BY_TOPIC,
            RequestCode::GET_BROKER_CLUSTER_INFO,
            RequestCode::WIPE_WRITE_PERM_OF_BROKER,
            RequestCode::ADD_WRITE_PERM_OF_BROKER,
            RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
            RequestCode::DELETE_TOPIC_IN_NAMESRV,
            RequestCode::REGISTER_TOPIC_IN_NAMESRV,
            RequestCode::GET_TOPICS_BY_CLUSTER,
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS,
            RequestCode::GET_UNIT_TOPIC_LIST,
            RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST,
            RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
            RequestCode::UPDATE_NAMESRV_CONFIG,
            RequestCode::GET_NAMESRV_CONFIG,
        ],
        "a name server serves it",
    ),
    (
        &[
            RequestCode::CONTROLLER_ALTER_SYNC_STATE_SET,
            RequestCode::CONTROLLER_ELECT_MASTER,
            RequestCode::CONTROLLER_REGISTER_BROKER,
            RequestCode::CONTROLLER_GET_REPLICA_INFO,
            RequestCode::CONTROLLER_GET_METADATA_INFO,
            RequestCode::CONTROLLER_GET_SYNC_STATE_DATA,
            RequestCode::UPDATE_CONTROLLER_CONFIG,
            RequestCode::GET_CONTROLLER_CONFIG,
            RequestCode::CLEAN_BROKER_DATA,
            RequestCode::CONTROLLER_GET_NEXT_BROKER_ID,
            RequestCode::CONTROLLER_APPLY_BROKER_ID,
        ],
        "a controller serves it",
    ),
    (
        &[
            RequestCode::CHECK_TRANSACTION_STATE,
            RequestCode::NOTIFY_CONSUMER_IDS_CHANGED,
            RequestCode::RESET_CONSUMER_CLIENT_OFFSET,
            RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT,
            RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT,
            RequestCode::NOTIFY_UNSUBSCRIBE_LITE,
        ],
        "a client serves it",
    ),
    (
        &[
            RequestCode::QUERY_BROKER_OFFSET,
            RequestCode::GET_TOPIC_CONFIG_LIST,
            RequestCode::GET_TOPIC_NAME_LIST,
            RequestCode::TRIGGER_DELETE_FILES,
            RequestCode::GET_CLIENT_CONFIG,
            RequestCode::SUSPEND_CONSUMER,
            RequestCode::RESUME_CONSUMER,
            RequestCode::RESET_CONSUMER_OFFSET_IN_CONSUMER,
            RequestCode::RESET_CONSUMER_OFFSET_IN_BROKER,
            RequestCode::ADJUST_CONSUMER_THREAD_POOL,
            RequestCode::WHO_CONSUME_THE_MESSAGE,
            RequestCode::REGISTER_FILTER_SERVER,
            RequestCode::REGISTER_MESSAGE_FILTER_CLASS,
        ],
        "Java's 5.5.0 broker has the number but does not serve it either",
    ),
    (
        &[RequestCode::ADD_BROKER, RequestCode::REMOVE_BROKER],
        "a broker container serves it; one process is one broker here",
    ),
    (
        &[
            RequestCode::CHECK_ROCKSDB_CQ_WRITE_PROGRESS,
            RequestCode::EXPORT_ROCKSDB_CONFIG_TO_JSON,
            RequestCode::SWITCH_TIMER_ENGINE,
        ],
        "there is no RocksDB in this broker",
    ),
    (
        &[RequestCode::END_TRANSACTION, RequestCode::RESUME_CHECK_HALF_MESSAGE],
        "the room for transactions is not built yet",
    ),
    (
        &[RequestCode::GET_TIMER_CHECK_POINT, RequestCode::GET_TIMER_METRICS, RequestCode::RECALL_MESSAGE],
        "the timer wheel is not built yet",
    ),
    (
        &[RequestCode::SEND_REPLY_MESSAGE, RequestCode::SEND_REPLY_MESSAGE_V2],
        "request-reply is not built yet",
    ),
    (
        &[
            RequestCode::QUERY_ASSIGNMENT,
            RequestCode::SET_MESSAGE_REQUEST_MODE,
            RequestCode::GET_ALL_MESSAGE_REQUEST_MODE,
            RequestCode::POP_MESSAGE,
            RequestCode::ACK_MESSAGE,
            RequestCode::BATCH_ACK_MESSAGE,
            RequestCode::PEEK_MESSAGE,
            RequestCode::CHANGE_MESSAGE_INVISIBLETIME,
            RequestCode::NOTIFICATION,
            RequestCode::POLLING_INFO,
            RequestCode::POP_ROLLBACK,
        ],
        "the room for pop is not built yet; 5.x clients balance by themselves when assignments are refused",
    ),
    (
        &[
            RequestCode::POP_LITE_MESSAGE,
            RequestCode::LITE_SUBSCRIPTION_CTL,
            RequestCode::ACK_LITE_MESSAGE,
            RequestCode::GET_BROKER_LITE_INFO,
            RequestCode::GET_PARENT_TOPIC_INFO,
            RequestCode::GET_LITE_TOPIC_INFO,
            RequestCode::GET_LITE_CLIENT_INFO,
            RequestCode::GET_LITE_GROUP_INFO,
            RequestCode::TRIGGER_LITE_DISPATCH,
        ],
        "the room for lite topics is not built yet",
    ),
    (
        &[
            RequestCode::NOTIFY_MIN_BROKER_ID_CHANGE,
            RequestCode::EXCHANGE_BROKER_HA_INFO,
            RequestCode::GET_BROKER_HA_STATUS,
            RequestCode::RESET_MASTER_FLUSH_OFFSET,
            RequestCode::GET_BROKER_EPOCH_CACHE,
            RequestCode::NOTIFY_BROKER_ROLE_CHANGED,
        ],
        "replication is not built yet",
    ),
    (
        &[
            RequestCode::AUTH_CREATE_USER,
            RequestCode::AUTH_UPDATE_USER,
            RequestCode::AUTH_DELETE_USER,
            RequestCode::AUTH_GET_USER,
            RequestCode::AUTH_LIST_USER,
            RequestCode::AUTH_CREATE_ACL,
            RequestCode::AUTH_UPDATE_ACL,
            RequestCode::AUTH_DELETE_ACL,
            RequestCode::AUTH_GET_ACL,
            RequestCode::AUTH_LIST_ACL,
        ],
        "authentication is not built yet",
    ),
    (
        &[
            RequestCode::UPDATE_COLD_DATA_FLOW_CTR_CONFIG,
            RequestCode::REMOVE_COLD_DATA_FLOW_CTR_CONFIG,
            RequestCode::GET_COLD_DATA_FLOW_CTR_INFO,
            RequestCode::SET_COMMITLOG_READ_MODE,
        ],
        "control of cold reads is not built yet",
    ),
    (&[RequestCode::UPDATE_AND_CREATE_STATIC_TOPIC], "static topics are not built yet"),
    (
        &[RequestCode::CLEAN_UNUSED_TOPIC],
        "deleting the queues of topics that are not listed needs a second look: it deletes what a damaged list lost",
    ),
];

/// Java's words, with the leading blank that some tools look for.
fn unknown(code: RequestCode) -> Rejection {
    let remark = format!(" request type {} not supported", code.0);
    Rejection::new(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark)
}

impl Dispatch {
    /// Puts the handlers behind the table; the registries hear of connections that close.
    pub fn new(handlers: Handlers, producers: Arc<Producers>, consumers: Arc<Consumers>) -> Self {
        Self { handlers: Arc::new(handlers), producers, consumers, blocking: Blocking::default() }
    }
}

impl Service for Dispatch {
    async fn call(&self, peer: &Arc<Peer>, request: Command) -> Option<Command> {
        let code = request.request_code();
        match self.handle(peer, request).await {
            Ok(Outcome::Answer(answer)) => Some(answer),
            Ok(Outcome::Later) => None,
            Err(rejection) => {
                debug!("{code} of {} rejected: {rejection}", peer.remote_addr());
                Some(rejection.into())
            }
        }
    }

    fn closed(&self, peer: &Arc<Peer>) {
        self.producers.disconnected(peer);
        self.consumers.disconnected(peer);
    }
}

/// Blocking threads for requests, so many at a time.
#[derive(Debug)]
struct Blocking {
    places: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { places: Semaphore::new(MAX_ADMIN_REQUESTS), waiting: AtomicUsize::new(0) }
    }
}

impl Blocking {
    async fn run<F>(&self, work: F) -> Result<Command, Rejection>
    where
        F: FnOnce() -> Result<Command, Rejection> + Send + 'static,
    {
        let _one = Waiting::join(&self.waiting)?;
        let stopping = || Rejection::new(ResponseCode::SERVICE_NOT_AVAILABLE, "the broker is stopping");
        let _place = self.places.acquire().await.map_err(|_| stopping())?;
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| match error.is_panic() {
            true => Err(Rejection::system("an internal error; the broker's log has the reason")),
            false => Err(stopping()),
        })
    }
}

/// Counts a request as long as it waits or runs.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize) -> Result<Self, Rejection> {
        let this = Self(count);
        let before = count.fetch_add(1, Ordering::Relaxed);
        if before >= MAX_WAITING_ADMIN_REQUESTS {
            let remark = format!(
                "{before} admin requests are waiting, and {MAX_WAITING_ADMIN_REQUESTS} are the limit"
            );
            return Err(Rejection::busy(remark));
        }
        Ok(this)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_code_is_served_or_there_is_a_reason() {
        for code in RequestCode::ALL {
            let rows = ROUTES.iter().filter(|route| route.code == *code).count();
            let reasons = NOT_SERVED.iter().filter(|(codes, _)| codes.contains(code)).count();
            assert_eq!(rows + reasons, 1, "{code} has {rows} rows and {reasons} reasons");
        }
    }

    #[test]
    fn an_unknown_code_is_refused_in_javas_words() {
        let answer = Command::from(unknown(RequestCode(4711)));
        assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(answer.remark.as_deref(), Some(" request type 4711 not supported"));
    }

    #[tokio::test]
    async fn a_panic_on_a_blocking_thread_is_answered() {
        let rejection = Blocking::default().run(|| panic!("for the test")).await.unwrap_err();
        assert_eq!(rejection.code, ResponseCode::SYSTEM_ERROR);
    }

    #[tokio::test]
    async fn too_many_waiting_requests_are_turned_down() {
        let blocking = Blocking::default();
        blocking.waiting.store(MAX_WAITING_ADMIN_REQUESTS, Ordering::Relaxed);
        let rejection = blocking.run(|| Ok(Command::success())).await.unwrap_err();
        assert_eq!(rejection.code, ResponseCode::SYSTEM_BUSY);
        assert_eq!(blocking.waiting.load(Ordering::Relaxed), MAX_WAITING_ADMIN_REQUESTS);
    }
}
