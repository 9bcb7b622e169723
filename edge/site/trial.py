"""
The tests that rules carry, run against the files that they would decide over.

Laws: pure; what decides is `exchange`. Where nothing is deployed, a test that cannot be told
without files is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from edge.errors import ConfigError, RequestError
from edge.site.exchange import Exchange
from edge.site.expressions import PatternTooSlow
from edge.site.lookup import find_page
from edge.site.plan import Redirect, Refuse
from edge.site.rehearsal import World, make_request
from edge.site.rule import Example, Rule

MAX_FAILURES = 20
"""Failed tests that are told of one file."""


def run_tests(rules: Iterable[Rule], file: str, world: World, host: str) -> list[ConfigError]:
    """
    A mistake for each test that fails, `MAX_FAILURES` at most.

    Tests that name no host are asked of `host`, which `world` has.
    """
    failed: list[ConfigError] = []
    for number, rule in enumerate(rules):
        for example in rule.tests:
            found = run_test(example, world, host)
            if found is None or is_met(example.expect, found, world, host):
                continue
            where = f"[{number}].tests: {example.request} is answered with {found}"
            hint = f"expected {example.expect}; `edge explain` says why"
            failed.append(ConfigError(file, rule.line, rule.column, where, hint))
            if len(failed) >= MAX_FAILURES:
                return failed
    return failed


def run_test(example: Example, world: World, host: str) -> str | None:
    """`301 /new`; None where it takes files, and there are none."""
    url = urlsplit(example.request)
    target = url.path.encode() or b"/"
    target += b"?" + url.query.encode() if url.query else b""
    authority = (url.netloc or host).encode()
    try:
        exchange = world.open(make_request(authority, target), None)
        if exchange is None:
            return f"404, for {authority.decode()} is not this app's"
        exchange.decide()
        if needs_files(exchange):
            return None
        status, place = world.answer(exchange)
    except RequestError as error:
        return f"{error.status} ({error})"
    except PatternTooSlow as error:
        return f"503 ({error})"
    return f"{status} {place}".rstrip()


def needs_files(exchange: Exchange) -> bool:
    """Whether the answer depends on files that nobody has deployed yet."""
    decision = exchange.decision
    is_told = isinstance(decision, Redirect) or (
        isinstance(decision, Refuse) and decision.path is None
    )
    return exchange.branch.active is None and not is_told


def is_met(expected: str, found: str, world: World, host: str) -> bool:
    """Whether an answer is as expected: a status, with a place perhaps (a clean URL too)."""
    if found == expected or found.split(" ", maxsplit=1)[0] == expected:
        return True
    status, _, place = expected.partition(" ")
    site = world.snapshot.hosts.get(host.encode())
    tree = site.branch.active if site is not None and site.branch is not None else None
    if tree is None or tree.manifest is None or not place.startswith("/"):
        return False
    asset = find_page(tree.manifest, place)
    return asset is not None and found == f"{status} /{asset.entry.path}"
