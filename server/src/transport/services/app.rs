//! `AppService`.

use semel_core::{
    app::{NewSecret, Role},
    command::Command,
    id::{AppName, Millis},
    limits,
    rejection::Rejection,
};
use semel_proto::{
    fingerprint,
    v1::{self, app_service_server::AppService},
};
use tonic::{Request, Response, Status};

use super::Services;
use crate::transport::{
    convert::{
        app as convert,
        fields::{self, Fields},
    },
    gate, page,
    status::Refusal,
};

const PAGE_KIND: u8 = b'a';

impl Services {
    /// The secret that the call with this id makes. Derived, so that a replay can derive it again.
    fn new_secret<R: fingerprint::Request>(&self, message: &R) -> Option<NewSecret> {
        let keyring = self.gate.settings.authenticator.keyring();
        let request_id = fields::parse_request_id(&message.header()?.request_id)?;
        let key_id = keyring.current_id().to_owned();
        let hash = keyring.derive_secret(&key_id, request_id)?.hash();
        Some(NewSecret { hash, key_id })
    }
}

/// The app whose name a message must give: for what makes or ends an app, the caller's own is no default.
fn named(fields: &mut Fields, named: &str, app: AppName) -> Option<AppName> {
    if named.is_empty() {
        fields.note("app", "must be given");
        return None;
    }
    Some(app)
}

#[tonic::async_trait]
impl AppService for Services {
    async fn create_app(
        &self,
        request: Request<v1::CreateAppRequest>,
    ) -> Result<Response<v1::CreateAppResponse>, Status> {
        let parse = |message: &v1::CreateAppRequest, app, fields: &mut Fields| {
            let app = named(fields, &message.app, app);
            let description = fields.text("description", &message.description, limits::NOTE_CHARS_MAX);
            let grants = convert::parse_grants(fields, &message.grants);
            let secret = self.new_secret(message)?;
            Some(Command::CreateApp { app: app?, description: description?, grants, secret })
        };
        self.gate.mutate(request, parse).await
    }

    async fn get_app(&self, request: Request<v1::GetAppRequest>) -> Result<Response<v1::GetAppResponse>, Status> {
        let look = async |call: &crate::transport::call::Call<'_>, _: &_, app: AppName, _| {
            let found = self.gate.engine()?.reader().app(&app).map_err(|error| Refusal::internal(&error))?;
            let not_found = || gate::rejected(Rejection::NotFound { what: "app", name: app.to_string() });
            let found = found.ok_or_else(not_found)?;
            Ok(v1::GetAppResponse { header: call.read_header(), app: Some(convert::app(&found)) })
        };
        self.gate.read(request, look).await
    }

    async fn list_apps(&self, request: Request<v1::ListAppsRequest>) -> Result<Response<v1::ListAppsResponse>, Status> {
        let look = async |call: &crate::transport::call::Call<'_>,
                          message: &v1::ListAppsRequest,
                          principal: &semel_core::policy::Principal| {
            let mut fields = self.gate.fields();
            let place = page::place(&mut fields, message.page.as_ref(), PAGE_KIND);
            let after = place.and_then(|place| fields.take("page.page_token", parse_name(&place)));
            if !fields.is_clean() {
                return Err(Refusal::invalid(fields.violations()));
            }
            // Apps are few and lie in memory-mapped pages: all names are looked at, and the invisible passed over.
            let all = self.gate.list(move |reader| reader.apps(after.as_ref(), usize::MAX)).await?;
            let visible = all.iter().filter(|app| {
                app.name.as_str().starts_with(&message.prefix)
                    && (principal.may(Role::Viewer, &app.name) || principal.app.as_ref() == Some(&app.name))
            });
            let size = page::size(message.page.as_ref());
            let apps: Vec<v1::App> = visible.take(size + 1).map(convert::app).collect();
            let shown = page::fitting(&apps).min(size);
            let next = (shown < apps.len()).then(|| apps[shown - 1].name.clone());
            Ok(v1::ListAppsResponse {
                header: call.read_header(),
                apps: apps.into_iter().take(shown).collect(),
                page: page::token(PAGE_KIND, next.as_deref().map(str::as_bytes)),
            })
        };
        self.gate.serve(request, look).await
    }

    async fn update_app(
        &self,
        request: Request<v1::UpdateAppRequest>,
    ) -> Result<Response<v1::UpdateAppResponse>, Status> {
        let parse = |message: &v1::UpdateAppRequest, app, fields: &mut Fields| {
            let app = named(fields, &message.app, app);
            let etag = fields.etag(&message.etag);
            let description = fields.text("description", &message.description, limits::NOTE_CHARS_MAX);
            let grants = convert::parse_grants(fields, &message.grants);
            if app == Some(AppName::system()) {
                fields.note("app", "must not be system: its rights are what administration rests on");
            }
            Some(Command::UpdateApp { app: app?, etag, description: description?, grants })
        };
        self.gate.mutate(request, parse).await
    }

    async fn delete_app(
        &self,
        request: Request<v1::DeleteAppRequest>,
    ) -> Result<Response<v1::DeleteAppResponse>, Status> {
        let parse = |message: &v1::DeleteAppRequest, app, fields: &mut Fields| {
            let app = named(fields, &message.app, app);
            let etag = fields.etag(&message.etag);
            if app == Some(AppName::system()) {
                fields.note("app", "must not be system: nobody could administer the server without it");
            }
            Some(Command::DeleteApp { app: app?, etag })
        };
        self.gate.mutate(request, parse).await
    }

    async fn rotate_app_secret(
        &self,
        request: Request<v1::RotateAppSecretRequest>,
    ) -> Result<Response<v1::RotateAppSecretResponse>, Status> {
        let parse = |message: &v1::RotateAppSecretRequest, app, fields: &mut Fields| {
            let grace = fields.span("grace", message.grace.as_ref(), Millis(0), limits::SECRET_GRACE_MAX);
            let secret = self.new_secret(message)?;
            Some(Command::RotateAppSecret { app, grace: grace.unwrap_or_default(), secret })
        };
        self.gate.mutate(request, parse).await
    }
}

fn parse_name(place: &[u8]) -> Result<AppName, String> {
    let name = std::str::from_utf8(place).map_err(|_| "is none that this list gave".to_owned())?;
    AppName::parse(name)
}
