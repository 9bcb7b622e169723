"""Whether the state folder can be trusted: full and fleeting disks, and who may read keys."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from edge.control import doctor_disk
from edge.control.doctor_disk import (
    check_disk,
    check_geoip,
    check_leftovers,
    check_log,
    check_permissions,
    judge_database,
    judge_kind,
    judge_log,
    judge_room,
    kind_of,
    nearest,
    try_to_write,
)
from edge.node import orders
from edge.site.settings import AccessLog, AccountBinding, Acme, GeoIP, Settings, Smtp, Tls
from tests.support_doctor import patient_of

MIB = 1 << 20
DATABASE = Path(__file__).parents[1] / "data" / "GeoIP2-Country-Test.mmdb"


@pytest.fixture
def tiny(tmp_path):
    """A real disk of 64 KiB; only root can have one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def open_folder():
    """A folder that everybody may look into, as those of `tmp_path` are not."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextlib.contextmanager
def acting_as(user: int):
    """Without root's rights, and back."""
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


# Room


def test_a_disk_in_memory_and_full(tiny):
    """All three are told: little room, forgotten at a reboot, and no write that works."""
    (tiny / "var").mkdir()
    with contextlib.suppress(OSError):
        (tiny / "ballast").write_bytes(bytes(1 * MIB))

    room, kind, write = check_disk(patient_of(tiny))

    assert (room.level, room.text) == ("wrong", f"{tiny / 'var'}: 0 MiB free")
    assert (kind.level, kind.remedy) == ("warning", "give `state` a disk; in a container, a volume")
    assert write.level == "wrong"
    assert write.text == f"{tiny / 'var'} cannot be written to: No space left on device"
    assert list((tiny / "var").iterdir()) == []


def test_a_disk_with_room(tmp_path):
    """Before the first start its nearest folder is tried; nothing is left there."""
    findings = list(check_disk(patient_of(tmp_path)))

    assert findings[-1].level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_grow(tmp_path):
    """Of any kind: the system's own word is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # Python ignores SIGXFSZ
    try:
        found = try_to_write(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert found.text == f"{tmp_path} cannot be written to: File too large"
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_a_folder_of_somebody_else(open_folder):
    """Neither state nor log can be written by whoever may not."""
    with acting_as(65534):
        found = try_to_write(open_folder)
        (log,) = check_log(patient_of(open_folder))

    assert found.text == f"{open_folder} cannot be written to: Permission denied"
    assert (log.level, log.text) == ("wrong", f"{open_folder} cannot be written to")


@pytest.mark.parametrize(
    ("free", "names", "all_names", "level"),
    [
        (99 * MIB, 10**6, 10**6, "wrong"),
        (999 * MIB, 10**6, 10**6, "warning"),
        (2048 * MIB, 9_999, 10**6, "warning"),
        (2048 * MIB, 0, 0, "ok"),
        (2048 * MIB, 10**6, 10**6, "ok"),
    ],
)
def test_room(free, names, all_names, level):
    """For bytes and for names; where names are not counted, there is room for them."""
    assert judge_room(Path("/x"), free, names, all_names).level == level


def test_kinds_of_disks(tmp_path):
    """What is forgotten, what is far away, and what is neither."""
    assert kind_of(Path("/proc")) == "proc"
    assert "goes with it" in next(judge_kind(tmp_path, "overlay")).text
    assert "locks may not hold" in next(judge_kind(tmp_path, "nfs4")).text
    assert list(judge_kind(tmp_path, "ext4")) == []
    assert nearest(tmp_path / "a" / "b") == tmp_path


# The access log


def test_a_log_that_may_fill_the_disk(tmp_path):
    """Its bound against what is free, with what it has already."""
    assert judge_log(tmp_path, 10 * MIB, 4 * MIB, 5 * MIB).remedy == "lower access_log.max_total"
    assert judge_log(tmp_path, 10 * MIB, 6 * MIB, 5 * MIB).level == "ok"


def test_where_the_log_is(tmp_path):
    """Files that were set aside count; no log needs no room."""
    folder = tmp_path / "var" / "log"
    folder.mkdir(parents=True)
    (folder / "access.jsonl").write_bytes(bytes(2 * MIB))
    (folder / "access-20261126T072959Z.jsonl").write_bytes(bytes(3 * MIB))
    settings = Settings(access_log=AccessLog(max_total=6 * MIB))

    (found,) = check_log(patient_of(tmp_path, settings))
    (none,) = check_log(patient_of(tmp_path, Settings(access_log=AccessLog(path=None))))

    assert found.text == f"{folder / 'access.jsonl'} has 5 MiB of 6 MiB"
    assert none.level == "ok"


# Permissions


def secret(path: Path, mode: int) -> Path:
    """A file with this mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text("secret")
    path.chmod(mode)
    return path


def test_before_the_first_start(tmp_path):
    """Nothing is there to be read."""
    (found,) = check_permissions(patient_of(tmp_path))

    assert found.text == f"{tmp_path / 'var'} is made 0700 by the first start"


