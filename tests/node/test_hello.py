"""What is read of a ClientHello before OpenSSL reads it, from hellos that OpenSSL wrote."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.node.hello import MAX_HELLO, Hello, NotTls, read_hello


def hello_of(name: str | None = "www.example.com", *protocols: str) -> bytes:
    """The first bytes of a client of `ssl`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def in_records(hello: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    message = hello[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(hello[:3] + len(piece).to_bytes(2) + piece for piece in pieces)


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        ("www.example.com", ()),
        ("a.test", ("h2", "http/1.1")),
        ("a.test", ("acme-tls/1",)),
        (None, ("h2",)),
        (None, ()),
        ("bücher.example", ()),
    ],
)
def test_a_hello_says_who_is_asked_and_for_what(name: str | None, protocols: tuple) -> None:
    """As `ssl` writes it: IDNA names as A-labels."""
    found = read_hello(hello_of(name, *protocols))

    sent = name.encode("idna") if name else b""
    assert found == Hello(sent, tuple(each.encode() for each in protocols))


@pytest.mark.parametrize("size", [50, 100, 16_384])
def test_a_hello_may_come_in_any_records(size: int) -> None:
    """RFC 8446 §5.1: a message may be fragmented, and its parts are read as one."""
    hello = in_records(hello_of("a.test", "h2"), size)

    assert read_hello(hello) == Hello(b"a.test", (b"h2",))
    assert read_hello(hello + b"\x14\x03\x03\x00\x01\x01") == Hello(b"a.test", (b"h2",))


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_hello_in_crumbs_is_refused(size: int) -> None:
    """Each is read from the first record on: with thousands, packets would cost milliseconds."""
    with pytest.raises(NotTls):
        read_hello(in_records(hello_of("a.test", "h2"), size))


@pytest.mark.parametrize("size", [50, 16_384])
def test_as_much_is_asked_for_as_is_missing(size: int) -> None:
    """Every beginning asks for more than it has, and no more than there is."""
    hello = in_records(hello_of("a.test", "h2"), size)

    for length in range(len(hello)):
        needed = read_hello(hello[:length])
        assert isinstance(needed, int)
        assert length < needed <= len(hello)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x02\x00\x00\x05hello",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",
        b"\x16\x03\x01" + MAX_HELLO.to_bytes(2),
    ],
    ids=["http", "ssl2", "empty", "huge", "alert", "ssl2-hello", "server-hello", "short", "large"],
)
def test_what_is_no_hello_is_refused(data: bytes) -> None:
    """At once, whatever may follow."""
    with pytest.raises(NotTls):
        read_hello(data)


def test_one_byte_is_enough_to_see_clear_text() -> None:
    """A client that speaks HTTP is told so at its first byte."""
    with pytest.raises(NotTls):
        read_hello(b"G")


@settings(deadline=None)  # a client of OpenSSL is made each time
@given(st.binary(max_size=200), st.integers(0, 600), st.binary(max_size=8))
def test_any_bytes_are_a_hello_or_are_refused(front: bytes, at: int, change: bytes) -> None:
    """Nothing else is ever raised, whatever is changed in a hello."""
    hello = hello_of("a.test", "h2", "http/1.1")
    for data in (front, b"\x16\x03\x01" + front, hello[:at] + change + hello[at + len(change) :]):
        with contextlib.suppress(NotTls):
            found = read_hello(data)
            assert isinstance(found, Hello) or found > len(data)
