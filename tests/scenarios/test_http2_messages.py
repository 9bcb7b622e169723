"""
Requests of HTTP/2 that are no good ones (RFC 9113 §8), and what an origin of HTTP/1.1 gets of them.

A recording origin sees what came through: nothing of what is malformed, and of the rest one
request, framed by us, that says no more than the client's did.
"""

from __future__ import annotations

import re

import pytest

from tests.support_http2_cases import (
    PROTOCOL_ERROR,
    Pair,
    answers,
    block,
    content,
    goes_on,
    heads,
    literal,
    play,
    resets,
)
from tests.support_http2_node import AUTHORITY
from tests.support_origin import Talk, echo
from tests.support_wire import END_HEADERS, END_STREAM, frame

PATH = b"/o/recorded"
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]")
VALUE = re.compile(rb"[\t -~\x80-\xff]")
BATCH = 64
OURS = {"cdn-loop", "forwarded", "host", "via", "x-forwarded-for", "x-forwarded-proto"}
OURS |= {"x-forwarded-host", "x-request-id", "accept-encoding"}


@pytest.fixture(autouse=True)
def _origin(target):
    """An origin that records."""
    target.origin.on("/recorded", echo)


def pseudo(**values: bytes | None) -> list[Pair]:
    """Pseudo-header fields: those of a good POST but for what is said; None leaves one out."""
    usual = {"method": b"POST", "scheme": b"http", "path": PATH, "authority": AUTHORITY}
    fields = {**usual, **values}
    return [(f":{name}".encode(), value) for name, value in fields.items() if value is not None]


def sent(fields: list[Pair], data: bytes | None = None, *trailers: Pair) -> bytes:
    """A request of these fields alone, with content where it has any."""
    made = heads(b"".join(literal(*pair) for pair in fields), END_HEADERS)
    if data is None and not trailers:
        return heads(b"".join(literal(*pair) for pair in fields))
    made += content(data or b"", ends=not trailers)
    return made + (heads(b"".join(literal(*pair) for pair in trailers)) if trailers else b"")


def plus(*fields: Pair, data: bytes | None = None) -> bytes:
    """A good POST and these fields."""
    return sent([*pseudo(), *fields], data)


def length(value: bytes, data: bytes | None = None) -> bytes:
    """A POST that says how long it is."""
    return plus((b"content-length", value), data=data)


