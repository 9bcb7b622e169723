"""A keeper with an authority to ask: a state folder, a clock, and a worker that answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import yaml

from edge.control.enrollment import Enrollment
from edge.control.keeper import Keeper
from edge.control.resolver import Resolver
from edge.node.tls import asked
from edge.site.certificates import Challenges, Names
from tests.support_acme import AlpnAnswers, HttpAnswers, NameServer, Pebble, Proxy, pebble, serving
from tests.support_control import (
    FakeWorker,
    new_store,
    obedient,
    open_store,
    places_of,
    publish,
    write_app,
)

PEBBLES = 43
"""Characters of pebble's tokens; ours are shorter."""


class Clock:
    """A time that a test sets; from the real one on, which pebble has."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now


class World(msgspec.Struct):
    """What is outside of a node: an authority, a name server, and the two ports it looks at."""

    names: Any
    """A `NameServer`, or what else listens on a port of its own."""
    web: HttpAnswers
    tls: AlpnAnswers
    authority: Pebble


@contextlib.contextmanager
def world(folder: Path, server: Any = None, **settings: Any):
    """A new one, with a name server of its own or another's."""
    with (
        serving(NameServer()) if server is None else contextlib.nullcontext(server) as names,
        serving(HttpAnswers()) as web,
        serving(AlpnAnswers(folder)) as tls,
        pebble(folder, names, web.port, tls.port, **settings) as authority,
    ):
        yield World(names, web, tls, authority)


class Kept:
    """A node's state, its keeper, and a worker that reads what is written for it."""

    def __init__(self, folder: Path, outside: World, between: Proxy, clock: Clock) -> None:
        self.folder = folder
        self.outside = outside
        self.between = between
        self.clock = clock
        self.acme: dict[str, Any] = {
            "directory": between.directory,
            "ca_file": str(outside.authority.ca_file),
            "staging": None,
        }
        self.listen: dict[str, Any] = {
            "https": ["127.0.0.1:8443"],
            "http": ["127.0.0.1:8080"],
            "public": ["127.0.0.1"],
        }
        self.places = places_of(folder)
        self.answered: list[Challenges] = []
        """What the worker was told to answer, each time."""
        self.refuses: list[str] = []
        """Errors that the worker answers with, the next first."""
        self.is_mute = False
        """Whether answers of http-01 come to nobody but ourselves."""
        self.worker: FakeWorker | None = None
        self.keeper: Keeper | None = None
        self.before: list[Keeper] = []

    def configure(self, **acme: Any) -> Kept:
        """Write `edge.yml` with these keys of `tls.acme`."""
        self.acme |= acme
        document = {
            "listen": self.listen,
            "default_domain": "edge.localhost",
            "tls": {"acme": self.acme},
        }
        text = yaml.safe_dump(document)
        if self.keeper is None:
            self.changes = new_store(self.folder, text)
            self.worker = FakeWorker(self.places.run, self.obey)
        else:
            (self.folder / "edge.yml").write_text(text)
            self.changes.reload()
        return self

    def serve(self, *hosts: str) -> Kept:
        """Have the branch `main` of an app answer for hosts, and for nothing else."""
        return self.serve_domains({host: {"subdomains": {"": "main"}} for host in hosts})

    def serve_domains(self, domains: dict[str, Any]) -> Kept:
        """The same with what `app.yml` says of domains."""
        if not hasattr(self, "changes"):
            self.configure()
        write_app(self.folder, "shop", yaml.safe_dump({"domains": domains}))
        self.changes.reload()
        if self.keeper is None:
            publish(self.changes, "shop", "main", {"index.html": "x"})
            self.restart()
        return self

    def restart(self) -> Kept:
        """As the next process sees it."""
        if self.keeper is not None:
            self.before.append(self.keeper)
            self.stop()
        self.keeper = Keeper(self.places, open_store(self.folder), self.clock, self.enroll)
        return self

    def stop(self) -> None:
        """End the keeper, as the end of its process would."""
        if self.keeper.enrollment is not None:
            self.keeper.enrollment.close()
        self.keeper.inventory.close()

    async def close(self) -> None:
        """End everything."""
        if self.keeper is not None:
            self.stop()
            self.before.append(self.keeper)
        for keeper in self.before:
            if keeper.enrollment is not None:
                await keeper.enrollment.authorities.close()
        if self.worker is not None:
            self.worker.close()

    def enroll(self, keeper: Keeper) -> Enrollment:
        """As the keeper would, with this world's ports and name server."""
        ports = {"http-01": self.outside.web.port, "tls-alpn-01": self.outside.tls.port}
        return Enrollment(
            keeper.inventory,
            keeper.agenda,
            keeper.changes.fleet,
            clock=keeper.clock,
            resolver=self.resolver(),
            ports=ports,
        )

    def resolver(self) -> Resolver:
        """Asks this world's name server for everything."""
        port = self.outside.names.port
        return Resolver([("127.0.0.1", port)], authority_port=port, patience_s=2.0)

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """What the worker does."""
        if order["do"] == "tls":
            if self.refuses:
                return {"error": self.refuses.pop(0)}
            with contextlib.suppress(FileNotFoundError):
                self.answer(self.places.challenges.read_bytes())
        return obedient(order)

    def answer(self, written: bytes) -> None:
        """Answer as it is written."""
        found = msgspec.json.decode(written, type=Challenges)
        self.answered.append(found)
        self.outside.web.answers = {
            (answer.host, token): answer.content
            for token, answer in found.http.items()
            if not (self.is_mute and len(token) == PEBBLES)
        }
        self.outside.tls.contexts = {host: asked(pem) for host, pem in found.alpn.items()}

    async def look(self, later: float = 0.0) -> None:
        """Looks after some seconds, until nothing more begins."""
        self.clock.now += later
        await self.keeper.look()
        while self.keeper.enrollment is not None and (begun := self.begun()):
            await asyncio.gather(*begun)
            await self.keeper.look()

    def begun(self) -> list[asyncio.Task[None]]:
        """What is on its way."""
        enrollment = self.keeper.enrollment
        return [*enrollment.running.values(), *enrollment.polling.values()]

    def serving(self, host: str):
        """The certificate that a host is served with."""
        return Names(self.keeper.inventory.vault.keyring().certificates).find(host)

    def record(self, host: str):
        """What is remembered on the disk."""
        return self.keeper.inventory.vault.record(host)

    def orders(self) -> list[dict[str, Any]]:
        """What was ordered so far; what was sent again for its nonce's sake counts once."""
        return [each.payload for each in self.between.of("newOrder") if each.status != 400]

    def entry(self, host: str) -> dict[str, Any]:
        """What `edge certs` tells of a name."""
        found = json.loads(json.dumps(self.keeper.describe()))["certificates"]
        return next(each for each in found if each["name"] == host)
