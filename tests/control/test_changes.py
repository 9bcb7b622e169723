"""Every change of what a node serves, on a real state folder."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import msgspec
import pytest

from edge.control.changes import Changes, origin_of
from edge.control.deployments import ABANDONED, LEASE, Marked, Missing, NoSuch
from edge.control.generations import KEPT
from edge.control.purging import Selection
from edge.control.reload import Refused
from edge.errors import Mistaken, StoreError
from edge.site.rule import decode_rules
from edge.site.settings import Listen, Settings
from tests.support_control import (
    DAY,
    PAGE,
    FakeWorker,
    active,
    age,
    digests,
    new_store,
    obedient,
    open_store,
    places_of,
    publish,
    sha256,
    upload,
    write_app,
)

FILES = {"index.html": "hello"}
HASHED = "app.67a6cd44.js"


@pytest.fixture
def changes(tmp_path):
    """A new node in `tmp_path`."""
    return new_store(tmp_path)


def versions(changes, count, branch="main", app="shop"):
    """Deploy so many versions; their ids."""
    return [publish(changes, app, branch, {"index.html": f"{branch} {n}"}).id for n in range(count)]


def listed(changes, app="shop", label="main"):
    """The deployments that are there, newest first."""
    return [header.id for header in changes.deployments.of_branch(app, label)]


def backdate(tmp_path, header, created):
    """Make a deployment look older."""
    path = places_of(tmp_path).manifest(header.app, header.label, header.id)
    lines = path.read_bytes().partition(b"\n")
    old = msgspec.structs.replace(header, created=created)
    path.write_bytes(msgspec.json.encode(old) + lines[1] + lines[2])
    return path


# Deploying


def test_the_first_deploy_makes_the_app(tmp_path, changes):
    """A folder with the defaults, a branch, URLs on the default domain."""
    header = publish(changes, "shop", "main", FILES)

    assert active(changes, "shop") == header.id
    assert (tmp_path / "rules" / "shop" / "app.yml").exists()
    assert changes.urls("shop", "main") == ["http://main.shop.edge.localhost:8080"]
    assert changes.reload().changed == []


def test_what_was_only_announced_does_not_serve(changes):
    """The branch goes on with what it has."""
    first = publish(changes, "shop", "main", FILES)
    upload(changes, "shop", "main", {"index.html": "new"})

    assert active(changes, "shop") == first.id


def test_an_incomplete_one_is_not_activated(changes):
    """Nothing changes but that the list is told."""
    first = publish(changes, "shop", "main", FILES)
    header, missing = changes.begin("shop", "main", digests({"index.html": "new"}))

    with pytest.raises(Missing) as refused:
        changes.activate(header.id)

    assert refused.value.hashes == missing == [sha256("new")]
    assert active(changes, "shop") == first.id


def test_limits_of_the_node_are_kept(tmp_path, changes):
    """Those that serve, as the operator set them."""
    (tmp_path / "edge.yml").write_text("limits: {archive_files: 1}\n")

    with pytest.raises(StoreError, match=r"2 files are over limits.archive_files, 1"):
        changes.begin("shop", "main", digests({"a": "1", "b": "2"}))


def test_an_identical_deploy_is_a_new_deployment(changes):
    """Nothing has to be sent, and it can be rolled back."""
    first = publish(changes, "shop", "main", FILES)
    second, missing = changes.begin("shop", "main", digests(FILES))
    changes.activate(second.id)

    assert missing == []
    assert active(changes, "shop") == second.id
    assert changes.rollback("shop", "main").id == first.id


def test_branches_share_blobs(tmp_path, changes):
    """The same file is stored once, and the second branch sends nothing."""
    publish(changes, "shop", "main", FILES)
    second, missing = changes.begin("shop", "other", digests(FILES))
    changes.activate(second.id)

    files = [path for path in places_of(tmp_path).blobs.rglob("*") if path.is_file()]
    assert missing == []
    assert sum("." not in path.name for path in files) == 1


def test_colliding_branches_have_urls_of_their_own(changes):
    """The later one gets a hash in its label."""
    publish(changes, "shop", "feature/x", FILES)
    header = publish(changes, "shop", "feature-x", FILES)

    assert header.label.startswith("feature-x-")
    assert changes.urls("shop", header.label) == [f"http://{header.label}.shop.edge.localhost:8080"]
    assert changes.branch("shop", "feature/x").label == "feature-x"


def test_urls_begin_with_the_operators_own(tmp_path, changes):
    """Explicit domains, then automatic ones, then the default."""
    write_app(
        tmp_path,
        "shop",
        'domains: {shop.example: {subdomains: {"": main, www: main}, auto_subdomains: ["*"]}}\n',
    )
    publish(changes, "shop", "main", FILES)

    assert changes.urls("shop", "main") == [
        "http://shop.example:8080",
        "http://www.shop.example:8080",
        "http://main.shop.example:8080",
        "http://main.shop.edge.localhost:8080",
    ]


@pytest.mark.parametrize(
    ("listen", "origin"),
    [
        (Listen(http=("0.0.0.0:80",)), ("http", "")),
        (Listen(http=("127.0.0.1:8080",)), ("http", ":8080")),
        (Listen(https=("0.0.0.0:443",)), ("https", "")),
        (Listen(http=(), https=("[::]:8443",)), ("https", ":8443")),
        (Listen(http=()), ("http", "")),
    ],
)
def test_origin_is_what_clients_use(listen, origin):
    """TLS first, and no port where it is the scheme's own."""
    assert origin_of(Settings(listen=listen)) == origin


