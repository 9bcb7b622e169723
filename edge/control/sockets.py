"""
The sockets that a node listens on: had from whoever has them, else bound.

Laws: a worker has its own socket for each address (SO_REUSEPORT), but for one that systemd gave,
which all share. In a process a socket is open exactly if it accepts from it, or gives it to its
children: a queue that nobody serves must not be kept open.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from edge.errors import EdgeError
from edge.node.orders import Listeners
from edge.site.settings import Listen

log = logging.getLogger("edge.sockets")

BACKLOG: Final = 4096
"""Connections that wait in a socket while its worker is replaced; the kernel's own cap is lower."""

ADMIN: Final = -1
"""In place of a worker's slot."""

REMEDIES: Final = {
    errno.EADDRINUSE: "see who has it with `ss -ltnp`, or change `listen` in edge.yml",
    errno.EADDRNOTAVAIL: "this machine has no such address (`ip address`): change `listen`",
    errno.EACCES: "ports below 1024 need a right: let systemd give it, or take another",
}
"""What to do where an address cannot be had, by the system's word."""

Entry = tuple[int, str, socket.socket]
"""Slot, name (`http 127.0.0.1:8080`) and socket."""


class Sockets:
    """Those of one node, by worker."""

    def __init__(self, listen: Listen, workers: int) -> None:
        self._listen = listen
        self.slots = [Listeners() for _ in range(workers)]
        self.admin = Listeners()

    def names(self) -> list[str]:
        """What each worker listens on."""
        clear = [f"http {address}" for address in self._listen.http]
        return clear + [f"https {address}" for address in self._listen.https]

    def entries(self) -> Iterator[Entry]:
        """All that are open here."""
        for slot, listeners in enumerate(self.slots):
            yield from ((slot, name, listener) for name, listener in listeners.entries)
        yield from ((ADMIN, name, listener) for name, listener in self.admin.entries)

    def close_all_but(self, own: Listeners | None) -> None:
        """Close what others accept from."""
        for listeners in (*self.slots, self.admin):
            if listeners is not own:
                listeners.close()

    # From others

    def adopt(self, entries: Iterable[Entry]) -> None:
        """Take what another parent, or its orphans, had; what is not listened on any more goes."""
        names = {address_of(name): name for name in self.names()}
        for slot, name, listener in entries:
            address = address_of(name)
            if name.startswith("admin "):
                if address == self._listen.admin and not self.admin.entries:
                    self.admin.add(name, listener)
                    continue
            elif address in names:  # what is spoken there may be another from now on
                self.slots[slot % len(self.slots)].add(names[address], listener)
                continue
            listener.close()

    def take_given(self, given: Iterable[tuple[str, socket.socket]]) -> None:
        """Take what systemd gave, for the addresses that the sockets are bound to."""
        for called, listener in given:
            places = {place_of(address_of(name)): name for name in self.names()}
            bound = bound_to(listener)
            name = next((places[each] for each in bound if each in places), None)
            listener.setblocking(False)  # noqa: FBT003  (the socket API's own)
            if name is not None:
                for slot in self.slots:
                    if name not in slot.names():
                        slot.add(name, listener.dup())
            elif place_of(self._listen.admin) in bound and not self.admin.entries:
                self.admin.add(f"admin {self._listen.admin}", listener.dup())
            else:
                told = bound[0] if bound else "no address"
                log.warning("the socket %s (%s) is given, and `listen` has it not", called, told)
            listener.close()

    # Bound here

    def bind(self, *, quietly: bool = False) -> None:
        """
        Have a socket for every worker and address that has none yet.

        Where it is done `quietly` they do not listen: another node still does, and connections
        would come to who may never serve them. Workers listen when they begin to accept.

        Raises:
            EdgeError: an address is taken, or not ours.
        """
        for name in self.names():
            address = address_of(name)
            lacking = [slot for slot in self.slots if name not in slot.names()]
            if len(lacking) == len(self.slots):
                bind(address, shared=False).close()  # SO_REUSEPORT would share with a stranger
            shared = self._unshareable(name)
            for slot in lacking:
                slot.add(name, shared.dup() if shared else bind(address, listens=not quietly))
        if not self.admin.entries:
            address = self._listen.admin
            self.admin.add(f"admin {address}", bind(address, shared=False, listens=not quietly))

    def _unshareable(self, name: str) -> socket.socket | None:
        """A socket of that name beside which no other can be bound: all use this one."""
        for slot in self.slots:
            for known, listener in slot.entries:
                if known == name and not listener.getsockopt(
                    socket.SOL_SOCKET, socket.SO_REUSEPORT
                ):
                    return listener
        return None


def address_of(name: str) -> str:
    """`127.0.0.1:8080` of `http 127.0.0.1:8080`."""
    return name.partition(" ")[2]


def place_of(address: str) -> tuple[str, int]:
    """One spelling for each address: (host or path, port)."""
    if address.startswith("unix:"):
        return str(Path(address[5:]).absolute()), 0
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    return str(ipaddress.ip_address(host)), int(port)


def bound_to(listener: socket.socket) -> list[tuple[str, int]]:
    """Where a socket listens; `[::]` may have IPv4 as well."""
    if listener.family == socket.AF_UNIX:
        return [(str(listener.getsockname()), 0)]
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return []
    host, port = listener.getsockname()[:2]
    places = [(str(ipaddress.ip_address(host.partition("%")[0])), port)]
    if listener.family == socket.AF_INET6 and host == "::":
        only_6 = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        places += [] if only_6 else [("0.0.0.0", port)]  # noqa: S104  (compared, not bound)
    return places


def bind(address: str, *, shared: bool = True, listens: bool = True) -> socket.socket:
    """
    A socket at `host:port`, `[v6]:port` or `unix:PATH`.

    `shared` sets SO_REUSEPORT: each worker has its own queue (one shared listener split 64
    connections 59/5 between two workers, own ones 36/28).

    Raises:
        EdgeError: the address is taken or not ours, with what to do.
    """
    try:
        if address.startswith("unix:"):
            return _bind_unix(address[5:])
        return _bind(address, shared, listens)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "change `listen` in edge.yml")
        raise EdgeError(f"cannot listen on {address}: {error.strerror}; {remedy}") from error


def _bind(address: str, shared: bool, listens: bool) -> socket.socket:  # noqa: FBT001  (private)
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return _bound(listener, (host.strip("[]"), int(port)), listens)


def _bind_unix(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    listener = _bound(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path, listens=True)
    Path(path).chmod(0o600)
    return listener


def _bound(
    listener: socket.socket,
    address: str | tuple[str, int],
    listens: bool,  # noqa: FBT001  (private)
) -> socket.socket:
    try:
        listener.bind(address)
        if listens:
            listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003  (the socket API's own)
    return listener
