"""Deployments on the disk, without anything that serves them."""

from __future__ import annotations

import io
import time

import msgspec
import pytest

from edge.control.announcements import FileDigest
from edge.control.blobs import BlobStore
from edge.control.deployments import (
    ABANDONED,
    LEASE,
    MAX_MESSAGE,
    Deployments,
    Marked,
    Missing,
    NoSuch,
)
from edge.errors import StoreError
from edge.site.limits import Limits
from edge.site.places import Places
from tests.support_control import DAY, HOUR, PAGE, age, digests, encoded, sha256

FILES = {"index.html": PAGE, "copy.html": PAGE, "a/logo.png": "png" * 200, "empty": ""}


@pytest.fixture
def places(tmp_path):
    """A state folder."""
    found = Places(tmp_path / "var")
    for folder in (found.deployments, found.branches):
        folder.mkdir(parents=True)
    return found


@pytest.fixture
def blobs(places):
    """Its blobs."""
    store = BlobStore(places)
    store.open()
    return store


@pytest.fixture
def deployments(places, blobs):
    """Its deployments."""
    return Deployments(places, blobs)


def begin(deployments, files, app="shop", branch="main", message=""):
    """Announce files."""
    return deployments.begin(app, branch, digests(files), message, Limits())


def send(blobs, files):
    """Send the content of files."""
    for content in files.values():
        blobs.put(sha256(content), io.BytesIO(encoded(content)))


def complete(deployments, blobs, files, **names):
    """A complete deployment."""
    header, _ = begin(deployments, files, **names)
    send(blobs, files)
    return deployments.complete(header.id)


def test_begin_names_what_has_to_be_sent(deployments):
    """Each hash once; the header counts files and bytes."""
    header, missing = begin(deployments, FILES, message="first")

    assert missing == sorted({sha256(content) for content in FILES.values()})
    assert (header.files, header.bytes) == (4, sum(len(each) for each in FILES.values()))
    assert (header.app, header.branch, header.label) == ("shop", "main", "main")
    assert header.message == "first"


def test_a_long_message_is_cut(deployments):
    """A message is a line in a list, not a document."""
    header, _ = begin(deployments, FILES, message="m" * 2000)

    assert len(header.message) == MAX_MESSAGE


def test_complete_writes_the_manifest(places, deployments, blobs):
    """Entries by path with media type and codings, blobs in the store, nothing pending."""
    header = complete(deployments, blobs, FILES)

    entries = {entry.path: entry for entry in deployments.entries(header)}
    assert list(entries) == sorted(FILES)
    assert entries["a/logo.png"].media_type == "image/png"
    assert entries["a/logo.png"].codings == {}
    assert set(entries["index.html"].codings) == {"br", "zstd", "gzip"}
    assert entries["copy.html"].codings == entries["index.html"].codings
    assert entries["empty"].size == 0
    assert not list(places.pending.glob("[0-9]*"))
    assert not list(places.staged.iterdir())
    assert not places.blob(sha256(FILES["a/logo.png"]), "br").exists()


def test_complete_again_is_the_same(deployments, blobs):
    """An activation that is repeated finds what it made."""
    header = complete(deployments, blobs, FILES)

    assert deployments.complete(header.id) == header


def test_complete_after_a_crash_forgets_what_is_pending(places, deployments, blobs):
    """A manifest that was written is not written again."""
    header, _ = begin(deployments, FILES)
    pending = (places.pending / header.id).read_bytes()
    send(blobs, FILES)
    deployments.complete(header.id)
    manifest = places.manifest("shop", "main", header.id)
    inode = manifest.stat().st_ino
    (places.pending / header.id).write_bytes(pending)

    assert deployments.complete(header.id) == header
    assert manifest.stat().st_ino == inode
    assert not (places.pending / header.id).exists()


def test_an_incomplete_one_is_refused_with_the_list(deployments, blobs):
    """The hashes for machines, the paths for people; what is here is not asked for."""
    header, _ = begin(deployments, FILES)
    send(blobs, {"index.html": PAGE})

    with pytest.raises(Missing, match=r"2 blobs are missing \(a/logo.png, empty\)") as refused:
        deployments.complete(header.id)

    assert refused.value.hashes == sorted([sha256(FILES["a/logo.png"]), sha256("")])


def test_a_long_list_is_cut_for_people(deployments):
    """Ten paths are named; the hashes are all there."""
    header, _ = begin(deployments, {f"{number:02}.txt": str(number) for number in range(30)})

    with pytest.raises(Missing, match=r"30 blobs .*09.txt, …\)") as refused:
        deployments.complete(header.id)

    assert len(refused.value.hashes) == 30


