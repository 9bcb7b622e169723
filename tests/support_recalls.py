"""What tests of recalled answers share: asking, and learning which way an answer came."""

from __future__ import annotations

from edge.http.message import Response
from tests.support_proxied import broker_of, content_of
from tests.support_serving import Answer, Site, request

PROXY = "10.0.0.1"
TRUSTING = "clients: {trusted_proxies: [10.0.0.0/8], country_header: X-Country}\n"
LISTENING = 'listen: {http: ["127.0.0.1:8080"]}\n'


async def seen(site: Site, target: str, **options: str) -> tuple[Answer, bool]:
    """An answer, and whether it needed no decision: then others get the same object."""
    found = site.worker._handler.respond(request(target, **options))
    response = found if isinstance(found, Response) else await found
    return Answer(response, await content_of(response)), is_recalled(site, response)


def is_recalled(site: Site, response: Response) -> bool:
    """Whether a response is one that a stored answer is remembered as."""
    looks = [look for entry in broker_of(site).shelf._queue for look in entry.dressed.values()]
    return any(look._whole is response for look in looks)


async def ways(site: Site, target: str, times: int = 3, **options: str) -> list[bool]:
    """Which of so many answers needed no decision."""
    return [(await seen(site, target, **options))[1] for _ in range(times)]


THIRD = [False, False, True]
"""Stored, found by the long way, and from then on at once."""

NEVER = [False] * 3


def known(site: Site) -> dict:
    """What is remembered of addresses."""
    return site.worker._forwarder.recalls._known
