"""
What is noted of a request that is traced: values that go from the loop to the exporter's thread.

Laws: times are monotonic seconds, identifiers hexadecimal digits, bytes as they arrived; nothing is
made of them here. No content is among them, no cookie, no credentials and no query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge.http.tracing import SAMPLED

if TYPE_CHECKING:
    from edge.node.ledger import Facts


class Call(msgspec.Struct):
    """What an origin was asked, all tries together."""

    span: bytes
    began: float
    ended: float = 0.0


class Visit(msgspec.Struct):
    """One request, from its head to the end of its answer."""

    trace: bytes
    span: bytes
    parent: bytes = b""
    """The caller's span; empty where the trace begins here."""
    flags: int = SAMPLED
    call: Call | None = None
    began: float = 0.0
    ended: float = 0.0
    id: bytes = b""
    method: bytes = b""
    target: bytes = b""
    authority: bytes = b""
    version: bytes = b""
    is_secure: bool = False
    peer: str = ""
    client: str = ""
    agent: bytes = b""
    status: int = 0
    """0: the client was gone before the head of an answer."""
    is_whole: bool = True
    size: int = 0
    verdict: str = ""
    origin: bytes = b""
    head: bytes = b""
    """Field lines of the answer that the node made."""
    facts: Facts | None = None

    @property
    def count(self) -> int:
        """Spans that it is made into."""
        return 1 if self.call is None else 2
