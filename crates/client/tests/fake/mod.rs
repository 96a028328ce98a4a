//! A name server and a broker in one process and on one port: just enough to see what a client says to them.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rmq_proto::{
    body::{BrokerData, ConsumerList, HeartbeatData, MessageQueue, QueueData, ResetOffsets, TopicRouteData},
    code::{RequestCode, ResponseCode},
    command::Command,
    fastjson,
    header::{
        admin::ResetOffset,
        client::{ConsumerGroup, UnregisterClient},
        offset::{OffsetFound, QueryConsumerOffset, UpdateConsumerOffset},
        pull::{PullRequest, PullResponse},
        retry::SendBack,
        send::{SendRequest, SendResponse},
        topic::RouteRequest,
    },
    message::{Message, Properties, batch},
    topic,
};
use rmq_remoting::{Peer, Server, ServerOptions, Service};
use tokio::sync::Notify;

/// The only topic that the name server knows, besides the template and retry topics.
pub(crate) const TOPIC: &str = "orders";

/// One process that answers for both.
pub(crate) struct Fake {
    pub(crate) state: Arc<State>,
    server: Server,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Default)]
pub(crate) struct Inner {
    address: String,
    /// Other brokers in the route: name and address.
    pub(crate) others: BTreeMap<String, String>,
    pub(crate) queue_count: i32,
    queues: BTreeMap<(String, i32), Vec<Message>>,
    pub(crate) committed: BTreeMap<(String, i32), i64>,
    pub(crate) members: BTreeSet<String>,
    peers: Vec<Arc<Peer>>,
    pub(crate) sent_back: Vec<SendBack>,
    pub(crate) unregistered: Vec<UnregisterClient>,
    /// Sends are refused with this code.
    pub(crate) refuse_sends: Option<ResponseCode>,
    pub(crate) sends: usize,
    /// The next pull of the topic is told to go on there.
    pub(crate) move_to: Option<i64>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State::default());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(&[any], ServerOptions::default(), state.clone()).unwrap();
        {
            let mut inner = state.inner.lock();
            inner.address = server.local_addr().to_string();
            inner.queue_count = 1;
        }
        Self { state, server }
    }

    pub(crate) fn address(&self) -> String {
        self.server.local_addr().to_string()
    }

    /// Puts messages into a queue as if they had been sent.
    pub(crate) fn put(&self, queue_id: i32, bodies: impl IntoIterator<Item = String>) {
        for body in bodies {
            self.state.store(TOPIC, queue_id, body.into_bytes(), "");
        }
    }

    pub(crate) fn stored(&self, queue_id: i32) -> Vec<Message> {
        self.state.inner.lock().queues.get(&(TOPIC.to_owned(), queue_id)).cloned().unwrap_or_default()
    }

    /// Another member joins, and the members that are there are told.
    pub(crate) fn join(&self, group: &str, client_id: &str) {
        let peers = {
            let mut inner = self.state.inner.lock();
            inner.members.insert(client_id.to_owned());
            inner.peers.clone()
        };
        for peer in peers {
            let header = ConsumerGroup { consumer_group: group.to_owned() };
            let notice = Command::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED).with_header(&header);
            let _ = peer.send(notice.oneway());
        }
    }

    /// Tells the members that are there to go on at another offset (code 220).
    pub(crate) fn reset(&self, group: &str, queue_id: i32, offset: i64) {
        let queue = MessageQueue::new(TOPIC, "fake", queue_id);
        let offsets = ResetOffsets { offset_table: [(queue, offset)].into() };
        let header = ResetOffset { group: group.into(), topic: TOPIC.into(), ..ResetOffset::default() };
        let request = Command::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET)
            .with_header(&header)
            .with_body(fastjson::to_vec(&offsets).unwrap());
        for peer in self.state.inner.lock().peers.clone() {
            let _ = peer.send(request.clone().oneway());
        }
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Inner) -> bool) {
        let waited = async {
            while !is_so(&self.state.inner.lock()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waited)
            .await
            .unwrap_or_else(|_| panic!("never: {what}"));
    }
}

impl Service for State {
    async fn call(&self, peer: &Arc<Peer>, request: Command) -> Option<Command> {
        Some(match request.request_code() {
            RequestCode::GET_ROUTEINFO_BY_TOPIC => self.route(&request),
            RequestCode::HEART_BEAT => self.heartbeat(peer, &request),
            RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => self.send(&request),
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => self.member_list(),
            RequestCode::QUERY_CONSUMER_OFFSET => self.query_offset(&request),
            RequestCode::UPDATE_CONSUMER_OFFSET => self.commit(&request),
            RequestCode::PULL_MESSAGE => self.pull(&request).await,
            RequestCode::CONSUMER_SEND_MSG_BACK => {
                self.inner.lock().sent_back.push(request.header().unwrap());
                Command::success()
            }
            RequestCode::UNREGISTER_CLIENT => {
                let header: UnregisterClient = request.header().unwrap();
                let mut inner = self.inner.lock();
                inner.members.remove(&header.client_id);
                inner.unregistered.push(header);
                Command::success()
            }
            code => Command::failure(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, format!("{code}")),
        })
    }
}