CONNECT = {"method": b"CONNECT", "scheme": None, "path": None}
SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + SMUGGLED
MALFORMED = {
    "8.2 an empty name": plus((b"", b"x")),
    "8.2.1 a line in a value": plus((b"x", b"a\r\ntransfer-encoding: chunked")),
    "8.2.1 a request in a value": plus((b"x", b"a\r\n\r\n" + SMUGGLED)),
    "8.2.1 a line in a name": plus((b"x: y\r\ntransfer-encoding", b"chunked")),
    "8.2.1 a blank in a name": plus((b"transfer-encoding ", b"chunked")),
    "8.2.1 an upper-case name": plus((b"Transfer-Encoding", b"chunked")),
    "8.2.1 a value of blanks": plus((b"x", b" ")),
    "8.2.1 a blank in front": plus((b"x", b" y")),
    "8.2.1 a tab behind": plus((b"x", b"y\t")),
    "8.2.2 connection": plus((b"connection", b"close")),
    "8.2.2 connection, of nothing": plus((b"connection", b"")),
    "8.2.2 proxy-connection": plus((b"proxy-connection", b"keep-alive")),
    "8.2.2 keep-alive": plus((b"keep-alive", b"timeout=5")),
    "8.2.2 upgrade": plus((b"upgrade", b"websocket")),
    "8.2.2 transfer-encoding": plus(
        (b"transfer-encoding", b"chunked"), data=b"0\r\n\r\n" + SMUGGLED
    ),
    "8.2.2 transfer-encoding of nothing": plus((b"transfer-encoding", b"identity")),
    "8.2.2 te": plus((b"te", b"gzip")),
    "8.2.2 te and more": plus((b"te", b"trailers, chunked")),
    "8.2.2 te of nothing": plus((b"te", b"")),
    "8.3 a nameless one": plus((b":", b"x")),
    "8.3 an unknown one": plus((b":version", b"HTTP/1.1")),
    "8.3 a response's": plus((b":status", b"200")),
    "8.3 behind a field": sent([(b"x", b"y"), *pseudo()]),
    "8.3 the last behind a field": sent(
        [*pseudo(authority=None), (b"x", b"y"), (b":authority", b"a")]
    ),
    "8.3 two methods": sent([*pseudo(), (b":method", b"GET")]),
    "8.3 two schemes": sent([*pseudo(), (b":scheme", b"https")]),
    "8.3 two paths": sent([*pseudo(), (b":path", b"/admin")]),
    "8.3 two authorities": sent([*pseudo(), (b":authority", AUTHORITY)]),
    "8.3.1 no method": sent(pseudo(method=None)),
    "8.3.1 no scheme": sent(pseudo(scheme=None)),
    "8.3.1 no path": sent(pseudo(path=None)),
    "8.3.1 an empty method": sent(pseudo(method=b"")),
    "8.3.1 an empty scheme": sent(pseudo(scheme=b"")),
    "8.3.1 an empty path": sent(pseudo(path=b"")),
    "8.3.1 a method of two words": sent(pseudo(method=b"GET /admin")),
    "8.3.1 a request in the method": sent(pseudo(method=SMUGGLED + b"POST")),
    "8.3.1 a request in the path": sent(pseudo(path=PATH + b" HTTP/1.1\r\n\r\n" + SMUGGLED)),
    "8.3.1 a zero in the path": sent(pseudo(path=PATH + b"\0")),
    "8.3.1 a line in the authority": sent(pseudo(authority=AUTHORITY + b"\r\nx: y")),
    "8.3.1 a Host that differs": plus((b"host", b"other.test")),
    "8.3.1 two Hosts that differ": sent(
        [*pseudo(authority=None), (b"host", AUTHORITY), (b"host", b"other.test")]
    ),
    "8.5 CONNECT without authority": sent(pseudo(**CONNECT, authority=None)),
    "RFC 8441 §4 a protocol of a POST": sent([*pseudo(), (b":protocol", b"websocket")]),
    "RFC 8441 §4 a CONNECT without path": sent(
        [*pseudo(**CONNECT), (b":protocol", b"websocket"), (b":scheme", b"http")]
    ),
    "8.1.1 longer than it said": length(b"3", b"test"),
    "8.1.1 longer than it said, and no end": (
        heads(block((b"content-length", b"3"), method=b"POST", path=PATH), END_HEADERS)
        + content(SMUGGLED, ends=False)
    ),
    "8.1.1 shorter than it said": length(b"5", b"test"),
    "8.1.1 content that is not there": length(b"5"),
    "8.1.1 content in trailers": sent(
        [*pseudo(), (b"content-length", b"5")], b"test", (b"x", b"y")
    ),
    "8.1.1 two lengths": plus((b"content-length", b"4"), (b"content-length", b"5"), data=b"test"),
    "8.1.1 a list of lengths": length(b"4, 4", b"test"),
    "8.1.1 a negative length": length(b"-1"),
    "8.1.1 a signed length": length(b"+4", b"test"),
    "8.1.1 a hexadecimal length": length(b"0x4", b"test"),
    "8.1.1 a length with a dash": length(b"4_", b"test"),
    "8.1.1 a length in other digits": length("４".encode(), b"test"),
    "8.1.1 no length": length(b"", b"test"),
    "8.1.1 a length beyond 64 bits": length(b"18446744073709551620", b"test"),
    "8.1 a pseudo-header in trailers": sent(pseudo(), b"test", (b":path", b"/admin")),
    "8.1 an upper-case name in trailers": sent(pseudo(), b"test", (b"X", b"y")),
    "8.1 a connection in trailers": sent(pseudo(), b"test", (b"connection", b"close")),
    "8.1 a coding in trailers": sent(pseudo(), b"test", (b"transfer-encoding", b"chunked")),
    "8.1 a line in trailers": sent(pseudo(), b"test", (b"x", b"y\r\n\r\n" + SMUGGLED)),
}
REFUSED = {
    "8.3.1 no authority": (sent(pseudo(authority=None)), 400),
    "8.3.1 an empty authority": (sent(pseudo(authority=b"")), 400),
    "8.3.1 an authority with a user": (sent(pseudo(authority=b"me@" + AUTHORITY)), 400),
    "8.3.1 an authority with a path": (sent(pseudo(authority=AUTHORITY + b"/admin")), 400),
    "8.3.1 two in one authority": (sent(pseudo(authority=AUTHORITY + b",other.test")), 400),
    "8.3.1 a blank in the authority": (sent(pseudo(authority=AUTHORITY + b" a")), 400),
    "8.3.1 an unknown authority": (sent(pseudo(authority=b"other.test")), 404),
    "8.3.1 a blank in the path": (sent(pseudo(path=PATH + b" x")), 400),
    "8.3.1 a tab in the path": (sent(pseudo(path=PATH + b"\tx")), 400),
    "8.3.1 a fragment": (sent(pseudo(path=PATH + b"#x")), 400),
    "8.3.1 a relative path": (sent(pseudo(path=b"o/recorded")), 400),
    "8.3.1 a whole URL": (sent(pseudo(path=b"http://other.test" + PATH)), 400),
    "8.3.1 a query alone": (sent(pseudo(path=b"?x")), 400),
    "8.3.1 an asterisk": (sent(pseudo(path=b"*")), 400),
    "8.3.1 OPTIONS of the server": (sent(pseudo(path=b"*", method=b"OPTIONS")), 204),
    # A CONNECT that has more than it may is answered before its stream would be reset (§8.1.1).
    "8.5 CONNECT with a path": (sent(pseudo(method=b"CONNECT")), 501),
    "RFC 8441 §3 CONNECT that was not offered": (
        sent([*pseudo(method=b"CONNECT"), (b":protocol", b"websocket")]),
        501,
    ),
}
FRAMED = [("content-length", "0")]
IN_CHUNKS = [("transfer-encoding", "chunked")]
PASSED = {
    "a Host that is the same": (plus((b"host", AUTHORITY)), FRAMED, b""),
    "a Host alone": (sent([*pseudo(authority=None), (b"host", AUTHORITY)]), FRAMED, b""),
    "another scheme": (sent(pseudo(scheme=b"http://other.test/")), FRAMED, b""),
    "te": (plus((b"te", b"trailers")), [("connection", "TE"), ("te", "trailers"), *FRAMED], b""),
    "cookies": (
        plus((b"cookie", b"a=1"), (b"cookie", b"b=2")),
        [("cookie", "a=1; b=2"), *FRAMED],
        b"",
    ),
    "h2c settings": (plus((b"http2-settings", b"AAA")), FRAMED, b""),
    "httpoxy": (plus((b"proxy", b"other.test")), FRAMED, b""),
    "a name that CGI takes for another": (plus((b"content_length", b"9")), FRAMED, b""),
    "an empty value": (plus((b"x", b"")), [("x", ""), *FRAMED], b""),
    "a value in another charset": (plus((b"x", b"\xe4")), [("x", "ä"), *FRAMED], b""),
    "no content": (length(b"0"), FRAMED, b""),
    "no content, said with zeros": (length(b"000"), FRAMED, b""),
    "the same length twice": (
        plus((b"content-length", b"0"), (b"content-length", b"0")),
        FRAMED,
        b"",
    ),
    "a length": (length(b"4", b"test"), [("content-length", "4")], b"test"),
    "a length with zeros": (length(b"0" * 30 + b"4", b"test"), [("content-length", "4")], b"test"),
    "no length": (plus(data=b"test"), IN_CHUNKS, b"test"),
    "content that looks like chunks": (plus(data=CHUNKED), IN_CHUNKS, CHUNKED),
    "content that looks like a request": (
        length(b"%d" % len(SMUGGLED), SMUGGLED),
        [("content-length", str(len(SMUGGLED)))],
        SMUGGLED,
    ),
    "an expectation": (plus((b"expect", b"100-continue"), data=b"test"), IN_CHUNKS, b"test"),
    "trailers": (sent(pseudo(), b"test", (b"x", b"y")), IN_CHUNKS, b"test"),
}


