"""What a folder publishes, and what takes its place while it is read."""

from __future__ import annotations

import hashlib
import os
import socket
import threading

import pytest

from edge.control.archives import ArchiveLimits
from edge.control.folders import Folder, hash_file
from edge.errors import StoreError


@pytest.fixture
def site(tmp_path):
    """A small site, and a secret beside it."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    folder = tmp_path / "site"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "index.html").write_bytes(b"index")
    (folder / "a" / "b" / "page.html").write_bytes(b"page")
    return folder


def walk(folder, *, follow_links=False, **limits):
    """Everything a folder publishes."""
    limits = ArchiveLimits(**limits)
    return list(Folder(folder, limits, follow_links=follow_links).walk())


def paths(folder, **options):
    """The artifact paths of a folder."""
    return [found.path for found in walk(folder, **options)]


def test_files_come_sorted_with_their_paths(site):
    """Sorted within each folder, so that two runs see the same."""
    (site / "z.css").touch()

    assert paths(site) == ["a/b/page.html", "index.html", "z.css"]


def test_leavings_are_passed_over(site):
    """Version control and Finder's notes are not published, whatever they are."""
    (site / ".git").mkdir()
    (site / ".git" / "config").touch()
    (site / "a" / ".DS_Store").touch()
    (site / ".svn").symlink_to("/nowhere")

    assert paths(site) == ["a/b/page.html", "index.html"]


def test_links_inside_are_followed(site):
    """A link to a file or a folder of the site publishes it under both names."""
    (site / "home.html").symlink_to("index.html")
    (site / "copy").symlink_to(site / "a")

    found = {file.path: file.file for file in walk(site)}

    assert found["home.html"] == site / "index.html"
    assert found["copy/b/page.html"] == site / "a" / "b" / "page.html"


def test_a_root_that_is_a_link_is_the_folder_itself(site, tmp_path):
    """`current -> site` is deployed as site."""
    (tmp_path / "current").symlink_to(site)

    assert paths(tmp_path / "current") == paths(site)


@pytest.mark.parametrize("target", ["../secret", "../secret/key", "/etc/passwd", "a/../../secret"])
def test_links_outside_are_refused_by_name(site, target):
    """The message names the link and the option that would publish what it points to."""
    (site / "a" / "leak").symlink_to(site / target)

    with pytest.raises(StoreError, match=r"'a/leak'.*outside.*--follow-links publishes"):
        walk(site)


def test_a_link_to_a_sibling_with_the_same_beginning_is_outside(site, tmp_path):
    """`site-backup` is not inside `site`."""
    (tmp_path / "site-backup").mkdir()
    (site / "leak").symlink_to(tmp_path / "site-backup")

    with pytest.raises(StoreError, match="outside"):
        walk(site)


def test_links_outside_are_followed_when_asked(site):
    """--follow-links publishes files and folders from elsewhere."""
    (site / "leak").symlink_to("../secret")

    assert "leak/key" in paths(site, follow_links=True)


@pytest.mark.parametrize("target", [".", "..", "../..", "../../../site"])
@pytest.mark.parametrize("follow_links", [True, False])
def test_a_link_to_a_folder_above_is_a_loop(site, target, follow_links):
    """Walking it would never end; the link is named."""
    (site / "a" / "b" / "loop").symlink_to(target)

    with pytest.raises(StoreError, match=r"'a/b/loop.*that it is in"):
        walk(site, follow_links=follow_links)


def test_links_to_each_other_and_to_nothing(site):
    """A link without an end or without a target is named."""
    (site / "x").symlink_to("y")
    (site / "y").symlink_to("x")
    with pytest.raises(StoreError, match=r"'x' is a link that leads to itself"):
        walk(site)

    (site / "x").unlink()
    with pytest.raises(StoreError, match=r"'y' is a link to nothing"):
        walk(site)


