//! Opens connections, one per address, and asks on them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rmq_proto::command::Command;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::connection;
use crate::error::{CloseReason, InvokeError, SendError};
use crate::limits::Limits;
use crate::peer::Peer;
use crate::service::Service;

/// A shorter wait than this says nothing about whether a peer is alive.
const SILENCE: Duration = Duration::from_secs(1);

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The bounds of its connections.
    pub limits: Limits,
    /// Close a connection on which a request timed out while nothing at all was heard, so that the
    /// next request does not wait for a dead host too. Java's `clientCloseSocketIfTimeout` closes
    /// after every timeout, and so also fails the requests of others.
    pub close_silent_peers: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), close_silent_peers: true }
    }
}

/// Keeps one connection per address. Addresses are `host:port`, also `[::1]:port`; names are
/// resolved at each connect. A connection that ended is opened again by the next use.
///
/// Cheap to clone; when the last clone is dropped all connections are closed.
#[derive(Clone)]
pub struct Client {
    links: Arc<Links>,
}

impl Client {
    /// A client without connections; `service` answers what servers ask us.
    pub fn new<S: Service>(options: ClientOptions, service: Arc<S>) -> Self {
        let links = Links {
            limits: Arc::new(options.limits),
            close_silent_peers: options.close_silent_peers,
            runner: service,
            state: Mutex::default(),
        };
        Self { links: Arc::new(links) }
    }

    /// Sends a request and waits for its answer, whatever its code. The timeout covers connecting.
    pub async fn invoke(
        &self,
        addr: &str,
        request: Command,
        timeout: Duration,
    ) -> Result<Command, InvokeError> {
        let asked = Instant::now();
        let peer = self.peer_within(addr, &request, timeout).await?;
        let sent = Instant::now();
        let left = timeout.saturating_sub(sent - asked);
        let answer = peer.invoke(request, left).await;
        if self.links.close_silent_peers
            && matches!(answer, Err(InvokeError::Timeout { .. }))
            && left >= SILENCE
            && peer.heard_at() <= sent
        {
            warn!(addr, "nothing was heard for {left:?} while a request waited: closing the connection");
            peer.close_because(CloseReason::Silent(left));
        }
        answer
    }

    /// Sends a request that wants no answer; done when the connection has taken it.
    pub async fn oneway(&self, addr: &str, request: Command, timeout: Duration) -> Result<(), InvokeError> {
        let asked = Instant::now();
        let code = request.request_code();
        let peer = self.peer_within(addr, &request, timeout).await?;
        let left = timeout.saturating_sub(asked.elapsed());
        let sent = tokio::time::timeout(left, peer.send_when_writable(request.oneway())).await;
        let addr = addr.to_owned();
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SendError::TooLong { len, limit })) => Err(InvokeError::TooLong { code, len, limit }),
            Ok(Err(_)) => Err(InvokeError::Closed {
                addr,
                code,
                reason: peer.close_reason().cloned().unwrap_or(CloseReason::Local),
            }),
            Err(_) => Err(InvokeError::Timeout { addr, code, timeout_ms: timeout.as_millis() as u64 }),
        }
    }

    /// The connection to an address, opened if there is none.
    pub async fn peer(&self, addr: &str) -> Result<Arc<Peer>, InvokeError> {
        let mut dial = match self.links.find_or_dial(addr)? {
            Link::Open(peer) => return Ok(peer),
            Link::Dialling(dial) => dial,
        };
        match dial.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // The runtime dropped the task that connects.
            _ => Err(InvokeError::Shutdown { addr: addr.to_owned() }),
        }
    }

    /// The connection to an address, if there is one.
    pub fn connected(&self, addr: &str) -> Option<Arc<Peer>> {
        self.links.state.lock().open(addr)
    }

    /// Closes the connection to an address; the next use opens a new one.
    pub fn close(&self, addr: &str) {
        let link = self.links.state.lock().links.remove(addr);
        if let Some(Link::Open(peer)) = link {
            peer.close();
        }
    }

    /// Closes all connections, for good.
    pub fn shutdown(&self) {
        self.links.shutdown();
    }

    async fn peer_within(
        &self,
        addr: &str,
        request: &Command,
        limit: Duration,
    ) -> Result<Arc<Peer>, InvokeError> {
        if let Some(peer) = self.connected(addr) {
            return Ok(peer);
        }
        let peer = timeout(limit, self.peer(addr)).await;
        peer.unwrap_or_else(|_| {
            Err(InvokeError::Timeout {
                addr: addr.to_owned(),
                code: request.request_code(),
                timeout_ms: limit.as_millis() as u64,
            })
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.links.state.lock().links).finish()
    }
}

/// The connections of a client.
struct Links {
    limits: Arc<Limits>,
    close_silent_peers: bool,
    runner: Arc<dyn Runner>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: HashMap<String, Link>,
    shut: bool,
}

/// What a connect attempt came to, once it did.
type Dial = watch::Receiver<Option<Result<Arc<Peer>, InvokeError>>>;

