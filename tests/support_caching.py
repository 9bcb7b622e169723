"""
A cache made of nothing but the decisions of `edge.http`, and dialogues that a client has with it.

The model keeps one list of entries for each URI and has no decision of its own: it shows in which
order the modules are called. A case is a list of steps; each says what the client asks, what the
origin would answer, and what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from edge.http import caching, conditional, freshening, freshness, invalidation, reuse, variants
from edge.http.caching import Policy
from edge.http.fields import FieldList, Line, format_http_date

START = 1_750_000_000
PAUSE_S = 3
ORIGIN = b"http://origin.example"
BODY = b"0123456789A"


# A cache made of the decisions under test


class Entry(msgspec.Struct):
    """One stored response."""

    stored: freshness.Stored
    lines: list[Line]
    key: bytes | None
    step: int
    """Which answer of the origin it was."""


class Answer(msgspec.Struct):
    """What the client gets, and what the origin was asked, if it was."""

    status: int
    lines: list[Line]
    step: int
    content: bytes = BODY
    asked: list[Line] | None = None
    asked_method: bytes = b""


Reply = tuple[int, list[Line]] | None
"""The origin's, None when it hangs up."""

Origin = Callable[[bytes, list[Line]], Reply]
"""Method and lines in, the reply out."""


def unreachable(_method: bytes, _lines: list[Line]) -> Reply:
    """The origin before there is one."""
    return None


class ModelCache:
    """Stores for one client at a time; `background` is what swr left to do."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.entries: dict[bytes, list[Entry]] = {}
        self.step = 0
        self.now = START
        self.ask: Origin = unreachable

    def respond(self, method: bytes, uri: bytes, request: FieldList) -> Answer:
        """The answer to one request."""
        self.step += 1
        if method != b"GET":
            return self.write_through(method, uri, request)
        wishes = reuse.wishes_of(request, self.policy)
        entry = self.select(uri, request)
        if entry is None:
            if wishes and wishes.only_if_cached:
                return Answer(504, [], self.step)
            return self.fetch(uri, request)
        outcome = reuse.reuse(entry.stored, wishes, self.now)
        if outcome is reuse.Reuse.UNAVAILABLE:
            return Answer(504, [], self.step)
        if outcome is reuse.Reuse.VALIDATE:
            return self.validate(uri, request, entry)
        answer = self.serve(entry, request)
        if outcome is reuse.Reuse.STALE_WHILE_REVALIDATE:
            self.validate(uri, request, entry)
        return answer

    def select(self, uri: bytes, request: FieldList) -> Entry | None:
        """The most recent stored response that the request selects."""
        fitting = [
            entry
            for entry in self.entries.get(uri, [])
            if variants.matches(entry.stored.vary, entry.key, request)
        ]
        return max(fitting, key=lambda entry: freshening.recency(entry.stored), default=None)

    def serve(self, entry: Entry, request: FieldList) -> Answer:
        """A stored response: 304, a part, or all of it."""
        stored = entry.stored
        age = (b"age", b"%d" % freshness.current_age(stored, self.now))
        state = conditional.evaluate(b"GET", request, stored.etag, stored.modified)
        if state is conditional.Precondition.NOT_MODIFIED:
            lines = freshening.fields_of_304(entry.lines)
            return Answer(304, [*lines, age], entry.step)
        spans = conditional.select_ranges(request, stored.etag, stored.last_modified, len(BODY))
        if not spans:
            return Answer(stored.status, [*entry.lines, age], entry.step)
        start, stop = spans[0]
        where = conditional.content_range(start, stop, len(BODY))
        lines = freshening.framed(entry.lines, stop - start, where)
        return Answer(206, [*lines, age], entry.step, BODY[start:stop])

    def fetch(self, uri: bytes, request: FieldList) -> Answer:
        """The origin's answer, stored if it may be."""
        return self.keep(uri, request, list(request), self.ask(b"GET", list(request)))

    def validate(self, uri: bytes, request: FieldList, entry: Entry) -> Answer:
        """What asking about a stored response comes to."""
        stored = entry.stored
        asked = freshening.lines_without(request, freshening.PRECONDITIONS)
        asked += freshening.conditional_fields(stored)
        reply = self.ask(b"GET", asked)
        status = 502 if reply is None else reply[0]
        if reuse.may_serve_stale_on_error(stored, status, self.now):
            return self.serve(entry, request)
        if reply is None or reply[0] != 304:
            return self.keep(uri, request, asked, reply)
        candidates = [each.stored for each in self.entries[uri]]
        update = FieldList(reply[1])
        if not freshening.identify(candidates, update):
            return self.keep(uri, request, list(request), self.ask(b"GET", list(request)))
        answer = self.serve(self.updated(uri, request, entry, update), request)
        answer.asked = asked
        return answer

    def updated(self, uri: bytes, request: FieldList, entry: Entry, update: FieldList) -> Entry:
        """A stored response after a 304 or a HEAD, back in the store if it may be."""
        status = entry.stored.status
        lines = freshening.freshen(entry.lines, update, self.now, self.policy)
        fields = FieldList(lines)
        verdict = caching.may_store(b"GET", request, status, fields, self.policy)
        arrival = freshness.arrival_of(update, self.now, self.now)
        stored = freshness.describe(status, fields, verdict.directives, arrival, self.policy)
        key = variants.variant_key(stored.vary, request)
        result = Entry(stored, lines, key, entry.step)
        if verdict.reason not in caching.ABOUT_REQUEST:
            others = [each for each in self.entries[uri] if each is not entry]
            self.entries[uri] = others if verdict.reason else [*others, result]
        return result

    def keep(self, uri: bytes, request: FieldList, asked: list[Line], reply: Reply) -> Answer:
        """A full answer, stored in place of what it replaces if it may be."""
        if reply is None:
            return Answer(502, [], self.step, asked=asked)
        status, lines = reply
        fields = FieldList(lines)
        verdict = caching.may_store(b"GET", request, status, fields, self.policy)
        if verdict.reason is None:
            arrival = freshness.arrival_of(fields, self.now, self.now)
            stored = freshness.describe(status, fields, verdict.directives, arrival, self.policy)
            if freshness.is_useful(stored):
                kept = freshening.stored_fields(fields, verdict.directives, self.now)
                key = variants.variant_key(stored.vary, request)
                others = [each for each in self.entries.get(uri, []) if each.key != key]
                self.entries[uri] = [*others, Entry(stored, kept, key, self.step)]
        return Answer(status, lines, self.step, asked=asked)

    def write_through(self, method: bytes, uri: bytes, request: FieldList) -> Answer:
        """The answer to anything but GET, and what it does to what is stored."""
        reply = self.ask(method, list(request))
        assert reply is not None
        status, lines = reply
        fields = FieldList(lines)
        for target in invalidation.invalidated_targets(method, status, uri, fields):
            self.entries.pop(target, None)
        entry = self.select(uri, request)
        if method == b"HEAD" and entry is not None:
            effect = freshening.head_effect(entry.stored, len(BODY), status, fields)
            if effect is freshening.HeadEffect.UPDATE:
                lines = self.updated(uri, request, entry, fields).lines
        return Answer(status, lines, self.step, asked=list(request), asked_method=method)


