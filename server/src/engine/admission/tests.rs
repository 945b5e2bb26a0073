//! Who is let in, who is refused first, and what the refused are told.

use super::*;

const SMALL: Bounds = Bounds { queue_max: 8, queue_bytes_max: 1000, wait_max: Duration::from_secs(1) };

fn wishes(count: usize) -> Amount {
    Amount::new(count, 0)
}

fn wait(refused: Result<(), Refused>) -> i64 {
    match refused {
        Err(Refused::Overloaded { retry_after }) => retry_after.0,
        other => panic!("not refused for overload: {other:?}"),
    }
}

#[test]
fn lists_and_looks_are_refused_before_wishes_are() {
    let admission = Admission::new(SMALL);
    admission.wish(wishes(3)).expect("there is room");
    admission.look().expect("half is free");
    admission.wish(wishes(1)).expect("there is room");
    wait(admission.look());
    wait(admission.list());
    admission.wish(wishes(4)).expect("there is room");
    wait(admission.wish(wishes(1)));
    let load = admission.load();
    assert_eq!((load.waiting, load.looks, load.refused_wishes, load.refused_looks), (8, 1, 1, 2));

    admission.taken(wishes(8));
    admission.looked(1);
    admission.look().expect("all is free again");
    admission.wish(wishes(1)).expect("all is free again");
}

#[test]
fn bytes_count_until_they_are_committed() {
    let admission = Admission::new(SMALL);
    let large = Amount::new(1, 600);
    admission.wish(large).expect("there is room");
    wait(admission.list());
    admission.wish(large).expect("one may come in over the bound");
    wait(admission.wish(wishes(1)));
    let mut both = large;
    both.add(large);
    admission.taken(both);
    assert_eq!((admission.load().waiting, admission.load().waiting_bytes), (0, 1200));
    wait(admission.wish(wishes(1)));
    admission.done(both);
    assert_eq!(admission.load().waiting_bytes, 0);
    admission.wish(wishes(1)).expect("there is room");
}

#[test]
fn what_comes_together_is_let_in_together() {
    let admission = Admission::new(SMALL);
    admission.wish(wishes(7)).expect("there is room");
    admission.wish(wishes(256)).expect("there is room for one");
    wait(admission.wish(wishes(1)));
    admission.taken(wishes(263));
    assert_eq!(admission.load().waiting, 0);
}

#[test]
fn looks_have_a_bound_of_their_own() {
    let admission = Admission::new(Bounds::default());
    (0..LOOKS_MAX).for_each(|_| admission.look().expect("there is room"));
    wait(admission.look());
    admission.wish(wishes(1)).expect("looks take no room from wishes");
    assert_eq!(admission.load().looks, LOOKS_MAX);
}

#[test]
fn the_wait_that_is_told_grows_with_the_load_and_differs() {
    let admission = Admission::new(Bounds { queue_max: 1, ..SMALL });
    let mut pace = Pace::default();
    // A hundred a second.
    pace.turned(&admission, 10, Duration::from_millis(100), Duration::ZERO);
    admission.wish(wishes(1)).expect("there is room");
    let waits: Vec<i64> = (0..2000).map(|_| wait(admission.wish(wishes(1)))).collect();
    for (refused, told) in waits.iter().enumerate() {
        let least = ((refused as i64 + 1) * 10).clamp(100, 10_000);
        assert!((least..=least * 3 / 2).contains(told), "{told} ms after {refused} refusals, at least {least}");
    }
    let distinct: std::collections::BTreeSet<i64> = waits.iter().copied().collect();
    assert!(distinct.len() > 500, "they are spread: {}", distinct.len());

    // Who was refused has had time to come again: the next one need not wait for them.
    pace.turned(&admission, 0, Duration::ZERO, Duration::from_secs(10));
    assert!(wait(admission.wish(wishes(1))) <= 150);
}

#[test]
fn what_would_wait_too_long_is_refused_at_once() {
    let bounds = Bounds::default();
    let (admission, mut pace) = (Admission::new(bounds), Pace::default());
    assert_eq!(admission.load().room, bounds.queue_max);
    let turn = |pace: &mut Pace, millis| {
        for _ in 0..100 {
            pace.turned(&admission, 1, Duration::from_millis(millis), Duration::ZERO);
        }
        admission.load().room
    };
    assert_eq!(turn(&mut pace, 1), bounds.queue_max, "a thousand turns in a second");
    let room = turn(&mut pace, 250);
    assert!((4 * ROOM_MIN..=5 * ROOM_MIN).contains(&room), "four turns in a second, and not {room}");
    assert_eq!(turn(&mut pace, 5000), ROOM_MIN, "what fits into one commit may always wait");
    assert_eq!(turn(&mut pace, 1), bounds.queue_max, "and it comes back");
}

#[test]
fn one_slow_turn_is_no_pace() {
    let (admission, mut pace) = (Admission::new(Bounds::default()), Pace::default());
    (0..10).for_each(|_| pace.turned(&admission, 100, Duration::from_millis(2), Duration::ZERO));
    pace.turned(&admission, 100, Duration::from_millis(400), Duration::ZERO);
    assert_eq!(admission.load().room, 8192);
}