#[derive(Clone, Debug)]
enum Link {
    Open(Arc<Peer>),
    /// Someone connects already: all who need this address wait for the one attempt.
    Dialling(Dial),
}

impl State {
    fn open(&self, addr: &str) -> Option<Arc<Peer>> {
        match self.links.get(addr) {
            Some(Link::Open(peer)) if !peer.is_closed() => Some(peer.clone()),
            _ => None,
        }
    }
}

impl Links {
    fn find_or_dial(self: &Arc<Self>, addr: &str) -> Result<Link, InvokeError> {
        let mut state = self.state.lock();
        if state.shut {
            return Err(InvokeError::Shutdown { addr: addr.to_owned() });
        }
        match state.links.get(addr) {
            Some(Link::Open(peer)) if peer.is_closed() => {}
            Some(link) => return Ok(link.clone()),
            None => {}
        }
        let (tell, dial) = watch::channel(None);
        let attempt = Attempt {
            addr: addr.to_owned(),
            limits: self.limits.clone(),
            runner: self.runner.clone(),
            links: Arc::downgrade(self),
            dial: dial.clone(),
        };
        tokio::spawn(attempt.run(tell));
        let link = Link::Dialling(dial);
        state.links.insert(addr.to_owned(), link.clone());
        Ok(link)
    }

    fn shutdown(&self) {
        let links = {
            let mut state = self.state.lock();
            state.shut = true;
            std::mem::take(&mut state.links)
        };
        for link in links.into_values() {
            if let Link::Open(peer) = link {
                peer.close();
            }
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// One connect, and the connection that comes of it.
struct Attempt {
    addr: String,
    limits: Arc<Limits>,
    runner: Arc<dyn Runner>,
    /// Weak: connections must not keep a client alive that nobody uses.
    links: Weak<Links>,
    dial: Dial,
}

impl Attempt {
    async fn run(self, tell: watch::Sender<Option<Result<Arc<Peer>, InvokeError>>>) {
        let (stream, peer) = match self.connect().await {
            Ok(connected) => connected,
            Err(reason) => {
                self.replace(None);
                let addr = self.addr;
                tell.send_replace(Some(Err(InvokeError::Connect { addr, reason })));
                return;
            }
        };
        if !self.replace(Some(&peer)) {
            let reason = "closed while connecting".to_owned();
            let addr = self.addr;
            tell.send_replace(Some(Err(InvokeError::Connect { addr, reason })));
            return;
        }
        tell.send_replace(Some(Ok(peer.clone())));
        drop(tell);
        let reason = self.runner.clone().run(stream, peer.clone()).await;
        if reason.is_violation() {
            warn!(addr = self.addr, "closed the connection: {reason}");
        } else {
            debug!(addr = self.addr, "connection ended: {reason}");
        }
        self.forget(&peer);
    }

    async fn connect(&self) -> Result<(TcpStream, Arc<Peer>), String> {
        let limit = self.limits.connect_timeout;
        let connected = timeout(limit, TcpStream::connect(&self.addr)).await;
        let stream = connected
            .map_err(|_| format!("no connection within {limit:?}"))?
            .map_err(|error| error.to_string())?;
        let set_up = || {
            stream.set_nodelay(true)?;
            Ok((stream.peer_addr()?, stream.local_addr()?))
        };
        let (remote, local) = set_up().map_err(|error: std::io::Error| error.to_string())?;
        Ok((stream, Peer::new(remote, local, self.limits.clone())))
    }

    /// Puts the outcome where the attempt stood; false if nobody wants it any more.
    fn replace(&self, peer: Option<&Arc<Peer>>) -> bool {
        let Some(links) = self.links.upgrade() else {
            return false;
        };
        let mut state = links.state.lock();
        match state.links.get(&self.addr) {
            Some(Link::Dialling(dial)) if dial.same_channel(&self.dial) => {}
            _ => return false,
        }
        match peer {
            Some(peer) => state.links.insert(self.addr.clone(), Link::Open(peer.clone())),
            None => state.links.remove(&self.addr),
        };
        true
    }

    fn forget(&self, peer: &Arc<Peer>) {
        let Some(links) = self.links.upgrade() else {
            return;
        };
        let mut state = links.state.lock();
        if let Some(Link::Open(current)) = state.links.get(&self.addr)
            && current.id() == peer.id()
        {
            state.links.remove(&self.addr);
        }
    }
}

/// A [`Service`] whose type is forgotten, so that [`Client`] need not name it.
trait Runner: Send + Sync {
    fn run(self: Arc<Self>, stream: TcpStream, peer: Arc<Peer>) -> BoxFuture<'static, CloseReason>;
}

impl<S: Service> Runner for S {
    fn run(self: Arc<Self>, stream: TcpStream, peer: Arc<Peer>) -> BoxFuture<'static, CloseReason> {
        connection::run(stream, peer, self).boxed()
    }
}