def came(target, since: int) -> list[Talk]:
    """What the origin has seen."""
    return target.origin.talks[since:]


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_reaches_nobody(target, data):
    """Its stream is reset, the connection goes on (§8.1.1), and the origin sees none of it."""
    before = len(target.origin.talks)
    with target.client("tls") as client:
        play(client, data, resets(PROTOCOL_ERROR))
    assert not [talk for talk in came(target, before) if talk.is_whole]


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_reaches_nobody(target, data, status):
    """It is answered with its status; the connection goes on."""
    before = len(target.origin.talks)
    with target.client("h2c") as client:
        play(client, data, answers(status))
    assert came(target, before) == []


def test_no_tunnel_is_made(target):
    """A good CONNECT (§8.5) has its stream reset: zttp takes it for malformed before we see it."""
    before = len(target.origin.talks)
    with target.client("h2c") as client:
        play(client, sent(pseudo(**CONNECT)), resets(PROTOCOL_ERROR))
    assert came(target, before) == []


@pytest.mark.parametrize(("data", "lines", "whole"), PASSED.values(), ids=PASSED.keys())
def test_what_passes_is_one_request(target, data, lines, whole):
    """Framed by us, in fields that mean the same over HTTP/1.1."""
    before = len(target.origin.talks)
    with target.client("h2c") as client:
        play(client, data, answers())
    (talk,) = [each for each in came(target, before) if each.is_whole]
    assert (talk.method, talk.target, talk.content) == ("POST", "/recorded", whole)
    assert sorted(line for line in talk.lines if line[0] not in OURS) == sorted(lines)
    assert [value for name, value in talk.lines if name == "host"] == [
        f"127.0.0.1:{target.origin.port}"
    ]


