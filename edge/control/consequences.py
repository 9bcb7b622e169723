"""
The blast radius of a change: sample requests, decided by what serves and by what would.

Laws: decides by the very functions that serve, fetches nothing, changes nothing, and stops in time:
what was not asked is counted. Samples are the addresses that rules name, before and after, what
their tests ask, and the files that serve.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from edge.control.claims import ORDER
from edge.errors import RequestError
from edge.http.target import encode_path
from edge.site.exchange import Moved
from edge.site.expressions import PatternTooSlow
from edge.site.hosts import HostClaim
from edge.site.plan import Forward
from edge.site.rehearsal import World, make_request, summary
from edge.site.rule import Rule, countries_of

SAMPLES: Final = 500
"""Requests for one branch."""

BRANCHES: Final = 20
"""Branches of one app; production first."""

DECIDED: Final = 5_000
"""Requests for one look, in each of two worlds."""

SECONDS: Final = 2.0
"""Time for one look."""

LISTED: Final = 200
"""Requests that are told; the others are counted."""

PLACEHOLDER: Final = re.compile(r"<[^<>/]*>|\*")

Sample = tuple[str, str | None]
"""A path with its query, or a URL; the country that it comes from."""

USUAL: Final[tuple[Sample, ...]] = (("/", None), ("/no-such-page", None))


class Verdict(msgspec.Struct, frozen=True):
    """How a request is answered."""

    answer: str
    """`301 /new`; with `password, then` where one is asked for."""
    rule: int | None
    """The number of the rule that decides, from 0; None is the files'."""
    source: str | None = None
    """What is written there."""


class Differs(msgspec.Struct, frozen=True):
    """One request that would be answered differently, or by another rule."""

    request: str
    before: Verdict
    after: Verdict


class Radius(msgspec.Struct, omit_defaults=True):
    """What a change would do to requests, as far as it was looked."""

    requests: list[Differs] = []
    unlisted: int = 0
    """Differences beyond `LISTED`."""
    hosts: list[str] = []
    """Those where any sample differs."""
    asked: int = 0
    """Samples that were decided."""
    passed_over: int = 0
    """Samples that were not, for time or number."""


def measure(
    samples: Iterable[tuple[str, Sample]], now: World, then: World, clock: Callable[[], float]
) -> Radius:
    """Decide samples, each with the host that it is for where it names none."""
    radius, known = Radius(requests=[], hosts=[]), set()
    until = clock() + SECONDS
    for host, (address, country) in samples:
        if (host, address, country) in known:
            continue
        if radius.asked >= DECIDED or clock() > until:
            radius.passed_over += 1
            continue
        known.add((host, address, country))
        radius.asked += 1
        _compare(radius, host, address, country, (now, then))
    return radius


def _compare(
    radius: Radius, host: str, address: str, country: str | None, worlds: tuple[World, World]
) -> None:
    authority, target = split(address, host)
    before, after = (decide(each, authority, target, country) for each in worlds)
    if (before.answer, before.source) == (after.answer, after.source):
        return  # another number alone is no difference: rules above it have moved it
    if authority not in radius.hosts:
        radius.hosts.append(authority)
    if len(radius.requests) >= LISTED:
        radius.unlisted += 1
        return
    name = f"{authority}{target.decode('latin-1')}"
    name += f" ({country})" if country is not None else ""
    radius.requests.append(Differs(name, before, after))


def decide(world: World, host: str, target: bytes, country: str | None) -> Verdict:
    """How a world answers a GET. Raises nothing that a client can cause."""
    try:
        exchange = world.open(make_request(host.encode(), target), country)
        if exchange is None:
            return Verdict("404", None)
        exchange.decide()
        outcome = world.follow(exchange)
        rule = None if isinstance(outcome, Moved) else outcome.rule
        source = None if rule is None else exchange.branch.plan.rules[rule].written.source
        status, place = world.answer(exchange) if isinstance(outcome, Forward) else summary(outcome)
        answer = f"{status} {place}".rstrip()
        if exchange.needs_password:
            answer = f"password, then {answer}"
        return Verdict(answer, rule, source)
    except RequestError as error:
        return Verdict(str(error.status), None)
    except PatternTooSlow:
        return Verdict("503", None)


def split(address: str, host: str) -> tuple[str, bytes]:
    """The host and the target of a sample."""
    url = urlsplit(address)
    target = encode_path(url.path or "/")
    if url.query:
        target += b"?" + quote(url.query, safe="%=&+;:@/?!$'()*,~").encode()
    return url.hostname or host, target


# Samples


def samples_of(
    claims: Iterable[HostClaim],
    production: str,
    paths: Callable[[str], Iterable[str]],
    changed: Sequence[Rule],
    rules: Sequence[Rule],
) -> Iterator[tuple[str, Sample]]:
    """
    Samples for each branch of an app, with its best host: what changed comes first.

    `paths` are the files of the branch of a label.
    """
    best: dict[str, HostClaim] = {}
    for claim in claims:
        known = best.get(claim.label)
        if known is None or (ORDER[claim.kind], claim.host) < (ORDER[known.kind], known.host):
            best[claim.label] = claim
    chosen = sorted(best.values(), key=lambda claim: (claim.branch != production, claim.branch))
    for claim in chosen[:BRANCHES]:
        of_rules = chain.from_iterable(map(samples_of_rule, chain(changed, rules)))
        of_files = ((path, None) for path in paths(claim.label))
        for sample in islice(chain(USUAL, of_rules, of_files), SAMPLES):
            yield claim.host, sample


def samples_of_rule(rule: Rule) -> Iterator[Sample]:
    """What a rule's tests ask, and an address that its source names, placeholders filled in."""
    for example in rule.tests:
        yield example.request, None
    if rule.source.startswith("</"):
        return
    address = PLACEHOLDER.sub("sample", rule.source)
    yield address, None
    if rule.condition is not None:
        yield address, countries_of(rule.condition)[0]


def pages_of(paths: Iterable[str]) -> Iterator[str]:
    """Files as people ask for them."""
    for path in paths:
        page = "/" + path
        yield page.removesuffix("index.html") if page.endswith("/index.html") else page
