"""What is passed on is what came: requests to origins and responses to clients, parsed again."""

from __future__ import annotations

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.http.forwarding import Gateway, Passage, request_fields, response_fields
from edge.http.heads import Head
from edge.http.http1 import Http1, Limits
from edge.http.http1_client import Http1Client
from edge.http.message import Request, finish_head

UNHURRIED = settings(deadline=None, max_examples=200)
GATEWAY = Gateway(b"here")
PASSAGE = Passage(host=b"o.test", scheme=b"http", authority=b"a.test")

NAMES = st.sampled_from(
    [b"x-a", b"accept", b"if-match", b"user-agent", b"cookie", b"range", b"x_b", b"x.c", b"etag",
     b"cache-control", b"set-cookie", b"server", b"link"]
)  # fmt: skip
HOP_BY_HOP = st.sampled_from(
    [b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te", b"proxy", b"expect",
     b"proxy-authorization", b"http2-settings", b"x-forwarded-for", b"x-forwarded-host",
     b"x-original-url", b"via", b"forwarded"]
)  # fmt: skip
"""What does not cross as it is."""

VISIBLE = [*range(0x21, 0x7F), *range(0x80, 0x100)]
VALUES = st.builds(
    lambda ends, middle: ends[:1] + middle + ends[1:],
    st.lists(st.sampled_from(VISIBLE), min_size=2, max_size=2).map(bytes),
    st.lists(st.sampled_from([*VISIBLE, 0x20, 0x09]), max_size=20).map(bytes),
)
"""Field values of RFC 9110 §5.5, obs-text among them."""

LINES = st.lists(st.tuples(NAMES, VALUES), max_size=6)
SPECIAL = st.lists(st.tuples(HOP_BY_HOP, VALUES), max_size=3)
TARGETS = st.lists(
    st.sampled_from([b"a", b"%2F", b"%0d%0a", b"?", b"/", b"//", b"..", b"&", b"=", b"%", b"'"])
).map(lambda parts: b"/" + b"".join(parts))
METHODS = st.sampled_from([b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PROPFIND"])


def raw(first: bytes, lines: list[tuple[bytes, bytes]], content: bytes = b"") -> bytes:
    """A message as its sender writes it."""
    head = b"".join(b"%b: %b\r\n" % line for line in lines)
    return b"%b\r\n%b\r\n%b" % (first, head, content)


def crossing(lines: list[tuple[bytes, bytes]], *without: bytes) -> list[tuple[bytes, bytes]]:
    """The lines that are for the other end, and no business of ours."""
    return [(name, value) for name, value in lines if name not in without]


@UNHURRIED
@given(METHODS, TARGETS, LINES, SPECIAL)
def test_a_request_arrives_as_it_was_sent(method, target, lines, special):
    """Method, target and end-to-end fields, byte for byte and in their order; one message."""
    asked = [(b"host", b"a.test"), *lines, *special]
    wire = Http1(Limits())
    request = wire.receive(raw(b"%b %b HTTP/1.1" % (method, target), asked))
    assert isinstance(request, Request)

    fields = request_fields(request, PASSAGE, GATEWAY)
    sent = Http1Client().request(request.method, request.target, fields, ends=request.ends)
    again = Http1(Limits()).receive(sent)

    assert isinstance(again, Request)
    assert (again.method, again.target, again.ends) == (method, target, True)
    named = {option.strip(b" \t").lower() for _, value in options(special) for option in value}
    expected = crossing(lines, b"cookie", *named)
    ours = {name for name, _ in expected}
    assert [line for line in again.fields if line[0] in ours] == expected
    assert as_h11_reads(sent) == (method, target)


def options(special: list[tuple[bytes, bytes]]) -> list[tuple[bytes, list[bytes]]]:
    """What Connection names."""
    return [(name, value.split(b",")) for name, value in special if name == b"connection"]


def as_h11_reads(sent: bytes) -> tuple[bytes, bytes]:
    """The one request that a strict origin finds."""
    origin = h11.Connection(h11.SERVER)
    origin.receive_data(sent)
    request = origin.next_event()
    assert isinstance(request, h11.Request)
    assert isinstance(origin.next_event(), h11.EndOfMessage)
    assert origin.trailing_data == (b"", False)
    return request.method, request.target


@UNHURRIED
@given(st.sampled_from([200, 206, 301, 404, 503]), LINES, st.binary(max_size=60), st.booleans(),
       st.lists(st.integers(1, 20), max_size=5))  # fmt: skip
def test_a_response_arrives_as_it_was_sent(status, lines, content, is_chunked, cuts):
    """Status, end-to-end fields and content, whatever frames them and however it is cut."""
    framing = [(b"transfer-encoding", b"chunked")]
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"
    if not is_chunked:
        framing, body = [(b"content-length", b"%d" % len(content))], content
    client = Http1Client()
    client.request(b"GET", b"/", [(b"host", b"o.test")], ends=True)

    events = []
    for piece in pieces_of(raw(b"HTTP/1.1 %d Any" % status, [*lines, *framing], body), cuts):
        events += client.receive(piece)
    head = events[0]
    assert isinstance(head, Head)
    passed = response_fields(head.status, head.version, head.fields)
    received = b"".join(event for event in events if isinstance(event, bytes))

    assert (head.status, received) == (status, content)
    assert crossing(passed, b"content-length", b"via") == lines
    written = finish_head(head.status, passed).lines
    assert written.count(b"\r\n") == written.count(b"\n") == len(passed) + 1


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` in pieces of these sizes, and the rest."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]
