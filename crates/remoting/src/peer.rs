//! The handle on one connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use rmq_proto::command::Command;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{CloseReason, InvokeError, SendError};
use crate::limits::Limits;
use crate::outbox::wire_len;
use crate::pending::Pending;
use crate::reply::ReplyTo;

/// One connection, seen from either end: sends commands, asks and waits for answers.
///
/// The connection itself lives in its own task; a peer only leaves commands for it and wakes it.
pub struct Peer {
    id: u64,
    remote: SocketAddr,
    local: SocketAddr,
    pub(crate) limits: Arc<Limits>,
    max_frame_bytes: AtomicUsize,
    stage: AtomicU8,
    /// Why it shall end, or did. The first reason wins.
    reason: OnceLock<CloseReason>,
    outgoing: Mutex<Outgoing>,
    /// Encoded bytes that the connection could not write yet.
    unsent: AtomicUsize,
    pub(crate) pending: Pending,
    /// When bytes last came, in milliseconds after `opened`.
    heard_ms: AtomicU64,
    opened: Instant,
    task: AtomicWaker,
    room: Notify,
    gone: Notify,
}

/// Commands on their way to the connection's task.
#[derive(Default)]
struct Outgoing {
    commands: Vec<Command>,
    bytes: usize,
    closed: bool,
}

/// The life of a connection; it only goes forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Stage {
    Open,
    /// New requests are ignored; it ends when the running ones are answered.
    Draining,
    /// It shall end now.
    Closing,
    Closed,
}

