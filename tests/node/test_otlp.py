"""Spans as a collector gets them, made of what was noted."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from edge.node.counters import Tally
from edge.node.ledger import Facts
from edge.node.otlp import encode, split_authority
from edge.node.visits import Call, Visit
from tests.support_tracing import Received

TRACE, SPAN, PARENT, CALL = b"a" * 32, b"b" * 16, b"c" * 16, b"d" * 16


def visit(**more) -> Visit:
    """A request as most are."""
    usual = {
        "began": 10.0, "ended": 10.25, "id": b"id1", "method": b"GET", "target": b"/a?b=secret",
        "authority": b"example.com:8080", "version": b"1.1", "peer": "10.0.0.1",
        "client": "192.0.2.7", "agent": b"curl/\xe9", "status": 200, "size": 99, "verdict": "miss",
        "origin": b"https://api.test:8443", "facts": Facts(Tally("shop", "main"), "dep", 2),
    }  # fmt: skip
    return Visit(TRACE, SPAN, **{**usual, **more})


def spans(*visits: Visit) -> list[Received]:
    """What a collector decodes."""
    message = ExportTraceServiceRequest.FromString(encode(visits, 1000.0, {"service.name": "x"}))
    scopes = [scope for bundle in message.resource_spans for scope in bundle.scope_spans]
    return [Received(span, {}) for scope in scopes for span in scope.spans]


def test_a_request_is_a_servers_span():
    """With the names of the semantic conventions, and no query."""
    (span,) = spans(visit(parent=PARENT))

    assert (span.trace, span.id, span.parent) == ("a" * 32, "b" * 16, "c" * 16)
    assert (span.kind, span.name, span.is_error, span.flags) == ("server", "GET", False, 0x301)
    assert (span.began, span.seconds) == (1010.0, 0.25)
    assert span.values == {
        "http.request.method": "GET",
        "url.path": "/a",
        "url.scheme": "http",
        "server.address": "example.com",
        "server.port": 8080,
        "http.response.status_code": 200,
        "http.response.size": 99,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.0.0.1",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/é",
        "edge.request_id": "id1",
        "edge.cache": "miss",
        "edge.complete": True,
        "edge.app": "shop",
        "edge.branch": "main",
        "edge.deployment": "dep",
        "edge.rule": 3,
    }


def test_a_trace_may_begin_here():
    """Then its span has no parent."""
    (span,) = spans(visit())

    assert (span.parent, span.flags) == ("", 0x201)


def test_what_an_origin_was_asked_is_a_child():
    """Its time is its own."""
    _, call = spans(visit(call=Call(CALL, 10.125, 10.25)))

    assert (call.trace, call.id, call.parent) == ("a" * 32, "d" * 16, "b" * 16)
    assert (call.kind, call.began, call.seconds) == ("client", 1010.125, 0.125)
    assert call.values == {
        "http.request.method": "GET",
        "server.address": "api.test",
        "server.port": 8443,
        "url.scheme": "https",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "edge.origin": "https://api.test:8443",
        "edge.result": "2xx",
    }


HEAD = b"HTTP/1.1 200 OK\r\n"
RESULTS = {
    (200, b""): (200, "2xx", False, False),
    (404, b""): (404, "4xx", False, True),
    (500, b""): (500, "5xx", True, True),
    (200, b"cache-status: edge; fwd=stale; fwd-status=304; ttl=60\r\n"): (304, "3xx", False, False),
    (502, b"Proxy-Status: edge; error=dns_error\r\n"): (None, "dns_error", True, True),
    (0, b""): (None, "client_gone", True, True),
}


@pytest.mark.parametrize(("case", "expected"), RESULTS.items())
def test_what_came_of_it(case, expected):
    """4xx is an error of the client alone; a failure is told by RFC 9209's word."""
    status, line = case
    server, call = spans(visit(status=status, head=HEAD + line, call=Call(CALL, 10.0, 10.1)))
    told = call.values.get("http.response.status_code"), call.values["edge.result"]

    assert (*told, server.is_error, call.is_error) == expected
    assert ("error.type" in call.values) == call.is_error


def test_methods_that_nobody_knows_make_no_names():
    """What was sent is told beside it."""
    (span,) = spans(visit(method=b"BREW", facts=None))

    assert span.name == "HTTP"
    assert span.values["http.request.method"] == "_OTHER"
    assert span.values["http.request.method_original"] == "BREW"


AUTHORITIES = {
    b"": ("", None),
    b"a.test": ("a.test", None),
    b"a.test:80": ("a.test", 80),
    b"[::1]:80": ("[::1]", 80),
    b"[::1]": ("[::1]", None),
    b"a:123456": ("a:123456", None),
}


@pytest.mark.parametrize(("authority", "expected"), AUTHORITIES.items())
def test_host_and_port(authority, expected):
    """As far as there is one."""
    assert split_authority(authority) == expected
