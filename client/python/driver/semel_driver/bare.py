"""The floor of `bench_submit`: the same stream by the generated messages and gRPC alone, against a server that only
answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from semel import v1

OUTSTANDING_MAX = 4096
PATH = "/semel.v1.JobService/SubmitRuns"
TYPES: dict[str, Any] = {
    "request_serializer": v1.SubmitRunsRequest.SerializeToString,
    "response_deserializer": v1.SubmitRunsResponse.FromString,
}
REQUEST_ID = "01977420-dc7b-7578-847b-9c531029d007"


def message(count: int) -> v1.SubmitRunsRequest:
    run = v1.RunJobRequest(header=v1.RequestHeader(request_id=REQUEST_ID), job="bench", payload=v1.Payload(data=b"x"))
    return v1.SubmitRunsRequest(runs=[run] * count)


def echo(endpoint: str, duration: float, per_message: int) -> dict[str, Any]:
    """Blocking."""
    room = threading.Semaphore(OUTSTANDING_MAX // per_message)
    sent = [0]
    start = time.monotonic()

    def requests() -> Iterator[v1.SubmitRunsRequest]:
        while time.monotonic() - start < duration:
            if room.acquire(timeout=0.1):
                sent[0] += per_message
                yield message(per_message)

    items = 0
    with grpc.insecure_channel(endpoint.removeprefix("http://"), options=[("grpc.enable_http_proxy", 0)]) as channel:
        for response in channel.stream_stream(PATH, **TYPES)(requests()):
            items += len(response.results)
            for _ in range(len(response.results) // per_message):
                room.release()
    return {"items": items, "elapsed": round((time.monotonic() - start) * 1000)}


async def echo_async(endpoint: str, duration: float, per_message: int) -> dict[str, Any]:
    """By asyncio."""
    import asyncio

    room = asyncio.Semaphore(max(OUTSTANDING_MAX // per_message, 1))
    start, items = time.monotonic(), 0
    async with grpc.aio.insecure_channel(
        endpoint.removeprefix("http://"), options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        call: Any = channel.stream_stream(PATH, **TYPES)()

        async def send() -> None:
            while time.monotonic() - start < duration:
                try:
                    await asyncio.wait_for(room.acquire(), 0.1)
                except (asyncio.TimeoutError, TimeoutError):
                    continue
                await call.write(message(per_message))
            await call.done_writing()

        sending = asyncio.create_task(send())
        while (response := await call.read()) is not grpc.aio.EOF:
            items += len(response.results)
            for _ in range(len(response.results) // per_message):
                room.release()
        await sending
    return {"items": items, "elapsed": round((time.monotonic() - start) * 1000)}
