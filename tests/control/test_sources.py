"""From what a deployer names to a tree of hashed files."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import tarfile
import threading
import tracemalloc
import zipfile

import pytest
from aiohttp import web

from edge.control.archives import ArchiveLimits
from edge.control.sources import StagedFile, stage
from edge.errors import StoreError

FILES = {"index.html": b"hello", "a/b.css": b"body{}", "copy.html": b"hello", "empty": b""}


@pytest.fixture
def workspace(tmp_path):
    """An empty folder of the caller."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def site(tmp_path):
    """FILES as a folder."""
    for path, data in FILES.items():
        file = tmp_path / "site" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return tmp_path / "site"


def packed_zip(files):
    """The bytes of a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packer:
        for path, data in files.items():
            packer.writestr(path, data)
    return buffer.getvalue()


def packed_tar(files, mode):
    """The bytes of a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as packer:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            packer.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def assert_tree(tree, files=None):
    """Every path has its hash, its size and its bytes, sorted."""
    files = FILES if files is None else files
    assert list(tree) == sorted(files)
    for path, data in files.items():
        staged = tree[path]
        assert staged == StagedFile(hashlib.sha256(data).hexdigest(), len(data), staged.file)
        assert staged.file.read_bytes() == data


def test_a_folder_stays_where_it_is(site, workspace):
    """Its files are hashed in place; the workspace stays empty."""
    tree = stage(str(site), workspace, limits=ArchiveLimits())

    assert_tree(tree)
    assert tree["a/b.css"].file == site / "a" / "b.css"
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(packed_zip(FILES), id="zip"),
        pytest.param(packed_tar(FILES, "w"), id="tar"),
        pytest.param(packed_tar(FILES, "w:gz"), id="tar.gz"),
    ],
)
@pytest.mark.parametrize("name", ["site.zip", "site.tar.gz", "site"])
def test_an_archive_is_unpacked_by_content(tmp_path, workspace, archive, name):
    """The name of an archive does not matter; identical files are there once, named by hash."""
    (tmp_path / name).write_bytes(archive)

    tree = stage(str(tmp_path / name), workspace, limits=ArchiveLimits())

    assert_tree(tree)
    assert all(staged.file.name == staged.sha256 for staged in tree.values())
    assert {file for file in workspace.rglob("*") if file.is_file()} == {
        staged.file for staged in tree.values()
    }
    assert tree["copy.html"].file == tree["index.html"].file


def test_two_sources_share_a_workspace(tmp_path, workspace):
    """What an earlier source left there is not touched, not even by a refusal."""
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    good.write_bytes(packed_zip(FILES))
    bad.write_bytes(packed_zip(FILES | {"x/../y": b""}))
    tree = stage(str(good), workspace, limits=ArchiveLimits())

    with pytest.raises(StoreError):
        stage(str(bad), workspace, limits=ArchiveLimits())

    assert_tree(tree)
    assert len(list(workspace.iterdir())) == 1


@pytest.fixture(scope="module")
def origin():
    """A server of one good archive, under every name, and of an HTML page."""

    async def serve(request):
        page = request.path.endswith("page.html")
        return web.Response(body=b"<html>Sign in" if page else packed_zip(FILES))

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


def test_an_address_is_downloaded_and_unpacked(origin, workspace):
    """The archive itself does not stay; the listener hears the download, then the files."""
    heard = []
    tree = stage(
        f"{origin}/site.zip?token=1",
        workspace,
        limits=ArchiveLimits(),
        on_progress=lambda files, size: heard.append((files, size)),
    )

    assert_tree(tree)
    assert {file.name for file in workspace.rglob("*") if file.is_file()} == {
        staged.sha256 for staged in tree.values()
    }
    assert heard[0][0] == 0
    assert heard[-1] == (len(FILES), sum(map(len, FILES.values())))


