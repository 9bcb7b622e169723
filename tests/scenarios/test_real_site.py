"""A real site that nobody here wrote: Debian's python3-doc, byte for byte over both protocols."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from urllib.parse import quote

import brotli
import httpx
import pytest
import zstandard

from tests.support import running

SITES = sorted(Path("/usr/share/doc").glob("python3.*-doc/html"))
pytestmark = pytest.mark.skipif(
    not SITES, reason="python3-doc is not installed (.ci/packages installs it)"
)
DECODERS = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


def hashes(folder: Path) -> dict[str, str]:
    """sha256 by path of every file that a link or a folder leads to."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def python_doc(tmp_path_factory):
    """A node with two workers that serves python3-doc, and the hashes of its files."""
    folder = tmp_path_factory.mktemp("doc")
    with running(folder / "node") as node:
        node.edge("deploy", SITES[0], "--app", "doc", "--branch", "main", "--follow-links")
        yield node, hashes(SITES[0])


@pytest.mark.parametrize("coding", DECODERS)
@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_every_file_comes_back_as_it_is(python_doc, http2, coding):
    """Every file of the deployment has the bytes that were deployed, in every coding."""
    node, expected = python_doc
    got = {}
    coded = 0
    fields = {"Host": "main.doc.edge.localhost", "Accept-Encoding": coding}
    base, half = f"http://127.0.0.1:{node.port}", len(expected) // 2
    with (  # two, since Python's h2 stumbles over a connection's end that comes with an answer
        httpx.Client(
            http1=not http2, http2=http2, base_url=base, headers=fields, timeout=60
        ) as first,
        httpx.Client(
            http1=not http2, http2=http2, base_url=base, headers=fields, timeout=60
        ) as second,
    ):
        for number, path in enumerate(expected):
            client = first if number < half else second
            with client.stream("GET", "/" + quote(path)) as response:
                content = b"".join(response.iter_raw())
            assert response.status_code == 200, path
            assert response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            if response.headers.get("Content-Encoding") is not None:
                content = DECODERS[response.headers["Content-Encoding"]](content)
                coded += 1
            got[path] = hashlib.sha256(content).hexdigest()

    assert got == expected
    assert (coded > len(expected) // 2) == (coding != "identity")


def test_a_second_deploy_sends_nothing(python_doc):
    """The node has every blob already: none travels again."""
    node, expected = python_doc

    served = node.edge(
        "deploy", SITES[0], "--app", "doc", "--branch", "pr-2", "--follow-links", "--json"
    )

    assert f'"files": {len(expected)}, "sent": 0' in served.stdout
