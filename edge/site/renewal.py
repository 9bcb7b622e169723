"""
When a certificate is renewed, and when it is tried again: dates out of dates.

Laws: pure; `now` and random numbers (0 to 1) are arguments. A renewal's instant is chosen once and
kept: one that is drawn at each look comes too early. What is known about a renewal belongs to one
certificate by its identifier, never to a name: a window that is stale would renew in a circle.
Times are epoch seconds.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal

import msgspec

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

SHORT: Final = 10 * DAY
"""Lifetimes below this are renewed at their half: a week must survive an outage of days."""

JITTER: Final = 0.05
"""Of the lifetime: how much earlier a renewal may come, so that not all come at once."""

EMERGENCY: Final = 1 / 20
"""Of the lifetime: what is left when an authority's advice is not waited for any more."""

BACKOFF: Final = (MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY)
"""
Seconds to wait after each failure in a row, the last again and again. Three fall into the first
hour: an authority that counts five failures an hour never pauses the name.
"""

SPREAD: Final = 0.2
"""A wait is this much shorter or longer."""

LEFT: Final = 1 / 10
OFTEN: Final = 15 * MINUTE
"""
Of what is left of a certificate: no wait for the next is longer, but for these seconds, by which an
authority counts no five failures an hour. A day's wait would outlast the certificate of a week
whose authority comes back eight hours before its end.
"""

LOOKS: Final = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)
"""
Seconds between two looks whether a name is ready, the last again and again: nothing is spent on
them, and who has just set a record waits for it.
"""

GIVEN_UP: Final = 30 * DAY
"""Failures in a row for this long end the tries; a hand begins them anew."""

BETWEEN: Final = DAY
"""
Seconds between two certificates of a name: five of a set a week is what authorities give. Of those
that live for days a quarter of their life.
"""

POLL_LEAST: Final = MINUTE
POLL_MOST: Final = DAY
POLL_USUAL: Final = 6 * HOUR
"""Source: RFC 9773 §4.3.2 and §4.3.3: at an error too, and where nothing is said."""

ATTEMPTS: Final = 20
"""Attempts that are remembered."""

DETAIL: Final = 2_000
"""Characters that are kept of what an authority said."""

Outcome = Literal["issued", "rehearsed", "failed"]
Kind = Literal["", "name", "authority", "limit", "refused", "account", "node"]
"""
Whose fault a failure is: the name's (DNS, what answers there), the authority's, a limit of the
authority's, an order that it will never fulfil, the account's, or this node's own.
"""


class Validity(msgspec.Struct, frozen=True):
    """What is asked of a certificate here."""

    id: str
    not_before: float
    not_after: float

    @property
    def lifetime(self) -> float:
        """Seconds from its first to its last."""
        return self.not_after - self.not_before


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When an authority wants one certificate to be renewed. Source: RFC 9773 §4.2."""

    certificate: str
    """Its identifier."""
    start: float = 0.0
    end: float = 0.0
    instant: float | None = None
    """Chosen once between both; None until the authority has said anything."""
    next_poll: float = 0.0
    """When it is asked again."""
    failures: int = 0
    """Questions in a row without an answer."""
    explanation: str = ""
    """A page for people."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to get a certificate."""

    at: float
    authority: str
    """The directory's URL."""
    outcome: Outcome
    step: str = ""
    """How far it came."""
    kind: Kind = ""
    detail: str = ""
    """The authority's own words."""
    seconds: float = 0.0
    steps: tuple[str, ...] = ()
    """What was done, each with its second."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at before a try."""

    level: Literal["ok", "warning", "stop"]
    about: str
    text: str
    hint: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered about the certificates of a name. Advice: nothing serves by it."""

    name: str
    attempts: tuple[Attempt, ...] = ()
    """The last ones, oldest first."""
    failures: int = 0
    """In a row."""
    failing_since: float | None = None
    next_attempt: float = 0.0
    """Nothing is tried before."""
    last_issued: float | None = None
    issued_by: str = ""
    """The directory's URL of who issued the one that serves."""
    account: str = ""
    """The account's URL there."""
    hurried: bool = False
    """Whether the last one came sooner after its predecessor than usual."""
    window: Window | None = None
    stopped: str = ""
    """Why nothing is tried any more until a hand says so; empty: it is."""
    findings: tuple[Finding, ...] = ()
    """Of the last look before a try."""
    unready: int = 0
    """Looks in a row that found what would make a try fail."""


