"""Contexts by what control has written: found, loaded, replaced, kept where a new one is broken."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from edge.node import tls
from edge.node.tls import Contexts, canonical_name, listener_context
from edge.site.certificates import HttpAnswer


@pytest.fixture
def contexts(shelf) -> Contexts:
    """A worker's contexts of it."""
    return Contexts(shelf.places)


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        (b"WWW.Example.COM", "www.example.com"),
        (b"a.test.", "a.test"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"127.0.0.1", "127.0.0.1"),
        (b"a.test:443", ""),
        (b"[::1]", ""),
        (b"a b", ""),
        (b"", ""),
        (b"\xff\xfe", ""),
        ("bücher.example".encode(), ""),
        (b"a" * 2000, ""),
    ],
)
def test_names_are_canonical(sent: bytes, host: str) -> None:
    """As hosts of requests are; what is none finds nothing."""
    assert canonical_name(sent) == host


async def test_without_documents_there_is_nothing(contexts) -> None:
    """A node that has no certificates yet refuses every name."""
    await contexts.follow()

    assert contexts.find("a.test") is None
    assert contexts.version == 0


async def test_a_context_is_loaded_once(contexts, shelf, issuer) -> None:
    """Those who ask meanwhile wait for the same one."""
    shelf.put(issuer.pem("a.test"), "a.test")
    await contexts.follow()
    certificate = contexts.find("a.test")
    assert contexts.ready(certificate) is None

    first, second = await asyncio.gather(contexts.load(certificate), contexts.load(certificate))

    assert first is second is contexts.ready(certificate)


async def test_a_document_is_read_when_it_is_another(contexts, shelf, issuer) -> None:
    """`version` counts for those who remember."""
    shelf.put(issuer.pem("a.test"), "a.test")
    await contexts.follow()
    await contexts.follow()
    assert contexts.version == 1

    shelf.put(issuer.pem("b.test"), "b.test")
    await contexts.follow()

    assert contexts.version == 2
    assert contexts.find("b.test").id == "b.test"


async def test_what_replaces_a_context_in_use_is_built_before(contexts, shelf, issuer) -> None:
    """No handshake waits for a renewal."""
    shelf.put(issuer.pem("a.test"), "a.test", identifier="one")
    shelf.put(issuer.pem("b.test"), "b.test", identifier="cold")
    await contexts.follow()
    await contexts.load(contexts.find("a.test"))

    shelf.put(issuer.pem("a.test"), "a.test", identifier="two")
    await contexts.follow()

    assert contexts.find("a.test").id == "two"
    assert contexts.ready(contexts.find("a.test")) is not None
    assert contexts.ready(contexts.find("b.test")) is None


async def test_a_broken_heir_does_not_replace_what_serves(contexts, shelf, issuer, caplog) -> None:
    """Until one comes that can be loaded."""
    shelf.put(issuer.pem("a.test"), "a.test", identifier="one")
    await contexts.follow()
    await contexts.load(contexts.find("a.test"))

    shelf.put("nonsense", "a.test", identifier="two")
    await contexts.follow()
    assert contexts.find("a.test").id == "one"
    assert contexts.ready(contexts.find("a.test")) is not None
    assert "two.pem cannot be used" in caplog.text

    shelf.put(issuer.pem("a.test"), "a.test", identifier="three")
    await contexts.follow()
    assert contexts.find("a.test").id == "three"


async def test_a_certificate_that_cannot_be_read_has_no_context(contexts, shelf, issuer) -> None:
    """Key and certificate of different makers; a file that is gone."""
    one, other = issuer.pem("a.test"), issuer.pem("a.test")
    cut = one.index("-----BEGIN CERTIFICATE-----")
    mixed = one[:cut] + other[other.index("-----BEGIN CERTIFICATE-----") :]
    shelf.put(mixed, "a.test")
    file = shelf.put(issuer.pem("b.test"), "b.test")
    (shelf.places.tls / file).unlink()
    await contexts.follow()

    assert await contexts.load(contexts.find("a.test")) is None
    assert await contexts.load(contexts.find("b.test")) is None


