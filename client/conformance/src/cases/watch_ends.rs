//! How a watch ends, and what must not end it.

use std::time::Duration;

use semel_core::id::Millis;
use semel_proto::v1;
use semel_server::engine::Retention;
use serde_json::{Value, json};

use super::watch::{make_runs, tells_all};
use crate::{
    answer::{Verdict, claim},
    case::{Case, Cx, Standing, case},
    client::Client,
    ground::APP,
    watching::Watching,
};

pub(super) const CASES: &[Case] = &[
    case!(compacted, "What comes next is no longer kept: RESUME_COMPACTED, with the oldest revision that is."),
    case!(watch_renewed, "The token ends while it watches, and there is the secret: it goes on, no gap, no double."),
    case!(
        watch_expired,
        "The token ends while it watches, and there is no secret: told before, then CREDENTIALS_EXPIRED."
    ),
    case!(watch_revoked, "The token is taken back while it watches, and there is no secret: CREDENTIALS_REVOKED."),
    case!(watch_forbidden, "Not allowed: FORBIDDEN."),
    case!(watch_missing, "No credentials: CREDENTIALS_MISSING."),
    case!(watch_bad_token, "A token that is none is refused, by the server or before it is sent."),
    case!(watch_nobody, "Nobody listens: it ends within the overall timeout."),
];

const KEPT: Duration = Duration::from_secs(600);

async fn watched(cx: &mut Cx, by: Value, ground: &Standing) -> Verdict<(Client, Watching)> {
    cx.may_happen(100);
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, by, json!({"backoff_first": 20, "backoff_max": 200})).await?;
    let mut watching = Watching::from_the_first(&client).await;
    make_runs(ground, 3).await;
    tells_all(ground, &mut watching).await?;
    Ok((client, watching))
}

async fn compacted(cx: &mut Cx) -> Verdict {
    let ground = cx
        .ground_with_clock_and(|settings| {
            let events = Some(Millis(i64::try_from(KEPT.as_millis()).unwrap_or_default()));
            settings.engine.retention = Retention { events, interval: Millis(1000), ..Retention::default() };
        })
        .await;
    let secret = ground.get().await.by_secret();
    let (client, watching) = watched(cx, secret, &ground).await?;
    let token = watching.token.clone();
    watching.stop().await?;
    for _ in 0..3 {
        ground.get().await.advance(KEPT);
        make_runs(&ground, 1).await;
    }
    let mut watching = Watching::start(&client, json!({}), token.as_deref()).await;
    let failed = watching.fails().await?;
    failed.is("refused", "OUT_OF_RANGE", "RESUME_COMPACTED")?;
    claim(failed.oldest_revision.is_some_and(|revision| revision > 1), || {
        format!("expected the oldest, got {failed:?}")
    })
}

async fn watch_renewed(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let secret = ground.get().await.by_secret();
    let (_client, mut watching) = watched(cx, secret, &ground).await?;
    ground.get().await.advance(Duration::from_secs(13 * 3600));
    make_runs(&ground, 3).await;
    tells_all(&ground, &mut watching).await
}

async fn watch_expired(cx: &mut Cx) -> Verdict {
    let ground = cx.ground_with_clock().await;
    let token = ground.get().await.token(Duration::from_secs(3600)).await.token;
    let (_client, mut watching) = watched(cx, json!({"token": token}), &ground).await?;
    // The notice comes a tenth of its life before the end, or earlier.
    ground.get().await.advance(Duration::from_secs(3590));
    make_runs(&ground, 1).await;
    watching.until("expiring").await?;
    ground.get().await.advance(Duration::from_secs(20));
    let failed = watching.fails().await?;
    failed.is("refused", "UNAUTHENTICATED", "CREDENTIALS_EXPIRED")?;
    failed.says("EXPIRED")
}

async fn watch_revoked(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let token = ground.get().await.by_token().await;
    let (_client, mut watching) = watched(cx, token, &ground).await?;
    let target = Some(v1::revoke_token_request::Target::All(true));
    let request = v1::RevokeTokenRequest { app: APP.to_owned(), target, ..Default::default() };
    ground.get().await.admin().revoke_token(request).await.expect("tokens are taken back");
    let failed = watching.fails().await?;
    failed.is("refused", "UNAUTHENTICATED", "CREDENTIALS_REVOKED")?;
    failed.says("REVOKED")
}

async fn refused(cx: &mut Cx, ground: &Standing, by: Value) -> Verdict<crate::answer::Failed> {
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, by, json!({})).await?;
    Watching::from_the_first(&client).await.fails().await
}

async fn watch_forbidden(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let secret = ground.get().await.app("shop").await;
    let failed = refused(cx, &ground, json!({"app": "shop", "secret": secret})).await?;
    failed.is("refused", "PERMISSION_DENIED", "FORBIDDEN")?;
    failed.says("FORBIDDEN")
}

async fn watch_missing(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let failed = refused(cx, &ground, Value::Null).await?;
    failed.is("refused", "UNAUTHENTICATED", "CREDENTIALS_MISSING")?;
    failed.says("MISSING")
}

async fn watch_bad_token(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let (endpoint, token) = (ground.get().await.endpoint(), ground.get().await.by_token().await);
    let client = cx.connect(&endpoint, token, json!({})).await?;
    let failed = Watching::start(&client, json!({}), Some("rubbish")).await.fails().await?;
    if failed.kind != "usage" {
        failed.is("refused", "INVALID_ARGUMENT", "INVALID")?;
    }
    Ok(())
}

async fn watch_nobody(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let (endpoint, token) = (ground.get().await.endpoint(), ground.get().await.by_token().await);
    ground.stop().await;
    let client = cx.connect(&endpoint, token, json!({"overall_timeout": 700})).await?;
    let begun = tokio::time::Instant::now();
    let failed = Watching::from_the_first(&client).await.fails().await?;
    ground.revive().await;
    claim(failed.kind == "transport", || format!("expected transport, got {failed}"))?;
    claim(begun.elapsed() < Duration::from_secs(8), || format!("it took {:?} and not 0.7 s", begun.elapsed()))
}
