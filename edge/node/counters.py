"""
What a worker counts: plain integers, read by control and never reset.

Laws: labels come from configuration, never from a request, so that nobody can make series. What
is counted on the way of a request is an attribute of an object at hand; adding up is the reader's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from edge.site.rule import rule_key

if TYPE_CHECKING:
    from edge.site.rule import Rule
    from edge.site.snapshot import Snapshot

LATENCY_BOUNDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper bounds in seconds of the buckets of time to first byte; one more is above them all."""

REASONS: Final = {
    "connections": "the worker had `limits.connections` open",
    "client_connections": "a client had `limits.client_connections` open",
    "client_requests": "a client asked for more than `limits.client_requests` a second",
    "memory": "a worker had no memory left, by `limits.memory`",
    "descriptors": "a worker had no descriptors left, and took no connections for a while",
    "handshakes": "the oldest of more than `limits.handshakes` handshakes",
    "handshake_timeout": "a handshake took longer than `limits.handshake_timeout`",
    "header_timeout": "a head took longer than `limits.header_timeout`",
    "idle_timeout": "a client neither sent nor took anything for `limits.idle_timeout`",
    "min_rate": "a client sent, or took, content by less than `limits.min_rate`",
    "request_line": "a request line was longer than `limits.request_line`",
    "fields": "a head had more than `limits.fields` or `limits.field_count`",
    "origin_queue": "an origin's connections were busy, and its queue full or too slow",
    "logins": "too many wrong passwords, or too many at a time",
    "patterns": "regular expressions took too long",
    "tunnel_idle": "a tunnel was silent for `limits.tunnel_idle`",
    "drain": "it was under way when `limits.drain` was over",
    "body": "content for an origin was more than `limits.body`",
    "h2_streams": "a client opened more than `limits.h2_streams` at a time",
    "h2_resets": "a client broke off more than `limits.h2_resets` streams in a minute",
    "h2_settings": "a client sent more than `limits.h2_settings` in a minute",
    "h2_pings": "a client sent more than `limits.h2_pings` in a minute",
    "h2_priorities": "a client sent more than `limits.h2_priorities` in a minute",
    "h2_empty": "a client sent more than `limits.h2_empty` in a minute",
    "h2_updates": "a client sent more than `limits.h2_updates` in a minute",
    "h2_flood": "a head came in more than 16 frames",
}
"""Why something was refused, as `edge_refused_total` names it."""


Names = tuple[str, ...]


def bucket_of(seconds: float) -> int:
    """Where a time to first byte is counted."""
    return bisect_left(LATENCY_BOUNDS, seconds)


class Tally:
    """The numbers of one branch; of requests that no branch has, the one without names."""

    __slots__ = (
        "app",
        "branch",
        "bytes_down",
        "bytes_up",
        "classes",
        "latency",
        "seconds",
        "verdicts",
    )

    def __init__(self, app: str, branch: str) -> None:
        self.app = app
        self.branch = branch
        self.classes = [0] * 6
        """Answers by the first digit of their status; 0: the client went before there was one."""
        self.bytes_down = 0
        self.bytes_up = 0
        self.verdicts: defaultdict[str, int] = defaultdict(int)
        """Answers by what the cache did; empty where it was not asked."""
        self.latency = [0] * (len(LATENCY_BOUNDS) + 1)
        """Answers by time to first byte."""
        self.seconds = 0.0
        """All of those times together."""

    def time(self, seconds: float) -> None:
        """Count a time to first byte."""
        self.latency[bucket_of(seconds)] += 1
        self.seconds += seconds

    def report(self) -> dict[str, Any]:
        """Everything, as control asks for it."""
        return {
            "app": self.app,
            "branch": self.branch,
            "classes": self.classes,
            "bytes_down": self.bytes_down,
            "bytes_up": self.bytes_up,
            "verdicts": self.verdicts,
            "latency": self.latency,
            "seconds": self.seconds,
        }


