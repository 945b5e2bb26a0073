"""The client that all three programs of the example use, set up from the environment."""

import os

import semel


def connect() -> semel.Client:
    """SEMEL_SERVER, SEMEL_APP and SEMEL_SECRET say where, which app, and who."""
    app = os.environ["SEMEL_APP"]
    server = os.environ.get("SEMEL_SERVER", "http://127.0.0.1:7400")
    return semel.Client(server, app=app, credentials=semel.Secret.from_env(app))
