"""What the node itself answers: redirects, refusals, errors, and what methods there are."""

from __future__ import annotations

import pytest

from edge.http.message import Response
from edge.node.access import Verdict
from edge.node.clock import Clock
from edge.node.notices import Notices
from edge.site.envelope import BARE, Envelope, Sharing
from edge.site.exchange import Nothing, follow
from tests.support_serving import Answer, set_epoch
from tests.support_site import decided, request_of, site_of

HEADERS = """
customHeaders:
  - pattern: '**'
    headers: [{key: X-Own, value: operator}, {key: Cache-Control, value: 's-maxage=77'}]
"""
PUBLIC = "public, max-age=0, s-maxage=600"


@pytest.fixture
def notices():
    """At a second that is known."""
    clock = Clock()
    set_epoch(clock, 784_111_777)
    return Notices(clock)


def read(response: Response) -> Answer:
    """A response of finished content."""
    assert isinstance(response.content, bytes | None)
    return Answer(response, response.content or b"")


def plain(target="/a", method="GET", files=("index.html",), **options):
    """An exchange with a site without custom headers."""
    return decided(site_of(files, **options), target, method)


def dressed(target="/a", method="GET", files=("index.html",)):
    """An exchange with a site whose operator sets fields."""
    return decided(site_of(files, headers=HEADERS), target, method)


# Pages


def test_a_page_has_a_length_a_type_and_the_second(notices):
    """And what else it was given; nobody stores it unless an envelope says so."""
    answer = read(notices.page(request_of("/"), 503, b"busy", (b"Retry-After", b"60")))

    assert (answer.status, answer.content) == (503, b"busy")
    assert answer.fields == {
        "content-type": "text/html; charset=utf-8",
        "content-length": "4",
        "cache-control": "no-store",
        "retry-after": "60",
        "server": "edge",
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
    }


def test_head_has_the_head_of_get_alone(notices):
    """The length is that of what GET has."""
    get = notices.page(request_of("/"), 404, b"nothing")
    head = notices.page(request_of("/", "HEAD"), 404, b"nothing")

    assert (head.head, head.block, head.content) == (get.head, get.block, None)


@pytest.mark.parametrize(("request_", "closes"), [(None, True), (request_of("/"), False)])
def test_without_a_request_the_connection_ends(notices, request_, closes):
    """Where the next one begins is not known then."""
    response = notices.page(request_, 400, b"bad")

    assert (response.closes, response.content) == (closes, b"bad")


def test_a_page_wears_its_envelope(notices):
    """With the operator's fields in place of the node's own."""
    envelope = Envelope(((b"server", b"ours"),), Sharing.ALL, lifetime=60, cap=600, noindex=True)
    answer = read(notices.page(request_of("/"), 404, b"nothing", envelope=envelope))

    assert answer.fields["server"] == "ours"
    assert answer.fields["x-robots-tag"] == "noindex"
    assert answer.fields["cache-control"] == "public, max-age=0, s-maxage=60"


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_sent_as_it_was_decided(notices, status):
    """Status and Location, and a page that says where, escaped."""
    answer = read(notices.redirect(plain(), status, b"/b?<i>"))

    assert (answer.status, answer.fields["location"]) == (status, "/b?<i>")
    assert answer.fields["cache-control"] == PUBLIC
    assert b"/b?&lt;i&gt;" in answer.content
    assert read(notices.redirect(plain(method="HEAD"), status, b"/b")).content == b""


def test_a_redirect_wears_what_the_operator_set(notices):
    """Strict-Transport-Security has to hold on it, say."""
    answer = read(notices.redirect(dressed(), 301, b"/b"))

    assert (answer.fields["x-own"], answer.fields["cache-control"]) == ("operator", "s-maxage=77")


# Nothing


def nothing(notices, exchange):
    """What is answered where no file is."""
    found = follow(exchange, 5_000)
    assert isinstance(found, Nothing)
    return read(notices.nothing(exchange, found, exchange.envelope))


def test_what_is_missing_has_a_page(notices):
    """It may be stored, and wears what the operator set."""
    answer = nothing(notices, plain("/nowhere"))
    assert answer.status == 404
    assert b"Page not found" in answer.content
    assert answer.fields["cache-control"] == PUBLIC

    answer = nothing(notices, dressed("/nowhere"))
    assert (answer.fields["x-own"], answer.fields["cache-control"]) == ("operator", "s-maxage=77")


