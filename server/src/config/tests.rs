//! The config as its sources make it.

use super::*;

fn file(text: &str) -> Sources {
    Sources { file: Some(("semel.toml".to_owned(), text.to_owned())), ..Sources::default() }
}

fn with_environment(mut sources: Sources, pairs: &[(&str, &str)]) -> Sources {
    sources.environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sources
}

/// The path and the origin of each fault.
fn faults(sources: &Sources) -> Vec<(String, String)> {
    let faults = resolve(sources).expect_err("there are faults");
    faults.iter().map(|fault| (fault.path.clone(), fault.origin.to_string())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, origin)| ((*path).to_owned(), (*origin).to_owned())).collect()
}

#[test]
fn nothing_set_gives_the_defaults() {
    let resolved = resolve(&Sources::default()).expect("the defaults hold");
    assert_eq!(resolved.config.listen.to_string(), "127.0.0.1:7400");
    assert_eq!(resolved.config.auth_mode, Mode::Enforce);
    assert!(resolved.origins.is_empty() && resolved.config.warnings().is_empty());
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
        listen = "[::1]:7000"
        data_dir = "/srv/semel"
        drain_timeout = "1m"
        [auth]
        mode = "permissive"
        anonymous = [{ role = "submitter", apps = "pay/*" }, { role = "viewer", apps = "*" }]
        [web]
        origins = ["https://ops.example.com", "http://localhost:5173"]
        [window]
        length = "2d"
        future_max = "1m"
        records_per_app_max = 7
        [retention]
        runs = "90d"
        events = "forever"
        [engine]
        lease = "5s"
        cancel_grace = "1s"
        live_runs_per_app_max = 9
        queue_max = 100
        queue_bytes_max = 2000000
        queue_wait_max = "250ms"
        [quota]
        mutations_per_second = 50
        mutations_burst = 200
        calls_max = 30
        [limits]
        payload_bytes_max = 1000
        message_bytes_max = 100000
        [store]
        map_size_gib = 2
        [log]
        format = "json"
        filter = "info,semel_server=debug"
    "#;
    let config = resolve(&file(text)).expect("a good file").config;
    assert_eq!(config.listen.to_string(), "[::1]:7000");
    assert_eq!(config.anonymous.len(), 2);
    assert_eq!(config.web_origins.len(), 2);
    assert_eq!(config.map_size(), 2 << 30);
    assert_eq!(config.log_format, LogFormat::Json);
    let engine = config.engine_options();
    assert_eq!((engine.lease, engine.limits.cancel_grace), (Millis(5_000), Millis(1_000)));
    assert_eq!((engine.window.length, engine.window.records_per_app_max), (Millis(172_800_000), 7));
    assert_eq!(engine.limits.live_runs_per_app_max, 9);
    let bounds = engine.bounds;
    let wait_max = Duration::from_millis(250);
    assert_eq!((bounds.queue_max, bounds.queue_bytes_max, bounds.wait_max), (100, 2_000_000, wait_max));
    assert_eq!(config.quota, Quota { mutations_per_second: 50, mutations_burst: 200, calls_max: 30 });
    assert_eq!((engine.retention.runs, engine.retention.events), (Some(Millis(90 * 24 * 3_600_000)), None));
}

#[test]
fn things_are_kept_for_a_time_or_for_ever() {
    let kept = |text: &str| {
        let resolved = resolve(&file(&format!("[retention]\nruns = {text:?}")));
        resolved.map(|resolved| resolved.config.keep_runs).map_err(|faults| faults[0].problem.clone())
    };
    assert_eq!(kept("1m"), Ok(Some(Duration::from_secs(60))));
    assert_eq!((kept("forever"), kept("0s")), (Ok(None), Ok(None)));
    assert_eq!(kept("1s"), Err("must be from 1m to 876000h, or \"forever\"".to_owned()));
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let mut sources = with_environment(
        file("listen = \"127.0.0.1:1\"\n[engine]\nlease = \"1s\"\ncancel_grace = \"1s\""),
        &[("SEMEL_LISTEN", "127.0.0.1:2"), ("SEMEL_ENGINE_LEASE", "2s"), ("SEMEL_PORT", "tcp://10.0.0.1:7400")],
    );
    sources.flags = vec![("listen", "127.0.0.1:3".to_owned())];
    let Resolved { config, origins } = resolve(&sources).expect("good sources");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.lease, Duration::from_secs(2));
    assert_eq!(config.cancel_grace, Duration::from_secs(1));
    assert_eq!(origins["listen"], Origin::Flag("--listen".to_owned()));
    assert_eq!(origins["engine.lease"], Origin::Environment("SEMEL_ENGINE_LEASE".to_owned()));
    assert_eq!(origins["engine.cancel_grace"], Origin::File("semel.toml".to_owned()));
}

