"""A document to a URL, with a real receiver, and what a receiver may do instead."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest
from aiohttp import web

from edge.control import webhooks
from edge.control.letters import Undelivered
from edge.control.webhooks import parse_retry_after, post, reason_of
from tests.support_alarms import receiving, server_context
from tests.support_tls import Issuer

DOCUMENT = {"text": "FIRING: ünï", "value": 12.5, "app": None}
PLAIN = ssl.create_default_context()


async def refused(url, context=PLAIN):
    """Why a document is not taken."""
    with pytest.raises(Undelivered) as caught:
        await post(url, DOCUMENT, context)
    assert "secret" not in str(caught.value)
    return caught.value


async def test_a_document_arrives_as_json():
    """By POST, in UTF-8, from somebody who says who it is."""
    async with receiving() as receiver:
        await post(receiver.url("/services/T0/B0/secret?x=%2Fy"), DOCUMENT, PLAIN)

    (request,) = receiver.requests
    assert receiver.taken == [DOCUMENT]
    assert (request.method, request.path_qs) == ("POST", "/services/T0/B0/secret?x=/y")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("edge/")


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(400, True), (404, True), (410, True), (408, False), (429, False), (500, False), (503, False)],
)
async def test_a_refusal_is_for_good_or_in_passing(status, is_final):
    """By its status, with the first words of its text, which cannot do anything to a terminal."""
    async with receiving() as receiver:
        receiver.answers.append(web.Response(status=status, text="no\x1b[31m service" + "x" * 999))
        error = await refused(receiver.url())

    assert error.is_final == is_final
    assert str(error).startswith(f"answered {status}: no [31m service")
    assert len(str(error)) < 250


async def test_an_answer_without_text():
    """Is the status alone; 2xx is success whatever it says."""
    async with receiving() as receiver:
        receiver.answers += [web.Response(status=502), web.Response(status=202, text="later")]
        assert str(await refused(receiver.url())) == "answered 502"
        await post(receiver.url(), DOCUMENT, PLAIN)


async def test_redirects_are_not_followed():
    """A receiver could send the node anywhere inside otherwise."""
    async with receiving() as receiver:
        moved = web.Response(status=307, headers={"Location": receiver.url("/inside")})
        receiver.answers.append(moved)
        error = await refused(receiver.url())

    assert len(receiver.taken) == 1
    assert error.is_final
    assert "answered 307: redirects are not followed" in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0.0),
    ],
)
def test_how_long_a_receiver_wants_to_be_left_alone(value, seconds):
    """In seconds, or until a date."""
    assert parse_retry_after(value, 784_111_740.0) == seconds


async def test_retry_after_is_passed_on():
    """To who decides about the next try."""
    async with receiving() as receiver:
        receiver.answers.append(web.Response(status=429, headers={"Retry-After": "120"}))
        assert (await refused(receiver.url())).wait == 120.0


async def test_nobody_listens():
    """That may pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = await refused(f"http://127.0.0.1:{port}/secret")

    assert not error.is_final
    assert "no connection" in str(error)


async def test_a_silent_receiver(monkeypatch):
    """Is waited for so long, and no longer."""
    monkeypatch.setattr(webhooks, "ANSWER_S", 0.05)
    async with receiving() as receiver:
        receiver.answers.append(None)
        error = await refused(receiver.url())

    assert not error.is_final
    assert str(error) == "no answer within 0.05 s"


async def test_the_certificate_is_checked(tmp_path):
    """Roots and names; with the right ones the document arrives."""
    issuer = Issuer()
    context = server_context(issuer, tmp_path, "127.0.0.1")
    async with receiving(context) as receiver:
        stranger = await refused(receiver.url(scheme="https"))
        await post(receiver.url(scheme="https"), DOCUMENT, issuer.client())
    async with receiving(server_context(issuer, tmp_path, "other.example")) as receiver:
        other = await refused(receiver.url(scheme="https"), issuer.client())
        assert receiver.taken == []

    for error in (stranger, other):
        assert not error.is_final
        assert "certificate is not trusted" in str(error)


async def test_an_answer_that_is_no_http(tmp_path):
    """And an address that is none; the URL is never repeated."""
    issuer = Issuer()
    async with receiving(server_context(issuer, tmp_path, "127.0.0.1")) as receiver:
        error = await refused(receiver.url(scheme="http"))
    assert not error.is_final
    assert "broke" in str(error)

    assert str(await refused("https://secret:99999999/")) == "the URL cannot be used"
    assert str(await refused("https:///secret")) == "the URL cannot be used"
    broken = aiohttp.ServerDisconnectedError("https://x.example/secret")
    assert reason_of(broken) == "the connection broke (ServerDisconnectedError)"
