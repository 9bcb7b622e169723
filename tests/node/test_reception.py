"""Who has not shaken hands yet: bounded in number and in time."""

from __future__ import annotations

from edge.node.clock import Clock
from edge.node.reception import Reception
from edge.node.tls import Contexts, listener_context
from edge.node.transport import Service
from edge.site.limits import Limits
from edge.site.places import Places


class Someone:
    """Who arrives, and is dropped or not."""

    def __init__(self, reception: Reception, since: float = 0.0) -> None:
        self.reception = reception
        self.since = since

    def drop(self) -> None:
        """Leave."""
        del self.reception.waiting[self]


def reception_of(tmp_path, **limits) -> Reception:
    """A reception with limits."""
    service = Service(Clock(), lambda _: None, lambda _: None, lambda *_: None)
    made = Reception(service, Contexts(Places(tmp_path)), listener_context())
    made.configure(Limits(**limits))
    return made


def test_the_oldest_leaves_first(tmp_path) -> None:
    """Whoever comes is let in, and the bound holds."""
    reception = reception_of(tmp_path, handshakes=2)
    first, second, third = (Someone(reception) for _ in range(3))

    assert all(map(reception.admit, (first, second, third)))

    assert list(reception.waiting) == [second, third]


def test_time_is_up_for_those_who_came_first(tmp_path) -> None:
    """The others have theirs."""
    reception = reception_of(tmp_path, handshake_timeout=5.0)
    early, late = Someone(reception, since=10.0), Someone(reception, since=12.0)
    for each in (early, late):
        reception.admit(each)

    reception.sweep(15.0)
    assert list(reception.waiting) == [early, late]
    reception.sweep(15.1)
    assert list(reception.waiting) == [late]


def test_without_room_nobody_is_let_in(tmp_path) -> None:
    """They count as refused, as in clear text."""
    reception = reception_of(tmp_path)
    reception.service.max_connections = 0

    assert not reception.admit(Someone(reception))
    assert (reception.service.counters.refused["connections"], len(reception.waiting)) == (1, 0)


def test_the_end_is_everyones(tmp_path) -> None:
    """Nobody waits afterwards."""
    reception = reception_of(tmp_path)
    for _ in range(3):
        reception.admit(Someone(reception))

    reception.close()

    assert not reception.waiting
    assert reception.status() == {"shaken": 0, "broken": 0, "strangers": 0}
