//! Users and what they may do.

use serde::{Deserialize, Serialize};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserInfo {
    pub password: Option<String>,
    /// `enable` or `disable`.
    pub user_status: Option<String>,
    /// `Super` or `Normal`.
    pub user_type: Option<String>,
    pub username: Option<String>,
}

/// What a subject may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AclInfo {
    pub policies: Option<Vec<PolicyInfo>>,
    /// `User:name`
    pub subject: Option<String>,
}

/// Some of what a subject may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyInfo {
    pub entries: Option<Vec<PolicyEntryInfo>>,
    /// `Custom` or `Default`.
    pub policy_type: Option<String>,
}

/// What a subject may do with a resource.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyEntryInfo {
    /// `Pub`, `Sub`, `Create`, …
    pub actions: Option<Vec<String>>,
    /// `Allow` or `Deny`.
    pub decision: Option<String>,
    /// `Topic:name`, `Group:pre*`, `*`, …
    pub resource: Option<String>,
    /// Addresses or CIDR ranges.
    pub source_ips: Option<Vec<String>>,
}
