//! Many waits for runs: they share one watch, which only says when to ask.

use crate::*;

/// More waits than go each by a call of its own.
const MANY: usize = 20;

/// Begins to wait for so many runs, none of which has ended when it is asked for first.
fn waits(client: &Client) -> Vec<tokio::task::JoinHandle<Result<semel_client::v1::Run, Error>>> {
    let wait = |number: usize| {
        let client = client.clone();
        tokio::spawn(async move { client.wait_until_finished("pay", format!("run-{number}")).await })
    };
    (0..MANY).map(wait).collect()
}

/// How often `WaitRun` was called.
fn asked(tower: &Tower) -> usize {
    tower.tokens.seen().len()
}

async fn all_end(waits: Vec<tokio::task::JoinHandle<Result<semel_client::v1::Run, Error>>>) {
    for (number, wait) in waits.into_iter().enumerate() {
        let run = soon("the end of a wait", wait).await.unwrap().unwrap();
        assert_eq!(run.run_id, format!("run-{number}"));
    }
}

#[tokio::test]
async fn many_share_one_watch_and_each_asks_for_its_run_when_it_has_ended() {
    let tower = Tower::start().await;
    tower.tokens.finish_after(usize::MAX);
    let waits = waits(&client(&tower));
    let post = tower.open("A").await;
    assert!(post.request.terminal_only && post.request.app == "pay");
    until("all to be sure that theirs has not ended", || asked(&tower) >= 2 * MANY - 8).await;
    let before = asked(&tower);
    tower.tokens.finish_after(0);
    let revisions: Vec<i64> = (0..i64::try_from(MANY).unwrap()).collect();
    post.events("B", &revisions).await;
    all_end(waits).await;
    assert!(asked(&tower) <= before + MANY, "{} calls", asked(&tower) - before);
}

#[tokio::test]
async fn a_watch_that_is_refused_leaves_each_to_its_own_calls() {
    for refuse in
        [Refuse::new(Code::PermissionDenied, "FORBIDDEN"), Refuse::new(Code::ResourceExhausted, "QUOTA_EXCEEDED")]
    {
        let tower = Tower::start().await;
        tower.tokens.finish_after(500);
        let waits = waits(&client(&tower));
        tower.accept().await.refuse(refuse).await;
        all_end(waits).await;
    }
}

#[tokio::test]
async fn a_watch_that_is_lost_for_long_is_waited_for_by_nobody() {
    let tower = Tower::start().await;
    tower.tokens.finish_after(usize::MAX);
    let waits = waits(&client(&tower));
    let post = tower.open("A").await;
    until("all to be sure", || asked(&tower) >= 2 * MANY - 8).await;
    post.fail(Status::unavailable("")).await;
    tower.tokens.finish_after(0);
    // The stream is asked for again and never opens.
    let _unopened = tower.accept().await;
    all_end(waits).await;
}
