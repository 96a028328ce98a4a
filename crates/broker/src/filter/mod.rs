//! Which messages of a queue a consumer wants.

pub mod tag;

use rmq_proto::body::SubscriptionData;

use crate::error::Rejection;
use tag::Tags;

/// A subscription, ready to be asked about messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Everything is wanted.
    All,
    /// Messages with one of these tags are wanted.
    Tags(Tags),
}

/// The expression is of a kind that is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The broker does not support consumer to filter message by {0}")]
pub struct UnknownExpression(String);

impl Filter {
    /// The filter of a subscription.
    pub fn new(subscription: &SubscriptionData) -> Result<Self, UnknownExpression> {
        // Java lets everything pass in class filter mode: the classes ran in a server that is gone since 4.x.
        if subscription.class_filter_mode {
            return Ok(Self::All);
        }
        if !subscription.is_tag() {
            return Err(UnknownExpression(subscription.expression_type.clone()));
        }
        Ok(Tags::new(subscription).map_or(Self::All, Self::Tags))
    }

    /// Java's answer to expressions other than tags while `enablePropertyFilter` is off.
    pub fn switched_off(expression_type: &str) -> Rejection {
        Rejection::system(UnknownExpression(expression_type.to_owned()).to_string())
    }

    /// May a message with this code in the ConsumeQueue be wanted?
    pub fn matches_code(&self, tags_code: i64) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => tags.matches(tags_code),
        }
    }
}
