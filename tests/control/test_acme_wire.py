"""Requests to an authority of raw sockets: nonces, repeats, bounds, names of failures."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import time

import pytest
from josepy.jwk import JWKEC

from edge.control import acme_wire, leaf
from edge.control.acme_errors import PREFIX, AcmeError
from edge.control.acme_wire import NONCE_TRIES, Payload, Wire, parse_retry_after
from tests.support import free_port
from tests.support_acme import opened, problem
from tests.support_origin import Authority, Talk, originating, raw, saying

NOW = 784_111_777


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses are short."""
    monkeypatch.setattr(acme_wire, "PAUSES_S", (0.01, 0.02))


@pytest.fixture
def origin():
    """What answers."""
    with originating() as found:
        found.on("/nonce", saying(b"", 200, f"Replay-Nonce: {nonce(0)}"))
        yield found


@pytest.fixture
def url(origin):
    """Its address."""
    return f"http://127.0.0.1:{origin.port}"


@pytest.fixture
def wire(url):
    """What asks it, with a minute from now on."""
    with speaking(url) as found:
        yield found


@contextlib.contextmanager
def speaking(url, context=None, *, is_secure=False):
    """What asks an authority."""
    found = Wire(
        JWKEC(key=leaf.new_key()), context or ssl.create_default_context(), is_secure=is_secure
    )
    found.new_nonce = f"{url}/nonce"
    found.begin()
    try:
        yield found
    finally:
        found.session.close()


def nonce(number):
    """One in base64url."""
    return base64.urlsafe_b64encode(b"nonce %06d" % number).decode()


def refusing_nonces(times):
    """A script that refuses so many of them, each with a good one."""
    left = iter(range(times))
    used = []

    def script(talk: Talk) -> None:
        used.append(opened(talk.read())[1]["nonce"])
        if (number := next(left, None)) is None:
            talk.answer(b"{}", 200, f"Replay-Nonce: {nonce(99)}")
        else:
            content = problem("badNonce", "stale")
            talk.answer(content, 400, f"Replay-Nonce: {nonce(number + 1)}")

    return script, used


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("-3", None),
        ("3.5", None),
        ("²", None),
        ("soon", None),
        ("9" * 400, 9_999_999_999.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:51:37 GMT", 120.0),
        ("Sunday, 06-Nov-94 08:51:37 GMT", 120.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Sun, 31 Feb 1994 08:00:00 GMT", None),
    ],
)
def test_retry_after_has_two_spellings(value, seconds):
    """Both are seconds from now, the past is now (RFC 9110 §10.2.3)."""
    assert parse_retry_after(value, NOW) == seconds


def test_a_nonce_that_is_refused_brings_a_good_one(origin, url, wire):
    """That one is used next, five tries in all; no other is asked for (RFC 8555 §6.5)."""
    script, used = refusing_nonces(NONCE_TRIES - 1)
    origin.on("/x", script)

    wire.ask(f"{url}/x", Payload({}))

    assert used == [nonce(number) for number in range(NONCE_TRIES)]
    assert len(origin.of("/nonce")) == 1


@pytest.mark.parametrize("again", [True, False])
def test_nonces_are_not_tried_for_ever(origin, url, wire, again):
    """After five in a row there is a pause, and after three times that the authority is broken."""
    script, used = refusing_nonces(1_000)
    origin.on("/x", script)

    with pytest.raises(AcmeError, match="stale") as found:
        wire.ask(f"{url}/x", Payload({}), again=again)

    assert (found.value.kind, found.value.status, len(used)) == ("badNonce", 400, 3 * NONCE_TRIES)


@pytest.mark.parametrize("line", ["Replay-Nonce: !", "Replay-Nonce:", "X-None: x"])
def test_an_authority_without_nonces_is_told(origin, url, wire, line):
    """Nothing is signed without."""
    origin.on("/nonce", saying(b"", 200, line))

    with pytest.raises(AcmeError, match="no nonce") as found:
        wire.ask(f"{url}/x")

    assert found.value.kind == "badAnswer"


