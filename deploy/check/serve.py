"""Starts the binary with the settings of the pod, and sees that it does what the manifests count on: the paths of the probes
answer, what the dashboard and the alerts ask for is there, and SIGTERM ends it with 0 within the grace, with a connection left open."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import yaml

from metrics import DEPLOY, SERIES, SUFFIXES_OF_HISTOGRAMS, expressions

START_SECONDS = 60


def start(folder: Path) -> tuple[subprocess.Popen, dict]:
    """A server on free ports of loopback, and what it says of itself once it is ready."""
    ready = folder / "ready.json"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SEMEL_")}
    env |= {"SEMEL_LISTEN": "127.0.0.1:0", "SEMEL_ADMIN_LISTEN": "127.0.0.1:0", "SEMEL_DATA_DIR": str(folder / "data")}
    command = [os.environ["SEMEL_BIN"], "serve", "--config", str(DEPLOY / "kubernetes/semel.toml"), "--ready-file", str(ready)]
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    until = time.monotonic() + START_SECONDS
    while not ready.exists():
        if server.poll() is not None or time.monotonic() > until:
            server.kill()
            sys.exit(f"the server did not start (status {server.wait()})")
        time.sleep(0.05)
    return server, json.loads(ready.read_text())


def get(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
        return answer.read().decode()


def families(text: str) -> set[str]:
    """The names of the series of what /metrics declares, whether there is a series yet or not: some come with the first call,
    or with a certificate."""
    suffixes = {"counter": ("_total",), "info": ("_info",), "histogram": SUFFIXES_OF_HISTOGRAMS}
    declared = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M)
    return {name + suffix for name, kind in declared for suffix in suffixes.get(kind, ("",))}


def main() -> None:
    pod = yaml.safe_load((DEPLOY / "kubernetes/statefulset.yaml").read_text())["spec"]["template"]["spec"]
    probes = [pod["containers"][0][f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")]
    wanted = {name for _, text in expressions() for name, _ in SERIES.findall(text)}
    with tempfile.TemporaryDirectory() as folder:
        server, said = start(Path(folder))
        try:
            for path in probes:
                get(said["admin"], path)
            shown = families(get(said["admin"], "/metrics"))
            if missing := wanted - shown:
                sys.exit(f"/metrics does not show {sorted(missing)}")
            host, port = said["address"].rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=30):
                server.send_signal(signal.SIGTERM)
                status = server.wait(timeout=pod["terminationGracePeriodSeconds"])
            if status != 0:
                sys.exit(f"SIGTERM ended it with {status}")
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
