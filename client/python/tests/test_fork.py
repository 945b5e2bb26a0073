"""What the README says of forking: a client that was made before a fork, and not used, works after it. In a process of its
own, for those that have used gRPC are not to fork."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest
from conftest import App

PROGRAM = """
import multiprocessing, os, semel

app = os.environ["SEMEL_APP"]
client = semel.Client(os.environ["SEMEL_SERVER"], app=app, credentials=semel.Secret.from_env(app))
context = multiprocessing.get_context("fork")
results = context.Queue()
children = [context.Process(target=lambda: results.put(client.run_job("count").run_id)) for _ in range(2)]
for child in children:
    child.start()
run_ids = {results.get(timeout=30) for _ in children}
for child in children:
    child.join(30)
    assert child.exitcode == 0
assert len(run_ids) == 2
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_a_client_that_was_not_used_survives_a_fork(app: App) -> None:
    own = {"SEMEL_SERVER": app.server.endpoint, "SEMEL_APP": app.name, "SEMEL_SECRET": app.secret}
    subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **own}, check=True, timeout=60)
