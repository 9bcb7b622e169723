"""
Which rules requests still hit: by rule and day, so that `check` can say which nobody needs.

Laws: a rule is known by what it says, not by its place in a file. What is kept is the day since
which a rule is known and the day of its last hit; it is written when a day is new, never for a
request. Losing it costs nothing but a later warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from edge.control import durable
from edge.errors import ConfigError
from edge.site.decoding import decode_json
from edge.site.places import Places
from edge.site.rule import Rule, rule_key

log = logging.getLogger("edge.hits")

UNUSED_DAYS = 90
"""A quarter without a request: seasonal pages are asked for at least once in it."""

DAY = 86_400

Days = tuple[int, int]
"""Known since, last hit; days since the epoch, 0 for never."""


class Hits:
    """The hits of one state folder's rules."""

    def __init__(self, places: Places) -> None:
        self._folder = places.hits
        self._apps: dict[str, dict[str, Days]] = {}

    def _of(self, app: str) -> dict[str, Days]:
        """What is known of an app's rules; a file that is torn is begun anew."""
        known = self._apps.get(app)
        if known is None:
            known = self._apps[app] = read(self._path(app))
        return known

    def _path(self, app: str) -> Path:
        return self._folder / app

    def knows(self, app: str) -> bool:
        """Whether anything is known of an app's rules."""
        return bool(self._of(app))

    def note(self, app: str, rules: Iterable[Rule], now: float) -> None:
        """Know these rules of an app from today on, and others no more."""
        today = int(now) // DAY
        known = self._of(app)
        kept = {key: known.get(key, (today, 0)) for key in map(rule_key, rules)}
        if kept != known:
            self._write(app, kept)

    def add(self, counts: Mapping[str, Mapping[str, int]], now: float) -> None:
        """Take hits by app and rule; those of rules that are gone are forgotten."""
        today = int(now) // DAY
        for app, hit in counts.items():
            known = self._of(app)
            new = {
                key: (known[key][0], today) for key in hit if known.get(key, (0, today))[1] < today
            }
            if new:
                self._write(app, known | new)

    def _write(self, app: str, days: dict[str, Days]) -> None:
        self._apps[app] = days
        try:
            durable.write(self._path(app), msgspec.json.encode(days))
        except OSError as error:
            log.warning("the hits of %s's rules are not kept: %s", app, error)

    def unused(self, app: str, rules: Sequence[Rule], file: str, now: float) -> list[ConfigError]:
        """A warning for each rule that no request hit for `UNUSED_DAYS`."""
        today = int(now) // DAY
        known = self._of(app)
        found = []
        for number, rule in enumerate(rules):
            since, last = known.get(rule_key(rule), (today, 0))
            days = today - max(since, last)
            if days >= UNUSED_DAYS:
                problem = f"[{number}].source: no request hit this rule for {days} days"
                hint = "remove it, if nobody needs it any more"
                found.append(ConfigError(file, rule.line, rule.column, problem, hint))
        return found


def read(path: Path) -> dict[str, Days]:
    """A file of days; nothing where it is missing or torn."""
    try:
        return decode_json(path.read_bytes(), dict[str, Days])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("%s is begun anew: %s", path, error)
        return {}
