//! One request and its answer, with failures that say whom we asked what.

use std::time::Duration;

use rmq_proto::{
    code::{RequestCode, ResponseCode},
    command::Command,
    fastjson,
    header::Header,
};
use rmq_remoting::Client;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Asks and expects success.
pub(crate) async fn invoke(
    remoting: &Client,
    address: &str,
    request: Command,
    timeout: Duration,
) -> Result<Command> {
    let code = request.request_code();
    let answer = invoke_any(remoting, address, request, timeout).await?;
    if answer.response_code() == ResponseCode::SUCCESS {
        return Ok(answer);
    }
    Err(refused(address, code, &answer))
}

/// Asks and takes any answer, success or not.
pub(crate) async fn invoke_any(
    remoting: &Client,
    address: &str,
    request: Command,
    timeout: Duration,
) -> Result<Command> {
    let code = request.request_code();
    remoting.invoke(address, request, timeout).await.map_err(|source| Error::Unanswered {
        address: address.to_owned(),
        request: code,
        source,
    })
}

/// The error that an unsuccessful answer means.
pub(crate) fn refused(address: &str, request: RequestCode, answer: &Command) -> Error {
    Error::Refused {
        address: address.to_owned(),
        request,
        code: answer.response_code(),
        remark: answer.remark.clone().unwrap_or_else(|| "no reason given".to_owned()),
    }
}

/// Reads an answer's JSON body.
pub(crate) fn parse_body<T: DeserializeOwned>(
    address: &str,
    request: RequestCode,
    answer: &Command,
) -> Result<T> {
    let body = answer.body.bytes();
    if body.is_empty() {
        return Err(unreadable(address, request, "the body is empty"));
    }
    fastjson::from_slice(&body).map_err(|error| unreadable(address, request, error))
}

/// Reads an answer's header.
pub(crate) fn parse_header<H: Header>(address: &str, request: RequestCode, answer: &Command) -> Result<H> {
    answer.header().map_err(|error| unreadable(address, request, error))
}

pub(crate) fn unreadable(address: &str, request: RequestCode, reason: impl ToString) -> Error {
    Error::Unreadable { address: address.to_owned(), request, reason: reason.to_string() }
}

/// The JSON of a body that we send.
pub(crate) fn json<T: Serialize>(body: &T) -> Result<Vec<u8>> {
    fastjson::to_vec(body)
        .map_err(|error| Error::Setting(format!("the request cannot be written as JSON: {error}")))
}
