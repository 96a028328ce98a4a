use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    Send { queue: i32, len: usize },
    Batch { queue: i32, count: usize },
    Checkpoint,
    Close,
    Crash,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..4, 0..900usize).prop_map(|(queue, len)| Act::Send { queue, len }),
        3 => (0..4, 1..6usize).prop_map(|(queue, count)| Act::Batch { queue, count }),
        1 => Just(Act::Checkpoint),
        1 => Just(Act::Close),
        1 => Just(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever happens, each queue holds exactly what was appended to it, in order.
    #[test]
    fn a_store_is_a_map_of_lists(acts in prop::collection::vec(any_act(), 1..60)) {
        let lab = Lab::new();
        let mut store = lab.open();
        let mut model: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (step, act) in acts.into_iter().enumerate() {
            lab.tick(1);
            match act {
                Act::Send { queue, len } => {
                    let list = model.entry(queue).or_default();
                    let body = format!("{step}{}", "x".repeat(len));
                    let appended = send(&store, "T", queue, &body);
                    prop_assert_eq!(appended.queue_offset, list.len() as i64);
                    list.push(body);
                }
                Act::Batch { queue, count } => {
                    let list = model.entry(queue).or_default();
                    let bodies: Vec<_> = (0..count).map(|n| format!("{step}-{n}")).collect();
                    let records = bodies.iter().map(|body| new_record("T", queue, body, &[])).collect();
                    let appended = store.append_batch(records).unwrap();
                    prop_assert_eq!(appended[0].queue_offset, list.len() as i64);
                    list.extend(bodies);
                }
                Act::Checkpoint => {
                    store.core_for_tests().save_checkpoint().unwrap();
                }
                Act::Close => {
                    store.close();
                    drop(store);
                    store = lab.open();
                }
                Act::Crash => {
                    drop(store);
                    store = lab.open();
                }
            }
        }
        for (queue, expected) in &model {
            prop_assert_eq!(&bodies(&store, "T", *queue), expected);
            prop_assert_eq!(store.queue_range("T", *queue), (0, expected.len() as i64));
        }
    }
}
