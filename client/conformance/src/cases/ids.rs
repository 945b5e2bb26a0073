//! Request ids: how they are made, and what is refused for its id.

use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    answer::{Short, Verdict, claim},
    case::{Case, Cx, Standing, case},
    client::Client,
    ground::{APP, JOB},
    relay::Relay,
};

pub(super) const CASES: &[Case] = &[
    case!(mint, "An id can be minted beforehand: a UUIDv7 that bears the present time, no two alike."),
    case!(uuid, "The UUIDv7 of a given time, and of given random bits if its library takes them, is that of RFC 9562."),
    case!(given_id, "An id that the caller gives is the one under which the call is made."),
    case!(
        reused_content,
        "A used id with other content: REQUEST_ID_REUSED, the stored answer is not shown, nothing is sent again."
    ),
    case!(reused_method, "A used id with another method: REQUEST_ID_REUSED."),
    case!(reused_principal, "A used id by another principal: REQUEST_ID_REUSED."),
    case!(expired_id, "An id that is older than the window: REQUEST_ID_EXPIRED, never executed, not replaced."),
    case!(future_id, "An id from the future: REQUEST_ID_IN_FUTURE, never executed, not replaced."),
    case!(malformed_id, "An id that is no UUIDv7 is refused, by the server or before it is sent."),
];

/// The server, a relay that counts, and a client with a token.
async fn counted(cx: &mut Cx) -> Verdict<(Standing, Relay, Client)> {
    let ground = cx.ground().await;
    let relay = Relay::to(ground.get().await.address()).await;
    let token = ground.get().await.by_token().await;
    let client = cx.connect(&relay.endpoint(), token, json!({})).await?;
    Ok((ground, relay, client))
}

/// An id minted so many seconds from now.
pub(super) fn id_at(now_ms: i64, seconds: i64) -> String {
    let ms = u64::try_from(now_ms + seconds * 1000).unwrap_or_default();
    let rest = u32::try_from(ms % 1000).unwrap_or_default() * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, rest)).to_string()
}

/// The time that an id bears, in milliseconds.
pub(super) fn time_of(id: &str) -> Verdict<i64> {
    let uuid: Uuid = id.parse().map_err(|error| Short::Gap(format!("expected a UUID, got {id:?}: {error}")))?;
    let is_v7 = uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122;
    claim(is_v7, || format!("expected a UUIDv7, got {id:?}"))?;
    let (seconds, nanos) = uuid.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
    Ok(i64::try_from(seconds).unwrap_or_default() * 1000 + i64::from(nanos) / 1_000_000)
}

async fn mint(cx: &mut Cx) -> Verdict {
    let ground = cx.ground().await;
    let endpoint = ground.get().await.endpoint();
    let client = cx.connect(&endpoint, Value::Null, json!({})).await?;
    let (one, other) = (client.mint().await?, client.mint().await?);
    claim(one != other, || format!("{one} was minted twice"))?;
    let off = ground.get().await.now_ms() - time_of(&one)?;
    claim(off.abs() < 5_000, || format!("{one} is {off} ms off"))
}

/// Of a UUIDv7 the time, the version and the variant.
const NOT_RANDOM: u128 = 0xffff_ffff_ffff_f000_c000_0000_0000_0000;

async fn uuid(cx: &mut Cx) -> Verdict {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../uuid7.json")).expect("the vectors are well formed");
    for vector in vectors {
        let fields = json!({"unix_ms": vector["unix_ms"], "random": vector["random"]});
        let ok = cx.driver().ask("uuid", fields).await.ok()?;
        let compared = if ok["own_random"] == true { NOT_RANDOM } else { u128::MAX };
        let bits = |value: &Value| value.as_str().and_then(|text| text.parse::<Uuid>().ok()).map(|uuid| uuid.as_u128());
        let same = bits(&ok["uuid"]).zip(bits(&vector["uuid"]));
        claim(same.is_some_and(|(got, expected)| got & compared == expected & compared), || {
            format!("expected {vector}, got {ok}")
        })?;
    }
    Ok(())
}

