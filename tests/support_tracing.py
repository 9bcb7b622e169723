"""A collector that tests read: OTLP over HTTP, taken by aiohttp and decoded by its own messages."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support_wire import until


class Received:
    """One span, as a test asks for it."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.kind = {2: "server", 3: "client"}[span.kind]
        self.name = span.name
        self.is_error = span.status.code == 2
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        self.began = span.start_time_unix_nano / 1e9
        self.flags = span.flags
        self.values = values_of(span.attributes)
        self.resource = resource


def values_of(attributes: Any) -> dict[str, Any]:
    """Attributes by their names."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class Receiver:
    """What it got, and what it answers."""

    def __init__(self) -> None:
        self.port = 0
        self.spans: list[Received] = []
        self.fields: list[dict[str, str]] = []
        """Of each message."""
        self.answers: list[tuple[int, dict[str, str]]] = []
        """Statuses and fields of the next messages, which are not taken then; else 200."""

    async def take(self, request: web.Request) -> web.Response:
        """One message."""
        message = ExportTraceServiceRequest()
        message.ParseFromString(await request.read())
        self.fields.append({name.lower(): value for name, value in request.headers.items()})
        if self.answers:
            status, fields = self.answers.pop(0)
            return web.Response(status=status, headers=fields)
        for bundle in message.resource_spans:
            resource = values_of(bundle.resource.attributes)
            for scope in bundle.scope_spans:
                self.spans += [Received(span, resource) for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def wait(self, count: int) -> list[Received]:
        """The spans, once there are so many."""
        await until(lambda: len(self.spans) >= count)
        return self.spans

    async def wait_tries(self, count: int) -> None:
        """Until so many messages came."""
        await until(lambda: len(self.fields) >= count)


@contextlib.asynccontextmanager
async def collecting(context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A collector on a port of its own."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
