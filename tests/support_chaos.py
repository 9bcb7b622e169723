"""
`kill -9` at random points of changes of a real node, and what has to hold afterwards.

A round is a change, a victim and an instant. Afterwards the node heals itself, or is started again
where its parent died; then the old or the new serves, whole, on both workers, everything that is
named is there and has its bytes, keys and certificates go together, and no line of the log is torn.
The first thing that does not hold ends it with an AssertionError that names the round.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from edge.control.backup import back_up
from edge.control.backup_format import Folders
from edge.control.changes import Changes
from edge.control.deployments import LEASE
from edge.errors import EdgeError
from edge.site.places import Places
from tests.support import EDGE, Node, eventually, write_tree
from tests.support_client import deploy, open_client
from tests.support_control import age
from tests.support_logs import lines_of

HOST = "main.site.edge.localhost"
VICTIMS = ("control", "control", "worker", "worker", "command", "command", "parent", "everything")
SETTINGS = "tls: {redirect_http: false}\naccess_log: {rotate: 16KiB, max_total: 1MiB}\n"
PADDING = 200
"""Requests of the change that fills the log; one in ten of these turns it over."""

STEADY = """
import sys
from edge.control import children
children.STEADY_SECONDS = 0.0
from edge.cli import main
sys.exit(main(["serve"]))
"""
"""`edge serve` that does not hesitate to replace a child, however often it is killed."""


class Round(NamedTuple):
    """What was done."""

    change: str
    victim: str
    delay: float
    """Seconds from the change's beginning to the kill."""
    went_through: bool
    """Whether whoever asked for the change was told so."""


class Victim(Node):
    """A node that is killed again and again."""

    def command(self) -> list[str]:
        """Without pauses between deaths."""
        return [sys.executable, "-c", STEADY]


class Quiet:
    """Nobody is told of a backup."""

    def phase(self, *_: object) -> None:
        """Another part begins."""

    def advance(self, *_: object) -> None:
        """Some bytes are through."""


