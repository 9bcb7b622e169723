"""When an origin is left alone, who finds out whether it is back, and how often is tried again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from edge.errors import MalformedRequest, OriginError
from edge.node.clock import Clock
from edge.node.health import FAILURES, OPEN_S, RETRY_RESERVE, TELLING, Health


def failing(health: Health, clock: Clock, kind: str = "connection_refused") -> None:
    """A request that the origin fails."""
    with pytest.raises(OriginError, match="it failed so"), health.watch(clock):
        raise OriginError(kind, "it failed so")


def left_alone(health: Health, clock: Clock) -> bool:
    """Whether a request is refused without being tried."""
    with pytest.raises((MalformedRequest, OriginError)) as caught:
        try_once(health, clock)
    error = caught.value
    if isinstance(error, MalformedRequest):
        return False
    assert (error.kind, error.status, error.retry) == ("destination_unavailable", 503, "yes")
    return True


def try_once(health: Health, clock: Clock) -> None:
    """A request whose client goes away at once."""
    with health.watch(clock):
        raise MalformedRequest("the client went away")


def closed_circuit(clock: Clock) -> Health:
    """An origin that just failed for the last time before it is left alone."""
    health = Health()
    for _ in range(FAILURES):
        assert not left_alone(health, clock)
        failing(health, clock)
    return health


def test_an_origin_that_fails_again_and_again_is_left_alone():
    """For a while, from its last failure on."""
    clock = Clock()
    health = closed_circuit(clock)
    assert health.is_open(clock.now)
    assert left_alone(health, clock)
    clock.now += OPEN_S

    assert not health.is_open(clock.now)
    assert not left_alone(health, clock)


def test_one_answer_in_between_is_enough():
    """Failures count in a row."""
    clock, health = Clock(), Health()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            failing(health, clock)
        with health.watch(clock):
            pass

    assert not health.is_open(clock.now)


@pytest.mark.parametrize("is_down", [True, False])
def test_one_request_finds_out_whether_it_is_back(is_down):
    """Meanwhile the others are refused; then all or none are let through."""
    clock = Clock()
    health = closed_circuit(clock)
    clock.now += OPEN_S
    with contextlib.suppress(OriginError), health.watch(clock):
        assert left_alone(health, clock)
        clock.now += 3
        if is_down:
            raise OriginError("connection_timeout", "still")

    assert left_alone(health, clock) == is_down
    clock.now += OPEN_S - 1
    assert left_alone(health, clock) == is_down
    clock.now += 1
    assert not left_alone(health, clock)


@pytest.mark.parametrize("error", [asyncio.CancelledError, MalformedRequest, ZeroDivisionError])
def test_a_probe_that_finds_out_nothing_makes_room_for_another(error):
    """Its client may have gone away: the origin is not left alone for ever."""
    clock = Clock()
    health = closed_circuit(clock)
    clock.now += OPEN_S
    for _ in range(3):
        with pytest.raises(error), health.watch(clock):
            raise error

    with health.watch(clock):
        pass
    assert not left_alone(health, clock)


OF_ONE_REQUEST = [
    "connection_limit_reached", "destination_ip_prohibited", "http_protocol_error",
    "http_response_header_section_size", "http_response_incomplete", "proxy_internal_error",
    "proxy_loop_detected",
]  # fmt: skip


@pytest.mark.parametrize("kind", OF_ONE_REQUEST)
def test_what_one_request_did_tells_nothing_of_the_origin(kind):
    """Or whoever knows a page that is too large could close the origin for everybody."""
    clock, health = Clock(), Health()
    for _ in range(FAILURES * 2):
        failing(health, clock, kind)

    assert kind not in TELLING
    assert not health.is_open(clock.now)


@pytest.mark.parametrize("kind", sorted(TELLING))
def test_what_tells_of_a_dead_origin_counts(kind):
    """Whatever it is called."""
    clock, health = Clock(), Health()
    for _ in range(FAILURES):
        failing(health, clock, kind)

    assert health.is_open(clock.now)


def test_retries_have_a_budget():
    """A reserve, and a tenth of the requests."""
    clock, health = Clock(), Health()
    taken = sum(health.may_retry() for _ in range(100))
    assert taken == RETRY_RESERVE
    for _ in range(100):
        with health.watch(clock):
            pass

    assert 9 <= sum(health.may_retry() for _ in range(100)) <= RETRY_RESERVE
    for _ in range(9999):
        with health.watch(clock):
            pass
    assert sum(health.may_retry() for _ in range(100)) == RETRY_RESERVE
