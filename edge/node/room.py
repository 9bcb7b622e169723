"""
The memory that stored responses may take, files' and origins' together.

Laws: the sum never exceeds the capacity. Who has the most gives way, so that neither of them can
starve the other, and one alone has it all.
"""

from __future__ import annotations

import gc
from typing import Final, Protocol

SETTLED: Final = 250
"""Things that are kept, of 20 to 40 objects, before the collector looks at them: 1 ms."""


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
        self._kept = 0

    @property
    def size(self) -> int:
        """Bytes that are taken."""
        return sum(tenant.size for tenant in self.tenants)

    def resize(self, capacity: int) -> None:
        """Have room for `capacity` bytes, and no more."""
        self.capacity = capacity
        self.make()

    def settle(self) -> None:
        """
        One more thing is kept, and goes by itself: whoever lets it go breaks its cycles.

        So the collector need not walk it again and again, which took 1.3 s of everybody's time with
        200,000 answers. It looks once at all that is new: what is a cycle by then goes. What is
        under way stays out of its sight too, so that nothing may be a cycle that is over; what is
        all the same is found when memory runs out (`thaw`).
        """
        self._kept += 1
        if self._kept % SETTLED == 0:
            gc.collect()
            gc.freeze()

    def make(self) -> None:
        """Let go what is too much."""
        while self.size > self.capacity:
            largest_first = sorted(self.tenants, key=lambda tenant: -tenant.size)
            if not any(tenant.evict() for tenant in largest_first):
                return  # the rest is of answers that are still coming


def thaw() -> None:
    """Have the collector look at everything, once."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
