"""
Ordered rules, compiled: what becomes of a request.

Laws: the first rule that matches decides, as if all were tried from the top; the index only leaves
out rules that could not match. Pure: a decision depends on its arguments. Redirects, rewrites and
refusals come before the look-up of files, the rules of missing files after it, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from edge.http.target import encode_path
from edge.site.expressions import FEW
from edge.site.pattern import (
    Domain,
    Exact,
    Inert,
    Places,
    Source,
    compile_source,
    directory,
    pinned_segment,
)
from edge.site.rule import MISSING, REDIRECTS, REFUSALS, Rule, countries_of
from edge.site.subject import Captures, Subject
from edge.site.template import Target, compile_target


class Redirect(msgspec.Struct, frozen=True, gc=False):
    """30x with a Location."""

    status: int
    location: bytes
    rule: int
    """Its number, from 0."""
    by_domain: bool
    """Whether it needs no password (rules.md, "Order" 2)."""


class Rewrite(msgspec.Struct, frozen=True, gc=False):
    """The content of another path of the tree. Rules are not run again."""

    path: str
    """Decoded."""
    status: int
    """404, or 200, which is then the look-up's."""
    rule: int


class Forward(msgspec.Struct, frozen=True, gc=False):
    """The answer of another server, or of another host of this node."""

    urls: tuple[str, ...]
    """Absolute, with path and query; one of them is to be asked."""
    rule: int


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """403, 410 or 451."""

    status: int
    path: str | None
    """Decoded; its content is the answer's where it exists."""
    rule: int


Decision = Redirect | Rewrite | Forward | Refuse


class CompiledRule(msgspec.Struct, gc=False):
    """One rule."""

    number: int
    written: Rule
    source: Source
    countries: frozenset[str] | None
    """None is everyone, those whose country is unknown too."""
    compiled: tuple[Target, ...] | None = None

    @property
    def targets(self) -> tuple[Target, ...]:
        """Compiled by the first request that needs them: half of a plan's cost, and rarely used."""
        if self.compiled is None:
            target = self.written.target
            texts = (target,) if isinstance(target, str) else target or ()
            self.compiled = tuple(compile_target(each, self.source) for each in texts)
        return self.compiled

    def prefixes(self, number: int) -> tuple[bytes, bytes]:
        """
        What is in front of `<*>` in source and a target: paths behind it are alike on both sides.

        Empty for rules that are about other paths.
        """
        path, behind = self.source.path, self.targets[number].prefix
        if isinstance(path, Domain):
            return b"/", behind
        if isinstance(path, Places) and not path.inner and path.last is None and behind:
            return encode_path(path.first), behind
        return b"", b""

    def match(self, subject: Subject) -> Captures | None:
        """What the source captured; None when the rule is not meant."""
        if self.countries is not None and subject.country not in self.countries:
            return None
        return self.source.match(subject)

    def decide(self, subject: Subject, captures: Captures) -> Decision:
        """
        What the rule makes of a request that it matched.

        Raises:
            MalformedRequest: the target cannot be built from what was captured.
        """
        status, targets = self.written.status, self.targets
        if status in REFUSALS:
            path = targets[0].file_path(subject, captures) if targets else None
            return Refuse(int(status), path, self.number)
        if status in REDIRECTS:
            by_domain = isinstance(self.source.path, Domain)
            location = targets[0].location(subject, captures)
            return Redirect(int(status), location, self.number, by_domain)
        if targets[0].origin:
            urls = tuple(target.url(subject, captures).decode() for target in targets)
            return Forward(urls, self.number)
        path = targets[0].file_path(subject, captures)
        return Rewrite(path, 404 if status in ("404", "404-200") else 200, self.number)

    def explain(self, subject: Subject) -> str | None:
        """Why the rule is not meant; None when it is."""
        if self.countries is not None and subject.country not in self.countries:
            wanted = ", ".join(sorted(self.countries))
            return f"the country is {subject.country or 'unknown'}, not {wanted}"
        return self.source.explain(subject)


