"""`limits` of `edge.yml`: names, units, and what 0 and `auto` are for."""

from __future__ import annotations

import pytest

from edge.site.documents import decode_settings
from edge.site.limits import Limits


def read(text: str) -> Limits | list[str]:
    """The limits of a line, or what is wrong with them."""
    settings, mistakes = decode_settings(f"limits: {{{text}}}\n", "edge.yml")
    return [each.message for each in mistakes] if settings is None else settings.limits


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", Limits()),
        ("min_rate: 0", Limits(min_rate=0)),
        ("min_rate: 1KiB", Limits(min_rate=1024)),
        ("memory: auto", Limits()),
        ("memory: 0", Limits(memory=0)),
        ("memory: 2GiB", Limits(memory=2 << 30)),
        ("client_connections: 0, client_requests: 0", Limits()),
        ("client_requests: 50", Limits(client_requests=50)),
        ("h2_resets: 7, h2_empty: 1", Limits(h2_resets=7, h2_empty=1)),
    ],
)
def test_limits_are_read(text, limits):
    """In the operator's units."""
    assert read(text) == limits


@pytest.mark.parametrize(
    "text",
    ["h2_resets: 0", "idle_timeout: 0", "connections: 0", "memory: plenty", "client_requests: -1"],
)
def test_a_limit_that_would_stop_everything_is_refused(text):
    """0 is for those that may be off."""
    assert isinstance(read(text), list)
