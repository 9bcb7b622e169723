"""What crosses a hop, what an option of Connection may take away, and which tunnels are offered."""

from __future__ import annotations

import pytest

from edge.errors import MalformedRequest
from edge.http.fields import FieldList
from edge.http.hops import (
    HOP_BY_HOP,
    MAX_NAME,
    MAX_NAMES,
    X_FORWARDED,
    Names,
    offered_upgrade,
    removed_options,
    sort_out,
)
from edge.http.message import Request


@pytest.fixture
def names():
    """What a request's names might be judged by."""
    return Names(HOP_BY_HOP | {b"proxy"}, (b"via", b"x-forwarded-for"), (X_FORWARDED,))


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (b"Accept", b"accept"),
        (b"X-Custom", b"x-custom"),
        (b"x_custom", b"x_custom"),
        (b"X.Custom", b"x.custom"),
        (b"VIA", b"via"),
        (b"X-Forwarded-For", b"x-forwarded-for"),
        (b"X-Forwarded-Port", b""),
        (b"Keep-Alive", b""),
        (b"PROXY", b""),
        # aliases of what is dropped, of what is read, of what is protected
        (b"keep_alive", b""),
        (b"X_Forwarded_For", b""),
        (b"x.forwarded.for", b""),
        (b"X-Forwarded_Host", b""),
        (b"Content_Length", b""),
        (b"content.length", b""),
        (b"Transfer_Encoding", b""),
        (b"Set_Cookie", b""),
        (b"CDN_Loop", b""),
        (b"If.None.Match", b""),
    ],
)
def test_a_name_crosses_in_lower_case_or_not_at_all(names, name, sent):
    """Every spelling that CGI takes for another name's ends here."""
    assert names[name] == sent
    assert names[name] == sent, "and is remembered"


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"\xe4", b"a\r\nb", b"a\0"])
def test_what_is_no_name_is_refused(names, name):
    """Nothing is sent that only looks like a field."""
    with pytest.raises(MalformedRequest, match="token"):
        sort_out([(name, b"x")], names)


def test_what_is_remembered_is_bounded(names):
    """Neither many names nor long ones fill the memory."""
    for number in range(MAX_NAMES + 10):
        assert names[b"x-%d" % number] == b"x-%d" % number
    long = b"x" * (MAX_NAME + 1)

    assert names[long] == long
    assert long not in names
    assert len(names) == 10


def test_lines_are_sorted_out(names):
    """What passes keeps its order and its duplicates; what is read is kept by name."""
    received = [
        (b"Accept", b"1"),
        (b"Via", b"a"),
        (b"Connection", b"close"),
        (b"ACCEPT", b"2"),
        (b"via", b"b"),
    ]

    assert sort_out(received, names) == (
        [(b"accept", b"1"), (b"accept", b"2")],
        {b"via": [b"a", b"b"]},
    )


@pytest.mark.parametrize(
    ("lines", "removed"),
    [
        ([], set()),
        ([b"close"], set()),
        ([b"Keep-Alive"], set()),
        ([b"X-Foo"], {b"x-foo"}),
        ([b"x-foo ,\tx-bar", b"x-foo"], {b"x-foo", b"x-bar"}),
        ([b"Host, Content-Length, Cookie, Authorization, Via, CDN-Loop, Forwarded"], set()),
        ([b"X-Forwarded-For, X-Forwarded-Whatever, X-Real-IP, Set-Cookie, Cache-Control"], set()),
        ([b"Sec-Fetch-Site, If-None-Match, Content-Security-Policy, Age, ETag, Range"], set()),
    ],
)
def test_connection_removes_only_what_is_nobody_elses(lines, removed):
    """Fields meant for the whole chain stay, whoever names them."""
    found = removed_options({b"connection": lines} if lines else {})

    assert {option for option in found if option} - {b"close"} == removed


WHOLE_CHAIN = (
    b"age allow authorization cookie date early-data etag expect expires forwarded host"
    b" last-modified link location max-forwards origin permissions-policy pragma proxy proxy-status"
    b" range referer referrer-policy retry-after server set-cookie strict-transport-security"
    b" trailer user-agent vary via www-authenticate x-content-type-options x-frame-options"
    b" x-original-url x-real-ip x-requested-with x-rewrite-url accept accept-language"
    b" access-control-allow-origin cache-control cache-status cdn-cache-control cdn-loop"
    b" content-type content-security-policy cross-origin-opener-policy if-none-match"
    b" sec-fetch-site surrogate-control x-csrf-token x-csrftoken x-edge-deployment"
    b" x-forwarded-for x-xsrf-token"
).split()
"""Whose absence somebody behind us would take for a statement."""


@pytest.mark.parametrize("name", WHOLE_CHAIN)
def test_connection_cannot_remove_what_is_for_the_whole_chain(name):
    """In any capitals; and an alias of it crosses nowhere, where it could stand in for it."""
    removed = removed_options({b"connection": [b"x-own, " + name.upper()]})
    alias = name.replace(b"-", b"_", 1)

    assert removed == {b"x-own"}
    assert alias == name or Names((), ())[alias] == b""


def request(
    connection: bytes | None, upgrade: list[bytes], version: bytes = b"1.1", *, ends: bool = True
) -> Request:
    """A request that asks for another protocol."""
    lines = [(b"upgrade", value) for value in upgrade]
    if connection is not None:
        lines.append((b"connection", connection))
    return Request(b"GET", b"/", b"a", FieldList(lines), version, 0, ends, expects=False)


@pytest.mark.parametrize(
    ("connection", "upgrade", "offered"),
    [
        (b"Upgrade", [b"websocket"], b"websocket"),
        (b"keep-alive, UPGRADE", [b"WebSocket"], b"WebSocket"),
        (b"upgrade", [b"foo/2, websocket", b"bar"], b"foo/2, websocket, bar"),
        (b"upgrade", [b"h2c"], b""),
        (b"upgrade", [b"H2C, websocket"], b"websocket"),
        (b"upgrade", [b"h2, h3, HTTP/2.0, TLS/1.2, http"], b""),
        (b"upgrade", [b"web socket, /1, a/, a/b/c"], b""),
        (b"upgrade", [b""], b""),
        (b"upgrade", [], b""),
        (b"close", [b"websocket"], b""),
        (None, [b"websocket"], b""),
    ],
)
def test_an_upgrade_is_offered_where_connection_says_so(connection, upgrade, offered):
    """Any protocol but a version of our own."""
    assert offered_upgrade(request(connection, upgrade)) == offered


def test_no_tunnel_is_offered_otherwise():
    """Not in HTTP/1.0, not in HTTP/2, not in front of content."""
    assert offered_upgrade(request(b"upgrade", [b"websocket"], b"1.0")) == b""
    assert offered_upgrade(request(b"upgrade", [b"websocket"], b"2")) == b""
    assert offered_upgrade(request(b"upgrade", [b"websocket"], ends=False)) == b""
