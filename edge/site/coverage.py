"""
Which rules can never match, because one before them takes all that they could.

Here: comparing what two rules mean, and the search for one that has all of another's. Not here:
how that is told (`lint`). Laws: what is called covered is, for every path, host, query and country;
two rules that cover a third only together are not looked for, and the search has a bound.

A source is compared by one path that stands for all of its own: each placeholder becomes a
character that no source can hold, so whatever matches there matches it as a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from edge.site.expressions import Budget, PatternTooSlow, literal_prefix
from edge.site.pattern import Domain, Exact, Expression, Inert, Parameter, Places, Source
from edge.site.plan import CompiledRule, Index, Plan, is_for_navigation
from edge.site.rule import MISSING
from edge.site.subject import Subject

ANY: Final = "\x01"
"""Stands for what a placeholder takes. A source with a control character is inert."""

TRIES: Final = 2_000_000
"""Pairs of rules compared in a phase: 20 for each of 100,000, at 1 µs."""

FEW: Final = 16
"""Rules of the same path that are compared even then."""

SEARCHES: Final = 500_000
"""Regular expressions run over exact paths in a phase, at 2 µs."""

SLOW_SEARCH: Final = 10_000
"""What one that ran out of time counts as, in searches."""

TAIL: Final = r"(?:\.\*|\(\.\*\))"
EVERYTHING: Final = re.compile(rf"\^?(?:/\??)?{TAIL}\$?|\^?(?:\.\+|\(\.\+\))\$?|\^?/|\^|\$")
"""Regular expressions that every path matches, all of which begin with a slash."""

LITERAL: Final = re.compile(
    rf"\^(/(?:[A-Za-z0-9_/~%,;=:@!&'-]|\\[./-])*)(?:(?P<tail>{TAIL})\$?|(?P<end>\$))?"
)
"""Those that are a path, or the beginning of one."""

Means = Exact | Places | Expression | Domain | Inert


class Extent(msgspec.Struct, frozen=True, gc=False):
    """What one rule means, to be compared."""

    rule: CompiledRule
    source: Source
    """Its source, or a simpler one that means the same paths."""
    for_navigation: bool
    """Whether it passes over requests that are no navigation (`Plan.decide_missing`)."""


def find_covered(plan: Plan) -> Iterator[tuple[int, int]]:
    """
    The numbers of rules that never match, each with that of a rule which has all of its requests.

    Cost: 20 µs a rule.
    """
    early, late = Coverage(), Coverage()
    for rule in plan.rules:
        if not isinstance(rule.source.path, Inert):
            phase = late if rule.written.status in MISSING else early
            coverer = phase.take(rule)
            if coverer is not None:
                yield rule.number, coverer


class Coverage:
    """The rules of one phase so far, those left out that are covered: who covers them covers on."""

    def __init__(self) -> None:
        self.extents: dict[int, Extent] = {}
        self.index = Index()
        """Paths, patterns and domains."""
        self.searches = Index()
        """Regular expressions."""
        self.same: dict[str, list[int]] = {}
        """Regular expressions by their text."""
        self.tries_left = TRIES
        self.searches_left = SEARCHES

    def take(self, rule: CompiledRule) -> int | None:
        """The number of a rule before that covers this one; with none, this one is taken in."""
        path = simplify(rule.source.path)
        source = Source(path, rule.source.names, rule.source.parameters)
        extent = Extent(rule, source, is_for_navigation(rule))
        subject = representative(source)
        coverer = self.find(extent, subject)
        if coverer is None and isinstance(path, Exact):
            coverer = self.find_search(extent, subject)
        if coverer is None:
            self.extents[rule.number] = extent
            self.add(source, rule.number)
        return coverer

    def add(self, source: Source, number: int) -> None:
        """Takes a rule in."""
        if isinstance(source.path, Expression):
            self.searches.add(source, number)
            self.same.setdefault(source.path.pattern.pattern, []).append(number)
        else:
            self.index.add(source, number)

    def find(self, extent: Extent, subject: Subject) -> int | None:
        """A rule that covers this one, without a regular expression being run."""
        candidates = self.candidates(extent.source.path, subject)
        self.tries_left -= len(candidates)
        for number in candidates:
            other = self.extents[number]
            if is_wider(other, extent) and has_all_paths(other.source, extent.source, subject):
                return number
        return None

    def candidates(self, path: Means, subject: Subject) -> Sequence[int]:
        """The rules that may cover one of this path; a few of those when there were too many."""
        if self.tries_left <= 0:
            return self.index.exact.get(subject.path, [])[:FEW]
        if isinstance(path, Expression):
            return [*self.index.candidates(subject), *self.same.get(path.pattern.pattern, ())]
        return self.index.candidates(subject)

    def find_search(self, extent: Extent, subject: Subject) -> int | None:
        """A rule that covers the one of an exact path by a regular expression."""
        if self.searches_left <= 0:
            return None
        for number in self.searches.candidates(subject):
            self.searches_left -= 1
            other = self.extents[number]
            if is_wider(other, extent) and self.is_found(other.source, subject):
                return number
        return None

    def is_found(self, source: Source, subject: Subject) -> bool:
        """Whether a regular expression matches, as far as it says so in time."""
        try:
            return source.path.match(subject) is not None
        except PatternTooSlow:
            self.searches_left -= SLOW_SEARCH
            return False


def unhurried() -> Budget:
    """A budget that gives each search all the time that a request has: nothing adds up."""
    return Budget(lambda: 0.0)


def simplify(path: Means) -> Means:
    """The same paths without a regular expression, where that is easily said."""
    if not isinstance(path, Expression):
        return path
    text = path.pattern.pattern
    if EVERYTHING.fullmatch(text):
        return Places("/", (), None, text)
    found = LITERAL.fullmatch(text)
    if found is None:
        return path
    literal = found[1].replace("\\", "")
    return Exact(literal) if found["end"] else Places(literal, (), None, text)


def representative(source: Source) -> Subject:
    """
    A request that stands for all of a source's: what has it, and is open to the end, has them all.

    Of a regular expression it is the folder that all of them are in.
    """
    host = source.path.host if isinstance(source.path, Domain) else ""
    pairs = (f"{quote(each.key)}={quote(value_of(each))}" for each in source.parameters)
    query = "&".join(pairs).encode() or None
    return Subject(representative_path(source.path), b"", query, host, None, unhurried())


def value_of(parameter: Parameter) -> str:
    """A value that fits a parameter."""
    return ANY if parameter.value is None else parameter.value


def representative_path(path: Means) -> str:
    """The path that stands for all, without what `<*>` may take."""
    if isinstance(path, Exact):
        return path.path
    if isinstance(path, Places):
        literals = [literal for _, literal in (*path.inner, path.last or ("", ""))]
        filled = ANY.join([path.first, *literals])
        return filled.removesuffix(ANY) if path.last is None else filled
    return literal_prefix(path.pattern.pattern) if isinstance(path, Expression) else "/"


def is_wider(one: Extent, other: Extent) -> bool:
    """Whether nothing but the path can keep the one from what the other means."""
    countries = one.rule.countries
    if countries is not None:
        theirs = other.rule.countries
        if theirs is None or not theirs <= countries:
            return False
    if one.for_navigation and not other.for_navigation:
        return False
    parameters = other.source.parameters
    return all(is_implied(each, parameters) for each in one.source.parameters)


def is_implied(parameter: Parameter, by: Sequence[Parameter]) -> bool:
    """Whether a query that has `by` has this one."""
    return any(each.key == parameter.key and parameter.value in (None, each.value) for each in by)


def has_all_paths(one: Source, other: Source, subject: Subject) -> bool:
    """Whether the one has every path of the other, whose representative is `subject`."""
    if isinstance(one.path, Expression):
        return True  # it is asked because its text is the same
    if is_open(other.path) and not is_open(one.path):
        return False
    return one.path.match(subject) is not None


def is_open(path: Means) -> bool:
    """Whether anything may follow."""
    return not isinstance(path, Exact) and not (isinstance(path, Places) and path.last is not None)
