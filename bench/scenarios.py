"""What `compare.py` measures: one file over one protocol, and what is aimed at beside each peer."""

from __future__ import annotations

from dataclasses import dataclass

CONNECTIONS = 64

STREAMS = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file over one protocol, and the ratio to nginx that is aimed at."""

    name: str
    size: int
    http2: bool = False
    aim: float = 1.0

    @property
    def path(self) -> str:
        """Where the file is, whatever the protocol."""
        return f"/{self.name.removeprefix('h2-')}.bin"


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("1kb", 1 << 10),
        Scenario("10kb", 10 << 10),
        Scenario("100kb", 100 << 10),
        Scenario("10mb", 10 << 20, aim=0.7),
        Scenario("h2-1kb", 1 << 10, http2=True),
    )
}
