"""Speaks to a real server as a stranger would: with stubs that grpcio-tools made from proto/, and no help of ours.

It starts the binary it is given on a free port with a fresh data folder, checks one promise after another, and prints a
line for each. It imports nothing of this repository, and what it generates goes into a folder that is thrown away.

    python tests/python/stub_check.py --semel target/debug/semel
    python tests/python/stub_check.py --stubs-only
"""

import argparse
import importlib
import json
import pathlib
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
APP = "python/stub"
JOB = "greet"
PROCESSOR = "python.greet"

# Upper bounds, not waits: everything here ends as soon as its condition holds.
START_SECONDS_MAX = 60
CALL_SECONDS_MAX = 30


def uuid7():
    """A UUIDv7: 48 bits of milliseconds, the version, and random bits around the variant."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


class Stubs:
    """The modules that protoc makes of proto/semel/v1. `google/rpc/status.proto` is not among them: its module comes
    with googleapis-common-protos, and Python takes a file of one name only once."""

    def __init__(self, folder):
        from grpc_tools import protoc

        files = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.glob("semel/v1/*.proto"))
        well_known = pathlib.Path(protoc.__file__).parent / "_proto"
        out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *out, *files]) != 0:
            raise SystemExit("protoc refused proto/: see above")
        sys.path.insert(0, folder)
        self.names = [pathlib.PurePosixPath(file).stem for file in files]
        for name in self.names:
            setattr(self, name, importlib.import_module(f"semel.v1.{name}_pb2"))
            setattr(self, f"{name}_grpc", importlib.import_module(f"semel.v1.{name}_pb2_grpc"))


class Server:
    """A `semel serve` of its own, in a folder of its own."""

    def __init__(self, binary, data, log):
        self.data = data
        ready = pathlib.Path(data).parent / f"ready-{uuid7()}.json"
        flags = ["--listen", "127.0.0.1:0", "--data-dir", str(data), "--ready-file", str(ready)]
        self.process = subprocess.Popen([binary, "serve", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.address = self.wait_until_ready(ready)
        except BaseException:
            self.process.kill()
            raise
        self.channel = grpc.insecure_channel(self.address, options=[("grpc.enable_http_proxy", 0)])

    def wait_until_ready(self, ready):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                return json.loads(ready.read_text())["address"]
            except (FileNotFoundError, json.JSONDecodeError):
                pass
            try:
                raise SystemExit(f"the server ended with status {self.process.wait(timeout=0.02)} before it listened")
            except subprocess.TimeoutExpired:
                pass
        raise SystemExit(f"the server wrote no ready file within {START_SECONDS_MAX} s")

    def admin_secret(self):
        return (pathlib.Path(self.data) / "admin-secret").read_text().strip()

    def stop(self, number):
        """Sends a signal and gives the status that the process ends with."""
        self.channel.close()
        self.process.send_signal(number)
        return self.process.wait(timeout=CALL_SECONDS_MAX)


class Refusal:
    """What a refused call carries: a code, and in its details one ErrorInfo and one ResponseHeader."""

    def __init__(self, status, header_type):
        self.code = grpc.StatusCode.OK
        for code in grpc.StatusCode:
            if code.value[0] == status.code:
                self.code = code
        info, header = error_details_pb2.ErrorInfo(), header_type()
        found = [detail.TypeName() for detail in status.details if detail.Unpack(info) or detail.Unpack(header)]
        expect_equal(sorted(found), ["google.rpc.ErrorInfo", "semel.v1.ResponseHeader"])
        expect_equal(info.domain, "semel.v1")
        self.reason, self.metadata, self.header = info.reason, dict(info.metadata), header


def expect_equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, and it was {actual!r}")


def expect(condition, otherwise):
    if not condition:
        raise AssertionError(otherwise)


class Worker:
    """The least worker that the Work stream allows: it says hello, takes what comes, and reports."""

    def __init__(self, stubs, channel, bearer):
        self.pb = stubs.worker_service
        self.header = stubs.header.RequestHeader
        self.outbox = queue.Queue()
        stub = stubs.worker_service_grpc.WorkerServiceStub(channel)
        self.responses = stub.Work(
            iter(self.outbox.get, None), metadata=[("authorization", f"Bearer {bearer}")], timeout=CALL_SECONDS_MAX
        )

    def send(self, request_id="", **kind):
        self.outbox.put(self.pb.WorkRequest(header=self.header(request_id=request_id), **kind))

    def receive(self, kind):
        for response in self.responses:
            if response.WhichOneof("kind") == kind:
                return response
        raise AssertionError(f"the stream ended before {kind} came")

    def report(self, request_id, assignment, result):
        outcome = self.pb.Report.Succeeded(result=result)
        report = self.pb.Report(run_id=assignment.run_id, attempt=assignment.attempt, succeeded=outcome)
        self.send(request_id, report=report)
        ack = self.receive("ack")
        expect_equal(ack.header.request_id, request_id)
        return ack

    def close(self):
        self.outbox.put(None)
        self.responses.cancel()


PROMISES = []


def promise(check):
    """Marks a method whose name is a promise in a sentence; they are checked in the order in which they stand."""
    PROMISES.append(check)
    return check


class Checks:
    """What is promised, and what it takes to look."""

    def __init__(self, stubs, binary, data, log):
        self.stubs, self.binary, self.data, self.log = stubs, binary, data, log
        self.auth = stubs.header.AuthStatus.Value
        self.start()

    def __getattr__(self, name):
        # Only asked for what no earlier check has left here.
        raise AssertionError(f"an earlier check gave no {name}")

    def start(self):
        self.server = Server(self.binary, self.data, self.log)
        self.admin = self.server.admin_secret()

    def call(self, service, method, request, bearer=None):
        file = {"Auth": "auth_service", "App": "app_service", "Job": "job_service", "Run": "run_service"}
        file |= {"Request": "request_service", "Server": "server_service"}
        stub = getattr(getattr(self.stubs, f"{file[service]}_grpc"), f"{service}ServiceStub")(self.server.channel)
        metadata = [("authorization", f"Bearer {bearer}")] if bearer else []
        return getattr(stub, method)(request, metadata=metadata, timeout=CALL_SECONDS_MAX)

    def refused(self, *call, **bearer):
        try:
            answer = self.call(*call, **bearer)
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            expect(status is not None, f"the refusal carries no details: {error}")
            return Refusal(status, self.stubs.header.ResponseHeader)
        raise AssertionError(f"it was not refused: {answer}")

    def head(self, request_id=None):
        client = self.stubs.header.ClientInfo(name="stub-check", version="0", language="python")
        return self.stubs.header.RequestHeader(request_id=request_id or uuid7(), client=client)

    def expect_header(self, header, disposition, auth="AUTH_STATUS_PASSED"):
        expect_equal(self.stubs.header.AuthStatus.Name(header.auth.status), auth)
        expect_equal(self.stubs.header.Disposition.Name(header.disposition), f"DISPOSITION_{disposition}")
        expect(header.server_time.seconds > 0, "the header has no server_time")

    def create_app_request(self, **header):
        return self.stubs.app_service.CreateAppRequest(app=APP, description="made by a plain stub", **header)

    def run_job_request(self, request_id, data=b"once"):
        payload = self.stubs.header.Payload(data=data, content_type="text/plain")
        return self.stubs.job_service.RunJobRequest(header=self.head(request_id), app=APP, job=JOB, payload=payload)

    @promise
    def a_call_without_credentials_is_refused_as_missing(self):
        refusal = self.refused("App", "CreateApp", self.create_app_request(header=self.head()))
        expect_equal((refusal.code, refusal.reason), (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING"))
        self.expect_header(refusal.header, "UNSPECIFIED", auth="AUTH_STATUS_MISSING")

    @promise
    def a_call_with_bad_credentials_is_told_from_one_without(self):
        bad = "x" * 40
        refusal = self.refused("App", "CreateApp", self.create_app_request(header=self.head()), bearer=bad)
        expect_equal(refusal.code, grpc.StatusCode.UNAUTHENTICATED)
        expect(refusal.reason in ("CREDENTIALS_INVALID", "CREDENTIALS_MALFORMED"), refusal.reason)
        status = self.stubs.header.AuthStatus.Name(refusal.header.auth.status)
        expect_equal(status, refusal.reason.replace("CREDENTIALS", "AUTH_STATUS"))

    @promise
    def check_auth_answers_ok_with_the_verdict(self):
        request = self.stubs.auth_service.CheckAuthRequest(header=self.head())
        expect_equal(self.call("Auth", "CheckAuth", request).auth.status, self.auth("AUTH_STATUS_MISSING"))
        answer = self.call("Auth", "CheckAuth", request, bearer=self.admin)
        expect_equal(answer.auth.status, self.auth("AUTH_STATUS_PASSED"))

    @promise
    def the_server_tells_its_window(self):
        request = self.stubs.server_service.GetServerInfoRequest()
        answer = self.call("Server", "GetServerInfo", request, bearer=self.admin)
        self.expect_header(answer.header, "READ_ONLY")
        expect_equal(self.stubs.server_service.AuthMode.Name(answer.auth_mode), "AUTH_MODE_ENFORCE")
        expect_equal(answer.dedup_window.length.seconds, 24 * 3600)

    @promise
    def a_mutation_without_a_request_id_is_refused(self):
        refusal = self.refused("App", "CreateApp", self.create_app_request(), bearer=self.admin)
        expect_equal((refusal.code, refusal.reason), (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_MISSING"))
        self.expect_header(refusal.header, "UNSPECIFIED")

    @promise
    def an_app_is_created_once_and_its_replay_shows_the_same_secret(self):
        request = self.create_app_request(header=self.head())
        first = self.call("App", "CreateApp", request, bearer=self.admin)
        self.secret = first.secret
        self.expect_header(first.header, "EXECUTED")
        expect(first.secret != "", "the answer holds no secret")
        second = self.call("App", "CreateApp", request, bearer=self.admin)
        self.expect_header(second.header, "REPLAYED")
        expect(second.secret == first.secret, "the replay holds another secret")

    @promise
    def a_token_is_issued_for_the_secret(self):
        request = self.stubs.auth_service.IssueTokenRequest(header=self.head(), app=APP, secret=self.secret)
        answer = self.call("Auth", "IssueToken", request)
        expect(answer.token != "", "the answer holds no token")
        expect(answer.expire_time.seconds > time.time(), "the token has ended already")
        self.token = answer.token

    @promise
    def a_job_is_created(self):
        spec = self.stubs.job.JobSpec(processor=PROCESSOR)
        request = self.stubs.job_service.CreateJobRequest(header=self.head(), app=APP, job=JOB, spec=spec)
        answer = self.call("Job", "CreateJob", request, bearer=self.token)
        self.expect_header(answer.header, "EXECUTED")
        expect_equal(answer.job.name, JOB)

    @promise
    def a_job_run_twice_under_one_id_makes_one_run(self):
        self.run_request_id = uuid7()
        request = self.run_job_request(self.run_request_id)
        self.run = first = self.call("Job", "RunJob", request, bearer=self.token)
        self.expect_header(first.header, "EXECUTED")
        expect_equal(first.header.request_id, self.run_request_id)
        second = self.call("Job", "RunJob", request, bearer=self.token)
        self.expect_header(second.header, "REPLAYED")
        expect_equal(second.run_id, first.run_id)
        expect_equal(second.header.execute_time, first.header.execute_time)
        expect_equal(second.header.revision, first.header.revision)
        expect(second.header.arrivals >= 2, f"arrivals is {second.header.arrivals}")

    @promise
    def the_same_id_with_another_payload_is_refused(self):
        request = self.run_job_request(self.run_request_id, data=b"twice")
        refusal = self.refused("Job", "RunJob", request, bearer=self.token)
        expect_equal((refusal.code, refusal.reason), (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED"))
        named = any("payload" in value for value in refusal.metadata.values())
        expect(named, f"the metadata does not name the field that differs: {refusal.metadata}")

    @promise
    def the_app_has_one_run(self):
        request = self.stubs.run_service.ListRunsRequest(app=APP)
        runs = self.call("Run", "ListRuns", request, bearer=self.token).runs
        expect_equal([run.run_id for run in runs], [self.run.run_id])

    @promise
    def the_request_is_done_and_its_answer_can_be_looked_up(self):
        pb = self.stubs.request_service
        request = pb.GetRequestRequest(app=APP, target_request_id=self.run_request_id)
        answer = self.call("Request", "GetRequest", request, bearer=self.token)
        expect_equal(pb.RequestState.Name(answer.request.state), "REQUEST_STATE_DONE")
        expect_equal(answer.request.method, "semel.v1.JobService/RunJob")
        stored = self.stubs.job_service.RunJobResponse()
        expect(answer.response.Unpack(stored), f"the answer is a {answer.response.TypeName()}")
        expect_equal(stored.run_id, self.run.run_id)

    @promise
    def a_request_that_never_came_is_unknown(self):
        pb = self.stubs.request_service
        request = pb.GetRequestRequest(app=APP, target_request_id=uuid7())
        answer = self.call("Request", "GetRequest", request, bearer=self.token)
        expect_equal(pb.RequestState.Name(answer.request.state), "REQUEST_STATE_UNKNOWN")

    @promise
    def a_worker_takes_the_run_and_its_report_counts_once(self):
        pb = self.stubs.worker_service
        worker = Worker(self.stubs, self.server.channel, self.token)
        try:
            hello = pb.Hello(app=APP, worker_id=str(uuid.uuid4()), worker_name="stub", processors=[PROCESSOR], slots=1)
            worker.send(hello=hello)
            opened = worker.receive("opened")
            expect_equal(opened.header.auth.status, self.auth("AUTH_STATUS_PASSED"))
            assignment = worker.receive("assignment").assignment
            expect_equal((assignment.run_id, assignment.attempt), (self.run.run_id, 1))
            expect_equal(assignment.payload.data, b"once")
            result = self.stubs.header.Payload(data=assignment.payload.data.upper(), content_type="text/plain")
            report_id = uuid7()
            for disposition in ("EXECUTED", "REPLAYED"):
                ack = worker.report(report_id, assignment, result)
                expect(not ack.ack.HasField("refused"), f"the report was refused: {ack.ack.refused}")
                self.expect_header(ack.header, disposition)
            late = worker.report(uuid7(), assignment, result)
            refusal = Refusal(late.ack.refused, self.stubs.header.ResponseHeader)
            expect_equal((refusal.code, refusal.reason), (grpc.StatusCode.FAILED_PRECONDITION, "LEASE_STALE"))
        finally:
            worker.close()

    @promise
    def the_run_has_succeeded_with_its_result(self):
        request = self.stubs.run_service.WaitRunRequest(app=APP, run_id=self.run.run_id)
        answer = self.call("Run", "WaitRun", request, bearer=self.token)
        expect(answer.finished, "the run has not ended")
        expect_equal(self.stubs.run.RunState.Name(answer.run.state), "RUN_STATE_SUCCEEDED")
        expect_equal((answer.run.result.data, len(answer.run.attempts)), (b"ONCE", 1))

    @promise
    def after_a_kill_and_a_restart_the_call_is_still_a_replay(self):
        self.server.stop(signal.SIGKILL)
        self.start()
        answer = self.call("Job", "RunJob", self.run_job_request(self.run_request_id), bearer=self.token)
        self.expect_header(answer.header, "REPLAYED")
        expect_equal((answer.run_id, answer.header.revision), (self.run.run_id, self.run.header.revision))
        self.the_app_has_one_run()

    @promise
    def the_server_stops_when_it_is_asked_to(self):
        expect_equal(self.server.stop(signal.SIGTERM), 0)

    def all(self):
        """Checks them all, whatever becomes of each; gives how many passed and how many failed."""
        failed = 0
        for check in PROMISES:
            name = check.__name__.replace("_", " ")
            try:
                check(self)
                print(f"ok    {name}", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {name}: {error}", flush=True)
                if not isinstance(error, (AssertionError, grpc.RpcError)):
                    traceback.print_exc(file=sys.stdout)
        if self.server.process.poll() is None:
            self.server.process.kill()
        return len(PROMISES) - failed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--semel", help="the binary to check")
    parser.add_argument("--stubs-only", action="store_true", help="generate and import the stubs, and start nothing")
    options = parser.parse_args()
    if not options.stubs_only and not options.semel:
        parser.error("--semel is missing: give the path of the binary, for instance target/debug/semel")
    with tempfile.TemporaryDirectory(prefix="semel-stub-", ignore_cleanup_errors=True) as scratch:
        folder = pathlib.Path(scratch)
        (folder / "stubs").mkdir()
        stubs = Stubs(str(folder / "stubs"))
        print(f"ok    {len(stubs.names)} proto files give stubs that import", flush=True)
        passed, failed = 0, 0
        log = folder / "server.log"
        if not options.stubs_only:
            with log.open("ab") as sink:
                try:
                    passed, failed = Checks(stubs, options.semel, folder / "data", sink).all()
                except SystemExit as error:
                    print(f"FAIL  the server starts: {error}", flush=True)
                    failed = 1
        if failed and log.exists():
            print(f"--- what the server said\n{log.read_text(errors='replace')[-20000:]}---")
        print(f"{passed + 1} passed, {failed} failed")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
