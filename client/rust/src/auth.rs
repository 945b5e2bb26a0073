//! The credentials of a client while it runs: it owns the present token and renews it. It never judges a refusal; that
//! a token must be renewed is told to it, or read off the token's own end.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use semel_proto::v1::{IssueTokenRequest, IssueTokenResponse, RequestHeader};
use tokio::sync::Mutex;

use crate::{
    call::{Core, Loop},
    error::Error,
    id::RequestId,
    methods::Method,
    options::Credentials,
    transport::{self, Bearer},
};

/// A token is renewed when this part of its life has passed, so that its end is never met in ordinary use.
const RENEW_AT: f64 = 0.8;
/// The longest wait before renewing is tried again while the present token still holds.
const RENEW_AGAIN_MAX: Duration = Duration::from_secs(10);
/// What is assumed of a token whose answer does not say when it ends.
const LIFETIME_UNSTATED: Duration = Duration::from_secs(300);

/// How calls are signed.
#[derive(Debug)]
pub(crate) enum Auth {
    /// With nothing, or with something that stays as it is.
    Fixed(Option<Bearer>),
    /// With short-lived tokens that are got for a secret.
    Renewing(Tokens),
}

/// What a call is signed with, and the generation by which to say that it was refused.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) bearer: Option<Bearer>,
    pub(crate) generation: u64,
    /// When it should be renewed; nothing if it stays as it is.
    pub(crate) renew_at: Option<Instant>,
}

impl Signature {
    /// A signature that stays as it is.
    pub(crate) fn fixed(bearer: Option<Bearer>) -> Self {
        Self { bearer, generation: 0, renew_at: None }
    }
}

impl Auth {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, Error> {
        Ok(match credentials {
            Credentials::None => Self::Fixed(None),
            Credentials::Token(token) | Credentials::Bearer(token) => Self::Fixed(Some(transport::bearer(token)?)),
            Credentials::Secret { app, secret } => Self::Renewing(Tokens::new(app.clone(), secret.clone())),
        })
    }

    pub(crate) fn can_refresh(&self) -> bool {
        matches!(self, Self::Renewing(_))
    }

    /// Puts the app and the secret that this client has into a request which asks for a token and names none.
    pub(crate) fn fill<M: Method>(&self, request: &mut M) {
        let Self::Renewing(tokens) = self else { return };
        let Some((app, secret)) = request.credentials_mut() else { return };
        if secret.is_empty() && (app.is_empty() || *app == tokens.app) {
            app.clone_from(&tokens.app);
            secret.clone_from(&tokens.secret);
        }
    }

    /// The signature for a call that is about to be sent.
    pub(crate) async fn sign(&self, core: &Core, deadline: Instant) -> Result<Signature, Error> {
        match self {
            Self::Fixed(bearer) => Ok(Signature::fixed(bearer.clone())),
            Self::Renewing(tokens) => tokens.current(core, deadline).await,
        }
    }

    /// Gets a fresh token in place of that of `generation`, unless somebody has done so already.
    pub(crate) async fn refresh(&self, core: &Core, generation: u64, deadline: Instant) -> Result<Signature, Error> {
        match self {
            Self::Fixed(bearer) => Ok(Signature::fixed(bearer.clone())),
            Self::Renewing(tokens) => tokens.renew(core, generation, deadline).await,
        }
    }
}

/// The tokens of one app's secret.
pub(crate) struct Tokens {
    app: String,
    secret: String,
    present: RwLock<Option<Token>>,
    /// Held while a token is fetched, across the call, for that is its purpose: who comes meanwhile waits here and then
    /// finds the new token. If the fetching caller goes away, the next one in line fetches.
    gate: Mutex<()>,
}

#[derive(Clone)]
struct Token {
    signature: Signature,
    renew_at: Instant,
    ends_at: Instant,
}

impl Tokens {
    fn new(app: String, secret: String) -> Self {
        Self { app, secret, present: RwLock::new(None), gate: Mutex::new(()) }
    }

    async fn current(&self, core: &Core, deadline: Instant) -> Result<Signature, Error> {
        let now = Instant::now();
        let Some(token) = self.present().filter(|token| now < token.ends_at) else {
            let generation = self.present().map_or(0, |token| token.signature.generation);
            return self.renew(core, generation, deadline).await;
        };
        if now < token.renew_at {
            return Ok(token.signature);
        }
        // The token still holds: one caller renews it, the others go on with it, and so does this one if it fails.
        let Ok(gate) = self.gate.try_lock() else { return Ok(token.signature) };
        let before = deadline.min(now + core.request_timeout).min(token.ends_at);
        let renewed = self.fetch(core, token.signature.generation, before).await;
        let signature = renewed.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot renew the token yet, going on with the present one");
            self.renew_later();
            token.signature
        });
        drop(gate);
        Ok(signature)
    }

    /// Lets the callers be for a while after the token could not be renewed.
    fn renew_later(&self) {
        if let Some(token) = self.present.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let now = Instant::now();
            token.renew_at = now + (token.ends_at.saturating_duration_since(now) / 4).min(RENEW_AGAIN_MAX);
        }
    }

    async fn renew(&self, core: &Core, generation: u64, deadline: Instant) -> Result<Signature, Error> {
        let _gate = self.gate.lock().await;
        self.fetch(core, generation, deadline).await
    }

    /// Gets a token, unless there is one of a later generation by now. To be called with the gate held.
    async fn fetch(&self, core: &Core, generation: u64, deadline: Instant) -> Result<Signature, Error> {
        if let Some(token) = self.present().filter(|token| token.signature.generation > generation) {
            return Ok(token.signature);
        }
        let asked_at = Instant::now();
        let answer = self.issue(core, deadline).await?;
        let lifetime = lifetime(&answer);
        let renew_at = asked_at + lifetime.mul_f64(RENEW_AT);
        let signature = Signature {
            bearer: Some(transport::bearer(&answer.token)?),
            generation: generation.saturating_add(1),
            renew_at: Some(renew_at),
        };
        let token = Token { signature: signature.clone(), renew_at, ends_at: asked_at + lifetime };
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
        tracing::debug!(app = %self.app, lifetime_s = lifetime.as_secs(), "got a token");
        Ok(signature)
    }

    /// A logical call of its own, unsigned, with its own id and its own retries.
    async fn issue(&self, core: &Core, deadline: Instant) -> Result<IssueTokenResponse, Error> {
        let id = RequestId::mint(core.transport.clock().now()).to_string();
        let request = IssueTokenRequest {
            header: Some(RequestHeader {
                request_id: id.clone(),
                client: Some(core.client_info.clone()),
                ..Default::default()
            }),
            app: self.app.clone(),
            secret: self.secret.clone(),
            ..Default::default()
        };
        let mut attempts = Loop::new(core, &core.retry, deadline, id, true);
        loop {
            let timeout = attempts.timeout(core.request_timeout);
            match core.transport.attempt(request.clone(), None, timeout).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => attempts.wait_or_give_up(refusal).await?,
            }
        }
    }

    fn present(&self) -> Option<Token> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("app", &self.app).finish_non_exhaustive()
    }
}

/// How long a token holds, by the server's clock alone: from the time of the answer to the end that it states.
fn lifetime(answer: &IssueTokenResponse) -> Duration {
    let ends = answer.expire_time.as_ref();
    let now = answer.header.as_ref().and_then(|header| header.server_time.as_ref());
    let (Some(ends), Some(now)) = (ends, now) else { return LIFETIME_UNSTATED };
    let nanos = i128::from(ends.seconds - now.seconds) * 1_000_000_000 + i128::from(ends.nanos - now.nanos);
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}