def compile_rule(rule: Rule, number: int) -> CompiledRule:
    """
    One rule of a document that decoded without an error.

    Raises:
        ValueError: (problem, remedy), for any other.
    """
    countries = frozenset(countries_of(rule.condition)) if rule.condition else None
    return CompiledRule(number, rule, compile_source(rule.source), countries)


class Folder:
    """The patterns of one folder, by number."""

    __slots__ = ("pinned", "rest")

    def __init__(self) -> None:
        self.pinned: dict[int, dict[str, list[int]]] = {}
        """By a whole segment that they have, and where: `/<lang>/docs` by (2, "docs")."""
        self.rest: list[int] = []
        """Those with nothing but placeholders behind the folder."""

    def pinned_to(self, path: str) -> Iterator[int]:
        """Those whose segment the path has."""
        for place, by_segment in self.pinned.items():
            segments = path.split("/", place + 1)
            if place < len(segments):
                yield from by_segment.get(segments[place], ())


class Index:
    """The rules of one phase, by what a request must have to match them."""

    __slots__ = ("depth", "exact", "folders", "hosts", "numbers", "queries")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        """Of all its rules, those that never match included."""
        self.exact: dict[str, list[int]] = {}
        self.queries: dict[str, dict[tuple[str, str | None], list[int]]] = {}
        """By path, then by one parameter that the query must have."""
        self.hosts: dict[str, list[int]] = {}
        self.folders: dict[str, Folder] = {}
        self.depth = 0
        """Slashes of the deepest folder."""

    def add(self, source: Source, number: int) -> None:
        """Takes the rule of a number greater than all before."""
        if isinstance(source.path, Domain):
            self.hosts.setdefault(source.path.host, []).append(number)
        elif not isinstance(source.path, Exact):
            self.add_pattern(source, number)
        elif source.parameters:
            literal = [each for each in source.parameters if each.value is not None]
            first = (literal or source.parameters)[0]
            by_parameter = self.queries.setdefault(source.path.path, {})
            by_parameter.setdefault((first.key, first.value), []).append(number)
        else:
            self.exact.setdefault(source.path.path, []).append(number)

    def add_pattern(self, source: Source, number: int) -> None:
        """Takes a rule that is looked for by its folder, and a segment where it has one."""
        folder = directory(source)
        self.depth = max(self.depth, folder.count("/"))
        group = self.folders.setdefault(folder, Folder())
        pin = pinned_segment(source)
        if pin is None:
            group.rest.append(number)
        else:
            group.pinned.setdefault(pin[0], {}).setdefault(pin[1], []).append(number)

    def candidates(self, subject: Subject) -> Sequence[int]:
        """
        The numbers of all rules that may match, in order.

        Cost: a look-up for each kind of source in use, and one for each folder of the path.
        """
        path = subject.path
        found = list(self.exact.get(path, ()))
        if self.hosts:
            found += self.hosts.get(subject.host, ())
        if self.queries and subject.query and (by_parameter := self.queries.get(path)):
            for key_and_value in subject.values:
                found += by_parameter.get(key_and_value, ())
        end = 0
        for _ in range(self.depth):
            end = path.find("/", end) + 1
            if not end:
                break
            if folder := self.folders.get(path[:end]):
                found += folder.rest
                if folder.pinned:
                    found += folder.pinned_to(path)
        if len(found) > 1:
            found.sort()
        return found


