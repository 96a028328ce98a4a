//! One connection at work: the same loop serves both ends.
//!
//! Each round reads once, starts the requests that came, collects the answers that are ready and
//! the commands that other tasks left, and writes all of it together. The loop sleeps when a round
//! moved nothing. It reads no further while the peer has too many requests running or does not read
//! its answers: then TCP slows the peer down.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, Stream};
use rmq_proto::code::ResponseCode;
use rmq_proto::codec;
use rmq_proto::command::Command;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tracing::{debug, error, trace};

use crate::error::CloseReason;
use crate::frame::FrameReader;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::peer::{Peer, Stage};
use crate::reply::Envelope;
use crate::service::Service;

/// Rounds before other tasks of the thread get a turn.
const ROUNDS: usize = 8;

/// Serves a connection until it ends, and the requests that were started to their end.
pub(crate) async fn run<Io, S>(io: Io, peer: Arc<Peer>, service: Arc<S>) -> CloseReason
where
    Io: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
{
    // The waiters must be told even if this task is dropped.
    let _closing = CloseOnDrop(&peer);
    tell("connected", || service.connected(&peer));
    let start = |request, frame_bytes| answer(&*service, &peer, request, frame_bytes);
    let mut connection = Connection::new(io, &peer, start);
    let reason = poll_fn(|cx| connection.poll(cx)).await;
    let mut requests = connection.requests;
    drop(connection.io);
    peer.set_closed(reason);
    tell("closed", || service.closed(&peer));
    while requests.next().await.is_some() {}
    peer.close_reason().cloned().unwrap_or(CloseReason::Local)
}

struct Connection<'a, Io, Start, Call> {
    io: Io,
    peer: &'a Peer,
    limits: &'a Limits,
    start: Start,
    reader: FrameReader,
    requests: FuturesUnordered<Call>,
    in_flight_bytes: usize,
    outbox: Outbox,
    clock: Clock,
}