class Chaos:
    """A node, what it may serve by now, and the dice."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.node = Victim(folder, 2, SETTINGS, is_secure=True)
        self.places = Places(folder / "var")
        self.rounds: list[Round] = []
        self._chance = random.Random(seed)
        self._versions: dict[str, int] = {}
        """Of deployments that have served."""
        self._newest = 0
        self._serves: set[int] = {0}
        """Versions that may be served now."""
        self._leads: set[int] = {0}
        """Numbers that the rule of `/r` may lead to now."""
        self._root = b""
        """The authority that clients trust."""
        self._took: dict[str, float] = {}
        """Seconds that each change takes where nobody disturbs it."""

    def start(self) -> None:
        """Two deployments, a rule and a certificate."""
        self.node.start()
        for change in (self._deploy, self._deploy, self._reload, self._renew, self._fill_log):
            began = time.monotonic()
            assert change(is_command=False)(), f"{change.__name__} without a kill"
            self._took[change.__name__] = time.monotonic() - began
        eventually(self._is_secure)
        self._root = self._authority().read_bytes()
        self.check()

    def round(self) -> Round:
        """One change, one kill, and everything that has to hold."""
        changes = (self._deploy, self._activate, self._roll_back, self._reload)
        others = (self._purge, self._renew, self._fill_log)
        change = self._chance.choice((*changes, *changes, *others))
        victim = self._chance.choice(VICTIMS)
        delay = self._chance.uniform(0.0, 1.2 * self._took.get(change.__name__, 0.3))
        done = Round(change.__name__.strip("_"), victim, delay, went_through=False)
        try:
            done = done._replace(went_through=self._disturb(change, victim, delay))
            self._heal()
            self.check()
            self._narrow(victim)
        except Exception as error:
            raise AssertionError(f"round {len(self.rounds)}: {done}: {error}") from error
        self.rounds.append(done)
        return done

    def _disturb(self, change: Callable[..., Any], victim: str, delay: float) -> bool:
        """Begin a change, kill in the middle of it; whether it went through all the same."""
        if victim == "command":
            process = change(is_command=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay + self._took.setdefault("command", 0.5))
            process.kill()
            went_through = process.wait() == 0
            eventually(self._settles)
            return went_through
        results: list[bool] = []
        make = change(is_command=False)
        thread = threading.Thread(target=lambda: results.append(make()))
        thread.start()
        thread.join(delay)
        self._kill(victim)
        thread.join()
        return results == [True]

    def _kill(self, victim: str) -> None:
        node = self.node
        assert node.process is not None
        if victim in ("parent", "everything"):
            node.process.kill()
            node.process.wait()
        doomed = {
            "control": node.pids("control"),
            "worker": node.pids("worker")[:1],
            "everything": node.pids("control") + node.pids("worker"),
        }
        for pid in doomed.get(victim, []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _heal(self) -> None:
        node = self.node
        assert node.process is not None
        if node.process.poll() is not None:
            node.start()
        eventually(node.is_ready, 60)
        eventually(lambda: self._is_complete() and self._follows(), 60)

    def _is_complete(self) -> bool:
        return len(self.node.pids("worker")) == 2 and len(self.node.pids("control")) == 1

    def _follows(self) -> bool:
        """Whether both workers serve what `current` names: they look at it once a second."""
        with (
            contextlib.closing(open_client(self.node)) as client,
            contextlib.suppress(OSError, EdgeError, http.client.HTTPException),
        ):
            numbers = [worker["generation"] for worker in client.status()["workers"]]
            return numbers == [int(self.places.current.readlink().name)] * 2
        return False

    def _settles(self) -> bool:
        """Let a change end whose command was killed: the node makes it, and a reload waits."""
        return self._asking(lambda client: [client.reload(), client.reload()])()

    # Changes: each gives a process of the command line, or a function that says whether it is done

    def _deploy(self, *, is_command: bool) -> Any:
        self._newest += 1
        number, files = self._newest, files_of(self._newest)
        self._serves |= {number}
        if is_command:
            folder = write_tree(self.node.folder / f"v{number}", files)
            return self._command("deploy", folder, "--app", "site", "--branch", "main")
        return self._asking(
            lambda client: self._note(deploy(client, self.node, f"v{number}", files), number)
        )

    def _activate(self, *, is_command: bool) -> Any:
        identifier = self._chance.choice(sorted(self._versions)[-5:])
        number = self._versions[identifier]
        self._serves |= {number}
        if is_command:
            return self._command("activate", identifier)
        return self._asking(lambda client: self._note(client.activate(identifier), number))

    def _roll_back(self, *, is_command: bool) -> Any:
        self._serves |= set(self._versions.values())
        if is_command:
            return self._command("rollback", "--app", "site", "--branch", "main")
        return self._asking(
            lambda client: self._note(client.rollback("site", "main"), None),
        )

    def _note(self, answer: dict[str, Any], number: int | None) -> None:
        """It serves: nothing else may be served from now on."""
        found = self._versions.get(answer["id"], number)
        if found is not None:
            self._versions[answer["id"]] = found
            self._serves = {found}

    def _reload(self, *, is_command: bool) -> Any:
        number = max(self._leads) + 1
        rules = [{"source": "/r", "target": f"/to-{number}", "status": "302"}]
        folder = self.node.folder / "rules" / "site"
        new = folder / "redirects.new"
        new.write_text(json.dumps(rules))
        new.replace(folder / "redirects.json")
        self._leads |= {number}

        def reload(client: Any) -> None:
            client.reload()
            self._leads = {number}

        return self._command("reload") if is_command else self._asking(reload)

    def _purge(self, *, is_command: bool) -> Any:
        if is_command:
            return self._command("purge", "--all")
        return self._asking(lambda client: client.purge({"all": True}))

    def _renew(self, *, is_command: bool) -> Any:
        if is_command:
            return self._command("certs", "--renew", HOST)
        return self._asking(lambda client: client.renew(HOST))

    def _fill_log(self, *, is_command: bool) -> Any:
        """Requests that turn the log over some times, and the signal to open it anew."""
        assert self.node.process is not None
        self.node.process.send_signal(signal.SIGUSR1)
        if is_command:
            return self._command("logs")

        def fill(_: object) -> None:
            for number in range(PADDING):
                self.node.get(f"/{number}?{'x' * 200}")

        return self._asking(fill)

    def _command(self, *arguments: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [EDGE, *map(str, arguments)],
            cwd=self.node.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _asking(self, change: Callable[[Any], object]) -> Callable[[], bool]:
        def ask() -> bool:
            client = open_client(self.node)
            try:
                change(client)
            except (OSError, EdgeError, http.client.HTTPException):
                return False  # the one who was asked has died
            finally:
                client.close()
            return True

        return ask

    def _narrow(self, victim: str) -> None:
        """What serves now stays, unless someone who was killed may have asked for more."""
        if victim != "command":
            self._serves = {self._version()[1]}

    def end(self) -> list[Path]:
        """Stop; what is left that nobody names once every lease is over."""
        eventually(self._deploy(is_command=False), 60)
        self.check()
        assert self.node.stop() == 0
        age(self.places.state, 2 * LEASE)
        changes = Changes(self.places, self.node.folder / "edge.yml")
        changes.open()
        changes.collect()
        left = self.places.state.rglob(".tmp-*")
        return [*left, *filter(Path.is_file, self.places.pending.glob("2*"))]

    # What has to hold

    def check(self) -> None:
        """Every promise, after a round."""
        self._check_service()
        self._check_rule()
        back_up(self.places, self._operators(), io.BytesIO(), Quiet())  # reads all that is named
        self._check_documents()
        self._check_keys()
        for line in lines_of(self.places.state / "log" / "access.jsonl"):
            json.loads(line)

    def _check_service(self) -> None:
        """Each deployment is served whole, and both workers serve the same."""
        served = {self._version() for _ in range(8)}
        assert len(served) == 1, f"several versions are served at once: {served}"
        identifier, number = served.pop()
        assert number in self._serves, f"{number} is served, and not one of {self._serves}"
        self._versions[identifier] = number

    def _version(self) -> tuple[str, int]:
        """Deployment and version, by all files of it."""
        found = set()
        for name in files_of(0):
            status, fields, content = self.node.get(f"/{name}", HOST)
            assert status == 200, f"/{name} answers {status}"
            number = int(content.split()[1])
            assert content.decode() == files_of(number)[name], f"/{name} is torn"
            found.add((fields["X-Edge-Deployment"], number))
        assert len(found) == 1, f"files of several deployments: {found}"
        return found.pop()

    def _check_rule(self) -> None:
        """A reload is all or nothing too."""
        leads = {self.node.get("/r", HOST)[1]["Location"] for _ in range(8)}
        assert len(leads) == 1, f"several rules serve at once: {leads}"
        number = int((leads.pop() or "/to-0").rpartition("-")[2])
        assert number in self._leads, f"/r leads to {number}, and not to one of {self._leads}"
        self._leads = {number, max(self._leads)}  # a restart reloads what is written

    def _operators(self) -> Folders:
        return Folders(str(self.node.folder / "rules"), str(self.node.folder / "certs"))

    def _check_documents(self) -> None:
        """No document is half written, whether anything names it or not."""
        state = self.places.state
        for path in [*state.glob("*.json"), *self.places.tls.rglob("*.json")]:
            if not path.name.startswith(".tmp-"):
                json.loads(path.read_bytes())
        for path in self.places.blobs.rglob("*"):
            if path.is_file() and "." not in path.name:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                assert digest == path.name, f"blob {path.name} is torn"

    def _check_keys(self) -> None:
        """Each certificate has its key, and a client that trusts the node's authority gets one."""
        for path in self.places.tls.rglob("*.pem"):
            if "PRIVATE KEY" in path.read_text() and "CERTIFICATE" in path.read_text():
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
        assert self._authority().read_bytes() == self._root, "another authority than before"
        assert self._is_secure(), "no handshake for a name that had a certificate"

    def _authority(self) -> Path:
        return self.places.tls / "internal" / "root.pem"

    def _is_secure(self) -> bool:
        context = ssl.create_default_context(cafile=os.fspath(self._authority()))
        plain = socket.create_connection(("127.0.0.1", self.node.https_port), 30)
        with contextlib.suppress(ssl.SSLError, OSError):
            context.wrap_socket(plain, server_hostname=HOST).close()
            return True
        plain.close()
        return False

    def summary(self) -> dict[str, Counter[str]]:
        """How often each change and each victim came, and how many changes went through."""
        return {
            "changes": Counter(each.change for each in self.rounds),
            "victims": Counter(each.victim for each in self.rounds),
            "went through": Counter(each.change for each in self.rounds if each.went_through),
        }


def files_of(number: int) -> dict[str, str]:
    """A deployment's files: each says in its second word which one it belongs to."""
    return {
        "index.html": f"version {number} <!doctype html>",
        "a.txt": f"a {number} " * 500,
        "large.txt": f"large {number} " * 20_000,
    }
