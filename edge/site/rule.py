"""
One rule of a redirects file: what it is made of, and whether what it says can be carried out.

Here: the keys of a rule and their grammar. Not here: files and places in them (`redirects`), what
a request makes of a rule (`plan`). A problem is told by the key that it is about.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from edge.site.countries import COUNTRIES
from edge.site.decoding import decoder_of
from edge.site.expressions import is_slow
from edge.site.pattern import Expression, Inert, Source, compile_source, normalize_source
from edge.site.schema import Document
from edge.site.template import ORIGIN, compile_target

MAX_TEXT: Final = 2_048
"""Characters of a source or target (rules.md)."""

REDIRECTS: Final = ("301", "302", "303", "307", "308")
REFUSALS: Final = ("403", "410", "451")
MISSING: Final = ("404", "404-200", "fallback")
"""Statuses whose rules are tried only when no file was found."""

PROXYING: Final = ("200", "fallback")
"""Statuses whose target may be a list."""

STATUSES: Final = ("200", *REDIRECTS, *MISSING, *REFUSALS)
CONDITION: Final = re.compile(r"<[A-Za-z]{2}>(?:\s*,\s*<[A-Za-z]{2}>)*")
MAX_TARGETS: Final = 100
"""URLs to balance over; all are made for every request."""

EXPECTATION: Final = re.compile(r"[1-5][0-9]{2}(?: \S+)?")


class Example(Document, frozen=True, kw_only=True, gc=False):
    """What a rule carries to be tested by."""

    request: str
    """A path with a query perhaps, or a URL."""
    expect: str
    """`301 /new`, or a status alone."""


class Rule(Document, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One rule, in its canonical spelling. Stored as JSON."""

    source: str
    target: str | tuple[str, ...] | None = None
    status: str = "301"
    condition: str | None = None
    """`<US>, <CA>` in upper case."""
    tests: tuple[Example, ...] = ()
    line: int = 1
    column: int = 1
    """Where it begins in its file."""


class Written(Document, frozen=True, kw_only=True):
    """One rule as it stands in the file."""

    source: str
    target: str | tuple[str, ...] | None = None
    status: str | int | None = None
    condition: str | None = None
    tests: tuple[Example, ...] | None = None


BLOCK: Final = 256
"""Rules a line of the compiled document: a fraction of a millisecond each to decode and compile."""


def encode_rules(rules: Sequence[Rule]) -> bytes:
    """The rules as lines of JSON, a block a line, so that a worker can load 100,000 in slices."""
    encode = msgspec.json.Encoder().encode
    blocks = (rules[start : start + BLOCK] for start in range(0, len(rules), BLOCK))
    return b"".join(encode(block) + b"\n" for block in blocks)


def decode_rules(lines: Iterable[bytes]) -> Iterator[list[Rule]]:
    """The rules of `encode_rules`, a block at a time; the caller may pause between blocks."""
    decoder = decoder_of(list[Rule])
    for line in lines:
        yield decoder.decode(line)


def rule_key(rule: Rule) -> str:
    """What a rule is known by, wherever it stands in whatever file. Cost: 0.9 µs."""
    said = msgspec.json.encode((rule.source, rule.target, rule.status, rule.condition))
    return hashlib.sha256(said).hexdigest()[:16]


KeyPath = tuple[str | int, ...]
Problem = tuple[KeyPath, str, str]
"""Where in the rule, what, and what to do."""


def check_rule(
    written: Written, where: tuple[int, int], errors: list[Problem], warnings: list[Problem]
) -> Rule:
    """The rule in its canonical spelling, and what is wrong with it."""
    status = "301" if written.status is None else str(written.status).strip()
    if status not in STATUSES:
        known = f"one of {', '.join(STATUSES)}"
        errors.append((("status",), f"unknown status {status[:60]!r}", known))
    source = normalize_source(written.source.strip())
    compiled = check_source(source, errors, warnings)
    target = trim(written.target)
    check_targets(target, status, compiled, errors)
    tests = written.tests or ()
    for number, example in enumerate(tests):
        check_example(example, number, errors)
    return Rule(
        source=source,
        target=target,
        status=status,
        condition=check_condition(written.condition, errors, warnings),
        tests=tests,
        line=where[0],
        column=where[1],
    )