def test_links_that_multiply_meet_the_limit(site):
    """2^30 paths from thirty folders are refused at the first one too many."""
    inner = site / "l"
    inner.mkdir()
    (inner / "x").touch()
    for number in range(30):
        outer = site / f"l{number}"
        outer.mkdir()
        (outer / "a").symlink_to(inner)
        (outer / "b").symlink_to(inner)
        inner = outer

    with pytest.raises(StoreError, match="1000 are allowed"):
        walk(site, files=1000)


def test_a_pipe_and_a_socket_are_refused(site):
    """What is no file has no bytes to publish."""
    os.mkfifo(site / "pipe")
    with pytest.raises(StoreError, match=r"'pipe' is a device, pipe or socket"):
        walk(site)

    (site / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(site / "sock"))
        with pytest.raises(StoreError, match=r"'sock' is a device, pipe or socket"):
            walk(site)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"a\\b", "backslash"),
        (b"a\nb", "control"),
        (b"caf\xe9", "UTF-8"),
        (b"C:x", "drive"),
        (b"INDEX.html", "differ only"),
        (b"A/x", "spell a folder differently"),
    ],
)
def test_names_that_no_artifact_may_have(site, name, said):
    """The grammar and the collisions of archives hold for folders, too."""
    file = site / os.fsdecode(name)
    file.parent.mkdir(exist_ok=True)
    file.touch()

    with pytest.raises(StoreError, match=said):
        walk(site)


def test_the_hash_is_that_of_the_bytes(site):
    """sha256 and size of what is on disk."""
    (site / "big").write_bytes(b"0123456789" * 100_000)
    big = next(found for found in walk(site) if found.path == "big")

    expected = hashlib.sha256(b"0123456789" * 100_000).hexdigest()
    assert hash_file(big) == (expected, 1_000_000)


@pytest.mark.parametrize("what", ["another file", "nothing", "a link", "a pipe"])
def test_what_takes_a_files_place_is_not_read(site, what):
    """Between walk and hash a name may come to mean something else: that is a change."""
    found = walk(site)[1]
    found.file.rename(site.parent / "old")
    if what == "another file":
        found.file.write_bytes(b"index")
    elif what == "a link":
        found.file.symlink_to(site.parent / "secret" / "key")
    elif what == "a pipe":
        os.mkfifo(found.file)

    with pytest.raises(StoreError, match=r"'index.html' changed while it was read; run the"):
        hash_file(found)


def test_a_folder_that_becomes_a_link_during_the_walk(site):
    """What is found in it then lies elsewhere: its identity agrees, and it is not published."""
    elsewhere = site.parent / "elsewhere"
    for folder in (site / "sub", elsewhere):
        folder.mkdir()
        for name in ("one", "two"):
            (folder / name).write_text(folder.name)
    found = Folder(site, ArchiveLimits(), follow_links=False).walk()
    next(each for each in found if each.path == "sub/one")
    (site / "sub").rename(site.parent / "sub")
    (site / "sub").symlink_to(elsewhere)
    two = next(found)

    assert two.path == "sub/two"
    with pytest.raises(StoreError, match="'sub/two' changed while it was read"):
        hash_file(two)


def test_a_file_that_changes_under_the_reader_is_noticed(site):
    """A writer that does not stop is seen by the times of the file."""
    log = site / "log.txt"
    with log.open("wb") as file:
        file.truncate(256 * 1024**2)
    found = next(one for one in walk(site) if one.path == "log.txt")
    writing = threading.Event()
    done = threading.Event()

    def write():
        with log.open("r+b") as file:
            while not done.is_set():
                file.seek(0)
                file.write(b"more")
                file.flush()
                writing.set()

    writer = threading.Thread(target=write)
    writer.start()
    writing.wait()
    try:
        with pytest.raises(StoreError, match=r"'log.txt' changed while it was read"):
            hash_file(found)
    finally:
        done.set()
        writer.join()
