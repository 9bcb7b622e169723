"""Field lines to an origin and back: what leaves, what never does, and what is refused whole."""

from __future__ import annotations

import re

import pytest
import zttp
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import EdgeError, MalformedRequest, OriginError
from edge.http.fields import FieldList, Fields
from edge.http.forwarding import (
    Gateway,
    Passage,
    forwards_left,
    proxy_status,
    request_fields,
    response_fields,
    trailer_fields,
)
from edge.http.hops import FOLD, HOP_BY_HOP
from edge.http.message import Request

GATEWAY = Gateway(b"3F2A", [b"CloudFront-Viewer-Country"])
PEER = "203.0.113.9"
PASSAGE = Passage(host=b"app:3000", scheme=b"https", authority=b"example.com")
TRUSTED = Passage(host=b"app:3000", scheme=b"https", authority=b"example.com", is_trusted=True)

OWN = [
    (b"x-forwarded-for", b"203.0.113.9"),
    (b"x-forwarded-proto", b"https"),
    (b"forwarded", b"for=203.0.113.9;host=example.com;proto=https"),
    (b"x-forwarded-host", b"example.com"),
    (b"via", b"1.1 edge-3f2a"),
    (b"cdn-loop", b"edge-3f2a"),
]
"""What is added to every request of `PASSAGE`."""


def request(
    *lines: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: bytes = b"1.1",
    ends: bool = True,
) -> Request:
    """A request of an untrusted client."""
    fields = FieldList(list(lines))
    made = Request(method, b"/", b"example.com", fields, version, 0, ends, expects=False)
    made.peer = PEER
    return made


def sent(*lines: tuple[bytes, bytes], passage: Passage = PASSAGE, **more) -> list:
    """What is sent for a request with these lines, without what is always sent."""
    found = request_fields(request(*lines, **more), passage, GATEWAY)

    assert found[0] == (b"host", b"app:3000")
    return [line for line in found[1:] if line not in OWN]


def returned(*lines: tuple[bytes, bytes], status: int = 200) -> list:
    """What is returned for a response with these lines, without Via."""
    found = response_fields(status, b"1.1", FieldList(list(lines)))

    assert found[-1] == (b"via", b"1.1 edge")
    return found[:-1]


# To the origin


def test_a_request_of_a_browser():
    """The whole of it, in order."""
    found = request_fields(
        request(
            (b"Host", b"example.com"),
            (b"Connection", b"keep-alive"),
            (b"User-Agent", b"Mozilla/5.0"),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"gzip, br"),
            (b"Cookie", b"a=1; b=2"),
        ),
        PASSAGE,
        GATEWAY,
    )

    assert found == [
        (b"host", b"app:3000"),
        (b"user-agent", b"Mozilla/5.0"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, br"),
        (b"cookie", b"a=1; b=2"),
        *OWN,
    ]


@pytest.mark.parametrize(
    "line",
    [
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"Proxy-Authorization", b"Basic eA=="),
        (b"Proxy-Authenticate", b"Basic"),
        (b"TE", b"gzip"),
        (b"Trailer", b"x-sum"),
        (b"Upgrade", b"websocket"),
        (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
        (b"Expect", b"100-continue"),
        (b"Proxy", b"http://evil.example"),
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Host", b"evil.example"),
        (b"X-Forwarded-Port", b"1337"),
        (b"X-Forwarded-Whatever", b"x"),
        (b"x_forwarded_for", b"127.0.0.1"),
        (b"X.Forwarded.For", b"127.0.0.1"),
        (b"X-Real-IP", b"127.0.0.1"),
        (b"X_Real_IP", b"127.0.0.1"),
        (b"X-Original-URL", b"/admin"),
        (b"X-Rewrite-URL", b"/admin"),
        (b"Forwarded", b"for=127.0.0.1"),
        (b"Content_Length", b"5"),
        (b"Transfer.Encoding", b"chunked"),
        (b"cloudfront-viewer-country", b"US"),
        (b"CloudFront_Viewer_Country", b"US"),
    ],
)
def test_what_never_leaves(line):
    """Of the hop, of the edge, or a client's word about itself."""
    assert sent(line) == []


@pytest.mark.parametrize(
    "line", [(b"x-real-ip", b"1.2.3.4"), (b"cloudfront-viewer-country", b"US")]
)
def test_what_a_trusted_proxy_states_goes_on(line):
    """Its other statements, and its chain in front of our element; but not X-Forwarded-Host."""
    found = dict(
        request_fields(
            request(
                line,
                (b"X-Forwarded-For", b"192.0.2.1"),
                (b"X-Forwarded-Host", b"evil.example"),
                (b"X-Forwarded-Proto", b"gopher"),
                (b"Forwarded", b"for=192.0.2.1"),
            ),
            TRUSTED,
            GATEWAY,
        )
    )

    assert found[line[0]] == line[1]
    assert found[b"x-forwarded-for"] == b"192.0.2.1, 203.0.113.9"
    assert found[b"forwarded"] == b"for=192.0.2.1, " + OWN[2][1]
    assert found[b"x-forwarded-host"] == b"example.com"
    assert found[b"x-forwarded-proto"] == b"https"


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([(b"Connection", b"x-a, X-B"), (b"X-A", b"1"), (b"X-C", b"2")], [(b"x-c", b"2")]),
        (
            [
                (b"Connection", b"Authorization, Cookie"),
                (b"Authorization", b"a"),
                (b"Cookie", b"b"),
            ],
            [(b"authorization", b"a"), (b"cookie", b"b")],
        ),
        (
            [(b"Connection", b"X-Forwarded-For, Host, Via, CDN-Loop, Forwarded, close")],
            [],
        ),
    ],
)
def test_connection_removes_what_it_may(lines, left):
    """And none of what we say: all of `OWN` is there, or `sent` would not find it."""
    found = request_fields(request(*lines), PASSAGE, GATEWAY)

    assert [line for line in found if line not in OWN] == [(b"host", b"app:3000"), *left]
    assert [line for line in found if line in OWN] == OWN