class Due(msgspec.Struct, frozen=True):
    """When, and why then."""

    at: float
    why: str


# When a certificate is renewed


def renewal_of(certificate: Validity, window: Window | None, jitter: float) -> Due:
    """When a certificate is due, and the reason for people; `jitter` is the same each time."""
    planned = _planned(certificate, window, jitter)
    emergency = certificate.not_after - EMERGENCY * certificate.lifetime
    if emergency < planned.at:
        return Due(emergency, "a twentieth of its lifetime is left")
    return planned


def _planned(certificate: Validity, window: Window | None, jitter: float) -> Due:
    if window is not None and window.certificate == certificate.id and window.instant is not None:
        return Due(window.instant, "the authority's renewal window")
    share, words = (1 / 2, "half") if certificate.lifetime < SHORT else (2 / 3, "two thirds")
    at = certificate.not_before + (share - JITTER * jitter) * certificate.lifetime
    return Due(at, f"{words} of its lifetime")


def is_urgent(certificate: Validity, window: Window | None, now: float) -> bool:
    """Whether the authority's window is over: it wants this one replaced at once, as revoked."""
    return (
        window is not None
        and window.certificate == certificate.id
        and window.instant is not None
        and window.end <= now
    )


def may_issue(record: Record, certificate: Validity, now: float, *, urgent: bool) -> bool:
    """Whether a name's last certificate is long enough ago; what is urgent may come early, once."""
    between = min(BETWEEN, certificate.lifetime / 4)
    if record.last_issued is None or now - record.last_issued >= between:
        return True
    return urgent and not record.hurried


# What an authority says about it


def may_poll(window: Window | None, certificate: Validity, now: float) -> bool:
    """Whether the authority is asked now; never about one that has expired (RFC 9773 §4.3.3)."""
    if now >= certificate.not_after:
        return False
    return window is None or window.certificate != certificate.id or now >= window.next_poll


def heard(
    before: Window | None, answer: Window, retry_after: float | None, now: float, random: float
) -> Window | None:
    """
    What is known after an answer; None where its window ends before it begins.

    The instant stays while the window is the same.
    """
    if answer.end <= answer.start:
        return None
    instant = answer.start + random * (answer.end - answer.start)
    if before is not None and _bounds(before) == _bounds(answer) and before.instant is not None:
        instant = before.instant
    wait = POLL_USUAL if retry_after is None else min(max(retry_after, POLL_LEAST), POLL_MOST)
    return msgspec.structs.replace(answer, instant=instant, next_poll=now + wait, failures=0)


def _bounds(window: Window) -> tuple[str, float, float]:
    return window.certificate, window.start, window.end


def unheard(
    before: Window | None, certificate: str, retry_after: float | None, now: float, random: float
) -> Window:
    """What is known after a question without a usable answer: what was, and when to ask again."""
    if before is None or before.certificate != certificate:
        before = Window(certificate=certificate)
    wait = min(POLL_LEAST * 2.0 ** min(before.failures, 20), POLL_USUAL) * _spread(random)
    wait = max(wait, min(retry_after or 0.0, POLL_MOST))
    failures = before.failures + 1
    return msgspec.structs.replace(before, next_poll=now + wait, failures=failures)


def _spread(random: float) -> float:
    return 1 - SPREAD + 2 * SPREAD * random


def advised(record: Record, window: Window) -> Record:
    """What an authority said about the certificate, remembered."""
    return msgspec.structs.replace(record, window=window)