class Changes:
    """Which of many sums have grown, and when: who asks again is told of these alone."""

    def __init__(self) -> None:
        self._seen: dict[Names, tuple[int, int]] = {}
        """By name, what a sum was and in which version it was so first."""

    def since(self, version: int, sums: Iterable[tuple[Names, int]], now: int) -> list[Names]:
        """Names of what has another sum than in `version`; `now` is the one that is told."""
        seen, found = self._seen, []
        for names, total in sums:
            known = seen.get(names)
            if known is None or known[0] != total:
                known = seen[names] = total, now
            if known[1] > version:
                found.append(names)
        return found


class Counters:
    """The numbers of one worker since its start."""

    def __init__(self) -> None:
        self.refused = dict.fromkeys(REASONS, 0)
        """By reason."""
        self.origins: dict[Names, int] = {}
        """Requests to origins by app, origin, and what came of it."""
        self.rules: dict[Names, int] = {}
        """Requests by app, and key and source of the rule that decided them."""
        self._taken: dict[Names, int] = {}
        """The same as of the last `take_hits`."""
        self._tallies: dict[Names, Tally] = {}
        self._version = 0
        """How often they have been asked for."""
        self._changes = Changes(), Changes(), Changes()
        """Of branches, origins, rules."""

    def tally(self, app: str = "", branch: str = "") -> Tally:
        """The numbers of a branch; of what belongs to none, without arguments."""
        names = app, branch
        tally = self._tallies.get(names)
        if tally is None:
            tally = self._tallies[names] = Tally(app, branch)
        return tally

    def refuse(self, reason: str) -> None:
        """Count a connection, a request or a stream that was not served; one of `REASONS`."""
        self.refused[reason] += 1

    def count_origin(self, app: str, origin: str, result: str, times: int = 1) -> None:
        """Count requests to an origin: `2xx`, `5xx`, or the kind of their failure."""
        names = app, origin, result
        self.origins[names] = self.origins.get(names, 0) + times

    def count_rules(self, snapshot: Snapshot) -> None:
        """Add up what the plans of a snapshot have counted."""
        for name, app in snapshot.apps.items():
            for branch in app.branches.values():
                plan = branch.plan
                for number, count in plan.hits.items():
                    self.count_rule(rule_names(name, plan.rules[number].written), count)
                plan.hits.clear()

    def count_rule(self, names: Names, times: int = 1) -> None:
        """Count requests that a rule decided, of a snapshot that may be gone by now."""
        self.rules[names] = self.rules.get(names, 0) + times

    def take_hits(self, snapshot: Snapshot) -> dict[str, dict[str, int]]:
        """Requests by app and key of the rule that decided them, since the last time."""
        self.count_rules(snapshot)
        found: dict[str, dict[str, int]] = {}
        for names, count in self.rules.items():
            new = count - self._taken.get(names, 0)
            if new:
                found.setdefault(names[0], {})[names[1]] = new
        self._taken = dict(self.rules)
        return found

    def classes(self) -> list[int]:
        """Answers by the first digit of their status, of all branches."""
        tallies = self._tallies.values()
        return [sum(each) for each in zip([0] * 6, *(t.classes for t in tallies), strict=True)]

    def report(self, since: int = 0) -> dict[str, Any]:
        """What control asks for: of all that may be many, what has grown since a version."""
        self._version += 1
        branches, origins, rules = self._changes
        tallies, now = self._tallies, self._version
        totals = ((names, sum(tally.classes)) for names, tally in tallies.items())
        asked, hit = self.origins, self.rules
        return {
            "version": now,
            "branches": [tallies[each].report() for each in branches.since(since, totals, now)],
            "refused": self.refused,
            "origins": [[*n, asked[n]] for n in origins.since(since, asked.items(), now)],
            "rules": [[*n, hit[n]] for n in rules.since(since, hit.items(), now)],
        }


def rule_names(app: str, rule: Rule) -> Names:
    """What requests that a rule decided are counted by: app, key and source. Cost: 0.9 µs."""
    return app, rule_key(rule), rule.source