def test_requests_are_signed_by_key_or_account(origin, url, wire):
    """ES256; a read has no payload, an empty wish is `{}` (RFC 8555 §6.2, §6.3, §7.5.1)."""
    origin.on("/x", saying(b"", 200, f"Replay-Nonce: {nonce(1)}"))

    wire.ask(f"{url}/x", Payload({}))
    wire.sign_as(f"{url}/account")
    wire.ask(f"{url}/x")

    (first, by_key), (second, by_account) = (opened(t.content) for t in origin.of("/x"))
    assert (first, second) == ({}, None)
    assert (by_key["alg"], by_key["url"], by_key["jwk"]["crv"]) == ("ES256", f"{url}/x", "P-256")
    assert (by_account["kid"], "jwk" in by_account) == (f"{url}/account", False)
    fields = origin.of("/x")[0].fields
    assert re.fullmatch(r"edge/[0-9.]+", fields["user-agent"])
    assert fields["content-type"] == "application/jose+json"


@pytest.mark.parametrize(
    ("status", "content", "lines", "kind", "retry_after"),
    [
        (429, problem("rateLimited", "x"), ["Retry-After: 7"], "rateLimited", 7.0),
        (503, b"<html>", ["Retry-After: 7"], "unavailable", 7.0),
        (409, problem("alreadyReplaced", "x"), [], "alreadyReplaced", None),
        (409, b"", ["Location: /account"], "unavailable", None),
        (404, problem("malformed", "x"), [], "malformed", None),
        (302, b"", ["Location: /nonce"], "unavailable", None),
        (403, b'{"type": 7}', [], "unavailable", None),
    ],
)
def test_errors_keep_what_was_answered(
    origin, url, wire, *, status, content, lines, kind, retry_after
):
    """Status, Retry-After and problem, also of a 409; redirects are not followed."""
    origin.on("/x", saying(content, status, *lines, f"Replay-Nonce: {nonce(1)}"))

    with pytest.raises(AcmeError) as found:
        wire.ask(f"{url}/x", Payload({}))

    error = found.value
    assert (error.kind, error.status, error.retry_after) == (kind, status, retry_after)
    assert len(origin.of("/x")) == 1


def failing_once(talk: Talk) -> None:
    """Resets the first connection, then answers."""
    talk.read()
    if talk.origin.of("/x").index(talk) == 0:
        talk.reset()
    else:
        talk.answer(b"{}", 200, f"Replay-Nonce: {nonce(2)}")


def test_what_may_be_repeated_is(origin, url, wire):
    """With a new nonce: the old one may have been used."""
    origin.on("/x", failing_once)

    wire.ask(f"{url}/x")

    first, second = (opened(talk.content)[1]["nonce"] for talk in origin.of("/x"))
    assert (len(origin.of("/nonce")), first, second) == (2, nonce(0), nonce(0))


def test_what_may_not_be_repeated_is_not(origin, url, wire):
    """Somebody has to look first whether it came through."""
    origin.on("/x", failing_once)

    with pytest.raises(AcmeError, match=r"no connection to 127\.0\.0\.1:") as found:
        wire.ask(f"{url}/x", Payload({}), again=False)

    assert (found.value.kind, len(origin.of("/x"))) == ("unreachable", 1)


def test_a_broken_authority_is_asked_three_times(origin, url, wire):
    """Then its own words are told."""
    origin.on("/x", saying(problem("serverInternal", "out of luck"), 500))

    with pytest.raises(AcmeError, match="out of luck") as found:
        wire.fetch(f"{url}/x")

    assert (found.value.kind, found.value.status) == ("serverInternal", 500)
    assert len(origin.of("/x")) == 3


def test_an_authority_that_is_not_there_is_unreachable():
    """Its address and the reason are in the text, the package's classes are not."""
    port = free_port()
    with (
        speaking(f"http://127.0.0.1:{port}") as wire,
        pytest.raises(AcmeError) as found,
    ):
        wire.fetch(f"http://127.0.0.1:{port}/dir")

    assert found.value.detail == f"no connection to 127.0.0.1:{port}: Connection refused"
    assert (found.value.kind, found.value.fault) == ("unreachable", "authority")


