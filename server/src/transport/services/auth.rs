//! `AuthService`.

use semel_core::{
    app::Role,
    command::{Command, RevokeTarget},
    id::{AppName, Millis, TokenId},
    rejection::Rejection,
};
use semel_proto::v1::{self, auth_service_server::AuthService, revoke_token_request::Target};
use tonic::{Request, Response, Status};

use super::Services;
use crate::{
    auth::{self, MAX_LIFETIME, Method, NarrowingError, Verdict},
    transport::{
        call::Call,
        convert::{app as convert, fields::Fields, header, time},
        gate,
        status::Refusal,
    },
};

/// The life of a token if nothing is said.
const LIFETIME_DEFAULT: Millis = Millis::from_secs(3600);

#[tonic::async_trait]
impl AuthService for Services {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let (mut call, message) = Call::begin(&self.gate, request.into(), false);
        match self.issue(&mut call, &message) {
            Ok(response) => Ok(Response::new(response)),
            Err(refusal) => Err(call.refuse(refusal)),
        }
    }

    async fn check_auth(
        &self,
        request: Request<v1::CheckAuthRequest>,
    ) -> Result<Response<v1::CheckAuthResponse>, Status> {
        let (call, _) = Call::begin(&self.gate, request.into(), false);
        if let Some(refusal) = Refusal::of_verdict(&call.verdict) {
            // Whoever tries credentials out is told of them, and leaves a trace.
            call.audit(&refusal);
        }
        let grants = call.verdict.principal.iter().flat_map(|principal| &principal.grants);
        Ok(Response::new(v1::CheckAuthResponse {
            header: call.read_header(),
            auth: Some(header::auth_result(&call.verdict)),
            grants: grants.map(convert::grant).collect(),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let parse = |message: &v1::RevokeTokenRequest, app: AppName, fields: &mut Fields| {
            let target = match &message.target {
                Some(Target::TokenId(text)) => {
                    parse_token_id(fields, text).map(|id| RevokeTarget::One(auth::revocation_key(&app, id)))
                }
                Some(Target::All(true)) => Some(RevokeTarget::All),
                Some(Target::All(false)) | None => {
                    fields.note("target", "must be a token_id, or all = true");
                    None
                }
            };
            Some(Command::RevokeToken { app, target: target? })
        };
        self.gate.mutate(request, parse).await
    }
}

impl Services {
    fn issue(&self, call: &mut Call<'_>, message: &v1::IssueTokenRequest) -> Result<v1::IssueTokenResponse, Refusal> {
        call.checked_id()?;
        let mut fields = self.gate.fields();
        let named = (!message.app.is_empty()).then(|| fields.take("app", AppName::parse(&message.app)));
        let lifetime = fields.span("lifetime", message.lifetime.as_ref(), Millis(1), MAX_LIFETIME);
        let roles = message.roles.iter().enumerate();
        let roles: Vec<Option<Role>> =
            roles.map(|(index, role)| convert::parse_role(&mut fields, &format!("roles[{index}]"), *role)).collect();
        if !fields.is_clean() {
            return Err(Refusal::invalid(fields.violations()));
        }
        call.verdict = self.proof(call, named.flatten().as_ref(), &message.secret);
        let principal = call.principal()?;
        let app = principal.app.clone().expect("whoever proved itself by a secret is an app");
        let now = self.gate.now();
        let token_id = TokenId(uuid::Uuid::new_v4().into_bytes());
        let roles = roles.into_iter().flatten().collect();
        let authenticator = &self.gate.settings.authenticator;
        let (token, claims) = authenticator
            .issue(principal, &app, roles, lifetime.unwrap_or(LIFETIME_DEFAULT), now, token_id)
            .map_err(|NarrowingError(needs)| {
                gate::rejected(Rejection::Forbidden { principal: principal.name.clone(), needs, app: app.clone() })
            })?;
        Ok(v1::IssueTokenResponse {
            header: call.read_header(),
            token,
            expire_time: Some(time::timestamp(claims.expire_time)),
            token_id: claims.token_id.to_string(),
        })
    }

    /// What becomes of the secret: that in the message, or that which came as the credentials of the call. Nothing else
    /// proves an app: a token must not beget tokens, or it would never end.
    fn proof(&self, call: &Call<'_>, app: Option<&AppName>, secret: &str) -> Verdict {
        if secret.is_empty() {
            let by_secret = call.verdict.method == Method::AppSecret;
            let principal = call.verdict.principal.as_ref().and_then(|principal| principal.app.as_ref());
            return match (by_secret, principal) {
                (true, Some(own)) if app.is_none_or(|app| app == own) => call.verdict.clone(),
                (true, _) => Verdict::refused(auth::Status::Invalid),
                (false, _) if call.verdict.principal.is_none() => call.verdict.clone(),
                (false, _) => Verdict::refused(auth::Status::Missing),
            };
        }
        let Ok(engine) = self.gate.engine() else { return Verdict::refused(auth::Status::Unavailable) };
        let Some(app) = app else { return Verdict::refused(auth::Status::Malformed) };
        self.gate.settings.authenticator.judge_secret(&engine.directory(), app, secret, self.gate.moment(call.address))
    }
}

fn parse_token_id(fields: &mut Fields, text: &str) -> Option<TokenId> {
    let parsed = uuid::Uuid::try_parse(text).ok().map(|id| TokenId(id.into_bytes()));
    if parsed.is_none() {
        fields.note("token_id", "must be the id that IssueToken gave");
    }
    parsed
}
