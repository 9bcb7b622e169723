"""
The parent: the lock, the sockets, fork, reap, replace, hand over.

Laws: one thread, no loop, and nothing of control imported but what locks, binds, forks, watches and
passes on: it has to outlive every mistake of the rest. It holds every listening socket, so that a
worker that dies loses no queued connection, and it never touches content. A child that hangs is
ended and replaced as one that died (`pulse`). When the parent dies, workers serve on; the next one
takes the sockets from them. While it lives, the next one takes them from it (`handover`), and who
waits for the first of them waits for the last (`waiter`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from edge.control import handover, orphans, signals, systemd, waiter
from edge.control.children import Child, Children
from edge.control.durable import try_lock
from edge.control.handover import Inheritance, Predecessor, Successor
from edge.control.pulse import Pulse
from edge.control.sockets import Sockets
from edge.errors import EdgeError
from edge.node import orders
from edge.node.tls import listener_context
from edge.site.places import Places
from edge.site.settings import Settings

log = logging.getLogger("edge.parent")

READY_SECONDS = 30.0
"""Seconds that new processes may take until they serve."""

FATAL_DEATHS = 3
"""Deaths of children after which a new version is given up before that."""

RELOAD_SECONDS = 60.0
"""Seconds after which a reload counts as over, for whoever was told that it began."""

TICK, QUICK = 1.0, 0.05
"""Seconds between two looks, and where something is awaited."""


class Parent:
    """Keeps a node's processes running until told to stop, or until another does."""

    def __init__(
        self,
        places: Places,
        settings: Settings,
        config: Path | None,
        inheritance: Inheritance | None = None,
    ) -> None:
        self._places = places
        self._settings = settings
        self._config = config
        self._inheritance = inheritance
        self._workers = worker_count(settings)
        self._sockets = Sockets(settings.listen, self._workers)
        self._children = Children()
        self._pulse = Pulse(places.run)
        self._next_look = 0.0
        """When children are looked at again, in monotonic seconds."""
        self._lock = -1
        self._stopping = False
        self._waits = inheritance is not None
        """Whether children wait for a word before they accept anything."""
        self._before: tuple[Predecessor, list[tuple[int, Path]]] | None = None
        """Who served before and has not ended yet, and the processes that it had."""
        self._successor: Successor | None = None
        self._heir = 0
        """The parent that serves instead of this one."""
        self._ended: dict[int, int] = {}
        """Status of processes that are no children of a node's, parents that came after."""
        self._reloading: tuple[int, float] | None = None
        """Reloads that control had made when one more was asked for, and until when it counts."""
        self._watchdog = systemd.watchdog_s()
        self._stays = waiter.is_needed()
        """Whether somebody waits for this very process, whoever serves."""
        self._context = listener_context()
        """Of all TLS listeners: workers that inherit it resume each other's sessions."""

    def run(self, announce: Callable[[], None]) -> int:
        """
        The life of a node; returns its exit code. `announce` is called when it serves.

        Raises:
            EdgeError: another node runs on this state folder, an address is taken, or this one was
                to take over and cannot.
        """
        self._places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        signals.block()
        if self._inheritance is None:
            self._begin()
        else:
            self._take_over(self._inheritance)
        if not self._stopping:
            systemd.notify("READY=1", f"STATUS={len(self._sockets.slots)} workers serve")
            announce()
        self._keep()
        os.close(self._lock)
        if self._heir and self._stays and self._inheritance is None:
            return waiter.accompany(self._heir, self._places, self._ended)
        return 0

    def _begin(self) -> None:
        """Where no node runs: with the sockets of its orphans, if it has left some."""
        lock = try_lock(self._places.lock)
        if lock is None:
            raise EdgeError(
                f"a node already runs on {self._places.state}; "
                f"stop it, or give this one another `state` in edge.yml; "
                f"`edge upgrade` puts a new version in its place"
            )
        self._lock = lock
        handover.sign(lock)
        workers = orders.peers(self._places.run, "worker")
        orders.peers(self._places.run, "store")  # what those who were killed have left
        self._sockets.adopt(orphans.sockets_of(self._places.run, workers))
        self._sockets.take_given(systemd.given())
        self._sockets.bind()
        self._start()
        if self._wait_for(self._all_serve):
            log.warning("not every worker serves after %s s", READY_SECONDS)
        orphans.dismiss(workers)

    def _take_over(self, inheritance: Inheritance) -> None:
        """
        Beside a node that serves: be ready, then serve in its place.

        Raises:
            EdgeError: that did not come about, and it has been said why.
        """
        self._lock = inheritance.lock
        before = Predecessor()
        try:
            others = orphans.found(self._places.run)
            self._get_ready(inheritance)
        except Exception as error:
            self._give_up()
            inheritance.tell(f"failed: {error}")
            raise
        self._waits = False
        for path in self._own("worker", "control"):
            with contextlib.suppress(OSError):  # who has died meanwhile is replaced
                orders.ask(path, {"do": "listen"})
        handover.sign(self._lock)
        inheritance.tell("ready")
        self._before = before, others
        self._look_at_predecessor()

    def _look_at_predecessor(self) -> None:
        """One that was killed has left processes, though it may have been told: nobody heard."""
        if self._before is None or not self._before[0].has_ended():
            return
        (before, others), self._before = self._before, None
        before.close()
        left = orphans.found(self._places.run, self._children.pids())
        if left := [each for each in left if each in others]:
            log.warning("the node before has died meanwhile; its orphans are drained")
            systemd.notify(f"MAINPID={os.getpid()}")
            orphans.dismiss(left)

    def _get_ready(self, inheritance: Inheritance) -> None:
        self._sockets.adopt(inheritance.entries)
        self._sockets.bind(quietly=True)
        self._start()
        if reason := self._wait_for(self._all_are_ready):
            raise EdgeError(reason)

    def _give_up(self) -> None:
        """End the children, who have accepted nothing."""
        self._children.are_leaving = True
        self._children.signal(signal.SIGTERM)
        deadline = time.monotonic() + handover.GRACE_S
        while self._children.pids():
            signals.wait(QUICK)
            self._reap()
            if time.monotonic() > deadline:
                self._children.signal(signal.SIGKILL)

    # Processes

    def _start(self) -> None:
        own = os.getpid()  # asked for before the fork: it may be gone when its child asks

        def control() -> None:
            self._leave_to_parent()
            self._sockets.close_all_but(self._sockets.admin)
            from edge.control import admin  # noqa: PLC0415  (the parent stays without it)

            waits_for = own if self._waits else None
            admin.run(self._places, self._config, self._sockets.admin, waits_for)

        self._children.all.append(Child("control", control))
        for slot in range(self._workers):
            self._children.all.append(Child("worker", self._worker(slot)))
        self._children.start()

    def _worker(self, slot: int) -> Callable[[], None]:
        family = os.getpid()

        def work() -> None:
            self._leave_to_parent()
            own = self._sockets.slots[slot]
            self._sockets.close_all_but(own)
            from edge.node import machine, worker  # noqa: PLC0415  (the parent stays without)

            team = machine.Team(self._workers, slot, family, waits=self._waits)
            worker.run(self._places, own, team, self._context)

        return work

    def _leave_to_parent(self) -> None:
        """In a child: close what is the parent's alone."""
        os.close(self._lock)
        self._pulse.close()
        if self._inheritance is not None:
            self._inheritance.close()

    # Readiness

    def _wait_for(self, condition: Callable[[], bool]) -> str:
        """Wait until it is so; why it is not."""
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            self._handle(signals.wait(0.02))
            if self._stopping:
                return "it was told to stop"
            self._children.restart_due()
            if self._waits and self._children.deaths >= FATAL_DEATHS:
                return "its processes keep dying; the node's log says why"
            if time.monotonic() > deadline:
                return f"not every worker serves after {READY_SECONDS:g} s"
        return ""

    def _all_serve(self) -> bool:
        return all(orphans.status_of(path).get("generation") for path in self._own("worker"))

    def _all_are_ready(self) -> bool:
        """Control too, which answers no question about generations."""
        return self._all_serve() and all(map(orphans.status_of, self._own("control")))

    def _own(self, *kinds: str) -> list[Path]:
        """Where the children of these kinds take orders."""
        run = self._places.run
        return [
            run / f"{child.name}-{child.pid}.sock"
            for child in self._children.all
            if child.name in kinds
        ]

    # Keeping

    def _keep(self) -> None:
        """Reap, replace, pass signals on, until all children of a stopping node are gone."""
        deadline = 0.0
        while not self._stopping or self._children.pids():
            self._handle(signals.wait(self._tick()))
            if not self._stopping:
                self._children.restart_due()
                self._look_at_children()
                self._look_at_predecessor()
                self._look_at_successor()
                self._look_at_reload()
                if self._watchdog is not None:
                    systemd.notify("WATCHDOG=1", patience_s=0.0)
                continue
            deadline = deadline or time.monotonic() + self._settings.limits.drain + 5
            if time.monotonic() > deadline:
                self._children.signal(signal.SIGKILL)

    def _look_at_children(self) -> None:
        """One that hangs is ended; then it is replaced as any that has died."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + TICK - QUICK  # or every other tick would come too early
        names = self._children.names()
        for pid in self._pulse.silent(names):
            log.error("%s %s does not answer any more and is ended", names[pid], pid)
            os.kill(pid, signal.SIGKILL)  # a child that nobody has reaped: the number is its own

    def _tick(self) -> float:
        if self._successor is not None or self._reloading is not None:
            return QUICK
        return min(TICK, self._watchdog or TICK)

    def _handle(self, caught: int | None) -> None:
        self._reap()
        if caught is None or caught == signal.SIGCHLD:
            return
        if self._heir:
            waiter.pass_on(caught, self._heir, self._places)
            return
        match caught:
            case signal.SIGTERM | signal.SIGINT:
                systemd.notify("STOPPING=1")
                if self._successor is not None:
                    waiter.forward(self._successor.pid, signal.SIGTERM)
                    self._successor.report("the node was told to stop")
                self._leave()
            case signal.SIGHUP:
                self._reload()
            case signal.SIGUSR1:
                self._children.signal(signal.SIGUSR1)
            case signal.SIGUSR2:
                self._upgrade()

    def _leave(self) -> None:
        self._stopping = self._children.are_leaving = True
        self._sockets.close_all_but(None)
        self._children.signal(signal.SIGTERM)

    def _reap(self) -> None:
        self._ended |= dict(self._children.reap())

    # Reload

    def _reload(self) -> None:
        """Pass it on; the manager, where there is one, hears when it is over."""
        if systemd.is_told():
            systemd.notify(*systemd.reloading())
            self._reloading = self._reloads(), time.monotonic() + RELOAD_SECONDS
        self._children.signal(signal.SIGHUP, "control")

    def _look_at_reload(self) -> None:
        if self._reloading is not None:
            before, until = self._reloading
            if self._reloads() > before or time.monotonic() > until:
                systemd.notify("READY=1")
                self._reloading = None

    def _reloads(self) -> int:
        return max(
            (orphans.status_of(path).get("reloads", 0) for path in self._own("control")), default=0
        )

    # The next parent

    def _upgrade(self) -> None:
        """Start the next parent, unless one is just starting."""
        request = handover.requested(self._places)
        successor = Successor(self._places, request)
        if self._successor is not None:
            successor.report("another upgrade is under way")
            return
        log.info("the next version starts; this one serves until it does")
        if self._stays:
            waiter.adopt_orphans()
        arguments = ["serve"]
        if self._config is not None:
            arguments += ["--config", str(self._config.absolute())]
        successor.start(arguments, self._lock, self._sockets.entries())
        self._successor = successor

    def _look_at_successor(self) -> None:
        successor = self._successor
        if successor is None:
            return
        word = successor.poll()
        if word is None:
            return
        self._successor = None
        successor.report(word)
        successor.close()
        if word:
            log.error("this version serves on, for the next one cannot: %s", word)
            handover.sign(self._lock)
            orphans.dismiss(orphans.found(self._places.run, self._children.pids()))
        else:
            log.info("process %s serves; this one ends when its requests have", successor.pid)
            if not self._stays:
                systemd.notify(f"MAINPID={successor.pid}")
            self._heir = successor.pid
            self._leave()


def worker_count(settings: Settings) -> int:
    """Workers to run: one a core this process may use, or what the operator says."""
    if settings.workers == "auto":
        return len(os.sched_getaffinity(0))
    return int(settings.workers)
