//! What an attempt says while it runs: its log, in order and bounded, and its progress, which is volatile.

use semel_client::v1::{self, LogStream, work_request::Kind};

use crate::e2e::{
    crew::PayByClient,
    harness::{in_time, job, spec},
    raw_worker::{RawWorker, failed_plainly, hello_again, log, refers_to, succeeded},
    wire::{fresh, seconds},
};

fn piece(work: &v1::Assignment, stream: LogStream, data: impl Into<bytes::Bytes>) -> v1::Log {
    v1::Log { stream: stream.into(), ..log(work, data) }
}

async fn write(worker: &mut RawWorker, work: &v1::Assignment, stream: LogStream, data: impl Into<bytes::Bytes>) {
    worker.report(piece(work, stream, data)).await;
}

async fn page(pay: &PayByClient, run_id: &str, page_token: &str, size: i32, wait: i64) -> v1::GetRunLogsResponse {
    let page = Some(v1::PageRequest { page_size: size, page_token: page_token.to_owned() });
    let request = v1::GetRunLogsRequest { run_id: run_id.to_owned(), page, wait: seconds(wait), ..Default::default() };
    in_time(pay.client.get_run_logs(request)).await.expect("the log is there")
}

fn texts(answer: &v1::GetRunLogsResponse) -> Vec<&str> {
    answer.chunks.iter().map(|chunk| std::str::from_utf8(&chunk.data).expect("text")).collect()
}

fn next(answer: &v1::GetRunLogsResponse) -> String {
    answer.page.as_ref().map(|page| page.next_page_token.clone()).unwrap_or_default()
}

async fn held(pay: &PayByClient, definition: v1::JobSpec) -> (RawWorker, v1::Assignment) {
    job(&pay.client, "settle", definition).await;
    let mut worker = pay.worker("p", 1).await;
    pay.submit("settle").await;
    let work = worker.assignment().await;
    (worker, work)
}

#[tokio::test]
async fn a_log_keeps_its_order_over_pages_and_attempts() {
    let pay = PayByClient::start().await;
    let retry = v1::RetryPolicy { max_attempts: 2, initial_backoff: seconds(0), ..Default::default() };
    let (mut worker, work) = held(&pay, v1::JobSpec { retry: Some(retry), ..spec("p") }).await;
    for number in 0..5 {
        let stream = if number % 2 == 0 { LogStream::Stdout } else { LogStream::Stderr };
        write(&mut worker, &work, stream, format!("{number}")).await;
    }
    worker.report(failed_plainly(&work)).await;
    let second = worker.assignment().await;
    write(&mut worker, &second, LogStream::Stdout, "again").await;

    let first = page(&pay, &work.run_id, "", 4, 0).await;
    assert_eq!((texts(&first), first.complete), (vec!["0", "1", "2", "3"], false));
    let streams: Vec<_> = first.chunks.iter().map(v1::LogChunk::stream).collect();
    assert_eq!(streams, [LogStream::Stdout, LogStream::Stderr, LogStream::Stdout, LogStream::Stderr]);
    let rest = page(&pay, &work.run_id, &next(&first), 4, 0).await;
    assert_eq!((texts(&rest), rest.complete), (vec!["4", "again"], false));
    assert_eq!(rest.chunks.iter().map(|chunk| chunk.attempt).collect::<Vec<_>>(), [1, 2]);

    // At the present end there is a place to go on from; it stays good after the end of the run.
    let nothing = page(&pay, &work.run_id, &next(&rest), 4, 0).await;
    assert!(nothing.chunks.is_empty() && !nothing.complete && !next(&nothing).is_empty());
    write(&mut worker, &second, LogStream::Stdout, "last").await;
    worker.report(succeeded(&second, "")).await;
    let last = page(&pay, &work.run_id, &next(&nothing), 4, 0).await;
    assert_eq!((texts(&last), last.complete, next(&last).as_str()), (vec!["last"], true, ""));
}

#[tokio::test]
async fn a_log_can_be_followed_to_its_end() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay, spec("p")).await;
    let follow = async {
        let (mut seen, mut token) = (String::new(), String::new());
        loop {
            let answer = page(&pay, &work.run_id, &token, 0, 30).await;
            seen.extend(texts(&answer));
            if answer.complete {
                return seen;
            }
            token = next(&answer);
        }
    };
    let write = async {
        for line in ["one\n", "two\n", "three\n"] {
            write(&mut worker, &work, LogStream::Stdout, line).await;
        }
        worker.report(succeeded(&work, "")).await;
    };
    let (seen, ()) = tokio::join!(follow, write);
    assert_eq!(seen, "one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_the_next_line_and_by_the_end() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay, spec("p")).await;
    let reader = tokio::spawn({
        let (client, run_id) = (pay.client.clone(), work.run_id.clone());
        async move {
            let request = v1::GetRunLogsRequest { run_id, wait: seconds(60), ..Default::default() };
            client.get_run_logs(request).await.expect("the log is there")
        }
    });
    write(&mut worker, &work, LogStream::Stdout, "line").await;
    let answer = in_time(reader).await.expect("no panic");
    assert_eq!((texts(&answer), answer.complete), (vec!["line"], false));

    let token = next(&answer);
    let (end, _) = tokio::join!(page(&pay, &work.run_id, &token, 0, 60), worker.report(succeeded(&work, "")));
    assert!(end.chunks.is_empty() && end.complete);
}

