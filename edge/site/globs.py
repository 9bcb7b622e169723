"""
Globs over request paths: `customHttp.yml` chooses fields by them, and access its open paths.

Here: the grammar, what could never match, and matching in linear time. Not here: what a match is
good for. A glob is compared with the decoded path (`http.target.decode_path`), case and all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from typing import Final

MAX_PATTERN: Final = 2_048
"""Characters of a glob, as of a rule's source."""

MAX_ALTERNATIVES: Final = 64
"""Plain globs that one pattern may stand for: `{a,b}` doubles them, and so does `**` in a word."""

BRACES: Final = re.compile(r"\{([^{}]*)\}")
ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
STARS: Final = re.compile(r"\*\*+")
WILDCARD: Final = re.compile(r"[*?]")
GLOBSTAR: Final = "**"
ANY_FOLDERS: Final = "(?:[^/]*+/)*?"


class Glob:
    """
    One plain glob; a pattern stands for one or several (`compile_glob`).

    Cost: two comparisons for a path with another beginning or end, else O(path · glob). The
    expression never tries a text twice: each of its groups is atomic and takes the leftmost match,
    which leaves the most for what follows. It is compiled at its first use, for that is slow.
    """

    __slots__ = ("compiled", "expression", "is_exact", "literal", "prefix", "suffix")

    def __init__(self, segments: Sequence[str]) -> None:
        raw = "/".join(segments)
        wildcards = [found.start() for found in WILDCARD.finditer(raw)]
        self.is_exact = not wildcards
        self.prefix = parse_literal(raw[: wildcards[0]] if wildcards else raw)
        """What a path has to begin with; all of it where the glob is exact."""
        self.suffix = parse_literal(raw[wildcards[-1] + 1 :]) if wildcards else ""
        """What a path has to end with; it may overlap the prefix."""
        self.literal = max(literals(segments), key=len, default="")
        """What a path has to have somewhere; most paths are told apart by that."""
        self.expression = encode_expression(segments)
        self.compiled: re.Pattern[str] | None = None

    def matches(self, path: str) -> bool:
        """Whether the decoded path is one of those meant."""
        if self.is_exact:
            return path == self.prefix
        if not (path.startswith(self.prefix) and path.endswith(self.suffix)):
            return False
        if self.literal not in path:
            return False
        if self.compiled is None:
            self.compiled = re.compile(self.expression)
        return self.compiled.fullmatch(path) is not None


def compile_glob(pattern: str) -> tuple[Glob, ...]:
    """
    The plain globs that a pattern stands for; a path matches it when it matches any of them.

    `*` is any run within a segment, `?` one character of it, `**` any run at all, `**/` any number
    of folders, none included, `{a,b}` either. Without a `/` it means the last segment at any depth,
    otherwise the path from the root. A percent-escape is the character itself: `%2A` is a star.

    Raises:
        ValueError: (problem, remedy)
    """
    check_pattern(pattern)
    paths = [expand_stars(from_root(plain)) for plain in expand_braces(pattern)]
    if sum(math.prod(map(len, options)) for options in paths) > MAX_ALTERNATIVES:
        raise too_many(pattern)
    found = (product(*options) for options in paths)
    return tuple(Glob(without_repeats(chain(*path))) for path in chain.from_iterable(found))


def check_pattern(pattern: str) -> None:
    """Refuses what could never match a path, with what was probably meant."""
    shown = pattern[:80]
    if not pattern.strip() or not pattern.isprintable():
        raise ValueError("the glob is empty or has invisible characters", "write plain text")
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the glob is longer than {MAX_PATTERN} characters", "write a shorter one")
    if "://" in pattern:
        raise ValueError(f"{shown!r} is an address", "a glob is over the path alone: /path/*")
    if "<" in pattern or ">" in pattern:
        remedy = "<*> belongs to redirects; in a glob ** is any depth, * one segment"
        raise ValueError(f"{shown!r} is not a glob", remedy)
    if "\\" in pattern:
        raise ValueError(f"{shown!r} has a backslash, as no path has", "write / or %2A for a star")
    if {".", ".."} & set(pattern.split("/")):
        raise ValueError(f"{shown!r} has a dot segment, as no path has", "begin at the root: /path")


