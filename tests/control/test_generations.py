"""Generations on the disk and the two phases of a change."""

from __future__ import annotations

import gc

import msgspec
import pytest

from edge.control.fleet import Fleet
from edge.control.generations import KEPT, Generations, key_of
from edge.errors import StoreError
from edge.site.documents import App
from edge.site.generation import Activation, AppState, BranchState, RetainedFile
from edge.site.manifest import Entry
from edge.site.places import Places
from edge.site.settings import Settings
from tests.support_control import FakeWorker, obedient


@pytest.fixture
def places(tmp_path):
    """A state folder."""
    found = Places(tmp_path)
    for folder in (found.generations, found.compiled, found.run):
        folder.mkdir()
    return found


@pytest.fixture
def generations(places):
    """Its generations, with a fleet that is patient."""
    return Generations(places, Fleet(places.run, deadline_s=10))


@pytest.fixture
def worker(places):
    """Makes fake workers that are gone after the test."""
    workers = []

    def make(answer=obedient):
        workers.append(FakeWorker(places.run, answer))
        return workers[-1]

    yield make
    for each in workers:
        each.close()


def app(name, **branches):
    """An app whose branches serve these deployments."""
    return AppState(
        name=name,
        config=App(),
        branches={
            label: BranchState(
                name=label, label=label, active=Activation(deployment=deployment, at=1.0)
            )
            for label, deployment in branches.items()
        },
    )


def listing(places):
    """Every file of the state folder but sockets, and where `current` points."""
    files = [path for path in places.state.rglob("*") if path.is_file() or path.is_symlink()]
    target = str(places.current.readlink()) if places.current.is_symlink() else None
    return sorted(str(path.relative_to(places.state)) for path in files), target


def test_before_the_first_there_is_none(generations):
    """A new state folder has no generation and no apps."""
    assert generations.current() is None
    assert generations.apps(None) == {}
    assert generations.find(None, "a") is None
    assert generations.retained(None) == []


def test_a_commit_is_what_is_current(places, generations):
    """Also for whoever opens the folder anew."""
    generations.commit(Settings(), {"b": app("b"), "a": app("a", main="one")})

    for each in (generations, Generations(places, Fleet(places.run))):
        current = each.current()
        assert (current.number, list(current.apps)) == (1, ["a", "b"])
        assert each.apps(current) == {"a": app("a", main="one"), "b": app("b")}
        assert each.find(current, "a") == app("a", main="one")


def test_a_commit_changes_only_what_it_names(generations):
    """The others keep their documents; None takes an app away."""
    first = generations.commit(Settings(), {name: app(name) for name in "abc"})
    second = generations.commit(Settings(), {"a": app("a", main="one"), "b": None})

    assert list(second.apps) == ["a", "c"]
    assert second.apps["c"] == first.apps["c"]
    assert second.number == 2


def test_a_change_by_another_process_is_seen(places, generations):
    """The command line may have worked on the folder while this one slept."""
    generations.commit(Settings(), {"a": app("a")})
    Generations(places, Fleet(places.run)).commit(Settings(), {"a": app("a", main="new")})

    assert generations.find(generations.current(), "a") == app("a", main="new")


def test_workers_load_before_current_moves(places, generations, worker):
    """The generation is whole on the disk when they are asked, and current when they swap."""
    seen = []

    def observe(order):
        target = str(places.current.readlink()) if places.current.is_symlink() else None
        seen.append((order["do"], places.generation(1).exists(), target))
        return obedient(order)

    worker(observe)
    generations.commit(Settings(), {"a": app("a")})

    assert seen == [("load", True, None), ("swap", True, "generations/1")]


def test_only_what_serves_stays_in_memory(generations, worker):
    """However often it changes, and however often a change is refused."""
    for number in range(20):
        generations.commit(Settings(), {"counted": app("counted", main=str(number))})
    refusing = worker(lambda _: {"error": "no"})
    for number in range(20, 25):
        with pytest.raises(StoreError, match="refused"):
            generations.commit(Settings(), {"counted": app("counted", main=str(number))})
    refusing.close()

    states = [each for each in gc.get_objects() if isinstance(each, AppState)]
    assert sum(each.name == "counted" for each in states) == 1