def test_trailers_are_asked_for():
    """TE is of the hop, and says so in Connection; what it says of codings is not ours to pass."""
    expected = [(b"connection", b"TE"), (b"te", b"trailers")]

    assert sent((b"te", b"trailers"), version=b"2")[:2] == expected
    assert sent((b"TE", b"gzip;q=1, Trailers ;q=0.5")) == expected


def test_an_upgrade_is_kept_for_a_tunnel():
    """As it was judged, whatever the client wrote."""
    passage = Passage(
        host=b"app:3000", scheme=b"https", authority=b"example.com", upgrade=b"websocket"
    )
    lines = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"h2c, websocket"),
        (b"Sec-WebSocket-Key", b"eA=="),
    ]

    assert sent(*lines, passage=passage) == [
        (b"sec-websocket-key", b"eA=="),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
    ]


def test_verified_credentials_end_here():
    """Those for the origin do not."""
    line = (b"Authorization", b"Basic eA==")
    passage = Passage(host=b"app:3000", scheme=b"https", authority=b"example.com", is_verified=True)

    assert sent(line, passage=passage) == []
    assert sent(line) == [(b"authorization", b"Basic eA==")]


def test_other_values_for_the_clients_fields():
    """Instead of all its lines of that name; empty for none. Aliases count."""
    passage = Passage(
        host=b"app:3000",
        scheme=b"https",
        authority=b"example.com",
        overrides={
            b"accept-encoding": b"br",
            b"cookie": b"",
            b"range": b"",
            b"if-none-match": b'"x"',
        },
    )
    lines = [
        (b"Accept-Encoding", b"gzip"),
        (b"accept-encoding", b"zstd"),
        (b"Accept_Encoding", b"deflate"),
        (b"Cookie", b"a=b"),
        (b"Range", b"bytes=0-1"),
    ]

    assert sent(*lines, passage=passage) == [
        (b"accept-encoding", b"br"),
        (b"if-none-match", b'"x"'),
    ]


def test_cookies_of_http2_become_one_line():
    """RFC 9113 §8.2.3."""
    found = sent(
        (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b""), (b"cookie", b"b=2; c=3"), version=b"2"
    )

    assert found[:2] == [(b"x", b"y"), (b"cookie", b"a=1; b=2; c=3")]


def test_without_a_host_there_is_none_to_tell():
    """HTTP/1.0."""
    passage = Passage(host=b"app:3000", scheme=b"http", authority=b"")
    found = dict(request_fields(request(version=b"1.0"), passage, GATEWAY))

    assert b"x-forwarded-host" not in found
    assert found[b"forwarded"] == b"for=203.0.113.9;proto=http"
    assert found[b"via"] == b"1.0 edge-3f2a"


