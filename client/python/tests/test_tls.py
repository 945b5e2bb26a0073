"""Calls over TLS: who is believed, and who is not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
import trustme
from statuses import header

import semel
import semel.aio
from semel import v1

ONCE = semel.RetryOptions.none()


class Server:
    """A server with a certificate for `localhost`, which may ask for one. It answers every RunJob."""

    def __init__(self, of_clients: trustme.CA | None = None) -> None:
        self.authority = trustme.CA()
        self.calls = 0
        issued = self.authority.issue_cert("localhost")
        credentials = grpc.ssl_server_credentials(
            [(issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())],
            root_certificates=of_clients.cert_pem.bytes() if of_clients else None,
            require_client_auth=of_clients is not None,
        )
        handler = grpc.unary_unary_rpc_method_handler(
            self.run_job, v1.RunJobRequest.FromString, v1.RunJobResponse.SerializeToString
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("semel.v1.JobService", {"RunJob": handler}),)
        )
        self.port = self.server.add_secure_port("localhost:0", credentials)
        self.server.start()

    @property
    def endpoint(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def roots(self) -> bytes:
        return self.authority.cert_pem.bytes()

    def run_job(self, request: v1.RunJobRequest, _: grpc.ServicerContext) -> v1.RunJobResponse:
        self.calls += 1
        answered = header()
        answered.request_id = request.header.request_id
        return v1.RunJobResponse(header=answered, run_id="r")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.stop(None)


def run(endpoint: str, tls: semel.Tls) -> None:
    with semel.Client(endpoint, app="pay", tls=tls, retry=ONCE, timeout=20) as client:
        client.run_job("settle")


async def test_a_server_is_believed_by_the_authority_that_was_given(server: Server) -> None:
    given = semel.Tls(ca_certificates=server.roots)
    run(server.endpoint, given)
    async with semel.aio.Client(server.endpoint, app="pay", tls=given, retry=ONCE, timeout=20) as client:
        await client.run_job("settle")
    assert server.calls == 2

    stranger = semel.Tls(ca_certificates=trustme.CA().cert_pem.bytes())
    named = semel.Tls(ca_certificates=server.roots, server_name="semel.example")
    for wrong in (semel.Tls(), stranger, named):
        with pytest.raises(semel.TransportError):
            run(server.endpoint, wrong)
    with pytest.raises(semel.TransportError):
        run(server.endpoint.replace("https", "http"), given)
    assert server.calls == 2, "no other call came through"


def test_a_certificate_is_shown_to_a_server_that_asks_for_one() -> None:
    of_clients = trustme.CA()
    server = Server(of_clients)
    try:
        with pytest.raises(semel.TransportError):
            run(server.endpoint, semel.Tls(ca_certificates=server.roots))
        issued = of_clients.issue_cert("worker")
        chain, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
        run(server.endpoint, semel.Tls(server.roots, chain, key))
        assert server.calls == 1
    finally:
        server.server.stop(None)
