"""
Redirects that lead back to where they began, or on and on.

Here: following redirects as a browser does, through the rules and the tree. Not here: other lints
(`lint`). Laws: pure; every step is a decision of the plan, so a loop that is told is one, at the
very addresses that are shown. Not all loops are found: a rule is followed from one destination,
and the search has a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from edge.errors import MalformedRequest
from edge.http.target import decode_path, encode_path, split_query
from edge.site.coverage import unhurried
from edge.site.expressions import LONG, PatternTooSlow
from edge.site.lookup import find_file
from edge.site.manifest import Asset, Manifest
from edge.site.pattern import Domain, Expression, Inert
from edge.site.plan import CompiledRule, Decision, Plan, Redirect
from edge.site.rule import REDIRECTS
from edge.site.subject import Subject
from edge.site.template import ORIGIN

WORK: Final = 600_000
"""Rules tried by one lint: 0.3 µs each, 3 µs where it is a regular expression."""

SLOW: Final = 10_000
"""What a request whose patterns run out of time counts as, in rules."""

HOPS: Final = 20
"""Redirects that browsers follow in a row. Source: the Fetch standard, HTTP-redirect fetch."""

LONGEST: Final = LONG
"""Bytes of a path that nobody can ask for."""

SHOWN: Final = 4
"""Addresses of a loop that are shown, of `CUT` characters at most."""

CUT: Final = 80
WORD: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

Url = tuple[str, bytes, bytes | None]
"""Host (empty: any without a rule of its own), path and query as they are sent."""

Hop = tuple[Url, int | None]
"""Where a redirect leads, and the number of its rule; None is the tree."""


class Circle(msgspec.Struct, frozen=True):
    """Redirects that lead back, or on and on."""

    urls: list[Url]
    """In order; the first one again at the end, where it leads back."""
    rules: list[int | None]
    """What redirects each but the last: the number of a rule; None is the tree."""

    @property
    def first(self) -> int:
        """The first of its rules; the tree alone goes round in no circle."""
        return min(rule for rule in self.rules if rule is not None)

    @property
    def is_round(self) -> bool:
        """Whether it leads back; otherwise the addresses grow."""
        return self.urls[0] == self.urls[-1]

    def __str__(self) -> str:
        """The addresses with arrows between them, of a circle from that of the first rule on."""
        urls = self.urls
        if self.is_round:
            start = self.rules.index(self.first)
            urls = [*urls[start:-1], *urls[: start + 1]]
        shown = [show(*url) for url in urls]
        if len(shown) > SHOWN:
            shown = [*shown[: SHOWN - 1], "…", *shown[-1:] * self.is_round]
        return " → ".join(shown)


class Scene:
    """The rules of one document, and the tree and hosts that they would decide over."""

    def __init__(
        self, plan: Plan, manifest: Manifest | None, hosts: frozenset[str], trailing_slash: str
    ) -> None:
        self.plan = plan
        self.manifest = manifest
        self.hosts = hosts
        """All of the app."""
        self.trailing_slash = trailing_slash
        self.rules = [rule for rule in plan.rules if not isinstance(rule.source.path, Inert)]
        """Those that can match."""
        self.budget = unhurried()

    def subject(self, url: Url, country: str | None = None) -> Subject:
        """
        A request for a URL.

        Raises:
            MalformedRequest: see `decode_path`.
        """
        host, raw, query = url
        return Subject(decode_path(raw), raw, query, host, country, self.budget)

    def find_file(self, path: str) -> Asset | str | None:
        """What the tree has for a path: a file, a path to redirect to, or nothing."""
        if self.manifest is None:
            return None
        return find_file(self.manifest, path, self.trailing_slash)

    def destinations(self, rule: CompiledRule) -> Iterator[Url]:
        """
        Where on this site a redirect leads, captures being their own names.

        Groups of a regular expression are numbers that way, so it is tried with a word too.
        """
        path, target = rule.source.path, rule.targets[0]
        host = path.host if isinstance(path, Domain) else ""
        subject = self.subject((host, b"/any", None))
        has_groups = isinstance(path, Expression) and path.names and target.fixed is None
        for word in (None, b"en") if has_groups else (None,):
            captures = {name: word or word_of(name) for name in rule.source.names}
            url = self.parse(target.location(subject, captures), host)
            if url is not None:
                yield url

    def parse(self, location: bytes, host: str) -> Url | None:
        """The URL of a Location that was sent to a request for `host`; None for other sites."""
        path, query = split_query(location.partition(b"#")[0])
        if path.startswith(b"/"):
            return host, path, query
        found = ORIGIN.match(path.decode("ascii"))
        assert found is not None, "a Location is a path or a URL"
        host, _, port = found[2].lower().partition(":")
        if host not in self.hosts or port not in ("", "80", "443"):
            return None
        return host, path[found.end() :] or b"/", query


class Trial:
    """Asking the rules before files, within a bound."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.left = WORK

    def decide(self, subject: Subject) -> Decision | None:
        """
        As `Plan.decide`.

        Raises:
            MalformedRequest: whatever is no decision, too.
        """
        candidates = self.plan.early.candidates(subject)
        self.left -= len(candidates)
        try:
            return self.plan.first(candidates, subject) if candidates else None
        except PatternTooSlow as error:
            self.left -= SLOW
            raise MalformedRequest("it takes too long") from error