def test_a_size_that_is_not_the_blobs_is_refused(places, deployments, blobs):
    """A manifest must not promise what the disk does not have."""
    header, _ = deployments.begin(
        "shop", "main", {"a.txt": FileDigest(sha256("abc"), 4)}, "", Limits()
    )
    send(blobs, {"a.txt": "abc"})

    with pytest.raises(StoreError, match=r"'a.txt' was announced with 4 bytes and has 3"):
        deployments.complete(header.id)

    assert not places.manifest("shop", "main", header.id).exists()


def test_codings_are_not_made_again(places, deployments, blobs):
    """An identical deploy leaves every file of the store as it is."""
    complete(deployments, blobs, FILES)
    before = {path: path.stat() for path in places.blobs.rglob("*") if path.is_file()}

    header, missing = begin(deployments, FILES)
    deployments.complete(header.id)

    after = {path: path.stat() for path in places.blobs.rglob("*") if path.is_file()}
    assert missing == []
    assert {path: (each.st_ino, each.st_mtime_ns) for path, each in after.items()} == {
        path: (each.st_ino, each.st_mtime_ns) for path, each in before.items()
    }


def test_what_is_announced_is_checked(deployments, places):
    """A bad path leaves nothing, not even the branch."""
    with pytest.raises(StoreError, match="absolute"):
        begin(deployments, {"/etc/passwd": ""})

    assert deployments.branches("shop") == []
    assert not list(places.pending.glob("[0-9]*"))


def test_labels_are_kept_for_good(deployments):
    """A colliding branch gets a hash suffix, and each keeps what it was given."""
    labels = [
        begin(deployments, FILES, branch=branch)[0].label
        for branch in ("feature/x", "feature-x", "feature/x", "feature-x", "X" * 80)
    ]

    assert labels[0] == labels[2] == "feature-x"
    assert labels[1] == labels[3]
    assert labels[1].startswith("feature-x-")
    assert len(labels[1]) == len("feature-x-") + 8
    assert len(labels[4]) == 63
    assert sorted(record.name for record in deployments.branches("shop")) == sorted(
        ["feature/x", "feature-x", "X" * 80]
    )


def test_apps_have_labels_of_their_own(deployments):
    """Two apps may have the same branch."""
    assert begin(deployments, FILES, app="one")[0].label == "main"
    assert begin(deployments, FILES, app="two")[0].label == "main"


def test_find_knows_every_branch(places, deployments, blobs):
    """By its id alone, whether it was looked at before or not."""
    found = [complete(deployments, blobs, FILES, app=app) for app in ("one", "two")]

    for each in (deployments, Deployments(places, blobs)):
        for _ in range(2):
            assert [each.find(header.id) for header in found] == found
    deployments.delete("one", "main", [found[0].id])
    with pytest.raises(NoSuch):
        deployments.find(found[0].id)


@pytest.mark.parametrize("method", ["find", "complete"])
def test_an_unknown_id_is_refused(deployments, method):
    """With the command that lists those there are."""
    with pytest.raises(NoSuch, match="`edge deployments` lists"):
        getattr(deployments, method)("20260101-000000-aaaaaa")


def test_of_branch_lists_the_newest_first(places, deployments, blobs):
    """Whatever else lies there is passed over."""
    one, two = (complete(deployments, blobs, {"a": text}) for text in "12")
    folder = places.manifest("shop", "main", one.id).parent
    (folder / ".tmp-0123").write_text("torn")
    path = places.manifest("shop", "main", one.id)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(one, created=1.0)))

    assert [header.id for header in deployments.of_branch("shop", "main")] == [two.id, one.id]
    assert deployments.of_branch("shop", "other") == []


def test_surplus_spares_the_newest_and_what_is_kept(deployments, blobs):
    """`retain.deployments` counts from the newest."""
    headers = [complete(deployments, blobs, {"a": str(number)}) for number in range(5)]
    newest_first = [each.id for each in deployments.of_branch("shop", "main")]

    gone = deployments.surplus("shop", "main", 2, [newest_first[-1]])
    deployments.delete("shop", "main", gone)

    assert gone == newest_first[2:4]
    assert [each.id for each in deployments.of_branch("shop", "main")] == [
        *newest_first[:2],
        newest_first[-1],
    ]
    assert len(headers) == 5


def test_what_is_deleted_is_not_remembered(deployments, blobs):
    """A process that deploys for years knows the places of what there is."""
    for number in range(4):
        complete(deployments, blobs, {"a": str(number)})
    *old, newest = sorted(each.id for each in deployments.of_branch("shop", "main"))
    other = complete(deployments, blobs, {"a": "other"}, branch="other")
    deployments.find(other.id)

    deployments.delete("shop", "main", old)
    deployments.delete_branch("shop", "other")

    assert list(deployments._seen) == [newest]