def test_a_deploy_while_another_app_is_broken_works(tmp_path, changes):
    """One team's typo does not stop the others."""
    write_app(tmp_path, "bad", "nope: 1\n")
    with pytest.raises(Refused):
        changes.reload()

    assert active(changes, "shop") if publish(changes, "shop", "main", FILES) else None


def test_a_deploy_to_a_broken_app_waits_for_its_mending(tmp_path, changes):
    """It is activated, has no configuration to be served with, and serves after the reload."""
    write_app(tmp_path, "shop", "nope: 1\n")
    header = publish(changes, "shop", "main", FILES)
    assert changes.app("shop").config is None

    write_app(tmp_path, "shop")
    changes.reload()

    assert changes.app("shop").config is not None
    assert active(changes, "shop") == header.id


def test_a_deploy_reads_the_folder_of_an_app_that_is_new(tmp_path, changes):
    """Its settings count at once, without a reload."""
    publish(changes, "other", "main", FILES)
    write_app(tmp_path, "shop", 'domains: {shop.example: {subdomains: {"": main}}}\n')

    publish(changes, "shop", "main", FILES)

    assert changes.urls("shop", "main")[0] == "http://shop.example:8080"


def test_a_deploy_never_reads_the_files_of_an_app_that_serves(tmp_path, changes):
    """What an operator is editing goes in with a reload."""
    publish(changes, "shop", "main", FILES)
    write_app(tmp_path, "shop", "nope: 1\n")

    publish(changes, "shop", "main", {"index.html": "new"})

    assert changes.app("shop").config is not None


def test_a_deploy_to_an_app_that_lost_its_folder_makes_it_anew(tmp_path, changes):
    """Otherwise the next restart would take the site away that a deploy just confirmed."""
    publish(changes, "shop", "main", FILES)
    (tmp_path / "rules" / "shop" / "app.yml").unlink()
    (tmp_path / "rules" / "shop").rmdir()

    header = publish(changes, "shop", "main", {"index.html": "new"})
    changes.reload()

    assert active(changes, "shop") == header.id


