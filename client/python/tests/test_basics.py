"""Ids, clocks, options, requests, errors and the channel."""

from __future__ import annotations

import datetime
import json
import pathlib
import pickle
import time
import uuid
import zipfile
from os import environ

import pytest
from statuses import SERVER_SECONDS, header, time_of

import semel
from semel import v1
from semel._core import channel, ids, methods, requests
from semel._core.auth import Signature, lifetime_of
from semel._core.clock import ServerClock
from semel._core.flow import Attempt, Open
from semel._core.options import Settings

CLIENTS = pathlib.Path(__file__).resolve().parents[2]


def settings(**changes: object) -> Settings:
    known: dict[str, object] = {
        "endpoint": "http://127.0.0.1:1", "app": "", "credentials": None, "request_timeout": 10.0, "timeout": 60.0,
        "retry": semel.RetryOptions(), "client_name": "semel-client", "now": time.time,
    }  # fmt: skip
    return Settings(**{**known, **changes})  # type: ignore[arg-type]


def test_an_id_is_a_uuid_of_version_7_and_bears_its_time() -> None:
    parsed = uuid.UUID(ids.mint(1_645_557_742.0))
    # The vector of RFC 9562, A.6: this time is 017F22E2-79B0.
    assert (str(parsed)[:13], parsed.version, parsed.variant) == ("017f22e2-79b0", 7, uuid.RFC_4122)
    assert time_of("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == 1_645_557_742.0
    assert time_of(ids.mint(1_750_000_000.123)) == pytest.approx(1_750_000_000.123, abs=0.001)


def test_ids_of_one_moment_differ_and_a_time_before_1970_is_taken_as_1970() -> None:
    assert len({ids.mint(1.0) for _ in range(1000)}) == 1000
    assert time_of(ids.mint(-5.0)) == 0.0


def test_the_clock_follows_the_server_by_the_half_way_moment() -> None:
    local = [float(SERVER_SECONDS) + 3600]
    clock = ServerClock(lambda: local[0])
    assert clock.now() == local[0]
    sent_at = clock.local()
    local[0] += 2
    clock.learn(header(), sent_at)
    assert clock.offset == -3601.0
    clock.learn(header())
    assert clock.offset == -3602.0
    clock.learn(v1.ResponseHeader())
    assert clock.offset == -3602.0, "a header without a time teaches nothing"


def test_a_tokens_life_is_measured_by_the_servers_clock() -> None:
    answer = v1.IssueTokenResponse(header=header())
    assert lifetime_of(answer) == 300.0, "of one that does not say"
    answer.expire_time.seconds = SERVER_SECONDS + 90
    assert lifetime_of(answer) == 90.0


def test_no_secret_ever_shows() -> None:
    credentials = [semel.Token("hush"), semel.Secret("pay", "hush")]
    client = semel.Client(credentials=semel.Secret("pay", "hush"))
    request = v1.IssueTokenRequest(secret="hush")
    effects = [Attempt(methods.ISSUE_TOKEN, request, "hush", 1.0), Open(methods.WATCH, request, "hush")]
    shown = [
        repr(effects),
        repr(Signature("hush")),
        repr(credentials),
        repr(settings(credentials=credentials[1])),
        repr(client),
        str(client),
    ]
    client.close()
    for text in shown:
        assert "hush" not in text


@pytest.mark.parametrize("bad", ["", "two\nlines", "ümlaut"])
def test_credentials_that_cannot_be_sent_are_refused_unseen(bad: str) -> None:
    with pytest.raises(semel.UsageError) as caught:
        semel.Token(bad)
    assert not bad or bad not in str(caught.value)


def test_wrong_options_are_told_at_once() -> None:
    with pytest.raises(semel.UsageError):
        semel.Client(timeout=0.0)
    with pytest.raises(semel.UsageError):
        semel.Client(request_timeout=-1.0)
    with pytest.raises(ValueError, match="attempts_max"):
        semel.RetryOptions(attempts_max=0)


def test_endpoints() -> None:
    def target(endpoint: str) -> str:
        return channel.route(settings(endpoint=endpoint)).target

    assert target("http://127.0.0.1:7400") == "127.0.0.1:7400"
    assert target("http://[::1]:7400/") == "[::1]:7400"
    assert target("http://semel") == "semel:80"
    assert target("https://semel") == "semel:443"
    assert target("unix:/run/semel.sock") == "unix:/run/semel.sock"
    for wrong in ("", "127.0.0.1:7400", "ftp://semel", "http://", "http://a:b", "http://a/path"):
        with pytest.raises(semel.UsageError, match="cannot use the endpoint"):
            target(wrong)


def test_credentials_do_not_travel_where_others_could_read_them() -> None:
    secret = semel.Secret("pay", "hush")
    for fine in ("http://127.0.0.1:1", "http://127.3.2.1:1", "http://[::1]:1", "http://localhost:1", "https://semel:1"):
        channel.route(settings(endpoint=fine, credentials=secret))
    for plain in ("http://semel:1", "http://10.0.0.1:1", "http://[fe80::1]:1", "http://localhost.example:1"):
        with pytest.raises(semel.UsageError, match="https://") as told:
            channel.route(settings(endpoint=plain, credentials=secret))
        assert "hush" not in str(told.value)
        channel.route(settings(endpoint=plain, credentials=secret, allow_plaintext=True))
        channel.route(settings(endpoint=plain))
    assert "hush" not in repr(semel.Tls(client_certificate=b"chain", client_key=b"hush"))
    with pytest.raises(semel.UsageError, match="its key"):
        semel.Tls(client_certificate=b"chain")


def test_the_service_config_is_shipped_for_plain_stubs_and_grpc_retries_nothing_behind_the_clients_back() -> None:
    assert semel.service_config() == (CLIENTS / "service_config.json").read_text()
    assert json.loads(semel.service_config())["methodConfig"]
    options = dict(channel.options(settings()))
    assert ("grpc.service_config" in options, options["grpc.enable_retries"]) == (False, 0)


def test_the_wheel_holds_what_it_should() -> None:
    wheel = environ.get("SEMEL_WHEEL")
    if not wheel:
        pytest.skip("SEMEL_WHEEL names no wheel; check.sh builds one")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"semel/py.typed", "semel/service_config.json", "semel/_methods.py", "semel/v1/run_pb2.py"} <= names
    assert "semel/v1/run_pb2.pyi" in names
    assert not [name for name in names if name.startswith(("google/", "src/", "tests/"))]


