"""What `compare.py` measures: one kind of request, who answers it, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CONNECTIONS = 64

STREAMS = 10

HANDSHAKES = 250
"""Connections that are opened at a time; fewer than Edge lets shake hands at a time (500)."""

Stage = Literal["files", "secure", "proxies"]
"""Servers that are started together: of files, of files over TLS, of an origin's answers."""

Load = Literal["wrk", "large", "mix", "h2load", "h2load-mix", "handshakes", "pace"]
"""Which generator, and with what; see `generators.LOADERS`."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What the ratio of us to a peer should be: at least `limit`, or at most where less is more."""

    limit: float
    is_most: bool = False

    def judge(self, ratio: float) -> str:
        """`aim ≥ 1.0: met`."""
        is_met = ratio <= self.limit if self.is_most else ratio >= self.limit
        return f"aim {'≤' if self.is_most else '≥'} {self.limit}: {'met' if is_met else 'MISSED'}"


def least(**limits: float) -> dict[str, Aim]:
    """By peer, what the ratio of our rate to its rate should be."""
    return {peer: Aim(limit) for peer, limit in limits.items()}


EVERYONE = ("edge", "nginx", "caddy", "varnish")
STREAMING = ("edge", "nginx", "caddy")
STORING = ("edge", "nginx", "varnish")
PAIR = ("edge", "nginx")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request."""

    name: str
    path: str
    """What is asked for; of a mix, one of its files."""
    size: int
    """Bytes of the file; of a mix, what an answer has on the average."""
    load: Load = "wrk"
    connections: int = CONNECTIONS
    stage: Stage = "files"
    peers: tuple[str, ...] = PAIR
    """Who is compared, unless others are named on the command line."""
    aims: dict[str, Aim] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    """Field lines of every request, beside Host."""
    codings: tuple[str, ...] = ("",)
    """Which Content-Encoding is a good answer: "" for none."""
    hits: bool = False
    """Whether the origin should be asked once and no more."""
    is_conditional: bool = False
    """Whether each request has the right If-None-Match, and is answered with 304."""
    by_processor: bool = False
    """
    Whether the rate for a second of the server's processor is told too, and aimed at: where the
    generator's side costs as much as the server's, the clock's rate is the generator's.
    """
    is_fixed: bool = False
    """Whether nobody else makes sense: who is named on the command line does not matter."""
    paced_by: str = ""
    """The peer at half of whose highest rate all are asked, to see how late answers are."""

    @property
    def is_secure(self) -> bool:
        """Whether it is asked over TLS."""
        return self.stage == "secure"

    @property
    def http2(self) -> bool:
        """Whether it is asked by HTTP/2."""
        return self.load in {"h2load", "h2load-mix"}

    @property
    def is_mix(self) -> bool:
        """Whether many files are asked for."""
        return self.load in {"mix", "h2load-mix"}

    @property
    def is_coded(self) -> bool:
        """Whether the answer should be smaller than the file."""
        return "" not in self.codings


KIB, MIB = 1 << 10, 1 << 20

MIX_SIZE = 4_723
"""What `contents.mean_size` gives: bytes of an answer on the average."""

FILES = (
    Scenario(
        "1kb", "/1kb.bin", KIB, peers=EVERYONE, aims=least(nginx=1.0, caddy=6.0, varnish=1.5)
    ),
    Scenario(
        "10kb", "/10kb.bin", 10 * KIB, peers=EVERYONE,
        aims=least(nginx=1.0, caddy=6.0, varnish=1.5),
    ),
    Scenario(
        "100kb", "/100kb.bin", 100 * KIB, "large", peers=EVERYONE,
        aims=least(nginx=1.0, caddy=2.5, varnish=1.2),
    ),
    Scenario("10mb", "/10mb.bin", 10 * MIB, "large", connections=16, aims=least(nginx=0.7)),
    Scenario(
        "mix", "/mix/00/00000.bin", MIX_SIZE, "mix", peers=EVERYONE,
        aims=least(nginx=1.0, caddy=6.0, varnish=1.5),
    ),
    Scenario("304", "/10kb.bin", 10 * KIB, is_conditional=True),
    Scenario(
        "gzip", "/text/20kb.html", 20 * KIB,
        fields=(("Accept-Encoding", "gzip, deflate"),), codings=("gzip",),
    ),
    Scenario(
        "br", "/text/20kb.html", 20 * KIB,
        fields=(("Accept-Encoding", "gzip, deflate, br, zstd"),), codings=("br", "zstd", "gzip"),
    ),
    Scenario(
        "new-connection", "/1kb.bin", KIB, fields=(("Connection", "close"),), by_processor=True
    ),
    Scenario("h2-1kb", "/1kb.bin", KIB, "h2load", peers=STREAMING, aims=least(nginx=1.0)),
    Scenario("mix-h2", "/mix/00/00000.bin", MIX_SIZE, "h2load-mix"),
    Scenario(
        "rules", "/1kb.bin", KIB, peers=("edge", "edge-rules"), is_fixed=True,
        aims={"edge-rules": Aim(1.05, is_most=True)},
    ),
    Scenario(
        "latency", "/1kb.bin", KIB, "pace", is_fixed=True, paced_by="nginx",
        aims={"nginx": Aim(1.5, is_most=True)},
    ),
    Scenario(
        "latency-caddy", "/1kb.bin", KIB, "pace", peers=("edge", "caddy"), is_fixed=True,
        paced_by="caddy",
        aims={"caddy": Aim(1.0, is_most=True)},
    ),
)  # fmt: skip

SECURE = (
    Scenario(
        "tls-1kb", "/1kb.bin", KIB, stage="secure", peers=STREAMING,
        aims=least(nginx=0.95, caddy=6.0),
    ),
    Scenario(
        "tls-h2-1kb", "/1kb.bin", KIB, "h2load", stage="secure", peers=STREAMING,
        aims=least(nginx=1.2, caddy=8.0),
    ),
    Scenario(
        "tls-handshake", "/1kb.bin", KIB, "handshakes", stage="secure", peers=STREAMING,
        aims=least(nginx=0.8), by_processor=True,
    ),
)  # fmt: skip

PROXIED = (
    Scenario(
        "proxy-1kb", "/proxy-1kb.bin", KIB, stage="proxies", peers=STREAMING,
        aims=least(nginx=0.9, caddy=4.0),
    ),
    Scenario("proxy-1mb", "/proxy-1mb.bin", MIB, "large", stage="proxies", peers=STREAMING),
    Scenario(
        "proxy-hit", "/proxy-hit.bin", KIB, stage="proxies", peers=STORING, hits=True,
        aims=least(nginx=1.0, varnish=1.5),
    ),
)  # fmt: skip

SCENARIOS = {scenario.name: scenario for scenario in (*FILES, *SECURE, *PROXIED)}
"""In the order of their stages."""
