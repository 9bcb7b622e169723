"""One branch before and after a change, without a disk."""

from __future__ import annotations

from edge.control import activation
from edge.site.generation import Activation, BranchState, RetainedFile
from edge.site.manifest import Entry, Header

HASHED = "app.67a6cd44.js"


def branch(active=None, *history):
    """A branch that serves `active` and served `history`, newest first."""
    return BranchState(
        name="main",
        label="main",
        active=Activation(deployment=active, at=1.0) if active else None,
        history=history,
    )


def header(identifier, created=0.0):
    """A deployment."""
    return Header(id=identifier, app="a", branch="main", label="main", created=created)


def entry(path):
    """A file."""
    return Entry(path, "0" * 64, 1, "text/plain", {})


def test_the_first_activation_has_nothing_before():
    """There is no previous deployment and nothing to roll back to."""
    state = activation.activated(branch(), "one", 5.0, None)

    assert state.active == Activation(deployment="one", at=5.0)
    assert (state.previous, state.history) == (None, ())


def test_an_activation_remembers_what_served():
    """The deployment before is the previous one and the first of the history."""
    state = activation.activated(branch("two", "one"), "three", 5.0, "key")

    assert state.previous == Activation(deployment="two", at=1.0)
    assert (state.history, state.retained) == (("two", "one"), "key")


def test_activating_an_old_one_takes_it_out_of_the_history():
    """Nobody rolls back to what serves."""
    state = activation.activated(branch("three", "two", "one"), "one", 5.0, None)

    assert state.history == ("three", "two")


def test_rollbacks_go_further_back_each_time():
    """What was rolled back from is not come back to, and performance mode forgets it."""
    state = activation.activated(branch("two", "one"), "three", 5.0, None)

    once = activation.rolled_back(state, 6.0, "key")
    twice = activation.rolled_back(once, 7.0, None)

    assert (once.active.deployment, once.history, once.previous) == ("two", ("one",), None)
    assert (twice.active.deployment, twice.history, twice.retained) == ("one", (), None)


def test_after_a_rollback_a_new_one_follows_what_served():
    """The bad deployment is in nobody's history."""
    state = activation.rolled_back(branch("bad", "good"), 5.0, None)

    assert activation.activated(state, "fixed", 6.0, None).history == ("good",)


def test_a_branch_that_is_back_serves_what_it_served():
    """What is not there any more is forgotten, and nothing is answered from the past."""
    before = activation.activated(branch("two", "one", "gone"), "three", 5.0, "key")
    there = [header(each) for each in ("bad", "three", "two", "one")]

    state = activation.recalled(before, there, 9.0)

    assert state.active == Activation(deployment="three", at=9.0)
    assert (state.history, state.previous, state.retained) == (("two", "one"), None, None)


def test_a_branch_whose_deployment_is_gone_serves_its_newest():
    """The rest is its history; without any deployment it stays empty."""
    there = [header("two"), header("one")]

    state = activation.recalled(branch("gone", "one"), there, 9.0)
    assert (state.active.deployment, state.history) == ("two", ("one",))
    assert activation.recalled(branch("gone"), [], 9.0) == branch()


def test_a_branch_that_never_served_anything_serves_nothing():
    """Its deployments were never activated, or were refused: a reload moves none."""
    assert activation.recalled(branch(), [header("two"), header("one")], 9.0) == branch()


def test_what_is_purged_is_remembered_until_another_deployment_serves():
    """Once each; a rollback forgets it with the previous deployment."""
    state = activation.activated(branch("one"), "two", 5.0, None)
    state = activation.purged(activation.purged(state, {"b", "/a"}), {"b"})

    assert state.purged == ("/a", "b")
    assert state.previous is not None
    assert activation.activated(state, "three", 6.0, None).purged == ()
    assert activation.rolled_back(state, 6.0, None).purged == ()
    assert activation.recalled(state, [], 6.0).purged == ()


def test_more_than_can_be_remembered_is_all():
    """So is what is not named one by one."""
    state = activation.activated(branch("one"), "two", 5.0, None)
    names = {str(number) for number in range(activation.MAX_PURGED)}
    full = activation.purged(state, names)

    assert (len(full.purged), full.previous) == (activation.MAX_PURGED, state.previous)
    for after in (activation.purged(full, {"one more"}), activation.purged(full)):
        assert (after.purged, after.previous) == ((), None)


def test_deleted_deployments_leave_the_history():
    """The active one and the order stay."""
    assert activation.without(branch("c", "b", "a"), {"b"}) == branch("c", "a")


def test_what_a_branch_answers_from_is_kept():
    """The active and the previous deployment, where there are any, and some to go back to."""
    state = activation.activated(branch("a", "z", "y"), "b", 1.0, None)

    assert activation.kept(branch(), 5) == set()
    assert [activation.kept(state, count) for count in (1, 2, 3)] == [
        {"a", "b"}, {"a", "b"}, {"a", "b", "z"},
    ]  # fmt: skip


def test_fingerprinted_files_are_retained_for_their_time():
    """Plain names are not; the file remembers the deployment that it is from."""
    files = activation.retained_files(
        [], (header("old", 3.0), [entry(HASHED), entry("index.html")]), now=10.0, lifetime=7.0
    )

    assert files == {
        HASHED: RetainedFile(deployment="old", created=3.0, until=17.0, entry=entry(HASHED))
    }


def test_files_retained_earlier_stay_until_their_own_end():
    """A change prolongs only what served until now."""

    def earlier(path, until):
        return RetainedFile(deployment="x", created=0.0, until=until, entry=entry(path))

    files = activation.retained_files(
        [earlier("a.11111111a.js", 10.0), earlier("b.2222222b.js", 10.5), earlier(HASHED, 10.5)],
        (header("old"), [entry(HASHED)]),
        now=10.0,
        lifetime=7.0,
    )

    assert {path: file.until for path, file in files.items()} == {
        "b.2222222b.js": 10.5,
        HASHED: 17.0,
    }


def test_too_many_retained_files_lose_the_oldest(monkeypatch):
    """The bound is met by those that would go first."""
    monkeypatch.setattr(activation, "MAX_RETAINED", 2)
    files = [
        RetainedFile(deployment="x", created=0.0, until=until, entry=entry(str(until)))
        for until in (3.0, 1.0, 2.0)
    ]

    assert [file.until for file in activation.newest(files)] == [2.0, 3.0]
