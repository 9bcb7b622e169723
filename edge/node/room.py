"""
The memory that stored responses may take, files' and origins' together.

Laws: the sum never exceeds the capacity. Who has the most gives way, so that neither of them can
starve the other, and one alone has it all.
"""

from __future__ import annotations

from typing import Protocol


class Tenant(Protocol):
    """A store of responses."""

    size: int
    """Bytes that it takes."""

    def evict(self) -> bool:
        """Let one go; False when there is none."""
        ...


class Room:
    """Bytes, and who shares them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tenants: list[Tenant] = []

    @property
    def size(self) -> int:
        """Bytes that are taken."""
        return sum(tenant.size for tenant in self.tenants)

    def resize(self, capacity: int) -> None:
        """Have room for `capacity` bytes, and no more."""
        self.capacity = capacity
        self.make()

    def make(self) -> None:
        """Let go what is too much."""
        while self.size > self.capacity:
            largest_first = sorted(self.tenants, key=lambda tenant: -tenant.size)
            if not any(tenant.evict() for tenant in largest_first):
                return  # the rest is of answers that are still coming