#[tokio::test]
async fn a_log_over_its_bound_is_cut_and_says_so() {
    let pay = PayByClient::with(|settings| settings.engine.limits.log_bytes_max = 1000).await;
    let (mut worker, work) = held(&pay, spec("p")).await;
    for _ in 0..9 {
        write(&mut worker, &work, LogStream::Stdout, vec![b'x'; 100]).await;
    }
    for _ in 0..3 {
        write(&mut worker, &work, LogStream::Stdout, vec![b'y'; 200]).await;
    }
    worker.report(succeeded(&work, "")).await;
    let whole = page(&pay, &work.run_id, "", 0, 0).await;
    assert!(whole.complete);
    let (notice, kept) = whole.chunks.split_last().expect("pieces");
    assert_eq!(kept.iter().map(|chunk| chunk.data.len()).sum::<usize>(), 900);
    assert!(kept.iter().all(|chunk| chunk.data.iter().all(|byte| *byte == b'x')));
    assert_eq!(notice.stream(), LogStream::System);
    assert!(String::from_utf8_lossy(&notice.data).contains("log cut"), "{notice:?}");
}

#[tokio::test]
async fn a_piece_of_a_log_is_a_mutation_like_any_other() {
    let pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay, spec("p")).await;
    let id = fresh();
    for disposition in [v1::Disposition::Executed, v1::Disposition::Replayed] {
        let header = worker.submit(&id, piece(&work, LogStream::Stdout, "once")).await.expect("taken");
        assert_eq!(header.disposition(), disposition);
    }
    let refused = worker.submit(&id, piece(&work, LogStream::Stdout, "twice")).await.expect_err("refused");
    assert_eq!(refused.reason, "REQUEST_ID_REUSED");
    let refused = worker.submit("", piece(&work, LogStream::Stdout, "x")).await.expect_err("refused");
    assert_eq!(refused.reason, "REQUEST_ID_MISSING");
    let refused =
        worker.submit(&fresh(), piece(&work, LogStream::Stdout, vec![0; (64 << 10) + 1])).await.expect_err("refused");
    assert_eq!(refused.reason, "INVALID");
    let refused = worker.submit(&fresh(), piece(&work, LogStream::Unspecified, "x")).await.expect_err("refused");
    assert_eq!(refused.reason, "INVALID");
    let stale = v1::Assignment { attempt: 2, ..work.clone() };
    let refused = worker.submit(&fresh(), piece(&stale, LogStream::Stdout, "x")).await.expect_err("refused");
    assert_eq!(refused.reason, "LEASE_STALE");
    assert_eq!(pay.log(&work.run_id).await, "once");
}

#[tokio::test]
async fn progress_is_seen_while_the_attempt_runs_and_forgotten_with_the_server() {
    let mut pay = PayByClient::start().await;
    let (mut worker, work) = held(&pay, spec("p")).await;
    assert!(pay.run(&work.run_id).await.progress.is_none());
    let progress = |attempt, fraction: f64, message: &str| {
        let (run_id, message) = (work.run_id.clone(), message.to_owned());
        Kind::Progress(v1::AttemptProgress { run_id, attempt, fraction, message })
    };
    worker.say(progress(1, 0.25, "a quarter")).await;
    worker.say(progress(1, 0.5, "half")).await;
    worker.say(progress(2, 0.9, "of another attempt")).await;
    worker.beat().await;
    let shown = pay.run(&work.run_id).await.progress.expect("progress");
    assert_eq!((shown.fraction, shown.message.as_str()), (0.5, "half"));
    assert!(shown.update_time.is_some());
    worker.say(progress(1, f64::NAN, &"x".repeat(300))).await;
    worker.beat().await;
    let shown = pay.run(&work.run_id).await.progress.expect("progress");
    assert_eq!((shown.fraction, shown.message.len()), (0.0, 255));
    let mut stranger = pay.worker("q", 1).await;
    stranger.say(progress(1, 1.0, "of a stranger")).await;
    stranger.beat().await;
    assert_eq!(pay.run(&work.run_id).await.progress.expect("progress").message.len(), 255);

    pay.server.restart().await;
    pay.client = pay.server.client("pay", &pay.secret).await;
    let run = pay.run(&work.run_id).await;
    assert_eq!((run.state(), run.progress), (v1::RunState::Running, None));
    let mut back =
        pay.worker_again(v1::Hello { held: vec![refers_to(&work)], ..hello_again(&worker.id, "p", 1) }).await;
    assert!(back.opened.stale.is_empty());
    back.report(succeeded(&work, "")).await;
    assert!(pay.run(&work.run_id).await.progress.is_none());
}