def test_delete_branch_forgets_all_of_it(places, deployments, blobs):
    """Deployments, what is pending, and the label; the other branch stays."""
    complete(deployments, blobs, FILES)
    pending, _ = begin(deployments, {"b": "new"})
    other = complete(deployments, blobs, FILES, branch="other")
    other_pending, _ = begin(deployments, {"b": "new"}, branch="other")

    deployments.delete_branch("shop", "main")

    assert [record.name for record in deployments.branches("shop")] == ["other"]
    assert deployments.of_branch("shop", "main") == []
    assert deployments.pending(pending.id) is None
    assert deployments.pending(other_pending.id) is not None
    assert deployments.of_branch("shop", "other") == [other]


def collect(deployments):
    """One collection, by now."""
    return deployments.collect(deployments.mark(Marked()), time.time())


def test_collect_deletes_what_nothing_names(places, deployments, blobs):
    """Blobs of a deleted deployment go, shared ones stay."""
    one = complete(deployments, blobs, {"a": "only one", "b": "both"})
    two = complete(deployments, blobs, {"b": "both"}, branch="two")
    age(places.blobs, 2 * LEASE)
    deployments.delete("shop", "main", [one.id])

    assert collect(deployments) == (1, len("only one"))
    assert blobs.missing([sha256("both"), sha256("only one")]) == [sha256("only one")]
    assert [entry.path for entry in deployments.entries(two)] == ["b"]


def test_young_blobs_stay_for_an_hour(places, deployments, blobs):
    """A deploy may have found them present a moment ago."""
    header = complete(deployments, blobs, {"a": "x"})
    deployments.delete("shop", "main", [header.id])
    age(places.blobs, LEASE - 60)

    assert collect(deployments) == (0, 0)


def test_what_a_pending_deployment_names_stays(places, deployments, blobs):
    """In the store, staged, and with its codings, however old the bytes are."""
    first = complete(deployments, blobs, {"a.html": PAGE})
    pending, missing = begin(deployments, {"a.html": PAGE, "b.html": "staged" * 99})
    send(blobs, {"b.html": "staged" * 99})
    blobs.encode([sha256("staged" * 99)])
    deployments.delete("shop", "main", [first.id])
    for folder in (places.blobs, places.staged):
        age(folder, 30 * DAY)

    assert missing == [sha256("staged" * 99)]
    assert collect(deployments) == (0, 0)
    assert deployments.complete(pending.id) == pending
    assert all(entry.codings for entry in deployments.entries(pending))


def test_abandoned_deployments_are_forgotten(places, deployments, blobs):
    """After a day without a sign of life; then their blobs are nobody's."""
    header, _ = begin(deployments, {"a": "x"})
    send(blobs, {"a": "x"})
    age(places.pending / header.id, ABANDONED - HOUR)
    collect(deployments)
    assert deployments.pending(header.id) is not None

    age(places.pending, ABANDONED)
    collect(deployments)

    assert deployments.pending(header.id) is None
    assert blobs.missing([sha256("x")]) == [sha256("x")]


def test_a_damaged_manifest_stops_the_collection(places, deployments, blobs):
    """What it names cannot be told, so nothing is deleted."""
    one = complete(deployments, blobs, {"a": "x"})
    two = complete(deployments, blobs, {"a": "y"})
    deployments.delete("shop", "main", [two.id])
    age(places.blobs, 2 * LEASE)
    path = places.manifest("shop", "main", one.id)
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(StoreError, match=one.id):
        collect(deployments)

    assert blobs.missing([sha256("x"), sha256("y")]) == []


def test_mark_reads_only_what_is_new(places, deployments, blobs):
    """The second pass, which holds up deploys, costs what came since the first."""
    complete(deployments, blobs, {"a": "x"})
    marked = deployments.mark(Marked())
    second = complete(deployments, blobs, {"a": "y"})
    read = []
    original = deployments.entries
    deployments.entries = lambda header: read.append(header.id) or original(header)

    deployments.mark(marked)

    assert read == [second.id]
    assert marked.blobs == {sha256("x"), sha256("y")}


def test_stale_branches_are_those_nobody_deployed_to(places, deployments, blobs):
    """A deployment that is pending is a sign of life; a record without any has its own age."""
    for branch in ("old", "pending", "young"):
        header = complete(deployments, blobs, {"a": branch}, branch=branch)
        if branch != "young":
            path = places.manifest("shop", header.label, header.id)
            path.write_bytes(msgspec.json.encode(msgspec.structs.replace(header, created=5.0)))
    begin(deployments, {"a": "again"}, branch="pending")
    never, _ = begin(deployments, {"a": "never"}, branch="never")
    (places.pending / never.id).unlink()
    now = time.time()

    assert [record.name for _, record in deployments.stale({"shop": now - 60})] == ["old"]
    assert sorted(record.name for _, record in deployments.stale({"shop": now + 60})) == [
        "never",
        "old",
        "young",
    ]
    assert list(deployments.stale({})) == []
