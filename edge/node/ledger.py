"""
Every answer is entered once: in the counters, and in the access log.

Laws: whoever sends an answer enters it when its last byte is handed over, or when it is given up;
nothing else counts answers. What is known of a request is in its facts, set by whoever decides.
"""

from __future__ import annotations

import json
import secrets
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, cast

from edge.http.fields import FieldList
from edge.http.message import BLANK_LINE, Request
from edge.node.accesslog import NULL, WHOLE, AccessLog, tell, tell_size, verdict_of
from edge.node.counters import LATENCY_BOUNDS, bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.http.manner import Manner
    from edge.http.message import Response
    from edge.node.accesslog import Measured
    from edge.node.clock import Clock
    from edge.node.counters import Counters, Tally
    from edge.node.look import Look
    from edge.node.transport import Connection


SHORT: Final = LATENCY_BOUNDS[0]
SETTLED: Final = 256
"""Answers from memory that are entered before the time for it has come."""

DIGITS: Final = [b"%03x" % number for number in range(4096)]

Sent = tuple[int, float, bool]
"""Bytes, when the first went out (0.0: just now), and whether all did."""


class Log(Protocol):
    """Where answers are written down: the access log, or a `tracer` before it."""

    def write(
        self,
        connection: Connection,
        request: Request,
        response: Response | None,
        measured: Measured,
    ) -> None:
        """One answer."""

    def flush(self) -> None:
        """Hand on what there is, a few times a second."""


class Facts:
    """What is known of a request; many share it where nothing but the address decides."""

    __slots__ = ("deployment", "rule", "tally", "told")

    def __init__(self, tally: Tally, deployment: str = "", rule: int | None = None) -> None:
        self.tally = tally
        self.deployment = deployment
        self.rule = rule
        """Its number, from 0."""
        self.told = b""
        """As the log has it, once it was asked."""

    def tell(self) -> bytes:
        """As the log has it."""
        tally = self.tally
        app, branch, deployment = (
            json.dumps(name or None).encode() for name in (tally.app, tally.branch, self.deployment)
        )
        rule = NULL if self.rule is None else b"%d" % (self.rule + 1)
        pieces = (app, branch, deployment, rule)
        self.told = b'"app":%b,"branch":%b,"deployment":%b,"rule":%b,' % pieces
        return self.told


class Repeat:
    """An answer that many requests get; what they add up to, until it is added."""

    __slots__ = (
        "count",
        "kind",
        "lead",
        "long",
        "received",
        "seconds",
        "size",
        "tail",
        "tally",
        "verdict",
    )

    def __init__(self, response: Response, facts: Facts, size: int) -> None:
        """`size` is the bytes that go out."""
        if response.verdict is None:
            response.verdict = "hit"  # what nobody has asked yet comes from the store
        self.verdict = response.verdict
        self.tally = facts.tally
        self.kind = response.head.status // 100
        """The class of its status."""
        self.size = size
        self.count = 0
        self.received = 0
        self.seconds = 0.0
        self.long: list[float] = []
        """Times to first byte that are not in the first bucket."""
        status, answer = tell(response)
        self.lead = status + tell_size(size)
        self.tail = (facts.told or facts.tell()) + answer + WHOLE
        """What the log says of all of them."""

    def add_up(self) -> None:
        """Add it to the branch's numbers."""
        tally, count = self.tally, self.count
        tally.bytes_down += count * self.size
        tally.bytes_up += self.received
        tally.classes[self.kind] += count
        tally.verdicts[self.verdict] += count
        tally.latency[0] += count - len(self.long)
        tally.seconds += self.seconds
        for seconds in self.long:
            tally.latency[bucket_of(seconds)] += 1
        self.count = self.received = 0
        self.seconds = 0.0
        self.long.clear()


class Asked(Protocol):
    """A target, of a request or of many."""

    target: bytes
    told: bytes
    """What the log says of it, once it was asked."""


Recalled = tuple[Repeat, float, float, int, bytes, bytes, "Manner", Asked]
"""An answer from memory, when its head was whole, seconds, bytes in, identifier, client, target."""


