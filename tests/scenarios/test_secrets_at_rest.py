"""What other users of the machine can reach of a state folder: no secret, and nothing to write."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.control.passwords import hash_password
from tests.support import Node, eventually, write_tree


class Careless(Node):
    """A node that is started where everybody may write what is made."""

    def command(self) -> list[str]:
        """Under a umask of 0."""
        return ["/bin/sh", "-c", 'umask 0; exec "$@"', "sh", *super().command()]


@pytest.fixture
def node(tmp_path):
    """One with secrets of every kind, in a state folder that others may look into."""
    (tmp_path / "node" / "var").mkdir(parents=True, mode=0o755)
    node = Careless(tmp_path / "node", workers=1, is_secure=True)
    hashed = hash_password("a password")
    access = {"app.yml": f"access: {{users: {{ann: '{hashed}'}}}}\n"}
    write_tree(node.folder / "rules" / "site", access)
    try:
        node.start()
        node.deploy(write_tree(tmp_path / "site", {"index.html": "hello " * 1000}))
        node.edge("reload")
        eventually(lambda: node.get("/")[0] == 301)
        yield node
    finally:
        node.kill_all()


def reachable(folder: Path) -> Iterator[Path]:
    """What others can open or list below a folder that they may look into."""
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        if mode & 0o077 and not stat.S_ISLNK(mode):
            yield path
            if stat.S_ISDIR(mode) and mode & 0o011:
                yield from reachable(path)


def test_others_read_no_secret_and_write_nothing(node):
    """Keys, tokens, hashes, the audit log, sockets; the access log is for a group of readers."""
    state = node.folder / "var"
    token = node.edge("token", "create", "--app", "site").stdout.strip().split()[-1]
    secrets = {
        "the admin token": (state / "admin.token").read_bytes().strip(),
        "a token": token.encode(),
        "the hash of a token": next((state / "tokens").iterdir()).read_bytes(),
        "a key": b"PRIVATE KEY",
        "the hash of a password": b"$argon2id$",
    }
    files = [path for path in state.rglob("*") if path.is_file()]
    held = {
        name: [path for path in files if secret in path.read_bytes()]
        for name, secret in secrets.items()
    }
    reached = list(reachable(state))

    assert [name for name, paths in held.items() if not paths] == ["a token"]
    assert [(name, path) for name, paths in held.items() for path in paths if path in reached] == []
    assert [path for path in reached if path.is_socket() or path.name == "audit.jsonl"] == []
    assert [path for path in reached if path.stat().st_mode & 0o022] == []
    assert not [name for name, each in secrets.items() if each in node.log.read_bytes()]