@pytest.mark.parametrize("broken", [b"", b"{", b'{"certificates": 1}', b"\xff"])
async def test_a_broken_keyring_leaves_the_old_one(contexts, shelf, issuer, broken, caplog) -> None:
    """And is told once, not every second."""
    shelf.put(issuer.pem("a.test"), "a.test")
    await contexts.follow()

    shelf.places.keyring.write_bytes(broken)
    await contexts.follow()
    await contexts.follow()

    assert contexts.find("a.test") is not None
    assert caplog.text.count("cannot be read") == 1


async def test_what_is_not_used_goes_first(contexts, shelf, issuer, monkeypatch) -> None:
    """The bound holds, and what was asked for last stays."""
    monkeypatch.setattr(tls, "KEPT", 2)
    pem = issuer.pem("*.test")
    for name in ("a.test", "b.test", "c.test"):
        shelf.put(pem, name)
    await contexts.follow()
    found = {name: contexts.find(name) for name in ("a.test", "b.test", "c.test")}
    for name in ("a.test", "b.test"):
        await contexts.load(found[name])

    contexts.ready(found["a.test"])
    await contexts.load(found["c.test"])

    assert contexts.ready(found["a.test"]) is not None
    assert contexts.ready(found["b.test"]) is None
    assert contexts.ready(found["c.test"]) is not None


async def test_contexts_that_nothing_names_go(contexts, shelf, issuer) -> None:
    """A certificate that was withdrawn is not kept in memory."""
    file = shelf.put(issuer.pem("a.test"), "a.test")
    await contexts.follow()
    certificate = contexts.find("a.test")
    await contexts.load(certificate)

    shelf.remove(file)
    await contexts.follow()

    assert contexts.find("a.test") is None
    assert contexts.ready(certificate) is None


async def test_challenges_come_and_go(contexts, shelf, issuer) -> None:
    """By host for tls-alpn-01, by token for http-01."""
    shelf.ask({"token": HttpAnswer("a.test", "token.key")}, a_test=issuer.pem("a.test"))
    await contexts.follow()
    assert contexts.asked("a.test") is not None
    assert contexts.asked("b.test") is None
    assert contexts.challenges.http["token"].content == "token.key"

    shelf.ask()
    await contexts.follow()
    assert contexts.asked("a.test") is None
    assert not contexts.challenges.http


async def test_a_broken_challenge_is_nobody_elses_trouble(contexts, shelf, issuer, caplog) -> None:
    """The others are answered, and certificates serve."""
    shelf.put(issuer.pem("a.test"), "a.test")
    token = {"token": HttpAnswer("c.test", "token.key")}
    shelf.ask(token, a_test="nonsense", b_test=issuer.pem("b.test"))

    await contexts.follow()

    assert contexts.asked("a.test") is None
    assert contexts.asked("b.test") is not None
    assert contexts.challenges.http
    assert contexts.find("a.test") is not None
    assert "the challenge of a.test cannot be answered" in caplog.text


async def test_a_file_that_cannot_be_used_is_told_once(contexts, shelf, issuer, caplog) -> None:
    """And its names have no certificate until there is another keyring."""
    shelf.put("nonsense", "a.test")
    await contexts.follow()

    assert await contexts.load(contexts.find("a.test")) is None
    assert contexts.find("a.test") is None
    assert caplog.text.count("cannot be used") == 1

    shelf.put(issuer.pem("a.test"), "a.test", identifier="good")
    await contexts.follow()
    assert contexts.find("a.test").id == "good"


async def test_public_addresses_stand_for_this_machine(contexts, shelf, issuer) -> None:
    """Behind a router nobody dials the address that the socket has."""
    shelf.put(issuer.pem("192.0.2.7"), "192.0.2.7")
    await contexts.follow()
    assert contexts.find_public() is None

    contexts.public = ("[2001:db8::1]", "192.0.2.7")
    assert contexts.find_public().id == "192.0.2.7"


def test_a_listener_speaks_the_tls_of_today() -> None:
    """1.2 and 1.3, forward secrecy, no renegotiation, no compression."""
    context = listener_context()

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    for cipher in context.get_ciphers():
        assert cipher["aead"]
        assert cipher["protocol"] == "TLSv1.3" or cipher["kea"] == "kx-ecdhe"
