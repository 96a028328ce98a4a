//! Filtering by tag.

use rmq_proto::body::SubscriptionData;

/// The hashes of the wanted tags. Two tags may share a hash, so the consumer looks at the tag again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags(Vec<i32>);

impl Tags {
    /// The tags of a subscription; `None` if it wants everything.
    pub fn new(subscription: &SubscriptionData) -> Option<Self> {
        (!subscription.is_all()).then(|| Self(subscription.code_set.iter().copied().collect()))
    }

    /// Is a message wanted that has this code in the ConsumeQueue? Java looks at the low 32 bits only.
    pub fn matches(&self, tags_code: i64) -> bool {
        self.0.contains(&(tags_code as i32))
    }
}

#[cfg(test)]
mod tests {
    use rmq_proto::message::hash::tags_code;

    use super::*;

    fn tags(expression: &str) -> Option<Tags> {
        Tags::new(&SubscriptionData::tags("t", expression, 0).unwrap())
    }

    #[test]
    fn a_star_wants_everything() {
        assert_eq!(tags("*"), None);
        assert_eq!(tags(""), None);
    }

    #[test]
    fn any_of_the_tags_matches() {
        let tags = tags("A || B").unwrap();
        assert!(tags.matches(tags_code("A")));
        assert!(tags.matches(tags_code("B")));
        assert!(!tags.matches(tags_code("C")));
        assert!(!tags.matches(0));
        // Only the low half counts.
        assert!(tags.matches(tags_code("A") | 7 << 32));
    }
}
