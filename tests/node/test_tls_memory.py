"""What certificates cost a worker: as much after a thousand renewals, and with ten thousand."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edge.node import tls
from edge.node.memory import give_back
from edge.node.tls import Contexts
from tests.support_tls import der_of, receiving, shown
from tests.support_wire import PLAIN, response

MIB = 1 << 20
CONTEXT = 21 * 1024
"""Bytes of one (shared/tls-acme.md §5)."""

NAMES = 10_000
SWAPS = 1_000


def resident() -> int:
    """Bytes of this process, what was freed given back."""
    give_back()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def test_ten_thousand_names_take_what_a_thousand_do(shelf, issuer) -> None:
    """Nothing is loaded before it is asked for, and what was not asked for longest goes."""
    file = shelf.places.tls / shelf.put(issuer.pem("*.test"), "n0.test")
    (first,) = shelf.certificates.values()
    for number in range(1, NAMES):
        os.link(file, shelf.places.tls / f"n{number}.test.pem")
        name = f"n{number}.test"
        shelf.certificates[f"{name}.pem"] = msgspec.structs.replace(
            first, id=name, names=(name,), file=f"{name}.pem"
        )
    shelf.write()
    contexts = Contexts(shelf.places)
    await contexts.follow()
    assert not contexts._built

    for number in range(NAMES):
        assert await contexts.load(contexts.find(f"n{number}.test")) is not None
        if number == 2 * tls.KEPT:
            before = resident()

    assert len(contexts._built) == tls.KEPT
    assert contexts.ready(contexts.find(f"n{NAMES - 1}.test")) is not None
    assert contexts.ready(contexts.find("n0.test")) is None
    assert resident() - before < (NAMES - 2 * tls.KEPT) * CONTEXT / 10


async def test_a_thousand_renewals_leave_memory_as_it_was(shelf, issuer) -> None:
    """Each is shown to a client, over a connection that then ends."""
    pems = [issuer.pem("a.test") for _ in range(10)]
    async with receiving(shelf, lambda _: response(PLAIN)) as server:
        for number in range(-SWAPS // 5, SWAPS):
            if number == 0:
                before = resident()
            pem = pems[number % len(pems)]
            shelf.certificates.clear()
            shelf.put(pem, "a.test", identifier=str(number))
            await server.contexts.follow()
            assert await shown(server, issuer.client(), "a.test") == der_of(pem)
        assert len(server.contexts._built) == 1
        assert resident() - before < SWAPS * CONTEXT / 10
