//! What an attempt says while it works: its log and its progress.

use crate::*;

#[tokio::test]
async fn the_log_comes_in_order_and_whole_before_the_report_whatever_is_refused_or_lost() {
    const BYTES: usize = 700 * 1024;
    let desk = Desk::start().await;
    let source: Arc<Vec<u8>> = Arc::new((0..BYTES).map(|index| (index % 251) as u8).collect());
    let data = source.clone();
    let worker = start(builder(&desk).processor("writer", move |cx: Context| {
        let data = data.clone();
        async move {
            for piece in data.chunks(5_000) {
                cx.log(LogStream::Stdout, piece).await;
            }
            Ok(payload("done"))
        }
    }));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "writer").await;
    let mut got = Vec::new();
    let mut count = 0;
    let (report_id, outcome) = loop {
        let (id, kind) = session.next().await.unwrap();
        let log = match kind {
            Up::Log(log) => log,
            Up::Report(report) => break (id, report.outcome.unwrap()),
            other => panic!("{other:?}"),
        };
        assert!(log.data.len() <= 64 * 1024);
        count += 1;
        if count % 7 == 3 {
            session.ack_refused(&id, &overloaded()).await;
            let (again, same) = session.log().await;
            assert_eq!((&again, &same), (&id, &log));
        }
        if count % 7 == 5 {
            drop(session);
            session = desk.open().await;
            let (again, same) = session.log().await;
            assert_eq!((&again, &same), (&id, &log), "the piece that was under way comes first");
        }
        got.extend_from_slice(&log.data);
        session.ack(&id).await;
    };
    assert!(count > 10, "{count}");
    assert_eq!(outcome, succeeded("done"));
    assert!(got == *source, "{} of {BYTES} bytes", got.len());
    session.ack(&report_id).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_writer_waits_while_its_log_is_not_acknowledged() {
    let desk = Desk::start().await;
    let written = Arc::new(AtomicUsize::new(0));
    let counter = written.clone();
    let worker = start(builder(&desk).processor("writer", move |cx: Context| {
        let counter = counter.clone();
        async move {
            for _ in 0..100 {
                cx.log(LogStream::Stdout, vec![0; 10_000]).await;
                counter.fetch_add(10_000, Ordering::SeqCst);
            }
            Ok(payload("done"))
        }
    }));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "writer").await;
    let (id, log) = session.log().await;
    // The round trips of another attempt give the writer all the time that it could need.
    for round in 2..20 {
        session.assign("run-2", round, "echo").await;
        let (id, ..) = session.report().await;
        session.ack(&id).await;
    }
    assert!(written.load(Ordering::SeqCst) <= 256 * 1024, "{}", written.load(Ordering::SeqCst));
    let mut total = log.data.len();
    session.ack(&id).await;
    while let Some((id, kind)) = session.next().await {
        session.ack(&id).await;
        match kind {
            Up::Log(log) => total += log.data.len(),
            _ => break,
        }
    }
    assert_eq!(total, 1_000_000);
    worker.stop().await;
}

#[tokio::test]
async fn progress_arrives_and_the_last_word_counts() {
    let desk = Desk::start().await;
    let steps = async |cx: Context| {
        for step in 0..=1000 {
            cx.progress(f64::from(step) / 1000.0, format!("step {step}"));
        }
        cx.cancelled().await;
        Ok(payload("done"))
    };
    let worker = start(builder(&desk).processor("steps", steps));
    let mut session = desk.open().await;
    session.assign("run-1", 1, "steps").await;
    let mut messages = 0;
    loop {
        match session.next().await {
            Some((_, Up::Progress(progress))) => {
                messages += 1;
                if progress.message == "step 1000" {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(messages < 10, "{messages} messages for what one could say");
    session.cancel("run-1", 1, Reason::Cancelled).await;
    let (id, ..) = session.report().await;
    session.ack(&id).await;
    worker.stop().await;
}