async fn given_id(cx: &mut Cx) -> Verdict {
    let (ground, _relay, client) = counted(cx).await?;
    let id = id_at(ground.get().await.now_ms(), 0);
    let made = client.made(json!({"request_id": id})).await?;
    claim(made.request_id == id, || format!("expected {id}, got {made:?}"))?;
    ground.has_done(&id).await
}

/// A second call under a used id is refused, once and for all, without a word of the first one's answer.
async fn is_reused(relay: &Relay, before: u64, method: &str, run_id: &str, answer: crate::answer::Answer) -> Verdict {
    let failed = answer.failed()?;
    failed.is("refused", "FAILED_PRECONDITION", "REQUEST_ID_REUSED")?;
    failed.says("PASSED")?;
    claim(!failed.may_retry, || format!("expected that it may not be sent again, got {failed}"))?;
    claim(!failed.message.contains(run_id), || format!("the stored answer shows: {failed}"))?;
    let sent = relay.arrived(method) - before;
    claim(sent == 1, || format!("expected it to be sent once, it came {sent} times"))
}

async fn reused_content(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = counted(cx).await?;
    let id = client.mint().await?;
    let made = client.made(json!({"request_id": id})).await?;
    let other = json!({"job": JOB, "payload": {"data": "b3RoZXI="}});
    let answer = client.call("RunJob", other, json!({"request_id": id})).await;
    is_reused(&relay, 1, "RunJob", &made.response.run_id, answer).await?;
    ground.has_runs(1).await.map(drop)
}

async fn reused_method(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = counted(cx).await?;
    let id = client.mint().await?;
    let made = client.made(json!({"request_id": id})).await?;
    let answer = client.call("PauseJob", json!({"job": JOB}), json!({"request_id": id})).await;
    is_reused(&relay, 0, "PauseJob", &made.response.run_id, answer).await?;
    ground.has_runs(1).await.map(drop)
}

async fn reused_principal(cx: &mut Cx) -> Verdict {
    let (ground, relay, client) = counted(cx).await?;
    let id = client.mint().await?;
    let made = client.made(json!({"request_id": id})).await?;
    let admin = ground.get().await.by_admin();
    let other = cx.connect(&relay.endpoint(), admin, json!({})).await?;
    let answer = other.call("RunJob", json!({"app": APP, "job": JOB}), json!({"request_id": id})).await;
    is_reused(&relay, 1, "RunJob", &made.response.run_id, answer).await?;
    ground.has_runs(1).await.map(drop)
}

/// A call under this id of the caller's is refused so, and nothing is executed.
async fn is_refused(cx: &mut Cx, seconds: i64, code: &str, reason: &str) -> Verdict {
    let (ground, relay, client) = counted(cx).await?;
    cx.nothing_may_happen();
    let id = id_at(ground.get().await.now_ms(), seconds);
    let failed = client.refused(json!({"request_id": id})).await?;
    failed.is("refused", code, reason)?;
    failed.is_of(&id)?;
    claim(!failed.may_retry, || format!("expected that it may not be sent again, got {failed}"))?;
    claim(relay.arrived("RunJob") == 1, || format!("it was sent {} times", relay.arrived("RunJob")))?;
    ground.has_runs(0).await.map(drop)
}

async fn expired_id(cx: &mut Cx) -> Verdict {
    is_refused(cx, -25 * 3600, "FAILED_PRECONDITION", "REQUEST_ID_EXPIRED").await
}

async fn future_id(cx: &mut Cx) -> Verdict {
    is_refused(cx, 3600, "INVALID_ARGUMENT", "REQUEST_ID_IN_FUTURE").await
}

async fn malformed_id(cx: &mut Cx) -> Verdict {
    let (ground, _relay, client) = counted(cx).await?;
    cx.nothing_may_happen();
    // RFC 9562's example of version 4.
    let failed = client.refused(json!({"request_id": "919108f7-52d1-4320-9bac-f847db4148a8"})).await?;
    if failed.kind != "usage" {
        failed.is("refused", "INVALID_ARGUMENT", "REQUEST_ID_MALFORMED")?;
    }
    ground.has_runs(0).await.map(drop)
}