class Plan:
    """The rules of one app or deployment."""

    __slots__ = ("__weakref__", "conditional", "early", "hits", "late", "rules")

    def __init__(self) -> None:
        self.rules: list[CompiledRule] = []
        self.conditional = False
        """Whether any rule asks for the country."""
        self.early = Index()
        """Rules that are tried before the look-up of files."""
        self.late = Index()
        """Rules of what is missing."""
        self.hits: dict[int, int] = {}
        """Requests by the number of the rule that decided them, counted by whoever serves."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to ask it."""
        return not self.rules

    def add(self, rules: Iterable[Rule]) -> None:
        """Takes more rules, behind those it has; a caller may pause between blocks."""
        for rule in rules:
            compiled = compile_rule(rule, len(self.rules))
            index = self.late if rule.status in MISSING else self.early
            index.numbers.append(compiled.number)
            if not isinstance(compiled.source.path, Inert):
                index.add(compiled.source, compiled.number)
                self.conditional |= compiled.countries is not None
            self.rules.append(compiled)

    def decide(self, subject: Subject) -> Decision | None:
        """
        The decision before files are looked up; None when no rule has one.

        Raises:
            PatternTooSlow: see `Budget.search`.
            MalformedRequest: a target cannot be built from what was captured.

        Cost: see `Index.candidates`, and what trying those costs.
        """
        candidates = self.early.candidates(subject)
        return self.first(candidates, subject) if candidates else None

    def is_fixed(self, subject: Subject) -> bool:
        """Whether the decision before files depends on nothing but host and path."""
        early = self.early
        rules = [self.rules[number] for number in early.candidates(subject)]
        return subject.path not in early.queries and not any(
            rule.countries is not None or rule.source.parameters for rule in rules
        )

    def names(self, host: str) -> bool:
        """Whether a rule before files is about one host, so that others are not answered alike."""
        return host in self.early.hosts

    def asks_country(self, subject: Subject) -> bool:
        """Whether the client's country makes a difference before files are looked up."""
        return self.conditional and self._asks(self.early, subject)

    def asks_country_of_missing(self, subject: Subject) -> bool:
        """The same where no file was found."""
        return self.conditional and self._asks(self.late, subject)

    def asks_navigation(self, subject: Subject) -> bool:
        """Whether it makes a difference where no file was found that a browser goes to a page."""
        return any(is_for_navigation(self.rules[each]) for each in self.late.candidates(subject))

    def _asks(self, index: Index, subject: Subject) -> bool:
        numbers = index.candidates(subject)
        return any(self.rules[number].countries is not None for number in numbers)

    def decide_missing(self, subject: Subject, method: bytes, accept: bytes) -> Decision | None:
        """
        The decision when no file was found; None when no rule has one.

        `accept` is the value of Accept, empty without one. Raises as `decide`.
        """
        candidates = self.late.candidates(subject)
        if candidates and not is_navigation(subject.path, method, accept):
            candidates = [each for each in candidates if not is_for_navigation(self.rules[each])]
        return self.first(candidates, subject) if candidates else None

    def first(self, candidates: Sequence[int], subject: Subject) -> Decision | None:
        """What the first rule that matches decides."""
        many = len(candidates) > FEW
        try:
            for number in subject.budget.bounded(candidates) if many else candidates:
                captures = self.rules[number].match(subject)
                if captures is not None:
                    return self.rules[number].decide(subject, captures)
        finally:
            if subject.budget.deadline is not None:
                subject.budget.pause()
        return None


def is_for_navigation(rule: CompiledRule) -> bool:
    """Whether a rule is a single-page app's entry: a `fallback` to a file."""
    return rule.written.status == "fallback" and not rule.targets[0].origin


def is_navigation(path: str, method: bytes, accept: bytes) -> bool:
    """Whether a browser goes to a page, and does not fetch one of its files."""
    if method not in (b"GET", b"HEAD"):
        return False
    return "." not in path.rsplit("/", 1)[-1] or b"text/html" in accept.lower()


def compile_plan(rules: Iterable[Rule]) -> Plan:
    """The plan of a whole document. Cost: some 10 µs a rule, 200 µs a regular expression."""
    plan = Plan()
    plan.add(rules)
    return plan


EMPTY: Final = compile_plan(())
"""The plan of an app without rules."""
