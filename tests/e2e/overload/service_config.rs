//! gRPC's own retries for plain stubs, as `client/service_config.json` has them: held to the methods that there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::e2e::dynamic::methods;

const CONFIG: &str = include_str!("../../../client/service_config.json");

/// The retry policy of each name in the config: a service, or a service and a method.
fn policies(config: &Value) -> BTreeMap<(String, Option<String>), Option<Value>> {
    let mut policies = BTreeMap::new();
    for entry in config["methodConfig"].as_array().expect("a list") {
        for name in entry["name"].as_array().expect("a list") {
            let service = name["service"].as_str().expect("a service").to_owned();
            let method = name["method"].as_str().map(str::to_owned);
            let former = policies.insert((service, method), entry.get("retryPolicy").cloned());
            assert!(former.is_none(), "{name} stands twice");
        }
    }
    policies
}

#[test]
fn every_unary_call_is_sent_again_and_no_stream_is() {
    let config: Value = serde_json::from_str(CONFIG).expect("JSON");
    let mut policies = policies(&config);
    let mut services = BTreeSet::new();
    for method in methods() {
        let service = method.parent_service().full_name().to_owned();
        let own = policies.get(&(service.clone(), Some(method.name().to_owned()))).cloned();
        let policy = own.or_else(|| policies.get(&(service.clone(), None)).cloned());
        let policy = policy.unwrap_or_else(|| panic!("{service} is not in the config"));
        let is_stream = method.is_client_streaming() || method.is_server_streaming();
        assert_eq!(policy.is_none(), is_stream, "{service}/{}", method.name());
        services.insert((service.clone(), None));
        services.insert((service, Some(method.name().to_owned())));
    }
    policies.retain(|name, _| !services.contains(name));
    assert!(policies.is_empty(), "there are none of these: {:?}", policies.keys());
}

#[test]
fn what_is_sent_again_is_what_may_pass_and_a_storm_ends_by_itself() {
    let config: Value = serde_json::from_str(CONFIG).expect("JSON");
    for policy in policies(&config).into_values().flatten() {
        // UNAVAILABLE took no effect or is found out by the id. RESOURCE_EXHAUSTED is the caller's to judge by RetryInfo: our
        // clients have this policy beneath their own, and a quota for good must not be asked four times.
        assert_eq!(policy["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE"]));
        let attempts = policy["maxAttempts"].as_u64().expect("a number");
        assert!((2..=5).contains(&attempts), "gRPC takes no more than five");
    }
    let throttling = &config["retryThrottling"];
    let (tokens, ratio) = (throttling["maxTokens"].as_f64(), throttling["tokenRatio"].as_f64());
    assert!(tokens.is_some_and(|tokens| tokens > 0.0 && tokens <= 1000.0), "what gRPC takes: {throttling}");
    assert!(ratio.is_some_and(|ratio| ratio > 0.0 && ratio <= 0.5), "retries end when most calls fail: {throttling}");
}