def trim(target: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """Without surrounding blanks; nothing is None."""
    if isinstance(target, tuple):
        return tuple(each.strip() for each in target) or None
    return target.strip() or None if target else None


def check_text(text: str) -> None:
    """
    One line of visible text, within the limit.

    Raises:
        ValueError: (problem, remedy)
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters", "shorten it")
    if not text:
        raise ValueError("there is nothing", "write a path; /<*> is every path")
    if not text.isprintable():
        problem = "there are invisible characters"
        raise ValueError(problem, r"percent-encode them; in JSON, write a backslash as \\")


def check_source(source: str, errors: list[Problem], warnings: list[Problem]) -> Source | None:
    """The compiled source; None when there is none, and then the reason is in `errors`."""
    try:
        check_text(source)
        compiled = compile_source(source)
    except ValueError as error:
        errors.append((("source",), *problem_of(error)))
        return None
    if isinstance(compiled.path, Expression) and (slow := is_slow(compiled.path.pattern)):
        problem = f"slow regular expression: {slow}"
        errors.append((("source",), problem, "avoid repeats inside of repeats"))
    if isinstance(compiled.path, Inert):
        reason = f"the rule never matches: {compiled.path.reason}"
        warnings.append((("source",), reason, compiled.path.remedy))
    return compiled


def problem_of(error: ValueError) -> tuple[str, str]:
    """Problem and remedy."""
    problem, remedy = error.args
    return str(problem), str(remedy)


def check_targets(
    target: str | tuple[str, ...] | None,
    status: str,
    source: Source | None,
    errors: list[Problem],
) -> None:
    """Whether the target fits the status, and its placeholders the source."""
    if problem := misfit(target, status):
        errors.append((("target",), *problem))
    targets = (target,) if isinstance(target, str) else target or ()
    for number, each in enumerate(targets):
        try:
            check_text(each)
            if source is not None and not isinstance(source.path, Inert):
                compile_target(each, source)
        except ValueError as error:
            key: KeyPath = ("target",) if isinstance(target, str) else ("target", number)
            errors.append((key, *problem_of(error)))


def misfit(target: str | tuple[str, ...] | None, status: str) -> tuple[str, str] | None:
    """Problem and remedy where a status has no use for such a target."""
    if target is None:
        wanted = f"a rule of status {status} needs a target"
        return None if status in REFUSALS else (wanted, "write a path, or a URL")
    if isinstance(target, tuple):
        if status not in PROXYING:
            return f"status {status} takes one target", "lists are for 200 and fallback"
        if len(target) > MAX_TARGETS:
            return f"there are more than {MAX_TARGETS} targets", "put a balancer in front of them"
        if not all(ORIGIN.match(each) for each in target):
            return "a list of targets is a list of URLs", "write https:// and a host in each"
        return None
    if ORIGIN.match(target) and status in (*REFUSALS, "404", "404-200"):
        remedy = "write a path; or the status 302 to redirect, fallback to proxy"
        return f"the target of a {status} is a path of this site", remedy
    return None


def check_condition(
    condition: str | None, errors: list[Problem], warnings: list[Problem]
) -> str | None:
    """Countries in upper case; None for everyone."""
    text = (condition or "").strip().upper()
    if not text:
        return None
    if not CONDITION.fullmatch(text):
        problem = f"bad country code in the condition {text[:60]!r}"
        errors.append((("condition",), problem, 'write "<US>", or "<US>, <CA>"'))
        return text
    for code in countries_of(text):
        if code not in COUNTRIES:
            known = "did you mean <GB>?" if code == "UK" else "write a code of ISO 3166-1"
            warnings.append((("condition",), f"no country has the code {code}", known))
    return text


def countries_of(condition: str) -> list[str]:
    """The codes of a condition."""
    return re.findall(r"[A-Z]{2}", condition)


def check_example(example: Example, number: int, errors: list[Problem]) -> None:
    """Whether a rule's own test can be run."""
    if not (example.request.startswith("/") or ORIGIN.match(example.request)):
        problem = f"{example.request[:60]!r} is no request"
        errors.append((("tests", number, "request"), problem, "write a path such as /old?page=1"))
    if not EXPECTATION.fullmatch(example.expect):
        problem = f"{example.expect[:60]!r} is no expectation"
        errors.append((("tests", number, "expect"), problem, "such as 301 /new, or 404"))
