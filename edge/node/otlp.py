"""
Spans as OTLP has them: a server's for each visit, and a client's for what its origin was asked.

Laws: runs in a thread, and only where the extra `edge[otel]` is installed. Names are those of the
semantic conventions for HTTP; what is the node's own begins with `edge.`. No query is told.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/;
https://opentelemetry.io/docs/specs/otlp/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from edge.node.visits import Call, Visit

METHODS: Final = frozenset(
    b"CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE QUERY".split()
)  # fmt: skip
"""Others are `_OTHER`, so that no client makes names of spans."""

REMOTE: Final = 0x100
HAS_REMOTE: Final = 0x200
"""Flags of a span: whether its parent is in another process, and that this is known."""

FAILURE: Final = re.compile(rb"\r\nproxy-status: edge; error=([a-z0-9_]+)", re.IGNORECASE)
FORWARD_STATUS: Final = re.compile(
    rb"\r\ncache-status: edge; [^\r]*fwd-status=(\d+)", re.IGNORECASE
)

Value = str | int | bool | bytes | None


def encode(visits: Iterable[Visit], offset: float, resource: dict[str, str]) -> bytes:
    """One message to a collector; `offset` makes epoch seconds of monotonic ones."""
    message = ExportTraceServiceRequest()
    bundle = message.resource_spans.add()
    tell(bundle.resource.attributes, resource)
    scope = bundle.scope_spans.add()
    scope.scope.name = "edge"
    for visit in visits:
        tell_server(scope.spans.add(), visit, offset)
        if visit.call is not None:
            tell_client(scope.spans.add(), visit, visit.call, offset)
    encoded: bytes = message.SerializeToString()
    return encoded


def tell_server(span: Span, visit: Visit, offset: float) -> None:
    """What the client saw."""
    host, port = split_authority(visit.authority)
    facts = visit.facts
    values: dict[str, Value] = {
        **method_of(visit),
        "url.path": visit.target.partition(b"?")[0],
        "url.scheme": "https" if visit.is_secure else "http",
        "server.address": host,
        "server.port": port,
        "http.response.status_code": visit.status or None,
        "http.response.size": visit.size,
        "client.address": visit.client or None,
        "network.peer.address": visit.peer or None,
        "network.protocol.name": "http",
        "network.protocol.version": visit.version,
        "user_agent.original": visit.agent or None,
        "edge.request_id": visit.id,
        "edge.cache": visit.verdict or None,
        "edge.complete": visit.is_whole,
    }
    if facts is not None:
        values["edge.app"] = facts.tally.app or None
        values["edge.branch"] = facts.tally.branch or None
        values["edge.deployment"] = facts.deployment or None
        values["edge.rule"] = None if facts.rule is None else facts.rule + 1
    error = "client_gone" if not visit.status else str(visit.status) if visit.status >= 500 else ""
    tell_both(span, visit, values, error)
    span.kind = Span.SPAN_KIND_SERVER
    span.span_id, span.parent_span_id = digits(visit.span), digits(visit.parent)
    span.flags = visit.flags | HAS_REMOTE | (REMOTE if visit.parent else 0)
    span.start_time_unix_nano, span.end_time_unix_nano = times(visit.began, visit.ended, offset)


def tell_client(span: Span, visit: Visit, call: Call, offset: float) -> None:
    """What the origin was asked, until the head of its answer was sent on."""
    failure, forwarded = FAILURE.search(visit.head), FORWARD_STATUS.search(visit.head)
    status = 0 if failure else int(forwarded[1]) if forwarded else visit.status
    error = failure[1].decode() if failure else str(status) if status >= 400 else ""
    if not visit.status:
        error = "client_gone"
    host, port = split_authority(visit.origin.rpartition(b"//")[2])
    values: dict[str, Value] = {
        **method_of(visit),
        "server.address": host or None,
        "server.port": port,
        "url.scheme": visit.origin.partition(b":")[0] or None,
        "http.response.status_code": status or None,
        "network.protocol.version": "1.1",
        "edge.origin": visit.origin or None,
        "edge.result": error if failure or not status else f"{status // 100}xx",
    }
    tell_both(span, visit, values, error)
    span.kind = Span.SPAN_KIND_CLIENT
    span.span_id, span.parent_span_id = digits(call.span), digits(visit.span)
    span.flags = visit.flags | HAS_REMOTE
    span.start_time_unix_nano, span.end_time_unix_nano = times(call.began, call.ended, offset)


def tell_both(span: Span, visit: Visit, values: dict[str, Value], error: str) -> None:
    """What both have alike."""
    span.name = visit.method.decode() if visit.method in METHODS else "HTTP"
    span.trace_id = digits(visit.trace)
    if error:
        values["error.type"] = error
        span.status.code = Status.STATUS_CODE_ERROR
    tell(span.attributes, values)


def method_of(visit: Visit) -> dict[str, Value]:
    """A method that is known, or what was sent beside `_OTHER`."""
    if visit.method in METHODS:
        return {"http.request.method": visit.method}
    return {"http.request.method": "_OTHER", "http.request.method_original": visit.method}


def tell(told: Any, values: Mapping[str, Value]) -> None:
    """
    Those that there are; bytes are what they are in Latin-1, as in the access log.

    Added in place: making each message for itself takes four times as long.
    """
    for key, value in values.items():
        if value is None:
            continue
        entry = told.add(key=key).value
        if isinstance(value, bool):
            entry.bool_value = value
        elif isinstance(value, int):
            entry.int_value = value
        else:
            entry.string_value = value.decode("latin-1") if isinstance(value, bytes) else value


def split_authority(authority: bytes) -> tuple[str, int | None]:
    """Host, and port where one is stated."""
    host, colon, port = authority.rpartition(b":")
    if not colon or not port.isdigit() or len(port) > 5:
        return authority.decode("latin-1"), None
    return host.decode("latin-1"), int(port)


def times(began: float, ended: float, offset: float) -> tuple[int, int]:
    """Nanoseconds since the epoch."""
    return int((began + offset) * 1e9), int((max(began, ended) + offset) * 1e9)


def digits(identifier: bytes) -> bytes:
    """The octets of an identifier."""
    return bytes.fromhex(identifier.decode())
