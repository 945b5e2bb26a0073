//! D12: answers that carry a secret are replayed, and the secret lies nowhere.

use std::{fs, path::Path};

use semel_client::v1::{self, Disposition};
use semel_server::{
    auth::Keyring,
    server::{Data, KEYS_FILE},
};

use crate::e2e::{
    harness::TestServer,
    wire::{Wire, arrival, fresh, seconds},
};

const MAP_SIZE: usize = 64 << 20;

fn create(app: &str) -> v1::CreateAppRequest {
    v1::CreateAppRequest { app: app.to_owned(), description: "secrets-are-derived".to_owned(), ..Default::default() }
}

fn rotate(app: &str) -> v1::RotateAppSecretRequest {
    v1::RotateAppSecretRequest { app: app.to_owned(), grace: seconds(60), ..Default::default() }
}

#[tokio::test]
async fn d12_a_replay_shows_the_secret_again_though_it_is_stored_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data");
    let on_disk = path.clone();
    let mut server = TestServer::with(move |settings| {
        settings.data = Data::Directory { path: on_disk, map_size: MAP_SIZE };
        settings.keyring = None;
    })
    .await;
    let (made, rotated) = (fresh(), fresh());
    let admin = Wire::to(&server.endpoint()).await.bearer(&server.admin_secret);
    let first = admin.served(&made, create("shop")).await;
    let second = admin.served(&rotated, rotate("shop")).await;
    assert_ne!(first.secret, second.secret);
    shows_again(&admin, &made, &rotated, &first.secret, &second.secret).await;

    assert!(found_in(&path, b"secrets-are-derived"), "the search does find what is there");
    for secret in [&first.secret, &second.secret] {
        assert!(!found_in(&path, secret.as_bytes()), "the secret lies in the data directory");
        assert!(!found_in(&path, &bits(secret)), "the bits of the secret lie in the data directory");
    }

    server.restart().await;
    let admin = Wire::to(&server.endpoint()).await.bearer(&server.admin_secret);
    shows_again(&admin, &made, &rotated, &first.secret, &second.secret).await;

    Keyring::rotate(&path.join(KEYS_FILE)).expect("a new key");
    server.restart().await;
    let nobody = Wire::to(&server.endpoint()).await;
    let admin = nobody.bearer(&server.admin_secret);
    shows_again(&admin, &made, &rotated, &first.secret, &second.secret).await;
    let third = admin.served(&fresh(), create("third")).await.secret;
    for good in [&first.secret, &second.secret, &third] {
        let checked = nobody.bearer(good).served("", v1::CheckAuthRequest::default()).await;
        assert_eq!(checked.auth.expect("a verdict").status(), v1::AuthStatus::Passed);
    }
    assert!(!found_in(&path, third.as_bytes()));
}

async fn shows_again(admin: &Wire, made: &str, rotated: &str, first: &str, second: &str) {
    let again = admin.served(made, create("shop")).await;
    assert_eq!(arrival(again.header.as_ref()).0, Disposition::Replayed);
    assert_eq!(again.secret, first);
    let again = admin.served(rotated, rotate("shop")).await;
    assert_eq!(arrival(again.header.as_ref()).0, Disposition::Replayed);
    assert_eq!(again.secret, second);
}

#[tokio::test]
async fn d12_issuing_a_token_changes_nothing_that_lasts() {
    let server = TestServer::start().await;
    let admin = Wire::to(&server.endpoint()).await.bearer(&server.admin_secret);
    let info = || async { admin.served("", v1::GetServerInfoRequest::default()).await };
    let before = info().await;
    let id = fresh();
    let first = admin.served(&id, v1::IssueTokenRequest::default()).await;
    let second = admin.served(&id, v1::IssueTokenRequest::default()).await;
    assert_eq!(first.header.map(|header| header.disposition()), Some(Disposition::ReadOnly));
    assert_ne!(first.token_id, second.token_id, "no replay: each call gets a token of its own");
    let after = info().await;
    assert_eq!((before.revision, before.window_record_count), (after.revision, after.window_record_count));
}

/// Whether any file below a folder holds these bytes.
fn found_in(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return found_in(&path, needle);
        }
        fs::read(&path).expect("a file").windows(needle.len()).any(|window| window == needle)
    })
}

/// The 32 bytes behind a secret: base64url without padding, behind `sk_`.
fn bits(secret: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = secret.strip_prefix("sk_").expect("a secret").bytes();
    let digits = digits.map(|digit| ALPHABET.iter().position(|known| *known == digit).expect("base64url"));
    let (mut bytes, mut buffer, mut held) = (Vec::new(), 0, 0);
    for digit in digits {
        buffer = (buffer << 6) | digit;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((buffer >> held) & 0xff).expect("a byte"));
        }
    }
    assert_eq!(bytes.len(), 32);
    bytes
}
