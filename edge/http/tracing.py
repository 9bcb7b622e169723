"""
W3C Trace Context: which trace a request says it belongs to, and what an origin is told of it.

Laws: a traceparent that cannot be read is nobody's and crosses nowhere; tracestate means nothing
without one. Where an answer may be stored for others, only what can hold nothing but hexadecimal
digits crosses: tracestate and baggage are free text, and no cache key has them.

Source: https://www.w3.org/TR/trace-context-2/ §3, §6; https://www.w3.org/TR/baggage/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from edge.http.fields import Line
    from edge.http.hops import Met

TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
BAGGAGE: Final = b"baggage"

FIELDS: Final = frozenset((TRACEPARENT, TRACESTATE, BAGGAGE))

FORM: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*+)?"
)
"""
version, trace-id, parent-id, trace-flags, and what a later version may have behind them.

Source: §3.2.2, whose HEXDIGLC are lower case; §4.3 for later versions.
"""

SAMPLED: Final = 0x01
RANDOM: Final = 0x02
"""The trace-id is random. Source: §3.2.2.5.2."""

LOW: Final = 1 << 64
"""What the last 64 bits of a trace-id are a fraction of."""


class Parent(msgspec.Struct, frozen=True, gc=False):
    """What a traceparent says; identifiers in hexadecimal digits, as they are sent."""

    trace: bytes
    span: bytes
    flags: int

    @property
    def is_sampled(self) -> bool:
        """Whether the caller may have recorded its part."""
        return bool(self.flags & SAMPLED)


def parent_of(values: Sequence[bytes]) -> Parent | None:
    """What the lines of a request say; several are nobody's word. Cost: 1 µs."""
    found = FORM.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Parent(found[2], found[3], int(found[4], 16))


def traceparent(trace: bytes, span: bytes, flags: int) -> bytes:
    """The value, in the version that is understood here."""
    return b"00-%b-%b-%02x" % (trace, span, flags)


def trace_lines(met: Met, *, is_shared: bool) -> list[Line]:
    """What of a request's lines goes on; `is_shared`: its answer may be stored for others."""
    values = met.get(TRACEPARENT, [])
    parent = parent_of(values)
    if is_shared:
        if parent is None:
            return []
        return [
            (TRACEPARENT, traceparent(parent.trace, parent.span, parent.flags & (SAMPLED | RANDOM)))
        ]
    lines = [(BAGGAGE, value) for value in met.get(BAGGAGE, ())]
    if parent is not None:
        lines.append((TRACEPARENT, values[0]))
        lines += [(TRACESTATE, value) for value in met.get(TRACESTATE, ())]
    return lines


def traces_of(lines: Sequence[Line]) -> list[bytes]:
    """The trace-id in the lines for an origin: who is asked by one client must not tell others."""
    return [value[3:35] for name, value in lines if name == TRACEPARENT]


def is_chosen(trace: bytes, ratio: float) -> bool:
    """
    Whether a trace is one of the sampled: the same everywhere, without asking anybody.

    Source: OpenTelemetry's TraceIdRatioBased, as its SDKs for Go and Python have it.
    """
    return int(trace[16:], 16) < ratio * LOW
