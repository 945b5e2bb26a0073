"""The driver of a plain generated stub: what a program gets that takes the code of grpcio-tools and writes the least around
it. No client of ours, and no retries: what a call ends with is its answer. It has no notion of the refusal's details but
what grpc_status gives, none of the server's clock, and none of a worker. See client/conformance/DRIVER.md.

    driver.py FOLDER        # where generate.py has put the stubs
"""

import json
import platform
import queue
import secrets
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.insert(0, sys.argv[1])

from semel.v1 import (
    app_service_pb2,
    auth_service_pb2,
    header_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    request_service_pb2,
    run_service_pb2,
    server_service_pb2,
    trigger_service_pb2,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

SERVICES = {
    "AppService": app_service_pb2,
    "AuthService": auth_service_pb2,
    "JobService": job_service_pb2,
    "RequestService": request_service_pb2,
    "RunService": run_service_pb2,
    "ServerService": server_service_pb2,
    "TriggerService": trigger_service_pb2,
}
# Nothing else bounds a call of a plain stub.
TIMEOUT_SECONDS = 10.0
OUTSTANDING_MAX = 4096
NOT_HERE = {
    "wait": "a plain stub has WaitRun by call, and no loop around it",
    "worker": "a plain stub has no worker",
    "stop_worker": "a plain stub has no worker",
    "release": "a plain stub has no worker",
}


def uuid7(unix_ms, random):
    """The UUIDv7 of a time and 74 random bits."""
    value = unix_ms << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | (random & (1 << 62) - 1)
    return str(uuid.UUID(int=value))


class Plain:
    """A channel, and what every call needs."""

    def __init__(self, command):
        options = command.get("options") or {}
        self.app = command.get("app") or ""
        self.timeout = (options.get("request_timeout") or TIMEOUT_SECONDS * 1000) / 1000
        self.offset_ms = options.get("clock_offset") or 0
        self.channel = grpc.insecure_channel(
            command["endpoint"].removeprefix("http://"),
            options=[("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)],
        )
        credentials = command.get("credentials") or {}
        # The secret goes as it is: fetching tokens for it would be a client's work.
        bearer = credentials.get("token") or credentials.get("secret")
        self.metadata = [("authorization", f"Bearer {bearer}")] if bearer else []

    def mint(self):
        return uuid7(time.time_ns() // 1_000_000 + self.offset_ms, secrets.randbits(74))

    def prepare(self, request, request_id=None):
        """Puts in the id and the app where they are missing; gives the id."""
        if not request.header.request_id:
            request.header.request_id = request_id or self.mint()
        if self.app and "app" in request.DESCRIPTOR.fields_by_name and not request.app:
            request.app = self.app
        return request.header.request_id


def unary(name):
    """The path of a unary method, and its messages."""
    for service, module in SERVICES.items():
        method = module.DESCRIPTOR.services_by_name[service].methods_by_name.get(name)
        if method is not None and not method.client_streaming and not method.server_streaming:
            request, response = (getattr(module, each.name) for each in (method.input_type, method.output_type))
            return f"/semel.v1.{service}/{name}", request, response
    raise ValueError(f"there is no unary call {name}")


def message_json(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def status_json(status, request_id, code, message):
    """A refusal, as far as grpc_status explains it."""
    info, header, bad = error_details_pb2.ErrorInfo(), header_pb2.ResponseHeader(), error_details_pb2.BadRequest()
    for detail in status.details if status is not None else ():
        detail.Unpack(info) or detail.Unpack(header) or detail.Unpack(bad)
    is_refused = header.auth.status != header_pb2.AUTH_STATUS_UNSPECIFIED
    oldest = info.metadata.get("oldest_revision")
    return {
        "kind": "refused" if is_refused else "transport",
        "code": code,
        "reason": info.reason,
        "auth_status": header_pb2.AuthStatus.Name(header.auth.status),
        "may_retry": False,
        "request_id": request_id,
        "attempts": 1,
        "message": message,
        "violations": [[each.field, each.description] for each in bad.field_violations],
        "metadata": dict(info.metadata),
        "oldest_revision": int(oldest) if oldest else None,
    }


def error_json(error, request_id=""):
    """What a call ended with."""
    if isinstance(error, grpc.FutureCancelledError):
        return {**status_json(None, request_id, "CANCELLED", "cancelled"), "kind": "cancelled"}
    return status_json(rpc_status.from_call(error), request_id, error.code().name, error.details() or "")


class Driver:
    """Answers commands, each in a thread of its own."""

    def __init__(self):
        self.lock = threading.Lock()
        self.clients, self.calls, self.watches, self.stopped = {}, {}, {}, set()

    def write(self, line):
        with self.lock:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

    def run(self):
        for line in sys.stdin:
            if line.strip():
                threading.Thread(target=self.answer, args=(line,), daemon=True).start()

    def answer(self, line):
        number = None
        try:
            command = json.loads(line)
            number, op = command.get("id"), command["op"]
            handler = getattr(self, f"on_{op}", None)
            if op in NOT_HERE or handler is None:
                self.write({"id": number, "unsupported": NOT_HERE.get(op, f"no such command: {op}")})
                return
            self.write({"id": number, **handler(command)})
        except Exception as error:
            self.write({"id": number, "fault": f"{type(error).__name__}: {error}"})

    def on_hello(self, command):
        runtime = f"{platform.python_implementation()} {platform.python_version()}"
        about = {"client": "plain stub", "version": "0", "language": "python", "runtime": runtime}
        return {"ok": {**about, "grpc": f"grpcio {grpc.__version__}"}}

    def on_connect(self, command):
        if not command["endpoint"].startswith("http://127.0.0.1:"):
            return {"unsupported": "how a plain stub dials is its program's business"}
        self.clients[command["client"]] = Plain(command)
        return {"ok": {}}

    def on_close(self, command):
        self.clients[command["client"]].channel.close()
        return {"ok": {}}

    def on_mint(self, command):
        return {"ok": {"request_id": self.clients[command["client"]].mint()}}

    def on_uuid(self, command):
        return {"ok": {"uuid": uuid7(command["unix_ms"], int(command["random"], 16))}}

    def on_call(self, command):
        plain = self.clients[command["client"]]
        path, request_type, response_type = unary(command["method"])
        request = json_format.ParseDict(command.get("request") or {}, request_type())
        request_id = plain.prepare(request, command.get("request_id"))
        stub = plain.channel.unary_unary(path, request_type.SerializeToString, response_type.FromString)
        timeout = (command.get("request_timeout") or plain.timeout * 1000) / 1000
        call = self.calls[command["id"]] = stub.future(request, timeout=timeout, metadata=plain.metadata)
        try:
            response = call.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            return {"error": error_json(error, request_id)}
        return {"ok": {"response": message_json(response), "request_id": request_id, "attempts": 1}}

    def on_cancel(self, command):
        call = self.calls.get(command["target"])
        if call is not None:
            call.cancel()
        return {"ok": {}}

    def on_call_many(self, command):
        plain = self.clients[command["client"]]
        stub = job_service_pb2_grpc.JobServiceStub(plain.channel)

        def one(_):
            request = json_format.ParseDict(command["request"], job_service_pb2.RunJobRequest())
            request_id = plain.prepare(request)
            try:
                response = stub.RunJob(request, timeout=plain.timeout, metadata=plain.metadata)
            except grpc.RpcError as error:
                return {"request_id": request_id, "error": error_json(error, request_id)}
            disposition = header_pb2.Disposition.Name(response.header.disposition)
            return {"request_id": request_id, "run_id": response.run_id, "disposition": disposition}

        with ThreadPoolExecutor(command.get("concurrency") or 1) as pool:
            return {"ok": {"results": list(pool.map(one, range(command["count"])))}}

    def on_submit_many(self, command):
        plain = self.clients[command["client"]]
        template = json_format.ParseDict(command["request"], job_service_pb2.RunJobRequest())
        requests = []
        for number in range(command["count"]):
            request = job_service_pb2.RunJobRequest()
            request.CopyFrom(template)
            request.payload.data = str(number).encode()
            plain.prepare(request)
            requests.append(request)
        results = {}
        failed = self.submit(
            plain,
            iter(requests),
            lambda result: results.update({result.request_id: submitted(result)}),
            plain.timeout,
        )
        if failed is not None:
            for request in requests:
                request_id = request.header.request_id
                results.setdefault(
                    request_id, {"request_id": request_id, "error": {**failed, "request_id": request_id}}
                )
        return {"ok": {"results": [results[each.header.request_id] for each in requests]}}

    def submit(self, plain, requests, take, timeout=None):
        """Sends all over one stream; gives the error with which it ended, if it did not end well."""
        room = threading.Semaphore(OUTSTANDING_MAX)
        is_over = threading.Event()

        def messages():
            for request in requests:
                while not room.acquire(timeout=0.1):
                    if is_over.is_set():
                        return
                yield job_service_pb2.SubmitRunsRequest(runs=[request])

        stub = job_service_pb2_grpc.JobServiceStub(plain.channel)
        try:
            for response in stub.SubmitRuns(messages(), timeout=timeout, metadata=plain.metadata):
                for result in response.results:
                    room.release()
                    take(result)
        except grpc.RpcError as error:
            return error_json(error)
        finally:
            is_over.set()
        return status_json(None, "", "UNAVAILABLE", "the stream ended before the answer came")

    def on_watch(self, command):
        plain, name = self.clients[command["client"]], command["watch"]
        request = json_format.ParseDict(command.get("request") or {}, watch_service_pb2.WatchRequest())
        if command.get("token"):
            request.resume_token = command["token"]
            request.ClearField("snapshot")
        plain.prepare(request)
        stub = watch_service_pb2_grpc.WatchServiceStub(plain.channel)
        call = self.watches[name] = stub.Watch(request, metadata=plain.metadata)
        try:
            for message in call:
                for told, revision, content in items(message):
                    line = {"watch": name, "told": told, "revision": revision, "token": message.resume_token or None}
                    self.write({**line, "message": message_json(content)} if content is not None else line)
        except grpc.RpcError as error:
            return {"ok": {}} if name in self.stopped else {"error": error_json(error)}
        ended = status_json(None, "", "UNAVAILABLE", "the stream has ended")
        return {"ok": {}} if name in self.stopped else {"error": ended}

    def on_stop_watch(self, command):
        self.stopped.add(command["watch"])
        self.watches[command["watch"]].cancel()
        return {"ok": {}}

    def on_bench_submit(self, command):
        plain, items = self.clients[command["client"]], queue.SimpleQueue()
        template = json_format.ParseDict(command["request"], job_service_pb2.RunJobRequest())
        start = time.monotonic()

        def requests():
            while time.monotonic() - start < command["duration"] / 1000:
                request = job_service_pb2.RunJobRequest()
                request.CopyFrom(template)
                plain.prepare(request)
                yield request

        self.submit(plain, requests(), items.put)
        return {"ok": {"items": items.qsize(), "elapsed": round((time.monotonic() - start) * 1000)}}


def submitted(result):
    """One result of many."""
    if result.WhichOneof("outcome") == "run":
        disposition = header_pb2.Disposition.Name(result.run.disposition)
        return {"request_id": result.request_id, "run_id": result.run.run_id, "disposition": disposition}
    status = result.refused
    code = next((each.name for each in grpc.StatusCode if each.value[0] == status.code), "UNKNOWN")
    return {"request_id": result.request_id, "error": status_json(status, result.request_id, code, status.message)}


def items(message):
    """What a message of a watch tells, with its revision and what it holds."""
    kind = message.WhichOneof("kind")
    if kind == "snapshot":
        for told, rows in (("run", message.snapshot.runs), ("job", message.snapshot.jobs)):
            yield from ((told, getattr(row, "revision", 0), row) for row in rows)
        yield from (("worker", row.revision, row) for row in message.snapshot.workers)
    elif kind == "events":
        yield from (("event", event.revision, event) for event in message.events.events)
    elif kind in ("opened", "snapshot_end", "progress"):
        yield kind, getattr(message, kind).revision, None
    elif kind == "auth_notice":
        yield "expiring", 0, None


if __name__ == "__main__":
    Driver().run()