#[test]
fn all_faults_of_all_sources_are_told_at_once() {
    let text = r#"
        listen = "here"
        listne = "127.0.0.1:1"
        store = 5
        [auth]
        mode = "open"
        anonymous = [{ role = "king", apps = "*" }]
        [web]
        origins = ["*"]
        [engine]
        lease = 30
        leese = "30s"
        [limits]
        payload_bytes_max = -1
    "#;
    let mut sources = with_environment(file(text), &[("SEMEL_WINDOW_LENGTH", "1s"), ("SEMEL_LOG_FORMAT", "xml")]);
    sources.flags = vec![("allow_plaintext", "maybe".to_owned())];
    let mut found = faults(&sources);
    found.sort();
    let mut expected = pairs(&[
        ("listen", "semel.toml"),
        ("listne", "semel.toml"),
        ("store", "semel.toml"),
        ("auth.mode", "semel.toml"),
        ("auth.anonymous", "semel.toml"),
        ("web.origins", "semel.toml"),
        ("engine.lease", "semel.toml"),
        ("engine.leese", "semel.toml"),
        ("limits.payload_bytes_max", "semel.toml"),
        ("window.length", "SEMEL_WINDOW_LENGTH"),
        ("log.format", "SEMEL_LOG_FORMAT"),
        ("allow_plaintext", "--allow-plaintext"),
    ]);
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_fault_counts_even_where_a_flag_goes_over_it() {
    let mut sources = file("listen = \"here\"");
    sources.flags = vec![("listen", "127.0.0.1:3".to_owned())];
    assert_eq!(faults(&sources), pairs(&[("listen", "semel.toml")]));
}

#[test]
fn a_file_that_is_no_toml_says_in_which_line() {
    let faults = resolve(&file("listen = \"127.0.0.1:1\"\n\nlease = = 5\n")).expect_err("no toml");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].problem.starts_with("line 3:"), "{}", faults[0]);
}

#[test]
fn an_unknown_setting_names_the_known_ones() {
    let faults = resolve(&file("[engine]\nleese = \"30s\"")).expect_err("unknown");
    assert_eq!(
        faults[0].to_string(),
        "semel.toml: engine.leese: there is no such setting; [engine] has lease, cancel_grace, live_runs_per_app_max, \
         queue_max, queue_bytes_max, queue_wait_max"
    );
}

#[test]
fn plaintext_on_an_open_address_needs_to_be_allowed() {
    let open = "listen = \"0.0.0.0:7400\"";
    assert_eq!(faults(&file(open)), pairs(&[("listen", "semel.toml")]));
    let allowed = resolve(&file(&format!("{open}\nallow_plaintext = true"))).expect("allowed");
    assert_eq!(allowed.config.warnings().len(), 1);
    let operators = "[admin]\nlisten = \"0.0.0.0:7401\"";
    assert_eq!(faults(&file(operators)), pairs(&[("admin.listen", "semel.toml")]));
    resolve(&file(&format!("allow_plaintext = true\n{operators}"))).expect("allowed");
}

#[test]
fn settings_that_contradict_each_other_are_faults() {
    assert_eq!(
        faults(&file("[limits]\npayload_bytes_max = 1000000\nmessage_bytes_max = 1000000")),
        pairs(&[("limits.message_bytes_max", "semel.toml")])
    );
    for budget in ["limits.intake_bytes_max", "limits.answer_bytes_max"] {
        let name = budget.trim_start_matches("limits.");
        let text = |bytes: usize| format!("[limits]\n{name} = {bytes}\nmessage_bytes_max = 3000000");
        assert_eq!(faults(&file(&text(5_999_999))), pairs(&[(budget, "semel.toml")]));
        resolve(&file(&text(6_000_000))).expect("one message fits in");
    }
    assert_eq!(
        faults(&file("[window]\nlength = \"1m\"\nfuture_max = \"1m\"")),
        pairs(&[("window.future_max", "semel.toml")])
    );
}

#[test]
fn an_open_door_is_warned_of() {
    for mode in ["permissive", "off"] {
        let config = resolve(&file(&format!("[auth]\nmode = \"{mode}\""))).expect("legal").config;
        assert!(config.warnings()[0].contains(mode));
    }
}

