//! What becomes of times that pass while the server is down, and of a clock that is set.

use semel_client::v1::{MisfireRule, OverlapRule};
use semel_core::id::Millis;

use super::*;

async fn down_for(misfire: MisfireRule, secs: i64) -> (PayByClient, ManualClock) {
    let trigger = v1::TriggerSpec {
        misfire: misfire.into(),
        overlap: overlap(OverlapRule::Parallel, 100),
        catch_up: seconds(25),
        ..every(10)
    };
    let (mut pay, clock) = triggered(trigger).await;
    pass(&pay, &clock, 10_000).await;
    assert_eq!(scheduled(&pay).await, [10]);
    clock.advance(Millis::from_secs(secs));
    pay.server.restart().await;
    pay.client = pay.server.client("pay", &pay.secret).await;
    pay.tick().await;
    (pay, clock)
}

#[tokio::test]
async fn the_last_of_what_was_missed_fires_and_the_others_are_counted() {
    let (pay, clock) = down_for(MisfireRule::FireOnce, 48).await;
    assert_eq!(scheduled(&pay).await, [10, 50]);
    assert_eq!((counters(&pay).await.fired, counters(&pay).await.missed), (2, 3));
    assert_eq!(counters(&pay).await.late_last, seconds(8));
    pass(&pay, &clock, 2000).await;
    assert_eq!(scheduled(&pay).await, [10, 50, 60], "and it goes on as before");
}

#[tokio::test]
async fn none_of_what_was_missed_fires() {
    let (pay, clock) = down_for(MisfireRule::Skip, 48).await;
    assert_eq!((scheduled(&pay).await, counters(&pay).await.missed), (vec![10], 4));
    pass(&pay, &clock, 2000).await;
    assert_eq!(scheduled(&pay).await, [10, 60]);
}

#[tokio::test]
async fn all_of_what_was_missed_fires_within_the_catch_up_window() {
    let (pay, _clock) = down_for(MisfireRule::FireAll, 48).await;
    assert_eq!((scheduled(&pay).await, counters(&pay).await.missed), (vec![10, 40, 50], 2));
}

#[tokio::test]
async fn restarts_neither_lose_nor_double_a_fire() {
    let parallel = v1::TriggerSpec { overlap: overlap(OverlapRule::Parallel, 100), ..every(1) };
    let (mut pay, clock) = triggered(parallel).await;
    for _ in 0..6 {
        clock.advance(Millis(500));
        pay.server.restart().await;
        pay.client = pay.server.client("pay", &pay.secret).await;
        pay.tick().await;
    }
    assert_eq!(scheduled(&pay).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_long_outage_of_a_fast_rate_stalls_nobody_and_is_counted_to_the_last() {
    let period = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
    let fast = v1::TriggerSpec { when: Some(When::Rate(v1::FixedRate { period })), catch_up: seconds(10), ..every(1) };
    let (pay, clock) = triggered(fast).await;
    let day = 24 * 3600;
    pass(&pay, &clock, day * 1000).await;
    for _ in 0..1000 {
        let next = trigger(&pay).await.next_fire_times[0];
        let counted = counters(&pay).await;
        if counted.missed + counted.fired + counted.skipped_overlap == day * 10 {
            assert_eq!(counted.fired, 1);
            assert!(next.seconds > 0);
            return;
        }
        pay.tick().await;
    }
    panic!("it does not come to an end: {:?}", counters(&pay).await);
}