impl Peer {
    pub(crate) fn new(remote: SocketAddr, local: SocketAddr, limits: Arc<Limits>) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            remote,
            local,
            max_frame_bytes: AtomicUsize::new(limits.max_frame_bytes),
            limits,
            stage: AtomicU8::new(Stage::Open as u8),
            reason: OnceLock::new(),
            outgoing: Mutex::default(),
            unsent: AtomicUsize::new(0),
            pending: Pending::default(),
            heard_ms: AtomicU64::new(0),
            opened: Instant::now(),
            task: AtomicWaker::new(),
            room: Notify::new(),
            gone: Notify::new(),
        })
    }

    /// A peer without a connection, for tests of services: what is sent to it piles up until
    /// [`take_queued`](Self::take_queued).
    pub fn unconnected(remote: SocketAddr) -> Arc<Self> {
        Self::new(remote, remote, Arc::default())
    }

    /// A number that no other connection of this process ever has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The other end.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    /// This end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends a oneway request, whose opaque is assigned here, or an answer, which keeps its own.
    /// Never waits.
    pub fn send(&self, mut command: Command) -> Result<(), SendError> {
        if !command.is_response() {
            command.opaque = self.pending.next_opaque();
        }
        self.queue(&mut Some(command))
    }

    /// Like [`send`](Self::send), but waits while the peer has too much to read already.
    pub(crate) async fn send_when_writable(&self, mut command: Command) -> Result<(), SendError> {
        if !command.is_response() {
            command.opaque = self.pending.next_opaque();
        }
        self.queue_when_room(command).await
    }

    /// Sends a request and waits for its answer, whatever its code.
    pub async fn invoke(&self, mut request: Command, timeout: Duration) -> Result<Command, InvokeError> {
        let code = request.request_code();
        let addr = || self.remote.to_string();
        let closed = || InvokeError::Closed {
            addr: addr(),
            code,
            reason: self.close_reason().cloned().unwrap_or(CloseReason::Local),
        };
        let ask = async {
            let mut waiter = self.pending.register();
            request.opaque = waiter.opaque;
            match self.queue_when_room(request).await {
                Ok(()) => waiter.answer().await.ok_or_else(closed),
                Err(SendError::TooLong { len, limit }) => Err(InvokeError::TooLong { code, len, limit }),
                Err(_) => Err(closed()),
            }
        };
        let answer = tokio::time::timeout(timeout, ask).await;
        answer.unwrap_or_else(|_| {
            Err(InvokeError::Timeout { addr: addr(), code, timeout_ms: timeout.as_millis() as u64 })
        })
    }

    /// What it takes to answer `request` later.
    pub fn reply_to(self: &Arc<Self>, request: &Command) -> ReplyTo {
        ReplyTo::new(self.clone(), request)
    }

    /// Ends the connection at once. Those who wait for answers are told.
    pub fn close(&self) {
        self.close_because(CloseReason::Local);
    }

    /// Completes when the connection is gone.
    pub async fn closed(&self) {
        let mut gone = std::pin::pin!(self.gone.notified());
        gone.as_mut().enable();
        if self.stage() < Stage::Closed {
            gone.await;
        }
    }

    /// Is the connection gone, or about to?
    pub fn is_closed(&self) -> bool {
        self.stage() >= Stage::Closing
    }

    /// Why the connection ended, once it has.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.reason.get()
    }

    /// Does the peer read what is sent to it?
    pub fn is_writable(&self) -> bool {
        !self.is_closed() && self.waiting_bytes(&self.outgoing.lock()) < self.limits.max_outgoing_bytes
    }

    /// Changes the limit of incoming frames, length word included: small for a peer that has not
    /// logged in, larger after that. In force from the next frame on.
    pub fn limit_frames(&self, max_bytes: usize) {
        self.max_frame_bytes.store(max_bytes, Ordering::Relaxed);
    }

    /// The commands that the connection would send next.
    pub fn take_queued(&self) -> Vec<Command> {
        let commands = {
            let mut outgoing = self.outgoing.lock();
            outgoing.bytes = 0;
            std::mem::take(&mut outgoing.commands)
        };
        if !commands.is_empty() {
            self.room.notify_waiters();
        }
        commands
    }

    pub(crate) fn max_frame_bytes(&self) -> usize {
        self.max_frame_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Open,
            1 => Stage::Draining,
            2 => Stage::Closing,
            _ => Stage::Closed,
        }
    }

    /// Lets the running requests finish, then ends the connection.
    pub(crate) fn drain(&self) {
        self.advance(Stage::Draining);
    }

    pub(crate) fn close_because(&self, reason: CloseReason) {
        let _ = self.reason.set(reason);
        self.advance(Stage::Closing);
    }

    /// The connection is gone: nothing is sent any more, and nobody waits any longer.
    pub(crate) fn set_closed(&self, reason: CloseReason) {
        let _ = self.reason.set(reason);
        let unsent = {
            let mut outgoing = self.outgoing.lock();
            outgoing.closed = true;
            std::mem::take(&mut outgoing.commands)
        };
        drop(unsent);
        self.advance(Stage::Closed);
        // A request that is queued from now on is refused, so that this reaches every waiter.
        self.pending.fail_all();
        self.room.notify_waiters();
        self.gone.notify_waiters();
    }

    /// The task that runs the connection is to be woken by `waker`.
    pub(crate) fn register_task(&self, waker: &Waker) {
        self.task.register(waker);
    }

    pub(crate) fn set_unsent(&self, bytes: usize) {
        self.unsent.store(bytes, Ordering::Relaxed);
        self.room.notify_waiters();
    }

    pub(crate) fn set_heard(&self, now: Instant) {
        let heard_ms = now.duration_since(self.opened).as_millis() as u64;
        self.heard_ms.store(heard_ms, Ordering::Relaxed);
    }

    /// When bytes last came from the peer, to the millisecond.
    pub(crate) fn heard_at(&self) -> Instant {
        self.opened + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        self.task.wake();
    }

    fn waiting_bytes(&self, outgoing: &Outgoing) -> usize {
        outgoing.bytes + self.unsent.load(Ordering::Relaxed)
    }

    async fn queue_when_room(&self, command: Command) -> Result<(), SendError> {
        let mut command = Some(command);
        loop {
            match self.queue(&mut command) {
                Err(SendError::Full { .. }) => {}
                done => return done,
            }
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            match self.queue(&mut command) {
                Err(SendError::Full { .. }) => room.await,
                done => return done,
            }
        }
    }

    /// Takes the command if there is room for it.
    fn queue(&self, command: &mut Option<Command>) -> Result<(), SendError> {
        let len = command.as_ref().map_or(0, wire_len);
        let limit = self.limits.max_sent_frame_bytes;
        let is_answer = command.as_ref().is_some_and(Command::is_response);
        if len > limit && !is_answer {
            return Err(SendError::TooLong { len, limit });
        }
        let addr = self.remote;
        {
            let mut outgoing = self.outgoing.lock();
            if outgoing.closed || self.is_closed() {
                return Err(SendError::Closed { addr });
            }
            let waiting_bytes = self.waiting_bytes(&outgoing);
            if waiting_bytes >= self.limits.max_outgoing_bytes {
                return Err(SendError::Full { addr, waiting_bytes });
            }
            outgoing.bytes += len;
            outgoing.commands.extend(command.take());
        }
        self.task.wake();
        Ok(())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id)
            .field("remote", &self.remote)
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}
