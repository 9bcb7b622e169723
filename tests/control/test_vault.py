"""Versions that never change, and which of them serves."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from edge.control import durable
from edge.control.chains import BadPem
from edge.control.vault import KEPT, Vault, file_of, unfile
from edge.site.certificates import Challenges, HttpAnswer, Keyring
from edge.site.places import Places
from edge.site.renewal import Record
from tests.support_certificates import DAY, NOW, Signer, cert_pem, signer

FIRST = signer().issue("a.test", "b.test", start=NOW - 60 * DAY, end=NOW + 30 * DAY)
SECOND = signer().issue("a.test", "b.test")


@pytest.fixture
def vault(tmp_path):
    """A new one."""
    vault = Vault(Places(tmp_path / "var"))
    vault.open()
    return vault


def again(vault):
    """The same as the next process sees it."""
    return Vault(vault._places)


def folder_of(vault, name="a.test", source="acme"):
    """Where a name's versions lie."""
    return vault._places.tls / "certs" / source / file_of(name)


def test_what_is_published_serves(vault):
    """With the facts of its PEM, now and for the next process."""
    published = vault.publish("a.test", FIRST, "acme")

    assert published.names == ("a.test", "b.test")
    assert published.source == "acme"
    assert published.file == f"certs/acme/a.test/{published.id}.pem"
    assert vault.read_pem(published) == FIRST
    assert vault.current("acme", "a.test") == published == again(vault).current("acme", "a.test")
    assert vault.names("acme") == ["a.test"]


def test_the_next_version_leaves_the_first_as_it_is(vault):
    """Only `current` moves."""
    first = vault.publish("a.test", FIRST, "acme")

    second = vault.publish("a.test", SECOND, "acme")

    assert again(vault).current("acme", "a.test") == second
    assert vault.read_pem(first) == FIRST


def test_an_earlier_version_may_come_back(vault):
    """The operator's word: an older file that is put back serves."""
    first = vault.publish("a.test", FIRST, "files")
    vault.publish("a.test", SECOND, "files")

    assert vault.publish("a.test", FIRST, "files") == first
    assert again(vault).current("files", "a.test") == first


def test_other_issuers_make_another_version(vault):
    """Workers know a version by its name and would not read it again."""
    first = vault.publish("a.test", SECOND, "files")
    longer = SECOND + cert_pem(signer().certificate)

    second = vault.publish("a.test", longer, "files")

    assert second.id != first.id
    assert vault.read_pem(again(vault).current("files", "a.test")) == longer
    assert vault.read_pem(first) == SECOND


def test_sources_do_not_touch_each_other(vault):
    """The operator's version of a name takes nothing from the authority's."""
    ours = vault.publish("*.a.test", signer().issue("*.a.test"), "internal")
    theirs = vault.publish("*.a.test", signer().issue("*.a.test"), "files")

    assert vault.current("internal", "*.a.test") == ours
    assert vault.current("files", "*.a.test") == theirs
    assert vault.current("acme", "*.a.test") is None
    assert (vault.names("internal"), vault.names("acme")) == (["*.a.test"], [])


def test_nobody_else_may_look(vault):
    """Folder 0700, every file 0600."""
    vault.publish("a.test", FIRST, "acme")
    vault.keep(Record(name="a.test"))
    vault.write_keyring(Keyring())
    vault.write_challenges(Challenges())

    files = [path for path in vault._places.tls.rglob("*") if path.is_file()]
    assert len(files) == 5
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert vault._places.tls.stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_served_is_not_stored(vault):
    """The last good one serves on."""
    first = vault.publish("a.test", FIRST, "acme")

    with pytest.raises(BadPem):
        vault.publish("a.test", FIRST[:-60], "acme")

    assert again(vault).current("acme", "a.test") == first
    assert len(list(folder_of(vault).glob("*.pem"))) == 1


