//! Accepts connections and ends them in good order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::connection;
use crate::error::{BindError, CloseReason};
use crate::limits::Limits;
use crate::peer::Peer;
use crate::service::Service;

/// Connections that the system holds for us before we accept them; Java's `serverSocketBacklog`.
const BACKLOG: u32 = 1024;

/// Pause after a failed accept, mostly for want of file descriptors: some will be closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a shutdown waits for connections that it ends by force.
const FORCED_CLOSE: Duration = Duration::from_secs(1);

/// How a server behaves.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// The bounds of the server and its connections.
    pub limits: Limits,
}

/// Listens on one or more addresses. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Server {
    addrs: Vec<SocketAddr>,
    acceptors: Mutex<Vec<JoinHandle<()>>>,
    connections: Arc<Connections>,
}

impl Server {
    /// Starts to serve. Must be called within a tokio runtime; port 0 takes a free one.
    pub fn bind<S: Service>(
        addrs: &[SocketAddr],
        options: ServerOptions,
        service: Arc<S>,
    ) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for &addr in addrs {
            let listener = listen(addr).map_err(|source| BindError { addr, source })?;
            listeners.push(listener);
        }
        let connections = Arc::new(Connections::new(options.limits));
        let addrs = listeners.iter().map(|(_, addr)| *addr).collect();
        let acceptors = listeners
            .into_iter()
            .map(|(listener, _)| tokio::spawn(accept(listener, connections.clone(), service.clone())));
        Ok(Self { addrs, acceptors: Mutex::new(acceptors.collect()), connections: connections.clone() })
    }

    /// The first address, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.addrs.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// All addresses, with their real ports.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// How many connections there are, those that only finish their last requests included.
    pub fn connections(&self) -> usize {
        self.connections.open.lock().len()
    }

    /// Stops to accept, lets the requests that run finish for at most `drain`, sends their answers,
    /// closes. Requests that arrive meanwhile are ignored: their senders see the connection end.
    pub async fn shutdown(&self, drain: Duration) {
        let acceptors = std::mem::take(&mut *self.acceptors.lock());
        for acceptor in acceptors {
            acceptor.abort();
            let _ = acceptor.await;
        }
        let peers = self.connections.all();
        peers.iter().for_each(|peer| peer.drain());
        if timeout(drain, self.connections.none_left()).await.is_ok() {
            return;
        }
        let peers = self.connections.all();
        warn!(connections = peers.len(), "closing connections whose requests still run after {drain:?}");
        peers.iter().for_each(|peer| peer.close());
        let _ = timeout(FORCED_CLOSE, join_all(peers.iter().map(|peer| peer.closed()))).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.acceptors.lock().iter().for_each(JoinHandle::abort);
        self.connections.all().iter().for_each(|peer| peer.close());
    }
}

fn listen(addr: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn accept<S: Service>(listener: TcpListener, connections: Arc<Connections>, service: Arc<S>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => admit(stream, remote, &connections, &service),
            Err(error) => {
                connections.complaints.warn(|| format!("cannot accept a connection: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit<S: Service>(
    stream: TcpStream,
    remote: SocketAddr,
    connections: &Arc<Connections>,
    service: &Arc<S>,
) {
    // Small answers must not wait for more to come. It fails only if the peer is gone already.
    let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else {
        return;
    };
    let limit = connections.limits.max_connections;
    let peer = Peer::new(remote, local, connections.limits.clone());
    let Some(entry) = connections.enter(&peer) else {
        let full = || format!("refused {remote}: there are {limit} connections, the limit");
        return connections.complaints.warn(full);
    };
    let service = service.clone();
    tokio::spawn(async move {
        debug!(peer = %remote, "connected");
        let reason = connection::run(stream, peer, service).await;
        entry.connections.log_end(remote, &reason);
    });
}

/// The connections of a server.
#[derive(Debug)]
struct Connections {
    limits: Arc<Limits>,
    open: Mutex<HashMap<u64, Arc<Peer>>>,
    left: Notify,
    complaints: Complaints,
}

/// A connection's place in the table; it is free again when this is dropped.
struct Entry {
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    fn new(limits: Limits) -> Self {
        Self {
            limits: Arc::new(limits),
            open: Mutex::default(),
            left: Notify::new(),
            complaints: Complaints::default(),
        }
    }

    fn enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Option<Entry> {
        let mut open = self.open.lock();
        if open.len() >= self.limits.max_connections {
            return None;
        }
        open.insert(peer.id(), peer.clone());
        Some(Entry { connections: self.clone(), id: peer.id() })
    }

    fn all(&self) -> Vec<Arc<Peer>> {
        self.open.lock().values().cloned().collect()
    }

    async fn none_left(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.open.lock().is_empty() {
                return;
            }
            left.await;
        }
    }

    fn log_end(&self, remote: SocketAddr, reason: &CloseReason) {
        if reason.is_violation() {
            self.complaints.warn(|| format!("closed the connection of {remote}: {reason}"));
        } else {
            debug!(peer = %remote, "connection ended: {reason}");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.id);
        self.connections.left.notify_waiters();
    }
}

/// Warnings that a stranger can cause at will: one a second, the rest is counted.
#[derive(Debug, Default)]
struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    const PAUSE: Duration = Duration::from_secs(1);

    fn warn(&self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut state = self.0.lock();
        let (last, omitted) = &mut *state;
        if last.is_some_and(|last| now < last + Self::PAUSE) {
            *omitted += 1;
            debug!("{}", text());
            return;
        }
        warn!(similar_omitted = *omitted, "{}", text());
        *state = (Some(now), 0);
    }
}
