//! Which of a topic's queues a member of a group gets.

use rmq_proto::body::MessageQueue;

/// Java's `AllocateMessageQueueAveragely` (AVG): contiguous blocks of equal length, where the first members
/// get one more if the division leaves a rest. Both lists must be sorted: all members must see the same ones.
/// A member that is not in the list gets nothing.
pub fn averagely(queues: &[MessageQueue], members: &[String], me: &str) -> Vec<MessageQueue> {
    let Some(index) = members.iter().position(|member| member == me) else {
        return Vec::new();
    };
    let (share, rest) = (queues.len() / members.len(), queues.len() % members.len());
    let start = index * share + index.min(rest);
    let len = share + usize::from(index < rest);
    queues[start..start + len].to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queues(count: usize) -> Vec<MessageQueue> {
        (0..count).map(|id| MessageQueue::new("T", "b", id as i32)).collect()
    }

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("c{n:02}")).collect()
    }

    fn shares(queue_count: usize, member_count: usize) -> Vec<Vec<i32>> {
        let (queues, members) = (queues(queue_count), members(member_count));
        let share = |me| averagely(&queues, &members, me).iter().map(|queue| queue.queue_id).collect();
        members.iter().map(|me| share(me)).collect()
    }

    /// What Java's class answers for the same queues and members.
    #[test]
    fn shares_are_those_of_java() {
        assert_eq!(shares(4, 1), [vec![0, 1, 2, 3]]);
        assert_eq!(shares(4, 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(shares(8, 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(shares(7, 3), [vec![0, 1, 2], vec![3, 4], vec![5, 6]]);
        assert_eq!(shares(2, 3), [vec![0], vec![1], vec![]]);
        assert_eq!(shares(0, 2), [Vec::<i32>::new(), vec![]]);
    }

    #[test]
    fn a_stranger_gets_nothing() {
        assert!(averagely(&queues(4), &members(2), "stranger").is_empty());
        assert!(averagely(&queues(4), &[], "c00").is_empty());
    }

    proptest! {
        #[test]
        fn every_queue_has_exactly_one_owner(queue_count in 0usize..50, member_count in 1usize..20) {
            let all: Vec<i32> = shares(queue_count, member_count).concat();
            prop_assert_eq!(all, (0..queue_count as i32).collect::<Vec<_>>());
        }
    }
}
