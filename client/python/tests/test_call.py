"""The way of a logical call, with scripted attempts in place of a network."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from grpc import StatusCode as Code
from statuses import SERVER_SECONDS, header, refused, retry_info, time_of, unexplained
from test_basics import settings

import semel
from semel import v1
from semel._core import flow as fx
from semel._core import ids
from semel._core.call import Answer, Logical, call
from semel._core.core import Core
from semel._core.refusal import Origin, Refusal


class Script:
    """Performs effects: attempts get the scripted outcomes, pauses take no time."""

    def __init__(self, *outcomes: Any, **changes: Any) -> None:
        self.core = Core(settings(**changes), threading.Lock())
        self.outcomes = list(outcomes)
        self.sent: list[tuple[str, str | None]] = []
        self.pauses: list[float] = []
        self.issued = 0

    def run(self, flow: fx.Flow[Any]) -> Any:
        sent: Any = None
        try:
            while True:
                sent = self.perform(flow.send(sent))
        except StopIteration as end:
            return end.value

    def perform(self, effect: Any) -> Any:
        match effect:
            case fx.Pause():
                self.pauses.append(effect.seconds)
            case fx.TakeGate():
                assert not effect.gate.locked()
                effect.gate.acquire()  # type: ignore[attr-defined]
            case fx.Attempt(method, request, bearer) if method.name == "IssueToken":
                assert bearer is None
                self.issued += 1
                answer = v1.IssueTokenResponse(header=header(), token=f"token-{self.issued}")
                answer.expire_time.seconds = SERVER_SECONDS + 3600
                return answer
            case fx.Attempt(_, request, bearer):
                self.sent.append((request.header.request_id, bearer))
                outcome = self.outcomes.pop(0)
                if isinstance(outcome, Refusal) and outcome.header is not None:
                    self.core.clock.learn(outcome.header)
                return outcome
        return None

    def call(self, **options: Any) -> Answer[Any]:
        answer: Answer[Any] = self.run(call(Logical(self.core, semel.run("settle"), options)))  # type: ignore[arg-type]
        return answer


OK = v1.RunJobResponse(run_id="r")
SECRET = semel.Secret("pay", "hush")


def test_every_attempt_bears_the_same_id_and_waits_as_it_was_asked() -> None:
    passing = refused(Code.UNAVAILABLE, "DRAINING", retry_info(3))
    script = Script(passing, unexplained(Code.UNAVAILABLE, Origin.NO_ANSWER), OK)
    answer = script.call()
    assert answer.attempts == 3
    assert {request_id for request_id, _ in script.sent} == {answer.request_id}
    assert 3.0 <= script.pauses[0] <= 3.05
    assert script.pauses[1] <= 0.1


def test_an_id_that_is_given_is_kept_and_goes_with_the_requests_own() -> None:
    given = ids.mint(1.0)
    script = Script(refused(Code.FAILED_PRECONDITION, "REQUEST_ID_EXPIRED"))
    with pytest.raises(semel.Refused) as caught:
        script.call(request_id=given)
    assert (caught.value.request_id, caught.value.attempts, script.sent) == (given, 1, [(given, None)])
    request = semel.run("settle", request_id=given)
    with pytest.raises(semel.UsageError):
        Logical(script.core, request, {"request_id": ids.mint(2.0)})


def test_one_fresh_id_is_minted_by_the_servers_clock() -> None:
    refusal = refused(Code.INVALID_ARGUMENT, "REQUEST_ID_IN_FUTURE")
    script = Script(refusal, OK, now=lambda: SERVER_SECONDS + 7200.0)
    answer = script.call()
    assert answer.request_id != script.sent[0][0]
    assert time_of(script.sent[0][0]) == SERVER_SECONDS + 7200
    assert time_of(answer.request_id) == SERVER_SECONDS
    script = Script(refusal, refusal, now=lambda: SERVER_SECONDS + 7200.0)
    with pytest.raises(semel.Refused, match="REQUEST_ID_IN_FUTURE"):
        script.call()


def test_an_id_whose_outcome_is_open_is_never_replaced() -> None:
    lost = unexplained(Code.UNAVAILABLE, Origin.NO_ANSWER)
    script = Script(lost, refused(Code.FAILED_PRECONDITION, "REQUEST_ID_EXPIRED"))
    with pytest.raises(semel.Refused, match="REQUEST_ID_EXPIRED") as caught:
        script.call()
    assert len({request_id for request_id, _ in script.sent}) == 1
    assert caught.value.attempts == 2
    never_sent = unexplained(Code.UNAVAILABLE, Origin.NOT_SENT)
    script = Script(never_sent, refused(Code.FAILED_PRECONDITION, "REQUEST_ID_EXPIRED"), OK)
    assert script.call().attempts == 3


def test_refused_credentials_are_renewed_once_under_the_same_id() -> None:
    expired = refused(Code.UNAUTHENTICATED, "CREDENTIALS_EXPIRED")
    script = Script(expired, OK, credentials=SECRET)
    answer = script.call()
    assert script.sent == [(answer.request_id, "token-1"), (answer.request_id, "token-2")]
    script = Script(expired, expired, credentials=SECRET)
    with pytest.raises(semel.Refused, match="CREDENTIALS_EXPIRED"):
        script.call()
    script = Script(expired, credentials=semel.Token("t"))
    with pytest.raises(semel.Refused):
        script.call()


def test_a_token_is_renewed_at_three_quarters_of_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    script, start = Script(OK, OK, OK, credentials=SECRET), time.monotonic()
    for seconds, token in ((0, "token-1"), (2600, "token-1"), (2800, "token-2")):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: start + seconds)
        script.call()
        assert script.sent[-1][1] == token


def test_issue_token_gets_the_secret_and_goes_unsigned() -> None:
    script = Script(credentials=SECRET)
    logical = Logical(script.core, v1.IssueTokenRequest(), {})
    assert (logical.request.app, logical.request.secret) == ("pay", "hush")
    assert script.run(call(logical)).response.token == "token-1"


def test_faults_and_time_are_bounded() -> None:
    script = Script(*[unexplained(Code.INTERNAL)] * 3)
    with pytest.raises(semel.NotSemel) as caught:
        script.call()
    assert (caught.value.attempts, caught.value.may_retry) == (3, True)
    script = Script(refused(Code.UNAVAILABLE, "DRAINING", retry_info(10)))
    with pytest.raises(semel.Refused, match="DRAINING"):
        script.call(timeout=5)
    assert script.pauses == [], "a wait that is longer than the time left is not begun"


def test_the_servers_wait_comes_on_top_of_both_timeouts() -> None:
    core = Script().core
    logical = Logical(core, v1.WaitRunRequest(run_id="r"), {"timeout": 5, "request_timeout": 2})
    assert logical.request_timeout == 62.0
    assert logical.time_left == pytest.approx(65.0, abs=1.0)
    assert logical.attempt(None).timeout == 62.0


def test_the_app_of_the_client_is_put_in_but_where_the_app_is_what_it_is_about() -> None:
    core = Script(app="pay").core
    assert Logical(core, v1.GetJobRequest(job="j"), {}).request.app == "pay"
    assert Logical(core, v1.GetJobRequest(job="j", app="shop"), {}).request.app == "shop"
    assert Logical(core, v1.DeleteAppRequest(), {}).request.app == ""


def test_giving_up_is_told_with_the_id() -> None:
    script = Script()
    logical = Logical(script.core, semel.run("settle"), {})
    flow = call(logical)
    flow.send(None)
    with pytest.raises(semel.Cancelled) as caught:
        flow.throw(fx.GaveUp())
    assert caught.value.request_id == logical.request_id
    flow = call(logical)
    flow.send(None)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        flow.throw(KeyboardInterrupt())
    assert logical.request_id in "".join(getattr(interrupted.value, "__notes__", [logical.request_id]))


def test_what_is_no_unary_call_is_refused() -> None:
    with pytest.raises(semel.UsageError, match="WatchRequest"):
        Logical(Script().core, v1.WatchRequest(), {})
