//! Which quota an app has: one of all, and of some apps one that differs from it.

use semel_core::{app::AppPattern, id::AppName};

/// What each app may ask for. 0 is no bound, and the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Changes a second, in the long run.
    pub mutations_per_second: u64,
    /// Changes at once, after a pause. 0 for as many as in a second.
    pub mutations_burst: u64,
    /// Calls under way.
    pub calls_max: u64,
}

/// A quota of some apps. What is not said is as for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppQuota {
    /// Which.
    pub apps: AppPattern,
    /// Changes a second, in the long run.
    pub mutations_per_second: Option<u64>,
    /// Changes at once, after a pause. Not said where there is a rate: as many as in a second.
    pub mutations_burst: Option<u64>,
    /// Calls under way.
    pub calls_max: Option<u64>,
}

impl AppQuota {
    /// The same with what is not said.
    pub fn settled(&self, general: Quota) -> Quota {
        let burst = if self.mutations_per_second.is_some() { 0 } else { general.mutations_burst };
        Quota {
            mutations_per_second: self.mutations_per_second.unwrap_or(general.mutations_per_second),
            mutations_burst: self.mutations_burst.unwrap_or(burst),
            calls_max: self.calls_max.unwrap_or(general.calls_max),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRules {
    general: Quota,
    /// The first one that holds an app counts.
    of_some: Vec<(AppPattern, Quota)>,
}

impl QuotaRules {
    /// One quota for all, but for these apps; of several for one app the first counts.
    pub fn new(general: Quota, of_some: &[AppQuota]) -> Self {
        let of_some = of_some.iter().map(|quota| (quota.apps.clone(), quota.settled(general)));
        Self { general, of_some: of_some.collect() }
    }

    /// That of an app.
    pub(super) fn of(&self, app: &AppName) -> Quota {
        self.of_some.iter().find(|(apps, _)| apps.holds(app)).map_or(self.general, |(_, quota)| *quota)
    }

    /// Whether any app is bounded in its changes.
    pub(super) fn bound_changes(&self) -> bool {
        self.any(|quota| quota.mutations_per_second > 0)
    }

    /// Whether any app is bounded in its calls.
    pub(super) fn bound_calls(&self) -> bool {
        self.any(|quota| quota.calls_max > 0)
    }

    fn any(&self, bounds: impl Fn(&Quota) -> bool) -> bool {
        bounds(&self.general) || self.of_some.iter().any(|(_, quota)| bounds(quota))
    }
}

impl From<Quota> for QuotaRules {
    fn from(general: Quota) -> Self {
        Self::new(general, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(apps: &str) -> AppQuota {
        let apps = AppPattern::parse(apps).expect("a pattern");
        AppQuota { apps, mutations_per_second: None, mutations_burst: None, calls_max: None }
    }

    #[test]
    fn the_first_that_holds_an_app_counts_and_the_rest_is_as_for_all() {
        let general = Quota { mutations_per_second: 10, mutations_burst: 50, calls_max: 5 };
        let rows = [
            AppQuota { mutations_per_second: Some(100), ..of("pay/night") },
            AppQuota { mutations_per_second: Some(0), calls_max: Some(7), ..of("pay/*") },
            AppQuota { mutations_burst: Some(3), ..of("shop") },
        ];
        let rules = QuotaRules::new(general, &rows);
        let quota = |app| rules.of(&AppName::parse(app).expect("a name"));
        assert_eq!(quota("pay/night"), Quota { mutations_per_second: 100, mutations_burst: 0, calls_max: 5 });
        assert_eq!(quota("pay/day"), Quota { mutations_per_second: 0, mutations_burst: 0, calls_max: 7 });
        assert_eq!(quota("shop"), Quota { mutations_per_second: 10, mutations_burst: 3, calls_max: 5 });
        assert_eq!(quota("pay"), general);
    }

    #[test]
    fn nothing_is_bounded_unless_somebody_is() {
        let none = QuotaRules::default();
        assert!(!none.bound_changes() && !none.bound_calls());
        let one = QuotaRules::new(Quota::default(), &[AppQuota { calls_max: Some(1), ..of("pay") }]);
        assert!(!one.bound_changes() && one.bound_calls());
    }
}
