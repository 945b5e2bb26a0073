//! The command line as a whole: that it holds together, and that everything the issue lists is there.

use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_parses() {
    for line in [
        "serve --listen 127.0.0.1:0 --data-dir d --config f --auth-mode off --allow-plaintext --ready-file r",
        "serve --log-format json -o json",
        "dev --data-dir d --listen 127.0.0.1:0 --once -o json",
        "worker --name a --slots 2 --processor exec,http --exec-allow true --exec-allow sh --http-allow http://a/",
        "worker --exec-timeout 5m --drain-timeout 1m",
        "app create pay --description d --grant submitter:pay/* --grant viewer:* --secret-out s",
        "app get",
        "app get pay",
        "app list --prefix p --limit 10 --page t",
        "app update pay --description d --etag e",
        "app update pay --merge --grant viewer:*",
        "app delete pay --etag e",
        "app rotate-secret pay --grace 1h",
        "job create settle --processor exec --payload {} --max-attempts 3 --backoff 1s --backoff-multiplier 2",
        "job create settle -f job.toml --on-lost fail --label a=b --priority -1",
        "job get settle --app pay --server http://127.0.0.1:1",
        "job list --prefix s --label a=b --paused --all",
        "job update settle --processor exec --backoff-max 10m --attempt-timeout 5m --run-timeout 1h --max-running 2",
        "job update settle --merge --priority 5",
        "job delete settle",
        "job pause settle --note why",
        "job resume settle",
        "run submit settle --wait --up-to 10m --timeout 5s",
        "run submit settle - --content-type a/b",
        "run submit settle --request-id 01980000-0000-7000-8000-000000000000",
        "run get r",
        "run list --job settle --state queued --state running --label a=b --since 2h --until 2026-01-31T08:00:00Z",
        "run list --live",
        "run cancel r --reason why",
        "run retry r",
        "run wait r --up-to 10m",
        "run explain r",
        "run logs r --follow --attempt 2",
        "watch --app pay --job settle --job refund --run r --label a=b --kind run-failed --kind JOB_PAUSED",
        "watch --prefix pay --terminal-only --snapshot --count 5 --up-to 10m --until-idle 5s -o json",
        "watch -A --snapshot=all --bridge",
        "watch --from 17",
        "watch --from AbC~pay:7:1",
        "watch --top --job settle",
        "request get 01980000-0000-7000-8000-000000000000",
        "request list --method JobService/RunJob --principal app:pay --since 1d",
        "token issue --lifetime 1h --role worker --role viewer",
        "token check --token t",
        "token revoke id",
        "token revoke --all",
        "info -o json -v --color never",
        "config check --config f -o json",
        "keys rotate --data-dir d",
        "completions bash",
    ] {
        let words = std::iter::once("semel").chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_ok(), "{line}: {}", error(line));
    }
}

#[test]
fn mistakes_are_found_before_anything_is_sent() {
    for line in [
        "job update settle --merge --request-id 01980000-0000-7000-8000-000000000000",
        "run submit settle --request-id 7",
        "run list --state done",
        "app create pay --grant king:*",
        "token revoke",
        "token revoke id --all",
        "app list --limit 0",
        "worker --processor shell",
        "watch --kind run-done",
        "watch --from 0",
        "watch --top --count 5",
    ] {
        let words = std::iter::once("semel").chain(line.split(' '));
        assert!(Cli::try_parse_from(words).is_err(), "{line} was taken");
    }
}

#[test]
fn the_help_lists_every_exit_code() {
    let help = Cli::command().render_long_help().to_string();
    for code in 0..=6 {
        assert!(help.contains(&format!("\n  {code}  ")), "code {code} is missing");
    }
    assert!(!help.contains("sk_"), "no secret shows in the help");
}

fn error(line: &str) -> String {
    let words = std::iter::once("semel").chain(line.split(' '));
    Cli::try_parse_from(words).err().map(|error| error.to_string()).unwrap_or_default()
}