impl<'a, Io, Start, Call> Connection<'a, Io, Start, Call>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    Start: Fn(Command, usize) -> Call,
    Call: Future<Output = Done>,
{
    fn new(io: Io, peer: &'a Peer, start: Start) -> Self {
        Self {
            io,
            peer,
            limits: &peer.limits,
            start,
            reader: FrameReader::default(),
            requests: FuturesUnordered::new(),
            in_flight_bytes: 0,
            outbox: Outbox::default(),
            clock: Clock::new(&peer.limits),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.peer.register_task(cx.waker());
        for _ in 0..ROUNDS {
            match self.round(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves what can be moved; false if nothing could.
    fn round(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let stage = self.peer.stage();
        if stage >= Stage::Closing {
            return Err(CloseReason::Local);
        }
        self.clock.now = Instant::now();
        let mut moved = self.read(cx)?;
        moved |= self.collect_answers(cx);
        moved |= self.collect_queued();
        moved |= self.write(cx)?;
        if stage == Stage::Draining && self.requests.is_empty() && self.outbox.is_empty() {
            // The end of the stream goes out behind the last answer.
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
            return Err(CloseReason::Drained);
        }
        self.clock.check(cx, self.limits, self.outbox.len())?;
        Ok(moved)
    }

    fn may_read(&self) -> bool {
        self.requests.len() < self.limits.max_in_flight
            && self.in_flight_bytes < self.limits.max_in_flight_bytes
            && self.may_collect()
    }

    fn may_collect(&self) -> bool {
        self.outbox.len() < self.limits.max_outgoing_bytes
    }

    /// Takes the frames that are there, after reading once if there are none.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let (mut filled, mut received) = (false, false);
        while self.may_read() {
            if let Some(frame) = self.next_frame()? {
                self.receive(frame)?;
                received = true;
            } else if filled {
                break;
            } else {
                match self.reader.poll_fill(&mut self.io, cx)? {
                    // Java closes too when the peer will send no more, answers or not.
                    Poll::Ready(0) => return Err(CloseReason::Remote),
                    Poll::Ready(_) => filled = true,
                    Poll::Pending => break,
                }
            }
        }
        if filled {
            self.clock.active();
            self.peer.set_heard(self.clock.now);
        }
        let waits_for_more = self.reader.is_partial() && self.may_read();
        self.clock.frame(waits_for_more, received);
        Ok(filled || received)
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, CloseReason> {
        let frame = self.reader.next(self.peer.max_frame_bytes());
        frame.map_err(|error| match self.reader.foreign() {
            Some(protocol) => CloseReason::Foreign(protocol),
            None => error.into(),
        })
    }

    fn receive(&mut self, frame: Bytes) -> Result<(), CloseReason> {
        let frame_bytes = frame.len();
        let command = codec::decode(frame)?;
        trace!(peer = %self.peer.remote_addr(), code = command.code, opaque = command.opaque, frame_bytes, "received");
        if command.is_response() {
            let opaque = command.opaque;
            if !self.peer.pending.complete(command) {
                debug!(peer = %self.peer.remote_addr(), opaque, "nobody waits for this answer");
            }
        } else if self.peer.stage() == Stage::Open {
            self.in_flight_bytes += frame_bytes;
            self.requests.push((self.start)(command, frame_bytes));
        }
        Ok(())
    }

    fn collect_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.may_collect() {
            let Poll::Ready(Some(done)) = Pin::new(&mut self.requests).poll_next(cx) else {
                break;
            };
            moved = true;
            self.in_flight_bytes -= done.frame_bytes;
            if let Some(answer) = done.answer {
                self.outbox.push(&answer, self.limits.max_sent_frame_bytes);
            }
        }
        moved
    }

    fn collect_queued(&mut self) -> bool {
        if !self.may_collect() {
            return false;
        }
        let commands = self.peer.take_queued();
        for command in &commands {
            self.outbox.push(command, self.limits.max_sent_frame_bytes);
        }
        !commands.is_empty()
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        if self.outbox.is_empty() {
            return Ok(false);
        }
        let written = self.outbox.write(&mut self.io, cx)?;
        if written > 0 {
            self.clock.active();
        }
        self.clock.unsent(self.outbox.sent(), self.outbox.len());
        self.peer.set_unsent(self.outbox.len());
        Ok(written > 0)
    }
}

/// What a peer must do by when. One timer serves all deadlines: it is only ever moved forward when
/// it fires, or back when an earlier deadline appears, and so costs nothing per command.
struct Clock {
    now: Instant,
    last_active: Instant,
    frame_started: Option<Instant>,
    /// When the oldest unsent bytes were seen, and how much will have been sent when they are gone.
    unsent: Option<(Instant, u64)>,
    timer: Pin<Box<Sleep>>,
}

impl Clock {
    fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            now,
            last_active: now,
            frame_started: None,
            unsent: None,
            timer: Box::pin(tokio::time::sleep_until(now + limits.idle_timeout)),
        }
    }

    fn active(&mut self) {
        self.last_active = self.now;
    }

    fn frame(&mut self, waits_for_more: bool, received: bool) {
        match self.frame_started {
            _ if !waits_for_more => self.frame_started = None,
            Some(_) if !received => {}
            _ => self.frame_started = Some(self.now),
        }
    }

    fn unsent(&mut self, sent: u64, waiting: usize) {
        match self.unsent {
            _ if waiting == 0 => self.unsent = None,
            Some((_, until)) if sent < until => {}
            _ => self.unsent = Some((self.now, sent + waiting as u64)),
        }
    }

    fn check(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        waiting_bytes: usize,
    ) -> Result<(), CloseReason> {
        let mut due = self.last_active + limits.idle_timeout;
        let mut reason = CloseReason::Idle(limits.idle_timeout);
        if let Some(started) = self.frame_started
            && started + limits.frame_deadline < due
        {
            due = started + limits.frame_deadline;
            reason = CloseReason::SlowFrame(limits.frame_deadline);
        }
        let deadline = limits.write_deadline;
        if let Some((since, _)) = self.unsent
            && since + deadline < due
        {
            due = since + deadline;
            reason = CloseReason::SlowReader { waiting_bytes, deadline };
        }
        if due <= self.now {
            return Err(reason);
        }
        if due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            self.timer.as_mut().reset(due);
            // `now` is as old as the round: the deadline may have passed since.
            if due <= Instant::now() {
                return Err(reason);
            }
        }
        Ok(())
    }
}

/// A request that was carried out.
struct Done {
    frame_bytes: usize,
    answer: Option<Command>,
}

async fn answer<S: Service>(service: &S, peer: &Arc<Peer>, request: Command, frame_bytes: usize) -> Done {
    let envelope = Envelope::of(&request);
    let call = AssertUnwindSafe(async { service.call(peer, request).await });
    let answer = call.catch_unwind().await.unwrap_or_else(|panic| {
        let code = envelope.code;
        error!(peer = %peer.remote_addr(), "the handler of {code} panicked: {}", words(&*panic));
        let remark = format!("internal error while handling {code}, see the server's log");
        Some(Command::failure(ResponseCode::SYSTEM_ERROR, remark))
    });
    Done { frame_bytes, answer: answer.and_then(|answer| envelope.seal(answer)) }
}

/// Calls the service; its panic must not end the connection.
fn tell(what: &str, call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        error!("the handler of `{what}` panicked: {}", words(&*panic));
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

struct CloseOnDrop<'a>(&'a Peer);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set_closed(CloseReason::Local);
    }
}
