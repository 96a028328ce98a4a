//! Configuration kept by name servers: codes 100, 101, 102, 219.

use super::Header;

/// PUT_KV_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct PutKv {
    /// Namespace.
    pub namespace: String,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// GET_KV_CONFIG and DELETE_KV_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct KvKey {
    /// Namespace.
    pub namespace: String,
    /// Key.
    pub key: String,
}

/// Answer to GET_KV_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct KvValue {
    /// Value.
    pub value: Option<String>,
}

/// GET_KVLIST_BY_NAMESPACE.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct KvNamespace {
    /// Namespace.
    pub namespace: String,
}
