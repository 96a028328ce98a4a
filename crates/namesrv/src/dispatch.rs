//! The one table of what the name server speaks: code, kind of work, handler.

use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rmq_proto::code::{RequestCode, ResponseCode};
use rmq_proto::command::Command;
use rmq_remoting::{Peer, Service};
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::debug;

use crate::config::Config;
use crate::handler::Answer;
use crate::handler::config::ConfigHandler;
use crate::handler::kv::KvHandler;
use crate::handler::register::RegisterHandler;
use crate::handler::route::RouteHandler;
use crate::handler::topic::TopicHandler;
use crate::handler::write_perm::WritePermHandler;
use crate::kv_store::KvStore;
use crate::liveness::{Clock, Liveness};
use crate::route_table::RouteTable;

/// How long a request may keep its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// A lookup.
    Quick,
    /// A file is written, or all topics are walked: other connections must not wait on this thread.
    Long,
}

type Run = Box<dyn Fn(&Arc<Peer>, &Command) -> Answer + Send + Sync>;

struct Row {
    code: RequestCode,
    work: Work,
    run: Run,
}

/// Hands each request to its handler.
pub(crate) struct Dispatch {
    rows: Vec<Row>,
    liveness: Arc<Liveness>,
}

/// All handlers.
#[derive(Debug)]
pub(crate) struct Handlers {
    pub(crate) register: RegisterHandler,
    pub(crate) route: RouteHandler,
    pub(crate) topic: TopicHandler,
    pub(crate) write_perm: WritePermHandler,
    pub(crate) kv: KvHandler,
    pub(crate) config: ConfigHandler,
}

impl Handlers {
    /// Hands each handler the pieces that it needs.
    pub(crate) fn new(
        config: Arc<RwLock<Config>>,
        table: Arc<RwLock<RouteTable>>,
        kv: Arc<KvStore>,
        clock: Clock,
        liveness: Arc<Liveness>,
    ) -> Self {
        Self {
            register: RegisterHandler {
                table: Arc::clone(&table),
                liveness,
                kv: Arc::clone(&kv),
                config: Arc::clone(&config),
            },
            route: RouteHandler {
                table: Arc::clone(&table),
                kv: Arc::clone(&kv),
                config: Arc::clone(&config),
                clock,
            },
            topic: TopicHandler { table: Arc::clone(&table), config: Arc::clone(&config) },
            write_perm: WritePermHandler { table },
            kv: KvHandler { kv },
            config: ConfigHandler { config, change: Mutex::default() },
        }
    }
}

/// A row whose handler needs the request only.
macro_rules! row {
    ($code:ident, $work:ident, $handlers:ident.$handler:ident.$method:ident) => {{
        let handlers = Arc::clone(&$handlers);
        Row {
            code: RequestCode::$code,
            work: Work::$work,
            run: Box::new(move |_, request| handlers.$handler.$method(request)),
        }
    }};
}

impl Dispatch {
    pub(crate) fn new(handlers: Handlers, liveness: Arc<Liveness>) -> Self {
        let all = Arc::new(handlers);
        let register = Arc::clone(&all);
        let mut rows = vec![
            Row {
                code: RequestCode::REGISTER_BROKER,
                work: Work::Long,
                run: Box::new(move |peer, request| register.register.register(peer, request)),
            },
            row!(UNREGISTER_BROKER, Long, all.register.unregister),
            row!(QUERY_DATA_VERSION, Quick, all.register.query_version),
            row!(BROKER_HEARTBEAT, Quick, all.register.heartbeat),
            row!(GET_BROKER_MEMBER_GROUP, Quick, all.register.member_group),
            row!(GET_ROUTEINFO_BY_TOPIC, Quick, all.route.route),
            row!(GET_BROKER_CLUSTER_INFO, Quick, all.route.cluster_info),
            row!(GET_ALL_TOPIC_LIST_FROM_NAMESERVER, Long, all.topic.all),
            row!(GET_TOPICS_BY_CLUSTER, Long, all.topic.of_cluster),
            row!(GET_SYSTEM_TOPIC_LIST_FROM_NS, Quick, all.topic.system),
            row!(GET_UNIT_TOPIC_LIST, Long, all.topic.unit),
            row!(GET_HAS_UNIT_SUB_TOPIC_LIST, Long, all.topic.unit_subscribed),
            row!(GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, Long, all.topic.unit_subscribed_not_unit),
            row!(DELETE_TOPIC_IN_NAMESRV, Quick, all.topic.delete),
            row!(REGISTER_TOPIC_IN_NAMESRV, Quick, all.topic.register),
            row!(WIPE_WRITE_PERM_OF_BROKER, Long, all.write_perm.wipe),
            row!(ADD_WRITE_PERM_OF_BROKER, Long, all.write_perm.add),
            row!(PUT_KV_CONFIG, Long, all.kv.put),
            row!(GET_KV_CONFIG, Quick, all.kv.get),
            row!(DELETE_KV_CONFIG, Long, all.kv.delete),
            row!(GET_KVLIST_BY_NAMESPACE, Quick, all.kv.list),
            row!(UPDATE_NAMESRV_CONFIG, Long, all.config.update),
            row!(GET_NAMESRV_CONFIG, Quick, all.config.get),
        ];
        rows.sort_by_key(|row| row.code);
        Self { rows, liveness }
    }

    fn row(&self, code: RequestCode) -> Option<&Row> {
        self.rows.binary_search_by_key(&code, |row| row.code).ok().map(|at| &self.rows[at])
    }

    fn answer(&self, peer: &Arc<Peer>, request: &Command) -> Command {
        let code = request.request_code();
        let Some(row) = self.row(code) else {
            let remark = format!(" request type {} not supported", code.0);
            return Command::failure(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark);
        };
        let answer = match row.work {
            Work::Quick => (row.run)(peer, request),
            Work::Long => aside(|| (row.run)(peer, request)),
        };
        answer.unwrap_or_else(|rejection| {
            debug!(%code, peer = %peer.remote_addr(), remark = rejection.remark, "request rejected");
            Command::failure(rejection.code, rejection.remark)
        })
    }
}

/// Lets other connections move to other threads meanwhile. The request itself stays where it is, so
/// that a broker's registrations are taken in the order in which it sent them.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Service for Dispatch {
    async fn call(&self, peer: &Arc<Peer>, request: Command) -> Option<Command> {
        Some(self.answer(peer, &request))
    }

    fn closed(&self, peer: &Arc<Peer>) {
        aside(|| self.liveness.connection_closed(peer.id()));
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows.iter().map(|row| row.code)).finish()
    }
}

#[cfg(test)]
mod tests;
