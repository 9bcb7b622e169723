"""A deploy that dies between any two steps leaves the old or the new, and can be repeated."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from edge.control.codings import ENCODERS
from edge.control.deployments import LEASE
from edge.node.loader import read_document
from edge.site.generation import AppState, Generation
from tests.support_control import (
    PAGE,
    active,
    age,
    new_store,
    open_store,
    places_of,
    publish,
    write_app,
)

OLD = {"index.html": PAGE, "app.67a6cd44.js": "old" * 200}
NEW = {"index.html": PAGE + "new", "logo.png": "image" * 100}
STEPS = {"os.rename", "os.remove", "os.mkdir", "os.symlink", "os.link"}
DIED = 9
MOST = 200
"""More steps than any change here takes."""


def change(folder, what):
    """The change that may die."""
    changes = open_store(folder)
    if what == "reload":
        changes.reload()
    elif what == "delete branch":
        changes.delete_branch("shop", "main")
    elif what == "rollback":
        changes.rollback("shop", "main")
    else:
        app, branch = {
            "deploy": ("shop", "main"),
            "new branch": ("shop", "next"),
            "new app": ("blog", "main"),
        }[what]
        publish(changes, app, branch, NEW)


def dies(folder, what, step):
    """Whether the change, in a process of its own, dies before its `step`-th step on the disk."""
    pid = os.fork()
    if pid == 0:
        left = step

        def count(event, arguments):
            nonlocal left
            flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
            writes = flags & (os.O_WRONLY | os.O_RDWR) and str(folder) in str(arguments[0])
            if event in STEPS or writes:
                left -= 1
                if left == 0:
                    os._exit(DIED)

        try:
            sys.addaudithook(count)
            change(folder, what)
        except BaseException:  # noqa: BLE001  (reported by the exit code)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, DIED), f"step {step} of {what} ended with {code}"
    return code == DIED


def assert_whole(folder):
    """Everything that is named is there, whole and right; returns what main of shop serves."""
    places = places_of(folder)
    generation = read_document(places.current, Generation)
    assert str(generation.number) == places.current.readlink().name
    served = None
    changes = open_store(folder)
    for key in generation.apps.values():
        app = read_document(places.compiled / key, AppState)
        for state in app.branches.values():
            changes.generations.retained(state.retained)
            named = [*state.history, *([state.active.deployment] if state.active else [])]
            for identifier in named:
                header = changes.deployments.header(app.name, state.label, identifier)
                assert_stored(places, changes.deployments.entries(header))
            if (app.name, state.name) == ("shop", "main"):
                served = state.active.deployment
    return served


def assert_stored(places, entries):
    """Every blob has its bytes, and every coding that a manifest promises its size."""
    for entry in entries:
        content = places.blob(entry.sha256).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        assert len(content) == entry.size
        for coding, size in entry.codings.items():
            assert coding in ENCODERS
            assert places.blob(entry.sha256, coding).stat().st_size == size


@pytest.fixture
def base(tmp_path):
    """A node whose shop serves its second deployment."""
    folder = tmp_path / "base"
    changes = new_store(folder)
    publish(changes, "shop", "main", {"index.html": "older"})
    publish(changes, "shop", "main", OLD)
    write_app(folder, "shop", "production_branch: trunk\n")
    return folder


@pytest.mark.parametrize(
    "what", ["deploy", "new branch", "new app", "rollback", "reload", "delete branch"]
)
def test_every_step_may_be_the_last(tmp_path, base, what):
    """For each step: the store is consistent, serves old or new, and the change can be repeated."""
    before = assert_whole(base)
    outcomes = []
    for step in range(1, MOST):
        folder = tmp_path / f"{step}"
        shutil.copytree(base, folder, symlinks=True)
        died = dies(folder, what, step)
        outcomes.append(paths_of(folder, assert_whole(folder)))
        assert_repeatable(folder, what)
        shutil.rmtree(folder)
        if not died:
            break
    else:
        pytest.fail("it never got through")

    old, new = paths_of(base, before), outcomes[-1]
    assert step > 5
    assert (new != old) == (what in {"deploy", "rollback", "delete branch"})
    first_new = outcomes.index(new)
    assert outcomes == [old] * first_new + [new] * (step - first_new)


def paths_of(folder, identifier):
    """The files of a deployment of shop's main branch."""
    if identifier is None:
        return None
    deployments = open_store(folder).deployments
    header = deployments.header("shop", "main", identifier)
    return [entry.path for entry in deployments.entries(header)]


def assert_repeatable(folder, what):
    """The same change, or a deploy after it, succeeds; then nothing torn is left."""
    changes = open_store(folder)
    if what == "reload":
        changes.reload()
        assert changes.app("shop").config.production_branch == "trunk"
    header = publish(changes, "shop", "main", NEW)
    assert assert_whole(folder) == header.id == active(changes, "shop")
    age(places_of(folder).state, 2 * LEASE)
    changes.collect()
    assert list(places_of(folder).state.rglob(".tmp-*")) == []
    assert assert_whole(folder) == header.id


def test_a_killed_writer_does_not_keep_the_lock(base):
    """The next change does not wait."""
    assert dies(base, "deploy", 30)

    publish(open_store(Path(base)), "shop", "main", NEW)
