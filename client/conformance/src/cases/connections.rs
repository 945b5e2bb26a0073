//! Who a client believes to be the server, and where it lets its credentials travel.

use serde_json::{Value, json};

use crate::{
    answer::{Short, Verdict, claim, gap},
    case::{Case, Cx, Standing, case},
    tls::{self, Authority},
};

pub(super) const CASES: &[Case] = &[
    case!(tls, "A server whose certificate is of the authority that was given: the call is made once, over TLS."),
    case!(tls_of_a_stranger, "A certificate of another authority: no call is sent, and the client says so."),
    case!(
        client_certificate,
        "A server that asks for a certificate is shown the client's; without one no call is made."
    ),
    case!(plaintext_elsewhere, "Credentials do not go over plaintext to another machine: a mistake of usage."),
];

async fn run_over(cx: &mut Cx, ground: &Standing, endpoint: &str, tls: Value) -> Verdict<crate::answer::Answer> {
    let by = ground.get().await.by_secret();
    let options = json!({"tls": tls, "attempts_max": 2, "overall_timeout": 8000, "request_timeout": 4000});
    Ok(cx.connect(endpoint, by, options).await?.run(json!({})).await)
}

async fn fails_to_connect(cx: &mut Cx, ground: &Standing, endpoint: &str, tls: Value) -> Verdict {
    let failed = run_over(cx, ground, endpoint, tls).await?.failed()?;
    claim(failed.kind == "transport", || format!("expected that nobody answered, got {failed}"))?;
    claim(failed.auth_status == "AUTH_STATUS_UNSPECIFIED", || format!("expected no verdict, got {failed}"))
}

async fn tls(cx: &mut Cx) -> Verdict {
    let (ground, authority) = (cx.ground().await, Authority::new());
    let endpoint = tls::before(ground.get().await.address(), &authority, None).await;
    crate::client::made(run_over(cx, &ground, &endpoint, authority.believed()).await?)?;
    ground.has_runs(1).await.map(drop)
}

async fn tls_of_a_stranger(cx: &mut Cx) -> Verdict {
    let (ground, authority, stranger) = (cx.ground().await, Authority::new(), Authority::new());
    cx.nothing_may_happen();
    let endpoint = tls::before(ground.get().await.address(), &authority, None).await;
    fails_to_connect(cx, &ground, &endpoint, stranger.believed()).await?;
    ground.has_runs(0).await.map(drop)
}

async fn client_certificate(cx: &mut Cx) -> Verdict {
    let (ground, authority, of_clients) = (cx.ground().await, Authority::new(), Authority::new());
    let endpoint = tls::before(ground.get().await.address(), &authority, Some(&of_clients)).await;
    fails_to_connect(cx, &ground, &endpoint, authority.believed()).await?;
    let (certificate, key) = of_clients.client();
    let mut shown = authority.believed();
    (shown["cert"], shown["key"]) = (json!(certificate), json!(key));
    crate::client::made(run_over(cx, &ground, &endpoint, shown).await?)?;
    ground.has_runs(1).await.map(drop)
}

async fn plaintext_elsewhere(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    cx.nothing_may_happen();
    let by = ground.get().await.by_secret();
    // Of the range that is set aside for documentation: nobody is there, and nobody is asked.
    let endpoint = "http://192.0.2.1:7400";
    let failed = match cx.connect(endpoint, by, json!({"overall_timeout": 3000})).await {
        Ok(client) => client.refused(json!({})).await?,
        Err(Short::Gap(text)) if text.contains("usage") => return Ok(()),
        Err(short) => return Err(short),
    };
    if failed.kind == "usage" { Ok(()) } else { gap(format!("expected a mistake of usage, got {failed}")) }
}
