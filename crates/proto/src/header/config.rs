//! Configuration of daemons: code 26.

use super::Header;

/// Answer to GET_BROKER_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigVersion {
    /// DataVersion as JSON.
    pub version: String,
}
