"""What the integration tests share: a server of their own, with an app and its secret."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

import semel
from semel import v1

START_SECONDS_MAX = 60.0


class Server:
    """A `semel serve` in a folder of its own."""

    def __init__(self, binary: str, folder: pathlib.Path, *flags: str) -> None:
        self.binary, self.folder, self.flags = binary, folder, flags
        self.address = "127.0.0.1:0"
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    @property
    def admin(self) -> semel.Client:
        token = (self.folder / "data" / "admin-secret").read_text().strip()
        return semel.Client(self.endpoint, credentials=semel.Token(token))

    def start(self) -> None:
        """Starts it, the second time where it was."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        flags = [
            "--listen",
            self.address,
            "--data-dir",
            str(self.folder / "data"),
            "--ready-file",
            str(ready),
            *self.flags,
        ]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                self.address = json.loads(ready.read_text())["address"]
                return
            except (FileNotFoundError, ValueError):
                pass
            try:
                status = self.process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the server ended with status {status}: {(self.folder / 'server.log').read_text()}")
        raise RuntimeError(f"the server wrote no ready file within {START_SECONDS_MAX} s")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def restart(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.stop(number)
        self.start()


class App:
    """An app on a server, with its secret and a job."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        with server.admin as admin:
            self.secret = admin.create_app(name).secret
        with self.client() as client:
            for processor in ("count", "conformance.echo"):
                client.create_job(processor.replace("conformance.", ""), spec=v1.JobSpec(processor=processor))

    @property
    def credentials(self) -> semel.Secret:
        return semel.Secret(self.name, self.secret)

    def client(self, **options: object) -> semel.Client:
        return semel.Client(self.server.endpoint, app=self.name, **{"credentials": self.credentials, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def binary() -> str:
    path = os.environ.get("SEMEL_BIN", "")
    if path and pathlib.Path(path).is_file():
        return path
    message = f"SEMEL_BIN names no built server: {path!r}"
    if os.environ.get("SEMEL_REQUIRE_BIN") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def server(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(binary, tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def own_server(binary: str, tmp_path: pathlib.Path) -> Iterator[Server]:
    """One that a test may stop and start."""
    server = Server(binary, tmp_path)
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def app(server: Server, request: pytest.FixtureRequest) -> App:
    name = "".join(each if each.isalnum() else "-" for each in request.node.name.lower())
    return App(server, name[:60].strip("-") or "app")