@pytest.mark.parametrize(
    "content",
    [None, b"", b"nonsense\n", b"../../etc/passwd\n", b"\0\n", b"\xff\xfe\n"],
    ids=["missing", "empty", "unknown", "a path", "a zero", "no text"],
)
def test_a_broken_pointer_hides_nothing(vault, content):
    """The newest version that can be read serves."""
    vault.publish("a.test", FIRST, "acme")
    second = vault.publish("a.test", SECOND, "acme")
    pointer = folder_of(vault) / "current"
    pointer.unlink() if content is None else pointer.write_bytes(content)

    assert again(vault).current("acme", "a.test") == second


@pytest.mark.parametrize("content", [b"", SECOND[:400], b"x" * 4000])
def test_a_broken_version_hides_no_older_one(vault, content):
    """Half a file of a full disk, zeros after a power cut: the last good one serves."""
    first = vault.publish("a.test", FIRST, "acme")
    second = vault.publish("a.test", SECOND, "acme")
    (vault._places.tls / second.file).write_bytes(content)

    assert again(vault).current("acme", "a.test") == first

    repaired = vault.publish("a.test", SECOND, "acme")
    assert again(vault).current("acme", "a.test") == repaired


def test_a_version_that_goes_away_is_noticed(vault):
    """What was read once is not believed for ever."""
    first = vault.publish("a.test", FIRST, "acme")
    second = vault.publish("a.test", SECOND, "acme")
    (vault._places.tls / second.file).unlink()

    assert vault.current("acme", "a.test") == first


def test_a_writer_that_dies_before_the_pointer_moves_loses_nothing(vault):
    """What was written whole is found by the next process: no second order for it."""
    vault.publish("a.test", FIRST, "acme")
    pointer = folder_of(vault) / "current"
    os.utime(pointer, (1, 1))
    version = folder_of(vault) / "orphan.pem"
    durable.write(version, SECOND, 0o600)

    found = again(vault).current("acme", "a.test")

    assert vault.read_pem(found) == SECOND


@pytest.mark.parametrize("step", range(1, 12))
def test_a_death_at_any_step_leaves_one_that_serves(tmp_path, step):
    """A child publishes and ends at its n-th write, fsync, rename or the like."""
    vault = Vault(Places(tmp_path / "var"))
    vault.open()
    first = vault.publish("a.test", FIRST, "acme")
    pid = os.fork()
    if pid == 0:
        die_at(step)
        vault.publish("a.test", SECOND, "acme")
        os._exit(0)
    os.waitpid(pid, 0)

    found = again(vault).current("acme", "a.test")

    assert found is not None
    assert vault.read_pem(found) in (FIRST, SECOND)
    published = vault.publish("a.test", SECOND, "acme")
    assert again(vault).current("acme", "a.test") == published != first


def die_at(step):
    """End this process at the n-th call that touches the disk."""
    calls = iter(range(1, 1_000))

    def watch(event, _):
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and next(calls) == step:
            os._exit(1)

    sys.addaudithook(watch)


def test_records_are_advice(vault):
    """Kept, and begun anew where they are broken or another name's."""
    record = Record(name="*.a.test", failures=3, next_attempt=NOW)
    vault.keep(record)
    file = vault._places.tls / "records" / "wildcard_.a.test.json"

    assert again(vault).record("*.a.test") == record
    for broken in (b"", b"{", b'{"name": 1}', b'{"name": "other"}', b"\xff"):
        file.write_bytes(broken)
        assert vault.record("*.a.test") == Record(name="*.a.test")
    assert vault.record("never.test") == Record(name="never.test")


def test_documents_of_workers(vault):
    """Written whole, read back; broken ones are none."""
    keyring = Keyring((vault.publish("a.test", FIRST, "acme"),))
    challenges = Challenges({"token": HttpAnswer("a.test", "token.thumb")}, {"a.test": "PEM"})
    assert (vault.keyring(), vault.challenges()) == (Keyring(), Challenges())

    vault.write_keyring(keyring)
    vault.write_challenges(challenges)

    assert (again(vault).keyring(), again(vault).challenges()) == (keyring, challenges)
    vault._places.keyring.write_bytes(b"{")
    assert vault.keyring() == Keyring()


