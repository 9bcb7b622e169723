"""
What would be answered, without serving it: for `explain`, `replay` and the tests that rules carry.

Laws: pure but for what `load` does. A request is decided by the very functions that serve it
(`exchange`); passwords are passed by, for a rehearsal has none.
"""

from __future__ import annotations

from collections.abc import Callable

from edge.errors import RequestError
from edge.http.fields import FieldList
from edge.http.message import Request
from edge.site.exchange import (
    Content,
    Exchange,
    Moved,
    Outcome,
    enter,
    follow,
    open_exchange,
)
from edge.site.expressions import Budget, PatternTooSlow
from edge.site.plan import Forward, Redirect
from edge.site.snapshot import Branch, Retained, Snapshot

Place = str
"""A Location, a file's path, an origin's URL, or nothing."""


class World:
    """What requests are rehearsed against."""

    def __init__(
        self,
        snapshot: Snapshot,
        epoch: float,
        clock: Callable[[], float],
        load: Callable[[Branch], None],
    ) -> None:
        """`load` loads what a branch answers from; `clock` is a `Budget`'s."""
        self.snapshot = snapshot
        self.epoch = epoch
        self._clock = clock
        self._load = load

    def open(self, request: Request, country: str | None) -> Exchange | None:
        """
        The exchange of a request; None for a host that nobody claims, or that cannot be served.

        Raises:
            MalformedRequest: host or target is none.
        """
        site = self.snapshot.resolve(request.authority)
        if site is None or site.branch is None:
            return None
        return open_exchange(request, site, country, Budget(self._clock))

    def follow(self, exchange: Exchange) -> Outcome:
        """
        Steps 3 to 7, with everything loaded.

        Raises:
            PatternTooSlow, MalformedRequest: see `Plan.decide`.
        """
        self._load(exchange.branch)
        outcome = follow(exchange, self.epoch)
        assert not isinstance(outcome, Retained), "it has been loaded"
        return outcome

    def answer(self, exchange: Exchange) -> tuple[int, Place]:
        """Status and place, after a hop inside to another host of this node perhaps."""
        outcome = self.follow(exchange)
        if not isinstance(outcome, Forward):
            return summary(outcome)
        inner = enter(exchange, outcome, self.snapshot)
        if inner is None:
            return summary(outcome)
        return (508, "") if exchange.outer is not None else self.answer(inner)

    def rehearse(self, request: Request, country: str | None) -> tuple[int, Place]:
        """Status and place of the answer to a request. Raises nothing that a client can cause."""
        try:
            exchange = self.open(request, country)
            if exchange is None:
                return 404, ""
            exchange.decide()
            return self.answer(exchange)
        except RequestError as error:
            return error.status, ""
        except PatternTooSlow:
            return 503, ""


def summary(outcome: Outcome) -> tuple[int, Place]:
    """Status and place of an outcome."""
    match outcome:
        case Redirect():
            return outcome.status, outcome.location.decode("latin-1")
        case Forward():
            return 200, outcome.urls[0]
        case Content():
            return outcome.status, "/" + outcome.asset.entry.path
        case Moved():
            return 301, outcome.location.decode("latin-1")
    return outcome.status, ""


def make_request(
    authority: bytes, target: bytes, method: bytes = b"GET", fields: FieldList | None = None
) -> Request:
    """A request as a connection would make it."""
    return Request(
        method=method,
        target=target,
        authority=authority,
        fields=fields or FieldList([]),
        version=b"1.1",
        stream=0,
        ends=True,
        expects=False,
    )
