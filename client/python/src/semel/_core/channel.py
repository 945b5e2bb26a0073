"""How a channel is set up: where it leads, and with which options."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import grpc

from semel._core.options import Settings
from semel._core.version import VERSION
from semel.errors import UsageError

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""The largest message in either direction, as the server has it."""


def service_config() -> str:
    """gRPC's own part of the retries, as JSON, for plain stubs: set it as the option `grpc.service_config` of a channel.

    The client itself does without it. A copy that gRPC sends is the same call, and so does no harm by itself. But nobody
    learns of it: if the first copy took effect and lost its answer, and the second is refused for the time of its id, the
    client would see one attempt that surely took no effect, mint a fresh id, and make the call twice.
    """
    return resources.files("semel").joinpath("service_config.json").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Route:
    """Where a channel leads."""

    target: str
    """What gRPC is to dial."""
    credentials: grpc.ChannelCredentials | None
    """None for plaintext."""


def route(settings: Settings) -> Route:
    """The way to `https://host:port`, `http://host:port` or `unix:/path`. Raises `UsageError` for anything else, and where
    credentials would travel in plaintext to another machine."""
    endpoint = settings.endpoint
    if endpoint.startswith("unix:"):
        return Route(endpoint, None)
    parts = urlsplit(endpoint)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"cannot use the endpoint {endpoint!r}: {error}") from error
    is_known = parts.scheme in ("http", "https")
    if not is_known or not host or parts.path not in ("", "/") or parts.query or parts.username:
        raise UsageError(
            f"cannot use the endpoint {endpoint!r}: it must be https://host:port, http://host:port or unix:/path"
        )
    address = f"[{host}]" if ":" in host else host
    if parts.scheme == "https":
        tls = settings.tls
        credentials = grpc.ssl_channel_credentials(tls.ca_certificates, tls.client_key, tls.client_certificate)
        return Route(f"{address}:{port or 443}", credentials)
    if settings.credentials is not None and not settings.allow_plaintext and not _is_loopback(host):
        raise UsageError(
            f"cannot use the endpoint {endpoint!r}: it is not on this machine, and anybody on the way could read the "
            "credentials; use https://, or allow_plaintext=True if the network is trusted, as behind a mesh that encrypts"
        )
    return Route(f"{address}:{port or 80}", None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def options(settings: Settings) -> list[tuple[str, Any]]:
    """The options of a channel. It shares its connection with no other client, asks no proxy of the environment, and
    comes back soon after the server does. gRPC's own retries are off: see `service_config`."""
    named = settings.tls.server_name
    return [
        *([("grpc.ssl_target_name_override", named)] if named else []),
        ("grpc.primary_user_agent", f"{settings.client_name}/{VERSION}"),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 5000),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_retries", 0),
    ]