@pytest.mark.parametrize("line", [(b"CDN-Loop", b"edge-3f2a"), (b"Via", b"1.1 EDGE-3F2A")])
def test_a_loop_is_cut(line):
    """508; another node's name is a chain."""
    with pytest.raises(OriginError) as caught:
        sent(line)

    assert proxy_status(caught.value) == b"edge; error=proxy_loop_detected"
    assert caught.value.status == 508


@pytest.mark.parametrize(
    ("method", "value", "left", "expected"),
    [
        (b"OPTIONS", b"3", 3, [(b"max-forwards", b"2")]),
        (b"TRACE", b"1", 1, [(b"max-forwards", b"0")]),
        (b"OPTIONS", b"0", 0, []),
        (b"OPTIONS", b"x", None, []),
        (b"GET", b"0", None, [(b"max-forwards", b"0")]),
    ],
)
def test_forwards_are_counted(method, value, left, expected):
    """For the two methods that say so (RFC 9110 §7.6.2)."""
    line = (b"max-forwards", value)

    assert forwards_left(request(line, method=method)) == left
    assert sent(line, method=method) == expected
    assert forwards_left(request(method=b"OPTIONS")) is None


# Framing


@pytest.mark.parametrize(
    ("method", "ends", "lines", "expected"),
    [
        (b"GET", True, [], []),
        (b"GET", True, [(b"Content-Length", b"00")], [(b"content-length", b"0")]),
        (b"POST", True, [], [(b"content-length", b"0")]),
        (b"POST", False, [(b"Content-Length", b"5")], [(b"content-length", b"5")]),
        (b"POST", False, [(b"Content-Length", b"010")], [(b"content-length", b"10")]),
        (b"POST", False, [(b"Content-Length", b"5")] * 2, [(b"content-length", b"5")]),
        (
            b"POST",
            False,
            [(b"Transfer-Encoding", b"chunked")],
            [(b"transfer-encoding", b"chunked")],
        ),
        (b"POST", False, [], [(b"transfer-encoding", b"chunked")]),
        (
            b"POST",
            False,
            [(b"Trailer", b"x-sum"), (b"Transfer-Encoding", b"chunked")],
            [(b"transfer-encoding", b"chunked"), (b"trailer", b"x-sum")],
        ),
        (
            b"POST",
            False,
            [(b"Trailer", b"x-sum"), (b"Content-Length", b"5")],
            [(b"content-length", b"5")],
        ),
    ],
)
def test_content_is_framed_anew(method, ends, lines, expected):
    """By one length, or in chunks; never both."""
    assert sent(*lines, method=method, ends=ends) == expected


@pytest.mark.parametrize(
    ("ends", "lines"),
    [
        (False, [(b"Content-Length", b"5"), (b"Content-Length", b"6")]),
        (False, [(b"Content-Length", b"5"), (b"Content-Length", b"05")]),
        (False, [(b"Content-Length", b"5, 5")]),
        (False, [(b"Content-Length", b"+5")]),
        (False, [(b"Content-Length", b"")]),
        (False, [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]),
        (True, [(b"Transfer-Encoding", b"chunked")]),
        (True, [(b"Content-Length", b"5")]),
        (True, [(b"x", b"a\r\nb")]),
        (True, [(b"x", b"a\0")]),
        (True, [(b"x y", b"a")]),
    ],
)
def test_what_is_ambiguous_is_refused(ends, lines):
    """As the parser should have; here nothing is sent."""
    with pytest.raises(MalformedRequest):
        sent(*lines, method=b"POST", ends=ends)


# Back