def test_every_unary_call_has_a_method_in_both_apis() -> None:
    import semel.aio

    for method in methods.ALL:
        if method.is_unary:
            name = "".join(f"_{each.lower()}" if each.isupper() else each for each in method.name).lstrip("_")
            assert hasattr(semel.Client, name), name
            assert hasattr(semel.aio.Client, name), name


def test_a_wait_is_never_longer_than_the_server_makes_it() -> None:
    wait, logs = methods.BY_NAME["WaitRun"], methods.BY_NAME["GetRunLogs"]
    for asked, given in ((5, 5.0), (600, 60.0), (-1, 0.0)):
        request = v1.WaitRunRequest(timeout=datetime.timedelta(seconds=asked))
        assert methods.server_wait(wait, request) == given
    assert methods.server_wait(wait, v1.WaitRunRequest()) == 60.0
    assert methods.server_wait(logs, v1.GetRunLogsRequest()) == 0.0


def test_payloads_and_times() -> None:
    assert requests.payload("ü").data == "ü".encode()
    assert requests.payload(b"x").content_type == "application/octet-stream"
    with pytest.raises(semel.UsageError):
        requests.payload(7)  # type: ignore[arg-type]
    run = semel.run(
        "settle", b"x", unique_key="k", labels={"a": "b"}, start_time=datetime.datetime.now(datetime.timezone.utc)
    )
    assert (run.unique_key.key, run.labels["a"], run.HasField("priority")) == ("k", "b", False)
    with pytest.raises(semel.UsageError, match="time zone"):
        semel.run("settle", start_time=datetime.datetime.now())


def test_an_error_survives_pickling() -> None:
    error = semel.Refused("no", reason="INVALID", request_id="id", attempts=2, violations=[semel.Violation("a", "b")])
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (semel.Refused, str(error), error.__dict__)
