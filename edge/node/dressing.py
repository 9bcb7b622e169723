"""
Answers of origins as they are sent: in the client's URLs, with the operator's fields.

Laws: the same for what is stored and for what passes; what is between an origin and its cache is
sent to nobody; what is for one client is for no shared cache.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

import msgspec

from edge.http.fields import split_list
from edge.http.message import REASONS, Response, pass_head
from edge.http.relocation import MAPPED, Relocation, relocated
from edge.http.tags import TAGGING, without_tags
from edge.node.counters import rule_names

if TYPE_CHECKING:
    from edge.http.fields import Line
    from edge.node.counters import Names
    from edge.node.inquiry import Supply
    from edge.site.envelope import Envelope
    from edge.site.plan import Forward
    from edge.site.snapshot import Branch

NAME: Final = itemgetter(0)

SHARED: Final = (b"public", b"private", b"s-maxage", b"proxy-revalidate")
"""Directives about shared caches, which are to keep nothing of what is for one client."""


class Dress(msgspec.Struct, frozen=True):
    """What one decision puts on its answers."""

    branch: Branch
    envelope: Envelope
    forward: Forward
    client: bytes
    """Scheme and authority that the client asked: `https://example.com`."""

    def count(self) -> None:
        """One more request that the rule decided."""
        hits, rule = self.branch.plan.hits, self.forward.rule
        hits[rule] = hits.get(rule, 0) + 1

    def names(self) -> Names:
        """What its rule is counted by, also when the snapshot is gone."""
        return rule_names(self.branch.app, self.branch.plan.rules[self.forward.rule].written)

    def response(self, supply: Supply, date: bytes) -> Response:
        """The answer as it is sent; `date` is the Date line of this second."""
        lines = self.lines(supply.status, supply.lines, supply.number)
        lines.append((b"cache-status", supply.handling))
        names = set(map(NAME, lines))
        content, tunnel = supply.content, supply.tunnel
        is_framed = b"content-length" in names
        if type(content) is bytes and not is_framed and supply.status != 304:
            lines.append((b"content-length", b"%d" % len(content)))
        return Response(
            pass_head(supply.status, REASONS.get(supply.status, b""), lines),
            b"\r\n" if b"date" in names or tunnel else date + b"\r\n",
            content,
            is_unframed=not (is_framed or content is None or type(content) is bytes),
            trailers=supply.trailers,
            tunnel=tunnel,
            origin=self.origin(supply.number),
        )

    def origin(self, number: int) -> bytes:
        """Scheme and authority of a target."""
        return "/".join(self.forward.urls[number].split("/", 3)[:3]).encode()

    def lines(self, status: int, lines: list[Line], number: int) -> list[Line]:
        """The field lines of an answer of a rule's target `number`; a list of its own."""
        envelope = self.envelope
        if status == 404:
            envelope = envelope.of_missing()
        names = set(map(NAME, lines))  # 1.5 µs less than to look at each line thrice
        if not names.isdisjoint(MAPPED):
            lines = relocated(lines, self.way_back(number))
        lines = lines.copy() if names.isdisjoint(TAGGING) else without_tags(lines)
        if envelope.fields:
            lines = [(name.lower(), value) for name, value in envelope.dress(lines)]
        elif envelope.noindex:
            lines.append((b"x-robots-tag", b"noindex"))
        return for_one(lines) if envelope.is_for_one else lines

    def way_back(self, number: int) -> Relocation:
        """How an origin's Location is the client's, by the rule that led there."""
        rule = self.branch.plan.rules[self.forward.rule]
        before, behind = rule.prefixes(number)
        authority = self.forward.urls[number].partition("://")[2].partition("/")[0]
        return Relocation(
            scheme=rule.targets[number].scheme,
            authority=authority.lower().encode(),
            client=self.client,
            target_prefix=behind,
            source_prefix=before,
        )


def for_one(lines: list[Line]) -> list[Line]:
    """
    The fields of an answer that a password or a country decided: no shared cache may keep it.

    What an origin says of browsers stays, behind `private`, which nothing it wrote can swallow.
    """
    kept, own = [], [b"private"]
    for name, value in lines:
        if name == b"cache-control":
            own += [each for each in split_list(value) if not each.lower().startswith(SHARED)]
        elif name != b"surrogate-control" and not name.endswith(b"-cache-control"):
            kept.append((name, value))  # the others would win over it (RFC 9213 §2.2)
    return [*kept, (b"cache-control", b", ".join(own))]
