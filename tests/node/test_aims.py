"""A rule's targets as origins, the best one first."""

from __future__ import annotations

import pytest

from edge.errors import OriginError
from edge.node.addresses import Addresses, OriginKey
from edge.node.aims import aims_of, split_authority
from edge.node.clock import Clock
from edge.node.health import FAILURES, OPEN_S
from edge.node.origins import Origins
from edge.site.limits import Limits
from edge.site.settings import Proxy
from tests.support_site import decided, site_of

FIRST, SECOND = "http://one.test/<*>", "https://two.test:8443/b/<*>"


@pytest.fixture
def origins():
    """All origins of a worker."""
    return Origins(Clock(), Addresses(Proxy(), "127.0.0.1:9901"), Limits())


def aims(origins, target, path="/a/x?y=1", **options):
    """The targets of a request, best first."""
    exchange = decided(site_of([], rules=[("/a/<*>", target, "200")], **options), path)
    return aims_of(origins, exchange.decision.urls, is_carried=exchange.branch.carries_rules)


TARGETS = {
    "http://one.test/<*>": ("http", "one.test", 80, b"one.test", b"/x?y=1"),
    "https://one.test/<*>": ("https", "one.test", 443, b"one.test", b"/x?y=1"),
    "http://ONE.test:8080/b/<*>": ("http", "one.test", 8080, b"one.test:8080", b"/b/x?y=1"),
    "http://one.test": ("http", "one.test", 80, b"one.test", b"/?y=1"),
    "http://one.test?z": ("http", "one.test", 80, b"one.test", b"/?z"),
    "http://127.0.0.1:3000/<*>": ("http", "127.0.0.1", 3000, b"127.0.0.1:3000", b"/x?y=1"),
    "http://[::1]:3000/<*>": ("http", "[::1]", 3000, b"[::1]:3000", b"/x?y=1"),
    "http://[::1]/<*>": ("http", "[::1]", 80, b"[::1]", b"/x?y=1"),
}


@pytest.mark.parametrize(("target", "expected"), TARGETS.items())
def test_a_url_is_an_origin_and_a_request_target(origins, target, expected):
    """With the port that its scheme implies, and a path at the least."""
    (aim,) = aims(origins, target)
    key = aim.origin.key

    assert (key.scheme, key.host, key.port, aim.place.authority, aim.place.target) == expected
    assert (aim.place.number, key.is_carried) == (0, False)


def test_what_a_deployment_brings_is_told_apart(origins):
    """Its rules reach less, so they share no connection with the operator's."""
    assert aims(origins, FIRST, carried=True)[0].origin.key.is_carried
    assert aims(origins, FIRST)[0].origin is not aims(origins, FIRST, carried=True)[0].origin


def test_what_is_written_first_is_asked_first(origins):
    """Where both are as good."""
    assert [aim.place.number for aim in aims(origins, (FIRST, SECOND))] == [0, 1]
    assert [aim.place.number for aim in aims(origins, (SECOND, FIRST))] == [0, 1]


def test_the_one_with_the_least_to_do_is_asked_first(origins):
    """Requests that are waiting count as well as those under way."""
    busy = origins.find(OriginKey("http", "one.test", 80, is_carried=False))
    busy._opening = 1

    assert [aim.place.number for aim in aims(origins, (FIRST, SECOND))] == [1, 0]


def test_one_that_is_left_alone_is_asked_last(origins):
    """However much the other one has to do; also while one request finds out how it is."""
    dead = origins.find(OriginKey("http", "one.test", 80, is_carried=False))
    alive = origins.find(OriginKey("https", "two.test", 8443, is_carried=False))
    alive._opening = 9
    for _ in range(FAILURES):
        dead.health.fail(origins.clock.now)
    assert [aim.place.number for aim in aims(origins, (FIRST, SECOND))] == [1, 0]
    origins.clock.now += OPEN_S
    assert [aim.place.number for aim in aims(origins, (FIRST, SECOND))] == [0, 1]
    with dead.health.watch(origins.clock):
        assert [aim.place.number for aim in aims(origins, (FIRST, SECOND))] == [1, 0]
    assert [aim.place.number for aim in aims(origins, (FIRST, SECOND))] == [0, 1]


AUTHORITIES = {
    "a.test": ("a.test", 80),
    "a.test:8080": ("a.test", 8080),
    "[::1]": ("[::1]", 80),
    "[2001:db8::7]": ("[2001:db8::7]", 80),
    "[::1]:8080": ("[::1]", 8080),
}


@pytest.mark.parametrize(("authority", "expected"), AUTHORITIES.items())
def test_an_authority_is_a_host_and_a_port(authority, expected):
    """The last part of an address in brackets is no port."""
    assert split_authority(authority, 80) == expected


async def test_an_origin_that_is_not_reached_is_told(origins):
    """As the rule wrote it."""
    (aim,) = aims(origins, "http://127.0.0.1:3000/<*>")
    with pytest.raises(OriginError, match=r"proxy.allow: \[\"127.0.0.1:3000\"\]"):
        await aim.origin.acquire()