impl State {
    fn route(&self, request: &Command) -> Command {
        let topic = request.header::<RouteRequest>().unwrap().topic;
        let known = [TOPIC, topic::system::AUTO_CREATE].contains(&topic.as_str()) || topic::is_retry(&topic);
        if !known {
            return Command::failure(ResponseCode::TOPIC_NOT_EXIST, "no such topic");
        }
        let inner = self.inner.lock();
        let brokers = [("fake".to_owned(), inner.address.clone())].into_iter().chain(inner.others.clone());
        let mut route = TopicRouteData::default();
        for (name, address) in brokers {
            route.queue_datas.push(QueueData {
                broker_name: name.clone(),
                read_queue_nums: inner.queue_count,
                write_queue_nums: inner.queue_count,
                perm: 6,
                ..QueueData::default()
            });
            route.broker_datas.push(BrokerData {
                broker_name: name,
                broker_addrs: [(0, address)].into(),
                ..BrokerData::default()
            });
        }
        Command::success().with_body(fastjson::to_vec(&route).unwrap())
    }

    fn heartbeat(&self, peer: &Arc<Peer>, request: &Command) -> Command {
        let data: HeartbeatData = fastjson::from_slice(&request.body.bytes()).unwrap();
        let mut inner = self.inner.lock();
        if !data.consumer_data_set.is_empty() {
            inner.members.insert(data.client_id);
        }
        if inner.peers.iter().all(|known| known.id() != peer.id()) {
            inner.peers.push(peer.clone());
        }
        Command::success()
    }

    fn send(&self, request: &Command) -> Command {
        let header = SendRequest::decode_short(&request.ext).unwrap();
        {
            let mut inner = self.inner.lock();
            inner.sends += 1;
            if let Some(code) = inner.refuse_sends {
                return Command::failure(code, "refused by the test");
            }
        }
        let body = request.body.bytes();
        let first = match header.batch {
            Some(true) => {
                let members = batch::decode(body).unwrap().into_iter();
                let offsets = members.map(|member| {
                    let properties = String::from_utf8(member.properties.to_vec()).unwrap();
                    self.store(&header.topic, header.queue_id, member.body.to_vec(), &properties)
                });
                offsets.collect::<Vec<_>>()[0]
            }
            _ => {
                let properties = header.properties.unwrap_or_default();
                self.store(&header.topic, header.queue_id, body.to_vec(), &properties)
            }
        };
        Command::success().with_header(&SendResponse {
            msg_id: "0A00000200002A9F0000000000001000".into(),
            queue_id: header.queue_id,
            queue_offset: first,
            ..SendResponse::default()
        })
    }

    fn store(&self, topic: &str, queue_id: i32, body: Vec<u8>, properties: &str) -> i64 {
        let mut inner = self.inner.lock();
        let host = inner.address.parse().unwrap();
        let queue = inner.queues.entry((topic.to_owned(), queue_id)).or_default();
        let queue_offset = queue.len() as i64;
        queue.push(Message {
            topic: topic.to_owned(),
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: host,
            store_timestamp: 1,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            queue_offset,
            physical_offset: 1000 + queue_offset,
            body_crc: 0,
            body: body.into(),
            properties: Properties::parse(properties),
            store_size: 0,
        });
        drop(inner);
        self.arrived.notify_waiters();
        queue_offset
    }

    fn member_list(&self) -> Command {
        let inner = self.inner.lock();
        let list = ConsumerList { consumer_id_list: inner.members.iter().cloned().collect() };
        Command::success().with_body(fastjson::to_vec(&list).unwrap())
    }

    fn query_offset(&self, request: &Command) -> Command {
        let header: QueryConsumerOffset = request.header().unwrap();
        match self.inner.lock().committed.get(&(header.topic, header.queue_id)) {
            Some(offset) => Command::success().with_header(&OffsetFound { offset: *offset }),
            None => Command::failure(ResponseCode::QUERY_NOT_FOUND, "no offset"),
        }
    }

    fn commit(&self, request: &Command) -> Command {
        let header: UpdateConsumerOffset = request.header().unwrap();
        self.inner.lock().committed.insert((header.topic, header.queue_id), header.commit_offset);
        Command::success()
    }

    async fn pull(&self, request: &Command) -> Command {
        let header: PullRequest = request.header().unwrap();
        let deadline =
            tokio::time::Instant::now() + Duration::from_millis(header.suspend_timeout_millis as u64);
        loop {
            let arrived = self.arrived.notified();
            if let Some(answer) = self.pull_now(&header) {
                return answer;
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return pulled(ResponseCode::PULL_NOT_FOUND, header.queue_offset, header.queue_offset);
            }
        }
    }

    fn pull_now(&self, header: &PullRequest) -> Option<Command> {
        let mut inner = self.inner.lock();
        if header.topic == TOPIC
            && let Some(offset) = inner.move_to.take()
        {
            return Some(pulled(ResponseCode::PULL_OFFSET_MOVED, offset, offset));
        }
        let queue = inner.queues.get(&(header.topic.clone(), header.queue_id))?;
        let from = header.queue_offset as usize;
        let to = queue.len().min(from + header.max_msg_nums as usize);
        let found = queue.get(from..to).filter(|found| !found.is_empty())?;
        let mut body = Vec::new();
        found.iter().for_each(|message| body.extend_from_slice(&message.encode().unwrap()));
        Some(pulled(ResponseCode::SUCCESS, to as i64, queue.len() as i64).with_body(body))
    }
}

fn pulled(code: ResponseCode, next_begin_offset: i64, max_offset: i64) -> Command {
    Command::response(code).with_header(&PullResponse {
        next_begin_offset,
        max_offset,
        ..PullResponse::default()
    })
}
