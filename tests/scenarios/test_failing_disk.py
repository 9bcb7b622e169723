"""
A state folder whose disk is full or broken: changes are refused and say what to do,
nothing is half written, what was good serves on, and afterwards the same calls work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess

import pytest

from edge.control.client import Refusal
from tests.support import Node, eventually
from tests.support_client import deploy, open_client
from tests.support_tls import is_secured

EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32): whatever reads or writes afterwards gets EIO (fs/ext4/ext4.h)."""

NO_LOG_FLUSH = 2
OLD = {"index.html": "version 1", "a.txt": "a 1" * 1000}
SERVED = {"index.html": "version 2", "a.txt": "a 2" * 1000}
NEW = {"index.html": "version 3", "a.txt": "a 3" * 1000}


class Disk:
    """A small file system for a state folder, and what happens to it."""

    def __init__(self, folder, image):
        self.folder = folder
        self.image = image
        folder.mkdir(parents=True)

    def mount(self, *options):
        """Bring it in; skips the test where nobody may."""
        command = ["mount", *options, os.fspath(self.folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")

    def unmount(self):
        """Take it away, whoever uses it."""
        subprocess.run(["umount", "-l", self.folder], capture_output=True, check=False)


class Full(Disk):
    """One that somebody else has filled."""

    says = "the disk is full: make room"

    def make(self):
        """In memory: 3 MiB."""
        self.mount("-t", "tmpfs", "-o", "size=3m", "none")

    def fail(self):
        """To its last page."""
        other = self.folder / "other"
        with contextlib.suppress(OSError), other.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def mend(self, node):
        """The same node goes on."""
        assert node.is_ready()
        (self.folder / "other").unlink()


class Broken(Disk):
    """A disk that takes and gives nothing any more."""

    says = "the disk fails (Input/output error): look at `dmesg`"

    def make(self):
        """A file that is mounted."""
        self.image.write_bytes(b"")
        os.truncate(self.image, 16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount("-o", "loop", os.fspath(self.image))

    def fail(self):
        """As if its cable were pulled."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def mend(self, node):
        """What an operator does: stop, check, mount, start."""
        node.stop()
        subprocess.run(["umount", self.folder], check=True)
        subprocess.run(["fsck.ext4", "-y", self.image], capture_output=True, check=False)
        self.mount("-o", "loop", os.fspath(self.image))
        node.start()


@pytest.fixture(params=[Full, Broken])
def disk(request, tmp_path):
    """Where a node keeps its state."""
    found = request.param(tmp_path / "node" / "var", tmp_path / "image")
    found.make()
    yield found
    found.unmount()


@pytest.fixture
def node(disk, tmp_path):
    """A node that serves its second deployment."""
    found = Node(tmp_path / "node", 1, "tls: {redirect_http: false}\n", is_secure=True)
    try:
        yield found.start()
    finally:
        found.kill_all()


def changes(client, node, first):
    """Everything that writes, in an order in which it can also succeed."""
    host = "main.site.edge.localhost"
    return [
        lambda: deploy(client, node, "v3", NEW),
        lambda: client.activate(first),
        lambda: client.rollback("site", "main"),
        client.reload,
        lambda: client.create_token({"app": "site"}),
        lambda: client.purge({"all": True}),
        lambda: client.renew(host),
        lambda: client.delete_branch("site", "main"),
    ]


def stored(disk):
    """All that is kept, by its name: what is written all the time is none of it."""
    passing = ("log", "run", "audit", "other", "lost+found")
    return {
        path.relative_to(disk.folder): path.lstat().st_ino
        for path in sorted(disk.folder.rglob("*"))
        if (path.is_file() or path.is_symlink())
        and not path.relative_to(disk.folder).parts[0].startswith(passing)
    }


def served(node):
    """The two files of a deployment that serves."""
    return {name: node.get(f"/{name}")[2].decode() for name in SERVED}


def test_a_disk_that_fails_costs_changes_and_nothing_else(disk, node, tmp_path):
    """Every refusal says what to do; afterwards every one of these calls goes through."""
    client = open_client(node)
    first = deploy(client, node, "v1", OLD)["id"]
    deploy(client, node, "v2", SERVED)
    app = node.folder / "rules" / "site" / "app.yml"
    settings = app.read_text()
    app.write_text("trailing_slash: add\n")
    assert served(node) == SERVED
    eventually(lambda: is_secured(node, "main.site.edge.localhost"))
    before = stored(disk)
    disk.fail()

    for change in changes(client, node, first):
        with pytest.raises(Refusal) as refused:
            change()
        assert disk.says in str(refused.value)
    assert disk.says in node.edge("backup", tmp_path / "backup", ok=False).stderr
    assert not (tmp_path / "backup").exists()
    assert served(node) == SERVED

    app.write_text(settings)
    disk.mend(node)
    assert stored(disk) == before
    assert served(node) == SERVED
    client = open_client(node)
    for change in changes(client, node, first):
        change()
    node.edge("backup", tmp_path / "backup")
    client.close()
