"""What `compare.py` measures: one answer over one protocol, and what is aimed at beside a peer."""

from __future__ import annotations

from dataclasses import dataclass, field

CONNECTIONS = 64

STREAMS = 10

HANDSHAKES = 250
"""Connections that are opened at a time; fewer than Edge lets shake hands at a time (500)."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file over one protocol, from each server's disk or from an origin behind it."""

    name: str
    size: int
    http2: bool = False
    aims: dict[str, float] = field(default_factory=lambda: {"nginx": 1.0})
    """
    By peer, the ratio of our rate to its rate; of handshakes the rate is that of the server's
    processor, since the generator's side of one costs more than the server's.
    """
    gateways: tuple[str, ...] = ()
    """The proxies that are compared; none where files are served."""
    hits: bool = False
    """Whether the origin should be asked once and no more."""
    is_secure: bool = False
    """Whether it is asked over TLS."""
    is_handshake: bool = False
    """Whether each request has a connection of its own, with a full handshake."""

    @property
    def is_file(self) -> bool:
        """Whether servers answer in the clear with a file of their own."""
        return not self.gateways and not self.is_secure

    @property
    def path(self) -> str:
        """Where the file is, whatever the protocol."""
        return f"/{self.name.removeprefix('tls-').removeprefix('h2-')}.bin"


FILES = (
    Scenario("1kb", 1 << 10),
    Scenario("10kb", 10 << 10),
    Scenario("100kb", 100 << 10),
    Scenario("10mb", 10 << 20, aims={"nginx": 0.7}),
    Scenario("h2-1kb", 1 << 10, http2=True),
)

PASSING = ("edge", "nginx", "caddy")
STORING = ("edge", "nginx", "varnish")

PROXIED = (
    Scenario("proxy-1kb", 1 << 10, aims={"nginx": 0.9, "caddy": 4.0}, gateways=PASSING),
    Scenario("proxy-1mb", 1 << 20, aims={}, gateways=PASSING),
    Scenario(
        "proxy-hit", 1 << 10, aims={"nginx": 1.0, "varnish": 2.0}, gateways=STORING, hits=True
    ),
)

SECURE = (
    Scenario("tls-1kb", 1 << 10, aims={"nginx": 0.95}, is_secure=True),
    Scenario("tls-h2-1kb", 1 << 10, http2=True, aims={"nginx": 1.2}, is_secure=True),
    Scenario("tls-handshake", 1 << 10, aims={"nginx": 0.8}, is_secure=True, is_handshake=True),
)

SCENARIOS = {scenario.name: scenario for scenario in (*FILES, *SECURE, *PROXIED)}
