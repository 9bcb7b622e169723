"""What tests of backups share: a state folder with something in every corner, and backups of it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from edge.control.backup import back_up
from edge.control.backup_format import Folders, Front, Total
from edge.control.changes import Changes
from edge.control.restore import restore
from edge.site.places import Places
from tests.support_control import PAGE, new_store, places_of, publish


class Shown:
    """Progress that is remembered."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def phase(self, name: str, total: int = 0) -> None:
        """It begins."""
        assert name
        self.total = total

    def advance(self, size: int) -> None:
        """It goes on."""
        self.done += size


def full_store(folder: Path) -> Changes:
    """A node's state: two apps, an earlier deployment, keys, tokens, and what is in no backup."""
    changes = new_store(folder)
    publish(changes, "shop", "main", {"index.html": PAGE, "app.3f2a1b9c.js": "old()"})
    publish(changes, "shop", "main", {"index.html": PAGE + "2", "a b/ü.txt": "x"})
    publish(changes, "blog", "feature/one", {"index.html": "blog"})
    state = places_of(folder).state
    for name, text in {
        "admin.token": "the operator's",
        "tokens/0123456789ab.json": "{}",
        "tls/internal/root.key": "key",
        "tls/certs/files/www.example.com/current": "1",
        "tls/certs/files/www.example.com/1.pem": "certificate",
        "tls/certs/files/" + "n" * 200 + ".example/1.pem": "a long name",
        "tls/lock": "",
        "tls/challenges.json": "{}",
        "log/audit.jsonl": "{}",
        "log/access.jsonl": "{}",
        "pending/blobs/0": "half",
        "hits/shop": "{}",
        "generations/.tmp-0123": "half",
    }.items():
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(text)
    (folder / "certs").mkdir()
    (folder / "certs" / "www.example.com.pem").write_text("key and chain")
    (folder / "rules" / "shop" / "app.yml").write_text("production_branch: main\n")
    (folder / "rules" / "empty").mkdir()
    (folder / "rules" / "link").symlink_to("/etc/passwd")
    return changes


def folders(folder: Path) -> Folders:
    """The operator's."""
    return Folders(rules=str(folder / "rules"), certs=str(folder / "certs"))


def saved(folder: Path) -> bytes:
    """A backup of a state folder."""
    file = io.BytesIO()
    back_up(places_of(folder), folders(folder), file, Shown())
    return file.getvalue()


def restored(folder: Path, data: bytes, *, force: bool = False) -> Places:
    """A state folder of a backup."""
    places = places_of(folder)
    file = io.BytesIO(data)
    restore(places, folders(folder), file, show=Shown(), force=force)
    return places


def contents(folder: Path) -> dict[str, Any]:
    """Every file below a folder; where links lead."""
    return {
        path.relative_to(folder).as_posix(): path.readlink().as_posix()
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def packed(*members: tuple[str | tarfile.TarInfo, bytes], **front: Any) -> bytes:
    """A backup with these members, whatever they are; the end says what it should."""
    total = Total()
    for name, content in members:
        info = name if isinstance(name, tarfile.TarInfo) else plain(name, content)
        total.begin(info.name, info.size, int(info.mtime))
        total.add(content)
    facts = {"format": 1, "made": 0.0, "version": "9", "generation": 1, "files": total.files}
    head = msgspec.convert(facts | {"bytes": total.bytes} | front, Front)
    documents = {
        "edge-backup.json": msgspec.json.encode(head),
        "edge-backup-end.json": msgspec.json.encode(total.end()),
    }
    raw = io.BytesIO()
    with tarfile.open(mode="w", fileobj=raw, format=tarfile.PAX_FORMAT) as tar:
        first, last = documents.items()
        for name, content in (first, *members, last):
            info = name if isinstance(name, tarfile.TarInfo) else plain(name, content)
            tar.addfile(info, io.BytesIO(content))
    return zstandard.compress(raw.getvalue())


def plain(name: str, content: bytes) -> tarfile.TarInfo:
    """A file's header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info
