"""
Where a request may go: a rule's targets as origins, the best one first.

Laws: what a target says was checked when its rule was compiled, what was captured when it was
filled in. The origin with the least to do comes first, one that is left alone last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from edge.node.addresses import OriginKey
from edge.node.origins import Origin, Origins

PORTS: Final = {"http": 80, "https": 443}


class Place(msgspec.Struct, frozen=True, gc=False):
    """One of a rule's targets."""

    key: OriginKey
    authority: bytes
    target: bytes
    """Path and query, as the request has them."""
    number: int
    """Which one it is, from 0."""


class Aim(msgspec.Struct, frozen=True):
    """A target and its origin."""

    origin: Origin
    place: Place


def aims_of(origins: Origins, urls: Sequence[str], *, is_carried: bool) -> list[Aim]:
    """
    A rule's targets, first the one with the least to do.

    `is_carried` says that the rule is inside a deployment.
    """
    return aims_at(origins, places_of(urls, is_carried=is_carried))


def places_of(urls: Sequence[str], *, is_carried: bool) -> tuple[Place, ...]:
    """What the targets say."""
    places = []
    for number, url in enumerate(urls):
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        host, port = split_authority(authority, PORTS[scheme])
        key = OriginKey(scheme, host, port, is_carried)
        places.append(Place(key, authority.encode(), (slash + path).encode() or b"/", number))
    return tuple(places)


def aims_at(origins: Origins, places: Sequence[Place]) -> list[Aim]:
    """The origins of some places, first the one with the least to do."""
    if len(places) == 1:
        return [Aim(origins.find(places[0].key), places[0])]
    aims = [Aim(origins.find(each.key), each) for each in places]
    now = origins.clock.now
    aims.sort(key=lambda aim: (aim.origin.health.is_open(now), aim.origin.outstanding))
    return aims


def split_authority(authority: str, default: int) -> tuple[str, int]:
    """Host and port of a URL's authority, which has been checked when its rule was compiled."""
    host, colon, port = authority.rpartition(":")
    if colon and port.isdecimal() and not host.endswith(":"):
        return host, int(port)
    return authority, default