PLACES = {
    "first in a name": (lambda octet: (octet + b"x", b"1"), TOKEN),
    "in a name": (lambda octet: (b"x" + octet + b"y", b"1"), TOKEN),
    "in a value": (lambda octet: (b"x", b"a" + octet + b"b"), VALUE),
    "a value": (lambda octet: (b"x", octet), re.compile(rb"[!-~\x80-\xff]")),
}


@pytest.mark.parametrize(("made", "allowed"), PLACES.values(), ids=PLACES.keys())
def test_every_octet(target, made, allowed):
    """Names are tokens in lower case, values have no control characters (§8.2.1, stricter)."""
    passed = set()
    for start in range(0, 256, BATCH):
        with target.client("h2c") as client:
            found = {}
            for octet in (bytes([number]) for number in range(start, start + BATCH)):
                found[octet] = client.begin(b"HEAD")
                payload = block(made(octet), method=b"HEAD")
                client.put(heads(payload, stream=found[octet].stream))
            client.read(*found.values())
            assert {one.reset for one in found.values()} <= {None, PROTOCOL_ERROR}
            passed |= {octet for octet, one in found.items() if one.status == 200}
            goes_on(client)
    assert passed == {bytes([n]) for n in range(256) if allowed.fullmatch(bytes([n]))}


def test_a_reset_in_the_middle_of_content_ends_it_for_the_origin(target):
    """Half a content never looks whole: its connection ends before the content does."""
    before = len(target.origin.talks)
    for head in (pseudo(), [*pseudo(), (b"content-length", b"9")]):
        with target.client("h2c") as client:
            client.begin(b"HEAD", 1)
            data = b"".join(literal(*pair) for pair in head)
            client.put(heads(data, END_HEADERS) + content(ends=False))
            client.settle()
            client.give_up(client.exchanges[1])
            goes_on(client)
    talks = came(target, before)
    assert all(talk.ended.wait(10) and not talk.is_whole for talk in talks)


def test_frames_of_content_are_not_frames_of_ours(target):
    """Empty and padded ones among them; the origin gets the content in whatever pieces."""
    pieces = [b"a", b"", b"b" * 300, b"", b"c"]
    before = len(target.origin.talks)
    data = heads(b"".join(literal(*pair) for pair in pseudo()), END_HEADERS)
    for piece in pieces:
        data += frame(0, 8, 1, b"\3" + piece + bytes(3))
    with target.client("h2c") as client:
        play(client, data + frame(0, END_STREAM, 1), answers())
    (talk,) = [each for each in came(target, before) if each.is_whole]
    assert talk.content == b"".join(pieces)
