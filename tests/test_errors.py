"""Errors say whose fault it is and where."""

from __future__ import annotations

import pytest

from edge import errors


def test_a_located_error_reads_as_editors_expect():
    """`file:line:column: message (what to do)`."""
    error = errors.ConfigError("edge.yml", 3, 7, "unknown key 'wrkers'", "did you mean 'workers'?")

    assert str(error) == "edge.yml:3:7: unknown key 'wrkers' (did you mean 'workers'?)"


def test_a_located_error_without_a_hint_has_no_empty_brackets():
    """The hint is left out whole."""
    assert str(errors.ConfigError("a.yml", 1, 1, "broken")) == "a.yml:1:1: broken"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.MalformedRequest, 400),
        (errors.RequestTimedOut, 408),
        (errors.TargetTooLong, 414),
        (errors.Misdirected, 421),
        (errors.HeadTooLarge, 431),
        (errors.NotImplementedByServer, 501),
        (errors.VersionNotSupported, 505),
    ],
)
def test_a_request_error_carries_its_status(kind, status):
    """The parser suggests what to answer."""
    assert kind("text").status == status
    assert issubclass(kind, errors.RequestError)


def test_a_bare_error_holds_nobody_who_raised_it():
    """Neither by its own frames nor by those of what it stands for."""
    try:
        try:
            [].pop()
        except IndexError as error:
            raise errors.OriginError("connection_terminated", "it broke") from error
    except errors.OriginError as error:
        found = errors.bare(error)
    assert str(found) == "it broke"
    assert (found.__traceback__, found.__cause__, found.__context__) == (None, None, None)