def expand_braces(pattern: str) -> list[str]:
    """The patterns without braces; the innermost pair goes first, so that they nest."""
    pending, done = [pattern], []
    while pending:
        plain = pending.pop(0)
        found = BRACES.search(plain)
        if found is None:
            done.append(check_balanced(plain, pattern))
            continue
        if "," not in found[1]:
            problem = f"{found[0][:80]!r} leaves no choice"
            raise ValueError(problem, "write {a,b}, or %7B and %7D for braces")
        words = dict.fromkeys(found[1].split(","))
        pending += [plain[: found.start()] + word + plain[found.end() :] for word in words]
        if len(pending) + len(done) > MAX_ALTERNATIVES:
            raise too_many(pattern)
    return list(dict.fromkeys(done))


def check_balanced(plain: str, pattern: str) -> str:
    """`plain` itself, unless a brace is left over."""
    if "{" in plain or "}" in plain:
        problem = f"{pattern[:80]!r} has a brace without its other half"
        raise ValueError(problem, "write {a,b}, or %7B and %7D for braces")
    return plain


def too_many(pattern: str) -> ValueError:
    """The refusal of a pattern that multiplies."""
    problem = f"{pattern[:80]!r} stands for more than {MAX_ALTERNATIVES} globs"
    return ValueError(problem, "split it into several entries")


def from_root(plain: str) -> str:
    """The glob with its leading slash."""
    if plain.startswith("/"):
        return plain
    return f"/{plain}" if "/" in plain else f"/**/{plain}"


def expand_stars(plain: str) -> list[list[list[str]]]:
    """
    For each segment the ways to write it with `**` only as a whole segment that is not the last.

    `a**b` is `a*b` in one segment, or `a*` and `*b` with any number of folders between them.
    """
    *folders, last = plain.split("/")
    return [split_stars(each, [GLOBSTAR]) for each in folders] + [
        split_stars(last, [GLOBSTAR, "*"])
    ]


def split_stars(segment: str, whole: list[str]) -> list[list[str]]:
    """The ways to write one segment; `whole` is the way for `**` alone."""
    if STARS.fullmatch(segment):
        return [whole]
    first, *others = STARS.split(segment)
    if 2 ** len(others) > MAX_ALTERNATIVES:
        raise too_many(segment)
    ways = [[first]]
    for part in others:
        within = [[*way[:-1], f"{way[-1]}*{part}"] for way in ways]
        across = [[*way[:-1], f"{way[-1]}*", GLOBSTAR, f"*{part}"] for way in ways]
        ways = within + across
    return ways


def without_repeats(segments: Iterable[str]) -> list[str]:
    """The segments with one globstar in place of several in a row."""
    kept: list[str] = []
    for segment in segments:
        if segment != GLOBSTAR or kept[-1:] != [GLOBSTAR]:
            kept.append(segment)
    return kept


def parse_literal(text: str) -> str:
    """Literal text as a decoded path has it; `%2F` stays, for there too it is data."""
    try:
        return ESCAPE.sub(unescape, text.encode()).decode()
    except UnicodeDecodeError:
        problem = f"{text[:80]!r} has a percent-escape that is not UTF-8"
        raise ValueError(problem, "write the character itself") from None


def literals(segments: Iterable[str]) -> Iterator[str]:
    """The literal parts of segments, between wildcards."""
    for segment in segments:
        yield from map(parse_literal, WILDCARD.split(segment))


def unescape(match: re.Match[bytes]) -> bytes:
    """The byte of one escape, or the escape of a slash."""
    return bytes.fromhex(match[1].decode()).replace(b"/", b"%2F")


def encode_expression(segments: Sequence[str]) -> str:
    """The expression for `fullmatch`: runs of segments, with any folders between two of them."""
    runs: list[list[str]] = [[]]
    for segment in segments:
        if segment == GLOBSTAR:
            runs.append([])
        else:
            runs[-1].append(encode_segment(segment))
    *before, last = ["/".join(run) for run in runs]
    if not before:
        return last
    first, *middle = before
    return f"{first}/{''.join(f'(?>{ANY_FOLDERS}{run}/)' for run in middle)}{ANY_FOLDERS}{last}"


def encode_segment(segment: str) -> str:
    """The expression of one segment: each chunk as far left as it goes, the last one at the end."""
    first, *others = (encode_chunk(chunk) for chunk in segment.split("*"))
    if not others:
        return first
    *middle, last = others
    found = "".join(f"(?>[^/]*?{chunk})" for chunk in middle if chunk)
    return first + found + (rf"(?>[^/]*{last}(?=/|\Z))" if last else "[^/]*+")


def encode_chunk(chunk: str) -> str:
    """The expression of text with `?`: of one length, so that leftmost is always right."""
    return "[^/]".join(re.escape(parse_literal(text)) for text in chunk.split("?"))
