"""
Very many certificates: what they cost a node that starts, and who asks for one first.

The state folder is written as control writes it, in memory where that can be, and the lock of the
keeper of certificates is held here: it would put away those that no deployment asks for.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import servers
from figures import percentile
from node import memory_of, workers_of
from processes import NotStarted, Server, memory_backed
from tables import Figure, at_most, print_table

from edge.control import durable
from edge.control.authority import Authority
from edge.control.vault import Vault
from edge.node.tls import KEPT
from edge.site.certificates import Keyring
from edge.site.places import Places

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

KIB, MIB = 1 << 10, 1 << 20

SETTINGS = "tls: {mode: internal}\n"


def names(chosen: argparse.Namespace, _: Path) -> None:
    """Start and memory of a node with many certificates, and the first handshakes of some."""
    if not chosen.visits < min(chosen.names, KEPT):
        raise NotStarted(f"there are fewer visits than names, and than the {KEPT:,} that are kept")
    with started(1):
        pass  # the files of the program are in memory from now on, for both
    with started(1) as bare:
        pass
    with started(chosen.names) as many:
        figures = [*start_figures(bare, many), *visit_figures(many, chosen.visits)]
    print_table(f"{chosen.names:,} certificates (P-256), one worker", figures)


# Nodes


@dataclass(frozen=True, slots=True)
class Started:
    """A node with certificates, and what its start cost."""

    server: Server
    hosts: list[str]
    trusted: Path
    ready_s: float
    rss: int

    @property
    def client(self) -> ssl.SSLContext:
        """What trusts the node's own authority; each handshake of it is a full one."""
        return ssl.create_default_context(cafile=str(self.trusted))


@contextlib.contextmanager
def started(count: int) -> Iterator[Started]:
    """A node of one worker that has just started with `count` certificates."""
    with tempfile.TemporaryDirectory(prefix="edge-names-", dir=memory_backed()) as folder:
        work = Path(folder)
        hosts = [f"main.app-{number:05}.edge.localhost" for number in range(count)]
        places = Places(work / "var")
        trusted = write_certificates(places, hosts)
        lock = durable.try_lock(Vault(places).lock)
        assert lock is not None
        began = time.monotonic()
        server = servers.serve_edge(work, 1, core=None, more=SETTINGS, has_https=True)
        ready_s = time.monotonic() - began
        try:
            [worker] = workers_of(server)
            yield Started(server, hosts, trusted, ready_s, memory_of(worker)[1])
        finally:
            server.stop()
            os.close(lock)


def write_certificates(places: Places, hosts: list[str]) -> Path:
    """One of the own authority for each host, and the keyring of all; the authority's root."""
    vault, authority, now = Vault(places), Authority(places, "bench"), time.time()
    vault.open()
    certificates, told = [], time.monotonic()
    for number, host in enumerate(hosts):
        certificates.append(vault.publish(host, authority.issue((host,), now), "internal"))
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"  {number + 1:,} of {len(hosts):,} certificates", flush=True)
    vault.write_keyring(Keyring(tuple(certificates)))
    return places.tls / "internal/root.pem"


def start_figures(few: Started, many: Started) -> Iterator[Figure]:
    """The start with many beside that with one: a worker that loaded them would have grown."""
    yield Figure("start until ready, one certificate", f"{few.ready_s:,.2f} s")
    yield Figure("start until ready, all", f"{many.ready_s:,.2f} s")
    yield Figure("RSS of the worker, one certificate", f"{few.rss / MIB:,.2f} MiB")
    yield Figure("RSS of the worker, all", f"{many.rss / MIB:,.2f} MiB")
    each = (many.rss - few.rss) / len(many.hosts) / KIB
    yield Figure("RSS of each that nobody asked for", f"{each:,.2f} KiB")


# Handshakes


def visit_figures(node: Started, visits: int) -> Iterator[Figure]:
    """The first handshake of some names, one after another, and the second one."""
    port, context = node.server.tls_port, node.client
    first, *others = node.hosts
    for _ in range(50):
        shake_hands(port, context, first)  # what the first handshakes of a process cost it
    [worker] = workers_of(node.server)
    before = memory_of(worker)[1]
    chosen = random.Random(20260727).sample(others, visits)
    cold = [shake_hands(port, context, host) for host in chosen]
    grown = memory_of(worker)[1] - before
    warm = [shake_hands(port, context, host) for host in chosen]
    yield Figure("first handshake of a name, median", f"{median(cold) * 1000:,.2f} ms")
    yield at_most("first handshake of a name, p99", percentile(cold, 0.99) * 1000, 5, "ms")
    yield Figure("second handshake of a name, median", f"{median(warm) * 1000:,.2f} ms")
    yield Figure("second handshake of a name, p99", f"{percentile(warm, 0.99) * 1000:,.2f} ms")
    yield Figure("RSS of each that was asked for", f"{grown / visits / KIB:,.2f} KiB")


def shake_hands(port: int, context: ssl.SSLContext, host: str) -> float:
    """
    Seconds of a full handshake that shows a certificate for `host`, the client's part in them.

    Raises:
        NotStarted: It failed.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        began = time.perf_counter()
        try:
            with context.wrap_socket(connection, server_hostname=host):
                return time.perf_counter() - began
        except OSError as error:
            raise NotStarted(f"no handshake for {host}: {error}") from error
