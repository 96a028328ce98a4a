//! Subscription groups: codes 201, 207, 208, 352.

use super::Header;

/// GET_SUBSCRIPTIONGROUP_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupName {
    /// Group.
    pub group: String,
}

/// DELETE_SUBSCRIPTIONGROUP.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteGroup {
    /// Group.
    pub group_name: String,
    /// Also forget its offsets.
    pub clean_offset: Option<bool>,
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG; all absent asks for everything.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct AllGroups {
    /// Index of the first group of a page.
    pub group_seq: Option<i32>,
    /// Version known to the asker, as JSON.
    pub data_version: Option<String>,
    /// Groups in a page.
    pub max_group_num: Option<i32>,
}

/// Answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct AllGroupsAnswer {
    /// Groups in all pages.
    pub total_group_num: i32,
}

/// GET_CONSUME_STATS.
#[derive(Header, Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumeStats {
    /// Consumer group.
    pub consumer_group: String,
    /// Only this topic.
    pub topic: Option<String>,
    /// Only these topics, separated by `;`.
    pub topic_list: Option<String>,
}