#[test]
fn origins_of_pages_are_given_with_commas_or_once_for_each() {
    let mut sources =
        with_environment(Sources::default(), &[("SEMEL_WEB_ORIGINS", "https://a.example,http://b.example:81")]);
    assert_eq!(resolve(&sources).expect("good").config.web_origins.len(), 2);
    sources.flags = vec![("web.origins", "https://a.example/path".to_owned())];
    assert_eq!(faults(&sources), pairs(&[("web.origins", "--web-origin")]));
}

#[test]
fn what_is_shown_can_be_given_again() {
    let text = "[web]\norigins = [\"https://a.example\"]\n[auth]\nmode = \"permissive\"\nanonymous = [{ role = \"viewer\", apps = \"pay/*\" }]";
    let config = resolve(&file(text)).expect("good").config;
    let again = toml::to_string(&config.json()).expect("it is a table");
    let again = resolve(&file(&again)).expect("still good").config;
    assert_eq!(config.json(), again.json());
}

#[test]
fn outside_issuers_are_read_from_a_file_and_from_text() {
    let table = r#"
        [[auth.issuers]]
        issuer = "https://id.example.com"
        audience = "semel"
        jwks_url = "https://id.example.com/jwks"
        leeway = "1m"
        identities = [{ subject = "pay-*", app = "pay", grants = [{ role = "submitter", apps = "pay/*" }] }]
        [[auth.issuers]]
        issuer = "mesh"
        audience = "semel"
        jwks_file = "mesh.json"
    "#;
    let config = resolve(&file(table)).expect("a good file").config;
    let [first, second] = &config.issuers[..] else { panic!("two issuers: {:?}", config.issuers) };
    assert_eq!((first.leeway, first.max_stale, first.identities.len()), (Millis(60_000), Millis(86_400_000), 1));
    assert_eq!(second.keys.to_string(), "mesh.json");
    let shown = config.json()["auth"]["issuers"][0]["identities"][0]["grants"][0]["apps"].clone();
    assert_eq!(shown, "pay/*");
    let text = r#"[{ issuer = "mesh", audience = "semel", jwks_file = "mesh.json" }]"#;
    let sources = with_environment(Sources::default(), &[("SEMEL_AUTH_ISSUERS", text)]);
    assert_eq!(resolve(&sources).expect("good text").config.issuers, std::slice::from_ref(second));
}

#[test]
fn faults_of_an_issuer_say_which_and_what() {
    let problem = |fields: &str| {
        let text = format!("[[auth.issuers]]\nissuer = \"mesh\"\naudience = \"semel\"\n{fields}");
        resolve(&file(&text)).expect_err(fields)[0].to_string()
    };
    for (fields, word) in [
        ("", "jwks_file and jwks_url"),
        ("jwks_url = \"http://id.example.com/\"", "loopback alone"),
        ("jwks_file = \"a\"\nleeway = \"6m\"", "leeway must be from 0s to 5m"),
        ("jwks_file = \"a\"\nmax_stale = \"5m\"", "twice refresh"),
        ("jwks_file = \"a\"\naudiences = 7", "audiences"),
        ("jwks_file = \"a\"\nidentities = [{ subject = \"a*b\" }]", "beginning and *"),
        ("jwks_file = \"a\"\nidentities = [{ subject = \"a\", grants = [{ role = \"king\", apps = \"*\" }] }]", "king"),
        ("jwks_file = \"a\"\n[[auth.issuers]]\nissuer = \"semel\"\naudience = \"x\"\njwks_file = \"a\"", "number 2"),
    ] {
        let problem = problem(fields);
        assert!(problem.contains("auth.issuers: issuer number") && problem.contains(word), "{fields}: {problem}");
    }
}

#[test]
fn tls_takes_a_certificate_with_its_key_and_opens_other_addresses() {
    let both = "[tls]\ncertificate = \"a.crt\"\nkey = \"a.key\"";
    let open = "listen = \"0.0.0.0:7400\"";
    let config = resolve(&file(&format!("{open}\n{both}"))).expect("no plaintext is served").config;
    assert!(config.tls_files().is_some_and(|files| files.clients.is_none()) && config.warnings().is_empty());
    for half in ["[tls]\ncertificate = \"a.crt\"", "[tls]\nkey = \"a.key\"", "[tls]\nclient_ca = \"ca.crt\""] {
        let faults = resolve(&file(half)).expect_err(half);
        assert!(faults.iter().all(|fault| fault.path.starts_with("tls.")), "{faults:?}");
    }
    let nobody = resolve(&file(&format!("{both}\nclient_auth = \"required\""))).expect_err("by whom?");
    assert_eq!(nobody[0].path, "tls.client_auth");
    let asked = |auth: &str| {
        let text = format!("{both}\nclient_ca = \"ca.crt\"\nclient_auth = \"{auth}\"");
        resolve(&file(&text)).expect("taken").config.tls_files().expect("TLS").clients.is_some()
    };
    assert!(asked("optional") && asked("required") && !asked("off"));
}

