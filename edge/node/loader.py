"""
Generations to snapshots: read what changed, reuse the rest, in slices that never stall serving.

Laws: reads the state folder, writes nothing. A generation that cannot be read whole is refused
whole; what serves keeps serving.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from edge.errors import StoreError
from edge.node.trees import TORN, Trees, needed_by
from edge.site.decoding import decode_json
from edge.site.generation import AppState, BranchState, Generation
from edge.site.headers import CustomHttp
from edge.site.library import Library, compile_app
from edge.site.places import Places
from edge.site.plan import Plan
from edge.site.rule import Rule, decode_rules
from edge.site.snapshot import Branch, CompiledApp, Site, Snapshot

T = TypeVar("T")

LARGE = 1_000
"""Steps of a load (16,000 rules) that the collector had better not walk."""

SLICE_SECONDS = 0.004
"""Work between two looks at the sockets (design.md allows 5 ms)."""

STEP = 16
"""Rules compiled between two looks; of regular expressions one: 0.2 ms, the worst 40."""


class Loader:
    """Makes snapshots of the generations in a state folder."""

    def __init__(self, places: Places, trees: Trees) -> None:
        self._places = places
        self._trees = trees
        self._library = Library()

    def current(self) -> int | None:
        """The number that `current` points to, or None before the first generation."""
        try:
            return int(self._places.current.readlink().name)
        except (OSError, ValueError):
            return None

    async def load(self, number: int, old: Snapshot) -> Snapshot:
        """
        The snapshot of a generation, sharing with `old` what is equal.

        Raises:
            StoreError: a document is missing or torn.
        """
        generation = read_document(self._places.generation(number), Generation)
        domain = generation.settings.default_domain
        if old.settings.default_domain != domain:
            old = Snapshot(0, {}, {}, shortcuts=old.shortcuts)
        hosts = dict(old.hosts)
        apps: dict[str, CompiledApp] = {}
        pause = perf_counter() + SLICE_SECONDS
        for name, key in generation.apps.items():
            kept = old.apps.get(name)
            if kept is None or kept.key != key:
                app = await self._compile(key, domain, kept)
                replace(hosts, kept, app)
                kept = app
            apps[name] = kept
            if perf_counter() > pause:
                await asyncio.sleep(0)
                pause = perf_counter() + SLICE_SECONDS
        for name in old.apps.keys() - apps.keys():
            remove(hosts, old.apps[name])
        snapshot = Snapshot(number, apps, hosts, generation.settings, old.shortcuts)
        snapshot.root = generation.root
        await self._warm(old, snapshot)
        return snapshot

    async def _compile(self, key: str, domain: str, kept: CompiledApp | None) -> CompiledApp:
        state = read_document(self._places.compiled / key, AppState)
        reading = Reading(self._places, self._library)
        with unhurried_collector() as steps:
            pause = perf_counter() + SLICE_SECONDS
            for _ in reading.load(state):
                steps.append(None)
                if perf_counter() > pause:
                    await asyncio.sleep(0)
                    pause = perf_counter() + SLICE_SECONDS
        return compile_app(key, state, domain, self._library, kept)

    async def _warm(self, old: Snapshot, new: Snapshot) -> None:
        """Load manifests that take over from loaded ones, so that no request waits."""
        for name, app in new.apps.items():
            before = old.apps.get(name)
            if before is None or before is app:
                continue
            for label, branch in app.branches.items():
                predecessor = before.branches.get(label)
                if predecessor is None or predecessor is branch:
                    continue
                if any(tree.manifest is not None for tree in predecessor.sources()):
                    for tree in branch.sources():
                        await self._trees.load(tree)

    def retire(self, old: Snapshot, new: Snapshot) -> None:
        """After a swap: what was stored for branches that are other ones now is dropped."""
        for name, app in old.apps.items():
            after = new.apps.get(name)
            if after is app:
                continue
            for label, branch in app.branches.items():
                if after is None or after.branches.get(label) is not branch:
                    self._retire(branch)

    def _retire(self, branch: Branch) -> None:
        branch.retired = True
        for loaded in needed_by(branch):
            self._trees.drop_stored(loaded)


@contextmanager
def unhurried_collector() -> Iterator[list[None]]:
    """
    Keep the collector of cycles out of a load; the caller notes its steps.

    It would walk all that is loaded, again and again: 30 ms at a time for 100,000 rules. A large
    load is set aside from it for good, since what is compiled has no cycles.
    """
    steps: list[None] = []
    gc.disable()
    try:
        yield steps
        if len(steps) > LARGE:
            gc.freeze()
    finally:
        gc.enable()


class Reading:
    """
    The rules and headers that apps name, read into a library where it lacks them.

    A library has them as long as somebody needs them, and until then this does.
    """

    def __init__(self, places: Places, library: Library) -> None:
        self._places = places
        self.library = library
        self._held: list[Plan | CustomHttp] = []

    def load(self, state: AppState) -> Iterator[None]:
        """
        Read what `state` names; the caller may pause at each step, which takes a few ms at most.

        Raises:
            StoreError: a document is missing or torn.
        """
        states: list[AppState | BranchState] = [state, *state.branches.values()]
        for key in {each.headers for each in states} - {None}:
            self._hold_headers(str(key))
            yield
        for key in {each.rules for each in states} - {None}:
            yield from self._hold_rules(str(key))

    def put_rules(self, key: str, plan: Plan) -> None:
        """Have rules that are on no disk yet."""
        self.library.plans[key] = plan
        self._held.append(plan)

    def put_headers(self, key: str, document: CustomHttp) -> None:
        """The same of custom headers."""
        self.library.headers[key] = document
        self._held.append(document)

    def _hold_headers(self, key: str) -> None:
        document = self.library.headers.get(key)
        if document is None:
            document = read_document(self._places.compiled / key, CustomHttp)
        self.put_headers(key, document)

    def _hold_rules(self, key: str) -> Iterator[None]:
        plan = self.library.plans.get(key)
        if plan is None:
            plan = Plan()
            for rules in self._read_rules(key):
                plan.add(rules)
                yield
        self.put_rules(key, plan)

    def _read_rules(self, key: str) -> Iterator[list[Rule]]:
        """A document's rules, some at a time; one that lost whole lines is torn as well."""
        path = self._places.compiled / key
        digest = hashlib.sha256()
        try:
            for line in io.BytesIO(path.read_bytes()):
                digest.update(line)
                for block in decode_rules([line]):
                    yield from steps(block)
        except (OSError, *TORN) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        if digest.hexdigest() != key:
            raise StoreError(f"{path} is torn: its content has another hash than its name")


def steps(block: list[Rule]) -> Iterator[list[Rule]]:
    """The rules of a block in their order, `STEP` at a time; a regular expression ends its step."""
    begin = 0
    for end, rule in enumerate(block, 1):
        if rule.source.startswith("</") or end - begin == STEP or end == len(block):
            yield block[begin:end]
            begin = end


def read_document(path: Path, kind: type[T]) -> T:
    """
    One document, decoded.

    Raises:
        StoreError: it is missing or torn.
    """
    try:
        return decode_json(path.read_bytes(), kind)
    except (OSError, *TORN) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def replace(hosts: dict[bytes, Site], old: CompiledApp | None, new: CompiledApp) -> None:
    """Put an app's hosts in the place of those that it had."""
    if old is not None:
        remove(hosts, old)
    hosts.update(new.hosts)


def remove(hosts: dict[bytes, Site], app: CompiledApp) -> None:
    """Take an app's hosts away, unless another app has taken them over."""
    for host, site in app.hosts.items():
        if hosts.get(host) is site:
            del hosts[host]
