"""
The parent: the lock, the sockets, fork, reap, replace, hand over.

Laws: one thread, no loop, and nothing of control imported but what locks: it has to outlive every
mistake of the rest. It holds every listening socket, so that a worker that dies loses no queued
connection, and it never touches content. When it dies, workers serve on; the next parent takes
the sockets from them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge.control.durable import try_lock
from edge.errors import EdgeError
from edge.node import orders
from edge.node.orders import Listeners
from edge.node.tls import listener_context
from edge.site.places import Places
from edge.site.settings import Settings

log = logging.getLogger("edge.parent")

WAITED_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

READY_SECONDS = 30.0
"""How long new workers may take to serve before old ones are told to drain all the same."""

BACKLOG = 4096
"""Connections that wait in a socket while its worker is replaced; the kernel's own cap is lower."""

LONGEST_BACKOFF = 30.0
"""Seconds between two starts of a child that keeps dying at once."""

STEADY_SECONDS = 10.0
"""A child that lived this long did not fail to start: its next replacement comes at once."""


class Child:
    """One process to keep alive."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.pid = 0
        self.started = 0.0
        self.backoff = 0.0
        self.due = 0.0
        """When it is started again, in monotonic seconds."""


class Parent:
    """Keeps a node's processes running until told to stop."""

    def __init__(self, places: Places, settings: Settings, config: Path | None) -> None:
        self._places = places
        self._settings = settings
        self._config = config
        self._workers = worker_count(settings)
        self._slots = [Listeners() for _ in range(self._workers)]
        self._admin = Listeners()
        self._children: list[Child] = []
        self._stopping = False
        self._context = listener_context()
        """Of all TLS listeners: workers that inherit it resume each other's sessions."""
        self.restarts = 0
        """Workers that died and were replaced."""

    def run(self, announce: Callable[[], None]) -> int:
        """
        The life of a node; returns its exit code. `announce` is called when it serves.

        Raises:
            EdgeError: another node runs on this state folder, or an address is taken.
        """
        self._places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = try_lock(self._places.lock)
        if lock is None:
            raise EdgeError(
                f"a node already runs on {self._places.state}; "
                f"stop it, or give this one another `state` in edge.yml"
            )
        signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_SIGNALS)
        orphans = orders.peers(self._places.run, "worker")
        orders.peers(self._places.run, "store")  # what those who were killed have left
        self._inherit(orphans)
        self._bind()
        self._start(lock)
        self._wait_until_serving()
        self._dismiss(orphans)
        announce()
        self._keep()
        os.close(lock)
        return 0

    # Sockets

    def _inherit(self, orphans: list[tuple[int, Path]]) -> None:
        """Take the listening sockets of workers and control that outlived their parent."""
        for pid, path in orders.peers(self._places.run, "control"):
            with contextlib.suppress(OSError):
                self._admin.entries += orders.take_listeners(path).entries
                orders.ask(path, {"do": "drain"})
            wait_for_end(pid)
        taken = []
        for pid, path in orphans:
            try:
                taken += orders.take_listeners(path).entries
            except OSError:
                log.warning("worker %s of the node before is silent and is ended", pid)
                wait_for_end(pid, timeout_s=0.0)
        names = {name.partition(" ")[2]: name for name in self._names()}
        for index, (name, listener) in enumerate(taken):
            address = name.partition(" ")[2]
            if address in names:  # what is spoken there may be another from now on
                self._slots[index % self._workers].add(names[address], listener)

    def _names(self) -> list[str]:
        listen = self._settings.listen
        clear = [f"http {address}" for address in listen.http]
        return clear + [f"https {address}" for address in listen.https]

    def _bind(self) -> None:
        """A socket of its own for every worker and address that has none yet."""
        for name in self._names():
            address = name.partition(" ")[2]
            lacking = [slot for slot in self._slots if name not in slot.names()]
            if len(lacking) == self._workers:
                bind(address, shared=False).close()  # SO_REUSEPORT would share with a stranger
            for slot in lacking:
                slot.add(name, bind(address, shared=True))
        address = self._settings.listen.admin
        self._admin.entries = [e for e in self._admin.entries if e[0] == f"admin {address}"][:1]
        if not self._admin.entries:
            self._admin.add(f"admin {address}", bind(address, shared=False))

    # Processes

    def _start(self, lock: int) -> None:
        def control() -> None:
            os.close(lock)
            self._close_all_but(self._admin)
            from edge.control import admin  # noqa: PLC0415  (the parent stays without it)

            admin.run(self._places, self._config, self._admin)

        self._children.append(Child("control", control))
        for slot in range(self._workers):
            self._children.append(Child("worker", self._worker(slot, lock)))
        for child in self._children:
            self._fork(child)

    def _worker(self, slot: int, lock: int) -> Callable[[], None]:
        family = os.getpid()

        def work() -> None:
            os.close(lock)
            self._close_all_but(self._slots[slot])
            from edge.node import machine, worker  # noqa: PLC0415  (the parent stays without)

            team = machine.Team(self._workers, slot, family)
            worker.run(self._places, self._slots[slot], team, self._context)

        return work

    def _close_all_but(self, own: Listeners) -> None:
        """
        In a child: a socket that nobody here accepts from must not be kept open here.

        Its queue would fill with clients whom nobody serves once its owner is gone.
        """
        for listeners in (*self._slots, self._admin):
            if listeners is not own:
                listeners.close()

    def _fork(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child.started = time.monotonic()
        child.pid = os.fork()
        if child.pid == 0:
            self._become(child)

    def _become(self, child: Child) -> None:
        """In the child: clean signals, do the work, leave without the parent's stack."""
        for number in WAITED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to pass on
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED_SIGNALS)
        code = 0
        try:
            child.work()
        except Exception:
            log.exception("%s ended", child.name)
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _wait_until_serving(self) -> None:
        """Until every new worker has taken its sockets, or the deadline."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and not self._stopping:
            if all(self._serves(child) for child in self._children if child.name == "worker"):
                return
            self._handle(signal.sigtimedwait(WAITED_SIGNALS, 0.02))
        log.warning("not every worker serves after %s s", READY_SECONDS)

    def _serves(self, child: Child) -> bool:
        path = self._places.run / f"worker-{child.pid}.sock"
        try:
            return bool(orders.ask(path, {"do": "status"}, 1.0).get("generation"))
        except OSError:
            return False

    def _dismiss(self, orphans: list[tuple[int, Path]]) -> None:
        """The workers of the parent before: finish what is under way, then end."""
        for _, path in orphans:
            with contextlib.suppress(OSError):
                orders.ask(path, {"do": "drain"})

    def _keep(self) -> None:
        """Reap, replace, pass signals on, until all children of a stopping node are gone."""
        deadline = 0.0
        while not self._stopping or any(child.pid for child in self._children):
            self._handle(signal.sigtimedwait(WAITED_SIGNALS, 1.0))
            if not self._stopping:
                self._restart_due()
                continue
            deadline = deadline or time.monotonic() + self._settings.limits.drain + 5
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)

    def _handle(self, caught: signal.struct_siginfo | None) -> None:
        self._reap()
        if caught is None:
            return
        if caught.si_signo in (signal.SIGTERM, signal.SIGINT):
            self._stopping = True
            for listeners in (*self._slots, self._admin):
                listeners.close()
            self._signal(signal.SIGTERM)
        elif caught.si_signo == signal.SIGHUP:
            self._signal(signal.SIGHUP, "control")

    def _signal(self, number: int, name: str | None = None) -> None:
        for child in self._children:
            if child.pid and name in (None, child.name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, number)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                for child in self._children:
                    if child.pid == pid:
                        self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        """Plan the replacement: at once, or with a growing pause if it keeps dying."""
        now = time.monotonic()
        if not self._stopping:
            reason = os.waitstatus_to_exitcode(status)
            log.warning("%s %s ended (%s) and is replaced", child.name, child.pid, reason)
            self.restarts += child.name == "worker"
        steady = now - child.started > STEADY_SECONDS
        child.backoff = 0.0 if steady else min(LONGEST_BACKOFF, child.backoff * 2 or 0.1)
        child.due = now + child.backoff
        child.pid = 0

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if not child.pid and child.due <= now:
                self._fork(child)


def worker_count(settings: Settings) -> int:
    """Workers to run: one a core this process may use, or what the operator says."""
    if settings.workers == "auto":
        return len(os.sched_getaffinity(0))
    return int(settings.workers)


def wait_for_end(pid: int, timeout_s: float = 5.0) -> None:
    """Wait for another parent's child to end; kill it, and no other, after `timeout_s`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], timeout_s)
        if not ended:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)


def bind(address: str, *, shared: bool) -> socket.socket:
    """
    A listening socket at `host:port`, `[v6]:port` or `unix:PATH`.

    `shared` sets SO_REUSEPORT: each worker has its own queue (one shared listener split 64
    connections 59/5 between two workers, own ones 36/28).

    Raises:
        EdgeError: the address is taken or not ours, with what to do.
    """
    try:
        return _bind_unix(address[5:]) if address.startswith("unix:") else _bind(address, shared)
    except OSError as error:
        raise EdgeError(
            f"cannot listen on {address}: {error.strerror}; "
            f"see who has it with `ss -ltnp`, or change `listen` in edge.yml"
        ) from error


def _bind(address: str, shared: bool) -> socket.socket:  # noqa: FBT001  (private to `bind`)
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return _listening(listener, (host.strip("[]"), int(port)))


def _bind_unix(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    listener = _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)
    Path(path).chmod(0o600)
    return listener


def _listening(listener: socket.socket, address: str | tuple[str, int]) -> socket.socket:
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    listener.setblocking(False)  # noqa: FBT003  (the socket API's own)
    return listener
