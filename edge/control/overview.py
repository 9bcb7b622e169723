"""
What the page shows, as values: traffic of an hour, apps, branches, deployments, certificates.

Laws: pure. What there is more of than anybody reads is counted, and the rest is told by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any, Final, Literal

import msgspec

from edge.control.series import MINUTE, Minute, percentile

Document = dict[str, Any]

HOUR: Final = 60
"""Minutes that are shown."""

MAX_ROWS: Final = 50
"""Rows of a table."""

MAX_RECENT: Final = 12
"""Deployments that are shown."""

Level = Literal["ok", "warn", "bad"]
Result = Literal["serves", "replaced", "failed", "rolled back"]


class Traffic:
    """What was counted in each minute of the last hour, the one that runs included."""

    def __init__(self, counted: Iterable[Minute], now: float) -> None:
        self.begins = begin_of(now)
        known = {each.at: each for each in counted}
        ats = range(self.begins, self.begins + HOUR * MINUTE, MINUTE)
        self.minutes = [known.get(at) or Minute(at=at) for at in ats]

    @property
    def requests(self) -> int:
        """Answers."""
        return requests_of(self.minutes, self.begins)

    @property
    def hits(self) -> int:
        """Answers of the store."""
        return sum(each.hits for each in self.minutes)

    @property
    def bytes_down(self) -> int:
        """Sent to clients."""
        return sum(each.bytes_down for each in self.minutes)

    def errors(self, kind: int) -> int:
        """Answers of a class of status."""
        return sum(each.classes[kind] for each in self.minutes)

    def percentile(self, share: float) -> float | None:
        """Seconds to the first byte that a share of the answers stays below."""
        return percentile_of(self.minutes, share)


def requests_of(minutes: Iterable[Minute], begins: int) -> int:
    """Answers of the minutes since then."""
    return sum([each.requests for each in minutes if each.at >= begins])


def begin_of(now: float) -> int:
    """The first minute of the hour that is shown."""
    return int(now) // MINUTE * MINUTE - (HOUR - 1) * MINUTE


def percentile_of(minutes: Sequence[Minute], share: float) -> float | None:
    """The same of some minutes; None without a request."""
    latency = [sum(each) for each in zip(*(each.latency for each in minutes), strict=True)]
    return percentile(latency, share) if any(latency) else None


class AppRow(msgspec.Struct, frozen=True, kw_only=True):
    """One app."""

    name: str
    branches: int
    configured: bool
    traffic: Traffic
    requests: int


class BranchRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a branch serves."""

    app: str
    name: str
    label: str
    deployment: str | None
    activated: float | None
    url: str | None = None


class DeployRow(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that serves, or that came to its end lately."""

    app: str
    branch: str
    label: str
    id: str
    at: float
    result: Result
    text: str = ""
    """What its deployer wrote, or why it failed."""


class Overview(msgspec.Struct, kw_only=True):
    """Everything that the page shows to one caller."""

    node: str
    now: float
    generation: int
    scope: str | None = None
    """What a scoped token may; None is the operator."""
    app: str | None = None
    """The one that is looked at."""
    query: str = ""
    """What its visitor looks for among the apps."""
    apps: list[AppRow] = []
    """Most requests first."""
    app_count: int = 0
    branches: list[BranchRow] = []
    """Newest activation first."""
    branch_count: int = 0
    deploys: list[DeployRow] = []
    """Newest first."""
    traffic: Traffic | None = None
    """None where a token sees branches, which are not counted by minute."""
    alarms: list[Document] | None = None
    workers: list[Document] | None = None
    certificates: list[Document] | None = None
    """These three are the operator's alone."""
    certificate_count: int = 0
    mistakes: int = 0
    """Of the operator's own certificates."""


def urgent(certificates: Iterable[Document], now: float) -> list[Document]:
    """What needs somebody first, then what ends soonest; so many as are shown."""

    def key(each: Document) -> tuple[int, float, str]:
        return rank_of(each, now), each["not_after"] or 0.0, each["name"]

    return nsmallest(MAX_ROWS, certificates, key=key)


SOON: Final = 7 * 86_400.0
"""Seconds before its end at which a certificate that still serves is a worry."""


def rank_of(certificate: Document, now: float) -> int:
    """0 is bad, 1 a worry, 2 as it should be."""
    return ("bad", "warn", "ok").index(level_of(certificate, now))


def level_of(certificate: Document, now: float) -> Level:
    """How much a certificate needs somebody."""
    match certificate["state"]:
        case "expired" | "failing" | "stopped":
            return "bad"
        case "refused" | "waiting" | "ordering":
            return "warn"
    ends, begins = certificate["not_after"], certificate["not_before"]
    is_short = begins is not None and ends - begins < 4 * SOON  # days by design: the own authority
    return "warn" if not is_short and ends - now < SOON else "ok"


class Word(msgspec.Struct, frozen=True):
    """One thing that somebody should know first."""

    level: Level
    text: str
    anchor: str = ""
    """Where on the page more stands."""


def words_of(overview: Overview) -> list[Word]:
    """What is not as it should be; empty where everything is."""
    words = []
    states = [each["state"] for each in overview.alarms or ()]
    if firing := states.count("firing"):
        words.append(Word("bad", f"{counted(firing, 'alarm')} firing", "alarms"))
    if pending := states.count("pending"):
        words.append(Word("warn", f"{counted(pending, 'alarm')} pending", "alarms"))
    levels = [level_of(each, overview.now) for each in overview.certificates or ()]
    if bad := levels.count("bad"):
        words.append(Word("bad", f"{counted(bad, 'certificate')} in trouble", "certificates"))
    if overview.mistakes:
        text = f"{counted(overview.mistakes, 'mistake')} in certificates of your own"
        words.append(Word("warn", text, "certificates"))
    if overview.workers is not None:
        words += _of_workers(overview.workers, overview.generation)
    unconfigured = [each.name for each in overview.apps if not each.configured]
    if unconfigured:
        text = f"{counted(len(unconfigured), 'app')} without a valid configuration"
        words.append(Word("bad", text, "apps"))
    return words


def _of_workers(workers: Sequence[Document], generation: int) -> Iterable[Word]:
    if not workers:
        yield Word("bad", "no worker answers", "workers")
    late = [each for each in workers if each["generation"] != generation and not each["draining"]]
    if late:
        text = f"{counted(len(late), 'worker')} without generation {generation}"
        yield Word("warn", text, "workers")


def counted(count: int, noun: str) -> str:
    """`1 app`, `2 apps`, `2 branches`."""
    plural = "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}{'' if count == 1 else plural}"
