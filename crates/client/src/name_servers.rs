//! The name servers: ask one, keep to it while it answers, go on to the next when it does not.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rmq_proto::{
    body::TopicRouteData,
    code::{RequestCode, ResponseCode},
    command::Command,
    header::topic::RouteRequest,
};
use rmq_remoting::Client;

use crate::{
    error::{Error, Result},
    exchange::{self, parse_body},
};

#[derive(Debug)]
pub(crate) struct NameServers {
    addresses: Vec<String>,
    current: AtomicUsize,
    timeout: Duration,
}

impl NameServers {
    /// `start` decides which one is asked first: Java starts at a random one so that clients spread.
    pub(crate) fn new(addresses: Vec<String>, start: usize, timeout: Duration) -> Self {
        Self { addresses, current: AtomicUsize::new(start), timeout }
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// All addresses as one text.
    pub(crate) fn list(&self) -> String {
        self.addresses.join(";")
    }

    /// Asks one name server; asks the next one only if it does not answer.
    pub(crate) async fn ask(&self, remoting: &Client, request: Command) -> Result<Command> {
        let mut last = Error::NoNameServer;
        for _ in 0..self.addresses.len() {
            let current = self.current.load(Ordering::Relaxed);
            let address = &self.addresses[current % self.addresses.len()];
            match exchange::invoke(remoting, address, request.clone(), self.timeout).await {
                Err(error) if error.is_unanswered() => {
                    tracing::warn!(address, %error, "a name server does not answer");
                    let next = current.wrapping_add(1);
                    // Another task may have moved on already; then its choice counts.
                    let _ =
                        self.current.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
                    last = error;
                }
                answer => return answer,
            }
        }
        Err(Error::NameServersSilent { tried: self.list(), source: Box::new(last) })
    }

    /// The route of a topic; `None` if there is none.
    pub(crate) async fn route(&self, remoting: &Client, topic: &str) -> Result<Option<TopicRouteData>> {
        let header = RouteRequest { topic: topic.to_owned(), ..RouteRequest::default() };
        let request = Command::request(RequestCode::GET_ROUTEINFO_BY_TOPIC).with_header(&header);
        match self.ask(remoting, request).await {
            Ok(answer) => parse_body("name server", RequestCode::GET_ROUTEINFO_BY_TOPIC, &answer).map(Some),
            Err(error) if error.is(ResponseCode::TOPIC_NOT_EXIST) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