@pytest.mark.parametrize(
    ("directory", "folder"),
    [
        (
            "https://acme-v02.api.letsencrypt.org/directory",
            "acme-v02.api.letsencrypt.org-directory",
        ),
        ("http://127.0.0.1:14000/dir", "127.0.0.1-14000-dir"),
        ("https://ca.test/a/../b", "ca.test-a-..-b"),
    ],
)
def test_accounts_lie_by_authority(vault, directory, folder):
    """One folder each, whatever the URL."""
    assert vault.account(directory) == vault._places.tls / "accounts" / folder


def test_cleaning_takes_expired_versions_of_wanted_names(vault):
    """Two weeks after they expired, and never the one that serves."""
    old = signer().issue("a.test", start=NOW - 100 * DAY, end=NOW - 15 * DAY)
    fresh = signer().issue("a.test", start=NOW - 100 * DAY, end=NOW - 13 * DAY)
    last = signer().issue("b.test", start=NOW - 100 * DAY, end=NOW - 50 * DAY)
    gone = vault.publish("a.test", old, "acme")
    kept = vault.publish("a.test", fresh, "acme")
    current = vault.publish("a.test", SECOND, "acme")
    only = vault.publish("b.test", last, "acme")

    assert vault.clean({("acme", "a.test"), ("acme", "b.test")}, NOW) == 1

    left = {each.name for each in vault._places.tls.rglob("*.pem")}
    assert left == {f"{each.id}.pem" for each in (kept, current, only)}
    assert not (vault._places.tls / gone.file).exists()


def test_cleaning_takes_names_that_nobody_wants(vault):
    """Two weeks after the first look that found them so; a name that comes back stays."""
    vault.publish("a.test", SECOND, "acme")
    vault.publish("b.test", SECOND, "internal")
    vault.keep(Record(name="a.test"))

    assert vault.clean((), NOW) == 0
    assert vault.clean({("internal", "b.test")}, NOW + KEPT - 1) == 0
    assert vault.clean((), NOW + KEPT) == 1

    assert (vault.names("acme"), vault.names("internal")) == ([], ["b.test"])
    assert vault.current("acme", "a.test") is None
    assert not (vault._places.tls / "records" / "a.test.json").exists()
    assert vault.clean((), NOW + 2 * KEPT - 1) == 0
    vault.publish("b.test", SECOND, "internal")
    assert vault.clean((), NOW + 3 * KEPT) == 0


def test_a_disk_that_takes_nothing_is_found_before_an_order(vault):
    """The probe leaves nothing behind, and says so where it cannot write."""
    vault.probe()
    certificates = vault._places.tls / "certs"
    assert list(certificates.iterdir()) == []

    certificates.rmdir()
    certificates.write_bytes(b"")
    with pytest.raises(OSError, match="exists"):
        vault.probe()


def test_probes_do_not_disturb_each_other(vault):
    """Many orders begin at the same time."""
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda _: vault.probe(), range(80)):
            pass


@pytest.mark.parametrize("name", ["a.test", "*.a.test", "[2001:db8::1]", "192.0.2.1"])
def test_files_are_called_after_names(name):
    """And back."""
    assert unfile(file_of(name)) == name
    assert "*" not in file_of(name)


def test_readers_meanwhile_see_the_old_or_the_new(vault):
    """A reader beside a writer never sees none."""
    vault.publish("a.test", FIRST, "acme")
    done = threading.Event()
    seen = set()

    def read():
        reader = again(vault)
        while not done.is_set():
            seen.add(reader.current("acme", "a.test"))

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(10):
        vault.publish("a.test", SECOND, "acme")
        vault.publish("a.test", FIRST, "acme")
    done.set()
    thread.join()

    assert None not in seen
    assert {each.names for each in seen} == {("a.test", "b.test")}


def test_unequal_authorities_do_not_share_identifiers(vault):
    """The same serial of another authority is another certificate."""
    one = vault.publish("a.test", Signer("One").issue("a.test", serial=7), "acme")
    two = vault.publish("a.test", Signer("Two").issue("a.test", serial=7), "acme")

    assert one.id != two.id
    assert msgspec.structs.replace(one, id=two.id, file=two.file, issuer="Two") == two
