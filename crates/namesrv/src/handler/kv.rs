//! Key-value configuration: codes 100, 101, 102, 219.

use std::sync::Arc;

use rmq_proto::code::ResponseCode;
use rmq_proto::command::Command;
use rmq_proto::header::kv::{KvKey, KvNamespace, KvValue, PutKv};

use super::{Answer, answer_body};
use crate::error::Rejection;
use crate::kv_store::KvStore;

/// Reads and changes the [`KvStore`].
#[derive(Debug)]
pub(crate) struct KvHandler {
    pub(crate) kv: Arc<KvStore>,
}

impl KvHandler {
    /// PUT_KV_CONFIG.
    pub(crate) fn put(&self, request: &Command) -> Answer {
        if request.ext.get("namespace").is_none() || request.ext.get("key").is_none() {
            return Err(Rejection::failed("namespace or key is null"));
        }
        let header: PutKv = request.header()?;
        self.kv.put(&header.namespace, &header.key, &header.value).map_err(not_saved)?;
        Ok(Command::success())
    }

    /// GET_KV_CONFIG.
    pub(crate) fn get(&self, request: &Command) -> Answer {
        let KvKey { namespace, key } = request.header()?;
        let value = self.kv.get(&namespace, &key).ok_or_else(|| {
            let remark = format!("No config item, Namespace: {namespace} Key: {key}");
            Rejection::new(ResponseCode::QUERY_NOT_FOUND, remark)
        })?;
        Ok(Command::success().with_header(&KvValue { value: Some(value) }))
    }

    /// DELETE_KV_CONFIG.
    pub(crate) fn delete(&self, request: &Command) -> Answer {
        let KvKey { namespace, key } = request.header()?;
        self.kv.delete(&namespace, &key).map_err(not_saved)?;
        Ok(Command::success())
    }

    /// GET_KVLIST_BY_NAMESPACE.
    pub(crate) fn list(&self, request: &Command) -> Answer {
        let KvNamespace { namespace } = request.header()?;
        let table = self.kv.list(&namespace).ok_or_else(|| {
            let remark = format!("No config item, Namespace: {namespace}");
            Rejection::new(ResponseCode::QUERY_NOT_FOUND, remark)
        })?;
        answer_body(&table)
    }
}

fn not_saved(error: std::io::Error) -> Rejection {
    Rejection::failed(format!("the key-value configuration could not be saved: {error}"))
}