class Ledger:
    """The entries of one worker."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.log: Log | None = None
        """None where the operator wants none."""
        self._lines: AccessLog | None = None
        """The same, where nothing else is noted of answers."""
        self.is_traced = False
        """Whether more is noted: then every request has to be looked at."""
        self.strangers = Facts(counters.tally())
        """Of requests that no branch answers."""
        self.name = secrets.token_hex(6)
        """Of this worker: what its identifiers begin with."""
        self.identifier_size = len(self.name) + 8
        """Bytes of an identifier."""
        self._turns = 0
        self._identifiers: Iterator[bytes] = iter(())
        self._recalled: list[Recalled] = []
        """What was answered from memory and is not entered yet."""
        self._repeats: list[Repeat] = []
        """Those that have to be added up."""

    def write_to(self, log: Log | None) -> None:
        """Where answers are written down from now on."""
        self.flush()
        self.log = log
        self._lines = log if isinstance(log, AccessLog) else None
        self.is_traced = log is not self._lines

    def identify(self) -> bytes:
        """A new identifier: no other request of any worker has it."""
        return next(self._identifiers, None) or self._turn()

    def _turn(self) -> bytes:
        """Begin the next 4,096; adding the end of each to their front is left to C."""
        front = f"{self.name}{self._turns & 0xFFFFF:05x}".encode()
        self._turns += 1
        self._identifiers = map(front.__add__, DIGITS)
        return next(self._identifiers)

    def add_up(self) -> None:
        """Have the counters know of every answer; once a second, and whenever they are asked."""
        self.settle()
        for repeat in self._repeats:
            repeat.add_up()
        self._repeats.clear()

    def unknown(self, began: float) -> Request:
        """What stands for a request that could not be understood."""
        request = Request(b"-", b"-", b"", FieldList([]), b"1.1", 0, ends=True, expects=False)
        request.id, request.began = self.identify(), began
        return request

    def enter(
        self,
        connection: Connection,
        request: Request,
        response: Response,
        size: int,
        first: float = 0.0,
    ) -> None:
        """All of an answer has gone out, `size` bytes, the first at `first` (now, without it)."""
        self._enter(connection, request, response, (size, first, True))

    def give_up(
        self,
        connection: Connection,
        request: Request,
        response: Response | None,
        size: int,
        first: float = 0.0,
    ) -> None:
        """The same for one that ended before its end, or before it began (None)."""
        self._enter(connection, request, response, (size, first, False))

    def introduce(self, connection: Connection, manner: Manner) -> None:
        """Have the log, if any, know whose request comes, where nothing is traced."""
        if self._lines is not None:
            self._lines.introduce(connection, manner)

    def open(self, connection: Connection, request: Request, response: Response) -> list[bytes]:
        """A whole HTTP/1.1 message of finished bytes that requests share, entered: its pieces."""
        content: bytes = response.content  # type: ignore[assignment]  # it has an opening
        connection.lead = connection.told.get(b"GET")
        if self.log is None or (connection.lead is not None and not self.is_traced):
            manner: Manner = request.manner  # type: ignore[assignment]  # looked at by `Files.hit`
            repeat: Repeat = response.repeat or first_of(response, request.facts, len(request.id))  # type: ignore[assignment, arg-type]
            received, connection.received = connection.received, 0
            self.note(connection, repeat, manner, request, request.began, received, request.id)
            return [b"".join((response.opening, request.id, BLANK_LINE)), content]
        head = b"".join((response.opening, request.id, BLANK_LINE))
        self.enter(connection, request, response, len(head) + len(content))
        return [head, content]

    def note(  # noqa: PLR0913, PLR0917  (a value that holds them costs 0.1 µs)
        self,
        connection: Connection,
        repeat: Repeat,
        manner: Manner,
        asked: Asked,
        began: float,
        received: int,
        identifier: bytes = b"",
    ) -> bytes:
        """
        Have an answer like others, which goes out now, entered with them: its identifier.

        Only where nothing is traced, and the log, if any, knows the client, of whom `received`
        bytes came for it. Nothing is written or counted here: many at once take a fifth of the
        time.
        """
        if not identifier:
            identifier = next(self._identifiers, None) or self._turn()
        lead, total = connection.lead or connection.once, monotonic() - began
        recalled = self._recalled
        recalled.append((repeat, began, total, received, identifier, lead, manner, asked))
        if len(recalled) >= SETTLED:
            self.settle()
        return identifier

    def settle(self) -> None:
        """Enter what was answered from memory: with others before any other answer."""
        recalled, self._recalled = self._recalled, []
        for repeat, _, total, received, _, _, _, _ in recalled:
            if not repeat.count:
                self._repeats.append(repeat)
            repeat.count += 1
            repeat.received += received
            repeat.seconds += total
            if total > SHORT:
                repeat.long.append(total)
        if self._lines is not None:
            self._lines.repeat(recalled)

    def flush(self) -> None:
        """Hand on the lines that there are, a few times a second."""
        self.settle()
        if self.log is not None:
            self.log.flush()

    def _enter(
        self, connection: Connection, request: Request, response: Response | None, sent: Sent
    ) -> None:
        if self._recalled:
            self.settle()  # lines are in the order of their answers
        total = monotonic() - request.began
        size, first, is_whole = sent
        ttfb = first - request.began if first else total
        received, connection.received = connection.received, 0
        facts = request.facts
        if facts is None:
            facts = request.facts = self.strangers
        tally: Tally = facts.tally  # type: ignore[attr-defined]
        tally.bytes_down += size
        tally.bytes_up += received
        if response is None:
            tally.classes[0] += 1
        else:
            tally.classes[response.head.status // 100] += 1
            if ttfb < SHORT:  # nearly always, where nothing is waited for
                tally.latency[0] += 1
                tally.seconds += ttfb
            else:
                tally.time(ttfb)
            verdict = response.verdict
            if verdict is None:
                verdict = response.verdict = verdict_of(response)
            tally.verdicts[verdict] += 1
        if self.log is not None:
            self.log.write(connection, request, response, (size, received, ttfb, total, is_whole))


def first_of(response: Response, facts: Facts, identifier: int) -> Repeat:
    """What is kept of an answer that many get by HTTP/1.1, from its first one on."""
    content = cast("bytes", response.content)
    size = len(response.opening) + identifier + len(BLANK_LINE) + len(content)
    repeat = response.repeat = Repeat(response, facts, size)
    return repeat


def first_look(look: Look, clock: Clock, facts: Facts, identifier: int) -> Repeat:
    """The same of what one looks like now, kept where it is at hand."""
    response: Response = look.whole(clock)  # type: ignore[assignment]  # it was fresh just now
    repeat: Repeat = response.repeat or first_of(response, facts, identifier)  # type: ignore[assignment]
    look.repeat = repeat
    return repeat


class Silent(Ledger):
    """Enters nothing: of what siblings ask each other."""

    def identify(self) -> bytes:
        """None."""
        return b""

    def open(self, connection: Connection, request: Request, response: Response) -> list[bytes]:
        """The message alone."""
        del connection
        head = b"".join((response.opening, request.id, BLANK_LINE))
        return [head, cast("bytes", response.content)]

    def _enter(self, *_: object) -> None:
        """It is the worker's whom the client asked."""