def test_a_refused_change_leaves_nothing(places, generations, worker):
    """No generation, no document, `current` unmoved; only the number is used up."""
    generations.commit(Settings(), {"a": app("a")})
    before = listing(places)
    refusing = worker(lambda _: {"error": "no"})

    with pytest.raises(StoreError, match="refused generation 2: no"):
        generations.commit(Settings(), {"a": app("a", main="x")}, {key_of(b"doc"): b"doc"})

    files, target = listing(places)
    assert ([name for name in files if name != "generations/refused"], target) == before
    assert [order["do"] for order in refusing.orders] == ["load"]
    assert generations.current().number == 1


def test_the_number_of_a_refused_change_is_never_used_again(places, generations, worker):
    """One worker may have loaded it and would take the next of that number for the same."""
    loading = worker()
    refusing = worker(lambda _: {"error": "no"})
    with pytest.raises(StoreError):
        generations.commit(Settings(), {"a": app("a")})
    refusing.close()

    restarted = Generations(places, Fleet(places.run))
    restarted.commit(Settings(), {"a": app("a", main="x")})

    assert [order["generation"] for order in loading.orders] == [1, 2, 2]
    assert restarted.current().number == 2


def test_a_refused_document_can_be_committed_later(places, generations, worker):
    """What was taken back is written again."""
    refusing = worker(lambda _: {"error": "no"})
    with pytest.raises(StoreError):
        generations.commit(Settings(), {"a": app("a")})
    refusing.close()

    generations.commit(Settings(), {"a": app("a")})

    assert Generations(places, Fleet(places.run)).apps(generations.current()) == {"a": app("a")}


def test_a_silent_worker_does_not_hold_up_a_change(places, worker):
    """It is killed, and the change is made."""
    generations = Generations(places, Fleet(places.run, deadline_s=0.1))
    silent = worker(lambda _: None)

    generations.commit(Settings(), {"a": app("a")})

    assert silent.process.wait(10) < 0
    assert generations.current().number == 1


def test_a_generation_that_was_left_half_way_is_passed_over(places, generations):
    """Its number is not used again, and `current` does not know it."""
    generations.commit(Settings(), {"a": app("a")})
    places.generation(2).write_bytes(places.generation(1).read_bytes())
    (places.generations / ".tmp-abc").write_text("torn")

    assert generations.current().number == 1
    assert generations.commit(Settings(), {}).number == 3


def test_old_generations_go(places, generations):
    """Some are kept to be asked about."""
    for number in range(KEPT + 5):
        generations.commit(Settings(), {"a": app("a", main=str(number))})

    numbers = sorted(int(path.name) for path in places.generations.glob("[0-9]*"))
    assert numbers == list(range(KEPT + 5 - KEPT, KEPT + 6))


def test_collect_keeps_what_kept_generations_name(places, generations):
    """Documents of the pruned go; retained files count as named, and their blobs are returned."""
    kept = RetainedFile(
        deployment="x", created=1.0, until=2.0, entry=Entry("a.js", "b" * 64, 1, "text/plain", {})
    )
    document = msgspec.json.encode([kept])
    state = app("a", main="0")
    branch = msgspec.structs.replace(state.branches["main"], retained=key_of(document))
    state = msgspec.structs.replace(state, branches={"main": branch})
    generations.commit(Settings(), {"a": app("a", main="first")})
    for number in range(KEPT + 1):
        generations.commit(Settings(), {"b": app("b", main=str(number))})
    generations.commit(Settings(), {"a": state}, {key_of(document): document})
    (places.compiled / "unnamed").write_text("x")

    assert generations.collect() == {"b" * 64}
    assert generations.retained(key_of(document)) == [kept]
    named = {
        key
        for path in places.generations.glob("[0-9]*")
        for key in msgspec.json.decode(path.read_bytes())["apps"].values()
    }
    assert {path.name for path in places.compiled.iterdir()} == named | {key_of(document)}
    assert generations.apps(generations.current())["a"] == state


def test_collect_of_an_empty_folder_deletes_nothing(generations):
    """There is nothing to judge by."""
    assert generations.collect() == set()
