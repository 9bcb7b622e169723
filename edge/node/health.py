"""
How an origin does: failures in a row, the circuit that they open, the budget of retries.

Laws: an origin that fails again and again is left alone for a while, and asked by one request at a
time after that. Only what tells of the whole origin counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from edge.errors import OriginError, OriginFault

if TYPE_CHECKING:
    from edge.node.clock import Clock

FAILURES: Final = 5
"""Failures in a row after which an origin is left alone."""

OPEN_S: Final = 10.0
"""Seconds that it is left alone."""

TELLING: Final[frozenset[OriginFault]] = frozenset(
    (
        "connection_refused", "connection_terminated", "connection_timeout",
        "connection_write_timeout", "destination_ip_unroutable", "dns_error", "dns_timeout",
        "http_response_timeout", "tls_alert_received", "tls_certificate_error",
        "tls_protocol_error",
    )
)  # fmt: skip
"""
Faults that tell of a dead origin. A response that is too large or not understood is one page's
fault, a loop or a full queue the client's: whoever knows one must not close the whole origin.
"""

RETRY_SHARE: Final = 0.1
"""Retries for each request: a storm of them would finish an origin that is down already."""

RETRY_RESERVE: Final = 10.0
"""Retries that an origin may cost at once."""


class Health:
    """Failures of one origin, and what follows from them."""

    __slots__ = ("failures", "open_until", "probing", "retries")

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0
        """Until when it is left alone, in monotonic seconds."""
        self.probing = False
        """Whether one request finds out how it is."""
        self.retries = RETRY_RESERVE

    def is_open(self, now: float) -> bool:
        """Whether it takes no request now."""
        return self.failures >= FAILURES and (now < self.open_until or self.probing)

    def admit(self, now: float) -> bool:
        """
        Let a request try; whether it is the one that finds out how the origin is.

        Raises:
            OriginError: the origin is left alone.
        """
        if self.is_open(now):
            raise OriginError("destination_unavailable", "it failed again and again", "yes")
        self.thrive()
        self.probing = self.failures >= FAILURES
        return self.probing

    def thrive(self) -> None:
        """A request tries: so many more may be tried again."""
        if self.retries < RETRY_RESERVE:
            self.retries += RETRY_SHARE

    @contextmanager
    def watch(self, clock: Clock, *, is_admitted: bool = False) -> Iterator[None]:
        """Let a request try, unless it does already, and learn from what it raises. As `admit`."""
        is_probe = not is_admitted and self.admit(clock.now)
        try:
            yield
            self.failures = 0
        except OriginError as error:
            if error.kind in TELLING:
                self.fail(clock.now)
            raise
        finally:  # one whose client went away found out nothing
            if is_probe:
                self.probing = False

    def fail(self, now: float) -> None:
        """It did not answer."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.open_until = now + OPEN_S

    def may_retry(self) -> bool:
        """Whether the budget has one more; it is taken."""
        if self.retries < 1:
            return False
        self.retries -= 1
        return True
