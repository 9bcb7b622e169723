"""
Deployments on a real disk, followed by a real worker, against the plainest model there is.

Whatever is begun, sent, activated, rolled back, deleted, collected, abandoned or restarted: the
worker answers what the model says, and the store has what can be asked for, and nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import shutil
import ssl
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge.control.deployments import ABANDONED, LEASE, Missing
from edge.errors import StoreError
from edge.node.machine import Team
from edge.node.orders import Listeners
from edge.node.worker import Worker
from tests.support_control import age, digests, new_store, open_store, places_of, sha256, write_app
from tests.support_serving import ask

KEPT = 2
"""Deployments of a branch (`retain.deployments`), beside those that it answers from."""

BRANCHES = st.sampled_from(["main", "next"])
PATHS = ["index.html", "a.txt", "app-1a2b3c4d.js", "b-9f8e7d6c.css"]
FILES = st.dictionaries(
    st.sampled_from(PATHS), st.sampled_from(["one", "two", "three" * 200]), min_size=1
)
FINGERPRINTED = set(PATHS[2:])

Files = dict[str, str]


class Branch(msgspec.Struct):
    """What the model knows of a branch."""

    serves: str | None = None
    previous: str | None = None
    history: list[str] = []
    retained: Files = {}
    complete: list[str] = []
    """Deployments that are there, newest first."""


class Pending(msgspec.Struct):
    """A deployment whose blobs are on their way."""

    branch: str
    lacks: set[str]
    """Contents that were not sent."""


class Deploying(RuleBasedStateMachine):
    """One node, its operators and its deployers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edge-deploying-"))
        self.changes = new_store(self.folder)
        self.branches: dict[str, Branch] = {}
        self.pending: dict[str, Pending] = {}
        self.files: dict[str, Files] = {}
        self.order: list[str] = []
        self.runner = asyncio.Runner()
        self.worker: Worker = None  # type: ignore[assignment]  # `start` makes it

    @initialize()
    def start(self):
        """A worker on an app that keeps few deployments."""
        write_app(self.folder, "shop", f"retain: {{deployments: {KEPT}}}\n")
        self.changes.reload()
        self.worker = Worker(places_of(self.folder), Listeners(), Team(1, 0))

    def teardown(self):
        """Nothing stays."""
        self.runner.close()
        shutil.rmtree(self.folder)

    # What happens

    @rule(branch=BRANCHES, files=FILES, lacking=st.sampled_from([None, None, None, "one", "two"]))
    def begin(self, branch, files, lacking):
        """Announce a deployment, and send what is missing of it but one content."""
        header, missing = self.changes.begin("shop", branch, digests(files))
        lacks = {lacking} & {each for each in files.values() if sha256(each) in missing}
        for content in set(files.values()) - lacks:
            self.changes.blobs.put(sha256(content), io.BytesIO(content.encode()))
        self.files[header.id] = files
        self.order.append(header.id)
        self.pending[header.id] = Pending(branch, lacks)
        self.branches.setdefault(branch, Branch())

    @rule(branch=BRANCHES, files=FILES)
    def deploy(self, branch, files):
        """All of it at once, as nearly always."""
        self.begin(branch, files, None)
        self.go_on(list(self.pending)[-1], sends=True)

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), sends=st.booleans())
    def activate_new(self, data, sends):
        """Send the rest, or forget to."""
        self.go_on(data.draw(st.sampled_from(list(self.pending))), sends)

    def go_on(self, identifier, sends):
        """Activate what is pending, if it is whole then."""
        pending = self.pending[identifier]
        if sends:
            for content in pending.lacks:
                self.changes.blobs.put(sha256(content), io.BytesIO(content.encode()))
        if not self.blobs_there(identifier):
            with pytest.raises(Missing):
                self.changes.activate(identifier)
            return
        self.changes.activate(identifier)
        del self.pending[identifier]
        branch = self.branches[pending.branch]
        branch.complete.append(identifier)
        branch.complete.sort(key=self.order.index, reverse=True)
        self.serve(branch, identifier)

    def blobs_there(self, identifier):
        """Whether every content of a deployment was ever sent, by it or by another."""
        hashes = [sha256(content) for content in self.files[identifier].values()]
        return not self.changes.blobs.missing(hashes)

    @precondition(lambda self: any(branch.complete for branch in self.branches.values()))
    @rule(data=st.data())
    def activate_again(self, data):
        """One that served before, or serves."""
        name = data.draw(st.sampled_from(sorted(n for n, b in self.branches.items() if b.complete)))
        branch = self.branches[name]
        identifier = data.draw(st.sampled_from(branch.complete))
        self.changes.activate(identifier)
        if identifier != branch.serves:
            self.serve(branch, identifier)

    def serve(self, branch: Branch, identifier: str) -> None:
        """What an activation does."""
        before = branch.serves
        history = [each for each in branch.history if each != identifier]
        branch.history = ([before] if before else []) + history
        branch.previous = before
        self.replace(branch, identifier)

    def replace(self, branch: Branch, identifier: str) -> None:
        """The files of what served stay, where they are fingerprinted; the oldest go."""
        old = {} if branch.serves is None else self.files[branch.serves]
        kept = {path: content for path, content in old.items() if path in FINGERPRINTED}
        branch.retained = {**branch.retained, **kept} if branch.serves else {}
        for path in self.files[identifier]:
            branch.retained.pop(path, None)
        branch.serves = identifier
        answering = {branch.serves, branch.previous}
        gone = [each for each in branch.complete[KEPT:] if each not in answering]
        branch.complete = [each for each in branch.complete if each not in gone]
        branch.history = [each for each in branch.history if each not in gone]

    @rule(name=BRANCHES)
    def roll_back(self, name):
        """To what served before, or nothing happens."""
        branch = self.branches.get(name, Branch())
        if not branch.history:
            with pytest.raises(StoreError):
                self.changes.rollback("shop", name)
            return
        self.changes.rollback("shop", name)
        identifier = branch.history.pop(0)
        branch.previous = None
        self.replace(branch, identifier)

    @rule(name=BRANCHES)
    def delete_branch(self, name):
        """With all that is pending for it; one that never served anything is unknown."""
        if self.branches.get(name, Branch()).serves is None:
            with pytest.raises(StoreError):
                self.changes.delete_branch("shop", name)
            return
        self.changes.delete_branch("shop", name)
        del self.branches[name]
        self.pending = {key: each for key, each in self.pending.items() if each.branch != name}

    @rule(hours=st.sampled_from([0, 2]))
    def collect(self, hours):
        """Blobs that nothing names go once their lease, and that of old documents, is over."""
        places = places_of(self.folder)
        for folder in (places.blobs, places.staged, places.compiled, places.generations):
            age(folder, hours * LEASE)
        self.changes.collect()
        if hours:
            self.has_only_what_is_named()

    @rule()
    def abandon(self):
        """Nobody went on with what is pending."""
        age(places_of(self.folder).pending, 2 * ABANDONED)
        self.changes.collect()
        self.pending.clear()

    @rule()
    def restart(self):
        """Another process, which knows what the disk says."""
        self.changes = open_store(self.folder)

    # What holds

    def has_only_what_is_named(self):
        """The blobs are those of deployments, of files that stay answered, and of pending ones."""
        named = [*self.pending]
        retained = []
        for branch in self.branches.values():
            named += branch.complete
            retained += branch.retained.values()
        contents = {content for each in named for content in self.files[each].values()}
        hashes = {sha256(content) for content in contents.union(retained)}
        found = {path.name.partition(".")[0] for path in self.blobs()}
        assert found <= hashes
        lacking = {sha256(each) for one in self.pending.values() for each in one.lacks}
        assert hashes - found <= lacking

    def blobs(self):
        """Every file of the store, those on their way too."""
        places = places_of(self.folder)
        return [*places.blobs.glob("*/*"), *(p for p in places.staged.iterdir() if p.is_file())]

    @invariant()
    def the_store_lists_what_there_is(self):
        """Deployments newest first, what serves, and what a rollback would go back to."""
        if self.worker is None:
            return
        serving = {name: each for name, each in self.branches.items() if each.serves}
        states = {each.name: each for each in self.changes.app("shop").branches.values()}
        assert states.keys() == serving.keys()
        for name, branch in serving.items():
            state = states[name]
            assert (state.active.deployment, list(state.history)) == (branch.serves, branch.history)
            listed = self.changes.deployments.of_branch("shop", state.label)
            assert [header.id for header in listed] == branch.complete

    @invariant()
    def the_worker_answers_it(self):
        """Each path of each branch, after one look at `current`."""
        if self.worker is not None:
            self.runner.run(self.compare())

    async def compare(self):
        """What serves, and the fingerprinted files of what served."""
        await self.worker._follow_current()
        for name in ("main", "next"):
            branch = self.branches.get(name, Branch())
            files = {**branch.retained, **self.files.get(branch.serves or "", {})}
            for path in PATHS:
                answer = await ask(self.worker, f"/{path}", host=f"{name}.shop.edge.localhost")
                content = files.get(path)
                expected = (404, None) if content is None else (200, content.encode())
                found = answer.content if answer.status == 200 else None
                assert (answer.status, found) == expected, (name, path)


TIMES = int(os.environ.get("EDGE_FUZZ_TIMES", "1"))
"""So many times more stories, and others each time, by hand; the same ones in CI."""


def test_deployments_are_what_the_plainest_model_says(monkeypatch):
    """Any story of twenty steps."""
    made_once = functools.cache(ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", made_once)
    stories = settings(
        max_examples=25 * TIMES, stateful_step_count=20, deadline=None, derandomize=TIMES == 1
    )
    run_state_machine_as_test(Deploying, settings=stories)