def test_a_first_deploy_takes_nobodys_hostname(tmp_path, changes):
    """It is refused with both named, and is activated after the file is mended."""
    write_app(tmp_path, "old", 'domains: {x.example: {subdomains: {"": main}}}\n')
    changes.reload()
    write_app(tmp_path, "new", 'domains: {x.example: {subdomains: {"": main}}}\n')
    header = upload(changes, "new", "main", FILES)

    with pytest.raises(StoreError, match="but app old branch main has it"):
        changes.activate(header.id)
    with pytest.raises(NoSuch):
        changes.app("new")

    write_app(tmp_path, "new")
    changes.activate(header.id)
    assert active(changes, "new") == header.id


def test_a_new_branch_takes_nobodys_hostname(tmp_path, changes):
    """Its label on an automatic domain may be another app's own name."""
    auto = 'domains: {example.com: {auto_subdomains: ["*"]}}\n'
    write_app(tmp_path, "shop", auto)
    write_app(tmp_path, "docs", "domains: {example.com: {subdomains: {docs: main}}}\n")
    changes.reload()

    with pytest.raises(StoreError, match=r"docs.example.com would be claimed by app shop"):
        publish(changes, "shop", "docs", FILES)
    assert active(changes, "shop", "main") if publish(changes, "shop", "main", FILES) else None


def test_a_change_that_a_worker_refuses_leaves_nothing(tmp_path, changes):
    """What serves, serves on; the deployment can be activated later."""
    first = publish(changes, "shop", "main", {HASHED: "old"})
    header = upload(changes, "shop", "main", FILES)
    places = places_of(tmp_path)
    before = sorted(path.name for path in places.compiled.iterdir())
    worker = FakeWorker(places.run, lambda _: {"error": "torn"})
    with pytest.raises(StoreError, match="torn"):
        changes.activate(header.id)
    worker.close()

    assert sorted(path.name for path in places.compiled.iterdir()) == before
    assert active(changes, "shop") == first.id
    changes.activate(header.id)
    assert active(open_store(tmp_path), "shop") == header.id


def test_activating_what_serves_is_no_change(tmp_path, changes):
    """No generation is made, and no worker is asked."""
    header = publish(changes, "shop", "main", FILES)
    before = changes.generations.current()
    worker = FakeWorker(places_of(tmp_path).run, obedient)
    assert changes.activate(header.id) == header
    worker.close()

    assert worker.orders == []
    assert changes.generations.current() == before