def fraction(identifier: str) -> float:
    """
    A number from 0 to 1 that is the same for a certificate each time: its jitter.

    Source: identifiers end in a serial number, which authorities draw at random (CA/B BR §7.1).
    """
    return zlib.crc32(identifier.encode()) / 2**32


# What becomes of tries


def succeeded(record: Record, attempt: Attempt, account: str, now: float) -> Record:
    """A certificate came: failures are forgotten, and its window is nobody's any more."""
    last = record.last_issued
    return msgspec.structs.replace(
        forgiven(_with(record, attempt)),
        last_issued=now,
        issued_by=attempt.authority,
        account=account,
        hurried=last is not None and now - last < BETWEEN,
        window=None,
    )


def wait_after(record: Record, left: float, random: float) -> float:
    """Seconds from a failure to the next try; `left` are those of the certificate that serves."""
    wait = BACKOFF[min(record.failures, len(BACKOFF) - 1)]
    if left > 0.0:
        wait = min(wait, max(OFTEN, LEFT * left))
    return wait * _spread(random)


def failed(record: Record, attempt: Attempt, wait: float, now: float) -> Record:
    """A try failed: when the next one may be, or that there is none before a hand says so."""
    since = now if record.failing_since is None else record.failing_since
    given_up = now - since >= GIVEN_UP
    return msgspec.structs.replace(
        _with(record, attempt),
        failures=record.failures + 1,
        failing_since=since,
        next_attempt=now + wait,
        stopped="it has failed for 30 days" if given_up else record.stopped,
    )


def unready(record: Record, findings: tuple[Finding, ...], now: float, random: float) -> Record:
    """A look found what would make a try fail: none is spent, and it is looked at again soon."""
    wait = LOOKS[min(record.unready, len(LOOKS) - 1)] * _spread(random)
    return msgspec.structs.replace(
        record, findings=findings, unready=record.unready + 1, next_attempt=now + wait
    )


def ready(record: Record, findings: tuple[Finding, ...]) -> Record:
    """A look found nothing in the way of a try."""
    return msgspec.structs.replace(record, findings=findings, unready=0)


def postponed(record: Record, attempt: Attempt, until: float) -> Record:
    """A try met a limit: it is no failure of the name's, and waits as long as it was told to."""
    return msgspec.structs.replace(_with(record, attempt), next_attempt=until)


def rehearsed(record: Record, attempt: Attempt) -> Record:
    """A rehearsal went well: the real one follows at once."""
    return _with(record, attempt)


def stopped(record: Record, reason: str) -> Record:
    """Nothing is tried any more until a hand says so."""
    return msgspec.structs.replace(record, stopped=reason)


def forgiven(record: Record) -> Record:
    """The back-off is forgotten: the next try may be now."""
    return msgspec.structs.replace(
        record, failures=0, failing_since=None, next_attempt=0.0, stopped="", unready=0
    )


def _with(record: Record, attempt: Attempt) -> Record:
    detail = attempt.detail[:DETAIL]
    attempts = (*record.attempts, msgspec.structs.replace(attempt, detail=detail))
    return msgspec.structs.replace(record, attempts=attempts[-ATTEMPTS:])


def must_rehearse(record: Record) -> bool:
    """Whether a try goes to the staging directory first: the second in a row, and later ones."""
    return record.failures > 0


def may_fall_back(record: Record, authority: str, certificate: Validity | None, now: float) -> bool:
    """
    Whether another authority may be asked.

    For a first certificate after two failures in a row that were `authority`'s own; for a renewal
    when a sixth of the lifetime is left.
    """
    if certificate is not None and now < certificate.not_after:
        return now >= certificate.not_after - certificate.lifetime / 6
    count = 0
    for attempt in reversed(record.attempts):
        if attempt.authority != authority or attempt.kind not in ("authority", "refused"):
            break
        count += 1
    return count >= 2
