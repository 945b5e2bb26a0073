//! Apps, grants and roles.

use semel_core::{
    app::{App, AppPattern, Grant, Role},
    limits,
};
use semel_proto::v1;

use super::{fields::Fields, time};

pub(crate) fn app(app: &App) -> v1::App {
    v1::App {
        name: app.name.to_string(),
        description: app.description.clone(),
        grants: app.grants.iter().map(grant).collect(),
        etag: app.etag.0.to_string(),
        create_time: Some(time::timestamp(app.create_time)),
        update_time: Some(time::timestamp(app.update_time)),
        secret_create_time: Some(time::timestamp(app.secret.create_time)),
    }
}

pub(crate) fn grant(grant: &Grant) -> v1::Grant {
    v1::Grant { role: role(grant.role).into(), apps: grant.apps.to_string() }
}

fn role(role: Role) -> v1::Role {
    match role {
        Role::Admin => v1::Role::Admin,
        Role::Operator => v1::Role::Operator,
        Role::Submitter => v1::Role::Submitter,
        Role::Worker => v1::Role::Worker,
        Role::Viewer => v1::Role::Viewer,
    }
}

pub(crate) fn parse_role(fields: &mut Fields, field: &str, number: i32) -> Option<Role> {
    match v1::Role::try_from(number) {
        Ok(v1::Role::Admin) => Some(Role::Admin),
        Ok(v1::Role::Operator) => Some(Role::Operator),
        Ok(v1::Role::Submitter) => Some(Role::Submitter),
        Ok(v1::Role::Worker) => Some(Role::Worker),
        Ok(v1::Role::Viewer) => Some(Role::Viewer),
        Ok(v1::Role::Unspecified) | Err(_) => {
            fields.note(field, "must be one of the roles");
            None
        }
    }
}

pub(crate) fn parse_grants(fields: &mut Fields, grants: &[v1::Grant]) -> Vec<Grant> {
    if grants.len() > limits::GRANTS_MAX {
        fields.note("grants", format!("must be at most {}", limits::GRANTS_MAX));
        return Vec::new();
    }
    let mut parsed = Vec::new();
    for (index, grant) in grants.iter().enumerate() {
        let role = parse_role(fields, &format!("grants[{index}].role"), grant.role);
        let apps = fields.take(&format!("grants[{index}].apps"), AppPattern::parse(&grant.apps));
        parsed.extend(role.zip(apps).map(|(role, apps)| Grant { role, apps }));
    }
    parsed
}
