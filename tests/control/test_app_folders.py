"""App folders are read again only where a file is another."""

from __future__ import annotations

import json
import os

import pytest

from edge.control import app_folders
from edge.control.app_folders import SETTLED_NS, AppFolders, are_settled, marks_of
from edge.errors import ConfigError
from tests.support_control import write_app

RULES = json.dumps([{"source": "/a", "target": "/b"}])


@pytest.fixture
def settled(monkeypatch):
    """The clock is far ahead of every file's time, so that each counts as settled."""
    monkeypatch.setattr(app_folders, "SETTLED_NS", -(10**18))


@pytest.fixture
def rules(tmp_path):
    """Three apps; the folder of apps."""
    for name in ("a", "b", "c"):
        write_app(tmp_path, name, "production_branch: trunk\n")
        (tmp_path / "rules" / name / "redirects.json").write_text(RULES)
    return tmp_path / "rules"


def test_what_did_not_change_is_not_read_again(rules, settled):
    """The very same documents."""
    folders = AppFolders()
    before = folders.all(rules, "rules")
    after = folders.all(rules, "rules")

    assert folders.read == 3
    assert all(after.rules[name] is before.rules[name] for name in "abc")
    assert after.apps == before.apps
    assert after.texts == before.texts


@pytest.mark.parametrize("name", sorted(app_folders.configuration.APP_FILES))
def test_every_file_that_counts_is_noticed(rules, settled, name):
    """Written, written again and gone."""
    folders = AppFolders()
    folders.all(rules, "rules")
    file = rules / "b" / name
    for text in ("[]\n", "[]  \n", None):
        before = folders.read
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        folders.all(rules, "rules")
        assert folders.read == before + 1


def test_other_files_are_no_change(rules, settled):
    """Notes beside them, an editor's copy."""
    folders = AppFolders()
    folders.all(rules, "rules")
    (rules / "b" / "notes.txt").write_text("x")

    folders.all(rules, "rules")

    assert folders.read == 3


def test_a_write_of_the_same_size_and_times_is_noticed(rules, settled):
    """Whoever sets the time back cannot set back when that was."""
    folders = AppFolders()
    folders.all(rules, "rules")
    file = rules / "b" / "app.yml"
    times = file.stat()
    file.write_text("production_branch: other\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert folders.all(rules, "rules").apps["b"].production_branch == "other"


def test_young_files_are_read_each_time(rules):
    """Two writes in one tick of the clock have one time."""
    folders = AppFolders()
    folders.all(rules, "rules")
    folders.all(rules, "rules")

    assert folders.read == 6
    marks = marks_of(rules / "a")
    newest = max(changed for *_, changed in marks)
    assert not are_settled(marks, newest + SETTLED_NS - 1)
    assert are_settled(marks, newest + SETTLED_NS)


def test_mistakes_are_looked_at_again(rules, settled):
    """What could not be read may be readable now, with the same times."""
    write_app(rules.parent, "b", "nope: 1\n")
    folders = AppFolders()
    for _ in range(2):
        assert list(folders.all(rules, "rules").broken) == ["b"]

    assert folders.read == 4


def test_what_a_reload_adds_is_not_remembered(rules, settled):
    """A conflict or a lint belongs to that look."""
    folders = AppFolders()
    found = folders.all(rules, "rules")
    mistake = ConfigError("f", 1, 1, "x", "y")
    found.refuse("a", [mistake])
    found.warned.setdefault("b", []).append(mistake)

    again = folders.all(rules, "rules")

    assert (again.broken, again.warned["b"]) == ({}, [])
    assert "a" in again.apps


def test_a_folder_that_went_is_forgotten(rules, settled):
    """And so are its bytes; one that comes back is read."""
    folders = AppFolders()
    folders.all(rules, "rules")
    (rules / "b").rename(rules.parent / "b")

    assert list(folders.all(rules, "rules").apps) == ["a", "c"]
    (rules.parent / "b").rename(rules / "b")
    assert list(folders.all(rules, "rules").apps) == ["a", "b", "c"]
    assert folders.read == 4


def test_memory_has_a_bound(rules, settled, monkeypatch):
    """What does not fit is read each time."""
    monkeypatch.setattr(app_folders, "REMEMBERED", 2 * (len(RULES) + 25))
    folders = AppFolders()
    folders.all(rules, "rules")
    folders.all(rules, "rules")

    assert folders.read == 4


def test_a_folder_that_cannot_be_listed_is_not_remembered(tmp_path):
    """Its marks are not known."""
    assert marks_of(tmp_path / "nowhere") is None
