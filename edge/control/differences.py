"""
What a reload changes, app by app: hosts, rules, headers, access, other settings, certificates.

Laws: values in, values out. Told is what differs between what serves and what would; of passwords
only whose they are. Rules are compared by what they say: one that only stands elsewhere has moved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from edge.site.headers import HeaderEntry
from edge.site.hosts import HostClaim
from edge.site.rule import Rule

LISTED: Final = 100
"""Rules of one app, and hosts, that are told; the others are counted."""

HIDDEN: Final = "…"

Change = Literal["new", "changed", "gone"]


class HostChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host that comes, goes, or leads to another branch."""

    host: str
    before: str | None = None
    """`app/branch`."""
    after: str | None = None


class RuleChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule that is added, removed, says something else, or stands elsewhere among the others."""

    change: Literal["added", "removed", "changed", "moved"]
    source: str
    number: int | None = None
    """In the file, from 0, as `check` and `explain` say it; None where it is removed."""
    was: int | None = None
    """Its number before; None where it is added."""
    before: str | None = None
    """`301 /new`, where it says something else now."""
    after: str | None = None


class HeaderChange(msgspec.Struct, frozen=True):
    """An entry of custom headers."""

    change: Literal["added", "removed", "changed"]
    pattern: str
    fields: tuple[str, ...]
    """Names of those that differ."""


class SettingChange(msgspec.Struct, frozen=True):
    """A key of a document, and its values; None is its absence, or its default."""

    key: str
    before: Any
    after: Any


class AppDifference(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What becomes of one app."""

    app: str
    change: Change
    hosts: list[HostChange] = []
    rules: list[RuleChange] = []
    headers: list[HeaderChange] = []
    access: list[SettingChange] = []
    settings: list[SettingChange] = []
    wanted: list[str] = []
    """Certificates that will be wanted."""
    unwanted: list[str] = []
    """Those that will be wanted no more."""
    unlisted: int = 0
    """Hosts and rules beyond `LISTED`."""


class Difference(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What becomes of a node."""

    apps: list[AppDifference] = []
    settings: list[SettingChange] = []
    """Of `edge.yml`."""


# Hosts


def compare_hosts(
    before: Mapping[str, HostClaim], after: Mapping[str, HostClaim]
) -> Iterator[tuple[str, HostChange]]:
    """Whose a host is, or was if it is nobody's now, and what becomes of it."""
    for host in sorted(before.keys() | after.keys()):
        old, new = before.get(host), after.get(host)
        change = HostChange(host, _branch(old), _branch(new))
        owner = new or old
        if owner is not None and change.before != change.after:
            yield owner.app, change


def _branch(claim: HostClaim | None) -> str | None:
    return None if claim is None else f"{claim.app}/{claim.branch}"


# Rules


def compare_rules(before: Sequence[Rule], after: Sequence[Rule]) -> list[RuleChange]:
    """The rules that differ, in the order of the new file, those that are removed last."""
    pairs, removed, added = _pair(before, after)
    staying = _longest_rise([was for was, _ in pairs])
    moved = [pair for place, pair in enumerate(pairs) if place not in staying]
    changes = [RuleChange("moved", after[new].source, new, was) for was, new in moved]
    left: dict[tuple[str, str | None], list[int]] = {}
    for was in removed:
        left.setdefault(_subject(before[was]), []).append(was)
    for new in added:
        twins = left.get(_subject(after[new]))
        if not twins:
            changes.append(RuleChange("added", after[new].source, new, after=_said(after[new])))
            continue
        was = twins.pop(0)
        said = _said(before[was]), _said(after[new])
        changes.append(RuleChange("changed", after[new].source, new, was, *said))
    changes.sort(key=lambda change: change.number or 0)
    gone = sorted(was for twins in left.values() for was in twins)
    return changes + [
        RuleChange("removed", before[was].source, was=was, before=_said(before[was]))
        for was in gone
    ]


def _pair(
    before: Sequence[Rule], after: Sequence[Rule]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Numbers of equal rules in the order of `after`, of those removed and of those added."""
    there: dict[tuple[object, ...], list[int]] = {}
    for was in range(len(before) - 1, -1, -1):
        there.setdefault(content(before[was]), []).append(was)
    pairs, added = [], []
    for new, rule in enumerate(after):
        same = there.get(content(rule))
        if same:
            pairs.append((same.pop(), new))
        else:
            added.append(new)
    return pairs, sorted(was for rest in there.values() for was in rest), added


def content(rule: Rule) -> tuple[object, ...]:
    """What a rule says; its tests and its place are none of it."""
    return rule.source, rule.target, rule.status, rule.condition


def _subject(rule: Rule) -> tuple[str, str | None]:
    """What a rule is about."""
    return rule.source, rule.condition


def _said(rule: Rule) -> str:
    """`301 /new <US>`."""
    targets = (rule.target,) if isinstance(rule.target, str) else rule.target or ()
    return " ".join([rule.status, *targets, *filter(None, [rule.condition])])


def _longest_rise(numbers: Sequence[int]) -> set[int]:
    """The places of a longest rising subsequence: what need not be told as moved."""
    tails: list[int] = []
    ends: list[int] = []
    back: list[int] = []
    for place, number in enumerate(numbers):
        length = bisect_left(tails, number)
        back.append(ends[length - 1] if length else -1)
        if length == len(tails):
            tails.append(number)
            ends.append(place)
        else:
            tails[length], ends[length] = number, place
    kept = set()
    place = ends[-1] if ends else -1
    while place >= 0:
        kept.add(place)
        place = back[place]
    return kept


# Headers


def compare_headers(
    before: Iterable[HeaderEntry], after: Iterable[HeaderEntry]
) -> list[HeaderChange]:
    """The patterns whose fields differ; entries of one pattern count together."""
    old, new = _fields_of(before), _fields_of(after)
    found = []
    for pattern in dict.fromkeys((*new, *old)):
        was, now = old.get(pattern), new.get(pattern)
        if was == now:
            continue
        fields = set(was or ()) ^ set(now or ())
        names = tuple(sorted({name for name, _ in fields})) or tuple(
            sorted({name for name, _ in now or ()})
        )
        change: Literal["added", "removed", "changed"]
        change = "added" if was is None else "removed" if now is None else "changed"
        found.append(HeaderChange(change, pattern, names))
    return found


def _fields_of(entries: Iterable[HeaderEntry]) -> dict[str, list[tuple[str, str]]]:
    fields: dict[str, list[tuple[str, str]]] = {}
    for entry in entries:
        fields.setdefault(entry.pattern, []).extend(
            (each.key, each.value) for each in entry.headers
        )
    return fields


# Settings


def compare_settings(before: object, after: object) -> list[SettingChange]:
    """The keys of two documents that differ, in the order of the new one; no password hashes."""
    old, new = dict(_flat(msgspec.to_builtins(before))), dict(_flat(msgspec.to_builtins(after)))
    changes = []
    for key in dict.fromkeys((*new, *old)):
        was, now = old.get(key), new.get(key)
        if was != now:
            if is_secret(key):
                was, now = was and HIDDEN, now and HIDDEN
            changes.append(SettingChange(key, was, now))
    return changes


def is_secret(key: str) -> bool:
    """Whether a key's value is for nobody: the hash of a password."""
    return ".users." in f".{key}"


def is_access(key: str) -> bool:
    """Whether a key is about who may see what."""
    return "access" in key.split(".")


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values that are no documents; an empty document is one key."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value != {}:
        yield prefix, value