def test_a_response_comes_back_as_it_is():
    """But for the hop: the origin's Server, its duplicates and its order stay."""
    lines = [
        (b"Server", b"origin/1"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"X-Powered-By", b"\xe9"),
        (b"Via", b"1.0 inner"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Connection", b"X-Hop, Set-Cookie, Cache-Control"),
        (b"X-Hop", b"1"),
        (b"Cache-Control", b"private"),
        (b"Upgrade", b"h2c"),
        (b"Transfer-Encoding", b"Chunked"),
        (b"Trailer", b"x-sum"),
    ]

    assert response_fields(200, b"1.0", FieldList(lines)) == [
        (b"server", b"origin/1"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-powered-by", b"\xe9"),
        (b"cache-control", b"private"),
        (b"trailer", b"x-sum"),
        (b"via", b"1.0 inner, 1.0 edge"),
    ]


@pytest.mark.parametrize(
    ("status", "lines", "expected"),
    [
        (200, [(b"Content-Length", b"5")] * 2, [(b"content-length", b"5")]),
        (200, [(b"Content-Length", b"5"), (b"Trailer", b"x")], [(b"content-length", b"5")]),
        (304, [(b"Content-Length", b"5")], [(b"content-length", b"5")]),
        (204, [(b"Content-Length", b"0")], []),
        (103, [(b"Content-Length", b"0"), (b"Link", b"</a>")], [(b"link", b"</a>")]),
        (
            101,
            [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")],
            [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")],
        ),
    ],
)
def test_a_response_states_its_length_once(status, lines, expected):
    """And not where there is no content by definition."""
    assert returned(*lines, status=status) == expected


@pytest.mark.parametrize(
    ("status", "lines", "kind"),
    [
        (200, [(b"Content-Length", b"5"), (b"Content-Length", b"6")], "http_protocol_error"),
        (200, [(b"Content-Length", b"five")], "http_protocol_error"),
        (
            200,
            [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
            "http_protocol_error",
        ),
        (200, [(b"Transfer-Encoding", b"gzip, chunked")], "http_response_transfer_coding"),
        (200, [(b"x", b"a\nb")], "http_protocol_error"),
        (200, [(b"x\n", b"a")], "http_protocol_error"),
        (101, [], "http_upgrade_failed"),
        (101, [(b"Upgrade", b"")] * 2, "http_upgrade_failed"),
    ],
)
def test_a_response_that_is_ambiguous_is_refused(status, lines, kind):
    """502, with the word for it; it may not be asked for again."""
    with pytest.raises(OriginError) as caught:
        returned(*lines, status=status)

    assert (caught.value.kind, caught.value.status, caught.value.retry) == (kind, 502, "never")
    assert proxy_status(caught.value) == b"edge; error=" + kind.encode()


def test_trailers_that_may_go_on():
    """Nothing that a recipient must know before the content, and nothing that is ours."""
    lines = [
        (b"X-Sum", b"1"),
        (b"Grpc-Status", b"0"),
        (b"ETag", b'"x"'),
        (b"Content-Digest", b"sha-256=:eA==:"),
        (b"Content-Length", b"5"),
        (b"Content_Length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Host", b"evil.example"),
        (b"Authorization", b"x"),
        (b"Set-Cookie", b"a=b"),
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"Via", b"1.1 x"),
        (b"Trailer", b"x"),
        (b"Expect", b"x"),
        (b"X-Broken", b"a\rb"),
    ]

    assert trailer_fields(lines) == [
        (b"x-sum", b"1"),
        (b"grpc-status", b"0"),
        (b"etag", b'"x"'),
        (b"content-digest", b"sha-256=:eA==:"),
    ]
    with pytest.raises(MalformedRequest):
        trailer_fields([(b"a b", b"")])


def test_what_is_answered_for_an_origin():
    """RFC 9209's status where it has one, else 502."""
    assert OriginError("dns_timeout", "x").status == 504
    assert OriginError("connection_limit_reached", "x", retry="yes").status == 503
    assert OriginError("connection_refused", "x", retry="yes").retry == "yes"
    assert issubclass(OriginError, EdgeError)


# Properties

TCHARS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KNOWN = (
    b"Host Connection Keep-Alive Proxy-Connection TE Trailer Transfer-Encoding Upgrade Expect"
    b" HTTP2-Settings Proxy Proxy-Authorization Content-Length X-Forwarded-For X-Forwarded-Host"
    b" X-Forwarded-Proto X-Forwarded-Port X_Forwarded_For x.forwarded-for Forwarded Via CDN-Loop"
    b" Cookie Authorization X-Real-IP X-Original-URL Accept-Encoding X-Custom Max-Forwards Range"
).split()
ANY_NAME = st.one_of(
    st.sampled_from(KNOWN), st.text(TCHARS, min_size=1, max_size=6).map(str.encode)
)
SPELLED = st.builds(
    lambda name, upper, dash: (name.upper() if upper else name).replace(b"-", dash),
    ANY_NAME,
    st.booleans(),
    st.sampled_from([b"-", b"_", b"."]),
)
NAMES = st.one_of(ANY_NAME, SPELLED)
ANY_VALUE = st.one_of(
    st.binary(max_size=12),
    st.lists(NAMES, max_size=4).map(b", ".join),
    st.sampled_from([b"5", b"chunked", b"trailers", b"websocket", b"a=1", b'for="', b"1.1 x ("]),
).map(lambda value: value.strip(b" \t"))
LINES = st.lists(st.tuples(NAMES, ANY_VALUE), max_size=12)
OURS = re.compile(rb"x-forwarded-.*|forwarded|x-real-ip|x-original-url|x-rewrite-url")


def read_back(lines: list[tuple[bytes, bytes]]) -> Fields:
    """The fields as a strict server reads them."""
    server = zttp.Connection(zttp.SERVER)
    block = b"".join(b"%b: %b\r\n" % line for line in lines)
    event = server.receive_event(b"POST / HTTP/1.1\r\n" + block + b"\r\n")
    assert isinstance(event, zttp.Request)
    return event.headers


@given(received=LINES, ends=st.booleans(), method=st.sampled_from([b"GET", b"POST", b"OPTIONS"]))
@example(
    received=[(b"Connection", b"x-forwarded-for, host"), (b"X-Forwarded-For", b"a")],
    ends=True,
    method=b"GET",
)
def test_a_request_leaves_clean_or_not_at_all(received, ends, method):
    """Nothing of the hop, no word of a stranger about itself, and one reading of what is sent."""
    try:
        lines = request_fields(request(*received, method=method, ends=ends), PASSAGE, GATEWAY)
    except (MalformedRequest, OriginError):
        return
    names = [name for name, _ in lines]
    folded = [name.translate(FOLD) for name in names]

    assert {n for n in folded if n in HOP_BY_HOP} <= {b"te", b"connection", b"transfer-encoding"}
    assert (b"te" in names) == (b"connection" in names)
    assert [line for line in lines if OURS.fullmatch(line[0].translate(FOLD))] == OWN[:4]
    for name in (b"host", b"via", b"cdn-loop", b"x-forwarded-for", b"forwarded"):
        assert folded.count(name) == 1
    assert not re.search(rb"[\r\n\0]", b"".join(name + value for name, value in lines))
    assert list(read_back(lines)) == lines


@given(LINES)
def test_a_trusted_proxy_cannot_speak_for_us_either(received):
    """Our element is the last one wherever there is a list, and host and scheme are ours."""
    try:
        lines = request_fields(request(*received), TRUSTED, GATEWAY)
    except (MalformedRequest, OriginError):
        return
    fields = dict(lines)

    assert fields[b"x-forwarded-for"].endswith(b"203.0.113.9")
    assert fields[b"forwarded"].endswith(OWN[2][1])
    assert [line for line in lines if line[0] in (b"x-forwarded-host", b"x-forwarded-proto")] == [
        OWN[1],
        OWN[3],
    ]
    assert list(read_back(lines)) == lines


@given(LINES, st.sampled_from([101, 103, 200, 204, 304, 404]))
def test_a_response_leaves_clean_or_not_at_all(received, status):
    """Nothing of the hop but a tunnel, one length at most, and one reading."""
    try:
        lines = response_fields(status, b"1.1", FieldList(received))
    except OriginError:
        return
    names = [name for name, _ in lines]

    of_the_hop = {n for n in names if n.translate(FOLD) in HOP_BY_HOP}
    assert of_the_hop == ({b"connection", b"upgrade"} if status == 101 else set())
    assert names.count(b"content-length") <= 1
    assert names.count(b"via") == 1
    client = zttp.Connection(zttp.CLIENT)
    client.send_request(b"HEAD", b"/", b"1.1", [(b"host", b"a")])
    block = b"".join(b"%b: %b\r\n" % line for line in lines)
    event = client.receive_event(b"HTTP/1.1 %d \r\n%b\r\n" % (status, block))
    assert isinstance(event, zttp.Response)
    assert list(event.headers) == lines