def test_a_branch_without_a_deployment_says_so(notices):
    """And nobody remembers it, for the first deploy may come any moment."""
    answer = nothing(notices, decided(site_of(None, headers=HEADERS)))

    assert answer.status == 404
    assert b"Nothing is deployed here yet" in answer.content
    assert answer.fields["cache-control"] == "no-store"
    assert answer.fields["x-own"] == "operator"


@pytest.mark.parametrize(
    ("status", "text"), [("403", b"Forbidden"), ("410", b"Gone"), ("451", b"legal reasons")]
)
@pytest.mark.parametrize("files", [("index.html",), None])
def test_a_refusal_without_a_page_has_the_nodes_own(notices, status, text, files):
    """Also before anything is deployed."""
    exchange = plain(files=files, rules=[("/<*>", None, status)])
    answer = nothing(notices, exchange)

    assert answer.status == int(status)
    assert text in answer.content


# Methods


@pytest.mark.parametrize("method", ["POST", "PUT", "BREW"])
def test_other_methods_are_told_which_there_are(notices, method):
    """405 with Allow; whatever a header says, nobody stores it."""
    answer = nothing(notices, dressed("/", method))

    assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.fields["cache-control"] == "no-store"
    assert answer.fields["x-own"] == "operator"
    assert int(answer.fields["content-length"]) == len(answer.content) > 0


def test_options_says_the_same_without_content(notices):
    """204 has no length and no type (RFC 9110 §8.6)."""
    answer = nothing(notices, dressed("/", "OPTIONS"))

    assert (answer.status, answer.content) == (204, b"")
    assert set(answer.fields) == {"allow", "server", "x-own", "x-robots-tag", "date"}
    assert answer.fields["allow"] == "GET, HEAD, OPTIONS"


def test_methods_of_the_server_itself_wear_nothing(notices):
    """`OPTIONS *` and CONNECT are to no site."""
    for method, status in (("OPTIONS", 204), ("CONNECT", 405)):
        answer = read(notices.other_method(request_of("*", method)))
        assert (answer.status, answer.fields["allow"]) == (status, "GET, HEAD, OPTIONS")
        assert "x-robots-tag" not in answer.fields


# Access


def test_who_has_not_said_who_it_is_is_asked(notices):
    """The realm is the host that was asked; the operator's fields hold here too, but for caches."""
    answer = read(notices.refuse(dressed(), Verdict(401)))

    assert answer.status == 401
    assert answer.fields["www-authenticate"] == 'Basic realm="main.site.x.test", charset="UTF-8"'
    assert answer.fields["cache-control"] == "no-store"
    assert answer.fields["x-own"] == "operator"
    assert b"A password is needed" in answer.content
    assert read(notices.refuse(dressed(method="HEAD"), Verdict(401))).content == b""


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict(429, retry_after=30), b"Too many attempts"),
        (Verdict(503, retry_after=2), b"Busy"),
    ],
)
def test_who_has_to_wait_is_told_how_long(notices, verdict, text):
    """And is not asked for a password, which would be a guess for nothing."""
    answer = read(notices.refuse(dressed(), verdict))

    assert answer.status == verdict.status
    assert answer.fields["retry-after"] == str(verdict.retry_after)
    assert answer.fields["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.fields
    assert text in answer.content


# Hosts


def test_a_host_that_nobody_claims_is_named(notices):
    """Escaped, whatever it holds; no app's fields are on it."""
    request = request_of("/")
    request.authority = b"<b>\xff.example"
    answer = read(notices.unknown_host(request))

    assert answer.status == 404
    assert "&lt;b&gt;\ufffd.example is not served here".encode() in answer.content
    assert answer.fields["cache-control"] == "no-store"


def test_a_page_is_of_this_second(notices):
    """The clock is asked for each."""
    before = notices.page(request_of("/"), 404, b"", envelope=BARE).block
    set_epoch(notices._clock, 784_111_778)

    assert notices.page(request_of("/"), 404, b"").block != before
