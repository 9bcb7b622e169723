"""
Which lines of an access log are asked for: a window of time, and what they have to be.

Laws: pure. Times of lines compare as bytes, for all have one form and are UTC. `may_be` looks at
the bytes of a line and passes what might fit; `fits` decides, by its entry.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from edge.errors import EdgeError, MalformedRequest
from edge.site.hosts import parse_authority
from edge.site.logline import Entry, raw
from edge.site.units import parse_duration

DAY: Final = 86_400.0
STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)|0")
BEFORE_ALL: Final = b"0"
AFTER_ALL: Final = b"~"

HEAD: Final = b'{"time":"'
"""What every line of JSON begins with; its time stands behind it."""

TIME: Final = slice(len(HEAD), len(HEAD) + len("2026-11-26T07:29:59.123Z"))

EXAMPLES: Final = "2h, 30m, 2026-11-26T07:30 or 2026-11-26, in UTC"


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """From a time on, and until before another; epoch seconds."""

    first: float | None = None
    last: float | None = None

    @property
    def first_stamp(self) -> bytes:
        """As lines have it."""
        return BEFORE_ALL if self.first is None else stamp_of(self.first)

    @property
    def last_stamp(self) -> bytes:
        """As lines have it."""
        return AFTER_ALL if self.last is None else stamp_of(self.last)

    @property
    def enough(self) -> bytes:
        """
        A stamp from which on nobody needs to read.

        A line is written when its request ends, and its time is the request's beginning: what took
        longer than a day (a WebSocket) is not looked for.
        """
        return AFTER_ALL if self.last is None else stamp_of(self.last + DAY)


def stamp_of(epoch: float) -> bytes:
    """A time as lines have it."""
    moment = datetime.fromtimestamp(epoch, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").encode() + b"%03dZ" % (moment.microsecond // 1000)


def parse_moment(text: str, now: float) -> float:
    """
    Epoch seconds of a time: so long ago, or a date of ISO 8601, which is UTC unless it says else.

    Raises:
        EdgeError: it is neither.
    """
    try:
        ago = parse_duration(text)
    except ValueError:
        return parse_date(text)
    return max(0.0, now - ago)


def parse_date(text: str) -> float:
    """Epoch seconds of a date."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EdgeError(f"{text[:40]!r} is no time: write {EXAMPLES}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(0, UTC)) / timedelta(seconds=1))


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a line has to be; what is None may be anything."""

    app: str | None = None
    branch: str | None = None
    host: str | None = None
    """Canonical."""
    statuses: tuple[str, ...] = ()
    """`404`, `5xx`; one of them."""

    @property
    def is_open(self) -> bool:
        """Whether everything passes."""
        return self == Filter()

    def may_be(self, line: bytes) -> bool:
        """Whether a line of JSON might fit, by bytes that it has to hold. Cost: 0.5 µs."""
        if self.app is not None and b'"app":"%b"' % self.app.encode() not in line:
            return False
        if self.host is not None and self.host.encode() not in line.lower():
            return False
        return not self.statuses or any(
            b'"status":%b' % each.rstrip("x").encode() in line for each in self.statuses
        )

    def fits(self, entry: Entry) -> bool:
        """Whether an entry fits."""
        if self.app is not None and entry.app != self.app:
            return False
        if self.branch is not None and entry.branch != self.branch:
            return False
        if self.host is not None and host_of(entry) != self.host:
            return False
        return not self.statuses or any(
            each in (str(entry.status), f"{entry.status // 100}xx") for each in self.statuses
        )


def host_of(entry: Entry) -> str | None:
    """Its host, canonical, if it is one."""
    try:
        return parse_authority(raw(entry.host or ""))
    except MalformedRequest:
        return None


def parse_host(text: str) -> str:
    """
    A host to look for.

    Raises:
        EdgeError: it is none.
    """
    try:
        return parse_authority(text.encode("utf-8", "replace"))
    except MalformedRequest:
        raise EdgeError(f"{text!r} is no host: write www.example.com") from None


def parse_statuses(text: str) -> tuple[str, ...]:
    """
    `404`, `5xx`, or several with commas.

    Raises:
        EdgeError: one of them is none.
    """
    found = tuple(text.lower().split(","))
    for each in found:
        if not STATUS.fullmatch(each):
            raise EdgeError(f"{each!r} is no status: write 404, 5xx or 4xx,5xx")
    return found