def test_changes_take_turns(tmp_path, changes):
    """Deploys at once from several threads and processes' stores all arrive."""
    publish(changes, "shop", "main", FILES)
    other = open_store(tmp_path)
    headers = [upload(changes, "shop", f"b{n}", {"index.html": str(n)}) for n in range(6)]
    threads = [
        threading.Thread(target=(changes, other)[n % 2].activate, args=(header.id,))
        for n, header in enumerate(headers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [active(changes, "shop", f"b{n}") for n in range(6)] == [each.id for each in headers]
    assert changes.generations.current().number == 1 + 1 + 6


def test_codings_are_made_without_the_lock(tmp_path, changes, monkeypatch):
    """Nobody's rollback waits for a large first deploy."""
    versions(changes, 2)
    header = upload(changes, "shop", "main", {"index.html": PAGE})
    encode, inside = changes.blobs.encode, []

    def roll_back_and_encode(hashes):
        if hashes:
            inside.append(open_store(tmp_path).rollback("shop", "main").id)
        encode(hashes)

    monkeypatch.setattr(changes.blobs, "encode", roll_back_and_encode)
    changes.activate(header.id)

    assert len(inside) == 1
    assert active(changes, "shop") == header.id
    assert changes.branch("shop", "main").history == (inside[0],)


# Going back


def test_rollback_goes_further_back_each_time(changes):
    """Until there is nothing before."""
    first, second, third = versions(changes, 3)

    assert active(changes, "shop") == third
    assert changes.rollback("shop", "main").id == second
    assert changes.rollback("shop", "main").id == first
    with pytest.raises(StoreError, match="branch main of app shop has no earlier deployment"):
        changes.rollback("shop", "main")
    assert active(changes, "shop") == first


def test_an_older_deployment_can_be_activated(changes):
    """A rollback from there goes to what served before it."""
    first, second, third = versions(changes, 3)

    changes.activate(first)

    assert active(changes, "shop") == first
    assert changes.rollback("shop", "main").id == third
    assert changes.rollback("shop", "main").id == second


@pytest.mark.parametrize(
    ("app", "branch", "text"),
    [
        ("shap", "main", r"there is no app shap \(there are: blog, shop\)"),
        ("shop", "mian", r"app shop has no branch mian \(it has: main, next\)"),
    ],
)
@pytest.mark.parametrize("change", ["rollback", "delete_branch"])
def test_unknown_names_are_refused_with_the_known(changes, change, app, branch, text):
    """So that a typo is seen."""
    for known in ("main", "next"):
        publish(changes, "shop", known, FILES)
    publish(changes, "blog", "main", FILES)

    with pytest.raises(NoSuch, match=text):
        getattr(changes, change)(app, branch)


def test_without_apps_there_are_none_to_name(changes):
    """A new node says so."""
    with pytest.raises(NoSuch, match=r"there is no app shop \(there are: none yet\)"):
        changes.branch("shop", "main")


def test_an_unknown_deployment_is_refused(changes):
    """With the command that lists the known."""
    with pytest.raises(NoSuch, match="there is no deployment 20260101-000000-abcdef"):
        changes.activate("20260101-000000-abcdef")


def test_purge_ends_the_previous_deployments_answers(tmp_path, changes):
    """In performance mode they would be given for a day."""
    versions(changes, 2)
    assert changes.branch("shop", "main").previous is not None
    worker = FakeWorker(places_of(tmp_path).run, obedient)

    assert changes.purge(Selection(all=True)) == 3
    worker.close()

    state = changes.branch("shop", "main")
    assert (state.previous, len(state.history)) == (None, 1)


# What waits


def test_what_is_not_activated_waits_as_others_are_kept(tmp_path, changes):
    """Also of an app that is new; a day and a boot later it is activated."""
    identifier = upload(changes, "shop", "main", {"index.html": "waits"}).id
    changes.complete(identifier)
    (places_of(tmp_path).pending / "boot").write_text("another boot")
    changes.open()
    changes.deployments.collect(Marked(), time.time() + 3 * ABANDONED)

    assert listed(changes) == [identifier]
    state = changes.branch("shop", "main")
    assert (state.active, state.waiting) == (None, (identifier,))
    changes.complete(identifier)
    assert changes.branch("shop", "main") == state
    changes.activate(identifier)
    assert changes.branch("shop", "main").waiting == ()


def test_whoever_dies_between_its_files_and_its_state_asks_again(tmp_path, changes):
    """By kill -9: nothing of it serves or counts, and the next try makes it wait."""
    first = publish(changes, "shop", "main", FILES)
    identifier = upload(changes, "shop", "main", {"index.html": "waits"}).id
    child = os.fork()
    if not child:
        Changes._commit_branch = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        try:
            changes.complete(identifier)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    survivor = open_store(tmp_path)

    assert survivor.branch("shop", "main").waiting == ()
    assert active(survivor, "shop") == first.id
    survivor.complete(identifier)
    assert survivor.branch("shop", "main").waiting == (identifier,)
    survivor.activate(identifier)
    assert active(survivor, "shop") == identifier


def test_what_waits_is_bounded_and_serves_nothing(tmp_path, changes):
    """What serves goes on, and the oldest of what waits goes."""
    write_app(tmp_path, "shop", "retain: {deployments: 2}\n")
    (active,) = versions(changes, 1)
    made = [upload(changes, "shop", "main", {"index.html": str(number)}).id for number in range(3)]
    for identifier in made:
        changes.complete(identifier)

    state = changes.branch("shop", "main")
    assert state.active is not None
    assert state.active.deployment == active
    assert set(state.waiting) == set(listed(changes)) - {active}
    assert len(state.waiting) == 2


def test_what_waits_pushes_out_nothing_to_go_back_to(tmp_path, changes):
    """However many deployments a pipeline uploads that nobody activates."""
    write_app(tmp_path, "shop", "retain: {deployments: 3}\n")
    made = versions(changes, 3)
    for number in range(5):
        changes.complete(upload(changes, "shop", "main", {"index.html": str(number)}).id)
    state = changes.branch("shop", "main")

    assert state.history == (made[1], made[0])
    assert set(made) <= set(listed(changes))
    assert len(state.waiting) == 3
    assert changes.rollback("shop", "main").id == made[1]


# What is kept


def test_old_deployments_go(tmp_path, changes):
    """`retain.deployments` are kept, newest first, and the history knows no other."""
    write_app(tmp_path, "shop", "retain: {deployments: 3}\n")
    made = versions(changes, 5)

    assert listed(changes) == made[:1:-1]
    assert changes.branch("shop", "main").history == (made[3], made[2])


def test_retention_makes_no_generation_of_its_own(tmp_path, changes):
    """One activation is one change, however many deployments it lets go."""
    write_app(tmp_path, "shop", "retain: {deployments: 1}\n")
    versions(changes, 3)

    assert changes.generations.current().number == 4


def test_what_a_branch_answers_from_is_kept(tmp_path, changes):
    """The active and the previous deployment, whatever their age."""
    write_app(tmp_path, "shop", "retain: {deployments: 2}\n")
    first, second = versions(changes, 2)
    changes.activate(first)
    third = publish(changes, "shop", "main", {"index.html": "third"}).id
    fourth = publish(changes, "shop", "main", {"index.html": "fourth"}).id
    changes.activate(third)

    assert sorted(listed(changes)) == sorted([third, fourth])
    assert active(changes, "shop") == third
    assert second not in listed(changes)


def test_fingerprinted_files_outlive_their_deployment(tmp_path, changes):
    """Named by the branch's state with their time, not collected, gone from it when back."""
    publish(changes, "shop", "main", {HASHED: "old", "index.html": "old"})
    publish(changes, "shop", "main", {"index.html": "new"})
    age(places_of(tmp_path).blobs, 2 * LEASE)

    files = changes.generations.retained(changes.branch("shop", "main").retained)
    assert [file.entry.path for file in files] == [HASHED]
    assert files[0].until == pytest.approx(time.time() + 7 * DAY, abs=60)
    changes.collect()
    assert changes.blobs.missing([sha256("old")]) == []

    publish(changes, "shop", "main", {HASHED: "old"})
    assert changes.branch("shop", "main").retained is None


def test_a_damaged_old_manifest_does_not_keep_out_the_new(tmp_path, changes):
    """The fix can be deployed; only the retained files are lost."""
    first = publish(changes, "shop", "main", {HASHED: "old"})
    places_of(tmp_path).manifest("shop", "main", first.id).write_bytes(b"torn")

    header = publish(changes, "shop", "main", FILES)

    assert active(changes, "shop") == header.id
    assert changes.branch("shop", "main").retained is None


def test_a_deleted_branch_is_gone(tmp_path, changes):
    """Its state, deployments and label; the others stay."""
    publish(changes, "shop", "main", FILES)
    publish(changes, "shop", "feature/x", FILES)

    assert changes.delete_branch("shop", "feature/x") == "feature-x"

    assert list(changes.app("shop").branches) == ["main"]
    assert listed(changes, label="feature-x") == []
    assert [record.name for record in changes.deployments.branches("shop")] == ["main"]
    assert list(open_store(tmp_path).app("shop").branches) == ["main"]


def test_a_deleted_branch_may_come_back(changes):
    """With a history of its own."""
    publish(changes, "shop", "main", FILES)
    publish(changes, "shop", "next", FILES)
    changes.delete_branch("shop", "next")

    header = publish(changes, "shop", "next", FILES)

    assert active(changes, "shop", "next") == header.id
    assert changes.branch("shop", "next").history == ()


def test_a_deleted_branch_takes_its_pending_deploys_along(changes):
    """Their label may be another's by the time they would be activated."""
    publish(changes, "shop", "next", FILES)
    header = upload(changes, "shop", "next", {"index.html": "late"})
    changes.delete_branch("shop", "next")

    with pytest.raises(NoSuch):
        changes.activate(header.id)


def test_stale_branches_go(tmp_path, changes):
    """Without a domain of their own and without a deploy for `retain.branches`, in one change."""
    write_app(
        tmp_path,
        "shop",
        "retain: {branches: 10d}\ndomains: {shop.example: {subdomains: {old: domain/old}}}\n",
    )
    old = time.time() - 11 * DAY
    for branch in ("pr-1", "pr-2", "domain/old", "redeployed", "young"):
        header = publish(changes, "shop", branch, FILES)
        if branch != "young":
            first = backdate(tmp_path, header, old)
        if branch == "redeployed":
            publish(changes, "shop", "redeployed", {"index.html": "new"})
            first.unlink()  # made in the same second, its id may be the greater one
    number = changes.generations.current().number

    changes.collect()

    names = sorted(state.name for state in changes.app("shop").branches.values())
    assert names == ["domain/old", "redeployed", "young"]
    assert changes.generations.current().number == number + 1


def test_a_branch_that_was_never_activated_goes_too(tmp_path, changes):
    """Its label is free again once its announcement is forgotten and its time is over."""
    publish(changes, "shop", "main", FILES)
    changes.begin("shop", "abandoned", digests({"a": "b"}))
    record = places_of(tmp_path).branch("shop", "abandoned")
    created = json.loads(record.read_bytes()) | {"created": 0.5}
    record.write_text(json.dumps(created))
    changes.collect()
    assert record.exists()

    age(places_of(tmp_path).pending, 2 * ABANDONED)
    changes.collect()
    changes.collect()

    assert not record.exists()


def test_collect_keeps_all_that_serves_or_is_pending(tmp_path, changes):
    """Whatever its age; the rest goes, temporary files of dead writers too."""
    places = places_of(tmp_path)
    publish(changes, "shop", "main", {"index.html": PAGE})
    gone = publish(changes, "shop", "gone", {"only.html": "gone" * 99})
    pending = upload(changes, "shop", "main", {"new.html": "new" * 99, "index.html": PAGE})
    changes.delete_branch("shop", "gone")
    for folder in (places.compiled, places.deployments / "shop" / "main", places.pending):
        (folder / ".tmp-0123").write_text("torn")
    age(places.state, 2 * LEASE)

    blobs, size = changes.collect()

    assert (blobs, size > 99 * 4) == (4, True)
    assert changes.blobs.missing([sha256("gone" * 99)]) == [sha256("gone" * 99)]
    assert list(places.state.rglob(".tmp-*")) == []
    assert changes.activate(pending.id) == pending
    assert gone.id not in listed(changes)
    assert changes.collect()[0] == 0


def test_a_rolled_back_node_restarts_as_it_was(tmp_path, changes):
    """`current` is the only truth."""
    first, _ = versions(changes, 2)
    changes.rollback("shop", "main")

    restarted = open_store(tmp_path)
    restarted.reload()

    assert active(restarted, "shop") == first


# Rules and headers that a deployment carries

HEADERS = "customHeaders: [{pattern: '**', headers: [{key: X-Own, value: NUMBER}]}]"


def carrying(number):
    """A deployment with rules and headers of its own."""
    return {
        "index.html": str(number),
        "redirects.json": json.dumps([{"source": "/old", "target": f"/{number}"}]),
        "customHttp.yml": HEADERS.replace("NUMBER", f"'{number}'"),
    }


def targets(tmp_path, state):
    """Where the rules that a state names lead; None without any."""
    if state.rules is None:
        return None
    lines = (places_of(tmp_path).compiled / state.rules).read_bytes().splitlines()
    return [rule.target for block in decode_rules(lines) for rule in block]


def test_a_deployment_brings_its_rules_and_its_headers(tmp_path, changes):
    """For its branch alone; the next one without any leaves the branch none of them."""
    publish(changes, "shop", "other", FILES)
    publish(changes, "shop", "main", carrying(1))

    state = changes.branch("shop", "main")
    assert targets(tmp_path, state) == ["/1"]
    assert state.headers is not None
    other, app = changes.branch("shop", "other"), changes.app("shop")
    assert [(each.rules, each.headers) for each in (other, app)] == [(None, None)] * 2

    publish(changes, "shop", "main", FILES)
    state = changes.branch("shop", "main")
    assert (state.rules, state.headers) == (None, None)


def test_one_file_may_be_carried_without_the_other(tmp_path, changes):
    """Each replaces its own kind."""
    files = carrying(1)
    del files["customHttp.yml"]
    publish(changes, "shop", "main", files)

    state = changes.branch("shop", "main")
    assert (targets(tmp_path, state), state.headers) == (["/1"], None)


def test_rollback_restores_the_rules_of_what_it_goes_back_to(tmp_path, changes):
    """Step by step, as far as to a deployment that had none."""
    publish(changes, "shop", "main", FILES)
    publish(changes, "shop", "main", carrying(1))
    before = changes.branch("shop", "main")
    publish(changes, "shop", "main", carrying(2))
    assert targets(tmp_path, changes.branch("shop", "main")) == ["/2"]

    changes.rollback("shop", "main")
    state = changes.branch("shop", "main")
    assert (state.rules, state.headers) == (before.rules, before.headers)
    assert targets(tmp_path, state) == ["/1"]

    changes.rollback("shop", "main")
    state = changes.branch("shop", "main")
    assert (state.rules, state.headers) == (None, None)


def test_an_older_deployment_brings_its_rules_back(tmp_path, changes):
    """Activated by its id, also when its documents were collected meanwhile."""
    first = publish(changes, "shop", "main", carrying(1))
    key = changes.branch("shop", "main").rules
    for number in range(KEPT + 2):
        publish(changes, "shop", "main", {"index.html": str(number)})
    changes.collect()
    assert not (places_of(tmp_path).compiled / key).exists()

    changes.activate(first.id)

    state = changes.branch("shop", "main")
    assert (state.rules, targets(tmp_path, state)) == (key, ["/1"])


BROKEN = {
    "redirects.json": (
        '[{"source": "/a",\n "target": "/<x>"}]',
        "redirects.json:2:2: [0].target: unknown placeholder <x> (the source captures nothing)",
    ),
    "customHttp.yml": (
        "# ours\ncustomHeaders: 5",
        "customHttp.yml:2:16: customHeaders: expected a list in [brackets], found a single value",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_deployment_whose_rules_or_headers_have_mistakes_is_refused(tmp_path, changes, name):
    """With the places; what served before serves on, rules and all, and is what comes next."""
    publish(changes, "shop", "main", carrying(1))
    good = publish(changes, "shop", "main", carrying(2))
    before = changes.app("shop"), changes.generations.current()
    text, message = BROKEN[name]
    header = upload(changes, "shop", "main", carrying(3) | {name: text})

    for _ in range(2):
        with pytest.raises(Mistaken, match="1 mistake in the configuration") as refused:
            changes.activate(header.id)
        assert [str(each) for each in refused.value.errors] == [message]
    assert (changes.app("shop"), changes.generations.current()) == before
    assert open_store(tmp_path).app("shop") == before[0]
    assert changes.reload().changed == []
    assert active(changes, "shop") == good.id

    mended = publish(changes, "shop", "main", carrying(3))
    assert targets(tmp_path, changes.branch("shop", "main")) == ["/3"]
    assert changes.rollback("shop", "main").id == good.id
    assert mended.id != header.id


def test_both_carried_files_mistakes_are_told_at_once(changes):
    """By place, so that one more deploy mends them all."""
    files = FILES | {name: text for name, (text, _) in BROKEN.items()}
    with pytest.raises(Mistaken) as refused:
        publish(changes, "shop", "main", files)

    assert [each.file for each in refused.value.errors] == ["customHttp.yml", "redirects.json"]


def test_a_deploy_never_reads_the_rules_of_an_app_that_serves(tmp_path, changes):
    """Those of the folder go in with a reload; those of a new app go in with its first deploy."""
    write_app(tmp_path, "shop")
    file = tmp_path / "rules" / "shop" / "redirects.json"
    file.write_text('[{"source": "/old", "target": "/folder"}]')
    publish(changes, "shop", "main", FILES)
    assert targets(tmp_path, changes.app("shop")) == ["/folder"]

    file.write_text("[{")
    publish(changes, "shop", "main", {"index.html": "new"})
    publish(changes, "shop", "next", FILES)

    assert targets(tmp_path, changes.app("shop")) == ["/folder"]
    assert changes.app("shop").config is not None


def test_a_refused_change_leaves_no_document(tmp_path, changes):
    """What a worker could not load is not on the disk afterwards; it can be activated later."""
    publish(changes, "shop", "main", FILES)
    header = upload(changes, "shop", "main", carrying(1))
    places = places_of(tmp_path)
    before = sorted(path.name for path in places.compiled.iterdir())
    worker = FakeWorker(places.run, lambda _: {"error": "torn"})
    with pytest.raises(StoreError, match="torn"):
        changes.activate(header.id)
    worker.close()

    assert sorted(path.name for path in places.compiled.iterdir()) == before
    assert targets(tmp_path, changes.branch("shop", "main")) is None
    changes.activate(header.id)
    assert targets(tmp_path, changes.branch("shop", "main")) == ["/1"]


def test_collect_keeps_the_documents_that_serve(tmp_path, changes):
    """An app's own and a branch's, rules and headers, whatever their age."""
    write_app(tmp_path, "shop")
    (tmp_path / "rules" / "shop" / "redirects.json").write_text("[]")
    (tmp_path / "rules" / "shop" / "customHttp.yml").write_text(HEADERS)
    publish(changes, "shop", "main", carrying(1))
    publish(changes, "shop", "next", carrying(2))
    app = changes.app("shop")
    keys = {app.rules, app.headers}
    keys |= {each.rules for each in app.branches.values()}
    keys |= {each.headers for each in app.branches.values()}
    assert len(keys - {None}) == 6
    age(places_of(tmp_path).state, 2 * LEASE)

    for _ in range(2):
        changes.collect()

    assert keys <= {path.name for path in places_of(tmp_path).compiled.iterdir()}
    assert targets(tmp_path, open_store(tmp_path).branch("shop", "next")) == ["/2"]


def test_collect_forgets_documents_that_nothing_names(tmp_path, changes):
    """Once the last generation with them is gone; until then they are asked about perhaps."""
    publish(changes, "shop", "main", carrying(1))
    state = changes.branch("shop", "main")
    mine = {state.rules, state.headers}
    compiled = places_of(tmp_path).compiled
    publish(changes, "shop", "main", carrying(2))
    changes.collect()
    assert mine <= {path.name for path in compiled.iterdir()}

    for number in range(KEPT + 1):
        publish(changes, "shop", "main", {"index.html": str(number)})
    changes.collect()

    assert not mine & {path.name for path in compiled.iterdir()}


def test_a_branch_that_is_gone_takes_its_documents_along(tmp_path, changes):
    """In time; another branch with the same rules keeps them."""
    for branch in ("main", "next", "other"):
        publish(changes, "shop", branch, carrying(1 if branch != "other" else 2))
    same, lone = changes.branch("shop", "next").rules, changes.branch("shop", "other").rules
    changes.delete_branch("shop", "next")
    changes.delete_branch("shop", "other")
    for number in range(KEPT + 1):
        publish(changes, "blog", "main", {"index.html": str(number)})
    changes.collect()

    names = {path.name for path in places_of(tmp_path).compiled.iterdir()}
    assert (same in names, lone in names) == (True, False)