# The language of the cases

CACHED, NOT_CACHED = "cached", "not cached"
ETAG, DATE = "etag validated", "date validated"
ANY = ""

RELATIVE = re.compile(rb"@(-?[0-9]+)")


class Step(msgspec.Struct, kw_only=True):
    """One request, what the origin would answer to it, and what is expected."""

    expect: str = ANY
    response: bytes = b""
    """Lines separated by ` | `; `@n` is the date n seconds from now."""
    status: int = 200
    request: bytes = b""
    method: bytes = b"GET"
    path: bytes = b"/t"
    pause: bool = False
    down: bool = False
    gets: bytes = b""
    lacks: tuple[bytes, ...] = ()
    asks: bytes = b""
    asks_not: tuple[bytes, ...] = ()
    gets_status: int | None = None
    content: bytes | None = None


def lines_of(text: bytes, now: int) -> list[Line]:
    """The field lines that a case writes."""
    dated = RELATIVE.sub(lambda match: format_http_date(now + int(match[1])), text)
    pairs = (line.partition(b":") for line in dated.split(b" | ") if line.strip())
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


def play(steps: Iterable[Step], policy: Policy) -> None:
    """Run a dialogue and assert what every step expects."""
    cache = ModelCache(policy)
    previous: list[Line] = []
    for number, step in enumerate(steps, 1):
        fresh = lines_of(step.response, cache.now)
        known = dict(previous)
        cache.ask = scripted(step, fresh, known)
        request = FieldList(lines_of(step.request, cache.now))
        answer = cache.respond(step.method, ORIGIN + step.path, request)
        check(step, answer, number, known, cache.now)
        previous = fresh or previous
        cache.now += PAUSE_S if step.pause else 0


def scripted(step: Step, fresh: list[Line], known: dict[bytes, bytes]) -> Origin:
    """The origin during one step: it answers 304 where the case expects a validation."""

    def ask(_method: bytes, lines: list[Line]) -> Reply:
        asked = dict(lines)
        if step.down:
            return None
        is_match = asked.get(b"if-none-match", b"-") == known.get(b"etag") or asked.get(
            b"if-modified-since", b"-"
        ) == known.get(b"last-modified")
        if step.expect in (ETAG, DATE):
            return (304 if is_match else 999), fresh
        return step.status, fresh

    return ask


def check(step: Step, answer: Answer, number: int, known: dict[bytes, bytes], now: int) -> None:
    """Assert what one step expects."""
    got, asked = dict(answer.lines), dict(answer.asked or ())
    if step.expect == CACHED:
        assert answer.step < number
    if step.expect == NOT_CACHED:
        assert answer.step == number
    if step.expect == ETAG:
        assert asked[b"if-none-match"] == known[b"etag"]
    if step.expect == DATE:
        assert asked[b"if-modified-since"] == known[b"last-modified"]
    if step.gets_status is not None:
        assert answer.status == step.gets_status
    if step.content is not None:
        assert answer.content == step.content
    assert [got.get(name) for name, _ in lines_of(step.gets, now)] == [
        value for _, value in lines_of(step.gets, now)
    ]
    assert not got.keys() & set(step.lacks)
    assert [asked.get(name) for name, _ in lines_of(step.asks, now)] == [
        value for _, value in lines_of(step.asks, now)
    ]
    assert not asked.keys() & set(step.asks_not)


def stored_then(expect: str, stored: bytes, **again: object) -> list[Step]:
    """A response, a pause, and the same request again."""
    return [Step(response=stored, pause=True), Step(expect=expect, **again)]


def at_once(expect: str, stored: bytes, **again: object) -> list[Step]:
    """The same without a pause."""
    return [Step(response=stored), Step(expect=expect, **again)]