def find_loops(scene: Scene) -> Iterator[Circle]:
    """
    The loops that redirects are in, none sharing a rule with another.

    Cost: 20 µs a redirect, and the regular expressions that it is tried against.
    """
    walker = Walker(scene)
    for rule in scene.rules:
        if rule.written.status in REDIRECTS:
            country = min(rule.countries) if rule.countries else None
            for url in scene.destinations(rule):
                circle = walker.walk(url, country)
                if circle is not None:
                    yield circle


class Walker:
    """
    Follows redirects.

    Every URL is asked for once, however many rules lead there: a loop behind it is known.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.trial = Trial(scene.plan)
        self.done: set[tuple[Url, str | None]] = set()
        self.told: set[int | None] = set()
        """Rules that are in a loop which was found."""

    def walk(self, url: Url, country: str | None) -> Circle | None:
        """The first loop that a URL leads to, unless it is known."""
        trail: dict[Url, int | None] = {}
        uses: dict[int | None, int] = {}
        while (url, country) not in self.done and self.trial.left > 0:
            self.done.add((url, country))
            hop = self.step(url, country)
            if hop is None or hop[1] in self.told:
                return None
            following, rule = hop
            trail[url] = rule
            uses[rule] = uses.get(rule, 0) + (rule is not None)
            is_long = len(following[1]) > LONGEST
            if following in trail or uses[rule] > (1 if is_long else HOPS):
                return self.close(trail, following)
            if is_long:
                return None
            url = following
        return None

    def close(self, trail: dict[Url, int | None], following: Url) -> Circle:
        """The part of a trail that repeats: since the URL, or since the last rule's first use."""
        urls, rules = list(trail), list(trail.values())
        start = urls.index(following) if following in trail else rules.index(rules[-1])
        self.told.update(rule for rule in rules[start:] if rule is not None)
        return Circle([*urls[start:], following], rules[start:])

    def step(self, url: Url, country: str | None) -> Hop | None:
        """Where a URL is redirected to on this site; None where it is not."""
        host, _, query = url
        try:
            subject = self.scene.subject(url, country)
            decision = self.trial.decide(subject)
        except MalformedRequest:
            return None
        if isinstance(decision, Redirect):
            following = self.scene.parse(decision.location, host)
            return None if following is None else (following, decision.rule)
        found = self.scene.find_file(subject.path) if decision is None else None
        return ((host, encode_path(found), query), None) if isinstance(found, str) else None


def show(host: str, path: bytes, query: bytes | None) -> str:
    """One address for people."""
    text = path if query is None else path + b"?" + query
    return ((f"https://{host}" if host else "") + text.decode("ascii", "replace"))[:CUT]


def word_of(name: str) -> bytes:
    """What a placeholder captures, to try: its own name where that is a word; fits into a host."""
    return name.encode() if WORD.fullmatch(name) else b"any"