def test_a_stranger_is_not_trusted(tmp_path):
    """Nothing is sent to a server whose certificate is another authority's."""
    with originating(Authority(tmp_path).context("127.0.0.1")) as origin:
        url = f"https://127.0.0.1:{origin.port}"
        with speaking(url) as wire, pytest.raises(AcmeError, match="is not trusted") as found:
            wire.fetch(f"{url}/dir")

        assert (found.value.kind, origin.talks) == ("untrusted", [])


def test_a_secure_authority_has_secure_addresses(origin, url):
    """What it names without TLS is not asked."""
    with speaking(url, is_secure=True) as wire, pytest.raises(AcmeError, match="no TLS") as found:
        wire.fetch(f"{url}/dir")

    assert (found.value.kind, origin.talks) == ("badAnswer", [])


@pytest.mark.parametrize("address", ["", "no address", "http://", "/relative", "http://[::"])
def test_an_address_that_is_none_is_a_bad_answer(wire, address):
    """The authority's mistake, not a defect of ours."""
    with pytest.raises(AcmeError, match="malformed") as found:
        wire.fetch(address)

    assert found.value.kind == "badAnswer"


def test_answers_have_an_end(origin, url, wire):
    """A megabyte is read, then no more."""
    origin.on("/x", saying(b"x" * (acme_wire.MAX_BYTES + 1)))
    origin.on("/y", saying(b"x" * acme_wire.MAX_BYTES))

    with pytest.raises(AcmeError, match="over 1048576 bytes") as found:
        wire.fetch(f"{url}/x")

    assert found.value.kind == "badAnswer"
    assert len(wire.fetch(f"{url}/y").content) == acme_wire.MAX_BYTES


def test_an_answer_that_ends_early_is_none(origin, url, wire):
    """Half a chain is no chain."""
    origin.on("/x", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))

    with pytest.raises(AcmeError, match="no connection") as found:
        wire.fetch(f"{url}/x")

    assert found.value.kind == "unreachable"


def test_a_wish_has_an_end_however_slowly_it_is_answered(origin, url, wire):
    """Each byte is in time, the whole is not."""

    def drip(talk: Talk) -> None:
        talk.read()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            while not talk.ended.wait(0.01):
                talk.send(b"x")
                sent += 1
                if sent == 20:
                    wire._deadline = time.monotonic()

    origin.on("/x", drip)
    wire._deadline = time.monotonic() + 30

    with pytest.raises(AcmeError, match="no whole answer within") as found:
        wire.fetch(f"{url}/x")

    assert found.value.kind == "timeout"


def test_silence_has_an_end(origin, url, wire):
    """What is left of the time is all that is waited; then nothing is asked any more."""
    origin.on("/x", Talk.wait)
    wire._deadline = time.monotonic() + 1

    for _ in range(2):
        with pytest.raises(AcmeError) as found:
            wire.fetch(f"{url}/x")

        assert found.value.kind == "timeout"
    assert len(origin.of("/x")) == 1


def test_what_was_made_is_where_the_authority_says(origin, url, wire):
    """Without a Location there is nothing to go on with."""
    origin.on("/x", saying(b"{}", 201, "Location: https://ca.test/1", f"Replay-Nonce: {nonce(1)}"))
    origin.on("/y", saying(b"{}", 201, f"Replay-Nonce: {nonce(1)}"))

    assert wire.ask(f"{url}/x").location == "https://ca.test/1"
    with pytest.raises(AcmeError, match="no Location"):
        _ = wire.ask(f"{url}/y").location


def test_the_rig_writes_problems_as_authorities_do():
    """So that tests break things the way authorities do."""
    assert json.loads(problem("dns", "text")) == {"type": PREFIX + "dns", "detail": "text"}
