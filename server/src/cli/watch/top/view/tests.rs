//! What stands on the screen, as text.

use semel_client::watch::{SnapshotCause, Told};
use semel_proto::v1::{Worker, WorkerState};

use super::*;
use crate::cli::watch::top::board::tests::{at, step};

/// A board with a run in each group.
fn board() -> Board {
    let mut board = Board::default();
    board.hear(Told::SnapshotBegin(SnapshotCause::Asked));
    let worker =
        Worker { worker_id: "w".to_owned(), state: WorkerState::Connected.into(), slots: 8, ..Worker::default() };
    board.hear(Told::Worker(Box::new(worker)));
    board.hear(Told::SnapshotEnd { revision: 7 });
    for run_id in ["01980000-0000-7000-8000-00000000000a", "01980000-0000-7000-8000-00000000000b"] {
        step(&mut board, run_id, RunState::Unspecified, RunState::Queued, 100);
        step(&mut board, run_id, RunState::Queued, RunState::Running, 101);
    }
    step(&mut board, "01980000-0000-7000-8000-00000000000c", RunState::Unspecified, RunState::Queued, 102);
    step(&mut board, "01980000-0000-7000-8000-00000000000b", RunState::Running, RunState::Failed, 106);
    board.ended[0].reason = "exit code 3".to_owned();
    board
}

fn shown(board: &Board, width: usize, height: usize) -> Vec<String> {
    let scene = Scene { board, title: "pay", now: at(165), width, height };
    let text = |line: &Line| line.0.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end().to_owned();
    lines(&scene).iter().map(text).collect()
}

#[test]
fn the_screen_says_how_things_stand() {
    let expected = [
        "semel  pay  revision 7  live",
        "running 1  cancelling 0  retrying 0  queued 1  scheduled 0  workers 1  slots 8",
        "succeeded 0  failed 1  cancelled 0  expired 0  since this began",
        "0.0/s made  0.0/s started  0.0/s ended, over the last 10 s",
        "",
        "STATE       RUN           JOB                  TRY   AGE     FOR     WORKER          REASON",
        "RUNNING     00000000000a  pay/settle           #1    1m05s   1m04s   host-1",
        "FAILED      00000000000b  pay/settle           #1    1m05s   5.0s    host-1          exit code 3",
        "QUEUED      00000000000c  pay/settle                 1m05s",
        "",
        "q ends this",
    ];
    assert_eq!(shown(&board(), 110, 11), expected);
}

#[test]
fn a_wide_terminal_shows_whole_ids() {
    let lines = shown(&board(), 160, 11);
    assert!(lines[6].contains("01980000-0000-7000-8000-00000000000a"), "{lines:#?}");
}

#[test]
fn nothing_is_wider_or_higher_than_the_terminal() {
    let mut board = board();
    for row in board.active.values_mut() {
        row.worker = "ホスト".repeat(20);
        row.reason = "a long story ".repeat(30);
    }
    for (width, height) in [(0, 0), (1, 1), (20, 3), (80, 7), (80, 24), (300, 100)] {
        let scene = Scene { board: &board, title: "pay", now: at(165), width, height };
        let lines = lines(&scene);
        assert_eq!(lines.len(), height.max(1), "{width} x {height}");
        for line in lines {
            let used: usize = line.0.iter().map(|(text, _)| text.width()).sum();
            assert!(used <= width, "{width} x {height}: {line:?}");
        }
    }
}

#[test]
fn what_runs_comes_first_and_the_rest_is_never_pushed_out() {
    let mut board = Board::default();
    for number in 0..50 {
        step(&mut board, &format!("a{number:02}"), RunState::Unspecified, RunState::Running, 100);
        step(&mut board, &format!("b{number:02}"), RunState::Unspecified, RunState::Queued, 100);
        step(&mut board, &format!("c{number:02}"), RunState::Running, RunState::Succeeded, 100);
    }
    assert_eq!(shares(30, &board), (14, 10, 6));
    assert_eq!(shares(0, &board), (0, 0, 0));
    board.active.clear();
    assert_eq!(shares(30, &board), (0, 24, 6));
    board.ended.clear();
    assert_eq!(shares(30, &board), (0, 0, 30));
    assert!(shown(&board, 100, 20).last().is_some_and(|foot| foot.contains("more that have not ended")));
}

#[test]
fn a_server_that_is_away_is_seen() {
    let mut board = board();
    board.link = Link::Lost("connection\nrefused".to_owned());
    assert!(shown(&board, 100, 10)[0].ends_with("the server is away, trying again: connection refused"));
}

#[test]
fn spans_are_short() {
    let between = |seconds| span(Some(at(0)), Some(at(seconds)));
    let spans = [between(0), between(59), between(61), between(3_700), between(90_000)];
    assert_eq!(spans, ["0.0s", "59s", "1m01s", "1h01m", "1d01h"]);
    assert_eq!(span(Some(at(5)), Some(at(3))), "0.0s", "clocks differ");
    assert_eq!(span(None, Some(at(3))), "");
}
