"""
Operators' patterns, bounded; and their regular expressions.

Here: the time that a request has for them, compiling one, what shows that it is slow. Not here:
rules. A pattern is
somebody else's program that runs on a stranger's path: none runs without a limit, and all that one
request runs share one. Out of time is an error of its own, never "no match", which could skip a
rule that refuses.

The module is `regex`: as `re`, with lookahead and a limit. Its limit counts the process's
processor time and is looked at inside of every loop (measured: 5.0 to 5.7 ms for 5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import regex

from edge.errors import EdgeError

LIMIT: Final = 0.005
"""Seconds that all regular expressions of one request share (rules.md, "Slow patterns")."""

MATCHING: Final = 0.050
"""Seconds for trying one list of rules or globs of any kind: linear each, but there may be many."""

FEW: Final = 64
"""So many can be tried without looking at the clock."""

TRIES: Final = 3
"""
A pattern is slow that hangs each time: `regex` counts what other threads of the process do
meanwhile, and an ordinary pattern was refused once while one of them was busy.
"""

SHORT: Final = 256
LONG: Final = 8_192
"""Characters of a probe: an ordinary path, and the longest that a request can have."""

ANCHORED: Final = re.compile(r"\^(/[A-Za-z0-9_/~%,;=:@!&'-]*)([?*+{]?)")
FLAGGED: Final = re.compile(r"\(\?[^:=!<P]")
REMEDY: Final = "correct the pattern between </ and />"


T = TypeVar("T")


class PatternTooSlow(EdgeError):
    """The patterns of one request ran out of time: 503, counted and logged, never "no match"."""


class Budget:
    """
    The time that the patterns of one request have left.

    `clock` gives seconds of this thread's processor time (`time.thread_time`): any other runs on
    while somebody else works, and would answer 503 for patterns that took no time.
    """

    __slots__ = ("clock", "deadline", "left")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.left = LIMIT
        self.deadline: float | None = None
        """On `clock`, while rules are being tried."""

    def search(self, pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
        """
        The first match.

        What `regex` measures is the time of the whole process, so that a password being hashed in
        another thread counts too: where our own is not over, the search is begun again.

        Raises:
            PatternTooSlow: this pattern, with those before it, used up the time.

        Cost: 3 µs, most of it the three readings of clocks (one ours, two of `regex`).
        """
        if self.deadline is None:
            self.deadline = self.clock() + self.left
            left = self.left
        else:
            left = self.deadline - self.clock()
        while left > 0:
            try:
                return pattern.search(text, timeout=left)
            except TimeoutError:
                left = self.deadline - self.clock()
        raise too_slow(pattern)

    def bounded(self, candidates: Iterable[T]) -> Iterator[T]:
        """
        The same candidates, as long as there is time to try them.

        Raises:
            PatternTooSlow: trying them took more than `MATCHING`.

        Cost: 0.1 µs each.
        """
        end = self.clock() + MATCHING
        for number, each in enumerate(candidates):
            if number & 7 == 7 and self.clock() > end:
                problem = "the rules and header patterns that one path has to be compared with"
                raise PatternTooSlow(f"{problem} took more than {MATCHING * 1000:.0f} ms")
            yield each

    def pause(self) -> None:
        """Stops counting, until the next search; there was one."""
        assert self.deadline is not None, "nothing is being counted"
        self.left = self.deadline - self.clock()
        self.deadline = None


def too_slow(pattern: regex.Pattern[str]) -> PatternTooSlow:
    """The error, which names the pattern at work when time was up."""
    return PatternTooSlow(
        f"the patterns of one request took more than {LIMIT * 1000:.0f} ms, "
        f"at the latest </{pattern.pattern[:200]}/>"
    )


def compile_expression(text: str) -> regex.Pattern[str]:
    """
    The pattern between `</` and `/>`; its classes of digits and letters are ASCII, as JavaScript's.

    Raises:
        ValueError: (problem, remedy)
    """
    try:
        return regex.compile(text, regex.ASCII, cache_pattern=False)
    except regex.error as error:
        raise ValueError(f"bad regular expression: {error}", REMEDY) from error
    except RecursionError as error:
        raise ValueError("bad regular expression: nested too deeply", REMEDY) from error


def is_slow(pattern: regex.Pattern[str], length: int = SHORT) -> str | None:
    """
    Why a pattern is known to be slow: a path of at most `length` characters that it hangs on.

    With `SHORT` that is a pattern nobody should run; with `LONG` one whose time grows with the
    square of the path, harmless but for those who send such paths.
    """
    for probe in probes(pattern.pattern, length):
        if all(hangs(pattern, probe) for _ in range(TRIES)):
            shown = f"{probe[:12]}…{probe[-6:]}"
            return f"it takes more than {LIMIT * 1000:.0f} ms on a path such as {shown!r}"
    return None


def hangs(pattern: regex.Pattern[str], probe: str) -> bool:
    """Whether a search takes more than a request's time, for once."""
    try:
        pattern.search(probe, timeout=LIMIT)
    except TimeoutError:
        return True
    return False


def probes(text: str, length: int) -> Iterator[str]:
    """
    Paths that repeat what the pattern is about and then disappoint it, behind what all have.

    Backtracking is caused by repeats that can share the same text: of one of the pattern's own
    characters or words, or of what its classes are likely to mean.
    """
    words = [word for word in re.findall(r"[A-Za-z0-9]+", text) if len(word) > 1]
    marks = re.findall(r"[^\W_]|[-_.~/@:]", text)
    separated = [f"a{mark}" for mark in dict.fromkeys(re.findall(r"[-_~/@:,;=&%!']", text))]
    # `regex` looks for a literal that a match must have before it tries anything: give it all.
    literals = "".join(dict.fromkeys(re.sub(r"[\x00-\x20\\^$]", "", text)))[:64]
    runs = "\xa1".join(dict.fromkeys(re.findall(r"[A-Za-z0-9_/.~%@:-]{2,}", text)))[:64]
    usual = ["a", "0", "a/", "a.", "a-", "A", " ", "."]
    prefix = literal_prefix(text)
    for unit in dict.fromkeys([*usual, *words[:8], *marks[:16], *separated[:8]]):
        for end in ("", "!", f"\xa1{literals}\xa1{runs}\xa1"):
            room = max(0, length - len(prefix) - len(end))
            yield prefix + (unit * (length // len(unit)))[:room] + end


def literal_prefix(text: str) -> str:
    """
    What every path that a pattern matches begins with, up to a slash; "/" says nothing.

    Careful rather than clever: an alternative or a flag anywhere, and it gives up.
    """
    found = ANCHORED.match(text)
    if not found or "|" in text or FLAGGED.search(text):
        return "/"
    literal = found[1][:-1] if found[2] else found[1]
    return literal[: literal.rfind("/") + 1] or "/"