def test_an_object_is_downloaded_and_unpacked(origin, workspace, monkeypatch):
    """s3:// ends in the same tree."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", origin)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")

    assert_tree(stage("s3://bucket/site.zip", workspace, limits=ArchiveLimits()))


def test_a_refused_download_leaves_nothing(origin, workspace):
    """The message begins with the address, without what may be secret in it."""
    with pytest.raises(StoreError, match=r"^http://127.0.0.1:\d+/page.html: it is a page of HTML"):
        stage(f"{origin}/page.html?token=1", workspace, limits=ArchiveLimits())

    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("follow_links", [True, False])
def test_links_are_followed_when_asked(site, tmp_path, workspace, follow_links):
    """The option reaches the walk."""
    (tmp_path / "elsewhere").write_bytes(b"other")
    (site / "link").symlink_to("../elsewhere")
    if follow_links:
        tree = stage(str(site), workspace, limits=ArchiveLimits(), follow_links=True)
        assert_tree(tree, FILES | {"link": b"other"})
    else:
        with pytest.raises(StoreError, match="--follow-links"):
            stage(str(site), workspace, limits=ArchiveLimits())


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_empty_source_is_refused(tmp_path, workspace, kind):
    """A deployment of nothing would take the site away."""
    source = tmp_path / "source"
    if kind == "folder":
        (source / ".git").mkdir(parents=True)
        (source / ".git" / "config").touch()
    else:
        source.write_bytes(packed_zip({}))

    with pytest.raises(StoreError, match="holds no files"):
        stage(str(source), workspace, limits=ArchiveLimits())

    assert list(workspace.iterdir()) == []


WRAPPED = {"my site/index.html": b"hello", "my site/a/b.css": b""}


def test_a_zip_of_the_folder_is_refused_with_the_command(tmp_path, workspace):
    """The hint can be pasted into a shell and makes the right archive."""
    (tmp_path / "wrong.zip").write_bytes(packed_zip(WRAPPED))
    (tmp_path / "my site").mkdir()
    (tmp_path / "my site" / "index.html").write_bytes(b"hello")

    with pytest.raises(StoreError, match=r"deploy the contents of 'my site/', e\.g\. ") as refusal:
        stage(str(tmp_path / "wrong.zip"), workspace, limits=ArchiveLimits())

    assert list(workspace.iterdir()) == []
    command = str(refusal.value).partition("e.g. ")[2]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    tree = stage(str(tmp_path / "site.zip"), workspace, limits=ArchiveLimits())
    assert_tree(tree, {"index.html": b"hello"})


def test_a_folder_around_the_site_is_refused_with_the_folder(tmp_path, workspace):
    """The hint names the folder to deploy."""
    inner = tmp_path / "out" / "dist"
    inner.mkdir(parents=True)
    (inner / "index.html").touch()

    with pytest.raises(StoreError, match=f"edge deploy {inner}"):
        stage(str(tmp_path / "out"), workspace, limits=ArchiveLimits())


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"a/index.html": b"", "b/index.html": b""}, id="two folders"),
        pytest.param({"a/index.html": b"", "redirects.json": b""}, id="a file beside it"),
        pytest.param({"a/page.html": b""}, id="no index in it"),
        pytest.param({"a/index.html": b"", "index.html": b""}, id="its own index"),
        pytest.param({"page.html": b""}, id="one file"),
    ],
)
def test_a_site_without_an_index_may_be_a_site(tmp_path, workspace, files):
    """Only a lone folder with an index is taken for a mistake."""
    (tmp_path / "site.zip").write_bytes(packed_zip(files))

    assert_tree(stage(str(tmp_path / "site.zip"), workspace, limits=ArchiveLimits()), files)


def test_what_is_neither_file_nor_folder(tmp_path, workspace):
    """A missing path and a pipe are refused, the latter without waiting for a writer."""
    with pytest.raises(StoreError, match=r"nowhere: there is no such file or folder"):
        stage(str(tmp_path / "nowhere"), workspace, limits=ArchiveLimits())

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="neither a file nor a folder"):
        stage(str(tmp_path / "pipe"), workspace, limits=ArchiveLimits())


def test_a_folder_has_the_same_limits(site, workspace):
    """Files and bytes are bounded whichever way they come."""
    with pytest.raises(StoreError, match=r"3 are allowed"):
        stage(str(site), workspace, limits=ArchiveLimits(files=3))
    with pytest.raises(StoreError, match=r"over 9 bytes"):
        stage(str(site), workspace, limits=ArchiveLimits(bytes=9))


def test_a_refusal_midway_leaves_nothing(tmp_path, workspace):
    """Files that were written before the bad one came are gone."""
    archive = packed_tar(FILES | {"../up": b""}, "w")
    (tmp_path / "site.tar").write_bytes(archive)
    heard = []

    with pytest.raises(StoreError, match=r"site\.tar: member '\.\./up'"):
        stage(
            str(tmp_path / "site.tar"),
            workspace,
            limits=ArchiveLimits(),
            on_progress=lambda files, _size: heard.append(files),
        )

    assert heard == [1, 2, 3, 4]
    assert list(workspace.iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path, workspace):
    """Ctrl-C in the middle cleans up as a refusal does."""
    (tmp_path / "site.zip").write_bytes(packed_zip(FILES))

    def interrupt(files, _size):
        if files == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(
            str(tmp_path / "site.zip"),
            workspace,
            limits=ArchiveLimits(),
            on_progress=interrupt,
        )

    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_memory_is_bounded_by_the_chunk(tmp_path, workspace, mode):
    """A member of 64 MiB passes through less than 4 MiB."""
    noise = os.urandom(1024**2)
    files = {"index.html": b"", "big": noise * 64}
    archive = packed_zip(files) if mode == "zip" else packed_tar(files, mode)
    (tmp_path / "site").write_bytes(archive)
    del files, archive, noise

    tracemalloc.start()
    try:
        tree = stage(str(tmp_path / "site"), workspace, limits=ArchiveLimits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert tree["big"].size == 64 * 1024**2
    assert peak < 4 * 1024**2


def test_a_folder_of_many_files_is_hashed_whole(tmp_path, workspace):
    """More files than the pool holds at once, each with its own hash."""
    folder = tmp_path / "site"
    folder.mkdir()
    files = {f"{number}.txt": str(number).encode() for number in range(1200)}
    for path, data in files.items():
        (folder / path).write_bytes(data)

    assert_tree(stage(str(folder), workspace, limits=ArchiveLimits()), files)
