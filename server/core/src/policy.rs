//! Who may do what, and where.

use std::sync::Arc;

use crate::{
    app::{AppPattern, Grant, Role},
    command::Command,
    id::AppName,
    rejection::Rejection,
};

/// Who asks. Made by the auth layer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name that is logged and remembered, for instance `app:pay/settle`.
    pub name: Arc<str>,
    /// The app that it belongs to; none for callers that did not prove who they are.
    pub app: Option<AppName>,
    /// All that it may do.
    pub grants: Vec<Grant>,
}

impl Principal {
    /// A caller that did not prove who it is.
    pub fn anonymous(grants: Vec<Grant>) -> Self {
        Self { name: "anonymous".into(), app: None, grants }
    }

    /// May do everything: whoever calls while authentication is off.
    pub fn unrestricted() -> Self {
        Self::anonymous(vec![Grant { role: Role::Admin, apps: AppPattern::All }])
    }

    /// Whether it has this role on this app, or one that includes it.
    pub fn may(&self, needs: Role, app: &AppName) -> bool {
        self.grants.iter().any(|grant| includes(grant.role, needs) && grant.apps.holds(app))
    }

    /// Refuses unless it has this role on this app.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`].
    pub fn require(&self, needs: Role, app: &AppName) -> Result<(), Rejection> {
        if self.may(needs, app) {
            return Ok(());
        }
        Err(Rejection::Forbidden { principal: self.name.clone(), needs, app: app.clone() })
    }

    /// Refuses unless it has all of this grant itself.
    fn require_grant(&self, wanted: &Grant) -> Result<(), Rejection> {
        if self.grants.iter().any(|has| includes(has.role, wanted.role) && has.apps.covers(&wanted.apps)) {
            return Ok(());
        }
        let app = match &wanted.apps {
            AppPattern::All => AppName::system(),
            AppPattern::Below(app) | AppPattern::One(app) => app.clone(),
        };
        Err(Rejection::Forbidden { principal: self.name.clone(), needs: wanted.role, app })
    }
}

/// Refuses unless the principal may give this command. Asked before a replay is shown too (promise D8).
///
/// # Errors
/// [`Rejection::Forbidden`].
pub fn permit(principal: &Principal, command: &Command) -> Result<(), Rejection> {
    let needs = match command {
        // An app takes back its own tokens; those of others are their admin's.
        Command::RevokeToken { app, .. } if principal.app.as_ref() != Some(app) => Role::Admin,
        _ => command.needs(),
    };
    principal.require(needs, command.app())?;
    match command {
        // Whoever may change an app may not lend it more than he has himself, or a prefix's admin could make himself
        // the admin of everything.
        Command::CreateApp { grants, .. } | Command::UpdateApp { grants, .. } => {
            grants.iter().try_for_each(|grant| principal.require_grant(grant))
        }
        _ => Ok(()),
    }
}

/// Whether one role includes another.
pub fn includes(has: Role, needs: Role) -> bool {
    match has {
        Role::Admin => true,
        Role::Operator => matches!(needs, Role::Operator | Role::Submitter | Role::Viewer),
        Role::Submitter => matches!(needs, Role::Submitter | Role::Viewer),
        Role::Worker => needs == Role::Worker,
        Role::Viewer => needs == Role::Viewer,
    }
}

#[cfg(test)]
mod tests;