#[test]
fn identities_are_read_as_the_documentation_writes_them() {
    let row = "{ uri = \"spiffe://prod.example/ns/pay/*\", app = \"pay\", grants = [{ role = \"submitter\", apps = \"pay\" }] }";
    let config = resolve(&file(&format!("[auth]\nidentities = [{row}]"))).expect("they are right").config;
    assert_eq!(config.identities.len(), 1);
    assert_eq!(config.json()["auth"]["identities"][0]["uri"], "spiffe://prod.example/ns/pay/*");
    assert!(config.warnings()[0].contains("tls.client_ca"), "nobody is asked for a certificate");
    for wrong in ["{ uri = \"pay\", grants = [] }", "{ app = \"pay\" }", "{ uri = \"spiffe://a/b\", role = \"x\" }"] {
        resolve(&file(&format!("[auth]\nidentities = [{wrong}]"))).expect_err(wrong);
    }
    let twice = resolve(&file(&format!("[auth]\nidentities = [{row}, {row}]"))).expect_err("one name, one row");
    assert!(twice[0].problem.contains("identity number 2") && twice[0].problem.contains("there already"), "{twice:?}");
}

#[test]
fn peers_that_speak_for_others_are_read_from_a_file_and_from_text() {
    let both = ["10.1.0.0/16", "spiffe://prod.example/ns/ingress/*"];
    let config = resolve(&file(&format!("[auth]\nforwarders = {both:?}"))).expect("they are right").config;
    assert_eq!(config.json()["auth"]["forwarders"], serde_json::json!(both));
    let warnings = config.warnings().join("\n");
    assert!(warnings.contains("auth.identities") && warnings.contains("tls.client_ca"), "{warnings}");
    let wrong = resolve(&file("[auth]\nforwarders = [\"ingress\"]")).expect_err("that is no peer");
    assert!(wrong[0].problem.contains("10.1.0.0/16"), "{wrong:?}");
}

#[test]
fn a_burst_of_nothing_is_seen() {
    let config = resolve(&file("[quota]\nmutations_burst = 5")).expect("legal").config;
    assert_eq!(config.warnings(), ["quota.mutations_burst has no effect without quota.mutations_per_second"]);
    assert_eq!(faults(&file("[quota]\ncalls_max = 1000001")), pairs(&[("quota.calls_max", "semel.toml")]));
}

#[test]
fn quotas_of_single_apps_are_read_as_the_documentation_writes_them() {
    let rows = "[{ apps = \"pay/night\", mutations_per_second = 5000 }, { apps = \"pay/*\", calls_max = 0 }]";
    let config = resolve(&file(&format!("[quota]\ncalls_max = 20\napps = {rows}"))).expect("they are right").config;
    assert_eq!(config.quota_apps.len(), 2);
    assert_eq!(
        config.json()["quota"]["apps"][0],
        serde_json::json!({ "apps": "pay/night", "mutations_per_second": 5000 })
    );
    for (wrong, why) in [
        ("{ calls_max = 1 }", "apps"),
        ("{ apps = \"Pay\", calls_max = 1 }", "segments of a-z"),
        ("{ apps = \"pay\", calls_max = -1 }", "number 1"),
        ("{ apps = \"pay\", calls_max = 1000001 }", "calls_max must be from 0 to"),
        ("{ apps = \"pay\", calls = 1 }", "calls"),
        ("{ apps = \"pay\" }", "says nothing of pay"),
        (
            "{ apps = \"pay/*\", calls_max = 1 }, { apps = \"pay/a\", calls_max = 2 }",
            "pay/a never counts, for pay/* stands before",
        ),
    ] {
        let faults = resolve(&file(&format!("[quota]\napps = [{wrong}]"))).expect_err(wrong);
        assert!(faults[0].problem.contains(why), "{wrong}: {}", faults[0].problem);
    }
    let useless = "[quota]\napps = [{ apps = \"pay\", mutations_burst = 5 }]";
    let warnings = resolve(&file(useless)).expect("legal").config.warnings();
    assert_eq!(warnings, ["mutations_burst of pay in quota.apps has no effect without mutations_per_second"]);
}
