//! A program that is slower than what happens: it loses nothing, holds up nobody, and its memory stays bounded.

use crate::*;

/// As many bytes as a watch keeps ready in these tests.
const BUFFER: usize = 16 * 1024;

#[tokio::test]
async fn the_stream_is_let_go_of_while_the_buffer_is_full_and_goes_on_from_its_token() {
    let tower = Tower::start().await;
    let mut watch = client(&tower).watch(WatchOptions::new().buffer_bytes(BUFFER));
    let mut post = tower.open("A").await;
    let mut told = 0_i64;
    let mut streams = 0;
    while told < 2000 {
        // Sends until the client has let go.
        let first = told;
        let mut sent = told;
        while post.events(&format!("A{}", sent + 1), &[sent + 1]).await {
            sent += 1;
        }
        let before_next = told;
        // What was sent and not read comes again on the next stream: only the token counts.
        let resumed = loop {
            let item = next(&mut watch).await;
            if let Some(event) = item.event() {
                told += 1;
                assert_eq!(event.revision, told, "in order, none twice, none left out");
            }
            if told - before_next > 40 {
                break tower.accept().await;
            }
        };
        assert!(told - first < 200, "the buffer is bounded: {} lay ready", told - first);
        let Some(Start::ResumeToken(token)) = resumed.start() else { panic!("{:?}", resumed.start()) };
        let from: i64 = token.trim_start_matches('A').parse().unwrap();
        resumed.say(&token, Kind::Opened(WatchOpened { revision: from, ..WatchOpened::default() })).await;
        for revision in from + 1..=from + 20 {
            resumed.events(&format!("A{revision}"), &[revision]).await;
        }
        post = resumed;
        streams += 1;
        let mut upto = told;
        while upto < from + 20 {
            upto = revisions(&mut watch, 1).await[0];
            told += 1;
            assert_eq!(upto, told);
        }
    }
    assert!(streams > 1, "{streams}");
}

#[tokio::test]
async fn in_the_middle_of_a_snapshot_the_stream_is_held() {
    let tower = Tower::start().await;
    let options = WatchOptions::new().snapshot(SnapshotScope::All).buffer_bytes(BUFFER);
    let mut watch = client(&tower).watch(options);
    let post = tower.open("").await;
    let count = 3000;
    let sender = tokio::spawn(async move {
        for number in 0..count {
            assert!(post.rows(&[&format!("run-{number}")]).await, "nobody lets go of a snapshot");
        }
        post.say("A", Kind::SnapshotEnd(WatchSnapshotEnd { revision: 8 })).await;
        post
    });
    opened(&mut watch).await;
    next(&mut watch).await;
    for number in 0..count {
        let Told::Run(run) = next(&mut watch).await.told else { panic!("a run was to come") };
        assert_eq!(run.run_id, format!("run-{number}"));
    }
    assert!(matches!(next(&mut watch).await.told, Told::SnapshotEnd { .. }));
    drop(sender.await.unwrap());
}