def test_keys_and_tokens_of_the_node(tmp_path):
    """What others may read is wrong, with the command that ends it."""
    (tmp_path / "var").mkdir(mode=0o700)
    token = secret(tmp_path / "var" / "admin.token", 0o644)
    key = secret(tmp_path / "var" / "tls" / "internal" / "root.key", 0o640)
    scoped = secret(tmp_path / "var" / "tokens" / "0123456789ab", 0o604)
    secret(tmp_path / "var" / "tls" / "internal" / "leaf.pem", 0o600)

    found = list(check_permissions(patient_of(tmp_path)))

    assert {(each.level, each.remedy) for each in found} == {
        ("wrong", f"chmod 600 {token}"),
        ("wrong", f"chmod 600 {key}"),
        ("wrong", f"chmod 600 {scoped}"),
    }
    for each in found:
        subprocess.run(each.remedy, shell=True, check=True)
    assert [each.level for each in check_permissions(patient_of(tmp_path))] == ["ok"]


def test_many_files_are_not_all_told(tmp_path):
    """Five, and how many more."""
    (tmp_path / "var").mkdir(mode=0o700)
    for number in range(8):
        secret(tmp_path / "var" / "tls" / f"{number}.pem", 0o644)

    found = list(check_permissions(patient_of(tmp_path)))

    assert len(found) == 6
    assert found[-1].text == "and 3 more files like these"


@needs_root
def test_files_of_another_user(tmp_path):
    """`sudo edge …` once, and the node cannot read its own certificates any more."""
    (tmp_path / "var").mkdir(mode=0o700)
    key = secret(tmp_path / "var" / "tls" / "a.pem", 0o600)
    os.chown(tmp_path / "var", 65534, 65534)

    (found,) = check_permissions(patient_of(tmp_path))

    assert found.text == f"{key} is another user's than {tmp_path / 'var'}"
    subprocess.run(found.remedy, shell=True, check=True)
    assert key.stat().st_uid == 65534


@needs_root
def test_whoever_is_not_the_owner_is_told(open_folder):
    """What he starts or changes would be his."""
    (open_folder / "var").mkdir(mode=0o700)
    os.chown(open_folder / "var", 65534, 65534)

    with acting_as(65533):
        (found,) = doctor_disk.check_state(open_folder / "var")

    assert found.text.endswith("belongs to user 65534, not to you")


@pytest.mark.parametrize(("mode", "level"), [(0o700, "ok"), (0o755, "warning"), (0o770, "wrong")])
def test_the_state_folder(tmp_path, mode, level):
    """Others look at it, or write to it."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(mode)

    assert [each.level for each in check_permissions(patient_of(tmp_path))] == [level]


def test_what_the_operator_keeps(tmp_path):
    """Read by a group, if he likes; by the world, he is told; not there at all is wrong."""
    password = secret(tmp_path / "secrets" / "smtp", 0o644)
    secret(tmp_path / "certs" / "shop.pem", 0o640)
    world = secret(tmp_path / "certs" / "blog.pem", 0o644)
    eab = AccountBinding(kid="k", hmac_key_file="secrets/eab")
    settings = Settings(
        smtp=Smtp(
            host="mail.example.com",
            sender="edge@example.com",
            user="edge",
            password_file="secrets/smtp",
        ),
        tls=Tls(acme=Acme(eab=eab)),
    )

    found = list(check_permissions(patient_of(tmp_path, settings)))

    assert {(each.level, each.text.removeprefix(f"{tmp_path}/")) for each in found} == {
        ("wrong", "secrets/eab cannot be read"),
        ("warning", "secrets/smtp is 0644: others may read it"),
        ("warning", "certs/blog.pem is 0644: others may read it"),
    }
    assert f"chmod 640 {world}" in {each.remedy for each in found}
    assert f"chmod 640 {password}" in {each.remedy for each in found}


# What was left


def test_nothing_runs(tmp_path):
    """And a socket of a dead process is no harm."""
    run = tmp_path / "var" / "run"
    run.mkdir(parents=True)
    orders.listening_at(run / "worker-7.sock").close()

    found = list(check_leftovers(patient_of(tmp_path)))

    assert [each.text for each in found] == [
        "no node runs on this configuration",
        "1 sockets of processes that are dead: the next start removes them",
    ]
    assert (run / "worker-7.sock").exists()


def test_workers_without_a_parent(tmp_path):
    """They serve, and somebody should start the node."""
    (orphaned,) = check_leftovers(patient_of(tmp_path, workers=(1, 2)))
    (running,) = check_leftovers(patient_of(tmp_path, parent=os.getpid(), workers=(1, 2)))

    assert (orphaned.level, "2 workers serve on" in orphaned.text) == ("warning", True)
    assert running.text.endswith(f"(pid {os.getpid()}), 2 workers")


# Countries


def test_the_database_of_countries(tmp_path):
    """There, old, missing, and no database."""
    shutil.copy(DATABASE, tmp_path / "countries.mmdb")
    (tmp_path / "torn.mmdb").write_bytes(b"no database")

    def found(name):
        return list(check_geoip(patient_of(tmp_path, Settings(geoip=GeoIP(database=name)))))

    assert found(None) == []
    assert found("nope.mmdb")[0].text.endswith("nope.mmdb: No such file or directory")
    assert "no MMDB file" in found("torn.mmdb")[0].text
    assert found("countries.mmdb")[0].text.startswith("geoip.database: GeoIP2-Country of 20")
    assert judge_database("X of today", 86_400).level == "ok"
    assert judge_database("X of old", 100 * 86_400).text == (
        "geoip.database: X of old, 100 days old"
    )
