//! Snapshots, and what becomes of a watch whose events are no longer kept.

use crate::*;

async fn snapshot_end(post: &Post, token: &str, revision: i64) {
    post.say(token, Kind::SnapshotEnd(WatchSnapshotEnd { revision })).await;
}

fn begins(item: &Item, expected: SnapshotCause) {
    assert!(matches!(item.told, Told::SnapshotBegin(cause) if cause == expected), "{:?}", item.told);
    assert!(item.resume_token().is_none());
}

async fn run(watch: &mut Watch) -> String {
    match next(watch).await.told {
        Told::Run(run) => run.run_id,
        other => panic!("a run was to come, not {other:?}"),
    }
}

#[tokio::test]
async fn a_snapshot_that_is_interrupted_half_way_is_told_again_as_a_whole() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new().snapshot(SnapshotScope::All));
    let post = tower.open("").await;
    assert_eq!(post.request.snapshot(), SnapshotScope::All);
    opened(&mut watch).await;
    begins(&next(&mut watch).await, SnapshotCause::Asked);
    post.rows(&["a", "b"]).await;
    assert_eq!((run(&mut watch).await, run(&mut watch).await), ("a".to_owned(), "b".to_owned()));
    post.fail(Status::unavailable("")).await;
    lost(&mut watch).await;

    let post = tower.open("").await;
    assert_eq!((post.request.snapshot(), post.start()), (SnapshotScope::All, None));
    opened(&mut watch).await;
    begins(&next(&mut watch).await, SnapshotCause::BrokenOff);
    post.rows(&["b"]).await;
    snapshot_end(&post, "A", 8).await;
    assert_eq!(run(&mut watch).await, "b");
    let item = next(&mut watch).await;
    assert!(matches!(item.told, Told::SnapshotEnd { revision: 8 }) && text(&item) == "A");
    post.fail(Status::unavailable("")).await;
    lost(&mut watch).await;
    let post = tower.open("A").await;
    assert_eq!((post.request.snapshot(), post.start()), (SnapshotScope::Unspecified, token("A")));
}

fn compacted() -> Refuse {
    Refuse::new(Code::OutOfRange, "RESUME_COMPACTED").adding("oldest_revision", "40")
}

#[tokio::test]
async fn events_that_are_no_longer_kept_are_an_error_that_names_the_oldest_one() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new().start_at(7));
    let post = tower.accept().await;
    assert_eq!(post.start(), Some(Start::FromRevision(7)));
    post.refuse(compacted()).await;
    let error = end(&mut watch).await;
    assert_eq!((error.reason(), error.oldest_revision()), (Some("RESUME_COMPACTED"), Some(40)));
}

#[tokio::test]
async fn a_gap_is_bridged_by_a_snapshot_where_that_is_wished_and_the_program_is_told() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new().bridge_gaps(SnapshotScope::All));
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.events("B", &[6]).await;
    revisions(&mut watch, 1).await;
    post.refuse(compacted()).await;

    let post = tower.open("").await;
    assert_eq!((post.request.snapshot(), post.start()), (SnapshotScope::All, None));
    begins(&next(&mut watch).await, SnapshotCause::Gap { oldest_revision: Some(40) });
    post.rows(&["a"]).await;
    snapshot_end(&post, "C", 50).await;
    post.events("D", &[51]).await;
    assert_eq!(run(&mut watch).await, "a");
    assert!(matches!(next(&mut watch).await.told, Told::SnapshotEnd { revision: 50 }));
    assert_eq!(revisions(&mut watch, 1).await, [51]);
}

#[tokio::test]
async fn a_store_that_was_restored_meanwhile_is_a_gap_as_well() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new().bridge_gaps(SnapshotScope::Live));
    let post = tower.open("A").await;
    opened(&mut watch).await;
    post.events("B", &[60]).await;
    revisions(&mut watch, 1).await;
    let other_log = Refuse::new(Code::InvalidArgument, "INVALID").violation("resume_token", "is of another store");
    post.refuse(other_log).await;
    let post = tower.open("").await;
    begins(&next(&mut watch).await, SnapshotCause::Gap { oldest_revision: None });
    snapshot_end(&post, "C", 50).await;
    next(&mut watch).await;
    post.events("D", &[51]).await;
    assert_eq!(revisions(&mut watch, 1).await, [51], "revisions of another log count anew");
}
